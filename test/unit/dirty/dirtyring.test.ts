/**
 * The dirty ring: every errno, the states of an entry, full rings, what a list does to entries, and random runs
 * against a naive ring.
 */
import {
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_DIRTY_GFN_F_DIRTY,
  KVM_DIRTY_GFN_F_RESET,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  splitSlot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  DIRTY_GFN_BYTES,
  RING_BYTES_MAX,
  RING_BYTES_MIN,
  RING_RESERVED_ENTRIES,
} from "../../../src/core/layout.js";
import { dirtyPages, hostPages } from "../../support/bitmap.js";
import { throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { random } from "../../support/random.js";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

/** The smallest ring, its entries, and those of them that a vCPU fills before it must leave the guest. */
const RING_BYTES = RING_BYTES_MIN;
const SIZE = RING_BYTES / DIRTY_GFN_BYTES;
const SOFT_LIMIT = SIZE - RING_RESERVED_ENTRIES;
const SEED = Number(process.env.SEED ?? 4);
console.log(`seed ${SEED}`);

interface Options {
  bitmap?: boolean;
  shared?: boolean;
}

/** An engine with rings of 256 entries and slot 0, logged, of 1000 pages from frame 0 on. */
async function ringed({ bitmap = false, shared = true }: Options = {}): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 16, maxVcpus: 2, shared });
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
  if (bitmap) engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  engine.setUserMemoryRegion(region(0, 0, 1000, 5000, LOG));
  return engine;
}

function offsets(ring: DirtyRing): number[] {
  return ring.harvest().entries.map(({ offset }) => offset);
}

/** States of the entries that are not free, in the order of the ring's memory. */
function states(ring: DirtyRing): number[] {
  return Array.from({ length: ring.size }, (_, i) => ring.entries()[4 * i]!).filter((flags) => flags !== 0);
}

test("without the capability there is no ring", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 2 });
  throwsErrno(() => new DirtyRing(engine, 0), "EINVAL");
  throwsErrno(() => engine.resetDirtyRings(), "EINVAL");
  throwsErrno(
    () => engine.enableCap({ cap: KVM_CAP_DIRTY_LOG_RING, flags: 1, args: [RING_BYTES] }),
    "EINVAL",
  );
  throwsErrno(() => engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), "EINVAL");
  const vcpu = engine.vcpu();
  assert.is(vcpu.dirtyRingFull, false);
  throwsErrno(() => engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES), "EINVAL");
  throwsErrno(() => engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 2 * RING_BYTES_MAX), "E2BIG");
  throwsErrno(() => new DirtyRing(engine, 0), "EINVAL");
  vcpu.release();
  throwsErrno(() => engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES), "EINVAL");
  checkInvariants(engine);
});

test("with rings alone, calls for bitmaps are ENXIO; a bad vCPU number is refused", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 2 });
  engine.setUserMemoryRegion(region(1, 0, 4, 100, LOG));
  const screen = new DirtyConsumer(engine, "screen");
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
  throwsErrno(() => engine.getDirtyLog(1), "ENXIO");
  throwsErrno(() => engine.getDirtyLog(0xffff), "ENXIO");
  throwsErrno(() => engine.clearDirtyLog(1, 0, 4, new Uint8Array(8)), "ENXIO");
  throwsErrno(() => new DirtyConsumer(engine, "new"), "ENXIO");
  throwsErrno(() => screen.begin(), "ENXIO");
  throwsErrno(() => engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), "EINVAL");
  for (const vcpu of [-1, 2, 0.5, Number.NaN, "0" as never]) {
    assert.throws(
      () => new DirtyRing(engine, vcpu),
      (error: unknown) => /^(Type|Range)Error: vcpu must be/.test(String(error)),
    );
  }
  throwsErrno(() => engine.enableCap({ cap: KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, flags: 1 }), "EINVAL");
  checkInvariants(engine);
});

