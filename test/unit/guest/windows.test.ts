/** Windows over slots, mirrors, permissions and edits: what a map of them is for the accesses of a guest. */
import {
  deleteSlot,
  freeSlotNumbers,
  guestMemory,
  HVA_BAD,
  HVA_MMIO,
  KVM_CAP_MEMORY_ATTRIBUTES,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type MmioWindow,
  markHostRangeDirty,
  KVM_MEMORY_ATTRIBUTE_NR as NR,
  KVM_MEMORY_ATTRIBUTE_NW as NW,
  KVM_MEMORY_ATTRIBUTE_NX as NX,
  protectRange,
  KVM_MEM_READONLY as RO,
  type Slot,
  type WindowChange,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { random } from "../../support/random.js";
import { PAGE, region } from "../../support/region.js";

const efault = (kind: string) => (error: { code?: string; hole?: { kind: string } }) =>
  error.code === "EFAULT" && error.hole?.kind === kind;

/** One slot of 4 pages with a log, and windows. */
async function world(windows: MmioWindow[], flags = LOG) {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegionList([region(0, 0, 4, 0, flags)], { windows: [windows] });
  const host = new SharedArrayBuffer(8 * PAGE);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host, { vcpu, devices: { 3: { read: (at) => at, write() {} } } });
  return { engine, vcpu, memory, host: new Uint8Array(host) };
}

test("memory in the page of a device that is over its slot is memory in every respect", async () => {
  const { engine, vcpu, memory } = await world([{ gpa: PAGE, bytes: 8, device: 3, over: true }]);
  assert.is(engine.gpaToHva(PAGE), HVA_BAD);
  assert.is(engine.gpaToHva(PAGE + 8), PAGE + 8);
  assert.is(engine.resolve(PAGE + 7), HVA_MMIO);
  assert.is(engine.gpaToHvaRead(PAGE - 1), PAGE - 1);
  const [gpas, hvas] = [Float64Array.of(0, PAGE + 7, PAGE + 8, 2 * PAGE), new Float64Array(4)];
  vcpu.translate(gpas, hvas);
  assert.equal([...hvas], [0, HVA_BAD, PAGE + 8, 2 * PAGE]);
  memory.setUint32(PAGE + 8, 1);
  assert.equal([...engine.getDirtyLog(0)].slice(0, 1), [2]);
  assert.is(memory.atomics.exchange(PAGE + 16, 32, 5), 0);
  assert.is(memory.atomics.load(PAGE + 16, 32), 5);
  assert.equal([...engine.getDirtyLog(0)].slice(0, 1), [2]);
  assert.is(markHostRangeDirty(engine, PAGE + 9, PAGE + 10), 1);
  assert.is(engine.hvaToGpas(PAGE + 9, PAGE + 10).length, 1);
  const block = new Uint8Array(PAGE - 8).fill(7);
  assert.is(memory.write(PAGE + 8, block), block.length);
  assert.is(memory.read(PAGE + 8, new Uint8ClampedArray(block.length)), block.length);
  assert.throws(() => memory.read(PAGE, new Uint8Array(9)), efault("device"));
  assert.is(memory.getUint32(PAGE), 0);
});

test("host memory over a logged slot is dirty with the slot's page", async () => {
  const { engine, memory, host, vcpu } = await world([
    { gpa: 2 * PAGE + 3, bytes: 5, hva: 5 * PAGE + 1, over: true },
  ]);
  memory.setUint8(2 * PAGE + 7, 9);
  assert.is(host[5 * PAGE + 5], 9);
  assert.is(engine.getDirtyLog(0)[0], 4);
  vcpu.enter();
  memory.setUint16(2 * PAGE + 3, 9);
  engine.getDirtyLog(0);
  memory.setUint16(2 * PAGE + 3, 10);
  vcpu.exit();
  assert.is(engine.getDirtyLog(0)[0], 4, "marked again when the section ends");
});

