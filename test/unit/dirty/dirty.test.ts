/**
 * Dirty pages across lists: carried by host page, taken with the delete, seen by several consumers, never lost.
 */
import {
  DirtyConsumer,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_READONLY,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  markHostRangeDirty,
  mergeSlots,
  resizeSlot,
  type Slot,
  setReadonly,
  splitSlot,
  takeDirtyPages,
  takeDirtyPagesAsync,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CONSUMERS_MAX, RING_BYTES_MIN } from "../../../src/core/layout.js";
import { dirtyPages, hostPages } from "../../support/bitmap.js";
import { isA } from "../../support/errors.js";
import { throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { random } from "../../support/random.js";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 77);
console.log(`seed ${SEED}`);

async function logged(...regions: Slot[]): Promise<MemslotEngine> {
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
    const count = takeDirtyPages(engine, slot, into);
    if (count === 0) return taken;
    taken.push(...into.subarray(0, count));
  }
}

test("a split, a merge and a resize keep every dirty page that stays mapped", async () => {
  const engine = await logged(region(0, 100, 200, 1000, LOG));
  mark(engine, 100, 163, 164, 165, 227, 228, 299);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 165 * PAGE, 1));
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [0, 63, 64]);
  mark(engine, 101);
  engine.setUserMemoryRegionList(mergeSlots(engine.slot(0)!, engine.slot(1)!));
  mark(engine, 102);
  engine.setUserMemoryRegionList(resizeSlot(engine.slot(0)!, { start: 101 * PAGE, end: 400 * PAGE }));
  assert.equal(engine.slot(0), region(0, 101, 299, 1001, LOG));
  engine.setUserMemoryRegionList(setReadonly(engine.slot(0)!, true));
  assert.is(engine.slot(0)!.flags, 3);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [0, 1, 64, 126, 127, 198]);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), []);
  checkInvariants(engine);
});

test("dirty bits follow a host page to another slot and guest address, and no other host page", async () => {
  const engine = await logged(region(0, 0, 10, 1000, LOG), region(1, 50, 10, 2000, LOG));
  mark(engine, 3, 7, 52);
  engine.setUserMemoryRegionList([deletion(0), region(5, 900, 20, 997, LOG)]);
  assert.equal(dirtyPages(engine.getDirtyLog(5)), [6, 10]);
  engine.setUserMemoryRegionList([deletion(1), region(1, 50, 10, 3000, LOG)]);
  assert.equal(dirtyPages(engine.getDirtyLog(1)), []);
  mark(engine, 51);
  engine.setUserMemoryRegionList([deletion(1), region(slotNumber(1, 1), 50, 10, 3000, LOG)]);
  assert.equal(
    dirtyPages(engine.getDirtyLog(slotNumber(1, 0) | 1)),
    [],
    "address spaces have logs of their own",
  );
});

test("dirty bits are carried only from a logged slot to a logged slot", async () => {
  const engine = await logged(region(0, 0, 10, 1000, LOG), region(1, 50, 10, 2000));
  mark(engine, 1);
  engine.setUserMemoryRegionList([deletion(0), region(2, 0, 10, 1000)]);
  engine.setUserMemoryRegion(region(2, 0, 10, 1000, LOG));
  assert.equal(dirtyPages(engine.getDirtyLog(2)), []);
  engine.setUserMemoryRegionList([deletion(1), region(3, 50, 10, 2000, LOG)]);
  assert.equal(dirtyPages(engine.getDirtyLog(3)), []);
});

test("new aliases of a dirty host page get its bit, an old alias does not", async () => {
  const engine = await logged(region(0, 0, 4, 1000, LOG), region(1, 20, 4, 1000, LOG));
  mark(engine, 2);
  engine.setUserMemoryRegionList([deletion(0), region(2, 40, 4, 1000, LOG), region(3, 60, 2, 1002, LOG)]);
  assert.equal(
    [1, 2, 3].map((slot) => dirtyPages(engine.getDirtyLog(slot))),
    [[], [2], [0]],
  );
});

test("bits that an open section sets in the old layout are carried when it ends", async () => {
  const engine = await logged(region(0, 0, 100, 1000, LOG));
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.markDirty(5 * PAGE);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 50 * PAGE, 1));
  vcpu.markDirty(60 * PAGE);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [5]);
  assert.equal(dirtyPages(engine.getDirtyLog(1)), []);
  engine.setUserMemoryRegionList(splitSlot(engine.slot(1)!, 80 * PAGE, 2));
  vcpu.markDirty(90 * PAGE);
  vcpu.exit();
  engine.synchronize();
  assert.equal(dirtyPages(engine.getDirtyLog(1)), [10]);
  assert.equal(dirtyPages(engine.getDirtyLog(2)), [10], "over two commits");
  checkInvariants(engine);
});

