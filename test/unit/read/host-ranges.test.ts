/** From host bytes to guest pages: notifiers and dirty marks, against a walk over all slots, page by page. */
import {
  addHostNotifier,
  DirtyRing,
  type GuestRange,
  guestMemory,
  invalidateHostRange,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  markHostRangeDirty,
  KVM_MEM_READONLY as RO,
  type Slot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RING_BYTES_MIN } from "../../../src/core/layout.js";
import { dirtyPages } from "../../support/bitmap.js";
import { type Random, random } from "../../support/random.js";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 6);
console.log(`seed ${SEED}`);

const ADDRESS_SPACES = 3;
const HOST_PAGES = 24;
const WORLDS = 60;
const RANGES = 40;

/** Slots of all address spaces over a few host pages, so that most of these have aliases. */
function layout(rng: Random): Slot[] {
  return Array.from({ length: ADDRESS_SPACES }, (_, asId) => {
    let gfn = 0;
    return Array.from({ length: 1 + rng.int(8) }, (_, id) => {
      gfn += rng.int(3);
      const npages = 1 + rng.int(6);
      const slot = region((asId << 16) | id, gfn, npages, rng.int(HOST_PAGES - npages), rng.int(4));
      gfn += npages;
      return slot;
    });
  }).flat();
}

/** Host pages that bytes [start, end) touch. */
function isTouched(page: number, start: number, end: number): boolean {
  return start < end && start < (page + 1) * PAGE && page * PAGE < end;
}

interface Oracle {
  ranges: GuestRange[];
  /** Dirty pages of each slot with a log. */
  dirty: Map<number, number[]>;
}

/** By looking at every page of every slot. KVM's order: address space, host start, and for equal starts the id. */
function oracle(slots: readonly Slot[], start: number, end: number): Oracle {
  const ranges: GuestRange[] = [];
  const dirty = new Map<number, number[]>();
  const inOrder = [...slots].sort(
    (a, b) => (a.slot >> 16) - (b.slot >> 16) || a.userspaceAddr - b.userspaceAddr || a.slot - b.slot,
  );
  for (const { slot, flags, guestPhysAddr, memorySize, userspaceAddr } of inOrder) {
    const touched: number[] = [];
    for (let page = 0; page < memorySize / PAGE; page++) {
      if (isTouched(userspaceAddr / PAGE + page, start, end)) touched.push(page);
    }
    if (flags & LOG) dirty.set(slot, touched);
    if (touched.length > 0)
      ranges.push({ slot, gpa: guestPhysAddr + touched[0]! * PAGE, bytes: touched.length * PAGE });
  }
  return { ranges, dirty };
}

/** Ends on page borders, beside them, in the middle of pages; sometimes empty, sometimes the wrong way round. */
function hostRange(rng: Random): [start: number, end: number] {
  const address = () => Math.max(0, rng.int(HOST_PAGES + 2) * PAGE + rng.pick([0, -1, 1, rng.int(PAGE)]));
  const [a, b] = [address(), address()];
  return rng.chance(0.9) ? [Math.min(a, b), Math.max(a, b)] : [a, b];
}

interface HostSide {
  invalidate(start: number, end: number): { told: GuestRange[]; count: number };
  mark(start: number, end: number): number;
}

type Under = (engine: MemslotEngine) => HostSide;

const own: Under = (engine) => {
  const told: GuestRange[] = [];
  addHostNotifier(engine, (range) => told.push(range));
  return {
    invalidate(start, end) {
      const count = invalidateHostRange(engine, start, end);
      return { told: told.splice(0), count };
    },
    mark: (start, end) => markHostRangeDirty(engine, start, end),
  };
};

