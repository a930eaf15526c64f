/**
 * PCI configuration as the guest's port accesses drive it, v86 played by an array: sizing, when BARs move and
 * when not, refusals, and what is left to v86.
 */
import { KVM_MEM_LOG_DIRTY_PAGES } from "memslots";
import { type PciDeviceOptions, V86Map } from "memslots/v86";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configAddress } from "../../examples/v86/guest.js";
import { MIB, SIZES } from "../../examples/v86/sizes.js";
import { dirtyPages } from "../support/bitmap.js";
import { PAGE } from "../support/region.js";
import { type Env, envOf, fakeV86 } from "./fake.js";

const BASE = 0xd000_0000;
const ROOM = 0x40_0000;
const NUMBER = 10;
const BDF = NUMBER << 3;
const COMMAND = 0x04;
const BAR0 = 0x10;
const ON = 2;
const IDS = { vendorId: 0x1af4, deviceId: 0x1110 };

interface Bench {
  readonly map: V86Map;
  readonly env: Env;
  readonly refused: Error[];
  write(offset: number, value: number, size?: 1 | 2 | 4): void;
  read(offset: number, size?: 1 | 2 | 4): number;
  /** Where slot 1 is, undefined if nowhere. */
  place(): number | undefined;
}

async function newBench(bars: PciDeviceOptions["bars"], identity = {}): Promise<Bench> {
  const refused: Error[] = [];
  const onRefused = (error: Error) => refused.push(error);
  const map = await V86Map.create({ v86: SIZES, memory: new Uint8Array(4 * MIB), onRefused });
  map.addDevice({ read: () => 0x5a, write: () => {} });
  map.addPciDevice(NUMBER, { ...IDS, ...identity, bars });
  const env = await envOf(map, fakeV86(new Uint8Array(ROOM).fill(0xee), BASE));
  const select = (offset: number) => env.io_port_write32!(0xcf8, configAddress(BDF, offset) | 0);
  const names = { 1: "8", 2: "16", 4: "32" };
  return {
    map,
    env,
    refused,
    write: (offset, value, size = 4) => {
      select(offset);
      env[`io_port_write${names[size]}`]!(0xcfc + (offset & 3), value | 0);
    },
    read: (offset, size = 4) => {
      select(offset);
      return env[`io_port_read${names[size]}`]!(0xcfc + (offset & 3)) >>> 0;
    },
    place: () => map.slots().find(({ slot }) => slot === 1)?.guestPhysAddr,
  };
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => "it is not refused",
    (caught: unknown) => caught,
  );
  assert.match(String(error), message);
}

const RAM_BAR = { size: MIB, slot: 1, userspaceAddr: 0 };

test("identity, and what the guest can write of it", async () => {
  const bench = await newBench([RAM_BAR], { classCode: 0x050000, revision: 7, subsystemId: 3 });
  assert.is(bench.read(0), 0x1110_1af4);
  assert.is(bench.read(8), 0x0500_0007);
  assert.is(bench.read(0x2e, 2), 3);
  for (const offset of [0, 8, 0x0c, 0x2c, 0x30, 0x34]) bench.write(offset, 0xffff_ffff);
  assert.is(bench.read(0), 0x1110_1af4);
  assert.is(bench.read(8), 0x0500_0007);
  for (const offset of [0x0c, 0x30, 0x34]) assert.is(bench.read(offset), 0);
  bench.write(0x3c, 0xffff_ffff);
  assert.is(bench.read(0x3c), 0xff);
  bench.write(COMMAND, 0xffff, 2);
  assert.is(bench.read(COMMAND, 2), 6);
  bench.write(COMMAND + 1, 0xff, 1);
  assert.is(bench.read(COMMAND), 6);
});

