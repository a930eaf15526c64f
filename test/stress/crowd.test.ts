/** More vCPUs than processors, on all processors and on one: nobody starves, and who sleeps is woken for a reason. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HEADER, HURRY, OWNERS_PER_THREAD } from "../../src/core/layout.js";
import { mortal } from "../support/mortal.js";
import { type Remote, remote } from "../support/remote.js";
import type { CrowdReport } from "./crowd.js";

const CROWD = fileURLToPath(new URL("./crowd.ts", import.meta.url));
const SECTIONS = 200;
/** A fair scheduler gives all of them the same; starved ones would have none while the others have thousands. */
const UNEVEN_MAX = 20;

/** Longest time that a hurry holds a section: assembly/readers.ts. */
const HURRY_MS = 50;
/** Owner tokens of threads that are not there; those of the test's threads are smaller. */
const WRITER = 16 * OWNERS_PER_THREAD;
const STRAGGLER = 17 * OWNERS_PER_THREAD;

const ONE = ["taskset", "-c", "0"];
const hasTaskset = spawnSync("taskset", ["-c", "0", "true"]).status === 0;

function crowd(prefix: readonly string[], ...more: string[]): CrowdReport {
  const node = [process.execPath, "--import", "tsx", CROWD, "--sections", String(SECTIONS), ...more];
  const [command, ...args] = [...prefix, ...node] as [string, ...string[]];
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.is(status, 0, `${stdout}${stderr}`);
  return JSON.parse(stdout);
}

function check({ wrong, slowest, fastest, openings }: CrowdReport): void {
  assert.is(wrong, 0);
  assert.ok(slowest >= 2 * SECTIONS, `the slowest vCPU ended ${slowest} sections`);
  assert.ok(fastest <= slowest * UNEVEN_MAX, `sections ${slowest} to ${fastest}`);
  assert.ok(openings > 0, "there was a hurry");
}

for (const vcpus of ["4", "32"]) {
  test(`${vcpus} vCPUs on the processors that there are`, () => check(crowd([], "--vcpus", vcpus)));

  if (hasTaskset) test(`${vcpus} vCPUs on one processor`, () => check(crowd(ONE, "--vcpus", vcpus)));
  else console.log("skipped: one processor: no taskset here");
}

test("hurry: false holds nobody", () => {
  const { wrong, openings } = crowd([], "--vcpus", "4", "--no-hurry");
  assert.is(wrong, 0);
  assert.is(openings, 0);
});

test("a publication behind a closed gate wakes none of those that sleep at it", async () => {
  const VCPUS = 4;
  const engine = await MemslotEngine.create({ maxVcpus: VCPUS });
  const workers = [];
  for (let i = 0; i < VCPUS; i++) workers.push(await remote((worker) => superviseWorker(engine, worker)));
  const words = new Int32Array(engine.memory.buffer);
  const at = (field: "root" | "openings") => (engine.base + HEADER[field]) / 4;
  engine.pauseVcpus();
  const sections = workers.map((worker) =>
    worker.run(({ vcpu }) => {
      vcpu.enter();
      const hva = vcpu.gpaToHva(0);
      vcpu.exit();
      return hva;
    }),
  );
  // All at once; who is woken here, or has slept its 5 ms, sleeps again.
  while (Atomics.notify(words, at("openings")) < VCPUS) await new Promise(setImmediate);
  for (let i = 1; i <= 20; i++) {
    engine.setUserMemoryRegionList(
      [
        { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: i * 4096, userspaceAddr: 4096 },
        ...(i === 1 ? [] : [{ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 }]),
      ].reverse(),
    );
    assert.is(Atomics.notify(words, at("root")), 0, "nobody sleeps on the root");
  }
  engine.resumeVcpus();
  assert.equal(await Promise.all(sections), new Array(VCPUS).fill(4096));
  for (const worker of workers) await worker.kill();
});

/** Worker vCPUs that a hurry holds, because a reader of no thread stays; the engine is told of one processor. */
async function heldForHurry(vcpus: number) {
  const engine = await MemslotEngine.create({ maxVcpus: vcpus + 1, processors: 1 });
  const { wasm } = mortal(engine.handle);
  const workers: Remote[] = [];
  for (let i = 0; i < vcpus; i++) workers.push(await remote((worker) => superviseWorker(engine, worker)));
  const straggler = wasm.claimVcpu(engine.base, STRAGGLER, 1);
  const words = new Int32Array(engine.memory.buffer);
  const word = (field: "root" | "openings") => (engine.base + HEADER[field]) / 4;
  return {
    words,
    openings: word("openings"),
    isHurry: () => (words[word("root")]! & HURRY) !== 0,
    /** Begin a hurry, and milliseconds that the sections of each vCPU have waited for its end. */
    begin(pages: number): Promise<number[]> {
      wasm.enterVcpu(straggler);
      const at = pages * 4096;
      const region = { slot: pages, flags: 0, guestPhysAddr: at, memorySize: 4096, userspaceAddr: at };
      engine.setUserMemoryRegionList([region], { wait: false });
      assert.is(wasm.lockEngine(engine.base, WRITER, 0), 0);
      assert.is(wasm.synchronizeReaders(engine.base, WRITER, 0), -110);
      wasm.unlockEngine(engine.base);
      const times = workers.map((worker) =>
        worker.run(({ vcpu }) => {
          const start = performance.now();
          vcpu.enter();
          const ms = performance.now() - start;
          vcpu.exit();
          return ms;
        }),
      );
      return Promise.all(times);
    },
    end: () => wasm.exitVcpu(straggler),
    async kill() {
      for (const worker of workers) await worker.kill();
    },
  };
}

test("the end of a hurry wakes one vCPU for each processor, and each wakes one more", async () => {
  const VCPUS = 4;
  const ROUNDS = 10;
  const { words, openings, isHurry, begin, end, kill } = await heldForHurry(VCPUS);
  const other = await MemslotEngine.create();
  const others = [await remote(() => other.handle), await remote(() => other.handle)];
  let overslept = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const times = begin(round);
    while (isHurry() && Atomics.notify(words, openings) < VCPUS) await new Promise(setImmediate);
    // They fall asleep again, because nothing was opened; by the time that two other threads have answered.
    for (let i = 0; i < 2; i++) await Promise.all(others.map((other) => other.run(() => 0)));
    end();
    overslept += (await times).filter((ms) => ms >= HURRY_MS).length;
  }
  // A busy machine may keep a thread so long from its processor, but not most of them.
  assert.ok(overslept < (ROUNDS * VCPUS) / 4, `${overslept} sections slept their whole time`);
  await Promise.all([kill(), ...others.map((one) => one.kill())]);
});

test("a wake-up that is left over ends no hurry", async () => {
  const { words, openings, isHurry, begin, end, kill } = await heldForHurry(1);
  const times = begin(1);
  const opened = words[openings]!;
  for (let i = 0; i < 3; i++) {
    while (isHurry() && Atomics.notify(words, openings) < 1) await new Promise(setImmediate);
  }
  assert.ok(isHurry() || (await times)[0]! >= HURRY_MS, "it sleeps on, or has slept its time");
  if (isHurry()) assert.is(words[openings], opened);
  end();
  await times;
  await kill();
});

test.run();
