/**
 * A map for a terminal: a box per mapping, ascending, whose height grows with the logarithm of its size; beside
 * it the RAM block that is behind it, and which of the block's parts, as they are in this map, that is.
 */

import { countText, flagNames, hexText, numberText, sizeText } from "../replay/format.js";
import { printable } from "../trace/printable.js";
import { Fold } from "./fold.js";
import { type Heat, heatOf } from "./heat.js";
import { blockRanges, bytesOf, HOST, type Mapping, type MemoryMap, PAGE_BYTES } from "./memorymap.js";
import { type Box, type PageSpace, pageOf } from "./page.js";

/** Columns between the walls of a box. */
const INNER = 38;
const HEAT_PARTS = 16;
const HEAT_MARKS = "·▁▂▃▄▅▆▇█";
const MIB = 2 ** 20;
const GIB = 2 ** 30;

export function mapText(map: MemoryMap): string {
  const { spaces, remarks } = pageOf(map);
  const lines = spaces.flatMap((space) => [
    ...(spaces.length > 1 ? [`address space ${space.asId}`] : []),
    ...spaceText(space),
    "",
  ]);
  const source = map.source === undefined ? [] : [`  read as ${map.source}`];
  const title = `${printable(map.title)}: ${summary(map)}`;
  return [title, "", ...lines, ...legend(map), ...remarks.map((remark) => `  ${remark}`), ...source, ""].join(
    "\n",
  );
}

export function summary({ mappings }: MemoryMap): string {
  const ram = mappings.filter(({ kind }) => kind === "ram");
  const windows = mappings.length - ram.length;
  const bytes = ram.reduce((sum, mapping) => sum + bytesOf(mapping), 0);
  const noun = ram.every(({ slot }) => slot !== undefined) ? "slot" : "RAM range";
  const mmio = windows === 0 ? "" : `, ${countText(windows, "MMIO window")}`;
  return `${countText(ram.length, noun)}, ${sizeText(bytes)}${mmio}`;
}

function spaceText({ mappings: all, boxes: mappings }: PageSpace): string[] {
  if (mappings.length === 0) return ["  nothing is mapped"];
  const folds = blockFolds(all);
  const digits = Math.max(8, mappings.at(-1)!.end.toString(16).length);
  const gutter = (address: number) => `  0x${address.toString(16).padStart(digits, "0")} `;
  const empty = " ".repeat(digits + 5);
  const lines: string[] = [];
  mappings.forEach((mapping, index) => {
    const last = mappings[index - 1];
    const gap = last !== undefined && last.end < mapping.start;
    if (gap) {
      lines.push(`${gutter(last.end)}└${"─".repeat(INNER)}┘`);
      lines.push(`${empty}  ${sizeText(mapping.start - last.end).padStart(INNER - 2)}`);
    }
    const joins = last !== undefined && !gap;
    lines.push(`${gutter(mapping.start)}${joins ? "├" : "┌"}${"─".repeat(INNER)}${joins ? "┤" : "┐"}`);
    const wall = mapping.kind === "mmio" ? "╎" : "│";
    for (const [text, beside] of boxRows(mapping, folds)) {
      lines.push(`${empty}${wall} ${text.padEnd(INNER - 2)} ${wall}${beside && `  ${beside}`}`);
    }
  });
  lines.push(`${gutter(mappings.at(-1)!.end)}└${"─".repeat(INNER)}┘`);
  return lines;
}

/** Rows of a box, each with what stands beside it. */
function boxRows(mapping: Box, folds: ReadonlyMap<string, Fold>): [string, string][] {
  const bytes = bytesOf(mapping);
  const { kind, slot, block, off, flags, dirty, run } = mapping;
  if (run !== undefined) return [[ends(run.name, sizeText(run.bytes)), ""]];
  if (kind === "mmio") return [[ends("mmio", sizeText(bytes)), printable(block)]];
  const name = slot === undefined ? "ram" : `slot ${slot & 0xffff}`;
  const size = sizeText(bytes);
  const fold = folds.get(block)!;
  const place = `${block === HOST ? "" : `${printable(block)} `}${hexText(off)}`;
  const rows: [string, string][] = [
    [ends([name, ...flagNames(flags)].join("  "), size), `${strip(fold, off, off + bytes)}  ${place}`],
  ];
  if (dirty !== undefined) rows.push([heatText(heatOf(dirty, bytes / PAGE_BYTES, HEAT_PARTS)), ""]);
  const height = bytes < MIB ? 1 : bytes < GIB ? 2 : 3;
  while (rows.length < height) rows.push(["", ""]);
  return rows;
}

function ends(left: string, right: string): string {
  return left + right.padStart(INNER - 2 - left.length);
}

function heatText({ dirty, parts }: Heat): string {
  const marks = parts.map((share) => HEAT_MARKS[Math.ceil(share * (HEAT_MARKS.length - 1))]).join("");
  return ends(`dirty ${marks}`, `${numberText(dirty)} p.`);
}

/** The parts of each RAM block that are mapped, and the gaps between, each of length 1. */
function blockFolds(mappings: readonly Mapping[]): Map<string, Fold> {
  return new Map([...blockRanges(mappings)].map(([name, ranges]) => [name, new Fold(ranges, () => 1)]));
}

/** Most marks of a strip; more pieces share one. */
const STRIP_MAX = 48;

function strip(fold: Fold, start: number, end: number): string {
  const { pieces } = fold;
  const [first, last] = [fold.indexOf(start), fold.indexOf(end - 1)];
  const count = Math.min(STRIP_MAX, pieces.length);
  return Array.from({ length: count }, (_, mark) => {
    const from = Math.ceil((mark * pieces.length) / count);
    const to = Math.ceil(((mark + 1) * pieces.length) / count);
    if (first < to && from <= last) return "█";
    return pieces.length > STRIP_MAX || pieces[from]!.used ? "─" : "·";
  }).join("");
}

function legend({ mappings }: MemoryMap): string[] {
  if (!mappings.some(({ kind }) => kind === "ram")) return [];
  return [
    "  beside a box: its part █ of the RAM block, parts mapped elsewhere ─, not mapped ·; not to scale",
  ];
}
