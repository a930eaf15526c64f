/**
 * RHBZ 1979276: the writer splits, merges, moves and toggles the range that the harts execute in, one by one
 * or as lists.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type MemslotEngine, type Slot } from "memslots";
import type { Program } from "../asm/assembler.js";
import { guestProgram } from "../guest.js";
import { Machine } from "../machine.js";
import { RAM } from "../map.js";

export const WAYS = ["one by one", "list", "list, barrier"] as const;
export type Way = (typeof WAYS)[number];

const MIB = 0x10_0000;
const RAM_BYTES = 2 * MIB;
/** Offsets in RAM: the range, its code, its counters. */
const RANGE = MIB;
const CODE = RANGE + 0x3_0000;
const COUNTERS = RANGE + 0x5_0000;
const END = RAM_BYTES;
/** Where a second slot over the code is while it is not needed. */
const PARKING = 0xa000_0000;

export interface SplitResult {
  readonly way: Way;
  /** Changes of the map, each a list, or as many updates one by one. */
  readonly commits: number;
  readonly publications: number;
  readonly instructions: number;
  /** Access faults: fetches, loads, stores. */
  readonly faults: readonly [fetch: number, load: number, store: number];
  readonly seconds: number;
  /** What does not add up; empty if all does. */
  readonly wrong: readonly string[];
}

/** At least so many of each. */
export interface SplitGoal {
  readonly commits: number;
  readonly instructions: number;
}

type Update = (list: readonly Slot[]) => void;

function updateBy(way: Way, engine: MemslotEngine): Update {
  if (way === "one by one")
    return (list) => {
      for (const region of list) engine.setUserMemoryRegion(region);
    };
  const options = { barrier: way === "list, barrier" };
  return (list) => {
    engine.setUserMemoryRegionList(list, options);
  };
}

/** The changes: around and back to one slot. */
export function changesOf(machine: Machine): Slot[][] {
  const slot = (id: number, start: number, end: number, flags = 0) =>
    machine.ram(id, start, end - start, flags);
  const gone = (id: number): Slot => machine.ram(id, 0, 0);
  const whole = slot(1, RANGE, END);
  const rest = slot(3, COUNTERS, END, KVM_MEM_LOG_DIRTY_PAGES);
  const parked = machine.ram(4, CODE, COUNTERS - CODE, 0, PARKING);
  const moved = machine.ram(4, CODE, COUNTERS - CODE);
  return [
    // Split in three; the code READONLY, the counters logged.
    [gone(1), slot(1, RANGE, CODE), slot(2, CODE, COUNTERS, KVM_MEM_READONLY), rest],
    // The code writable and READONLY again.
    [gone(2), slot(2, CODE, COUNTERS)],
    [gone(2), slot(2, CODE, COUNTERS, KVM_MEM_READONLY)],
    // Merge.
    [gone(1), gone(2), gone(3), whole],
    // Make a hole for a slot that moves in, and move it out again.
    [gone(1), slot(1, RANGE, CODE), rest, moved],
    [parked, gone(1), gone(3), whole],
    // Toggle the log of all.
    [slot(1, RANGE, END, KVM_MEM_LOG_DIRTY_PAGES)],
    [whole],
    // Shrink and grow, away from what is used.
    [gone(1), slot(1, RANGE, END - 0x2_0000)],
    [gone(1), whole],
  ];
}

/** The machine with the guest in it, and the range as one slot. */
export async function createSplit(
  module: WebAssembly.Module,
  program: Program,
  harts: number,
): Promise<Machine> {
  const machine = await Machine.create({ harts, ramBytes: RAM_BYTES, module });
  machine.load(program);
  machine.engine.setUserMemoryRegionList([
    machine.ram(0, 0, RANGE),
    machine.ram(1, RANGE, END - RANGE),
    machine.ram(4, CODE, COUNTERS - CODE, 0, PARKING),
  ]);
  return machine;
}

export async function runSplit(
  module: WebAssembly.Module,
  way: Way,
  goal: SplitGoal,
  harts = 2,
): Promise<SplitResult> {
  const program = guestProgram("split");
  const machine = await createSplit(module, program, harts);
  const { engine } = machine;
  await machine.start(RAM);
  try {
    machine.go();
    const changes = changesOf(machine);
    const update = updateBy(way, engine);
    const publications = engine.publications;
    const start = performance.now();
    let commits = 0;
    while (commits < goal.commits || machine.total().instructions < goal.instructions) {
      for (const change of changes) update(change);
      commits += changes.length;
    }
    machine.setWord(program.symbols.get("stop")!, 1);
    const codes = await machine.ended();
    const { instructions, fetchFaults, loadFaults, storeFaults } = machine.total();
    return {
      way,
      commits,
      publications: engine.publications - publications,
      instructions,
      faults: [fetchFaults, loadFaults, storeFaults],
      seconds: (performance.now() - start) / 1000,
      wrong: [...codes.flatMap(failureOf), ...wrongCounters(machine, program.symbols)],
    };
  } finally {
    await machine.end();
  }
}

function failureOf(code: number | null, hart: number): string[] {
  return code === 0 ? [] : [`hart ${hart} ended with ${code}`];
}

/** Counters of the guest that differ from what they count. */
export function wrongCounters(machine: Machine, symbols: ReadonlyMap<string, number>): string[] {
  const at = (symbol: string, offset = 0) => machine.word(symbols.get(symbol)! + offset);
  const wrong: string[] = [];
  const expect = (what: string, found: number, wanted: number) => {
    if (found !== wanted) wrong.push(`${what}: ${found}, not ${wanted}`);
  };
  let rounds = 0;
  const faults = [0, 0, 0];
  for (let hart = 0; hart < machine.harts; hart++) {
    const own = at("results", hart * 64);
    rounds += own;
    expect(`hart ${hart}, own counter`, at("private", hart * 1024), own);
    const last = own - 1;
    expect(`hart ${hart}, last square`, at("private", hart * 1024 + 4), Math.imul(last & 0xffff, last) >>> 0);
    for (let i = 0; i < 3; i++) faults[i]! += at("results", hart * 64 + 16 + i * 4);
  }
  expect("counter by AMO", at("by_amo"), rounds >>> 0);
  expect("counter by LR and SC", at("by_lr_sc"), rounds >>> 0);
  const { fetchFaults, loadFaults, storeFaults } = machine.total();
  expect("fetch faults that the guest counted", faults[0]!, fetchFaults);
  expect("load faults that the guest counted", faults[1]!, loadFaults);
  expect("store faults that the guest counted", faults[2]!, storeFaults);
  return wrong;
}