test("takeDirtyPages takes what getDirtyLog would return, lowest first, as many as there is room for", async () => {
  for (const shared of [true, false]) {
    const engine = await MemslotEngine.create({ shared, maxSlots: 64 });
    engine.setUserMemoryRegionList([region(0, 0, 5003, 1000, LOG), region(1, 6000, 9, 2000)]);
    const told = [0, 1, 63, 64, 511, 512, 513, 4992, 5002];
    mark(engine, ...told);
    assert.is(takeDirtyPages(engine, 0, new Uint32Array(0)), 0);
    const into = new Uint32Array(4).fill(77);
    assert.is(takeDirtyPages(engine, 0, into.subarray(0, 3)), 3);
    assert.equal([...into], [0, 1, 63, 77]);
    assert.equal(dirtyPages(engine.getDirtyLog(0)), told.slice(3), "the others stay");
    mark(engine, ...told);
    assert.equal(takeAll(engine, 0, 1), told);
    assert.equal(dirtyPages(engine.getDirtyLog(0)), []);
    for (let gfn = 0; gfn < 5003; gfn++) engine.markDirty(gfn * PAGE);
    assert.is(takeAll(engine, 0, 5003).length, 5003, "more than one call of the core tells");
    engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
    mark(engine, 5, 6);
    const screen = new DirtyConsumer(engine, "screen");
    assert.equal(takeAll(engine, 0, 9), [5, 6], "taken with manual protection, too");
    mark(engine, 7);
    assert.equal(takeAll(engine, 0, 9), [7]);
    assert.equal(hostPages(screen.begin(), 1000), [7], "from KVM's log, and from no consumer");
    throwsErrno(() => takeDirtyPages(engine, 1, into), "ENOENT");
    throwsErrno(() => takeDirtyPages(engine, 2, into), "ENOENT");
    throwsErrno(() => takeDirtyPages(engine, 64, into), "EINVAL");
    throwsErrno(() => takeDirtyPages(engine, slotNumber(1, 0), into), "EINVAL");
    assert.throws(() => takeDirtyPages(engine, 0, [] as never), /pages must be a Uint32Array/);
    checkInvariants(engine);
  }
});