test("a vCPU without memory for its ring is ENOMEM, and no vCPU is taken", async () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const engine = await MemslotEngine.create({ maxSlots: 16, maxVcpus: 1, memory, base: 0, size: 4 * 65536 });
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES_MAX);
  throwsErrno(() => engine.vcpu(), "ENOMEM");
  throwsErrno(() => engine.vcpu(), "ENOMEM");
  assert.equal(new DirtyRing(engine, 0).harvest(), { entries: [], overflow: false });
  assert.is(new DirtyRing(engine, 0).entries().length, 0);
  checkInvariants(engine);
});

for (const shared of [true, false]) {
  test(`${shared ? "shared" : "unshared"}: an entry is free, dirty, harvested, free`, async () => {
    const engine = await ringed({ shared });
    const vcpu = engine.vcpu();
    const ring = new DirtyRing(engine, vcpu.index);
    assert.equal([ring.vcpu, ring.size, vcpu.index], [0, SIZE, 0]);
    assert.equal(states(ring), []);
    for (const gfn of [7, 3, 999]) vcpu.markDirty(gfn * PAGE);
    assert.equal([...ring.entries().subarray(0, 8)], [KVM_DIRTY_GFN_F_DIRTY, 0, 7, 0, 1, 0, 3, 0]);
    assert.is(engine.resetDirtyRings(), 0, "nothing is harvested");
    assert.equal(ring.harvest(), {
      entries: [7, 3, 999].map((offset) => ({ slot: 0, offset, hva: (5000 + offset) * PAGE })),
      overflow: false,
    });
    assert.equal(states(ring), Array(3).fill(KVM_DIRTY_GFN_F_RESET));
    assert.equal(offsets(ring), [7, 3, 999], "not reset: not done with");
    assert.is(engine.resetDirtyRings(), 3);
    assert.equal([states(ring), offsets(ring), engine.resetDirtyRings()], [[], [], 0]);
    checkInvariants(engine);
  });
}

test("harvested by hand, as with KVM: a skipped entry hides all later ones from the reset", async () => {
  const engine = await ringed();
  const vcpu = engine.vcpu();
  const ring = new DirtyRing(engine, 0);
  for (let gfn = 0; gfn < 5; gfn++) vcpu.markDirty(gfn * PAGE);
  const entries = ring.entries();
  for (const i of [0, 1, 3, 4]) Atomics.or(entries, 4 * i, KVM_DIRTY_GFN_F_RESET);
  assert.is(engine.resetDirtyRings(), 2);
  assert.is(engine.resetDirtyRings(), 0);
  Atomics.store(entries, 4 * 2, KVM_DIRTY_GFN_F_RESET);
  assert.is(engine.resetDirtyRings(), 3);
  assert.equal(states(ring), []);
});

test("soft full is 64 entries before the end, until a reset", async () => {
  const engine = await ringed();
  const vcpu = engine.vcpu();
  const ring = new DirtyRing(engine, 0);
  for (let gfn = 0; gfn < SOFT_LIMIT - 1; gfn++) vcpu.markDirty(gfn * PAGE);
  assert.is(vcpu.dirtyRingFull, false);
  vcpu.markDirty(SOFT_LIMIT * PAGE);
  assert.is(vcpu.dirtyRingFull, true);
  assert.is(ring.harvest().entries.length, SOFT_LIMIT);
  assert.is(vcpu.dirtyRingFull, true, "harvested is not free");
  assert.is(engine.resetDirtyRings(), SOFT_LIMIT);
  assert.is(vcpu.dirtyRingFull, false);
});

test("a full ring keeps its entries and reports overflow until the reset", async () => {
  const engine = await ringed();
  const vcpu = engine.vcpu();
  const ring = new DirtyRing(engine, 0);
  for (let gfn = 0; gfn < SIZE; gfn++) vcpu.markDirty(gfn * PAGE);
  assert.is(ring.harvest().overflow, false);
  assert.is(engine.resetDirtyRings(), SIZE);
  for (let gfn = 0; gfn <= SIZE; gfn++) vcpu.markDirty(gfn * PAGE);
  const { entries, overflow } = ring.harvest();
  assert.equal(
    [entries.map(({ offset }) => offset), overflow],
    [Array.from({ length: SIZE }, (_, gfn) => gfn), true],
  );
  assert.is(ring.harvest().overflow, true, "told again, whoever asks");
  vcpu.markDirty(500 * PAGE);
  assert.is(engine.resetDirtyRings(), SIZE);
  assert.is(ring.harvest().overflow, true, "missed since the harvest");
  engine.resetDirtyRings();
  assert.is(ring.harvest().overflow, false);
  vcpu.markDirty(500 * PAGE);
  assert.equal(ring.harvest(), { entries: [{ slot: 0, offset: 500, hva: 5500 * PAGE }], overflow: false });
});