test("a TLB enters no page that a window covers, and no access that is forbidden", async () => {
  const { engine } = await world([{ gpa: PAGE, bytes: 8, device: 3, over: true }]);
  engine.setMemoryAttributes({ address: 2 * PAGE, size: PAGE, attributes: NW });
  const vcpu = engine.vcpu({ tlbEntries: 64 });
  const { exports } = new WebAssembly.Instance(engine.handle.module, { env: { memory: engine.memory } });
  const { fillTlb, tlbOf } = exports as Record<string, (...args: number[]) => number>;
  const words = () => new BigUint64Array(engine.memory.buffer, tlbOf!(vcpu.reader) + 32, 64 * 4);
  const entered = (gpa: number) => words().includes(BigInt(gpa));
  vcpu.enter();
  assert.is(fillTlb!(vcpu.reader, 8, 1), 8);
  assert.is(fillTlb!(vcpu.reader, PAGE + 8, 0), PAGE + 8);
  assert.is(fillTlb!(vcpu.reader, PAGE, 0), HVA_MMIO);
  assert.is(fillTlb!(vcpu.reader, 2 * PAGE + 5, 1), -4);
  assert.not(entered(PAGE));
  assert.not(entered(2 * PAGE));
  assert.is(fillTlb!(vcpu.reader, 2 * PAGE + 5, 0), 2 * PAGE + 5);
  assert.ok(entered(2 * PAGE));
  vcpu.exit();
});

test("with changed, windows over slots change whole address spaces", async () => {
  const { engine } = await world([]);
  const add = { gpa: PAGE, bytes: 8, device: 3 };
  const changed = (windowChanges: WindowChange[]) =>
    engine.setUserMemoryRegionList([], { windowChanges, changed: true }).changed!.length;
  assert.is(changed([{ add }]), 0);
  assert.is(changed([{ remove: PAGE, add: { ...add, over: true } }]), 2);
  assert.is(changed([{ remove: PAGE }]), 2);
});

// ---- mirrors ----

/** The Game Boy Advance: [first byte, end, bytes of the memory, host address]. */
const GBA = [
  [0x0200_0000, 0x0300_0000, 0x4_0000, 0x1_0000],
  [0x0300_0000, 0x0400_0000, 0x8000, 0x5_0000],
  [0x0500_0000, 0x0600_0000, 0x400, 0x6_0000],
  [0x0600_0000, 0x0700_0000, 0x1_8000, 0x7_0000],
  [0x0700_0000, 0x0800_0000, 0x400, 0x9_0000],
  [0x0e00_0000, 0x1000_0000, 0x1_0000, 0xa_0000],
] as const;

test("the map of a Game Boy Advance is 7 slots and 8 windows", async () => {
  const engine = await MemslotEngine.create({ pageShift: 10 });
  const slots: Slot[] = GBA.map(([gpa, , bytes, hva], slot) => ({
    slot,
    flags: LOG,
    guestPhysAddr: gpa,
    memorySize: bytes,
    userspaceAddr: hva,
  }));
  slots.push({ slot: 6, flags: RO, guestPhysAddr: 0, memorySize: 0x4000, userspaceAddr: 0 });
  const add: MmioWindow[] = GBA.filter(([gpa]) => gpa !== 0x0600_0000).map(([gpa, end, bytes]) => ({
    gpa: gpa + bytes,
    bytes: end - gpa - bytes,
    mirrorOf: gpa,
    period: bytes,
  }));
  add.push({ gpa: 0x0400_0000, bytes: 0x400, device: 1 });
  // 96 KiB are there as 64 + 32 + 32.
  add.push({ gpa: 0x0601_8000, bytes: 0x8000, mirrorOf: 0x0601_0000 });
  add.push({ gpa: 0x0602_0000, bytes: 0xfe_0000, mirrorOf: 0x0600_0000, period: 0x2_0000 });
  engine.setUserMemoryRegionList(slots, { windows: [add] });
  assert.is(engine.slots().length + engine.windows().length, 15);
  const host = new DataView(new ArrayBuffer(0xb_0000));
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host, { vcpu, onHole: () => 0 });
  const rng = random(3);
  vcpu.enter();
  for (let i = 0; i < 20_000; i++) {
    const [gpa, end, bytes, hva] = rng.pick(GBA);
    const offset = rng.int((end - gpa) / 4) * 4;
    const video = offset % 0x2_0000;
    const at = hva + (gpa !== 0x0600_0000 ? offset % bytes : video < 0x1_8000 ? video : video - 0x8000);
    memory.setUint32(gpa + offset, i, true);
    if (host.getUint32(at, true) !== i) assert.unreachable(`0x${(gpa + offset).toString(16)}`);
    assert.is(memory.getUint32(gpa + offset, true), i);
  }
  vcpu.exit();
});

