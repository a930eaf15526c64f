/**
 * What translation through the engine costs: the same guest on the interpreter that translates, with the map
 * idle and changing, and on the build that has flat memory. Modes run in turns, so that what disturbs the
 * computer disturbs all of them. Time in which a hart waits for a processor that another program has does not count.
 */
import { mergeSlots, splitSlot } from "memslots";
import { guestProgram } from "../guest.js";
import { Machine } from "../machine.js";
import { RAM } from "../map.js";

const RAM_BYTES = 0x4_0000;
/** Within the first hart's data, so that its pages change slots. */
const CUT = RAM + 0x1_2000;
const COMMITS_PER_SECOND = 1000;

export const MODES = ["flat", "idle", "commits", "two harts", "flat, two harts"] as const;
export type Mode = (typeof MODES)[number];

/** Each mode once, one after the other. */
export interface Round {
  /** Million guest instructions per second in which a hart has a processor or sleeps, of all harts together. */
  readonly mips: Readonly<Record<Mode, number>>;
  readonly commitsPerSecond: number;
  /** Translations that the engine is asked for, per 1,000 instructions. */
  readonly misses: Readonly<Record<Mode, number>>;
}

export interface SpeedModules {
  readonly engine: WebAssembly.Module;
  readonly flat: WebAssembly.Module;
}

async function createMachine(module: WebAssembly.Module): Promise<Machine> {
  const machine = await Machine.create({ harts: 2, ramBytes: RAM_BYTES, module });
  machine.load(guestProgram("compute"));
  machine.engine.setUserMemoryRegion(machine.ram(0, 0, RAM_BYTES));
  await machine.start(RAM);
  return machine;
}

/** Until `end`, at an even pace; returns how many. */
function commitUntil(machine: Machine, end: number): number {
  const whole = machine.ram(0, 0, RAM_BYTES);
  const split = splitSlot(whole, CUT, 1);
  const merge = mergeSlots(machine.ram(0, 0, CUT - RAM), machine.ram(1, CUT - RAM, RAM + RAM_BYTES - CUT));
  const start = performance.now();
  let commits = 0;
  while (performance.now() < end) {
    machine.engine.setUserMemoryRegionList(commits % 2 === 0 ? split : merge);
    commits++;
    sleepUntil(Math.min(end, start + (commits / COMMITS_PER_SECOND) * 1000));
  }
  if (commits % 2 === 1) machine.engine.setUserMemoryRegionList(merge);
  return commits;
}

const nothing = new Int32Array(new SharedArrayBuffer(4));

/** This thread is on a processor that a hart wants. */
function sleepUntil(end: number): void {
  for (let left = end - performance.now(); left > 0; left = end - performance.now()) {
    Atomics.wait(nothing, 0, 0, left);
  }
}

/** One sample, and what a change of the map costs meanwhile. */
function sample(machine: Machine, harts: readonly number[], ms: number, changes: boolean) {
  const stateOf = (hart: number) => ({ ...machine.counts(hart), waitedMs: machine.waitedMs(hart) });
  const before = harts.map(stateOf);
  const start = performance.now();
  machine.go(harts);
  const commits = changes ? commitUntil(machine, start + ms) : 0;
  sleepUntil(start + ms);
  machine.hold(harts);
  const elapsedMs = performance.now() - start;
  const did = harts.map((hart, i) => {
    const { instructions, misses, waitedMs } = stateOf(hart);
    return {
      instructions: instructions - before[i]!.instructions,
      misses: misses - before[i]!.misses,
      ms: elapsedMs - (waitedMs - before[i]!.waitedMs),
    };
  });
  const sum = (of: (hart: (typeof did)[number]) => number) =>
    did.reduce((total, hart) => total + of(hart), 0);
  return {
    mips: sum((hart) => hart.instructions / hart.ms / 1000),
    commitsPerSecond: (commits / elapsedMs) * 1000,
    misses: (sum((hart) => hart.misses) / sum((hart) => hart.instructions)) * 1000,
  };
}

function runRound(engine: Machine, flat: Machine, ms: number): Round {
  const samples = MODES.map((mode) => {
    const machine = mode.startsWith("flat") ? flat : engine;
    const harts = mode.endsWith("two harts") ? [0, 1] : [0];
    return sample(machine, harts, ms, mode === "commits");
  });
  const byMode = (figure: "mips" | "misses") =>
    Object.fromEntries(MODES.map((mode, i) => [mode, samples[i]![figure]])) as Record<Mode, number>;
  const { commitsPerSecond } = samples[MODES.indexOf("commits")]!;
  return { mips: byMode("mips"), misses: byMode("misses"), commitsPerSecond };
}

export async function runSpeed(modules: SpeedModules, count: number, ms: number): Promise<Round[]> {
  const engine = await createMachine(modules.engine);
  const flat = await createMachine(modules.flat);
  try {
    // Thrown away: the compiler optimizes meanwhile.
    runRound(engine, flat, ms);
    return Array.from({ length: count }, () => runRound(engine, flat, ms));
  } finally {
    await engine.end();
    await flat.end();
  }
}
