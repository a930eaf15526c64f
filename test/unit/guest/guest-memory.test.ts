/** Guest memory: typed accesses, blocks, holes, sections, growing host memory; against a byte-by-byte model. */
import {
  containsGuest,
  copyGuest,
  type GuestHole,
  type GuestMemory,
  guestMemory,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  KVM_MEM_READONLY as RO,
  type Slot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FlatGuest } from "../../support/flatguest.js";
import { type Random, random } from "../../support/random.js";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 4);
console.log(`seed ${SEED}`);

function pages(bitmap: Uint8Array): number[] {
  return Array.from({ length: bitmap.length * 8 }, (_, i) => i).filter(
    (i) => bitmap[i >> 3]! & (1 << (i & 7)),
  );
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

async function engineOf(...regions: Slot[]): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 64 });
  engine.setUserMemoryRegionList(regions);
  return engine;
}

/** Run `access` for a memory that tells its holes: what it returned, and a copy of the hole. */
function tells(make: (onHole: (hole: GuestHole) => number) => GuestMemory) {
  const holes: GuestHole[] = [];
  const memory = make((hole) => {
    holes.push({ ...hole });
    return 0xf5;
  });
  return { memory, take: () => holes.splice(0) };
}

const NO_DEVICE = { device: 0, offset: 0 };

/** EFAULT with this hole. */
function efault(hole: Partial<GuestHole>): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof KvmError && error.code === "EFAULT" && error.errno === -14, String(error));
    for (const [name, value] of Object.entries(hole)) {
      assert.is(error.hole?.[name as keyof GuestHole], value, name);
    }
    return true;
  };
}

type Typed = {
  name: string;
  bytes: number;
  get: (memory: GuestMemory | DataView, at: number, little: boolean) => number | bigint;
  set: (memory: GuestMemory | DataView, at: number, value: number, little: boolean) => void;
};

/** Every accessor of GuestMemory, which are those of DataView. */
const TYPED: readonly Typed[] = [
  { name: "Uint8", bytes: 1, get: (m, at) => m.getUint8(at), set: (m, at, v) => m.setUint8(at, v) },
  { name: "Int8", bytes: 1, get: (m, at) => m.getInt8(at), set: (m, at, v) => m.setInt8(at, v) },
  ...(["Uint16", "Int16", "Uint32", "Int32", "Float32", "Float64"] as const).map((name) => ({
    name,
    bytes: Number(/\d+/.exec(name)![0]) / 8,
    get: (m: GuestMemory | DataView, at: number, little: boolean) => m[`get${name}`](at, little),
    set: (m: GuestMemory | DataView, at: number, value: number, little: boolean) =>
      m[`set${name}`](at, value, little),
  })),
  ...(["BigUint64", "BigInt64"] as const).map((name) => ({
    name,
    bytes: 8,
    get: (m: GuestMemory | DataView, at: number, little: boolean) => m[`get${name}`](at, little),
    set: (m: GuestMemory | DataView, at: number, value: number, little: boolean) =>
      m[`set${name}`](at, BigInt(Math.trunc(value)) * 0x1_0000_0001n, little),
  })),
];