/** Random layouts and host ranges through `under`. @throws at the first difference from the oracle */
async function compareWithOracle(under: Under): Promise<number> {
  let ranges = 0;
  for (let world = 0; world < WORLDS; world++) {
    const rng = random(SEED * 1000 + world);
    const engine = await MemslotEngine.create({ addressSpaces: ADDRESS_SPACES, maxSlots: 16 });
    const host = under(engine);
    let slots: Slot[] = [];
    for (let i = 0; i < RANGES; i++) {
      if (i % 10 === 0) {
        const gone = slots.map((slot) => ({ ...slot, memorySize: 0 }));
        engine.setUserMemoryRegionList([...gone, ...(slots = layout(rng))]);
        // What the list carried over is not what is looked for.
        for (const { slot, flags } of slots) if (flags & LOG) engine.getDirtyLog(slot);
      }
      const [start, end] = hostRange(rng);
      const expected = oracle(slots, start, end);
      const { told, count } = host.invalidate(start, end);
      assert.equal(told, expected.ranges);
      assert.is(count, expected.ranges.length);
      assert.equal(engine.hvaToGpas(start, end), expected.ranges);
      const pages = [...expected.dirty.values()].reduce((sum, { length }) => sum + length, 0);
      assert.is(host.mark(start, end), pages);
      for (const [slot, dirty] of expected.dirty) assert.equal(dirtyPages(engine.getDirtyLog(slot)), dirty);
      ranges += told.length;
    }
    engine.close();
  }
  return ranges;
}

test("random host ranges over aliases in three address spaces are reported and marked as by the oracle", async () => {
  assert.ok((await compareWithOracle(own)) > WORLDS * RANGES);
});

/** Mistakes that the comparison above must find. */
const MISTAKES: Record<string, Under> = {
  "each host page told once": (engine) => {
    const right = own(engine);
    return {
      ...right,
      invalidate(start, end) {
        const { told } = right.invalidate(start, end);
        const first = told.filter(({ slot }, i) => told.findIndex((other) => other.slot === slot) === i);
        return { told: first.slice(0, 1), count: Math.min(first.length, 1) };
      },
    };
  },
  "ends rounded down": (engine) => {
    const right = own(engine);
    return { ...right, mark: (start, end) => right.mark(start, end - (end % PAGE)) };
  },
  "starts rounded up": (engine) => {
    const right = own(engine);
    return { ...right, mark: (start, end) => right.mark(Math.ceil(start / PAGE) * PAGE, end) };
  },
  "address spaces after another backwards": (engine) => {
    const right = own(engine);
    return {
      ...right,
      invalidate(start, end) {
        const { told, count } = right.invalidate(start, end);
        return { told: told.sort((a, b) => (b.slot >> 16) - (a.slot >> 16)), count };
      },
    };
  },
  "the first address space alone": (engine) => ({
    ...own(engine),
    mark(start, end) {
      const ranges = engine.hvaToGpas(start, end).filter(({ slot }) => slot < 0x1_0000);
      for (const { gpa, bytes } of ranges) {
        for (let at = 0; at < bytes; at += PAGE) engine.markDirty(gpa + at);
      }
      return ranges.reduce((sum, { bytes }) => sum + bytes / PAGE, 0);
    },
  }),
};

for (const [mistake, under] of Object.entries(MISTAKES)) {
  test(`the comparison finds: ${mistake}`, async () => {
    let found: unknown;
    await compareWithOracle(under).catch((error) => {
      found = error;
    });
    assert.ok(found instanceof assert.Assertion, String(found));
  });
}

test("after a device has written host memory, the dirty pages are all that a copy needs", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  // Host pages 4 .. 7 are guest pages 0 .. 3 and once more 16 .. 19, and a ROM's in the other address space.
  engine.setUserMemoryRegionList([
    region(0, 0, 4, 4, LOG),
    region(1, 16, 4, 4, LOG),
    region(slotNumber(1, 0), 8, 4, 4, LOG | RO),
    region(2, 32, 4, 4),
  ]);
  const host = new Uint8Array(8 * PAGE);
  const memory = guestMemory(engine, host.buffer);
  const copy = new Uint8Array(4 * PAGE);
  host.fill(0x5a, 5 * PAGE - 1, 5 * PAGE + 3);
  assert.is(markHostRangeDirty(engine, 5 * PAGE - 1, 5 * PAGE + 3), 6);
  for (const [slot, gfn] of [
    [0, 0],
    [1, 16],
  ] as const) {
    for (const page of dirtyPages(engine.getDirtyLog(slot))) {
      memory.read((gfn + page) * PAGE, copy.subarray(page * PAGE, (page + 1) * PAGE));
    }
    assert.equal(copy, host.subarray(4 * PAGE));
    copy.fill(0);
  }
  assert.equal(dirtyPages(engine.getDirtyLog(1 << 16)), [0, 1], "what the guest may not write, the host may");
});

