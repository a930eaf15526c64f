/** Scenarios of tests and demo: programs of a guest with either map. Each returns the bytes that the guest saw. */
import type { V86 } from "v86";
import { type Boot, HIGH, LOW } from "./boots.js";
import { GuestCode } from "./guest.js";
import { GuestMachine } from "./machine.js";
import { PCI, type Side, withMap, withoutMap } from "./sides.js";

const DONE = 0;
const FIRST = 1;
const SECOND = 2;

const COMMAND = 0x04;
const BAR0 = 0x10;
const MEMORY_ON = 2;
/**
 * v86's IDE controller, whose BARs 0 to 3 hold ports that v86 does not move: its restore_state throws unless the guest
 * has written them before, as every BIOS does.
 */
const IDE = 0x1e << 3;
/** A byte of RAM that the guest waits for. */
const FLAG = 0x9000;

/** The map of a machine. */
export type Whose = "memslots" | "v86";

/** Bytes as the tables show them. */
function hex(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}

/** Run `code` to its last call, DONE. */
async function run(
  boot: Boot,
  whose: Whose,
  code: GuestCode,
  actions: Readonly<Record<number, (side: Side, emulator: V86) => void>>,
  during: (side: Side, machine: GuestMachine) => Promise<void> = async () => {},
): Promise<string> {
  const options = boot.options(code);
  const side = whose === "memslots" ? await withMap(options) : withoutMap();
  const hosted = Object.entries(actions).map(([action, act]) => [
    action,
    (emulator: V86) => act(side, emulator),
  ]);
  const machine = new GuestMachine({ ...options, ...side.options }, Object.fromEntries(hosted));
  await during(side, machine);
  await machine.called(DONE);
  await machine.stop();
  return hex(machine.values);
}

/** Read, create, read, write, read, move, read the old place and the new one: five bytes. */
function createWriteMove(boot: Boot, whose: Whose): Promise<string> {
  const { low, high } = boot;
  const code = new GuestCode().read(low).call(FIRST).read(low).write(low, 0x5a).read(low);
  code.call(SECOND).read(low).read(high).call(DONE);
  return run(boot, whose, code, {
    [FIRST]: (side, emulator) => side.create(LOW, emulator),
    [SECOND]: (side, emulator) => side.move(HIGH, emulator),
  });
}

/**
 * The guest decodes BAR 0 at LOW, reads and writes, and moves it to HIGH by configuration writes; then it reads both
 * places and the four bytes of the register: 1 + 2 + 4 bytes.
 */
function relocateBar(boot: Boot, whose: Whose): Promise<string> {
  const code = new GuestCode()
    .call(FIRST)
    .configWrite(PCI.bdf, BAR0, LOW)
    .configWrite(PCI.bdf, COMMAND, MEMORY_ON, 2)
    .read(boot.low)
    .write(boot.low, 0x5a)
    .configWrite(PCI.bdf, COMMAND, 0, 2)
    .configWrite(PCI.bdf, BAR0, HIGH)
    .configWrite(PCI.bdf, COMMAND, MEMORY_ON, 2)
    .read(boot.low)
    .read(boot.high)
    .configRead(PCI.bdf, BAR0)
    .call(DONE);
  return run(boot, whose, code, { [FIRST]: (side, emulator) => side.offerBar(LOW, emulator) });
}

/** Two devices of 16 bytes side by side: a read of each, and one after them. */
function twoDevices(boot: Boot, whose: Whose): Promise<string> {
  const { low } = boot;
  const code = new GuestCode()
    .call(FIRST)
    .read(low)
    .read(low + 16)
    .read(low + 32)
    .call(DONE);
  return run(boot, whose, code, { [FIRST]: (side, emulator) => side.twoDevices(LOW, emulator) });
}

/**
 * Save with the window at LOW, move it to HIGH, read both; restore, read both again. The guest waits for FLAG
 * meanwhile.
 */
function saveAndRestore(boot: Boot, whose: Whose): Promise<string> {
  const code = new GuestCode();
  for (let bar = 0; bar < 4; bar++) code.configWrite(IDE, BAR0 + 4 * bar, 0);
  code.call(FIRST).waitFor(FLAG).read(boot.low).read(boot.high).call(DONE);
  const actions = { [FIRST]: (side: Side, emulator: V86) => side.create(LOW, emulator) };
  return run(boot, whose, code, actions, async (side, machine) => {
    const { emulator } = machine;
    await machine.called(FIRST);
    const saved = await side.save(emulator);
    side.move(HIGH, emulator);
    emulator.write_memory([1], FLAG);
    await machine.called(DONE);
    await side.restore(emulator, saved);
    emulator.write_memory([1], FLAG);
  });
}

/** A scenario, and the bytes that the guest must see. */
export interface Scenario {
  readonly what: string;
  readonly run: (boot: Boot, whose: Whose) => Promise<string>;
  readonly seen: Readonly<Record<Whose, string>>;
}

export const MOVE_SCENARIO: Scenario = {
  what: "window: none, made, written, moved (old place, new place)",
  run: createWriteMove,
  seen: { memslots: "FF 41 5A FF 5A", v86: "FF 41 5A 5A 5A" },
};

export const SCENARIOS: readonly Scenario[] = [
  MOVE_SCENARIO,
  {
    what: "BAR moved by the guest: before; old place, new place, register",
    run: relocateBar,
    seen: { memslots: "41 FF 5A 00 00 00 D8", v86: "41 5A FF 00 00 00 D0" },
  },
  {
    what: "two devices of 16 bytes side by side, and what is behind them",
    run: twoDevices,
    seen: { memslots: "11 22 FF", v86: "22 22 22" },
  },
  {
    what: "saved, moved (old place, new place), restored (the same)",
    run: saveAndRestore,
    seen: { memslots: "FF 41 41 FF", v86: "41 41 41 41" },
  },
];