for (const inside of [true, false]) {
  const where = inside ? "in a section" : "outside of sections";

  test(`${where}: typed accesses are DataView's, at any address, in both byte orders`, async () => {
    // Host pages 3, 1, 0, 2 behind each other: contiguous for the guest alone.
    const engine = await engineOf(
      region(0, 8, 1, 3),
      region(1, 9, 1, 1),
      region(2, 10, 1, 0, LOG),
      region(3, 11, 1, 2),
    );
    const host = new ArrayBuffer(4 * PAGE);
    const vcpu = engine.vcpu();
    const memory = guestMemory(engine, host, { vcpu });
    if (inside) vcpu.enter();
    const flat = new DataView(new ArrayBuffer(4 * PAGE));
    for (const { name, bytes: size, get, set } of TYPED) {
      for (const border of [0, PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE]) {
        for (let at = Math.max(0, border - 9); at <= Math.min(border + 9, 4 * PAGE - size); at++) {
          for (const little of [true, false]) {
            const value = (at * 0x01234567 + border) % 0x1_0000_0000;
            set(memory, 8 * PAGE + at, value, little);
            set(flat, at, value, little);
            assert.equal(
              get(memory, 8 * PAGE + at, little),
              get(flat, at, little),
              `${name} at ${at}, little endian: ${little}`,
            );
          }
        }
      }
    }
    const all = new Uint8Array(4 * PAGE);
    assert.is(memory.read(8 * PAGE, all), 4 * PAGE);
    assert.equal(all, new Uint8Array(flat.buffer));
    const hostBytes = new Uint8Array(host);
    assert.equal(hostBytes.subarray(3 * PAGE), all.subarray(0, PAGE), "the first guest page is host page 3");
    assert.equal(pages(engine.getDirtyLog(2)), [0]);
    vcpu.release();
  });

  test(`${where}: blocks stop at the first page that fails, what lies before is done`, async () => {
    const engine = await engineOf(region(0, 1, 2, 1, LOG), region(1, 3, 1, 3, RO), region(2, 5, 1, 0, LOG));
    const host = new SharedArrayBuffer(8 * PAGE);
    const vcpu = engine.vcpu();
    const memory = guestMemory(engine, host, { vcpu });
    const told = tells((onHole) => guestMemory(engine, host, { vcpu, onHole }));
    if (inside) vcpu.enter();
    const source = new Uint8Array(3 * PAGE).fill(7);
    const start = PAGE + 100;
    const room = 2 * PAGE - 100;
    const refused = {
      kind: "read-only",
      gpa: 3 * PAGE,
      bytes: PAGE + 100,
      at: 3 * PAGE,
      write: true,
      ...NO_DEVICE,
    } as const;
    assert.throws(() => memory.write(start, source), efault(refused));
    assert.equal(pages(engine.getDirtyLog(0)), [0, 1]);
    assert.is(new Uint8Array(host).lastIndexOf(7), start + room - 1);
    assert.is(told.memory.write(start, source.fill(8)), room);
    assert.equal(told.take(), [{ ...refused, value: 0 }]);
    assert.equal(pages(engine.getDirtyLog(0)), [0, 1]);
    assert.is(told.memory.clear(start, 3 * PAGE), room);
    assert.equal(told.take(), [{ ...refused, value: 0 }]);
    assert.ok(new Uint8Array(host).every((byte) => byte === 0));
    assert.equal(pages(engine.getDirtyLog(0)), [0, 1]);
    // A read goes on through the READONLY slot, and stops at the hole behind it.
    new Uint8Array(host).fill(9, 3 * PAGE);
    const target = new Uint8Array(4 * PAGE);
    const hole = {
      kind: "no-slot",
      gpa: 4 * PAGE,
      bytes: PAGE + 100,
      at: 4 * PAGE,
      write: false,
      ...NO_DEVICE,
    } as const;
    assert.throws(() => memory.read(start, target), efault(hole));
    assert.is(target.lastIndexOf(9), room + PAGE - 1);
    assert.is(told.memory.read(start, target), room + PAGE);
    assert.equal(told.take(), [{ ...hole, value: 0 }]);
    assert.equal(pages(engine.getDirtyLog(0)), [], "reading makes nothing dirty");
    // Nothing is nothing, wherever it is.
    for (const gpa of [0, 4 * PAGE, 3 * PAGE]) {
      assert.is(memory.read(gpa, bytes()), 0);
      assert.is(memory.write(gpa, bytes()), 0);
      assert.is(memory.clear(gpa, 0), 0);
    }
    memory.write(5 * PAGE + 1, bytes());
    assert.equal(pages(engine.getDirtyLog(2)), []);
    vcpu.release();
  });

  test(`${where}: a hole is told with its address and kind, and the handler's answer is read`, async () => {
    const engine = await engineOf(region(0, 1, 1, 1), region(1, 2, 1, 2, RO), region(2, 9, 2, 7));
    const vcpu = engine.vcpu();
    const host = new Uint8Array(8 * PAGE).fill(0xaa);
    const told = tells((onHole) => guestMemory(engine, host.buffer, { vcpu, onHole }));
    const { memory } = told;
    if (inside) vcpu.enter();
    const hole = (
      kind: string,
      gpa: number,
      size: number,
      at: number,
      write: boolean,
      value: number | bigint,
    ) => assert.equal(told.take(), [{ kind, gpa, bytes: size, at, write, device: 0, offset: 0, value }]);
    assert.is(memory.getUint32(5 * PAGE + 1, true), 0xf5);
    hole("no-slot", 5 * PAGE + 1, 4, 5 * PAGE + 1, false, 0);
    assert.is(memory.getUint32(5 * PAGE, false), 0xf5);
    hole("no-slot", 5 * PAGE, 4, 5 * PAGE, false, 0);
    assert.is(memory.getInt8(5 * PAGE), -11, "the answer is the bits of the load");
    hole("no-slot", 5 * PAGE, 1, 5 * PAGE, false, 0);
    assert.is(memory.getBigInt64(5 * PAGE, false), 0xf5n);
    hole("no-slot", 5 * PAGE, 8, 5 * PAGE, false, 0);
    memory.setInt16(2 * PAGE + 8, -2, true);
    hole("read-only", 2 * PAGE + 8, 2, 2 * PAGE + 8, true, 0xfffe);
    memory.setFloat32(5 * PAGE, 1, true);
    hole("no-slot", 5 * PAGE, 4, 5 * PAGE, true, 0x3f80_0000);
    memory.setBigInt64(5 * PAGE, -1n, true);
    hole("no-slot", 5 * PAGE, 8, 5 * PAGE, true, 2n ** 64n - 1n);
    // Half in memory: nothing is done.
    memory.setUint32(2 * PAGE - 3, 0x01020304, true);
    hole("crosses", 2 * PAGE - 3, 4, 2 * PAGE, true, 0x01020304);
    assert.is(memory.getUint16(3 * PAGE - 1, true), 0xf5);
    hole("crosses", 3 * PAGE - 1, 2, 3 * PAGE, false, 0);
    memory.setUint16(PAGE - 1, 0x0102, false);
    hole("crosses", PAGE - 1, 2, PAGE - 1, true, 0x0102);
    assert.ok(host.every((byte) => byte === 0xaa));
    // Host page 8 is in no buffer.
    assert.is(memory.getUint8(10 * PAGE), 0xf5);
    hole("no-host", 10 * PAGE, 1, 10 * PAGE, false, 0);
    memory.setUint16(10 * PAGE - 1, 1, true);
    hole("crosses", 10 * PAGE - 1, 2, 10 * PAGE, true, 1);
    for (const gpa of [-1, Number.NaN, 2 ** 60, Number.POSITIVE_INFINITY]) {
      assert.is(memory.getUint8(gpa), 0xf5);
      hole("no-slot", gpa, 1, gpa, false, 0);
    }
    vcpu.release();
  });
}

test("without a handler a hole is EFAULT, which names the access", async () => {
  const engine = await engineOf(region(0, 1, 1, 1));
  const memory = guestMemory(engine, new ArrayBuffer(2 * PAGE));
  assert.throws(
    () => memory.getUint16(0x2fff, true),
    /^getUint16: EFAULT, no-slot at 0x2fff, in 2 bytes from 0x2fff on/,
  );
  assert.throws(
    () => memory.setUint16(0x1fff, 7, true),
    efault({ kind: "crosses", gpa: 0x1fff, bytes: 2, at: 0x2000, write: true, value: 7 }),
  );
});

