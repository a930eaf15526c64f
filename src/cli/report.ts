/**
 * A replayed boot as a person reads it and as a program reads it: numbers only, replay.ts says what they
 * mean.
 */
import { bytesOf, type Loss, lossesOf } from "./losses.js";
import type { Outcome, Replay } from "./replay.js";
import type { Trace } from "./trace.js";
import { rangeText, windowPages } from "./windows.js";

/** How many of the vanished ranges the text names. */
const LOSSES_SHOWN = 6;

/** One object per file, the shape of `--json`. */
export function replayJson({ trace, oneByOne, list }: Replay) {
  return {
    file: trace.file,
    machine: trace.machine,
    updates: trace.updates,
    commits: trace.commits.length,
    oneByOne: {
      publications: oneByOne.publications,
      windows: oneByOne.windows.length,
      same: sameOf(oneByOne),
      remap: oneByOne.windows.length - sameOf(oneByOne),
      windowPages: windowPages(oneByOne.windows),
      ...probedJson(oneByOne),
    },
    list: {
      publications: list.publications,
      windows: list.windows.length,
      windowPages: windowPages(list.windows),
      ...probedJson(list),
    },
  };
}

/** Two more numbers if vCPUs looked. */
function probedJson({ probed }: Outcome) {
  return probed && { misses: probed.misses, accesses: probed.accesses };
}

/** What a trace without updates is, or undefined: zeroes alone would look like a result. */
export function nothingReplayed({ updates, sections, romds }: Trace): string | undefined {
  if (updates > 0) return undefined;
  if (sections + romds === 0) return "no KVM updates, nothing to replay";
  const held = [count(sections, "section list"), count(romds, "ROMD change")].join(" and ");
  return `no KVM updates, nothing to replay (recorded without KVM: ${held} of a vhost listener)`;
}

export function replayText({ trace, oneByOne, list }: Replay): string {
  const nothing = nothingReplayed(trace);
  if (nothing !== undefined) return `${trace.machine}: ${nothing}\n`;
  const seen = oneByOne.probed === undefined ? [] : ["accesses of vCPUs", "misses"];
  const counts = [
    ["", "publications", "windows", "same", "remap", "pages unmapped", ...seen],
    ["one by one", ...countsOf(oneByOne)],
    ["as lists", ...countsOf(list)],
  ];
  return [
    `${trace.machine}: ${count(trace.updates, "update")} in ${count(trace.commits.length, "commit")}`,
    ...table(counts),
    ...lossText("one by one", lossesOf(oneByOne.windows), trace),
    ...lossText("as lists", lossesOf(list.windows), trace),
    "",
  ].join("\n");
}

function countsOf(outcome: Outcome): string[] {
  const same = sameOf(outcome);
  const windows = outcome.windows.length;
  const { probed } = outcome;
  return [
    outcome.publications,
    windows,
    same,
    windows - same,
    windowPages(outcome.windows),
    ...(probed === undefined ? [] : [probed.accesses, probed.misses]),
  ].map(number);
}

/**
 * The ranges that make up most of the unmapped pages, and how often each was missing: what the counts mean.
 */
function lossText(how: string, losses: readonly Loss[], { blocks }: Trace): string[] {
  if (losses.length === 0) return [];
  const rows = losses
    .slice(0, LOSSES_SHOWN)
    .map((loss) => [
      rangeText(loss) + (loss.asId === 0 ? "" : ` of address space ${loss.asId}`),
      sizeText(bytesOf(loss)),
      ...[loss.times, loss.running, loss.same, loss.times - loss.same].map(number),
      [...new Set(loss.hvas.map((hva) => blocks.name(hva)))].join(", "),
    ]);
  const head = [`vanished ${how}`, "size", "times", "running", "same", "remap", "came back as"];
  const more = losses.length - rows.length;
  return [...table([head, ...rows], 1), ...(more > 0 ? [`  ... and ${number(more)} more`] : [])];
}

/** Words stand in the first column and in the last `trailing` ones, aligned left; the rest are numbers. */
function table(rows: readonly (readonly string[])[], trailing = 0): string[] {
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

function sameOf({ windows }: Outcome): number {
  return windows.filter(({ same }) => same).length;
}

function sizeText(bytes: number): string {
  // A GiB less the first MiB is no GiB: the larger unit only where it is exact.
  const [unit, name] =
    bytes % 2 ** 30 === 0 ? [2 ** 30, "GiB"] : bytes >= 2 ** 20 ? [2 ** 20, "MiB"] : [2 ** 10, "KiB"];
  return `${(bytes / unit).toLocaleString("en-US", { maximumFractionDigits: 1 })} ${name}`;
}

function count(n: number, noun: string): string {
  return `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
}

function number(n: number): string {
  return n.toLocaleString("en-US");
}