test("takeDirtyPages in random runs: each page once, ascending, none left", async () => {
  const rng = random(SEED);
  for (let run = 0; run < 60; run++) {
    const npages = 1 + rng.int(3000);
    const engine = await logged(region(0, 0, npages, 1000, LOG));
    if (rng.chance(0.3)) new DirtyConsumer(engine, "other");
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
  const engine = await logged(
    region(0, 0, 100, 1000, LOG),
    region(1, 200, 70, 2000, LOG),
    region(2, 300, 1, 3000),
  );
  mark(engine, 3, 99, 201, 269);
  const list = [deletion(0), region(0, 0, 50, 1000, LOG), deletion(1), deletion(2)];
  const { dirty, changed } = engine.setUserMemoryRegionList(list, { takeDirty: true, changed: true });
  assert.equal(
    dirty!.map(({ slot, guestPhysAddr, memorySize, bitmap }) => [
      slot,
      guestPhysAddr,
      memorySize,
      dirtyPages(bitmap),
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
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [3], "what stays is carried too");
  assert.equal(engine.setUserMemoryRegionList([], { takeDirty: true }).dirty, []);
  assert.throws(
    () => engine.setUserMemoryRegionList([], { takeDirty: true, wait: false }),
    /takeDirty needs wait/,
  );
  checkInvariants(engine);
});

test("the asynchronous takeDirty returns the same, and waits for sections of its own thread", async () => {
  for (const shared of [true, false]) {
    const engine = await MemslotEngine.create({ shared, maxSlots: 64 });
    engine.setUserMemoryRegionList([
      region(0, 0, 100, 1000, LOG),
      region(1, 200, 70, 2000, LOG),
      region(2, 300, 9, 3000, LOG),
    ]);
    const screen = new DirtyConsumer(engine, "screen");
    mark(engine, 1, 205);
    screen.begin();
    const vcpu = engine.vcpu();
    vcpu.enter();
    const deleted = [deletion(0), ...splitSlot(engine.slot(1)!, 230 * PAGE, 3)];
    const commit = engine.setUserMemoryRegionListAsync(deleted, { takeDirty: true, changed: true });
    assert.is(engine.slot(0), undefined, "published");
    vcpu.markDirty(99 * PAGE);
    throwsErrno(() => engine.getDirtyLog(2), "EBUSY");
    vcpu.markDirty(240 * PAGE);
    await engine.waitGenerationAsync(99, { timeout: 5 }).catch(() => {});
    vcpu.markDirty(2 * PAGE);
    vcpu.exit();
    const { dirty, changed, published } = await commit;
    assert.is(published, true);
    assert.equal(
      dirty!.map(({ slot, bitmap }) => [slot, dirtyPages(bitmap)]),
      [
        [0, [1, 2, 99]],
        [1, [5, 40]],
      ],
    );
    assert.equal(changed, [{ asId: 0, gpa: 0, bytes: 100 * PAGE }]);
    assert.equal(
      [dirtyPages(engine.getDirtyLog(1)), dirtyPages(engine.getDirtyLog(3))],
      [[5], [10]],
      "carried, too",
    );
    vcpu.release();
    const nothing = await engine.setUserMemoryRegionListAsync([], { takeDirty: true });
    assert.equal([nothing.published, nothing.dirty], [false, []]);
    checkInvariants(engine);
  }
});

test("the asynchronous takeDirty gives the lock back when it is refused or out of time", async () => {
  const engine = await logged(region(0, 0, 100, 1000, LOG), region(1, 200, 70, 2000, LOG));
  const error = async (list: Slot[], timeout: number) => {
    const options = { takeDirty: true, barrier: true, timeout };
    return engine.setUserMemoryRegionListAsync(list, options).then(
      () => undefined,
      (caught: unknown) => caught as KvmError,
    );
  };
  const bad = await error([deletion(0), region(5, 201, 1, 0, LOG)], 1000);
  assert.equal([bad?.code, bad?.index], ["EEXIST", 1]);
  engine.setUserMemoryRegionList([region(2, 400, 1, 1, LOG)]);
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.markDirty(3 * PAGE);
  const late = await error([deletion(0)], 10);
  assert.equal([late?.code, late?.published], ["ETIMEDOUT", true]);
  assert.equal(dirtyPages(late!.dirty![0]!.bitmap), [3], "so far");
  vcpu.markDirty(4 * PAGE);
  engine.setUserMemoryRegionList([region(0, 0, 100, 1000, LOG)], { wait: false });
  vcpu.exit();
  vcpu.release();
  engine.synchronize();
  assert.equal(engine.setUserMemoryRegionList([deletion(0)], { takeDirty: true }).dirty!.length, 1);
  checkInvariants(engine);
});

test("takeDirty is refused in a section of the calling thread, which could write on", async () => {
  const engine = await logged(region(0, 0, 100, 1000, LOG));
  const vcpu = engine.vcpu();
  vcpu.enter();
  const list = [deletion(0)];
  throwsErrno(() => engine.setUserMemoryRegionList(list, { takeDirty: true }), "EBUSY");
  assert.is(engine.generation(), 2, "nothing has happened");
  vcpu.markDirty(5 * PAGE);
  vcpu.exit();
  assert.equal(dirtyPages(engine.setUserMemoryRegionList(list, { takeDirty: true }).dirty![0]!.bitmap), [5]);
  checkInvariants(engine);
});

test("takeDirty returns KVM's log; a consumer is told of a slot that is gone, and takes nothing from it", async () => {
  const engine = await logged(region(0, 0, 100, 1000, LOG));
  const screen = new DirtyConsumer(engine, "screen");
  mark(engine, 1, 2);
  screen.begin();
  mark(engine, 3);
  engine.getDirtyLog(0);
  mark(engine, 4);
  const { dirty } = engine.setUserMemoryRegionList([deletion(0)], { takeDirty: true });
  assert.equal(dirtyPages(dirty![0]!.bitmap), [4]);
  assert.equal(screen.begin(), [{ hva: 1001 * PAGE, bytes: 4 * PAGE, guest: [] }]);
  screen.done();
  assert.equal(screen.begin(), []);
  checkInvariants(engine);
});

test("each consumer has its own view of the dirty pages, and so has KVM's log", async () => {
  const engine = await logged(region(0, 0, 100, 1000, LOG));
  const pages = (consumer: DirtyConsumer) => hostPages(consumer.begin(), 1000);
  mark(engine, 1);
  const screen = new DirtyConsumer(engine, "screen");
  const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
  mark(engine, 2);
  assert.equal(pages(screen), [2]);
  screen.done();
  assert.is(pages(migration).length, 100);
  migration.done();
  mark(engine, 3);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [1, 2, 3]);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), []);
  assert.equal(hostPages(screen.peek(), 1000), [3]);
  assert.equal(pages(screen), [3]);
  screen.abort();
  assert.equal(pages(new DirtyConsumer(engine, "screen")), [3], "the same name is the same consumer");
  assert.equal(pages(migration), [3]);
  mark(engine, 4);
  assert.equal(hostPages(migration.peek(), 1000), [3, 4], "pending and in flight");
  assert.equal(pages(migration), [3, 4], "a harvest that was never settled comes again");
  migration.done();
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 4 * PAGE, 1));
  assert.equal(pages(screen), [3, 4], "a split changes nothing, in flight and pending");
  assert.equal(pages(migration), []);
  assert.equal([dirtyPages(engine.getDirtyLog(0)), dirtyPages(engine.getDirtyLog(1))], [[], [0]]);
  engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
  mark(engine, 0, 1);
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [0, 1]);
  engine.clearDirtyLog(0, 0, 4, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
  assert.equal(dirtyPages(engine.getDirtyLog(0)), [1]);
  assert.equal(pages(migration), [0, 1]);
  checkInvariants(engine);
});