test("beside the slots: a device is told with its register, host memory of a window is memory", async () => {
  const engine = await engineOf();
  engine.setUserMemoryRegionList([region(0, 1, 1, 1), region(1, 2, 1, 2, RO)], {
    windows: [
      [
        { gpa: PAGE * 2 + 16, bytes: 8, device: 9, offset: 4 },
        { gpa: 3 * PAGE, bytes: 16, device: 7, offset: 32 },
        { gpa: 3 * PAGE + 16, bytes: 3, hva: 3 * PAGE + 5 },
        { gpa: 3 * PAGE + 19, bytes: 2, hva: 40, readonly: true },
      ],
    ],
  });
  const vcpu = engine.vcpu();
  const host = new Uint8Array(4 * PAGE).fill(3, 3 * PAGE);
  const told = tells((onHole) => guestMemory(engine, host.buffer, { vcpu, onHole }));
  const { memory } = told;
  for (const inside of [true, false]) {
    if (inside) vcpu.enter();
    const tell = (hole: Partial<GuestHole>) => {
      const [found] = told.take();
      for (const [name, value] of Object.entries(hole))
        assert.is(found?.[name as keyof GuestHole], value, name);
    };
    assert.is(memory.getUint32(3 * PAGE + 8, true), 0xf5);
    tell({ kind: "device", gpa: 3 * PAGE + 8, at: 3 * PAGE + 8, device: 7, offset: 40, write: false });
    memory.setUint16(2 * PAGE + 18, 1, true);
    tell({ kind: "device", device: 9, offset: 6, write: true, value: 1 });
    assert.is(memory.getUint16(2 * PAGE + 18, true), 0);
    memory.setUint16(2 * PAGE, 1, true);
    tell({ kind: "read-only", device: 0, offset: 0 });
    assert.is(memory.getUint8(3 * PAGE + 17), 3);
    memory.setUint16(3 * PAGE + 17, 0x0807, true);
    assert.equal([...host.subarray(3 * PAGE + 5, 3 * PAGE + 9)], [3, 7, 8, 3]);
    assert.is(memory.getUint32(3 * PAGE + 17, true), 0x0000_0807);
    memory.setUint32(3 * PAGE + 16, 0, true);
    tell({ kind: "crosses", at: 3 * PAGE + 19, device: 0, offset: 0 });
    memory.setUint8(3 * PAGE + 20, 0);
    tell({ kind: "read-only", device: 0 });
    memory.getUint16(3 * PAGE + 15, true);
    tell({ kind: "crosses", gpa: 3 * PAGE + 15, at: 3 * PAGE + 15, device: 7, offset: 47 });
    assert.is(memory.read(PAGE + 4090, new Uint8Array(PAGE + 10)), PAGE + 6);
    tell({ kind: "device", gpa: 3 * PAGE, bytes: 4, device: 7, offset: 32 });
    assert.equal(told.take(), []);
    memory.clear(3 * PAGE + 17, 2);
    host.fill(3, 3 * PAGE);
    if (inside) vcpu.exit();
  }
  vcpu.release();
});

test("a handler that answers nothing reads 0, and may use the memory and the map itself", async () => {
  const engine = await engineOf(region(0, 1, 1, 1));
  const vcpu = engine.vcpu();
  const memory: GuestMemory = guestMemory(engine, new ArrayBuffer(8 * PAGE), {
    vcpu,
    onHole({ gpa, write }) {
      memory.setUint32(PAGE, 0xd0d0, true);
      if (!write) return;
      engine.setUserMemoryRegion(region(1, gpa / PAGE, 1, 2));
      vcpu.refresh();
      memory.setUint32(gpa, 0xabcd, true);
    },
  });
  vcpu.enter();
  memory.setUint32(PAGE, 1, true);
  assert.is(memory.getUint32(3 * PAGE, true), 0);
  assert.is(memory.getUint32(PAGE, true), 0xd0d0);
  memory.setUint32(3 * PAGE, 5, true);
  assert.is(memory.getUint32(3 * PAGE, true), 0xabcd);
  vcpu.release();
});

test("outside of sections a page is dirty at once, in a section at the latest when it ends", async () => {
  const engine = await engineOf(region(0, 1, 4, 1, LOG));
  const host = new Uint8Array(8 * PAGE);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host.buffer, { vcpu });
  const STORES: [(at: number) => void, number[]][] = [
    [(at) => memory.write(at - 2, new Uint8Array(PAGE + 4).fill(9)), [0, 1, 2]],
    [(at) => memory.setUint32(at - 2, 0x09090909), [0, 1]],
    [(at) => memory.setUint8(at, 9), [1]],
    [(at) => memory.setFloat64(at + PAGE - 8, 9), [1]],
    [(at) => memory.atomics.store(at + 2, 8, 9), [1]],
    [(at) => memory.clear(at, 1), [1]],
    [(at) => memory.write(at, bytes()), []],
  ];
  for (const [store, dirty] of STORES) {
    store(2 * PAGE);
    assert.equal(pages(engine.getDirtyLog(0)), dirty);
    vcpu.enter();
    store(2 * PAGE);
    assert.equal(pages(engine.getDirtyLog(0)), dirty, "marked before the first store");
    store(2 * PAGE);
    vcpu.refresh();
    assert.equal(pages(engine.getDirtyLog(0)), dirty, "and after a harvest, when the section moves on");
    store(2 * PAGE);
    assert.equal(pages(engine.getDirtyLog(0)), dirty);
    store(2 * PAGE);
    vcpu.exit();
    assert.equal(pages(engine.getDirtyLog(0)), dirty, "or ends");
    vcpu.enter();
    memory.getUint8(2 * PAGE);
    vcpu.exit();
    assert.equal(pages(engine.getDirtyLog(0)), [], "what was not written since is clean");
  }
  vcpu.release();
});

