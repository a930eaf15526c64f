/** Dirty pages between threads: a vCPU pushes while another thread harvests, and harvesters that are killed. */
import {
  consumersOfAsync,
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  saveEngineAsync,
  splitSlot,
  superviseWorker,
  takeDirtyPagesAsync,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RING_BYTES_MIN } from "../../src/core/layout.js";
import { hostPages } from "../support/bitmap.js";
import { checkInvariants } from "../support/invariants.js";
import { PAGE, region } from "../support/region.js";
import { type Remote, remote } from "../support/remote.js";

/** A wait that does not end is a failure. */
const WATCHDOG_MS = 20_000;
const KILLS = 4;
const FRAMES = 200;

async function world(npages: number, ring: boolean): Promise<{ engine: MemslotEngine; worker: Remote }> {
  const engine = await MemslotEngine.create({ maxVcpus: 4 });
  if (ring) engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES_MIN);
  engine.setUserMemoryRegion(region(0, 0, npages, 5000, LOG));
  return { engine, worker: await remote((thread) => superviseWorker(engine, thread)) };
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
  const ring = new DirtyRing(engine, 0);
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
  const mine = new DirtyConsumer(engine, "migration");
  const written = [1, 64, 999];
  for (const page of written) engine.markDirty(page * PAGE);
  for (let kill = 0; kill < KILLS; kill++) {
    const harvester = await remote((thread) => superviseWorker(engine, thread));
    harvester.start(({ memslots, engine: there, word }) => {
      new memslots.DirtyConsumer(there, "migration").begin();
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
  assert.equal(
    hostPages(mine.begin(), 5000),
    written.sort((x, y) => x - y),
  );
  mine.done();
  assert.equal(mine.begin(), []);
  checkInvariants(engine);
});

test("the forms that do not sleep never fail while two workers commit all the time", async () => {
  const { engine, worker } = await world(1000, false);
  const second = await remote((thread) => superviseWorker(engine, thread));
  for (const [i, { start, run, word }] of [worker, second].entries()) {
    await run(({ word }) => word.fill(0));
    Atomics.store(word, 0, i);
    start(({ engine: there, vcpu, word }) => {
      const slot = 8 + Atomics.load(word, 0);
      const place = { guestPhysAddr: slot * 2 ** 30, userspaceAddr: slot * 2 ** 30 };
      for (let round = 0; ; round++) {
        vcpu.markDirty((round % 1000) * 4096);
        there.setUserMemoryRegionList([{ slot, flags: 1, memorySize: round % 2 === 0 ? 4096 : 0, ...place }]);
      }
    });
  }
  const screen = await DirtyConsumer.openAsync(engine, "screen");
  const pages = new Uint32Array(1000);
  let harvested = 0;
  for (let frame = 0; frame < FRAMES; frame++) {
    for (const { bytes } of await screen.beginAsync()) harvested += bytes / PAGE;
    await screen.doneAsync();
    await engine.getDirtyLogAsync(0);
    await takeDirtyPagesAsync(engine, 0, pages);
    await consumersOfAsync(engine);
    await saveEngineAsync(engine);
  }
  assert.ok(harvested > FRAMES, `${harvested} pages`);
  await Promise.all([worker.kill(), second.kill()]);
  await screen.closeAsync();
  checkInvariants(engine);
});

test("a thread that is killed between harvest and reset loses no entry", async () => {
  const { engine, worker } = await world(1000, true);
  const vcpu = engine.vcpu();
  for (const page of [1, 64, 999]) vcpu.markDirty(page * PAGE);
  const index = vcpu.index;
  await worker.run(({ word }) => word.fill(0));
  worker.start(({ memslots, engine: there, word }) => {
    for (let ring = 0; ring < there.maxVcpus; ring++) new memslots.DirtyRing(there, ring).harvest();
    Atomics.store(word, 0, 1);
    Atomics.notify(word, 0);
    Atomics.wait(word, 0, 1);
  });
  awaitWord(worker, 1);
  await worker.kill();
  vcpu.markDirty(2 * PAGE);
  const offsets = new DirtyRing(engine, index).harvest().entries.map(({ offset }) => offset);
  assert.equal(offsets, [1, 64, 999, 2]);
  assert.is(engine.resetDirtyRings(), 4);
  vcpu.release();
  checkInvariants(engine);
});

test.run();