test("sizing tells the size and the type, and moves nothing, decoded or not", async () => {
  const bench = await newBench([{ ...RAM_BAR, prefetchable: true }]);
  bench.write(BAR0, 0xffff_ffff);
  assert.is(bench.read(BAR0), 0xfff0_0008);
  bench.write(BAR0, BASE);
  assert.is(bench.place(), undefined);
  bench.write(COMMAND, ON, 2);
  assert.is(bench.place(), BASE);
  bench.write(BAR0, 0xffff_ffff);
  assert.is(bench.read(BAR0), 0xfff0_0008);
  assert.is(bench.place(), BASE, "the register is transient, the BAR is not");
  const { generation } = bench.map;
  bench.write(BAR0, BASE);
  assert.is(bench.map.generation, generation, "nothing has moved");
  assert.is(bench.read(BAR0), BASE + 8);
});

test("a BAR is decoded nowhere without memory decoding, and where its register says with it", async () => {
  const bench = await newBench([RAM_BAR]);
  bench.write(COMMAND, ON, 2);
  assert.is(bench.place(), undefined, "0 is no address");
  bench.write(BAR0, BASE + MIB);
  assert.is(bench.place(), BASE + MIB, "decoding is on: it moves at once");
  bench.write(COMMAND, 4, 2);
  assert.is(bench.place(), undefined);
  bench.write(BAR0, BASE + 2 * MIB + 0x1234);
  assert.is(bench.read(BAR0), BASE + 2 * MIB, "the lower bits are not there");
  assert.is(bench.place(), undefined);
  bench.write(COMMAND, ON | 4, 2);
  assert.is(bench.place(), BASE + 2 * MIB);
  assert.is(bench.env.mmap_read8!(BASE + 2 * MIB), 0);
  assert.is(bench.env.mmap_read8!(BASE + MIB), 0xee);
});

test("a 64-bit BAR moves when its upper half is written", async () => {
  const bench = await newBench([{ ...RAM_BAR, is64: true }]);
  bench.write(BAR0, BASE);
  bench.write(COMMAND, ON, 2);
  assert.is(bench.place(), BASE);
  bench.write(BAR0, BASE + MIB);
  assert.is(bench.read(BAR0), BASE + MIB + 4);
  assert.is(bench.place(), BASE, "half an address");
  bench.write(BAR0 + 4, 0);
  assert.is(bench.place(), BASE + MIB);
  bench.write(BAR0 + 4, 1);
  assert.is(bench.place(), BASE + MIB, "above 4 GiB there is nothing in v86");
  bench.write(COMMAND, 0, 2);
  bench.write(COMMAND, ON, 2);
  assert.is(bench.place(), undefined);
});

test("all BARs of a device come and go in one commit, slots and windows", async () => {
  const bench = await newBench([RAM_BAR, { size: 16, device: 0 }]);
  bench.write(BAR0, BASE);
  bench.write(BAR0 + 4, BASE + MIB + 0x10);
  const { generation } = bench.map;
  bench.write(COMMAND, ON, 2);
  assert.is(bench.map.generation, generation + 1);
  assert.equal(bench.map.windows(), [{ gpa: BASE + MIB + 0x10, bytes: 16, device: 0, offset: 0 }]);
  assert.is(bench.env.mmap_read8!(BASE + MIB + 0x1f), 0x5a);
  assert.is(bench.env.mmap_read8!(BASE + MIB + 0x20), 0xee);
  bench.map.apply([], { windows: [{ gpa: BASE + 2 * MIB, bytes: 1, device: 0 }] });
  assert.is(bench.map.windows().length, 2, "the caller's windows are apart from those of BARs");
  bench.write(COMMAND, 0, 2);
  assert.equal(bench.map.slots(), []);
  assert.equal(bench.map.windows(), [{ gpa: BASE + 2 * MIB, bytes: 1, device: 0, offset: 0 }]);
});

