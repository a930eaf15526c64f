/**
 * Dirty pages across lists: carried by host page, taken with the delete, seen by several consumers, lost
 * never.
 */
import {
  type ERRNO,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KvmError,
  type MappedRegion,
  MemslotEngine,
  mergeSlots,
  resizeSlot,
  setReadonly,
  splitSlot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkInvariants } from "../support/invariants.js";
import { random } from "../support/random.js";

const PAGE = 4096;
const SEED = Number(process.env.SEED ?? 77);
console.log(`seed ${SEED}`);

function region(slot: number, gfn: number, npages: number, host: number, flags = 1): MappedRegion {
  return { slot, flags, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

function pages(bitmap: Uint8Array): number[] {
  return Array.from({ length: bitmap.length * 8 }, (_, i) => i).filter(
    (i) => bitmap[i >> 3]! & (1 << (i & 7)),
  );
}

function refused(code: keyof typeof ERRNO): (error: unknown) => boolean {
  return (error) => error instanceof KvmError && error.code === code;
}

async function logged(...regions: MappedRegion[]): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 64 });
  engine.setUserMemoryRegionList(regions);
  return engine;
}

function mark(engine: MemslotEngine, ...gfns: number[]): void {
  for (const gfn of gfns) engine.markDirty(gfn * PAGE);
}

/** All dirty pages of a slot by takeDirtyPages, `room` at a time. */
function takeAll(engine: MemslotEngine, slot: number, room: number): number[] {
  const taken: number[] = [];
  const into = new Uint32Array(room);
  for (;;) {
    const count = engine.takeDirtyPages(slot, into);
    if (count === 0) return taken;
    taken.push(...into.subarray(0, count));
  }
}

test("a split, a merge and a resize keep every dirty page that stays mapped", async () => {
  const engine = await logged(region(0, 100, 200, 1000));
  mark(engine, 100, 163, 164, 165, 227, 228, 299);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 165 * PAGE, 1));
  assert.equal(pages(engine.getDirtyLog(0)), [0, 63, 64]);
  mark(engine, 101);
  engine.setUserMemoryRegionList(mergeSlots(engine.slot(0)!, engine.slot(1)!));
  mark(engine, 102);
  engine.setUserMemoryRegionList(resizeSlot(engine.slot(0)!, { start: 101 * PAGE, end: 400 * PAGE }));
  assert.equal(engine.slot(0), region(0, 101, 299, 1001));
  engine.setUserMemoryRegionList(setReadonly(engine.slot(0)!, true));
  assert.is(engine.slot(0)!.flags, 3);
  assert.equal(pages(engine.getDirtyLog(0)), [0, 1, 64, 126, 127, 198]);
  assert.equal(pages(engine.getDirtyLog(0)), []);
  checkInvariants(engine);
});

test("another slot id, another guest address, the same host page: carried; another host page: not", async () => {
  const engine = await logged(region(0, 0, 10, 1000), region(1, 50, 10, 2000));
  mark(engine, 3, 7, 52);
  engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(5, 900, 20, 997)]);
  assert.equal(pages(engine.getDirtyLog(5)), [6, 10]);
  engine.setUserMemoryRegionList([region(1, 0, 0, 0), region(1, 50, 10, 3000)]);
  assert.equal(pages(engine.getDirtyLog(1)), []);
  mark(engine, 51);
  engine.setUserMemoryRegionList([region(1, 0, 0, 0), region((1 << 16) | 1, 50, 10, 3000)]);
  assert.equal(pages(engine.getDirtyLog((1 << 16) | 1)), [], "address spaces have logs of their own");
});

test("only what had a log and has one is carried", async () => {
  const engine = await logged(region(0, 0, 10, 1000), region(1, 50, 10, 2000, 0));
  mark(engine, 1);
  engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(2, 0, 10, 1000, 0)]);
  engine.setUserMemoryRegion(region(2, 0, 10, 1000, 1));
  assert.equal(pages(engine.getDirtyLog(2)), []);
  engine.setUserMemoryRegionList([region(1, 0, 0, 0), region(3, 50, 10, 2000, 1)]);
  assert.equal(pages(engine.getDirtyLog(3)), []);
});