test("in a section all accesses answer from its layout; exit, refresh and asId take the window away", async () => {
  const engine = await engineOf(region(0, 1, 1, 1), region(slotNumber(1, 0), 1, 1, 4));
  const host = new Uint8Array(8 * PAGE);
  for (let page = 0; page < 8; page++) host.fill(page, page * PAGE, (page + 1) * PAGE);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host.buffer, { vcpu });
  const other = guestMemory(engine, host.buffer, { vcpu });
  const alone = guestMemory(engine, host.buffer);
  const inSmm = guestMemory(engine, host.buffer, { asId: 1 });
  const move = (page: number) => [deletion(0), region(0, 1, 1, page)];
  const all = () => [memory, other, alone, inSmm].map((one) => one.getUint8(PAGE));
  vcpu.enter();
  assert.equal(all(), [1, 1, 1, 4]);
  engine.setUserMemoryRegionList(move(2));
  assert.equal(all(), [1, 1, 2, 4]);
  vcpu.enter();
  assert.equal(all(), [1, 1, 2, 4]);
  vcpu.exit();
  assert.equal(all(), [1, 1, 2, 4], "the outer section goes on");
  vcpu.asId = 1;
  assert.equal(all(), [4, 4, 2, 4]);
  vcpu.asId = 0;
  assert.equal(all(), [1, 1, 2, 4]);
  memory.setUint8(PAGE, 77);
  assert.is(host[PAGE], 77);
  assert.is(vcpu.refresh(), true);
  assert.equal(all(), [2, 2, 2, 4]);
  memory.setUint8(PAGE, 78);
  assert.is(host[2 * PAGE], 78);
  vcpu.exit();
  engine.setUserMemoryRegionList(move(3));
  assert.equal(all(), [3, 3, 3, 4], "outside of sections each access is one by itself");
  engine.setUserMemoryRegionList(move(5));
  memory.setUint8(PAGE, 79);
  assert.is(host[5 * PAGE], 79);
  vcpu.enter();
  assert.is(memory.getUint8(PAGE), 79);
  engine.setUserMemoryRegion(deletion(0));
  assert.is(memory.getUint8(PAGE), 79);
  vcpu.exit();
  assert.throws(() => memory.getUint8(PAGE), efault({ kind: "no-slot" }));
  vcpu.enter();
  assert.throws(() => memory.getUint8(PAGE), efault({ kind: "no-slot" }));
  vcpu.release();
});

test("the memory of a released vCPU is no memory, also when another vCPU has its reader line", async () => {
  const engine = await engineOf(region(0, 1, 1, 1));
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, new ArrayBuffer(2 * PAGE), { vcpu });
  const cache = memory.cache();
  vcpu.enter();
  memory.setUint8(PAGE, 1);
  cache.init(PAGE, 1);
  vcpu.release();
  const next = engine.vcpu();
  assert.is(next.reader, vcpu.reader);
  next.enter();
  vcpu.release();
  engine.setUserMemoryRegion(deletion(0));
  assert.is(next.gpaToHva(PAGE), PAGE, "released twice: the section of the next one goes on");
  for (const access of [
    () => memory.getUint8(PAGE),
    () => memory.setUint8(PAGE, 1),
    () => memory.read(PAGE, bytes(1)),
    () => memory.write(PAGE, bytes(1)),
    () => memory.clear(PAGE, 1),
    () => memory.atomics.load(PAGE, 8),
    () => cache.read(bytes(1)),
    () => cache.init(PAGE, 1),
  ]) {
    assert.throws(access, /^the vCPU of this guest memory is released$/);
  }
  next.release();
});

test("a fraction of an address is its byte, as for a translation, on every path", async () => {
  const engine = await engineOf(region(0, 1, 2, 0, LOG), region(1, 3, 1, 3));
  const host = new Uint8Array(4 * PAGE).map((_, at) => at % 251);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host.buffer, { vcpu });
  for (const inside of [false, true]) {
    if (inside) vcpu.enter();
    for (const warm of [false, true]) {
      if (warm) memory.setUint8(PAGE, memory.getUint8(PAGE));
      assert.is(memory.getUint8(PAGE + 7.5), 7);
      memory.setUint8(PAGE + 9.9, 9);
      assert.is(host[9], 9);
      assert.is(memory.getUint16(3 * PAGE - 0.5, true), host[2 * PAGE - 1]! | (host[3 * PAGE]! << 8));
      const block = bytes(0, 0);
      assert.is(memory.read(3 * PAGE - 0.5, block), 2);
      assert.equal([...block], [host[2 * PAGE - 1], host[3 * PAGE]]);
      assert.is(memory.write(3 * PAGE - 0.5, block), 2);
      assert.equal([host[2 * PAGE - 1], host[3 * PAGE]], [...block]);
      vcpu.refresh();
      assert.equal(pages(engine.getDirtyLog(0)), [0, 1]);
    }
  }
  vcpu.release();
});

test("what is not a number is no address", async () => {
  const memory = guestMemory(await engineOf(region(0, 0, 1, 0)), new ArrayBuffer(PAGE));
  for (const gpa of ["16", 16n, undefined, null, {}] as never[]) {
    for (const access of [
      () => memory.getUint32(gpa),
      () => memory.setUint32(gpa, 1),
      () => memory.read(gpa, bytes(1)),
      () => memory.write(gpa, bytes(1)),
      () => memory.clear(gpa, 1),
      () => memory.atomics.add(gpa, 8, 1),
    ]) {
      assert.throws(access, (error: unknown) => error instanceof TypeError);
    }
  }
  assert.throws(() => memory.clear("16" as never, 1), /^gpa must be a number, not "16"$/);
  assert.is(memory.getUint32(16), 0);
});

