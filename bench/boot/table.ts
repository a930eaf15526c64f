/** The table of the RFC, measured anew. */
import { availableParallelism } from "node:os";
import { WAYS, type Way } from "./ways.js";

/** The figures, each with a table. */
export const FIGURES = {
  commit: "ms of a commit, p50",
  sum: "ms of all commits",
  own: "the same without the time in which the writer waits for a processor",
  section: "ms per section of all vCPUs together",
} as const;

export type FigureName = keyof typeof FIGURES;

/** Lines of the tables: one for each way and figure, a column for each number of vCPUs; `median` in milliseconds. */
export function bootTable(
  trace: string,
  vcpus: readonly number[],
  median: (figure: FigureName, way: Way, vcpus: number) => number | undefined,
): string {
  const title = `${trace}: vCPUs on ${availableParallelism()} processors`;
  const width = Math.max(title.length, 4 + Math.max(...WAYS.map((way) => way.length)));
  const line = (name: string, cells: readonly string[]) =>
    [name.padEnd(width), ...cells.map((cell) => cell.padStart(8))].join(" ").trimEnd();
  const part = (figure: FigureName): string[] => [
    `  ${FIGURES[figure]}`,
    ...WAYS.map((way) =>
      line(
        `    ${way}`,
        vcpus.map((n) => median(figure, way, n)?.toPrecision(3) ?? "-"),
      ),
    ),
  ];
  const parts = (Object.keys(FIGURES) as FigureName[]).flatMap(part);
  return [line(title, vcpus.map(String)), ...parts].join("\n");
}

/** The author's figures, for the shape of the curves: another machine, another kernel, another boot. */
export const RFC_TABLE = `The RFC's author, 2022 (24-core EPYC 7413, 86 updates), ms of all commits, 1 to 24 vCPUs:
  list ioctl  2.1 2.5 2.2 2.4 3.6 12.5
  pause all   2.2 3.0 3.1 3.4 12 20`;
