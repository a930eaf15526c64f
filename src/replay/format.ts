/** Formats of numbers, flags and tables, the same in all commands. */
import { KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../kvm/uapi.js";

const UNITS = ["B", "KiB", "MiB", "GiB"] as const;

/** A number of bytes; from MiB on the larger unit only where it is exact: 1,023 MiB, not 1 GiB. */
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

/** Number and noun; the plural adds an "s". */
export function countText(n: number, noun: string): string {
  return `${numberText(n)} ${noun}${n === 1 ? "" : "s"}`;
}

export function numberText(n: number): string {
  return n.toLocaleString("en-US");
}

/** Names of the flags of a slot, without the prefix KVM_MEM_. */
export function flagNames(flags: number): string[] {
  return [
    ...((flags & KVM_MEM_READONLY) !== 0 ? ["READONLY"] : []),
    ...((flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0 ? ["LOG_DIRTY"] : []),
    ...((flags & KVM_MEM_GUEST_MEMFD) !== 0 ? ["GUEST_MEMFD"] : []),
  ];
}

/** Lines of a table. The first column and the last `trailing` ones are words, aligned left; the rest are numbers. */
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
