/** Two results side by side: `npm run bench -- compare BEFORE AFTER`. */
import type { Quartiles, Row } from "./case.js";
import { type Result, rowKey } from "./result.js";
import { columns, short, spreadText } from "./table.js";

export type Change = "better" | "worse" | "same";

/** A row changed if the quartiles of the two runs do not meet. */
export function changeOf(before: Quartiles, after: Quartiles, atLeast = false): Change {
  if (after[0] <= before[2] && after[2] >= before[0]) return "same";
  return after[1] > before[1] === atLeast ? "better" : "worse";
}

/** A line for each row that both have measured; then how many changed, and what only one of them has. */
export function comparison(before: Result, after: Result): string {
  const earlier = new Map(before.rows.map((row) => [rowKey(row), row]));
  const counts: Record<Change, number> = { better: 0, worse: 0, same: 0 };
  const lines: string[][] = [];
  for (const row of after.rows) {
    const old = earlier.get(rowKey(row));
    if (old?.measured === undefined || row.measured === undefined) continue;
    const change = changeOf(old.measured, row.measured, row.atLeast);
    counts[change]++;
    lines.push([
      ...[row.id, row.n, short(old.measured[1]), spreadText(old.measured)],
      ...[short(row.measured[1]), spreadText(row.measured)],
      ...[short(row.measured[1] / old.measured[1]), change === "same" ? "" : change, row.what],
    ]);
  }
  const head = ["row", "n", "before", "quartiles", "after", "quartiles", "ratio", "", "what"];
  const summary = Object.entries(counts).map(([change, count]) => `${count} ${change}`);
  const others = `${onlyIn(before, after)} only before, ${onlyIn(after, before)} only after`;
  return `${columns([head, ...lines])}${summary.join(", ")}; ${others}`;
}

function onlyIn({ rows }: Result, other: Result): number {
  const measured = ({ measured }: Row) => measured !== undefined;
  const keys = new Set(other.rows.filter(measured).map(rowKey));
  return rows.filter(measured).filter((row) => !keys.has(rowKey(row))).length;
}