test("with bitmaps beside the ring, marks go to the bitmap once the ring is full", async () => {
  const engine = await ringed({ bitmap: true });
  const vcpu = engine.vcpu();
  const ring = new DirtyRing(engine, 0);
  for (let gfn = 0; gfn < SIZE + 3; gfn++) vcpu.markDirty(gfn * PAGE);
  engine.markDirty(900 * PAGE);
  const { entries, overflow } = ring.harvest();
  assert.equal([entries.length, overflow], [SIZE, false]);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [SIZE, SIZE + 1, SIZE + 2, 900]);
  engine.resetDirtyRings();
  vcpu.markDirty(3 * PAGE);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), []);
  assert.equal(offsets(ring), [3]);
  const screen = new DirtyConsumer(engine, "screen");
  engine.markDirty(901 * PAGE);
  assert.equal(hostPages(screen.begin(), 5000), [901], "consumers see the bitmap");
});

test("the next harvest reports a write by no vCPU, also where a bitmap is left from before the ring", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 1 });
  engine.setUserMemoryRegionList([region(1, 0, 4, 100, LOG), region(2, 10, 4, 200)]);
  engine.gpaToHva(0);
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
  const ring = new DirtyRing(engine, 0);
  engine.markDirty(11 * PAGE);
  assert.is(ring.harvest().overflow, false, "not logged");
  engine.markDirty(PAGE);
  assert.is(ring.harvest().overflow, true);
  engine.resetDirtyRings();
  assert.is(ring.harvest().overflow, false);
  checkInvariants(engine);
});

test("a page is pushed once until its entry is harvested, and again afterwards", async () => {
  const engine = await ringed();
  const vcpu = engine.vcpu();
  const ring = new DirtyRing(engine, 0);
  for (let i = 0; i < 1000; i++) vcpu.markDirty(5 * PAGE + i);
  assert.equal(offsets(ring), [5]);
  vcpu.markDirty(5 * PAGE);
  assert.equal(offsets(ring), [5, 5], "the harvester may have copied it already");
  assert.is(engine.resetDirtyRings(), 2);
});

test("an entry names the page that was written, whatever lists do to its slot", async () => {
  const engine = await ringed();
  const vcpu = engine.vcpu();
  const ring = new DirtyRing(engine, 0);
  vcpu.markDirty(700 * PAGE);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 600 * PAGE, 1));
  vcpu.markDirty(700 * PAGE);
  engine.setUserMemoryRegionList([deletion(1), region(1, 600, 200, 9000, LOG)]);
  vcpu.markDirty(700 * PAGE);
  engine.setUserMemoryRegion(deletion(1));
  vcpu.markDirty(700 * PAGE);
  assert.equal(ring.harvest().entries, [
    { slot: 0, offset: 700, hva: 5700 * PAGE },
    { slot: 1, offset: 100, hva: 5700 * PAGE },
    { slot: 1, offset: 100, hva: 9100 * PAGE },
  ]);
  assert.is(engine.resetDirtyRings(), 3, "entries of slots that are gone are reset as the others");
  checkInvariants(engine);
});

