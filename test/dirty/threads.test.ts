/** Dirty pages between threads: a vCPU pushes while another thread harvests, and harvesters that are killed. */
import { KVM_CAP_DIRTY_LOG_RING, type MappedRegion, MemslotEngine, splitSlot } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dirtyPages } from "../support/bitmap.js";
import { checkInvariants } from "../support/invariants.js";
import { type Remote, remote } from "../support/remote.js";

const PAGE = 4096;
/** A wait that does not end is a failure. */
const WATCHDOG_MS = 20_000;
const KILLS = 4;

function region(npages: number): MappedRegion {
  return { slot: 0, flags: 1, guestPhysAddr: 0, memorySize: npages * PAGE, userspaceAddr: 5000 * PAGE };
}

async function world(npages: number, ring: boolean): Promise<{ engine: MemslotEngine; worker: Remote }> {
  const engine = await MemslotEngine.create({ maxVcpus: 4 });
  if (ring) engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  engine.setUserMemoryRegion(region(npages));
  return { engine, worker: await remote((thread) => engine.superviseWorker(thread)) };
}

/** Wait until the worker has put `value` into its word. */
function awaitWord({ word }: Remote, value: number): void {
  for (let seen = Atomics.load(word, 0); seen !== value; seen = Atomics.load(word, 0)) {
    assert.not.equal(Atomics.wait(word, 0, seen, WATCHDOG_MS), "timed-out");
  }
}

test("a worker pushes 100,000 pages while this thread harvests: each is harvested, in order", async () => {
  const PAGES = 100_000;
  const { engine, worker } = await world(PAGES, true);
  const pushed = worker.run(({ vcpu }) => {
    let full = 0;
    for (let page = 0; page < 100_000; page++) {
      for (; vcpu.dirtyRingFull; full++);
      vcpu.markDirty(page * 4096);
    }
    return full;
  });
  const ring = engine.dirtyRing(0);
  let next = 0;
  const end = performance.now() + WATCHDOG_MS;
  while (next < PAGES && performance.now() < end) {
    const { entries, overflow } = ring.harvest();
    assert.is(overflow, false);
    for (const { slot, offset, hva } of entries) {
      if (slot !== 0 || offset !== next || hva !== (5000 + next) * PAGE)
        assert.unreachable(`page ${next}: ${offset}`);
      next++;
    }
    assert.is(engine.resetDirtyRings(), entries.length);
  }
  assert.is(next, PAGES);
  await pushed;
  await worker.kill();
  checkInvariants(engine);
});

test("a consumer's threads that are killed between begin and commit, one after the other, lose no page", async () => {
  const { engine, worker } = await world(1000, false);
  await worker.kill();
  const mine = engine.dirtyConsumer("migration");
  const written = [1, 64, 999];
  for (const page of written) engine.markDirty(page * PAGE);
  for (let kill = 0; kill < KILLS; kill++) {
    const harvester = await remote((thread) => engine.superviseWorker(thread));
    harvester.start(({ engine: there, word }) => {
      there.dirtyConsumer("migration").begin(0);
      Atomics.store(word, 0, 1);
      Atomics.notify(word, 0);
      Atomics.wait(word, 0, 1);
    });
    awaitWord(harvester, 1);
    const page = 2 + kill;
    written.push(page);
    // In turns before and after the death.
    if (kill % 2 === 0) engine.markDirty(page * PAGE);
    await harvester.kill();
    engine.markDirty(page * PAGE);
    if (kill === 1) engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 500 * PAGE, 1));
  }
  const upper = dirtyPages(mine.begin(1)).map((page) => 500 + page);
  assert.equal(
    [...dirtyPages(mine.begin(0)), ...upper],
    written.sort((x, y) => x - y),
  );
  mine.commit(0);
  mine.commit(1);
  assert.equal([dirtyPages(mine.begin(0)), dirtyPages(mine.begin(1))], [[], []]);
  checkInvariants(engine);
});

test("a thread that is killed between harvest and reset loses no entry", async () => {
  const { engine, worker } = await world(1000, true);
  const vcpu = engine.vcpu();
  for (const page of [1, 64, 999]) vcpu.markDirty(page * PAGE);
  const index = vcpu.index;
  await worker.run(({ word }) => word.fill(0));
  worker.start(({ engine: there, word }) => {
    for (let ring = 0; ring < there.maxVcpus; ring++) there.dirtyRing(ring).harvest();
    Atomics.store(word, 0, 1);
    Atomics.notify(word, 0);
    Atomics.wait(word, 0, 1);
  });
  awaitWord(worker, 1);
  await worker.kill();
  vcpu.markDirty(2 * PAGE);
  const offsets = engine
    .dirtyRing(index)
    .harvest()
    .entries.map(({ offset }) => offset);
  assert.equal(offsets, [1, 64, 999, 2]);
  assert.is(engine.resetDirtyRings(), 4);
  vcpu.release();
  checkInvariants(engine);
});

test.run();
