/**
 * A thread that marks a page once, ahead of its writes, and dies in its section after a harvest: whoever reaps it
 * cannot know what it has written since, so all pages with a log are dirty. With no harvest since, only its own are.
 */
import {
  DirtyConsumer,
  DirtyRing,
  guestMemory,
  guestPageTable,
  guestPieces,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type Vcpu,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dirtyPages } from "../../support/bitmap.js";
import { checkInvariants } from "../../support/invariants.js";
import { Death, mortal, OWNER } from "../../support/mortal.js";
import { PAGE, region } from "../../support/region.js";

const PAGES = 40;
const ALL = Array.from({ length: PAGES }, (_, page) => page);
/** A slot without a log, and one of another address space. */
const REGIONS = [region(0, 0, PAGES, 0, LOG), region(1, 100, 4, 64), region(0x10000, 0, 3, 80, LOG)];

async function world(options = {}) {
  const engine = await MemslotEngine.create({
    addressSpaces: 2,
    maxPhysAddrBits: 32,
    maxSlots: 64,
    ...options,
  });
  engine.setUserMemoryRegionList(REGIONS);
  return engine;
}

const dirty = (engine: MemslotEngine, slot = 0) => dirtyPages(engine.getDirtyLog(slot));

/** Marks page 5 before a store; the stores that follow are unseen. */
const WAYS: Record<string, (engine: MemslotEngine, vcpu: Vcpu) => void> = {
  guestMemory(engine, vcpu) {
    guestMemory(engine, new ArrayBuffer(100 * PAGE), { vcpu }).setUint8(5 * PAGE, 1);
  },
  guestPieces(engine, vcpu) {
    const memory = guestMemory(engine, new ArrayBuffer(100 * PAGE), { vcpu });
    guestPieces(memory, 5 * PAGE, 8, { write: true });
  },
  guestPageTable(engine, vcpu) {
    const nothing = { unknown: undefined, answerOf: () => undefined };
    guestPageTable<undefined>(engine, { vcpu, access: "write", ...nothing }).fill(5 * PAGE);
  },
};

for (const [name, mark] of Object.entries(WAYS)) {
  test(`${name}: what a thread that died in its section had written behind a harvest is in the next one`, async () => {
    const engine = await world();
    const other = await MemslotEngine.attach(engine.handle);
    const vcpu = other.vcpu();
    vcpu.enter();
    mark(other, vcpu);
    assert.equal(dirty(engine), [5]);
    // It stores here.
    engine.reap(vcpu.owner);
    assert.equal(dirty(engine), ALL);
    assert.equal(dirty(engine, 0x10000), [0, 1, 2]);
    checkInvariants(engine);
  });

  test(`${name}: nothing else is dirty if no harvest came, if its section was over, if it was settled`, async () => {
    const engine = await world();
    for (const work of [
      () => {},
      (vcpu: Vcpu) => {
        vcpu.exit();
        dirty(engine);
      },
      (vcpu: Vcpu, other: MemslotEngine) => {
        dirty(engine);
        vcpu.exit();
        vcpu.enter();
        mark(other, vcpu);
      },
    ]) {
      const other = await MemslotEngine.attach(engine.handle);
      const vcpu = other.vcpu();
      vcpu.enter();
      mark(other, vcpu);
      work(vcpu, other);
      engine.reap(vcpu.owner);
      assert.ok(dirty(engine).every((page) => page === 5));
      assert.equal(dirty(engine, 0x10000), []);
    }
  });
}

test("who has the line afterwards keeps no marks", async () => {
  const engine = await world({ maxVcpus: 1 });
  for (const keeps of [true, false]) {
    const other = await MemslotEngine.attach(engine.handle);
    const vcpu = other.vcpu();
    vcpu.enter();
    if (keeps) WAYS.guestMemory!(other, vcpu);
    dirty(engine);
    engine.reap(vcpu.owner);
    assert.equal(dirty(engine), keeps ? ALL : []);
  }
});

test("a vCPU that is released in its section has settled its marks itself", async () => {
  const engine = await world();
  const vcpu = engine.vcpu();
  vcpu.enter();
  WAYS.guestMemory!(engine, vcpu);
  dirty(engine);
  vcpu.release();
  assert.equal(dirty(engine), [5]);
});