test("a mirror has the log, READONLY and devices of its original, in whatever address space that is", async () => {
  const { engine, vcpu, memory } = await world([
    { gpa: 4 * PAGE, bytes: 8 * PAGE, mirrorOf: 0, period: 4 * PAGE },
    { gpa: 12 * PAGE, bytes: 16, device: 3 },
    { gpa: 13 * PAGE, bytes: PAGE, mirrorOf: 12 * PAGE, period: 16 },
    { gpa: 14 * PAGE, bytes: PAGE, mirrorOf: PAGE, readonly: true },
    { gpa: 15 * PAGE, bytes: PAGE, mirrorOf: 15 * PAGE },
  ]);
  // An IOMMU: the map of a device, page by page, over that of the machine.
  const entries: WindowChange[] = [
    { asId: 1, add: { gpa: 0x7000, bytes: PAGE, mirrorOf: 2 * PAGE, asId: 0 } },
    { asId: 1, add: { gpa: 0x9000, bytes: PAGE, mirrorOf: 3 * PAGE, asId: 0, readonly: true } },
  ];
  engine.setUserMemoryRegionList([], { windowChanges: entries });
  memory.setUint32(9 * PAGE, 77);
  assert.is(memory.getUint32(PAGE), 77);
  assert.is(engine.getDirtyLog(0)[0], 2);
  engine.markDirty(10 * PAGE);
  assert.is(engine.getDirtyLog(0)[0], 4);
  vcpu.enter();
  memory.setUint32(9 * PAGE, 78);
  memory.setUint32(9 * PAGE + 4, 79);
  vcpu.exit();
  assert.is(engine.getDirtyLog(0)[0], 2);
  assert.is(memory.getUint8(13 * PAGE + 18), 2);
  assert.equal(engine.locate(13 * PAGE + 18), { device: 3, offset: 2 });
  assert.is(memory.getUint32(14 * PAGE), 78);
  assert.throws(() => memory.setUint32(14 * PAGE, 1), efault("read-only"));
  assert.throws(() => memory.getUint8(15 * PAGE), efault("no-slot"), "a mirror of itself");
  const device = guestMemory(engine, new SharedArrayBuffer(8 * PAGE), { asId: 1 });
  device.setUint8(0x7001, 5);
  assert.is(engine.getDirtyLog(0)[0], 4);
  assert.throws(() => device.setUint8(0x9001, 5), efault("read-only"));
  assert.throws(() => device.getUint8(0x8000), efault("no-slot"));
  engine.setUserMemoryRegionList([], { windowChanges: [{ asId: 1, remove: 0x7000 }] });
  assert.throws(() => device.getUint8(0x7001), efault("no-slot"));
});

test("a striped mirror shows one word of four, as the banks of an RP2040", async () => {
  const banks = [0, 1, 2, 3].map((bank) => ({
    gpa: 0x10000 + bank * PAGE,
    bytes: PAGE,
    mirrorOf: 4 * bank,
    stripe: { unit: 4, ways: 4 },
  }));
  const { memory, host } = await world(banks, 0);
  for (let i = 0; i < host.length; i++) host[i] = i % 251;
  for (let bank = 0; bank < 4; bank++) {
    for (let offset = 0; offset < PAGE; offset++) {
      const at = (offset >> 2) * 16 + bank * 4 + (offset & 3);
      if (memory.getUint8(0x10000 + bank * PAGE + offset) !== host[at])
        assert.unreachable(`${bank} ${offset}`);
    }
  }
  const words = new DataView(host.buffer);
  assert.is(memory.getUint32(0x10000 + PAGE + 6), ((words.getUint16(22) << 16) | words.getUint16(36)) >>> 0);
});

// ---- permissions ----

test("attributes forbid reads, writes and fetches by page, atomically with a list", async () => {
  const { engine, memory, vcpu } = await world([{ gpa: 4 * PAGE, bytes: PAGE, mirrorOf: 0 }]);
  assert.is(engine.checkExtension(KVM_CAP_MEMORY_ATTRIBUTES), 15);
  const publications = engine.publications;
  engine.setUserMemoryRegionList([region(1, 8, 1, 4)], {
    attributes: [
      { address: 0, size: 4 * PAGE, attributes: NX },
      { address: PAGE, size: PAGE, attributes: NR },
      { address: 2 * PAGE, size: PAGE, attributes: NW },
    ],
  });
  assert.is(engine.publications, publications + 1);
  for (const inside of [false, true]) {
    if (inside) vcpu.enter();
    assert.throws(() => memory.fetchUint8(0), efault("no-access"));
    assert.is(memory.getUint8(0), 0);
    assert.is(memory.fetchUint8(PAGE), 0);
    assert.throws(() => memory.getUint8(PAGE), efault("no-access"));
    memory.setUint8(PAGE, 0);
    assert.throws(() => memory.atomics.add(2 * PAGE, 32, 1), efault("no-access"));
    assert.throws(() => memory.write(2 * PAGE - 2, new Uint8Array(4)), efault("no-access"));
    assert.throws(() => memory.fetchUint16(4 * PAGE), efault("no-access"), "those of the original");
    if (inside) vcpu.exit();
  }
  assert.is(engine.gpaToHva(2 * PAGE), 2 * PAGE, "translations are KVM's");
  const bad = { address: 0, size: PAGE, attributes: 16 };
  const list = [region(2, 9, 1, 5)];
  assert.throws(() => engine.setUserMemoryRegionList(list, { attributes: [bad] }), /EINVAL/);
  assert.is(engine.slot(2), undefined);
  assert.throws(
    () => engine.setUserMemoryRegionList([], { attributes: [{ ...bad, size: "1" as never }] }),
    /^size/,
  );
});

