/**
 * The report as text.
 */
import { type CaseResult, type Figure, NOT_RUN, type Row, verdictOf } from "./case.js";

/**
 * Figures of one case, one line per competitor. The first competitor is what the others are compared with.
 */
export function caseTable({ name, n, unit, figures, skipped }: CaseResult): string {
  const first = figures[0];
  const lines = figures.map((figure) => [
    `  ${figure.name}`,
    amount(figure, figure.median),
    amount(figure, figure.min),
    `${(figure.spread * 100).toFixed(0)} %`,
    first === undefined ? "" : `${short(figure.median / first.median)}x`,
    figure.hash,
    `${figure.setupMs.toFixed(1)} ms`,
  ]);
  const head = [`${name}, n = ${n}`, `median/${unit}`, "min", "spread", "ratio", "hash", "set-up"];
  const none = skipped.map((s) => `  ${s.name}: skipped: ${s.skipped}\n`);
  return `${columns([head, ...lines])}${none.join("")}`;
}

export function rowTable(rows: readonly Row[]): string {
  const head = ["row", "n", "measured", "target", "verdict", "what"];
  const lines = rows.map((row) => [
    row.id,
    row.n,
    row.measured === undefined
      ? "-"
      : `${short(row.measured)}${row.unit === undefined ? "" : ` ${row.unit}`}`,
    row.target === undefined ? "" : `${row.atLeast ? ">=" : "<="} ${row.target}`,
    row.measured === undefined ? `skipped: ${row.skipped ?? NOT_RUN}` : verdictOf(row),
    row.what,
  ]);
  return columns([head, ...lines]);
}

/** How many rows hold, miss, and were skipped, in one line. */
export function summary(rows: readonly Row[]): string {
  const count = (verdict: string): number => rows.filter((row) => verdictOf(row) === verdict).length;
  return `${count("ok")} ok, ${count("MISSED")} MISSED, ${count("skipped")} skipped, ${count("")} without target`;
}

function amount(figure: Figure, value: number): string {
  return figure.in === "ns" ? time(value) : `${Math.round(value)} bytes`;
}

/** Nanoseconds as a reader wants them. */
export function time(ns: number): string {
  if (ns < 1e3) return `${short(ns)} ns`;
  if (ns < 1e6) return `${short(ns / 1e3)} us`;
  return `${short(ns / 1e6)} ms`;
}

/** Three digits, or all of a larger number. */
export function short(value: number): string {
  if (value >= 100) return String(Math.round(value));
  return value.toPrecision(3);
}

/** Lines of cells, each column as wide as its widest; the first line is the head. */
export function columns(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const padded = lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  );
  return padded.map((line) => `${line}\n`).join("");
}
