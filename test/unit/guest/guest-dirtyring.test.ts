/** Guest memory in an engine with dirty rings: where its marks go, in which order, and how full the ring is. */
import {
  DirtyRing,
  type GuestMemory,
  guestMemory,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type Vcpu,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { DIRTY_GFN_BYTES, RING_BYTES_MIN, RING_RESERVED_ENTRIES } from "../../../src/core/layout.js";
import { dirtyPages } from "../../support/bitmap.js";
import { PAGE, region, slotNumber } from "../../support/region.js";

/** The smallest ring, its entries, and those of them that a vCPU fills before it must leave the guest. */
const RING_BYTES = RING_BYTES_MIN;
const RING_ENTRIES = RING_BYTES / DIRTY_GFN_BYTES;
const SOFT_LIMIT = RING_ENTRIES - RING_RESERVED_ENTRIES;

const SMM = slotNumber(1, 0);

/** Slot 2: guest pages 1 .. 300, slot 3: 301 .. 302, without a log: 303; in address space 1 slot 5: 1 .. 300. */
async function world(bitmap: boolean) {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
  if (bitmap) engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  engine.setUserMemoryRegionList([
    region(2, 1, 300, 0, LOG),
    region(3, 301, 2, 310, LOG),
    region(4, 303, 1, 320),
    region(SMM | 5, 1, 300, 0, LOG),
  ]);
  const vcpu = engine.vcpu();
  const host = new ArrayBuffer(400 * PAGE);
  const ring = new DirtyRing(engine, vcpu.index);
  return {
    engine,
    vcpu,
    host,
    memory: guestMemory(engine, host, { vcpu }),
    /** [slot, page] of each entry, and an overflow. */
    harvest() {
      const { entries, overflow } = ring.harvest();
      engine.resetDirtyRings();
      const pushed = entries.map(({ slot, offset }) => [slot, offset]);
      return overflow ? [...pushed, "overflow"] : pushed;
    },
  };
}

const STORES: Record<string, (memory: GuestMemory, gpa: number) => void> = {
  typed: (memory, gpa) => memory.setUint16(gpa, 1, true),
  block: (memory, gpa) => memory.write(gpa, Uint8Array.of(1, 2)),
  clear: (memory, gpa) => memory.clear(gpa, 2),
  atomic: (memory, gpa) => memory.atomics.compareExchange(gpa - (gpa % 2), 16, 7, 8),
  cached(memory, gpa) {
    const cache = memory.cache();
    cache.init(gpa, 2);
    cache.write(Uint8Array.of(1, 2));
  },
};

for (const inside of [false, true]) {
  const where = inside ? "in a section" : "outside of sections";
  for (const [name, store] of Object.entries(STORES)) {
    test(`${where}: a ${name} store is an entry of the vCPU's ring, one per page`, async () => {
      const { vcpu, memory, harvest } = await world(false);
      if (inside) vcpu.enter();
      store(memory, 9 * PAGE);
      store(memory, 302 * PAGE + 2);
      store(memory, 303 * PAGE + 8);
      memory.getUint32(20 * PAGE);
      assert.equal(harvest(), [
        [2, 8],
        [3, 1],
      ]);
      if (name !== "atomic") {
        store(memory, 301 * PAGE - 1);
        assert.equal(harvest(), [
          [2, 299],
          [3, 0],
        ]);
      }
      vcpu.release();
    });
  }
}

test("the ring fills up to its soft limit, and beyond its end the log tells of an overflow", async () => {
  for (const bitmap of [false, true]) {
    const { engine, vcpu, memory, harvest } = await world(bitmap);
    vcpu.enter();
    memory.clear(PAGE, (SOFT_LIMIT - 1) * PAGE);
    assert.is(vcpu.dirtyRingFull, false);
    memory.setUint8(SOFT_LIMIT * PAGE - 1, 1);
    assert.is(vcpu.dirtyRingFull, false, "the same page again");
    memory.setUint8(SOFT_LIMIT * PAGE, 1);
    assert.is(vcpu.dirtyRingFull, true);
    memory.clear((SOFT_LIMIT + 1) * PAGE, (RING_ENTRIES - SOFT_LIMIT + 1) * PAGE);
    const entries = Array.from({ length: RING_ENTRIES }, (_, page) => [2, page]);
    assert.equal(harvest(), bitmap ? entries : [...entries, "overflow"]);
    if (bitmap) assert.equal(dirtyPages(engine.getDirtyLog(2)), [RING_ENTRIES]);
    assert.equal(harvest(), []);
    vcpu.release();
  }
});

test("memory without a vCPU has no ring: its marks are the bitmap's, or an overflow", async () => {
  for (const bitmap of [false, true]) {
    const { engine, host, harvest } = await world(bitmap);
    const memory = guestMemory(engine, host);
    memory.setUint32(302 * PAGE - 2, 1, true);
    assert.equal(harvest(), bitmap ? [] : ["overflow"]);
    if (bitmap) assert.equal(dirtyPages(engine.getDirtyLog(3)), [0, 1]);
    memory.setUint8(303 * PAGE, 1);
    assert.equal(harvest(), []);
  }
});

test("in address space 1 entries carry its number; those of a cache are of address space 0", async () => {
  const { vcpu, memory, harvest } = await world(false);
  const smm = (vcpu: Vcpu, work: () => void) => {
    vcpu.asId = 1;
    work();
    vcpu.asId = 0;
  };
  const cache = memory.cache();
  cache.init(7 * PAGE, 8);
  vcpu.enter();
  smm(vcpu, () => memory.setUint8(3 * PAGE, 1));
  smm(vcpu, () => cache.write(Uint8Array.of(1)));
  smm(vcpu, () => memory.setUint8(4 * PAGE, 1));
  memory.setUint8(3 * PAGE, 1);
  assert.equal(harvest(), [
    [SMM | 5, 2],
    [2, 6],
    [SMM | 5, 3],
    [2, 2],
  ]);
  vcpu.release();
});

test.run();