test("buffers that change their length are followed, up and down", async () => {
  const engine = await engineOf(region(0, 0, 2, 0));
  type Growing = { new (bytes: number, options: { maxByteLength: number }): SharedArrayBuffer };
  type Resizing = { new (bytes: number, options: { maxByteLength: number }): ArrayBuffer };
  const shared = new (SharedArrayBuffer as Growing)(12, { maxByteLength: PAGE });
  const resizable = new (ArrayBuffer as Resizing)(12, { maxByteLength: PAGE });
  const vcpu = engine.vcpu();
  vcpu.enter();
  for (const host of [shared, resizable]) {
    const told = tells((onHole) => guestMemory(engine, host, { vcpu, onHole }));
    const { memory } = told;
    memory.setUint8(8, 5);
    assert.is(memory.atomics.load(8, 64), 0xf5n);
    assert.is(memory.getUint32(10, true), 0xf5);
    assert.equal(
      told.take().map(({ kind, gpa, at }) => [kind, gpa, at]),
      [
        ["no-host", 8, 8],
        ["crosses", 10, 12],
      ],
    );
    if (host === shared) (host as never as { grow(bytes: number): void }).grow(16);
    else (host as never as { resize(bytes: number): void }).resize(16);
    assert.is(memory.atomics.add(8, 64, 1n), 5n, "the 8 bytes are there now");
    assert.is(memory.getUint32(12, true), 0);
    memory.setUint32(12, 0x01020304, true);
    assert.is(memory.getUint32(10, true), 0x03040000);
    assert.equal(told.take(), []);
  }
  const told = tells((onHole) => guestMemory(engine, resizable, { vcpu, onHole }));
  told.memory.setUint8(15, 1);
  (resizable as never as { resize(bytes: number): void }).resize(8);
  told.memory.setUint8(15, 1);
  assert.is(told.memory.getUint8(15), 0xf5);
  assert.is(told.memory.read(0, new Uint8Array(16)), 8);
  assert.equal(
    told.take().map(({ kind, at }) => [kind, at]),
    [
      ["no-host", 15],
      ["no-host", 15],
      ["no-host", 8],
    ],
  );
  vcpu.release();
});

/** A vCPU, guest memory in its sections, and the wasm functions for calls behind its back. */
async function besideTheAbi() {
  const engine = await engineOf(region(0, 1, 1, 1));
  const host = new Uint8Array(8 * PAGE).fill(1, PAGE, 2 * PAGE).fill(2, 2 * PAGE, 3 * PAGE);
  const { module, memory } = engine.handle;
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const raw = exports as Record<string, (reader: number) => number>;
  const vcpu = engine.vcpu();
  const guest = guestMemory(engine, host.buffer, { vcpu });
  return { engine, raw, vcpu, guest };
}

test("a section that the wasm ABI has opened around the vCPU's own is believed, not guessed", async () => {
  const { engine, raw, vcpu, guest } = await besideTheAbi();
  vcpu.enter();
  assert.is(guest.getUint8(PAGE), 1);
  vcpu.exit();
  engine.setUserMemoryRegionList([deletion(0), region(0, 1, 1, 2)]);
  raw.enterSection!(vcpu.reader);
  assert.is(guest.getUint8(PAGE), 2);
  assert.is(vcpu.enter(), false, "nested, so not told that the layout changed");
  assert.is(guest.getUint8(PAGE), 2);
  vcpu.exit();
  engine.setUserMemoryRegionList([deletion(0), region(0, 1, 1, 1)]);
  assert.is(guest.getUint8(PAGE), 2, "pinned from outside");
  raw.exitSection!(vcpu.reader);
  assert.is(guest.getUint8(PAGE), 1);
  vcpu.release();
});

test("a section that the wasm ABI has opened inside the vCPU's own outlives it, and ends unseen", async () => {
  const { engine, raw, vcpu, guest } = await besideTheAbi();
  for (const [before, after] of [
    [1, 2],
    [2, 1],
  ] as const) {
    vcpu.enter();
    assert.is(guest.getUint8(PAGE), before);
    raw.enterSection!(vcpu.reader);
    vcpu.exit();
    assert.is(raw.insideVcpu!(vcpu.reader), 0);
    engine.setUserMemoryRegionList([deletion(0), region(0, 1, 1, after)]);
    assert.is(guest.getUint8(PAGE), before, "pinned from outside");
    raw.exitSection!(vcpu.reader);
    assert.is(guest.getUint8(PAGE), after);
  }
  vcpu.enter();
  vcpu.enter();
  vcpu.exit();
  assert.is(raw.insideVcpu!(vcpu.reader), 1, "nested by vcpu.enter alone");
  vcpu.exit();
  assert.is(raw.insideVcpu!(vcpu.reader), 0);
  vcpu.release();
});

test("addresses with the same lower 32 bits are different bytes, for every accessor", async () => {
  const high = 2 ** 32;
  const starts = [PAGE, high + PAGE, 5 * high + PAGE];
  const engine = await MemslotEngine.create({ maxSlots: 8 });
  engine.setUserMemoryRegionList(starts.map((gpa, i) => region(i, gpa / PAGE, 2, 2 * i)));
  const host = new DataView(new ArrayBuffer(6 * PAGE));
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host.buffer, { vcpu });
  for (const [i] of starts.entries()) host.setUint32(2 * i * PAGE + 4, 100 + i);
  for (const order of [starts, [...starts].reverse()]) {
    for (const inside of [true, false, true]) {
      if (inside) vcpu.enter();
      for (let round = 0; round < 3; round++) {
        for (const gpa of order) {
          const at = 2 * starts.indexOf(gpa) * PAGE;
          const value = host.getUint32(at + 4);
          assert.is(memory.getUint32(gpa + 4), value, `load from ${gpa}`);
          assert.is(memory.fetchUint32(gpa + 4), value, `fetch from ${gpa}`);
          assert.is(memory.fetchUint16(gpa + 6), value);
          assert.is(memory.fetchUint8(gpa + 7), value);
          memory.setUint32(gpa + 4, value);
          for (const { name, bytes: size, get, set } of TYPED) {
            set(memory, gpa + PAGE - 1, round + size, true);
            assert.equal(
              get(memory, gpa + PAGE - 1, true),
              get(host, at + PAGE - 1, true),
              `${name} at ${gpa}`,
            );
          }
        }
        for (const gpa of [-high + PAGE + 4, 2 * high + PAGE + 4]) {
          assert.throws(() => memory.getUint32(gpa), efault({ kind: "no-slot", gpa }));
          assert.throws(() => memory.setUint32(gpa, 0), efault({ kind: "no-slot", gpa }));
          assert.throws(() => memory.fetchUint32(gpa), efault({ kind: "no-slot", gpa }));
        }
      }
      if (inside) vcpu.exit();
    }
  }
  vcpu.release();
});

