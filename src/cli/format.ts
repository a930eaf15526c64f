/** Numbers as all commands write them. */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../uapi.js";

const UNITS = ["B", "KiB", "MiB", "GiB"] as const;

/** A GiB less the first MiB is no GiB: the larger unit only where it is exact, or where it is the largest but one. */
export function sizeText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (unit < 3 && value >= 1024 && (unit < 2 || Number.isInteger(value / 1024))) {
    value /= 1024;
    unit++;
  }
  return `${value.toLocaleString("en-US", { maximumFractionDigits: 1 })} ${UNITS[unit]}`;
}

export function hexText(address: number): string {
  return `0x${address.toString(16)}`;
}

/** Number and noun, which is to have its plural by "s". */
export function countText(n: number, noun: string): string {
  return `${numberText(n)} ${noun}${n === 1 ? "" : "s"}`;
}

export function numberText(n: number): string {
  return n.toLocaleString("en-US");
}

/** Names of the flags of a slot, without the KVM_MEM_ that all of them have. */
export function flagNames(flags: number): string[] {
  return [
    ...((flags & KVM_MEM_READONLY) !== 0 ? ["READONLY"] : []),
    ...((flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0 ? ["LOG_DIRTY"] : []),
  ];
}

/** Words stand in the first column and in the last `trailing` ones, aligned left; the rest are numbers. */
export function table(rows: readonly (readonly string[])[], trailing = 0): string[] {
  const columns = rows[0]?.length ?? 0;
  const widths = Array.from({ length: columns }, (_, c) =>
    Math.max(...rows.map((row) => row[c]?.length ?? 0)),
  );
  return rows.map((row) => {
    const cells = row.map((cell, c) => {
      const words = c === 0 || c >= columns - trailing;
      return words ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0);
    });
    return `  ${cells.join("  ")}`.trimEnd();
  });
}
