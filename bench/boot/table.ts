/**
 * The table of the RFC, made anew.
 */
import { availableParallelism } from "node:os";
import type { BootRow } from "./measure.js";
import { WAYS } from "./ways.js";

/** Median milliseconds: a line for each way, a column for each number of vCPUs. */
export function bootTable(rows: readonly BootRow[]): string {
  const traces = [...new Set(rows.map(({ trace }) => trace))];
  const vcpus = [...new Set(rows.map((row) => row.vcpus))];
  return traces
    .map((trace) => {
      const own = rows.filter((row) => row.trace === trace);
      const { updates, commits } = own[0]!;
      const cell = (way: string, n: number) => own.find((row) => row.way === way && row.vcpus === n);
      const head = [`  ms, median of the boots; vCPUs on ${availableParallelism()} processors`, ...vcpus];
      const lines = WAYS.map((way) => [
        `  ${way}`,
        ...vcpus.map((n) => {
          const row = cell(way, n);
          return row === undefined ? "-" : row.median.toPrecision(3);
        }),
      ]);
      const width = head[0]!.toString().length;
      const text = [head, ...lines].map(([name, ...cells]) =>
        [String(name).padEnd(width), ...cells.map((value) => String(value).padStart(8))].join(" "),
      );
      return [`${trace}: ${updates} updates in ${commits} commits, total time of all commits`, ...text].join(
        "\n",
      );
    })
    .join("\n\n");
}

/** The author's own figures, for the shape of the curves: another machine, another kernel, another boot. */
export const RFC_TABLE = `the RFC's author in 2022 (24-core EPYC 7413, 86 updates, 1 2 4 8 16 24 vCPUs):
  list ioctl  2.1 2.5 2.2 2.4 3.6 12.5 ms
  pause all   2.2 3.0 3.1 3.4 12 20 ms`;
