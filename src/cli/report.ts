/**
 * A replayed boot as a person reads it and as a program reads it: numbers only, replay.ts says what they
 * mean.
 */
import { countText, numberText, sizeText, table } from "./format.js";
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
  const held = [countText(sections, "section list"), countText(romds, "ROMD change")].join(" and ");
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
    `${trace.machine}: ${countText(trace.updates, "update")} in ${countText(trace.commits.length, "commit")}`,
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
  ].map(numberText);
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
      ...[loss.times, loss.running, loss.same, loss.times - loss.same].map(numberText),
      [...new Set(loss.hvas.map((hva) => blocks.name(hva)))].join(", "),
    ]);
  const head = [`vanished ${how}`, "size", "times", "running", "same", "remap", "came back as"];
  const more = losses.length - rows.length;
  return [...table([head, ...rows], 1), ...(more > 0 ? [`  ... and ${numberText(more)} more`] : [])];
}

function sameOf({ windows }: Outcome): number {
  return windows.filter(({ same }) => same).length;
}
