/**
 * What the slots cost under Linux: the same guest and the same work on the interpreter that translates through them,
 * with the map idle and changing, and on the build that has flat memory; and what a second hart brings. Machines are
 * held but the one that is measured, and take turns, so that what disturbs the computer disturbs all of them.
 */
import { mergeSlots, splitSlot } from "memslots";
import { median } from "../../../bench/harness/statistics.js";
import { type Booted, bootLinux } from "../booted.js";
import type { LinuxGuest } from "../guest.js";
import { Machine } from "../machine.js";
import { startNodeThread } from "../nodethread.js";
import type { ThreadTime } from "../threadtime.js";

const COMMITS_PER_SECOND = 1000;
/** Where the slot is cut: in the middle of RAM, where page tables and programs are. */
const CUT_SHARE = 0.5;
/** Work without end: a process for each hart, of programs, pipes and files. */
const LOAD = "while true; do sha256sum /data/0 /data/1; gzip < /data/2 | gunzip | md5sum; done > /dev/null";

export const MODES = ["flat", "idle", "commits", "two harts"] as const;
export type Mode = (typeof MODES)[number];

/** What a hart's thread did during a sample. Running, waiting for a processor and sleeping are all of the time. */
export interface HartTime {
  readonly instructions: number;
  readonly runningMs: number;
  readonly waitingMs: number;
  readonly sleepingMs: number;
}

/** Million guest instructions per second, of all harts together. */
interface Speeds {
  /** Of the time on the wall. */
  readonly wall: number;
  /** Of processor time, of harts and commits together: what other programs take of the processors is not in it. */
  readonly processor: number;
  /**
   * Of the time in which each hart's thread has a processor or sleeps: what the machine does if it has a processor for
   * each hart. NaN where the system does not tell for how long threads wait.
   */
  readonly unhindered: number;
}

export interface Sample extends Speeds {
  readonly commitsPerSecond: number;
  /** By hart; empty where the system does not tell. */
  readonly harts: readonly HartTime[];
}

export type Round = Readonly<Record<Mode, Sample>>;

export interface LinuxSpeed {
  readonly rounds: readonly Round[];
  /** From the first instruction to init. */
  readonly initSeconds: Readonly<Record<"1 hart" | "2 harts", number>>;
}

const nothing = new Int32Array(new SharedArrayBuffer(4));

/** Until `end`, at an even pace; returns how many. */
function commitUntil(machine: Machine, end: number): number {
  const { ramBytes } = machine;
  const cut = ramBytes * CUT_SHARE;
  const whole = machine.ram(0, 0, ramBytes);
  const split = splitSlot(whole, whole.guestPhysAddr + cut, 1);
  const merge = mergeSlots(machine.ram(0, 0, cut), machine.ram(1, cut, ramBytes - cut));
  const start = performance.now();
  let commits = 0;
  while (performance.now() < end) {
    machine.engine.setUserMemoryRegionList(commits % 2 === 0 ? split : merge);
    commits++;
    const left = Math.min(end, start + (commits / COMMITS_PER_SECOND) * 1000) - performance.now();
    if (left > 0) Atomics.wait(nothing, 0, 0, left);
  }
  if (commits % 2 === 1) machine.engine.setUserMemoryRegionList(merge);
  return commits;
}

interface HartState {
  readonly instructions: number;
  readonly time: ThreadTime | undefined;
}

function stateOf(machine: Machine, hart: number): HartState {
  return { instructions: machine.counts(hart).instructions, time: machine.threadTime(hart) };
}

function timeOf(before: HartState, after: HartState, elapsed: number): HartTime[] {
  if (before.time === undefined || after.time === undefined) return [];
  const runningMs = after.time.runningMs - before.time.runningMs;
  const waitingMs = after.time.waitingMs - before.time.waitingMs;
  return [
    {
      instructions: after.instructions - before.instructions,
      runningMs,
      waitingMs,
      sleepingMs: Math.max(0, elapsed - runningMs - waitingMs),
    },
  ];
}