test("INITIALLY_SET is a promise of KVM's log, and not of a consumer that begins clean", async () => {
  const engine = await logged();
  engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3);
  const screen = new DirtyConsumer(engine, "screen");
  engine.setUserMemoryRegion(region(0, 0, 3, 1000, LOG));
  assert.equal([dirtyPages(engine.getDirtyLog(0)), screen.begin()], [[0, 1, 2], []]);
});

test("a bank that is switched away and back: no page is lost, and none is told twice", async () => {
  const bank = (n: number) => region(1, 0x100, 8, 8 * n, LOG);
  const show = (n: number) => [deletion(1), bank(n)];
  const engine = await logged(bank(1));
  mark(engine, 0x100);
  engine.setUserMemoryRegionList(show(0));
  const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
  const pass = () => {
    const pages = hostPages(migration.begin());
    migration.done();
    return pages;
  };
  assert.equal(pass(), [0, 1, 2, 3, 4, 5, 6, 7]);
  mark(engine, 0x101);
  engine.setUserMemoryRegionList(show(1));
  assert.equal(
    pass(),
    [1, 8, 9, 10, 11, 12, 13, 14, 15],
    "the write before the switch, and the bank that is new",
  );
  engine.setUserMemoryRegionList(show(0));
  assert.equal(pass(), [], "nothing was written");
  mark(engine, 0x107);
  engine.setUserMemoryRegion(deletion(1));
  engine.setUserMemoryRegion(bank(0));
  assert.equal(pass(), [7], "written, then unmapped");
  checkInvariants(engine);
});

test("what may have been written through a slot without a log is dirty for a consumer that wants all", async () => {
  const engine = await logged(region(0, 0, 4, 100, LOG));
  const careful = new DirtyConsumer(engine, "careful", { initially: "dirty" });
  const screen = new DirtyConsumer(engine, "screen");
  careful.begin();
  careful.done();
  engine.setUserMemoryRegionList([deletion(0), region(0, 0, 4, 100)]);
  engine.setUserMemoryRegionList([deletion(0), region(1, 2, 2, 102)]);
  engine.setUserMemoryRegionList([deletion(1), region(1, 2, 2, 102, KVM_MEM_READONLY)]);
  assert.equal(hostPages(careful.begin()), [100, 101, 102, 103]);
  careful.done();
  engine.setUserMemoryRegionList([deletion(1), region(1, 2, 2, 102, LOG)]);
  assert.equal([careful.begin(), screen.begin()], [[], []], "a READONLY slot writes nothing");
  engine.setUserMemoryRegion(region(1, 2, 2, 102));
  engine.setUserMemoryRegion(region(1, 2, 2, 102, LOG));
  assert.equal([hostPages(careful.begin()), screen.begin()], [[102, 103], []]);
  checkInvariants(engine);
});