test("what a block or a copy has found of a new layout does not leave accessors in the old one", async () => {
  const engine = await engineOf(region(0, 1, 2, 1));
  const host = new ArrayBuffer(8 * PAGE);
  new Uint8Array(host, PAGE, PAGE).fill(1);
  new Uint8Array(host, 4 * PAGE, PAGE).fill(4);
  const memory = guestMemory(engine, host);
  assert.is(memory.getUint8(PAGE), 1);
  engine.setUserMemoryRegionList([deletion(0), region(0, 1, 2, 4)]);
  copyGuest(memory, 2 * PAGE, PAGE, 1);
  assert.is(memory.getUint8(PAGE), 4);
  memory.setUint8(PAGE, 5);
  assert.is(new Uint8Array(host)[4 * PAGE], 5);
  engine.setUserMemoryRegionList([deletion(0), region(0, 1, 2, 1)]);
  copyGuest(memory, 2 * PAGE, PAGE, 1);
  memory.setUint8(PAGE, 6);
  assert.equal([new Uint8Array(host)[PAGE], new Uint8Array(host)[4 * PAGE]], [6, 5]);
});

test("a slot over a multiple of 1 GiB, where runs of host bytes end, is one slot", async () => {
  for (const middle of [2 ** 30, 2 ** 31, 3 * 2 ** 30, 2 ** 32]) {
    const engine = await engineOf(region(0, middle / PAGE - 1, 2, 0, LOG));
    const host = new DataView(new ArrayBuffer(2 * PAGE));
    const vcpu = engine.vcpu();
    const memory = guestMemory(engine, host.buffer, { vcpu });
    vcpu.enter();
    for (let at = -9; at < 9; at++) {
      for (const { name, get, set } of TYPED) {
        set(memory, middle + at, 3 * at + 40, false);
        assert.equal(
          get(memory, middle + at, false),
          get(host, PAGE + at, false),
          `${name} at ${middle} + ${at}`,
        );
      }
    }
    vcpu.release();
    assert.equal(pages(engine.getDirtyLog(0)), [0, 1]);
  }
});

test("a section that begins with another layout than the last one of JavaScript's is believed to", async () => {
  const { engine, raw, vcpu, guest } = await besideTheAbi();
  vcpu.enter();
  assert.is(guest.getUint8(PAGE), 1);
  assert.is(guest.fetchUint8(PAGE), 1);
  vcpu.exit();
  engine.setUserMemoryRegionList([deletion(0), region(0, 1, 1, 2)]);
  assert.is(raw.enterSection!(vcpu.reader), 1, "the wasm ABI is told of the change");
  raw.exitSection!(vcpu.reader);
  assert.is(vcpu.enter(), false, "so this section is not");
  assert.is(guest.getUint8(PAGE), 2);
  assert.is(guest.fetchUint8(PAGE), 2);
  vcpu.exit();
  const commit = raw.commitNumber!(vcpu.reader);
  assert.is(raw.enterVcpu!(vcpu.reader), commit + 1);
  assert.is(raw.enterVcpu!(vcpu.reader), 0, "nested");
  raw.exitVcpu!(vcpu.reader);
  raw.exitVcpu!(vcpu.reader);
  engine.setUserMemoryRegionList([deletion(0), region(0, 1, 1, 1)]);
  assert.is(raw.enterVcpu!(vcpu.reader), -(raw.commitNumber!(vcpu.reader) + 1));
  raw.exitVcpu!(vcpu.reader);
  vcpu.release();
});

test("several host memories behind one map; what grows is seen, and no view is stale", async () => {
  const big = 2 ** 32;
  const engine = await engineOf(
    { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 2 * 65536, userspaceAddr: 0 },
    { slot: 1, flags: LOG, guestPhysAddr: 2 * 65536, memorySize: 4 * 65536, userspaceAddr: big },
    { slot: 2, flags: 0, guestPhysAddr: 6 * 65536, memorySize: 65536, userspaceAddr: 3 * big },
  );
  const first = new ArrayBuffer(2 * 65536);
  const second = new WebAssembly.Memory({ initial: 1, maximum: 8 });
  const third = new WebAssembly.Memory({ initial: 1, maximum: 8, shared: true });
  const vcpu = engine.vcpu();
  const told = tells((onHole) =>
    guestMemory(
      engine,
      [
        { memory: third, hostAddr: 3 * big },
        { memory: first, hostAddr: 0 },
        { memory: second, hostAddr: big },
      ],
      { vcpu, onHole },
    ),
  );
  const { memory } = told;
  vcpu.enter();
  memory.setUint32(2 * 65536 - 2, 0x04030201, true);
  assert.equal(new Uint8Array(first, 2 * 65536 - 2), bytes(1, 2));
  assert.equal(new Uint8Array(second.buffer, 0, 3), bytes(3, 4, 0));
  memory.setUint8(6 * 65536, 9);
  assert.is(new Uint8Array(third.buffer)[0], 9);
  // The second memory is shorter than its slot.
  assert.is(memory.getUint32(3 * 65536 - 2, true), 0xf5);
  assert.is(told.take()[0]!.kind, "crosses");
  memory.setUint8(3 * 65536, 1);
  assert.is(told.take()[0]!.kind, "no-host");
  assert.equal(pages(engine.getDirtyLog(1)), [0]);
  const warm = memory.getUint16(2 * 65536, true);
  memory.setUint8(2 * 65536, 5);
  second.grow(1);
  assert.is(memory.getUint16(2 * 65536, true), (warm & 0xff00) | 5);
  second.grow(1);
  memory.setUint8(2 * 65536, 6);
  second.grow(1);
  assert.is(memory.read(2 * 65536, new Uint8Array(3)), 3);
  second.grow(0);
  assert.is(memory.write(2 * 65536, bytes(6)), 1);
  assert.is(new Uint8Array(second.buffer)[0], 6);
  memory.setUint32(3 * 65536 - 2, 0x0a0b0c0d, true);
  assert.is(new DataView(second.buffer).getUint32(65536 - 2, true), 0x0a0b0c0d);
  memory.setUint8(6 * 65536 - 1, 8);
  assert.is(new Uint8Array(second.buffer)[4 * 65536 - 1], 8);
  assert.is(memory.atomics.add(2 * 65536, 8, 1), 6);
  second.grow(1);
  assert.is(memory.atomics.add(2 * 65536, 8, 1), 7);
  assert.equal(told.take(), []);
  vcpu.release();
});