test("aliases that begin get the bit, one that was there keeps to itself", async () => {
  const engine = await logged(region(0, 0, 4, 1000), region(1, 20, 4, 1000));
  mark(engine, 2);
  engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(2, 40, 4, 1000), region(3, 60, 2, 1002)]);
  assert.equal(
    [1, 2, 3].map((slot) => pages(engine.getDirtyLog(slot))),
    [[], [2], [0]],
  );
});

test("bits that an open section sets in the old layout are carried when it ends", async () => {
  const engine = await logged(region(0, 0, 100, 1000));
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.markDirty(5 * PAGE);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 50 * PAGE, 1));
  vcpu.markDirty(60 * PAGE);
  assert.equal(pages(engine.getDirtyLog(0)), [5]);
  assert.equal(pages(engine.getDirtyLog(1)), []);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(1)!, 80 * PAGE, 2));
  vcpu.markDirty(90 * PAGE);
  vcpu.exit();
  engine.synchronize();
  assert.equal(pages(engine.getDirtyLog(1)), [10]);
  assert.equal(pages(engine.getDirtyLog(2)), [10], "over two commits");
  checkInvariants(engine);
});

test("takeDirtyPages takes what getDirtyLog would tell, lowest first, as many as there is room for", async () => {
  for (const shared of [true, false]) {
    const engine = await MemslotEngine.create({ shared, maxSlots: 64 });
    engine.setUserMemoryRegionList([region(0, 0, 5003, 1000), region(1, 6000, 9, 2000, 0)]);
    const told = [0, 1, 63, 64, 511, 512, 513, 4992, 5002];
    mark(engine, ...told);
    assert.is(engine.takeDirtyPages(0, new Uint32Array(0)), 0);
    const into = new Uint32Array(4).fill(77);
    assert.is(engine.takeDirtyPages(0, into.subarray(0, 3)), 3);
    assert.equal([...into], [0, 1, 63, 77]);
    assert.equal(pages(engine.getDirtyLog(0)), told.slice(3), "the others stay");
    mark(engine, ...told);
    assert.equal(takeAll(engine, 0, 1), told);
    assert.equal(pages(engine.getDirtyLog(0)), []);
    for (let gfn = 0; gfn < 5003; gfn++) engine.markDirty(gfn * PAGE);
    assert.is(takeAll(engine, 0, 5003).length, 5003, "more than one call of the core tells");
    engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
    mark(engine, 5, 6);
    const screen = engine.dirtyConsumer("screen");
    assert.equal(takeAll(engine, 0, 9), [5, 6], "taken with manual protection, too");
    mark(engine, 7);
    assert.equal(takeAll(engine, 0, 9), [7]);
    assert.equal(pages(screen.begin(0)), [7], "from KVM's log, and from no consumer");
    assert.throws(() => engine.takeDirtyPages(1, into), refused("ENOENT"));
    assert.throws(() => engine.takeDirtyPages(2, into), refused("ENOENT"));
    assert.throws(() => engine.takeDirtyPages(64, into), refused("EINVAL"));
    assert.throws(() => engine.takeDirtyPages(1 << 16, into), refused("EINVAL"));
    assert.throws(() => engine.takeDirtyPages(0, [] as never), /pages must be a Uint32Array/);
    checkInvariants(engine);
  }
});

test("takeDirtyPages in random runs: each page once, ascending, none left", async () => {
  const rng = random(SEED);
  for (let run = 0; run < 60; run++) {
    const npages = 1 + rng.int(3000);
    const engine = await logged(region(0, 0, npages, 1000));
    if (rng.chance(0.3)) engine.dirtyConsumer("other");
    const dirty = new Set(Array.from({ length: rng.int(2 * npages) }, () => rng.int(npages)));
    mark(engine, ...dirty);
    const taken = takeAll(engine, 0, 1 + rng.int(rng.chance(0.5) ? 10 : 2000));
    assert.equal(
      taken,
      [...dirty].sort((a, b) => a - b),
    );
  }
});