test("a refused BAR stays where it was, and all of its device with it", async () => {
  const bench = await newBench([RAM_BAR, { size: MIB, slot: 2, userspaceAddr: 2 * MIB }]);
  const blocker = { slot: 0, flags: 0, guestPhysAddr: BASE, memorySize: MIB, userspaceAddr: MIB };
  bench.map.apply([blocker]);
  bench.write(BAR0, BASE);
  bench.write(BAR0 + 4, BASE + MIB);
  bench.write(COMMAND, ON, 2);
  assert.is(bench.refused.length, 1);
  assert.match(bench.refused[0]!.message, /EEXIST/);
  assert.equal(
    bench.map.slots().map(({ slot }) => slot),
    [0],
  );
  bench.write(BAR0, BASE + 2 * MIB);
  assert.is(bench.place(), BASE + 2 * MIB);
  bench.write(BAR0, BASE);
  assert.is(bench.refused.length, 2);
  assert.is(bench.place(), BASE + 2 * MIB);
  assert.is(bench.read(BAR0), BASE, "the register says what was written");
  for (const taken of [8 * MIB, 0xe000_0000, 0xfee0_0000]) bench.write(BAR0, taken);
  assert.is(bench.refused.length, 5);
  assert.match(bench.refused[2]!.message, /v86's RAM/);
  assert.is(bench.place(), BASE + 2 * MIB);
});

test("other functions, and addresses that are not enabled, are v86's", async () => {
  const bench = await newBench([RAM_BAR]);
  assert.is(bench.read(0), 0x1110_1af4);
  bench.env.io_port_write32!(0xcf8, configAddress(BDF + 1, 0) | 0);
  assert.is(bench.env.io_port_read32!(0xcfc), -1);
  bench.env.io_port_write32!(0xcf8, configAddress(BDF, 0) & 0x7fff_ffff);
  assert.is(bench.env.io_port_read32!(0xcfc), -1);
  bench.env.io_port_write8!(0xcfb, 0x80);
  assert.is(bench.env.io_port_read32!(0xcfc), 0x1110_1af4, "an address written in bytes");
  assert.is(bench.env.io_port_read32!(0xcfd), -1, "four bytes do not start at the second");
  assert.is(bench.env.io_port_read8!(0x3f8), 0xff);
});

/** A machine whose state is these bytes. */
function machineOf(bytes: readonly number[]) {
  const restored: number[][] = [];
  return {
    restored,
    save_state: async () => Uint8Array.from(bytes).buffer,
    restore_state: async (state: ArrayBuffer) => {
      restored.push([...new Uint8Array(state)]);
    },
  } as unknown as Parameters<V86Map["save"]>[0] & { readonly restored: number[][] };
}

/** What is saved of a map, as far as it can be seen. */
function seen({ map, read, place }: Bench) {
  const bar = [read(BAR0), read(COMMAND, 2), place()];
  return { slots: map.slots(), windows: map.windows(), memory: map.memory.slice(), bar };
}

test("restore puts back slots, windows, registers, BARs and memory; pages of logged slots are dirty", async () => {
  const bench = await newBench([RAM_BAR]);
  const { map } = bench;
  const logged = {
    slot: 0,
    flags: KVM_MEM_LOG_DIRTY_PAGES,
    guestPhysAddr: BASE,
    memorySize: MIB,
    userspaceAddr: MIB,
  };
  map.apply([logged], { windows: [{ gpa: BASE + 3 * MIB, bytes: 16, device: 0 }] });
  bench.write(BAR0, BASE + 2 * MIB);
  bench.write(COMMAND, ON, 2);
  map.memory.fill(7);
  const before = seen(bench);
  const machine = machineOf([1, 2, 3]);
  const saved = await map.save(machine);

  map.apply([{ ...logged, guestPhysAddr: BASE + MIB }], { windows: [] });
  bench.write(COMMAND, 0, 2);
  bench.write(BAR0, 0);
  map.memory.fill(8);
  const after = seen(bench);
  assert.not.equal(after, before);

  const broken = { ...machine, restore_state: () => Promise.reject(new Error("v86 has no such device")) };
  await rejects(map.restore(broken, saved), /^Error: v86 has no such device$/);
  assert.equal(seen(bench), after, "the old map stands again");

  map.getDirtyLog(0);
  map.markDirty(BASE + MIB + 5 * PAGE);
  assert.equal(dirtyPages(map.getDirtyLog(0)), [5]);
  await map.restore(machine, saved);
  assert.equal(machine.restored, [[1, 2, 3]]);
  assert.equal(seen(bench), before);
  assert.is(dirtyPages(map.getDirtyLog(0)).length, MIB / PAGE);
});

test("bytes that are no saved machine, or that of another map, are refused before anything happens", async () => {
  const bench = await newBench([RAM_BAR]);
  const machine = machineOf([1]);
  const saved = await bench.map.save(machine);
  const before = seen(bench);
  const spoilt = (word: number, value: number) => {
    const copy = saved.slice(0);
    new DataView(copy).setUint32(4 * word, value, true);
    return copy;
  };
  const cases: [unknown, RegExp][] = [
    [new Uint8Array(saved), /^Error: not a saved machine: it must be an ArrayBuffer from save$/],
    [saved.slice(0, 20), /^Error: not a saved machine: it must be an ArrayBuffer from save$/],
    [spoilt(0, 0x1234), /^Error: not a saved machine: magic 0x1234$/],
    [spoilt(1, 99), /^Error: saved machine of version 99, not \d+$/],
    [saved.slice(0, -8), /^Error: saved machine cut off at \d+ bytes$/],
  ];
  for (const [bytes, message] of cases)
    await rejects(bench.map.restore(machine, bytes as ArrayBuffer), message);
  const other = await V86Map.create({ v86: SIZES, memory: new Uint8Array(4 * MIB) });
  await rejects(
    other.restore(machine, saved),
    /^Error: the saved machine has other PCI devices: \[80\], not \[\]$/,
  );
  const small = await V86Map.create({ v86: SIZES, memory: new Uint8Array(MIB) });
  await rejects(small.restore(machine, saved), /^Error: the saved machine has other bytes of host memory: /);
  assert.equal(machine.restored, []);
  assert.equal(seen(bench), before);
});

test("a memory, a device or a window that a map cannot have is refused by name", async () => {
  const huge = Object.defineProperty(new Uint8Array(8), "length", { value: 2 ** 31 });
  const tooLong = /^RangeError: memory must have less than 2 GiB, not 2147483648 bytes$/;
  await rejects(V86Map.create({ v86: SIZES, memory: huge }), tooLong);
  await rejects(
    V86Map.create({ v86: SIZES, memory: [] as never }),
    /^TypeError: memory must be a Uint8Array, not /,
  );
  const { map } = await newBench([]);
  for (const device of [undefined, { read: () => 0 }, { write() {} }]) {
    assert.throws(() => map.addDevice(device as never), /^device must have read and write, not be /);
  }
  const place = { gpa: BASE, bytes: 16 };
  for (const window of [{ ...place, device: 0, over: true }, place]) {
    const message =
      /^windows\[0\] must be a device's or host memory, and not over slots: v86 maps whole pages$/;
    assert.throws(() => map.apply([], { windows: [window as never] }), message);
  }
  assert.equal(map.windows(), []);
});

test("options that make no sense are refused by name", async () => {
  const bad: [PciDeviceOptions["bars"], RegExp][] = [
    [[{ ...RAM_BAR, size: 3 * MIB }], /bars\[0\]\.size must be a power of two/],
    [[{ ...RAM_BAR, size: 0x800 }], /bars\[0\]\.size must be a page/],
    [[{ ...RAM_BAR, userspaceAddr: 4 * MIB }], /bars\[0\]\.userspaceAddr/],
    [[{ size: 8, device: 0 }], /bars\[0\]\.size/],
    [[{ size: 16, device: 1 }], /bars\[0\]\.device/],
    [
      [
        { ...RAM_BAR, is64: true },
        { size: 16, device: 0 },
      ],
      /bars\[0\]\.is64/,
    ],
    [new Array(7).fill(undefined), /bars/],
  ];
  for (const [bars, message] of bad) {
    try {
      await newBench(bars);
      assert.unreachable(`${message} must be refused`);
    } catch (error) {
      assert.instance(error, RangeError);
      assert.match((error as Error).message, message);
    }
  }
  const { map } = await newBench([]);
  assert.throws(() => map.addPciDevice(NUMBER, { ...IDS, bars: [] }), /exists/);
  assert.throws(() => map.addPciDevice(32, { ...IDS, bars: [] }), /number/);
  assert.throws(() => map.addPciDevice(11, { vendorId: -1, deviceId: 0, bars: [] }), /vendorId/);
});

test.run();
