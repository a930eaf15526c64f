/**
 * Windows and slots as a vCPU in another thread sees them. Two places change roles with each commit: one is
 * RAM, the other a device's, and both show the number of the commit. In one section a vCPU may see the pair of
 * any one commit, and nothing else.
 */
import { MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { deletion, PAGE, region } from "../support/region.js";
import { type Remote, remote } from "../support/remote.js";

/** Changes that the vCPU is to see, and commits after which it is taken for stuck. */
const CHANGES = 30;
const COMMITS_MAX = 1_000_000;

/**
 * Sections until the shared word, 1 + the changes seen, is 0: how many there were, and how many saw what no
 * commit made.
 */
function watch(vcpu: Remote): Promise<{ sections: number; torn: number }> {
  return vcpu.run(({ vcpu, word }) => {
    const look = (gpa: number) => {
      const hva = vcpu.resolve(gpa);
      return hva === -3 ? -vcpu.device : hva;
    };
    const seen = { sections: 0, torn: 0 };
    let last = 0;
    Atomics.store(word, 0, 1);
    for (let count = 1; count !== 0; count = Atomics.load(word, 0)) {
      vcpu.enter();
      const [a, b] = [look(0), look(4096)];
      const [again, bAgain] = [look(0), look(4096)];
      vcpu.exit();
      // Commit n: RAM at host page n, device n, and n decides which of the two is first.
      const ram = Math.max(a, b);
      const device = -Math.min(a, b);
      const right = ram === device * 4096 && (device % 2 === 0) === (a === ram);
      if (!right || a !== again || b !== bAgain) seen.torn++;
      if (device !== last) Atomics.compareExchange(word, 0, count, count + 1);
      last = device;
      seen.sections++;
    }
    return seen;
  });
}

async function run(commit: (engine: MemslotEngine, n: number) => void) {
  const engine = await MemslotEngine.create({ maxVcpus: 4 });
  commit(engine, 2);
  const worker = await remote((thread) => superviseWorker(engine, thread));
  const watched = watch(worker);
  let n = 3;
  for (; n < COMMITS_MAX && Atomics.load(worker.word, 0) <= CHANGES; n++) {
    if (Atomics.load(worker.word, 0) > 0) commit(engine, n);
    else await new Promise((turn) => setImmediate(turn));
  }
  Atomics.store(worker.word, 0, 0);
  const seen = await watched;
  await worker.kill();
  assert.ok(n < COMMITS_MAX, `the vCPU saw too few of ${n} commits: ${JSON.stringify(seen)}`);
  return seen;
}

function slots(n: number) {
  const ram = region(0, n % 2, 1, n);
  return n === 2 ? [ram] : [deletion(0), ram];
}

function windows(n: number) {
  return [[{ gpa: n % 2 === 0 ? PAGE : 0, bytes: PAGE, device: n }]];
}

test("a section sees slots and windows of one commit", async () => {
  const seen = await run((engine, n) => {
    engine.setUserMemoryRegionList(slots(n), { windows: windows(n) });
  });
  assert.is(seen.torn, 0, JSON.stringify(seen));
});

test("the check finds slots and windows that change in two commits", async () => {
  const seen = await run((engine, n) => {
    engine.setUserMemoryRegionList(slots(n));
    engine.setUserMemoryRegionList([], { windows: windows(n) });
  });
  assert.ok(seen.torn > 0, JSON.stringify(seen));
});

test.run();
