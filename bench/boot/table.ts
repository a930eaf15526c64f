/**
 * The table of the RFC, made anew.
 */
import { availableParallelism } from "node:os";
import { WAYS, type Way } from "./ways.js";

/** A line for each way, a column for each number of vCPUs; `median` in milliseconds. */
export function bootTable(
  trace: string,
  vcpus: readonly number[],
  median: (way: Way, vcpus: number) => number | undefined,
): string {
  const title = `${trace}: ms of all commits; vCPUs on ${availableParallelism()} processors`;
  const line = (name: string, cells: readonly string[]) =>
    [name.padEnd(title.length), ...cells.map((cell) => cell.padStart(8))].join(" ");
  const rows = WAYS.map((way) =>
    line(
      `  ${way}`,
      vcpus.map((n) => median(way, n)?.toPrecision(3) ?? "-"),
    ),
  );
  return [line(title, vcpus.map(String)), ...rows].join("\n");
}

/** The author's own figures, for the shape of the curves: another machine, another kernel, another boot. */
export const RFC_TABLE = `The RFC's author, 2022 (24-core EPYC 7413, 86 updates; 1, 2, 4, 8, 16, 24 vCPUs):
  list ioctl  2.1 2.5 2.2 2.4 3.6 12.5 ms
  pause all   2.2 3.0 3.1 3.4 12 20 ms`;