// ---- edits ----

test("random edits of windows leave what the whole lists would, or change nothing", async () => {
  const rng = random(11);
  const engine = await MemslotEngine.create({ maxListEntries: 64 });
  let windows: MmioWindow[] = [];
  const answers: Record<string, number> = {};
  for (let round = 0; round < 3000; round++) {
    const windowChanges: WindowChange[] = [];
    let after = windows;
    for (let i = rng.int(4); i >= 0; i--) {
      const victim = windows.length > 0 && rng.chance(0.5) ? rng.pick(windows) : undefined;
      const gpa = rng.int(600);
      const add = { gpa, bytes: 1 + rng.int(12), device: rng.int(3), offset: 0 };
      const remove = rng.chance(0.03) ? rng.int(600) : victim?.gpa;
      windowChanges.push({
        ...(remove === undefined ? {} : { remove }),
        ...(rng.chance(0.7) ? { add } : {}),
      });
    }
    const removed = windowChanges.map(({ remove }) => remove).filter((gpa) => gpa !== undefined);
    const added = windowChanges.map(({ add }) => add).filter((window) => window !== undefined);
    after = [...windows.filter(({ gpa }) => !removed.includes(gpa)), ...added].sort((a, b) => a.gpa - b.gpa);
    const absent = removed.some(
      (gpa, i) => !windows.some((one) => one.gpa === gpa) || removed.indexOf(gpa) !== i,
    );
    const meet = after.some((window, i) => i > 0 && after[i - 1]!.gpa + after[i - 1]!.bytes > window.gpa);
    const expected = absent ? "ENOENT" : meet ? "EEXIST" : after.length > 64 ? "E2BIG" : "";
    let answer = "";
    try {
      engine.setUserMemoryRegionList([], { windowChanges });
    } catch (error) {
      answer = (error as { code: string }).code;
    }
    // Of two errors the first in the order of addresses is told.
    if (!(absent && meet)) assert.is(answer, expected, JSON.stringify(windowChanges));
    else assert.not.equal(answer, "");
    answers[answer] = (answers[answer] ?? 0) + 1;
    if (answer === "") windows = after;
    assert.equal(engine.windows(), windows);
  }
  for (const answer of ["", "ENOENT", "EEXIST"]) assert.ok(answers[answer]! > 20, answer);
});

test("edits that leave all as it is publish nothing; those beside stated windows are refused", async () => {
  const add = { gpa: PAGE, bytes: 8, device: 3, offset: 0 };
  const { engine } = await world([add]);
  const { published } = engine.setUserMemoryRegionList([], { windowChanges: [{ remove: PAGE, add }] });
  assert.not(published);
  const both = { windows: [[]], windowChanges: [{ add }] };
  assert.throws(
    () => engine.setUserMemoryRegionList([], both),
    /^windowChanges must not be of address space 0/,
  );
  for (const [change, message] of [
    [{ remove: -1 }, /^windowChanges\[0\]\.remove/],
    [{ add: { ...add, over: 1 } }, /^windowChanges\[0\]\.add\.over must be a boolean/],
    [{ add: { gpa: 0, bytes: 1 } }, /^windowChanges\[0\]\.add\.device/],
    [{ add: { gpa: 0, bytes: 1, mirrorOf: 0, period: 0 } }, /period must be from 1/],
    [{ add: { gpa: 0, bytes: 1, mirrorOf: 0, asId: 2 } }, /asId must be from 0 to 1/],
    [{ add: { gpa: 0, bytes: 1, mirrorOf: 0, stripe: { unit: 3, ways: 1 } } }, /unit must be a power of two/],
    [{ add: { gpa: 0, bytes: 1, hole: false } }, /hole must be true/],
    [{ asId: 2, add }, /asId must be from 0 to 1/],
    [{ ad: add }, /ad is unknown/],
  ] as const) {
    const windowChanges = [change as WindowChange];
    assert.throws(() => engine.setUserMemoryRegionList([], { windowChanges }), message);
  }
});