test("a host memory ends where the next begins, and may end within a page", async () => {
  const engine = await engineOf(region(0, 0, 4, 0));
  const [low, high] = [new WebAssembly.Memory({ initial: 0 }), new ArrayBuffer(100)];
  const host = [
    { memory: low, hostAddr: 0 },
    { memory: high, hostAddr: 2 * PAGE },
  ];
  const told = tells((onHole) => guestMemory(engine, host, { onHole }));
  const { memory } = told;
  low.grow(1);
  memory.clear(0, 4 * PAGE);
  assert.equal(
    told.take().map(({ kind, gpa, bytes: rest }) => [kind, gpa, rest]),
    [["no-host", 2 * PAGE + 100, 2 * PAGE - 100]],
  );
  memory.setUint32(2 * PAGE - 2, 0x04030201, true);
  assert.equal(new Uint8Array(high, 0, 3), bytes(3, 4, 0));
  assert.is(new Uint8Array(low.buffer)[2 * PAGE], 0);
  memory.setUint32(2 * PAGE + 98, 1, true);
  assert.is(told.take()[0]!.kind, "crosses");
});

test("bad arguments are told by name, before anything happens", async () => {
  const engine = await engineOf(region(0, 0, 1, 0));
  const other = await engineOf();
  const buffer = new ArrayBuffer(8);
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const make = (host: any, options?: any) => () => guestMemory(engine, host, options);
  const type = (message: RegExp) => (error: unknown) =>
    error instanceof TypeError && message.test(error.message);
  assert.throws(make(undefined), type(/^host\.memory must be an ArrayBuffer.*not undefined/));
  assert.throws(make("memory"), type(/^host\.memory must be an ArrayBuffer.*a typed array or/));
  assert.throws(make([buffer]), type(/^host\[0\]\.memory/));
  assert.throws(make([null]), type(/^host\[0\] must be an object/));
  assert.throws(make([{ memory: buffer }]), type(/^host\[0\]\.hostAddr must be an integer/));
  assert.throws(make([{ memory: buffer, hostAddr: 0.5 }]), type(/^host\[0\]\.hostAddr/));
  assert.throws(make(buffer, { devices: 1 }), type(/^devices must be an object/));
  assert.throws(make(buffer, { devices: [{}] }), type(/^devices\[0\]\.read must be a function/));
  assert.throws(make([{ memory: buffer, hostAddr: -8 }]), type(/^host\[0\]\.hostAddr/));
  const overlap = [
    { memory: new ArrayBuffer(9), hostAddr: 0 },
    { memory: buffer, hostAddr: 8 },
  ];
  assert.throws(
    make(overlap),
    (error: unknown) => error instanceof RangeError && /overlap/.test(error.message),
  );
  assert.throws(make(buffer, null), type(/^options must be an object/));
  assert.throws(make(buffer, { onHole: 1 }), type(/^onHole must be a function, not 1/));
  assert.throws(make(buffer, { vcpu: {} }), type(/^vcpu must be a vCPU of this engine/));
  assert.throws(make(buffer, { vcpu: other.vcpu() }), type(/^vcpu must be a vCPU of this engine/));
  assert.throws(make(buffer, { vcpu: engine.vcpu(), asId: 0 }), type(/^asId must be left out/));
  assert.throws(make(buffer, { asId: 2 }), (error: unknown) => error instanceof RangeError);
  const memory = guestMemory(engine, buffer);
  assert.throws(() => memory.read(0, [1] as never), type(/^target must be a typed array/));
  assert.throws(() => memory.write(0, "a" as never), type(/^source must be a typed array, not "a"/));
  for (const size of [-1, 1.5, Number.NaN, "1"])
    assert.throws(() => memory.clear(0, size as never), type(/^bytes/));
});

/** One world of the random runs: a map in two address spaces over three host memories, and its model. */
class RandomWorld {
  readonly rng: Random;
  readonly host = [
    new Uint8Array(6 * PAGE + 16),
    new Uint8Array(new SharedArrayBuffer(5 * PAGE)),
    new Uint8Array(3 * PAGE - 8),
  ] as const;
  readonly starts = [0, 8 * PAGE, 2 ** 33] as const;
  readonly model: FlatGuest;
  readonly pinned: FlatGuest;

  constructor(seed: number) {
    this.rng = random(seed);
    const isBacked = (hva: number) =>
      this.host.some((memory, i) => hva >= this.starts[i]! && hva < this.starts[i]! + memory.length);
    this.model = new FlatGuest(2, PAGE, isBacked);
    this.pinned = new FlatGuest(2, PAGE, isBacked);
    // One host memory, whichever layout an access goes through.
    this.pinned.host = this.model.host;
  }

  layout(): Slot[] {
    const { rng } = this;
    const list: Slot[] = [];
    for (const asId of [0, 1]) {
      let gfn = 0;
      for (let id = 0; gfn < 16; id++) {
        gfn += rng.chance(0.3) ? rng.int(3) : 0;
        const npages = 1 + rng.int(3);
        const start = rng.pick(this.starts) / PAGE + rng.int(7);
        list.push(region((asId << 16) | id, gfn, npages, start, rng.int(4)));
        gfn += npages;
      }
    }
    return list;
  }

  /** Addresses near page borders more often than elsewhere. */
  gpa(): number {
    const { rng } = this;
    const gfn = rng.int(18);
    return Math.max(0, gfn * PAGE + (rng.chance(0.5) ? rng.int(20) - 10 : rng.int(PAGE)));
  }

  hostIsEqual(): void {
    for (const [i, memory] of this.host.entries()) {
      const expected = Uint8Array.from(memory, (_, at) => this.model.host.get(this.starts[i]! + at) ?? 0);
      assert.equal(memory, expected, `host memory ${i}`);
    }
  }
}

