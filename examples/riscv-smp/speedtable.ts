/**
 * The speeds as a table, and the ratios against their targets.
 */
import { median, quartileSpread } from "../../bench/harness/statistics.js";
import { MODES, type Mode, type Round } from "./scenarios/speed.js";

const WHAT: Readonly<Record<Mode, string>> = {
  flat: "1 hart, flat memory",
  idle: "1 hart, through the engine, map idle",
  commits: "1 hart, through the engine, commits",
  "two harts": "2 harts, through the engine, map idle",
  "flat, two harts": "2 harts, flat memory",
};

interface Target {
  readonly what: string;
  readonly mode: Mode;
  readonly base: Mode;
  readonly least: number;
}

const TARGETS: readonly Target[] = [
  { what: "translation, map idle / flat", mode: "idle", base: "flat", least: 0.8 },
  { what: "translation, 1,000 commits/s / flat", mode: "commits", base: "flat", least: 0.7 },
  { what: "2 harts / 1 hart", mode: "two harts", base: "idle", least: 1.7 },
];

export interface Ratio extends Target {
  readonly measured: number;
  readonly holds: boolean;
}

/** Median of the rounds' ratios: both sides of one are of the same second. */
function ratioOf(rounds: readonly Round[], mode: Mode, base: Mode): number {
  return median(rounds.map(({ mips }) => mips[mode] / mips[base]));
}

export function ratiosOf(rounds: readonly Round[]): Ratio[] {
  return TARGETS.map((target) => {
    const measured = ratioOf(rounds, target.mode, target.base);
    return { ...target, measured, holds: measured >= target.least };
  });
}

export function speedTable(rounds: readonly Round[]): string {
  const speeds = MODES.map((mode) => {
    const samples = rounds.map(({ mips }) => mips[mode]);
    const spread = `${(quartileSpread(samples) * 100).toFixed(0)} %`;
    return `${WHAT[mode].padEnd(40)}${median(samples).toFixed(1).padStart(8)} MIPS   spread ${spread}`;
  });
  const of = (figure: (round: Round) => number, digits: number) => median(rounds.map(figure)).toFixed(digits);
  const misses = (mode: Mode) => of((round) => round.misses[mode], 2);
  const ratios = ratiosOf(rounds).map(({ what, measured, least, holds }) => {
    const verdict = holds ? "ok" : "MISSED";
    return `${what.padEnd(40)}${measured.toFixed(3).padStart(8)}   >= ${least.toFixed(1)}   ${verdict}`;
  });
  const computer = ratioOf(rounds, "flat, two harts", "flat").toFixed(3).padStart(8);
  return [
    ...speeds,
    `${of(({ commitsPerSecond }) => commitsPerSecond, 0)} commits per second split or merge the slot in use`,
    `asked of the engine per 1,000 instructions: ${misses("idle")} idle, ${misses("commits")} with commits`,
    "",
    ...ratios,
    `${"2 harts / 1 hart, flat: the computer's".padEnd(40)}${computer}`,
    "",
  ].join("\n");
}
