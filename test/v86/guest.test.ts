/** Accesses by a guest's instructions: widths, v86's own devices, the dirty log, changes from inside a device. */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";
import { type MmioDevice, V86Map, type V86MapOptions } from "memslots/v86";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { firmware, GuestCode } from "../../examples/v86/guest.js";
import { GuestMachine, V86_WASM } from "../../examples/v86/machine.js";
import { MIB, SIZES } from "../../examples/v86/sizes.js";
import { dirtyPages, hostPages } from "../support/bitmap.js";
import { PAGE } from "../support/region.js";

const LOW = 0xd000_0000;
const VGA = 0xa_0000;
const LFB = 0xe000_0000;
const SLOT = { slot: 0, flags: 0, guestPhysAddr: LOW, memorySize: MIB, userspaceAddr: 0 };

type Actions = Readonly<Record<number, () => void>>;

function newMap(options: Partial<V86MapOptions> = {}): Promise<V86Map> {
  return V86Map.create({ v86: SIZES, memory: new Uint8Array(MIB), ...options });
}

/** Numbers that the guest reported until its call 0. */
async function run(map: V86Map, code: GuestCode, actions: Actions = {}): Promise<number[]> {
  const bios = { buffer: firmware(code.call(0)) };
  const machine = new GuestMachine({ ...SIZES, bios, wasm_fn: map.wasmFunction(V86_WASM) }, actions);
  await machine.called(0);
  await machine.stop();
  return machine.values;
}

/** Notes the accesses it gets. */
function recorder(answer: number): MmioDevice & { readonly log: string[] } {
  const log: string[] = [];
  return {
    log,
    read: (offset, size) => {
      log.push(`r${size} ${offset}`);
      return answer;
    },
    write: (offset, size, value) => {
      log.push(`w${size} ${offset} ${value.toString(16)}`);
    },
  };
}

test("a slot takes every width", async () => {
  const map = await newMap();
  map.apply([SLOT]);
  const data = Array.from({ length: 16 }, (_, i) => 0xa0 + i);
  const code = new GuestCode()
    .write(LOW, 0x11)
    .write(LOW + 2, 0x3322, 2)
    .write(LOW + 4, 0x77665544, 4)
    .writeWide(LOW + 8, data.slice(0, 8))
    .writeWide(LOW + 17, data)
    .read(LOW + 2, 2)
    .read(LOW + 5, 4);
  assert.equal(await run(map, code), [0x22, 0x33, 0x55, 0x66, 0x77, 0xa0]);
  const expected = [0x11, 0, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, ...data.slice(0, 8), 0, ...data];
  assert.equal([...map.memory.subarray(0, expected.length)], expected);
});

test("a device sees the guest's accesses; what reaches over its edge comes in bytes", async () => {
  const map = await newMap();
  const device = recorder(0xffff_ff99);
  map.apply([], { windows: [{ gpa: LOW + 8, bytes: 8, device: map.addDevice(device), offset: 0x100 }] });
  const code = new GuestCode()
    .read(LOW + 8)
    .read(LOW + 8, 2)
    .read(LOW + 8, 4)
    .write(LOW + 9, 0x12)
    .write(LOW + 10, 0x1234, 2)
    .write(LOW + 12, 0xfedc_ba98, 4)
    .writeWide(LOW + 8, [1, 0, 0, 0, 2, 0, 0, 0])
    .write(LOW + 14, 0x4433_2211, 4);
  const values = await run(map, code);
  assert.equal(values, [0x99, 0x99, 0x99, 0x99, 0xff, 0xff, 0xff]);
  assert.equal(device.log, [
    ...["r1 256", "r1 256", "r1 257", "r4 256"],
    ...["w1 257 12", "w2 258 1234", "w4 260 fedcba98", "w4 256 1", "w4 260 2", "w1 262 11", "w1 263 22"],
  ]);
});

test("a loop accesses each address as often as it says: what is measured is what is counted", async () => {
  const map = await newMap();
  const device = recorder(0);
  map.apply([], { windows: [{ gpa: LOW, bytes: 3 * PAGE, device: map.addDevice(device) }] });
  const gpas = [LOW, LOW + 2 * PAGE];
  await run(
    map,
    new GuestCode().loop("read", gpas, 3, 4).loop("read", gpas, 2, 1).loop("write", [LOW], 2, 4),
  );
  const reads4 = Array.from({ length: 3 }, () => ["r4 0", "r4 8192"]).flat();
  assert.equal(device.log, [...reads4, ...["r1 0", "r1 8192", "r1 0", "r1 8192"], ...["w4 0 0", "w4 0 0"]]);
});

