/** rp2040js with its bus on the engine: the same program runs the same, and a piece missing from the map is noticed. */
import { type DeviceWindow, MemslotEngine, type RegionLike } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Bus } from "../../examples/mappers/rp2040/bus.js";
import { createMachine, execute, type Machine, stateOf } from "../../examples/mappers/rp2040/machine.js";
import { slots } from "../../examples/mappers/rp2040/memorymap.js";
import { assembleProgram, programImage } from "../../examples/mappers/rp2040/program.js";
import { type Random, random } from "../support/random.js";
import { PAGE } from "../support/region.js";

const image = programImage();
/** More than the program takes. */
const STEPS_MAX = 120_000;
const SRAM_SLOT = 5;
const SRAM_GPA = 0x20000000;
const SRAM_BYTES = 264 * 1024;

/** All that can be seen of a machine. */
function seen(machine: Machine) {
  const { text, usb, log, steps, ended } = machine;
  return { text, usb, log, steps, ended, state: stateOf(machine) };
}

/**
 * Go on, to the end if there is one. SIO, and a core that runs through nothing, write to the console: it goes
 * into the log.
 */
function runOn(machine: Machine, work = () => execute(machine, STEPS_MAX)): void {
  const { warn, error } = console;
  const note = (...words: unknown[]) => machine.log.push(words.join(" "));
  Object.assign(console, { warn: note, error: note });
  try {
    work();
  } finally {
    Object.assign(console, { warn, error });
  }
}

function onSlots() {
  return createMachine(image, "on slots");
}

const plain = await createMachine(image, "as it is");
execute(plain, STEPS_MAX);
const expected = seen(plain);

const program = suite("program");

program("program.hex is what program.s is assembled to", () => {
  let bytes: Uint8Array;
  try {
    bytes = assembleProgram();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    console.log("skipped: no arm-none-eabi-as (Debian: binutils-arm-none-eabi)");
    return;
  }
  assert.equal(bytes, image);
});

program("it comes to its end, and has met what it should", () => {
  assert.ok(expected.ended);
  assert.match(
    expected.text,
    /^memory map of an RP2040\nfrom flash by DMA, from SRAM by DMA\n[0-9a-f]{8}\n$/,
  );
  assert.is(expected.usb.length, 1);
  for (const kind of [/Read from invalid memory/, /Write to undefined/, /Start USB transfer/]) {
    assert.ok(
      expected.log.some((line) => kind.test(line)),
      String(kind),
    );
  }
});

program("on slots it comes to the same: text, USB, log, registers, memories", async () => {
  const machine = await onSlots();
  execute(machine, STEPS_MAX);
  assert.equal(seen(machine), expected);
});

program("in step with rp2040js, looked at every 500 instructions", async () => {
  const [one, other] = [await createMachine(image, "as it is"), await onSlots()];
  while (!one.ended) {
    execute(one, 500);
    execute(other, 500);
    assert.equal(other.chip.core.registers, one.chip.core.registers, `after ${one.steps} steps`);
    assert.is(other.chip.clock.nanos, one.chip.clock.nanos);
  }
  assert.is(stateOf(other), stateOf(one));
});

program.run();

const map = suite("map");

/** The program's run is another if the map is changed before it. */
async function isMissed(
  change: (windows: DeviceWindow[]) => { list?: RegionLike[]; windows?: DeviceWindow[] },
): Promise<boolean> {
  const machine = await onSlots();
  const { list = [], windows } = change(machine.bus!.engine.windows() as DeviceWindow[]);
  machine.bus!.inSection(() => machine.bus!.commit(list, windows));
  runOn(machine);
  const { state, ...visible } = expected;
  const { state: other, ...found } = seen(machine);
  return state !== other || JSON.stringify(found) !== JSON.stringify(visible);
}

map("a change to the same is no difference", async () => {
  const { state, ...visible } = expected;
  const machine = await onSlots();
  const { engine } = machine.bus!;
  machine.bus!.inSection(() => machine.bus!.commit([], engine.windows() as DeviceWindow[]));
  execute(machine, STEPS_MAX);
  assert.equal(seen(machine), { state, ...visible });
});

