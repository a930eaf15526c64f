/**
 * The report as text.
 */
import {
  type CaseResult,
  type Figure,
  NOT_RUN,
  type Quartiles,
  type Row,
  type Verdict,
  verdictOf,
} from "./case.js";

/**
 * Figures of one case, one line per competitor. The first competitor is what the others are compared with.
 */
export function caseTable({ name, n, unit, figures, skipped, failure }: CaseResult): string {
  const first = figures[0];
  const lines = figures.map((figure) => [
    `  ${figure.name}`,
    amount(figure, figure.median),
    amount(figure, figure.min),
    spreadText(figure.quartiles.map((value) => value / figure.median) as [number, number, number]),
    first === undefined ? "" : `${short(figure.median / first.median)}x`,
    figure.hash,
    `${figure.setupMs.toFixed(1)} ms`,
  ]);
  const head = [`${name}, n = ${n}`, `median/${unit}`, "min", "quartiles", "ratio", "hash", "set-up"];
  const none = skipped.map((s) => `  ${s.name}: not measured: ${s.skipped}\n`);
  if (failure !== undefined) none.push(`  not measured: ${failure}\n`);
  return `${columns([head, ...lines])}${none.join("")}`;
}

export function rowTable(rows: readonly Row[]): string {
  const head = ["row", "n", "measured", "quartiles", "target", "verdict", "what"];
  const lines = rows.map((row) => [
    row.id,
    row.n,
    row.measured === undefined
      ? "-"
      : `${short(row.measured[1])}${row.unit === undefined ? "" : ` ${row.unit}`}`,
    row.measured === undefined ? "" : spreadText(row.measured),
    `${row.atLeast ? ">=" : "<="} ${row.target}`,
    row.measured === undefined ? `not measured: ${row.skipped ?? NOT_RUN}` : verdictOf(row),
    row.what,
  ]);
  return columns([head, ...lines]);
}

/** Number of rows with each verdict, in one line. */
export function summary(rows: readonly Row[]): string {
  const verdicts: readonly Verdict[] = ["ok", "close", "MISSED", "not measured"];
  const count = (verdict: Verdict) => rows.filter((row) => verdictOf(row) === verdict).length;
  return verdicts.map((verdict) => `${count(verdict)} ${verdict}`).join(", ");
}

/** A share, in percent. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

function amount(figure: Figure, value: number): string {
  return figure.in === "ns" ? time(value) : `${Math.round(value)} bytes`;
}

/** Nanoseconds, or a larger unit. */
export function time(ns: number): string {
  if (ns < 1e3) return `${short(ns)} ns`;
  if (ns < 1e6) return `${short(ns / 1e3)} us`;
  return `${short(ns / 1e6)} ms`;
}

/** Lower and upper quartile. */
export function spreadText([low, , high]: Quartiles): string {
  return `${short(low)} to ${short(high)}`;
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