test("two slots over one host page are one page, with both as its guest memory", async () => {
  const smm = slotNumber(1, 2);
  const engine = await logged(
    region(0, 0, 4, 100, LOG),
    region(1, 50, 4, 102, LOG),
    region(smm, 7, 2, 103, LOG),
  );
  const screen = new DirtyConsumer(engine, "screen");
  mark(engine, 2, 51);
  engine.markDirty(7 * PAGE, 1);
  assert.equal(screen.begin(), [
    {
      hva: 102 * PAGE,
      bytes: 2 * PAGE,
      guest: [
        { slot: 0, gpa: 2 * PAGE, bytes: 2 * PAGE },
        { slot: 1, gpa: 50 * PAGE, bytes: 2 * PAGE },
        { slot: smm, gpa: 7 * PAGE, bytes: PAGE },
      ],
    },
  ]);
  screen.done();
  markHostRangeDirty(engine, 100 * PAGE, 100 * PAGE + 1);
  markHostRangeDirty(engine, 104 * PAGE, 106 * PAGE);
  assert.equal(hostPages(screen.begin()), [100, 104, 105]);
  checkInvariants(engine);
});

test("a harvest, and its end, may be of a part of host memory", async () => {
  const engine = await logged(region(0, 0, 300, 1000, LOG), region(1, 500, 10, 5000, LOG));
  const screen = new DirtyConsumer(engine, "screen");
  mark(engine, 0, 63, 64, 129, 299, 505);
  const part = (page: number, npages: number) => ({ hva: page * PAGE, bytes: npages * PAGE });
  assert.equal(hostPages(screen.begin(part(1064, 66)), 1000), [64, 129]);
  assert.equal(hostPages(screen.begin({ hva: 1299 * PAGE + 5, bytes: 1 }), 1000), [299], "whole pages");
  screen.done(part(1129, 1));
  screen.abort(part(1000, 100));
  assert.equal(hostPages(screen.begin(part(1000, 130)), 1000), [0, 63, 64]);
  screen.done();
  assert.equal(hostPages(screen.begin()), [5005], "the rest was in flight, and has arrived");
  assert.throws(() => screen.begin({ hva: -1, bytes: 0 }), /part\.hva/);
  assert.throws(() => screen.begin({ hva: 0, bytes: 0, end: 1 } as never), /end/);
  checkInvariants(engine);
});

test("consumers are limited, named, and refused when they are closed", async () => {
  const engine = await logged(region(0, 0, 10, 1000, LOG));
  const consumers = Array.from(
    { length: CONSUMERS_MAX },
    (_, i) => new DirtyConsumer(engine, `consumer ${i}`),
  );
  throwsErrno(() => new DirtyConsumer(engine, "one too many"), "E2BIG");
  consumers[3]!.close();
  mark(engine, 4);
  const after = new DirtyConsumer(engine, "one that fits");
  assert.equal(after.begin(), [], "a place of its own, not the closed one's");
  const closed = consumers[3]!;
  for (const call of [() => closed.begin(), () => closed.peek(), () => closed.done(), () => closed.close()])
    throwsErrno(call, "EBADF");
  assert.throws(() => new DirtyConsumer(engine, "" as string), isA(TypeError));
  assert.throws(() => new DirtyConsumer(engine, "\u00e4".repeat(128)), /name must have 255 bytes/);
  assert.throws(() => new DirtyConsumer(engine, "x", { initially: "grey" as never }), /initially/);
  const ring = await MemslotEngine.create();
  ring.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES_MIN);
  throwsErrno(() => new DirtyConsumer(ring, "x"), "ENXIO");
  checkInvariants(engine);
  for (const consumer of [...consumers, after]) if (consumer !== closed) consumer.close();
  checkInvariants(engine);
  assert.equal(hostPages(new DirtyConsumer(engine, "consumer 0").begin()), [], "made anew, and clean");
});

test("host pages that come and go keep no memory once they are clean and nobody maps them", async () => {
  const engine = await MemslotEngine.create({ maxSlots: 8 });
  const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
  const held = () => engine.memory.buffer.byteLength;
  let steady = 0;
  for (let round = 0; round < 20_000; round++) {
    engine.setUserMemoryRegion(region(0, 0, 100, 1000 * round, LOG));
    migration.begin();
    migration.done();
    engine.setUserMemoryRegion(deletion(0));
    if (round === 5000) steady = held();
  }
  assert.is(held(), steady);
  checkInvariants(engine);
});