/** One random access through `memory`, compared with `model`. @returns true if it met a hole */
function accessRandomly(
  rng: Random,
  gpa: number,
  model: FlatGuest,
  asId: number,
  memory: GuestMemory,
  holes: GuestHole[],
): boolean {
  const write = rng.chance(0.5);
  if (rng.chance(0.4)) {
    const size = rng.chance(0.1) ? rng.int(4 * PAGE) : rng.int(200);
    const data = Uint8Array.from({ length: size }, () => rng.int(256));
    const done = model.reach(asId, gpa, size, write);
    const zero = write && rng.chance(0.3);
    const told = zero ? memory.clear(gpa, size) : write ? memory.write(gpa, data) : memory.read(gpa, data);
    assert.is(told, done);
    for (let i = 0; i < done; i++) {
      if (write) model.set(asId, gpa + i, zero ? 0 : data[i]!);
      else assert.is(data[i], model.get(asId, gpa + i));
    }
    const [hole] = holes.splice(0);
    assert.is(hole?.kind, done < size ? model.kind(asId, gpa + done, write) : undefined);
    if (hole !== undefined)
      assert.equal([hole.gpa, hole.bytes, hole.write], [gpa + done, size - done, write]);
    return hole !== undefined;
  }
  const typed = rng.pick(TYPED);
  const little = rng.chance(0.5);
  const kind = model.access(asId, gpa, typed.bytes, write);
  const flat = new DataView(new ArrayBuffer(8));
  if (write) {
    const value = rng.int(2 ** 32);
    typed.set(memory, gpa, value, little);
    typed.set(flat, 0, value, little);
    if (kind === "memory") {
      for (let i = 0; i < typed.bytes; i++) model.set(asId, gpa + i, flat.getUint8(i));
    }
  } else {
    const value = typed.get(memory, gpa, little);
    if (kind === "memory") {
      for (let i = 0; i < typed.bytes; i++) flat.setUint8(i, model.get(asId, gpa + i));
      assert.equal(value, typed.get(flat, 0, little));
    }
  }
  const [hole] = holes.splice(0);
  assert.is(hole?.kind, kind === "memory" ? undefined : kind, `${typed.name} at ${gpa}`);
  if (hole === undefined) return false;
  const at = gpa + model.reach(asId, gpa, typed.bytes, write);
  assert.equal([hole.gpa, hole.bytes, hole.at, hole.write], [gpa, typed.bytes, at, write]);
  return true;
}

/** The logs hold what the model says; `more`: and what was carried into them from older layouts. */
function compareLogs(engine: MemslotEngine, { dirty }: FlatGuest, more: boolean): void {
  for (const asId of [0, 1]) {
    for (const { slot, flags, guestPhysAddr, memorySize } of engine.slots(asId)) {
      if ((flags & LOG) === 0) continue;
      const first = guestPhysAddr / PAGE;
      const found = pages(engine.getDirtyLog(slot)).map((page) => first + page);
      const inside = (gfn: number) => gfn >= first && gfn < first + memorySize / PAGE;
      const expected = [...dirty[asId]!].filter(inside).sort((a, b) => a - b);
      if (more) assert.ok(expected.every((gfn) => found.includes(gfn)));
      else assert.equal(found, expected);
    }
  }
  for (const set of dirty) set.clear();
}

test("random accesses in and outside of sections, while the map changes, equal the model's", async () => {
  const WORLDS = 30;
  const STEPS = 600;
  for (let number = 0; number < WORLDS; number++) {
    const world = new RandomWorld(SEED * 1000 + number);
    const { rng, model, pinned } = world;
    const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 32 });
    const holes: GuestHole[] = [];
    const onHole = (hole: GuestHole) => {
      holes.push({ ...hole });
    };
    const host = world.host.map((memory, i) => ({
      memory: memory.buffer as ArrayBuffer,
      hostAddr: world.starts[i]!,
    }));
    const vcpu = engine.vcpu();
    // Two of one vCPU: what one derives, the other must not take for its own.
    const through = [0, 1].map(() => guestMemory(engine, host, { vcpu, onHole }));
    const alone = [0, 1].map((asId) => guestMemory(engine, host, { asId, onHole }));
    let inside = false;
    // The section is older than the map.
    let behind = false;
    let carried = false;
    for (let step = 0; step < STEPS; step++) {
      if (rng.chance(0.02)) {
        // Three sections of old layouts would leave no spare one; and what was marked in them is carried now.
        if (behind) vcpu.refresh();
        engine.synchronize();
        compareLogs(engine, model, carried);
        const old = [0, 1].map((asId) => engine.slots(asId));
        const gone = old.flat().map((slot) => ({ ...slot, memorySize: 0 }));
        for (const [asId, slots] of old.entries()) pinned.paint(asId, slots);
        engine.setUserMemoryRegionList([...gone, ...world.layout()]);
        for (const asId of [0, 1]) model.paint(asId, engine.slots(asId));
        behind = inside;
        carried = behind;
      } else if (rng.chance(0.05)) {
        if (inside && rng.chance(0.3)) {
          vcpu.refresh();
        } else {
          if (inside) vcpu.exit();
          else vcpu.enter();
          inside = !inside;
        }
        behind = false;
      } else if (rng.chance(0.03)) {
        vcpu.asId = rng.int(2);
      } else if (rng.chance(0.3)) {
        const asId = rng.int(2);
        accessRandomly(rng, world.gpa(), model, asId, alone[asId]!, holes);
      } else if (rng.chance(0.1)) {
        const [gpa, bytes, write] = [world.gpa(), 1 + rng.int(2 * PAGE), rng.chance(0.5)];
        const there = (behind ? pinned : model).reach(vcpu.asId, gpa, bytes, write) === bytes;
        assert.is(containsGuest(rng.pick(through), gpa, bytes, { write }), there);
      } else {
        const memory = rng.pick(through);
        const told = accessRandomly(rng, world.gpa(), behind ? pinned : model, vcpu.asId, memory, holes);
        // The handler ran outside of the section, which has gone on with the newest layout.
        if (told) behind = false;
      }
    }
    compareLogs(engine, model, carried);
    world.hostIsEqual();
    vcpu.release();
  }
});

test.run();