test("with dirty rings, a write to a host range is an overflow", async () => {
  const engine = await MemslotEngine.create();
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES_MIN);
  engine.setUserMemoryRegionList([region(0, 0, 4, 0, LOG), region(1, 8, 4, 8)]);
  const vcpu = engine.vcpu();
  assert.is(markHostRangeDirty(engine, 8 * PAGE, 12 * PAGE), 0);
  assert.equal(new DirtyRing(engine, vcpu.index).harvest(), { entries: [], overflow: false });
  assert.is(markHostRangeDirty(engine, PAGE, PAGE + 1), 1);
  assert.equal(new DirtyRing(engine, vcpu.index).harvest(), { entries: [], overflow: true });
});

test("notifiers run in the order of their registration, can be removed, and see one layout", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(3, 0, 1, 5), region(1, 4, 1, 5)]);
  const told: string[] = [];
  const take = addHostNotifier(engine, ({ slot }) => {
    told.push(`a${slot}`);
    // A commit from within is not seen by the rest of this walk.
    if (slot === 1) engine.setUserMemoryRegion(deletion(3));
  });
  const same = ({ slot }: GuestRange): void => {
    told.push(`b${slot}`);
  };
  const takes = [addHostNotifier(engine, same), addHostNotifier(engine, same)];
  assert.is(invalidateHostRange(engine, 5 * PAGE, 5 * PAGE + 1), 2);
  assert.equal(told.splice(0), ["a1", "b1", "b1", "a3", "b3", "b3"]);
  take();
  takes[0]!();
  takes[0]!();
  assert.is(invalidateHostRange(engine, 5 * PAGE, 5 * PAGE + 1), 1);
  assert.equal(told.splice(0), ["b1"]);
  assert.is(invalidateHostRange(engine, 9 * PAGE, 10 * PAGE), 0);
  assert.equal(told, []);
});

test("the first error of a notifier reaches the caller once all are told, and the section ends", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 1, 0), region(1, 1, 1, 0)]);
  let calls = 0;
  addHostNotifier(engine, () => {
    calls++;
    throw new Error(`full ${calls}`);
  });
  let others = 0;
  addHostNotifier(engine, () => others++);
  assert.throws(() => invalidateHostRange(engine, 0, 1), /^full 1$/);
  assert.equal([calls, others], [2, 2], "both aliases, both notifiers");
  engine.setUserMemoryRegion(deletion(0));
  assert.is(engine.gpaToHva(0), -1, "the thread's lookups are of the new layout");
});

test("a bad argument is named, and nothing happens", async () => {
  const engine = await MemslotEngine.create();
  const calls = [
    (start: number, end: number) => engine.hvaToGpas(start, end),
    (start: number, end: number) => invalidateHostRange(engine, start, end),
    (start: number, end: number) => markHostRangeDirty(engine, start, end),
  ];
  for (const call of calls) {
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 53, "0", 1n, undefined] as never[]) {
      assert.throws(
        () => call(bad, 4),
        (error: unknown) => error instanceof TypeError && /^start must be/.test(error.message),
      );
      assert.throws(
        () => call(0, bad),
        (error: unknown) => error instanceof TypeError && /^end must be/.test(error.message),
      );
    }
  }
  assert.throws(
    () => addHostNotifier(engine, {} as never),
    (error: unknown) => error instanceof TypeError && /^notify must be a function/.test(error.message),
  );
});

test.run();
