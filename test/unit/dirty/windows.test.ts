/** Memory in the page of a device: written pages are told to consumers, found by host address, and marked by it. */
import {
  addHostNotifier,
  DirtyConsumer,
  guestMemory,
  invalidateHostRange,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  markHostRangeDirty,
} from "memslots";
import { FlatViews, MemoryRegion } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hostPages } from "../../support/bitmap.js";
import { checkInvariants } from "../../support/invariants.js";
import { random } from "../../support/random.js";
import { PAGE, region } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 2);
console.log(`seed ${SEED}`);
/** Number of what is no slot, in address space 0. */
const WINDOW = 0xffff;

/** 2 MiB of logged RAM, with a device of 8 bytes in the middle of page 0x100. */
async function uartInRam(): Promise<{ engine: MemslotEngine; ram: ArrayBuffer; commit: () => void }> {
  const engine = await MemslotEngine.create();
  const system = MemoryRegion.container("system", 2n ** 64n);
  const memory = MemoryRegion.ram("ram", 0x20_0000, 0);
  const uart = MemoryRegion.io("uart", 8, 3);
  memory.setLog(true);
  system.addSubregion(0, memory);
  system.addSubregion(0x10_0008, uart, 1);
  const views = new FlatViews(engine);
  views.set(system);
  return {
    engine,
    ram: new ArrayBuffer(0x20_0000),
    commit: () => {
      system.delSubregion(uart);
      views.set(system);
    },
  };
}

test("a write beside a device is told, whatever the flat view becomes", async () => {
  const { engine, ram, commit } = await uartInRam();
  assert.equal(engine.windows(), [
    { gpa: 0x10_0000, bytes: 8, hva: 0x10_0000, readonly: false, log: true },
    { gpa: 0x10_0008, bytes: 8, device: 3, offset: 0 },
    { gpa: 0x10_0010, bytes: PAGE - 16, hva: 0x10_0010, readonly: false, log: true },
  ]);
  const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
  assert.equal(hostPages(migration.begin()).length, 0x200, "all of it, the page of the device too");
  migration.done();
  const memory = guestMemory(engine, ram);
  memory.setUint32(0x10_0010, 1234, true);
  const guest = [
    { slot: WINDOW, gpa: 0x10_0000, bytes: 8 },
    { slot: WINDOW, gpa: 0x10_0010, bytes: PAGE - 16 },
  ];
  assert.equal(migration.begin(), [{ hva: 0x10_0000, bytes: PAGE, guest }]);
  migration.done();
  memory.setUint8(0x10_0007, 1);
  commit();
  assert.equal(engine.windows(), []);
  assert.equal(hostPages(migration.begin()), [0x100], "the windows are gone, the page is not");
  migration.done();
  assert.equal(migration.begin(), [], "a slot over known pages makes nothing dirty");
  checkInvariants(engine);
});

test("such memory is found by its host address, and marked by it", async () => {
  const { engine } = await uartInRam();
  const screen = new DirtyConsumer(engine, "screen");
  assert.is(markHostRangeDirty(engine, 0x10_0010, 0x10_0014), 1);
  assert.is(markHostRangeDirty(engine, 0x10_0007, 0x10_0011), 2, "of two windows");
  assert.is(markHostRangeDirty(engine, 0x10_0008, 0x10_0010), 0, "which the device hides");
  assert.equal(hostPages(screen.begin()), [0x100]);
  const found = engine.hvaToGpas(0x10_0010, 0x10_0014);
  assert.equal(found, [
    { slot: WINDOW, gpa: 0x10_0000, bytes: 8 },
    { slot: WINDOW, gpa: 0x10_0010, bytes: PAGE - 16 },
  ]);
  const told: unknown[] = [];
  const end = addHostNotifier(engine, (range) => told.push(range));
  assert.is(invalidateHostRange(engine, 0x10_0010, 0x10_0014), 2);
  end();
  assert.equal(told, found);
});

