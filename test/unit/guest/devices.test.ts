/** Devices behind the windows of a guest's bus: access sizes, byte order, accesses over several of them. */
import {
  type Device,
  type GuestMemory,
  guestMemory,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type MmioWindow,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PAGE, region } from "../../support/region.js";

type Call = [what: string, offset: number, size: number, value?: number | bigint];

/** A device that reads as its offset, byte by byte, and notes its calls. */
function noting(ops: Partial<Device> = {}): { device: Device; calls: Call[]; take(): Call[] } {
  const calls: Call[] = [];
  const device: Device = {
    read(offset, size) {
      calls.push(["read", offset, size]);
      let value = 0n;
      for (let i = 0; i < size; i++) value |= BigInt((offset + i) & 0xff) << BigInt(8 * i);
      return size === 8 ? value : Number(value);
    },
    write: (offset, size, value) => void calls.push(["write", offset, size, value]),
    ...ops,
  };
  return { device, calls, take: () => calls.splice(0) };
}

async function bus(windows: MmioWindow[], devices: (Device | undefined)[], options = {}) {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 1, 0, LOG)], { windows: [windows] });
  const host = new ArrayBuffer(PAGE);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host, { vcpu, devices, ...options });
  return { engine, host, vcpu, memory };
}

const IO = 0x10000;

for (const inside of [true, false]) {
  const where = inside ? "in a section" : "outside of sections";

  test(`${where}: a device gets an access of each width as it is, floats as their bits`, async () => {
    const { device, take } = noting();
    const { memory, vcpu } = await bus([{ gpa: IO, bytes: 16, device: 0, offset: 32 }], [device]);
    if (inside) vcpu.enter();
    for (let round = 0; round < 2; round++) {
      assert.is(memory.getUint8(IO + 1), 33);
      assert.is(memory.getUint16(IO + 2, true), 0x2322);
      assert.is(memory.getInt32(IO + 3), 0x26252423);
      assert.is(memory.getBigUint64(IO + 8, true), 0x2f2e2d2c2b2a2928n);
      memory.setInt8(IO, -1);
      memory.setUint16(IO, 0x1_2345);
      memory.setFloat32(IO + 4, 1.5, true);
      memory.setFloat64(IO + 8, -2);
      assert.equal(take(), [
        ["read", 33, 1],
        ["read", 34, 2],
        ["read", 35, 4],
        ["read", 40, 8],
        ["write", 32, 1, 0xff],
        ["write", 32, 2, 0x2345],
        ["write", 36, 4, 0x3fc00000],
        ["write", 40, 8, 0xc000000000000000n],
      ]);
    }
  });
}

test("wider accesses are split and narrower ones widened, in the order of the registers' bytes", async () => {
  const words = noting({
    endianness: "little",
    impl: { minAccessSize: 2, maxAccessSize: 2, unaligned: true },
  });
  const big = noting({ endianness: "big", impl: { maxAccessSize: 1, unaligned: true } });
  const windows = [
    { gpa: IO, bytes: 16, device: 0 },
    { gpa: IO + 16, bytes: 16, device: 1 },
  ];
  const { memory } = await bus(windows, [words.device, big.device]);
  // Little-endian registers of two bytes: 0 and 2 read as 0x0100 and 0x0302, in this order in memory.
  assert.is(memory.getUint32(IO, true), 0x03020100);
  assert.is(memory.getUint32(IO, false), 0x00010203);
  assert.is(memory.getUint8(IO + 4), 4, "the low byte of a wider one");
  assert.equal(words.take(), [
    ["read", 0, 2],
    ["read", 2, 2],
    ["read", 0, 2],
    ["read", 2, 2],
    ["read", 4, 2],
  ]);
  memory.setUint32(IO, 0x11223344, true);
  memory.setUint8(IO + 2, 0x55);
  assert.equal(words.take(), [
    ["write", 0, 2, 0x3344],
    ["write", 2, 2, 0x1122],
    ["write", 2, 2, 0x55],
  ]);
  memory.setUint16(IO + 16, 0x1122, false);
  memory.setUint16(IO + 16, 0x1122, true);
  assert.equal(big.take(), [
    ["write", 0, 1, 0x11],
    ["write", 1, 1, 0x22],
    ["write", 0, 1, 0x22],
    ["write", 1, 1, 0x11],
  ]);
});

test("an access that is not valid is a hole of the device, and nothing of it is done", async () => {
  const { device, take } = noting({ valid: { minAccessSize: 2, maxAccessSize: 4 } });
  const { memory } = await bus([{ gpa: IO, bytes: 16, device: 7 }], { ...[], 7: device } as never);
  const hole = (access: () => unknown, at: number, bytes: number) =>
    assert.throws(
      access,
      (error: { hole: object }) =>
        JSON.stringify(error.hole) ===
        JSON.stringify({
          ...error.hole,
          kind: "device",
          gpa: IO + at,
          bytes,
          at: IO + at,
          device: 7,
          offset: at,
        }),
    );
  hole(() => memory.getUint8(IO), 0, 1);
  hole(() => memory.setUint16(IO + 1, 1), 1, 2);
  assert.equal(take(), []);
  memory.setBigUint64(IO, 0x1122334455667788n, true);
  assert.equal(take(), [
    ["write", 0, 4, 0x55667788],
    ["write", 4, 4, 0x11223344],
  ]);
});