test("the forms that do not sleep wait for a writer, and do what the others do", async () => {
  const engine = await logged(region(0, 0, 100, 1000, LOG));
  mark(engine, 1);
  const vcpu = engine.vcpu();
  const held = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    vcpu.enter();
    // Keeps the lock until the section is over.
    const commit = engine.setUserMemoryRegionListAsync([region(1, 500, 1, 9, LOG), deletion(1)].slice(0, 1), {
      takeDirty: true,
    });
    throwsErrno(() => engine.getDirtyLog(0), "EBUSY");
    const result = call();
    vcpu.exit();
    await commit;
    engine.setUserMemoryRegion(deletion(1));
    return await result;
  };
  const screen = await held(() => DirtyConsumer.openAsync(engine, "screen"));
  assert.equal(dirtyPages(await held(() => engine.getDirtyLogAsync(0))), [1]);
  mark(engine, 2, 3);
  await held(() => engine.clearDirtyLogAsync(0, 0, 64, new Uint8Array([4, 0, 0, 0, 0, 0, 0, 0])));
  const pages = new Uint32Array(9);
  assert.equal([await held(() => takeDirtyPagesAsync(engine, 0, pages)), pages[0]], [1, 3]);
  assert.equal(hostPages(await held(() => screen.peekAsync()), 1000), [2, 3]);
  assert.equal(hostPages(await held(() => screen.beginAsync()), 1000), [2, 3]);
  await held(() => screen.abortAsync({ hva: 1002 * PAGE, bytes: PAGE }));
  await held(() => screen.doneAsync());
  assert.equal(hostPages(await held(() => screen.beginAsync()), 1000), [2]);
  await held(() => screen.closeAsync());
  throwsErrno(() => screen.begin(), "EBADF");
  vcpu.release();
  checkInvariants(engine);
  for (const call of [
    () => engine.getDirtyLogAsync(7),
    () => engine.clearDirtyLogAsync(7, 0, 0, new Uint8Array(0)),
    () => engine.resetDirtyRingsAsync(),
    () => takeDirtyPagesAsync(engine, 7, pages),
    () => screen.beginAsync(),
  ]) {
    const error = await call().then(
      () => undefined,
      (caught: unknown) => caught,
    );
    assert.ok(error instanceof KvmError, String(error));
  }
});

test("mergeSlots and resizeSlot refuse slots that do not fit", () => {
  const slot = region(0, 10, 10, 100, LOG);
  for (const gpa of [10 * PAGE, 20 * PAGE, 0]) assert.throws(() => splitSlot(slot, gpa, 1), isA(RangeError));
  for (const gpa of [Number.NaN, -PAGE, 12n as never])
    assert.throws(() => splitSlot(slot, gpa, 1), /^gpa must be an integer/);
  assert.throws(() => splitSlot(slot, 12 * PAGE, -1), isA(TypeError));
  assert.throws(() => mergeSlots(), isA(RangeError));
  assert.throws(() => mergeSlots(slot, region(1, 20, 5, 111, LOG)), isA(RangeError));
  assert.throws(() => mergeSlots(slot, region(1, 21, 5, 110, LOG)), isA(RangeError));
  assert.throws(() => mergeSlots(slot, region(1, 20, 5, 110)), isA(RangeError));
  assert.throws(() => resizeSlot(slot, { end: 10 * PAGE }), isA(RangeError));
  assert.throws(() => resizeSlot(region(0, 200, 10, 5, LOG), { start: 0 }), isA(RangeError));
});

/** Every page that was written since the last harvest is in the next one, whatever lists did to its slot. */
test("random lists over logged slots lose no page", async () => {
  const rng = random(SEED);
  const HOSTS = 400;
  for (let run = 0; run < 20; run++) {
    const engine = await MemslotEngine.create({ maxSlots: 64, shared: rng.chance(0.5) });
    const consumer = rng.chance(0.5) ? new DirtyConsumer(engine, "test") : undefined;
    engine.setUserMemoryRegion(region(0, 0, HOSTS, 1000, LOG));
    const written = new Set<number>();
    const harvested = new Set<number>();
    const harvest = () => {
      if (consumer !== undefined) {
        for (const page of hostPages(consumer.begin())) harvested.add(page);
        if (rng.chance(0.8)) consumer.done();
        else consumer.abort();
        return;
      }
      for (const { slot, userspaceAddr } of engine.slots()) {
        for (const page of dirtyPages(engine.getDirtyLog(slot))) harvested.add(userspaceAddr / PAGE + page);
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