for (const { slot, guestPhysAddr } of slots()) {
  map(`without slot ${slot} at 0x${guestPhysAddr.toString(16)} the program runs otherwise`, async () => {
    const gone = { slot, flags: 0, guestPhysAddr, memorySize: 0, userspaceAddr: 0 };
    assert.ok(await isMissed(() => ({ list: [gone] })));
  });
}

map("without any one window the program runs otherwise", async () => {
  const { bus } = await onSlots();
  const { length } = bus!.engine.windows();
  assert.is(length, 34);
  for (let i = 0; i < length; i++) {
    assert.ok(await isMissed((windows) => ({ windows: windows.filter((_, at) => at !== i) })), `window ${i}`);
  }
});

for (const [what, change] of [
  [
    "with the UARTs exchanged",
    (windows) => {
      const [one, other] = [0x40034000, 0x40038000].map((gpa) => windows.find((w) => w.gpa === gpa)!);
      const kept = windows.filter((w) => w !== one && w !== other);
      return { windows: [...kept, { ...one!, gpa: other!.gpa }, { ...other!, gpa: one!.gpa }] };
    },
  ],
  [
    "with registers one word off",
    (windows) => ({ windows: windows.map((w) => (w.gpa === 0x40058000 ? { ...w, offset: 4 } : w)) }),
  ],
  [
    "with a mirror of the flash that takes writes",
    () => {
      const mirror = slots()[2]!;
      return {
        list: [
          { ...mirror, memorySize: 0 },
          { ...mirror, flags: 0 },
        ],
      };
    },
  ],
  [
    "with a USB RAM whose controller is told nothing",
    () => {
      const dpram = slots()[6]!;
      return {
        list: [
          { ...dpram, memorySize: 0 },
          { ...dpram, flags: 0 },
        ],
      };
    },
  ],
] satisfies [string, Parameters<typeof isMissed>[0]][]) {
  map(`${what} the program runs otherwise`, async () => assert.ok(await isMissed(change)));
}

map("a window must be of whole pages", async () => {
  const { bus } = await onSlots();
  const generation = bus!.engine.generation();
  assert.throws(
    () => bus!.inSection(() => bus!.commit([], [{ gpa: 0x40000000, bytes: 0x10, device: 0 }])),
    /whole pages/,
  );
  assert.is(bus!.engine.generation(), generation);
});

map.run();

const moves = suite("moves");

/** Run the program while SRAM goes to and fro between two places of the host's memory. */
/** @param tool called around each change */
async function moving(
  tool = (_bus: Bus, change: () => void) => change(),
): Promise<{ machine: Machine; moved: number }> {
  const machine = await onSlots();
  const { chip, bus } = machine;
  const sram = slots().find(({ slot }) => slot === SRAM_SLOT)!;
  const home = sram.userspaceAddr;
  // The last megabyte of the flash is empty.
  const away = chip.flash.byteOffset + 15 * 1024 * 1024;
  const host = new Uint8Array(bus!.engine.memory.buffer);
  let [at, moved] = [home, 0];
  const move = () => {
    const to = at === home ? away : home;
    host.copyWithin(to, at, at + SRAM_BYTES);
    host.fill(0xdb, at, at + SRAM_BYTES);
    const { publications } = bus!.engine;
    tool(bus!, () => {
      bus!.commit([
        { ...sram, memorySize: 0 },
        { ...sram, userspaceAddr: to },
      ]);
    });
    assert.is(bus!.engine.publications, publications + 1);
    at = to;
    moved++;
  };
  while (!machine.ended && machine.steps < STEPS_MAX) {
    runOn(machine, () => execute(machine, 977));
    // Within the section, as a device's register write would.
    bus!.inSection(() => move());
  }
  if (at !== home) bus!.inSection(() => move());
  chip.flash.fill(0xff, 15 * 1024 * 1024);
  return { machine, moved };
}