test("in the section of a vCPU a write is marked again after a harvest, in each part of the page", async () => {
  const { engine, ram } = await uartInRam();
  const screen = new DirtyConsumer(engine, "screen");
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, ram, { vcpu });
  const harvest = () => {
    const pages = hostPages(screen.begin());
    screen.done();
    return pages;
  };
  vcpu.enter();
  for (const gpa of [0x10_0000, 0x10_0020]) {
    memory.setUint8(gpa, 1);
    assert.equal(harvest(), [0x100]);
    memory.setUint8(gpa, 2);
    vcpu.refresh();
    assert.equal(harvest(), [0x100], "written after the harvest");
  }
  vcpu.exit();
  memory.atomics.add(0x10_0020, 32, 4);
  memory.write(0x10_0ff0, new Uint8Array(32));
  assert.equal(harvest(), [0x100, 0x101]);
  vcpu.release();
});

test("memory that is not aligned in the host as in the guest: every host page that is written is told", async () => {
  const rng = random(SEED);
  for (let run = 0; run < 40; run++) {
    const engine = await MemslotEngine.create();
    const [gpa, hva, bytes] = [8 * (1 + rng.int(2000)), 8 * (1 + rng.int(2000)), 8 * (1 + rng.int(2000))];
    const windows = [[{ gpa, bytes, hva, log: true }]];
    const ram = new Uint8Array(2 ** 17);
    const copy = ram.slice();
    engine.setUserMemoryRegionList([], { windows });
    const screen = new DirtyConsumer(engine, "screen");
    const vcpu = engine.vcpu();
    const memories = [guestMemory(engine, ram.buffer), guestMemory(engine, ram.buffer, { vcpu })];
    for (let step = 0; step < 30; step++) {
      vcpu.enter();
      for (let i = rng.int(4); i > 0; i--) {
        const memory = rng.pick(memories);
        const at = gpa + rng.int(bytes);
        if (rng.chance(0.5)) memory.setUint8(at, 1 + rng.int(255));
        else if (at + 4 <= gpa + bytes) memory.setUint32(at, rng.int(2 ** 31), true);
        else memory.write(at, new Uint8Array(gpa + bytes - at).fill(step));
      }
      vcpu.exit();
      if (rng.chance(0.3))
        engine.setUserMemoryRegionList([], { windows: [[...windows[0]!, ...device(step)]] });
      for (const page of hostPages(screen.begin())) {
        copy.set(ram.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
      }
      screen.done();
      assert.ok(Buffer.compare(copy, ram) === 0, `run ${run}, step ${step}`);
    }
    checkInvariants(engine);
  }
});

function device(number: number) {
  return [{ gpa: 2 ** 30, bytes: 4, device: number }];
}

test("a window without log is no part of any consumer; a READONLY one is never written", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 1, 9, LOG)], {
    windows: [[{ gpa: 2 * PAGE, bytes: 64, hva: 3 * PAGE }]],
  });
  const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
  guestMemory(engine, new ArrayBuffer(10 * PAGE)).setUint8(2 * PAGE, 1);
  assert.equal(hostPages(migration.begin()), [9]);
  assert.throws(
    () => engine.setUserMemoryRegionList([], { windows: [[{ gpa: 0, bytes: 1, hva: 0, log: 1 as never }]] }),
    /log/,
  );
});

test("windows that come and go leave the marks of a logged window whole", async () => {
  const engine = await MemslotEngine.create();
  const logged = { gpa: 0x1100, bytes: 0x200, hva: 0x9100, log: true };
  const device = { gpa: 0x5000, bytes: 8, device: 1 };
  engine.setUserMemoryRegionList([], { windowChanges: [{ add: logged }] });
  const consumer = new DirtyConsumer(engine, "screen");
  engine.setUserMemoryRegionList([], { windowChanges: [{ add: device }] });
  engine.markDirty(0x1180);
  assert.equal(
    consumer.begin().map(({ hva, bytes }) => [hva, bytes]),
    [[0x9000, PAGE]],
  );
  consumer.done();
  engine.setUserMemoryRegionList([], { windowChanges: [{ remove: device.gpa }] });
  assert.equal(consumer.begin(), []);
  checkInvariants(engine);
});

test.run();