test("takeDirty returns the last log of every slot whose log ends", async () => {
  const engine = await logged(region(0, 0, 100, 1000), region(1, 200, 70, 2000), region(2, 300, 1, 3000, 0));
  mark(engine, 3, 99, 201, 269);
  const list = [region(0, 0, 0, 0), region(0, 0, 50, 1000), region(1, 0, 0, 0), region(2, 0, 0, 0)];
  const { dirty, changed } = engine.setUserMemoryRegionList(list, { takeDirty: true, changed: true });
  assert.equal(
    dirty!.map(({ slot, guestPhysAddr, memorySize, bitmap }) => [
      slot,
      guestPhysAddr,
      memorySize,
      pages(bitmap),
    ]),
    [
      [0, 0, 100 * PAGE, [3, 99]],
      [1, 200 * PAGE, 70 * PAGE, [1, 69]],
    ],
  );
  assert.equal(
    changed!.map(({ gpa, bytes }) => [gpa / PAGE, bytes / PAGE]),
    [
      [50, 50],
      [200, 70],
      [300, 1],
    ],
  );
  assert.equal(pages(engine.getDirtyLog(0)), [3], "what stays is carried too");
  assert.equal(engine.setUserMemoryRegionList([], { takeDirty: true }).dirty, []);
  assert.throws(
    () => engine.setUserMemoryRegionList([], { takeDirty: true, wait: false }),
    /takeDirty needs wait/,
  );
  checkInvariants(engine);
});

test("takeDirty without sleeping answers the same, and waits for sections of its own thread", async () => {
  for (const shared of [true, false]) {
    const engine = await MemslotEngine.create({ shared, maxSlots: 64 });
    engine.setUserMemoryRegionList([
      region(0, 0, 100, 1000),
      region(1, 200, 70, 2000),
      region(2, 300, 9, 3000),
    ]);
    const screen = engine.dirtyConsumer("screen");
    mark(engine, 1, 205);
    screen.begin(0);
    const vcpu = engine.vcpu();
    vcpu.enter();
    const deleted = [region(0, 0, 0, 0), ...splitSlot(engine.slot(1)!, 230 * PAGE, 3)];
    const commit = engine.setUserMemoryRegionListAsync(deleted, { takeDirty: true, changed: true });
    assert.is(engine.slot(0), undefined, "published");
    vcpu.markDirty(99 * PAGE);
    assert.throws(() => engine.getDirtyLog(2), refused("EBUSY"));
    vcpu.markDirty(240 * PAGE);
    await engine.waitGenerationAsync(99, { timeout: 5 }).catch(() => {});
    vcpu.markDirty(2 * PAGE);
    vcpu.exit();
    const { dirty, changed, published } = await commit;
    assert.is(published, true);
    assert.equal(
      dirty!.map(({ slot, bitmap }) => [slot, pages(bitmap)]),
      [
        [0, [1, 2, 99]],
        [1, [5, 40]],
      ],
    );
    assert.equal(changed, [{ asId: 0, gpa: 0, bytes: 100 * PAGE }]);
    assert.equal([pages(engine.getDirtyLog(1)), pages(engine.getDirtyLog(3))], [[5], [10]], "carried, too");
    vcpu.release();
    const nothing = await engine.setUserMemoryRegionListAsync([], { takeDirty: true });
    assert.equal([nothing.published, nothing.dirty], [false, []]);
    checkInvariants(engine);
  }
});

test("takeDirty without sleeping that is refused, or runs out of time, gives the lock back", async () => {
  const engine = await logged(region(0, 0, 100, 1000), region(1, 200, 70, 2000));
  const error = async (list: MappedRegion[], timeout: number) => {
    const options = { takeDirty: true, barrier: true, timeout };
    return engine.setUserMemoryRegionListAsync(list, options).then(
      () => undefined,
      (caught: unknown) => caught as KvmError,
    );
  };
  const bad = await error([region(0, 0, 0, 0), region(5, 201, 1, 0)], 1000);
  assert.equal([bad?.code, bad?.index], ["EEXIST", 1]);
  engine.setUserMemoryRegionList([region(2, 400, 1, 1)]);
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.markDirty(3 * PAGE);
  const late = await error([region(0, 0, 0, 0)], 10);
  assert.equal([late?.code, late?.published], ["ETIMEDOUT", true]);
  assert.equal(pages(late!.dirty![0]!.bitmap), [3], "so far");
  vcpu.markDirty(4 * PAGE);
  engine.setUserMemoryRegionList([region(0, 0, 100, 1000)], { wait: false });
  vcpu.exit();
  vcpu.release();
  engine.synchronize();
  assert.equal(engine.setUserMemoryRegionList([region(0, 0, 0, 0)], { takeDirty: true }).dirty!.length, 1);
  checkInvariants(engine);
});

