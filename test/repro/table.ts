/** Figures as a table. */
import type { Measured } from "./measure.js";

const HEAD = ["", "way", "accesses", "no memory", "wrong", "commits", "p50", "p99"];
/** Columns of words; the others are numbers. */
const WORDS = 2;

/** The lines of one scenario: its title, a line for each way, and what its own check found. */
export function tableOf(results: readonly Measured[]): string {
  const rows = results.map((result) => [
    result.scenario,
    result.way,
    ...[result.accesses, result.noMemory, result.wrong, result.commits].map(number),
    time(result.p50),
    time(result.p99),
  ]);
  const widths = [4, 13, 12, 11, 9, 9, 9, 9];
  const line = (cells: readonly string[]) =>
    cells.map((cell, c) => (c < WORDS ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join(" ");
  const findings = results.flatMap(({ way, findings }) =>
    findings.map(({ what, count }) => `     ${way.padEnd(13)} ${number(count)} ${what}`),
  );
  return [
    `${results[0]!.scenario}: ${results[0]!.title}`,
    ...[HEAD, ...rows].map(line),
    ...findings,
    "",
  ].join("\n");
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

/** Microseconds as a reader wants them. */
function time(us: number): string {
  return us < 1000 ? `${us.toPrecision(3)} us` : `${(us / 1000).toPrecision(3)} ms`;
}