function sample(machine: Machine, ms: number, changes: boolean): Sample {
  const numbers = Array.from({ length: machine.harts }, (_, hart) => hart);
  const before = numbers.map((hart) => stateOf(machine, hart));
  const cpu = process.cpuUsage();
  const start = performance.now();
  machine.go();
  const commits = changes ? commitUntil(machine, start + ms) : 0;
  const left = start + ms - performance.now();
  if (left > 0) Atomics.wait(nothing, 0, 0, left);
  machine.hold();
  const elapsed = performance.now() - start;
  const after = numbers.map((hart) => stateOf(machine, hart));
  const { user, system } = process.cpuUsage(cpu);
  const harts = numbers.flatMap((hart) => timeOf(before[hart]!, after[hart]!, elapsed));
  const all = numbers.reduce((sum, hart) => sum + after[hart]!.instructions - before[hart]!.instructions, 0);
  const unhindered = harts.reduce(
    (sum, { instructions, runningMs, sleepingMs }) => sum + instructions / (runningMs + sleepingMs) / 1000,
    0,
  );
  return {
    wall: all / elapsed / 1000,
    processor: all / (user + system),
    unhindered: harts.length === 0 ? Number.NaN : unhindered,
    commitsPerSecond: (commits / elapsed) * 1000,
    harts,
  };
}

export interface SpeedModules {
  readonly engine: WebAssembly.Module;
  readonly flat: WebAssembly.Module;
}

async function startWork({ machine, console: output }: Booted): Promise<void> {
  const jobs = Array.from({ length: machine.harts }, () => "sh /scratch/load.sh &").join(" ");
  await output.run(`echo '${LOAD}' > /scratch/load.sh; sh -c '${jobs}'`);
  machine.hold();
}

/** Rounds of held machines at work; `flat` is what `one` is, on flat memory. */
export function measure(flat: Machine, one: Machine, two: Machine, count: number, ms: number): Round[] {
  const rounds: Round[] = [];
  // The first is thrown away: the compiler optimizes meanwhile.
  for (let i = 0; i <= count; i++) {
    const round = {
      flat: sample(flat, ms, false),
      idle: sample(one, ms, false),
      commits: sample(one, ms, true),
      "two harts": sample(two, ms, false),
    };
    if (i > 0) rounds.push(round);
  }
  return rounds;
}

export async function runSpeed(
  modules: SpeedModules,
  guest: LinuxGuest,
  count: number,
  ms: number,
): Promise<LinuxSpeed> {
  const machines: Machine[] = [];
  const boot = async (harts: number) => {
    const booted = await bootLinux(modules.engine, guest, harts);
    machines.push(booted.machine);
    await startWork(booted);
    return booted;
  };
  try {
    const one = await boot(1);
    // The very same machine at the same work, but for the slots.
    const options = { module: modules.flat, start: startNodeThread, print: () => {} };
    const flat = await Machine.restore(options, one.machine.save());
    machines.push(flat);
    const two = await boot(2);
    return {
      rounds: measure(flat, one.machine, two.machine, count, ms),
      initSeconds: { "1 hart": one.initSeconds, "2 harts": two.initSeconds },
    };
  } finally {
    for (const machine of machines) await machine.end();
  }
}

/** Ratios and what they should be at least. Harts of one machine run at once, so theirs is of time, not of work. */
export const TARGETS = [
  {
    what: "through the slots, map idle / flat memory",
    figure: "processor",
    mode: "idle",
    base: "flat",
    least: 0.85,
  },
  { what: "1,000 commits/s / map idle", figure: "processor", mode: "commits", base: "idle", least: 0.8 },
  {
    what: "2 harts / 1 hart, with a processor for each",
    figure: "unhindered",
    mode: "two harts",
    base: "idle",
    least: 1.6,
  },
] as const satisfies readonly {
  what: string;
  figure: keyof Speeds;
  mode: Mode;
  base: Mode;
  least: number;
}[];

/**
 * Medians of the rounds' ratios: both sides of one are of the same second. Undefined if the system does not tell the
 * times that a ratio needs.
 */
export function ratiosOf({ rounds }: Pick<LinuxSpeed, "rounds">) {
  return TARGETS.map((target) => {
    const { figure, mode, base, least } = target;
    const measured = median(rounds.map((round) => round[mode][figure] / round[base][figure]));
    if (Number.isNaN(measured)) return { ...target, measured: undefined, holds: undefined };
    return { ...target, measured, holds: measured >= least };
  });
}

/** Sums of the rounds by hart. */
export function hartTimesOf({ rounds }: Pick<LinuxSpeed, "rounds">, mode: Mode): HartTime[] {
  return rounds[0]![mode].harts.map((_, hart) => {
    const sum = (field: keyof HartTime) =>
      rounds.reduce((total, round) => total + round[mode].harts[hart]![field], 0);
    return {
      instructions: sum("instructions"),
      runningMs: sum("runningMs"),
      waitingMs: sum("waitingMs"),
      sleepingMs: sum("sleepingMs"),
    };
  });
}
