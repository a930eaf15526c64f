/**
 * What translation through the engine costs: the same guest on the interpreter that translates, with the map
 * idle and changing, and on the build that has flat memory. Modes run in turns, so that what disturbs the
 * computer disturbs all of them.
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

/** Samples by mode, of equal length: what was measured in one round has one index. */
export interface SpeedResult {
  /** Million guest instructions per second, of all harts together. */
  readonly mips: Readonly<Record<Mode, readonly number[]>>;
  readonly commitsPerSecond: readonly number[];
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

/** One sample, and the commits per second meanwhile. */
function sample(machine: Machine, harts: readonly number[], ms: number, changes: boolean) {
  const before = machine.total().instructions;
  machine.go(harts);
  const start = performance.now();
  const commits = changes ? commitUntil(machine, start + ms) : 0;
  sleepUntil(start + ms);
  machine.hold(harts);
  const elapsedMs = performance.now() - start;
  const instructions = machine.total().instructions - before;
  return { mips: instructions / elapsedMs / 1000, commitsPerSecond: (commits / elapsedMs) * 1000 };
}

export async function runSpeed(modules: SpeedModules, rounds: number, ms: number): Promise<SpeedResult> {
  const mips: Record<Mode, number[]> = {
    flat: [],
    idle: [],
    commits: [],
    "two harts": [],
    "flat, two harts": [],
  };
  const commitsPerSecond: number[] = [];
  const engine = await createMachine(modules.engine);
  const flat = await createMachine(modules.flat);
  try {
    // The first round is thrown away: the compiler optimizes meanwhile.
    for (let round = -1; round < rounds; round++) {
      for (const mode of MODES) {
        const machine = mode.startsWith("flat") ? flat : engine;
        const harts = mode.endsWith("two harts") ? [0, 1] : [0];
        const { mips: speed, commitsPerSecond: pace } = sample(machine, harts, ms, mode === "commits");
        if (round < 0) continue;
        mips[mode].push(speed);
        if (mode === "commits") commitsPerSecond.push(pace);
      }
    }
  } finally {
    await engine.end();
    await flat.end();
  }
  return { mips, commitsPerSecond };
}