test("an access over several devices, over memory and a device, and over a hole gives each its part", async () => {
  const [one, two, three] = [noting(), noting(), noting()];
  const told: unknown[] = [];
  const onHole = ({
    kind,
    gpa,
    bytes,
    value,
  }: {
    kind: string;
    gpa: number;
    bytes: number;
    value: unknown;
  }) => {
    told.push([kind, gpa, bytes, value]);
    return 0xee;
  };
  const windows = [
    { gpa: PAGE, bytes: 1, device: 0 },
    { gpa: PAGE + 1, bytes: 1, device: 1 },
    { gpa: PAGE + 2, bytes: 2, device: 2 },
    { gpa: 0x100, bytes: 2, device: 0, over: true },
  ];
  const { memory, host, engine } = await bus(windows, [one.device, two.device, three.device], { onHole });
  memory.setUint32(PAGE, 0x44332211, true);
  assert.equal(
    [one.take(), two.take(), three.take()],
    [[["write", 0, 1, 0x11]], [["write", 0, 1, 0x22]], [["write", 0, 2, 0x4433]]],
  );
  assert.is(memory.getUint32(PAGE, true), 0x01000000);
  // Memory, devices, nothing.
  memory.setBigUint64(PAGE - 2, 0x8877665544332211n, true);
  assert.is(new DataView(host).getUint16(PAGE - 2, true), 0x2211);
  assert.equal(three.take().at(-1), ["write", 0, 2, 0x6655]);
  assert.equal(told, [["no-slot", PAGE + 4, 2, 0x8877]]);
  assert.is(engine.getDirtyLog(0)[0], 1);
  assert.is(memory.getBigUint64(PAGE - 2, true), 0x00ee_0100_0000_2211n);
  // A device between two pieces of memory.
  one.take();
  memory.setUint32(0xff, 0x04030201, true);
  assert.equal(one.take(), [["write", 0, 2, 0x0302]]);
  assert.equal([...new Uint8Array(host, 0xff, 4)], [1, 0, 0, 4]);
});

test("without a handler for one part nothing is done, and the error says that the access crosses", async () => {
  const { device, take } = noting();
  const { memory, host } = await bus([{ gpa: PAGE, bytes: 1, device: 0 }], [device]);
  const error = { kind: "crosses", gpa: PAGE - 1, bytes: 4, at: PAGE + 1, write: true };
  assert.throws(
    () => memory.setUint32(PAGE - 1, 7),
    ({ code, hole }: { code: string; hole: object }) =>
      code === "EFAULT" && Object.entries(error).every(([name, value]) => hole[name as never] === value),
  );
  assert.equal(take(), []);
  assert.is(new Uint8Array(host)[PAGE - 1], 0);
});

test("a device is called outside of the section: it may change the map, use the memory, throw", async () => {
  const made: { memory?: GuestMemory } = {};
  let engine: MemslotEngine | undefined;
  const device: Device = {
    read() {
      engine!.setUserMemoryRegionList([region(1, 2, 1, 0)], { timeout: 0 });
      return made.memory!.getUint8(2 * PAGE + 5);
    },
    write() {
      throw new Error("broken");
    },
  };
  const world = await bus([{ gpa: IO, bytes: 16, device: 0 }], [device]);
  engine = world.engine;
  made.memory = world.memory;
  new Uint8Array(world.host)[5] = 42;
  world.vcpu.enter();
  assert.is(world.memory.getUint32(IO, true), 42);
  assert.throws(() => world.memory.setUint8(IO, 1), /broken/);
  assert.is(world.memory.getUint8(2 * PAGE + 5), 42, "the section goes on in the new layout");
  assert.is(world.vcpu.stats().sections, 1);
  world.vcpu.exit();
});

test("devices come and go in the object that was given", async () => {
  const { device } = noting();
  const devices: { [device: number]: Device } = {};
  const { memory } = await bus([{ gpa: IO, bytes: 16, device: 3 }], devices as never, { onHole: () => 0x77 });
  assert.is(memory.getUint8(IO + 1), 0x77);
  devices[3] = device;
  assert.is(memory.getUint8(IO + 1), 1);
  delete devices[3];
  assert.is(memory.getUint8(IO + 1), 0x77);
});

test("a device with a field of a wrong type is refused by name", async () => {
  const engine = await MemslotEngine.create();
  const make = (device: unknown) => () =>
    guestMemory(engine, new ArrayBuffer(8), { devices: [device as Device] });
  const { device } = noting();
  assert.throws(make(7), /^devices\[0\] must be an object/);
  assert.throws(make({ ...device, read: 1 }), /^devices\[0\]\.read must be a function/);
  assert.throws(
    make({ ...device, endianness: "middle" }),
    /^devices\[0\]\.endianness must be "little" or "big"/,
  );
  assert.throws(make({ ...device, impl: { max: 4 } }), /^devices\[0\]\.impl\.max is unknown/);
  assert.throws(make({ ...device, valid: { minAccessSize: 3 } }), /minAccessSize must be 1, 2, 4 or 8/);
  assert.throws(make({ ...device, impl: { minAccessSize: 8, maxAccessSize: 4 } }), /must not be above/);
});

test.run();