test("only logged slots; both address spaces; each vCPU its own ring", async () => {
  const engine = await ringed();
  const smm = slotNumber(1, 3);
  engine.setUserMemoryRegionList([region(smm, 40, 8, 7000, LOG), region(2, 2000, 8, 8000)]);
  const vcpus = [engine.vcpu(), engine.vcpu({ asId: 1 })] as const;
  vcpus[0].markDirty(2000 * PAGE);
  vcpus[0].markDirty(5000 * PAGE);
  vcpus[0].markDirty(Number.NaN);
  engine.setUserMemoryRegion(region(2, 2000, 8, 8000, LOG));
  vcpus[0].markDirty(2001 * PAGE);
  vcpus[1].markDirty(41 * PAGE);
  assert.equal(new DirtyRing(engine, 0).harvest().entries, [{ slot: 2, offset: 1, hva: 8001 * PAGE }]);
  assert.equal(new DirtyRing(engine, 1).harvest().entries, [{ slot: smm, offset: 1, hva: 7001 * PAGE }]);
  assert.is(engine.resetDirtyRings(), 2, "of both rings");
});

test("the entries of a released vCPU are harvested, and the next vCPU continues in its ring", async () => {
  const engine = await ringed();
  const first = engine.vcpu();
  first.markDirty(8 * PAGE);
  first.release();
  const second = engine.vcpu();
  assert.is(second.index, 0);
  second.markDirty(9 * PAGE);
  assert.equal(offsets(new DirtyRing(engine, 0)), [8, 9]);
  checkInvariants(engine);
});

test("pages of other sizes, addresses beyond 2^32", async () => {
  const engine = await MemslotEngine.create({ pageShift: 16, maxVcpus: 1 });
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
  const high = 2 ** 46;
  const slot = { slot: 1, flags: LOG, guestPhysAddr: 2 ** 40, memorySize: 2 ** 20, userspaceAddr: high };
  engine.setUserMemoryRegion(slot);
  engine.vcpu().markDirty(2 ** 40 + 3 * 2 ** 16 + 77);
  assert.equal(new DirtyRing(engine, 0).harvest().entries, [{ slot: 1, offset: 3, hva: high + 3 * 2 ** 16 }]);
});

/** The ring as an array: index, page, state. */
class NaiveRing {
  readonly used: { page: number; harvested: boolean }[] = [];
  missed = false;

  get pages(): number[] {
    return this.used.map(({ page }) => page);
  }

  awaits(page: number): boolean {
    return this.used.some((entry) => entry.page === page && !entry.harvested);
  }

  harvest(): number[] {
    for (const entry of this.used) entry.harvested = true;
    return this.pages;
  }

  reset(): number {
    const end = this.used.findIndex(({ harvested }) => !harvested);
    return this.used.splice(0, end < 0 ? this.used.length : end).length;
  }
}

test("random runs against a naive ring", async () => {
  const rng = random(SEED);
  for (let run = 0; run < 40; run++) {
    const engine = await ringed({ shared: rng.chance(0.5) });
    const vcpu = engine.vcpu();
    const ring = new DirtyRing(engine, 0);
    const model = new NaiveRing();
    const hot = 1 + rng.int(300);
    const entries = ring.entries();
    let told = false;
    let next = 0;
    const mark = (page: number) => {
      const room = entries[4 * (next % SIZE)] === 0;
      vcpu.markDirty(page * PAGE);
      if (room && entries[4 * (next % SIZE)] !== 0) {
        model.used.push({ page, harvested: false });
        next++;
      } else if (!model.awaits(page)) {
        assert.is(model.used.length, SIZE, "a page that is nowhere was not pushed although there was room");
        model.missed = true;
        told = false;
      }
    };
    for (let step = 0; step < 60; step++) {
      for (let i = rng.int(60); i > 0; i--) mark(rng.int(hot));
      assert.is(vcpu.dirtyRingFull, model.used.length >= SOFT_LIMIT);
      if (rng.chance(0.3)) {
        const { entries, overflow } = ring.harvest();
        assert.equal(
          entries.map(({ offset }) => offset),
          model.harvest(),
        );
        assert.is(overflow, model.missed);
        told = model.missed;
      }
      if (rng.chance(0.3)) {
        assert.is(engine.resetDirtyRings(), model.reset());
        if (told) model.missed = false;
        told = false;
      }
      assert.equal(states(ring).sort(), model.used.map(({ harvested }) => (harvested ? 2 : 1)).sort());
    }
    checkInvariants(engine);
  }
});

test.run();