test("takeDirty is refused in a section of the calling thread, which could write on", async () => {
  const engine = await logged(region(0, 0, 100, 1000));
  const vcpu = engine.vcpu();
  vcpu.enter();
  const list = [region(0, 0, 0, 0)];
  assert.throws(() => engine.setUserMemoryRegionList(list, { takeDirty: true }), refused("EBUSY"));
  assert.is(engine.generation(), 2, "nothing has happened");
  vcpu.markDirty(5 * PAGE);
  vcpu.exit();
  assert.equal(pages(engine.setUserMemoryRegionList(list, { takeDirty: true }).dirty![0]!.bitmap), [5]);
  checkInvariants(engine);
});

test("takeDirty hands out what is dirty for any consumer", async () => {
  const engine = await logged(region(0, 0, 100, 1000));
  const screen = engine.dirtyConsumer("screen");
  mark(engine, 1, 2);
  screen.begin(0);
  mark(engine, 3);
  engine.getDirtyLog(0);
  mark(engine, 4);
  const { dirty } = engine.setUserMemoryRegionList([region(0, 0, 0, 0)], { takeDirty: true });
  assert.equal(pages(dirty![0]!.bitmap), [1, 2, 3, 4]);
  checkInvariants(engine);
});

test("consumers have views of their own, and KVM's log is one of them", async () => {
  const engine = await logged(region(0, 0, 100, 1000));
  mark(engine, 1);
  const screen = engine.dirtyConsumer("screen");
  const migration = engine.dirtyConsumer("migration", { initially: "dirty" });
  mark(engine, 2);
  assert.equal(pages(screen.begin(0)), [2]);
  screen.commit(0);
  assert.is(pages(migration.begin(0)).length, 100);
  migration.commit(0);
  mark(engine, 3);
  assert.equal(pages(engine.getDirtyLog(0)), [1, 2, 3]);
  assert.equal(pages(engine.getDirtyLog(0)), []);
  assert.equal(pages(screen.begin(0)), [3]);
  screen.abort(0);
  assert.equal(pages(engine.dirtyConsumer("screen").begin(0)), [3], "the same name is the same consumer");
  assert.equal(pages(migration.begin(0)), [3]);
  mark(engine, 4);
  assert.equal(pages(migration.begin(0)), [3, 4], "a harvest that was never settled comes again");
  migration.commit(0);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 4 * PAGE, 1));
  assert.equal(
    [pages(screen.begin(0)), pages(screen.begin(1))],
    [[3], [0]],
    "in flight and pending are carried",
  );
  assert.equal([pages(migration.begin(0)), pages(migration.begin(1))], [[], []]);
  assert.equal([pages(engine.getDirtyLog(0)), pages(engine.getDirtyLog(1))], [[], [0]]);
  engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
  mark(engine, 0, 1);
  assert.equal(pages(engine.getDirtyLog(0)), [0, 1]);
  engine.clearDirtyLog(0, 0, 4, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
  assert.equal(pages(engine.getDirtyLog(0)), [1]);
  assert.equal(pages(migration.begin(0)), [0, 1]);
  checkInvariants(engine);
});