test("protectRange makes the list over several slots; lists are joined by concatenation", async () => {
  const engine = await MemslotEngine.create({ maxSlots: 8 });
  engine.setUserMemoryRegionList([region(0, 0, 4, 0), region(5, 4, 4, 8, LOG), region(6, 10, 2, 20, RO)]);
  const free = freeSlotNumbers(engine, 3);
  assert.equal(free, [1, 2, 3]);
  const list = protectRange(engine.slots(), 2 * PAGE, 9 * PAGE, true, free);
  engine.setUserMemoryRegionList([...list, ...deleteSlot(6)]);
  assert.equal(
    engine
      .slots()
      .map(({ guestPhysAddr, memorySize, userspaceAddr, flags }) => [
        guestPhysAddr / PAGE,
        memorySize / PAGE,
        userspaceAddr / PAGE,
        flags,
      ]),
    [
      [0, 2, 0, 0],
      [2, 2, 2, RO],
      [4, 4, 8, LOG | RO],
    ],
  );
  const middle = protectRange(engine.slots(), 5 * PAGE, PAGE, false, freeSlotNumbers(engine, 2));
  engine.setUserMemoryRegionList(middle);
  assert.is(engine.slots().length, 5);
  assert.throws(() => protectRange(engine.slots(), PAGE, 10, true), /^free must have a number/);
  assert.throws(() => protectRange(undefined as never, PAGE, 10, true), /^slots must be an array/);
  assert.throws(() => protectRange([{}] as never, PAGE, 10, true), /^slots\[0\]\.slot must be/);
  assert.throws(() => protectRange(engine.slots(), PAGE, 10, true, [1n] as never), /^free\[0\] must be/);
  assert.throws(() => freeSlotNumbers(engine, 5), /ENOMEM, 3 slots are free, not 5/);
});

test("what was found in an older layout is used again only where it is the same in each respect", async () => {
  const { engine, memory, host } = await world([]);
  engine.setUserMemoryRegionList([region(0, 0, 0, 0)]);
  // A mirror of two slots in turns, over the same host page.
  const slots = [region(3, 8, 1, 5, LOG), region(4, 16, 1, 5, LOG)];
  const dirty = () => [3, 4].map((slot) => engine.getDirtyLog(slot)[0]);
  for (const [mirrorOf, marks] of [
    [8 * PAGE, [1, 0]],
    [16 * PAGE, [0, 1]],
  ] as const) {
    engine.setUserMemoryRegionList(slots.splice(0), {
      windows: [[{ gpa: 32 * PAGE, bytes: PAGE, mirrorOf }]],
    });
    memory.setUint8(32 * PAGE, mirrorOf / PAGE);
    assert.is(host[5 * PAGE], mirrorOf / PAGE);
    assert.equal(dirty(), marks);
  }
  // Of two slots that are longer and shorter, that begin with the same byte.
  engine.setUserMemoryRegionList([region(1, 0, 1, 0)], { windows: [[]] });
  for (const npages of [1, 2, 1]) {
    engine.setUserMemoryRegionList([region(1, 0, 0, 0), region(1, 0, npages, 0)]);
    memory.getUint8(0);
    if (npages === 1) assert.throws(() => memory.getUint8(PAGE), efault("no-slot"));
    else assert.is(memory.getUint8(PAGE), host[PAGE]);
  }
});

test("more layouts than are remembered: each page that a bank shows, at each place, is the right one", async () => {
  const engine = await MemslotEngine.create();
  const vcpu = engine.vcpu();
  const host = new Uint8Array(200 * PAGE);
  for (let page = 0; page < 200; page++) host[page * PAGE] = page;
  const memory = guestMemory(engine, host.buffer, { vcpu });
  // Two of 65 runs share a place among 64.
  for (const [gpaStep, hvaStep] of [
    [0, 1],
    [1, 0],
    [1, 1],
    [3, -1],
  ] as const) {
    for (let i = 0; i < 100; i++) {
      const [page, shown] = [100 + gpaStep * i, 100 + hvaStep * i];
      const bank = region(0, page, 1, shown);
      engine.setUserMemoryRegionList(engine.slot(0) === undefined ? [bank] : [region(0, 0, 0, 0), bank]);
      assert.is(memory.getUint8(page * PAGE), shown);
    }
  }
});

test.run();
