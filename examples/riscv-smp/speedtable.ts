/**
 * The speeds as a table, and the ratios against their targets.
 */
import { median, quartileSpread } from "../../bench/harness/statistics.js";
import { MODES, type Mode, type SpeedResult } from "./scenarios/speed.js";

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

/** `two harts` needs two processors. */
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
export function ratiosOf({ mips }: SpeedResult): Ratio[] {
  return TARGETS.map((target) => {
    const measured = median(mips[target.mode].map((speed, round) => speed / mips[target.base][round]!));
    return { ...target, measured, holds: measured >= target.least };
  });
}

export function speedTable(result: SpeedResult): string {
  const { mips, commitsPerSecond } = result;
  const speeds = MODES.map((mode) => {
    const spread = `${(quartileSpread(mips[mode]) * 100).toFixed(0)} %`;
    return `${WHAT[mode].padEnd(40)}${median(mips[mode]).toFixed(1).padStart(8)} MIPS   spread ${spread}`;
  });
  const ratios = ratiosOf(result).map(({ what, measured, least, holds }) => {
    const verdict = holds ? "ok" : "MISSED";
    return `${what.padEnd(40)}${measured.toFixed(3).padStart(8)}   >= ${least.toFixed(1)}   ${verdict}`;
  });
  const pace = `commits per second ${Math.round(median(commitsPerSecond))}, each splits or merges the slot in use`;
  return [...speeds, pace, "", ...ratios, ""].join("\n");
}