test("consumers are limited, named, and refused as KVM refuses", async () => {
  const engine = await logged(region(0, 0, 10, 1000));
  const consumers = Array.from({ length: 8 }, (_, i) => engine.dirtyConsumer(`consumer ${i}`));
  assert.throws(() => engine.dirtyConsumer("one too many"), refused("E2BIG"));
  consumers[3]!.close();
  mark(engine, 4);
  assert.equal(
    pages(engine.dirtyConsumer("one that fits").begin(0)),
    [],
    "a place of its own, not the closed one's",
  );
  assert.throws(() => consumers[0]!.begin(7), refused("ENOENT"));
  assert.throws(() => consumers[0]!.commit(0xffff), refused("EINVAL"));
  assert.throws(() => engine.dirtyConsumer("" as string), TypeError);
  assert.throws(() => engine.dirtyConsumer("x", { initially: "grey" as never }), /initially/);
  const ring = await MemslotEngine.create();
  ring.enableCap(192, 4096);
  assert.throws(() => ring.dirtyConsumer("x"), refused("ENXIO"));
  checkInvariants(engine);
});

test("helpers refuse what cannot be", () => {
  const slot = region(0, 10, 10, 100);
  for (const gpa of [10 * PAGE, 20 * PAGE, 0, Number.NaN])
    assert.throws(() => splitSlot(slot, gpa, 1), RangeError);
  assert.throws(() => splitSlot(slot, 12 * PAGE, -1), TypeError);
  assert.throws(() => mergeSlots(), RangeError);
  assert.throws(() => mergeSlots(slot, region(1, 20, 5, 111)), RangeError);
  assert.throws(() => mergeSlots(slot, region(1, 21, 5, 110)), RangeError);
  assert.throws(() => mergeSlots(slot, region(1, 20, 5, 110, 0)), RangeError);
  assert.throws(() => resizeSlot(slot, { end: 10 * PAGE }), RangeError);
  assert.throws(() => resizeSlot(region(0, 200, 10, 5), { start: 0 }), RangeError);
});

/** Every page that was written since the last harvest is in the next one, whatever lists did to its slot. */
test("random lists over logged slots lose no page", async () => {
  const rng = random(SEED);
  const HOSTS = 400;
  for (let run = 0; run < 20; run++) {
    const engine = await MemslotEngine.create({ maxSlots: 64, shared: rng.chance(0.5) });
    const consumer = rng.chance(0.5) ? engine.dirtyConsumer("test") : undefined;
    engine.setUserMemoryRegion(region(0, 0, HOSTS, 1000));
    const written = new Set<number>();
    const harvested = new Set<number>();
    const harvest = () => {
      for (const { slot, userspaceAddr } of engine.slots()) {
        const log = consumer?.begin(slot) ?? engine.getDirtyLog(slot);
        for (const page of pages(log)) harvested.add(userspaceAddr / PAGE + page);
        if (rng.chance(0.8)) consumer?.commit(slot);
        else consumer?.abort(slot);
      }
    };
    for (let step = 0; step < 100; step++) {
      for (let i = 0; i < 8; i++) {
        const { guestPhysAddr, memorySize, userspaceAddr } = rng.pick(engine.slots());
        const page = rng.int(memorySize / PAGE);
        engine.markDirty(guestPhysAddr + page * PAGE);
        written.add(userspaceAddr / PAGE + page);
      }
      const slots = engine.slots();
      const slot = rng.pick(slots);
      const after = slots[slots.indexOf(slot) + 1];
      const free = Array.from({ length: 64 }, (_, i) => i).find((i) => engine.slot(i) === undefined);
      if (rng.chance(0.5) && free !== undefined && slot.memorySize > PAGE) {
        const cut = slot.guestPhysAddr + (1 + rng.int(slot.memorySize / PAGE - 1)) * PAGE;
        engine.setUserMemoryRegionList(splitSlot(slot, cut, free));
      } else if (after !== undefined && after.guestPhysAddr === slot.guestPhysAddr + slot.memorySize) {
        engine.setUserMemoryRegionList(mergeSlots(slot, after));
      }
      if (rng.chance(0.2)) harvest();
    }
    harvest();
    const lost = [...written].filter((host) => !harvested.has(host));
    assert.equal(lost, [], `run ${run}`);
    assert.equal(
      [...harvested].filter((host) => !written.has(host)),
      [],
      "and nothing else",
    );
    checkInvariants(engine);
  }
});

test.run();