moves("the host's SRAM moves while the program runs, which sees nothing of it", async () => {
  const { machine, moved } = await moving();
  assert.ok(moved > 90);
  assert.equal(seen(machine), expected);
});

moves("a translation that outlives its layout is seen", async () => {
  const stale = await moving(({ reads }, change) => {
    const entries = reads.entries.subarray(SRAM_GPA / PAGE, (SRAM_GPA + SRAM_BYTES) / PAGE);
    const before = entries.slice();
    change();
    for (const [page, entry] of before.entries()) if (entry > 0) entries[page] = entry;
  });
  assert.not.equal(seen(stale.machine), expected);
});

moves("another thread's change is seen from the next section on, never within one", async () => {
  const { chip, bus } = await onSlots();
  const other = await MemslotEngine.attach(bus!.engine.handle);
  const flash = other.slots().find(({ guestPhysAddr }) => guestPhysAddr === 0x10000000)!;
  const read = () => chip.readUint32(0x10000000);
  bus!.inSection(() => {
    const before = read();
    other.setUserMemoryRegionList([{ ...flash, memorySize: 0 }], { wait: false });
    assert.is(read(), before);
  });
  bus!.inSection(() => assert.is(read(), 0xffffffff));
});

moves.run();

const accesses = suite("accesses");

const ACCESSES = 200_000;

const REGIONS: readonly [base: number, bytes: number][] = [
  [0, 0x4000],
  [0x10000000, 0x1000],
  [0x10fff000, 0x2000],
  [0x13fff000, 0x2000],
  [0x18000000, 0x4000],
  [0x20000000, 0x1000],
  [0x20041000, 0x2000],
  [0x40000000, 0x70000],
  [0x50000000, 0x1000],
  [0x50100000, 0x1000],
  [0x50110000, 0x4000],
  [0xd0000000, 0x180],
  [0xe000d000, 0x3000],
  [0xfffff000, 0x1000],
];

/** Result of an access, or its error. */
function answer(chip: Machine["chip"], { next, int, pick, chance }: Random): unknown {
  const [base, bytes] = pick(REGIONS);
  const width = pick([1, 2, 4]);
  const spot = chance(0.3) ? bytes - 1 - int(8) : int(bytes);
  // What is not aligned, and sums of registers beyond 32 bits, too.
  const address = base + (chance(0.1) ? spot : spot - (spot % width)) + (chance(0.1) ? 2 ** 32 : 0);
  const value = Math.floor(next() * 2 ** 32);
  const write = chance(0.4);
  try {
    if (width === 4) return write ? chip.writeUint32(address, value) : chip.readUint32(address);
    if (width === 2) return write ? chip.writeUint16(address, value) : chip.readUint16(address);
    return write ? chip.writeUint8(address, value) : chip.readUint8(address);
  } catch (error) {
    return String(error);
  }
}

const seed = Number(process.env.SEED ?? Date.now() % 1e9);

accesses(`random accesses answer and log as rp2040js alone (SEED=${seed})`, async () => {
  console.log(`seed ${seed}`);
  const machines = [await createMachine(image, "as it is"), await onSlots()];
  const answers = machines.map((machine) => {
    const run = random(seed);
    const all: unknown[] = [];
    const work = () => {
      for (let i = 0; i < ACCESSES; i++) all.push(answer(machine.chip, run));
    };
    runOn(machine, () => (machine.bus === undefined ? work() : machine.bus.inSection(work)));
    // They run on by themselves.
    for (const pio of machine.chip.pio) pio.stop();
    return all;
  });
  const [right, ours] = answers as [unknown[], unknown[]];
  const at = right.findIndex((value, i) => !Object.is(value, ours[i]));
  assert.is(at, -1, `access ${at}: ${ours[at]}, not ${right[at]}`);
  assert.equal(machines[1]!.log, machines[0]!.log);
  assert.is(stateOf(machines[1]!), stateOf(machines[0]!));
});

accesses.run();