test("a write that a READONLY slot refuses goes to the window below it", async () => {
  const map = await newMap();
  map.memory.fill(0x77);
  const device = recorder(0);
  const windows = [{ gpa: LOW, bytes: PAGE, device: map.addDevice(device) }];
  map.apply([{ ...SLOT, flags: KVM_MEM_READONLY }], { windows });
  const code = new GuestCode()
    .write(LOW + 4, 0x12)
    .write(LOW + PAGE, 0x34)
    .read(LOW + 4)
    .read(LOW + PAGE);
  assert.equal(await run(map, code), [0x77, 0x77]);
  assert.equal(device.log, ["w1 4 12"]);
});

test("v86's own devices answer where nothing of ours is, and again when it is gone", async () => {
  const map = await newMap();
  map.memory.fill(0x77);
  const window = { ...SLOT, guestPhysAddr: VGA, memorySize: PAGE };
  const code = new GuestCode()
    .write(VGA + 0x1_8000, 0x61)
    .write(LFB + 4, 0x62)
    .write(LFB + 5, 0x63)
    .read(VGA + 0x1_8000)
    .read(LFB + 4, 2)
    .call(1)
    .read(VGA)
    .read(VGA + 0x1_8000)
    .call(2)
    .read(VGA);
  const values = await run(map, code, {
    1: () => map.apply([window]),
    2: () => map.apply([{ ...window, memorySize: 0 }]),
  });
  assert.equal(values.slice(0, 5), [0x61, 0x62, 0x63, 0x77, 0x61]);
  assert.is.not(values[5], 0x77);
});

test("two windows swap places in one list", async () => {
  const map = await newMap();
  map.memory.fill(0x11, 0, PAGE);
  map.memory.fill(0x22, PAGE, 2 * PAGE);
  const pages = [0, 1].map((i) => ({ ...SLOT, slot: i, memorySize: PAGE, userspaceAddr: i * PAGE }));
  const at = (places: readonly number[]) =>
    pages.map((page, i) => ({ ...page, guestPhysAddr: LOW + places[i]! * PAGE }));
  map.apply(at([0, 1]));
  const look = (code: GuestCode) => code.read(LOW).read(LOW + PAGE);
  const code = look(look(new GuestCode()).call(1));
  assert.equal(await run(map, code, { 1: () => map.apply(at([1, 0])) }), [0x11, 0x22, 0x22, 0x11]);
});

test("each harvest has the pages written since the last one", async () => {
  const map = await newMap();
  map.apply([{ ...SLOT, flags: KVM_MEM_LOG_DIRTY_PAGES }]);
  const consumer = map.dirtyConsumer("display");
  const harvests: number[][] = [];
  const take = () => harvests.push(dirtyPages(map.getDirtyLog(0)));
  const code = new GuestCode()
    .write(LOW, 1)
    .write(LOW + 5 * PAGE, 1)
    .read(LOW + 6 * PAGE)
    .call(1)
    .write(LOW + 5 * PAGE, 2)
    .call(2)
    .write(LOW + 5 * PAGE, 3)
    .call(1);
  const actions = {
    1: take,
    2: () => {
      harvests.push(hostPages(consumer.begin()));
      consumer.done();
    },
  };
  await run(map, code, actions);
  assert.equal(harvests, [[0, 5], [0, 5], [5]]);
  assert.equal(hostPages(consumer.begin()), [5]);
  consumer.done();
});

test("a device may change the map in the access that it answers", async () => {
  const map = await newMap();
  map.memory.fill(0x77);
  const device: MmioDevice = {
    read: () => {
      map.apply([SLOT], { windows: [] });
      return 0x55;
    },
    write: () => {},
  };
  map.apply([], { windows: [{ gpa: LOW, bytes: 4, device: map.addDevice(device) }] });
  assert.equal(await run(map, new GuestCode().read(LOW).read(LOW)), [0x55, 0x77]);
});

test.run();
