/**
 * What the demo prints, and what of it is a failure.
 */
import type { BankResult } from "./scenarios/banks.js";
import type { HelloResult } from "./scenarios/hello.js";
import type { LockResult } from "./scenarios/locks.js";
import type { SplitResult } from "./scenarios/split.js";

const HEAD = [
  "way",
  "commits",
  "publications",
  "instructions",
  "fetch faults",
  "load",
  "store",
  "MIPS",
  "counters",
];

export function splitTable(results: readonly SplitResult[]): string {
  const rows = results.map((result) => [
    result.way,
    ...[result.commits, result.publications, result.instructions, ...result.faults].map((value) =>
      value.toLocaleString("en-US"),
    ),
    (result.instructions / result.seconds / 1e6).toFixed(1),
    result.wrong.length === 0 ? "ok" : "WRONG",
  ]);
  const lines = [HEAD, ...rows];
  const widths = HEAD.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "),
    )
    .map((line) => `${line}\n`)
    .join("");
}

export interface OtherResults {
  readonly banks: BankResult;
  readonly locks: LockResult;
  readonly hello: HelloResult;
}

/** One line for each figure that must not be. */
export function failuresOf(splits: readonly SplitResult[], { banks, locks, hello }: OtherResults): string[] {
  const failures = splits.flatMap(({ way, faults, wrong }) => {
    const sum = faults.reduce((total, count) => total + count, 0);
    const isList = way !== "one by one";
    return [
      ...(isList && sum > 0 ? [`${way}: ${sum} accesses found no memory`] : []),
      ...(!isList && sum === 0 ? [`${way}: no access found no memory, the defect was not reproduced`] : []),
      ...wrong.map((what) => `${way}: ${what}`),
    ];
  });
  const woken = hello.woken.every((count) => count === 1);
  return [
    ...failures,
    ...banks.wrong.map((what) => `banks: ${what}`),
    ...locks.wrong.map((what) => `locks: ${what}`),
    ...(hello.codes.every((code) => code === 0) ? [] : [`devices: harts ended with ${hello.codes}`]),
    ...(hello.ticks >= 10 && woken ? [] : ["devices: an interrupt is missing"]),
  ];
}
