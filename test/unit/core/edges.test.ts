/**
 * Engines at the edges of a memory of 4 GiB: across 2 GiB, above it, and up to the last byte, where an address is
 * negative or 0 as a signed word. Every method answers there as anywhere, and the caller's bytes around it stay.
 */
import {
  checkEngine,
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  markHostRangeDirty,
  readersOf,
  record,
  takeDirtyPages,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwsErrno } from "../../support/implementation.js";

const GIB = 2 ** 30;
const WASM_PAGE = 65536;
const ALL_PAGES = 65536;
const SIZE = 0x80000;
/** Bytes that are looked at on either side of the engine. */
const MARGIN = 0x10000;
const CANARY = 0x5a;

const region = (slot: number, gpa: number, memorySize: number, flags = 0) => ({
  slot,
  flags,
  guestPhysAddr: gpa,
  memorySize,
  userspaceAddr: gpa,
});

/** One call of everything that hands out or takes an address of the engine's memory. */
function useAll(engine: MemslotEngine): void {
  const vcpu = engine.vcpu({ tlbEntries: 64 });
  const lines: string[] = [];
  const end = record(engine, (line) => lines.push(line), { blocks: { all: { host: 0, bytes: 2 ** 46 } } });
  const windows = [
    [
      { gpa: 0x900_0000, bytes: 8, device: 7, offset: 3 },
      { gpa: 0xa00_0000, bytes: 4, hva: 0x77, readonly: true },
    ],
  ];
  const list = Array.from({ length: 200 }, (_, i) => region(i, i * 0x10000, 0x2000, i % 2));
  const made = engine.setUserMemoryRegionList(list, { windows, changed: true });
  assert.is(made.changed!.length, 200);
  assert.equal(engine.windows(), windows[0]);
  assert.is(engine.slots().length, 200);
  assert.equal(engine.slot(7), region(7, 0x70000, 0x2000, LOG));
  assert.equal(engine.locate(0x900_0001), { device: 7, offset: 4 });
  assert.is(engine.hvaToGpas(0x10000, 0x10001)[0]!.gpa, 0x10000);
  assert.is(readersOf(engine).length, 2);
  assert.is(vcpu.enter(), true);
  assert.is(vcpu.gpaToHva(0x10004), 0x10004);
  assert.is(vcpu.gfnToSlot(0x20), 2);
  const gpas = Float64Array.from({ length: 130 }, (_, i) => i * 0x10000 + 8);
  const hvas = new Float64Array(130);
  vcpu.translate(gpas, hvas);
  assert.equal(hvas, gpas);
  vcpu.exit();
  engine.markDirty(0x10000);
  assert.is(markHostRangeDirty(engine, 0x31000, 0x31001), 1);
  assert.is(engine.getDirtyLog(1)[0], 1);
  const consumer = new DirtyConsumer(engine, "screen");
  engine.markDirty(0x51000);
  const taken = consumer.begin();
  assert.ok(
    taken.some(({ hva, bytes }) => hva <= 0x51000 && hva + bytes > 0x51000),
    "the consumer is told",
  );
  consumer.done();
  const pages = new Uint32Array(4);
  assert.is(takeDirtyPages(engine, 3, pages), 1);
  assert.is(pages[0], 1);
  engine.clearDirtyLog(3, 0, 2, new Uint8Array(8).fill(0xff));
  engine.markDirty(0x10000);
  const { dirty } = engine.setUserMemoryRegionList([region(1, 0, 0)], { takeDirty: true });
  assert.is(dirty![0]!.bitmap[0], 1);
  const descriptor = engine.createGuestMemfd(0x10000);
  engine.setMemoryAttributes({ address: 0x10000, size: 0x1000, attributes: 8 });
  assert.is(engine.memoryAttributes(0x10000), 8);
  engine.closeGuestMemfd(descriptor);
  end();
  assert.ok(lines.length > 200);
  vcpu.release();
  assert.equal(checkEngine(engine), []);
}

function margin(memory: WebAssembly.Memory, start: number): Uint8Array {
  const from = Math.max(0, start);
  return new Uint8Array(memory.buffer, from, Math.min(MARGIN, memory.buffer.byteLength - from));
}