test("consumers and logged windows are told as well; a ring says that it overflowed", async () => {
  const engine = await world();
  engine.setUserMemoryRegionList([], {
    windows: [[{ gpa: 200 * PAGE, bytes: 2 * PAGE, hva: 90 * PAGE, log: true }]],
  });
  const consumer = new DirtyConsumer(engine, "copy");
  consumer.begin();
  consumer.done();
  const other = await MemslotEngine.attach(engine.handle);
  const vcpu = other.vcpu();
  vcpu.enter();
  WAYS.guestPageTable!(other, vcpu);
  consumer.begin();
  consumer.done();
  engine.reap(vcpu.owner);
  const pages = [...consumer.begin()].reduce((sum, { bytes }) => sum + bytes / PAGE, 0);
  assert.is(pages, PAGES + 3 + 2);
  const ringed = await MemslotEngine.create({ maxVcpus: 1 });
  ringed.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  ringed.setUserMemoryRegion(region(0, 0, 1000, 0, LOG));
  const far = await MemslotEngine.attach(ringed.handle);
  const ringVcpu = far.vcpu();
  const ring = new DirtyRing(ringed, 0);
  ringVcpu.enter();
  WAYS.guestMemory!(far, ringVcpu);
  assert.is(ring.harvest().entries.length, 1);
  ringed.resetDirtyRings();
  ringed.reap(ringVcpu.owner);
  const { entries, overflow } = ring.harvest();
  assert.ok(overflow || entries.length === 1000, `${entries.length}`);
});

for (const shared of [true, false]) {
  test(`${shared ? "shared" : "unshared"}: it may die at any store of what it does then`, async () => {
    let store = 0;
    for (let dead = true; dead; ) {
      store++;
      const engine = await world({ shared, maxVcpus: 1 });
      const victim = mortal(engine.handle);
      const { wasm } = victim;
      const reader = wasm.claimVcpu(engine.base, OWNER, 1);
      const written = new Set<number>();
      const seen = new Set<number>();
      const harvest = () => {
        for (const page of dirty(engine)) seen.add(page);
      };
      dead = false;
      victim.dieAt(store);
      try {
        wasm.enterVcpu(reader);
        const epoch = wasm.keepMarks(reader);
        wasm.markDirty(reader, 5 * PAGE);
        written.add(5);
        wasm.markDirty(reader, 7 * PAGE);
        written.add(7);
        harvest();
        // All that it has written until now is copied; it writes both pages once more.
        seen.clear();
        assert.is.not(wasm.dirtyEpochOf(reader), epoch);
        wasm.markDirty(reader, 5 * PAGE);
        wasm.markDirty(reader, 7 * PAGE);
        wasm.exitVcpu(reader);
      } catch (error) {
        if (!(error instanceof Death)) throw error;
        dead = true;
      }
      engine.reap(OWNER);
      harvest();
      assert.equal(
        [...written].filter((page) => !seen.has(page)),
        [],
        `store ${store}`,
      );
      checkInvariants(engine);
    }
    assert.ok(store > 6, `${store}`);
  });

  test(`${shared ? "shared" : "unshared"}: a reaper that dies at any store is reaped in turn`, async () => {
    let store = 0;
    for (let dead = true; dead; ) {
      store++;
      const engine = await world({ shared });
      const reader = mortal(engine.handle).wasm.claimVcpu(engine.base, OWNER, 1);
      const { wasm } = mortal(engine.handle);
      wasm.enterVcpu(reader);
      wasm.keepMarks(reader);
      wasm.markDirty(reader, 5 * PAGE);
      assert.equal(dirty(engine), [5]);
      const reaper = mortal(engine.handle);
      dead = false;
      reaper.dieAt(store);
      try {
        reaper.wasm.reapOwner(engine.base, OWNER + 1, OWNER);
      } catch (error) {
        if (!(error instanceof Death)) throw error;
        dead = true;
      }
      engine.reap(OWNER + 1);
      engine.reap(OWNER);
      assert.equal(dirty(engine), ALL, `store ${store}`);
    }
    // Bits of a shared log are set by atomic operations, which are no stores here.
    assert.ok(store > (shared ? 2 : 40), `${store}`);
  });
}

test.run();