for (const shared of [true, false]) {
  const kind = shared ? "shared" : "unshared";
  const places: [string, number][] = [
    ["across 2 GiB", 2 * GIB - SIZE / 2],
    ["from 2 GiB on", 2 * GIB],
    ["across 3 GiB", 3 * GIB - SIZE / 2],
    ["up to 4 GiB", 4 * GIB - SIZE],
  ];
  test(`${kind}: every method, and the bytes around, wherever the engine lies`, async () => {
    const memory = new WebAssembly.Memory({ initial: ALL_PAGES, maximum: ALL_PAGES, shared });
    for (const [where, base] of places) {
      // Behind the last byte come those at address 0, for an address that wraps.
      const around = [base - MARGIN, (base + SIZE) % (4 * GIB)].map((start) => margin(memory, start));
      for (const bytes of around) bytes.fill(CANARY);
      const engine = await MemslotEngine.create({ memory, base, size: SIZE });
      useAll(engine);
      throwsErrno(() => {
        for (let slot = 300; ; slot++) engine.setUserMemoryRegion(region(slot, slot * GIB, GIB, LOG));
      }, "ENOMEM");
      assert.equal(checkEngine(engine), [], where);
      assert.equal((await MemslotEngine.attach(engine.handle)).slots(), engine.slots(), where);
      for (const bytes of around)
        assert.ok(
          bytes.every((byte) => byte === CANARY),
          where,
        );
    }
  });

  test(`${kind}: a growing engine takes the last page of 4 GiB, and no byte more`, async () => {
    const memory = new WebAssembly.Memory({ initial: ALL_PAGES - 10, maximum: ALL_PAGES, shared });
    margin(memory, 0).fill(CANARY);
    const engine = await MemslotEngine.create({ memory });
    useAll(engine);
    throwsErrno(() => {
      for (let slot = 300; ; slot++) engine.setUserMemoryRegion(region(slot, slot * GIB, 2 ** 28, LOG));
    }, "ENOMEM");
    assert.is(memory.buffer.byteLength, ALL_PAGES * WASM_PAGE);
    assert.ok(margin(memory, 0).every((byte) => byte === CANARY));
    assert.equal(checkEngine(engine), []);
    for (const { guestPhysAddr, userspaceAddr } of engine.slots()) {
      assert.is(engine.gpaToHva(guestPhysAddr), userspaceAddr);
    }
  });
}

test("dirty rings above 2 GiB", async () => {
  const memory = new WebAssembly.Memory({ initial: ALL_PAGES, maximum: ALL_PAGES, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 4 * GIB - SIZE, size: SIZE, maxVcpus: 2 });
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  engine.setUserMemoryRegion(region(0, 0, 0x10000, LOG));
  const vcpu = engine.vcpu();
  vcpu.markDirty(0x3000);
  const { entries } = new DirtyRing(engine, vcpu.index).harvest();
  assert.equal(entries, [{ slot: 0, offset: 3, hva: 0x3000 }]);
  assert.is(engine.resetDirtyRings(), 1);
});

test("translate over the engine's own memory up to the last byte of 4 GiB", async () => {
  const memory = new WebAssembly.Memory({ initial: ALL_PAGES, maximum: ALL_PAGES, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 0x10000, size: SIZE });
  engine.setUserMemoryRegion(region(0, 0, 0x100000));
  const vcpu = engine.vcpu();
  for (const count of [1, 63, 64, 65, 130]) {
    const at = 4 * GIB - count * 8;
    const hvas = new Float64Array(memory.buffer, at, count);
    const gpas = new Float64Array(memory.buffer, 3 * GIB, count).map((_, i) => i * 16);
    new Float64Array(memory.buffer, 3 * GIB, count).set(gpas);
    vcpu.translate(new Float64Array(memory.buffer, 3 * GIB, count), hvas);
    assert.equal([...hvas], [...gpas], `${count} addresses`);
  }
});

test("pages that another thread grows meanwhile are not the engine's", async () => {
  const { grow } = WebAssembly.Memory.prototype;
  for (const base of [undefined, 0x10000]) {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 400, shared: true });
    let neighbour: number | undefined;
    memory.grow = (pages) => {
      if (neighbour === undefined && pages > 0) {
        neighbour = grow.call(memory, 1) * WASM_PAGE;
        new Uint8Array(memory.buffer, neighbour, WASM_PAGE).fill(CANARY);
      }
      return grow.call(memory, pages);
    };
    const created = MemslotEngine.create({ memory, base });
    if (base === undefined) useAll(await created);
    else
      await created.then(
        () => assert.unreachable(),
        (error) => assert.match(error.message, /another thread has grown/),
      );
    assert.ok(new Uint8Array(memory.buffer, neighbour!, WASM_PAGE).every((byte) => byte === CANARY));
  }
});

test.run();
