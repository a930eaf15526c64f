/** Reports of a replayed boot: as text, and as JSON. */
import type { Trace } from "../trace/trace.js";
import { countText, numberText, sizeText, table } from "./format.js";
import { gapPages, rangeText } from "./gaps.js";
import { bytesOf, type Loss, lossesOf } from "./losses.js";
import type { Outcome, Replay } from "./replay.js";

/** Number of vanished ranges in the text. */
const LOSSES_SHOWN = 6;

/** The object of `replay --json` for one file. */
export function replayJson({ trace, oneByOne, list }: Replay) {
  return {
    file: trace.file,
    machine: trace.machine,
    updates: trace.updates,
    commits: trace.commits.length,
    oneByOne: {
      publications: oneByOne.publications,
      gaps: oneByOne.gaps.length,
      same: sameOf(oneByOne),
      remap: oneByOne.gaps.length - sameOf(oneByOne),
      gapPages: gapPages(oneByOne.gaps),
      ...probedJson(oneByOne),
    },
    list: {
      publications: list.publications,
      gaps: list.gaps.length,
      gapPages: gapPages(list.gaps),
      ...probedJson(list),
    },
  };
}

/** Two more numbers if vCPUs probed. */
function probedJson({ probed }: Outcome) {
  return probed && { misses: probed.misses, accesses: probed.accesses };
}

/** The reason why a trace has no updates, undefined if it has some: zeroes alone would look like a result. */
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
    ["", "publications", "gaps", "same", "remap", "pages unmapped", ...seen],
    ["one by one", ...countsOf(oneByOne)],
    ["as lists", ...countsOf(list)],
  ];
  return [
    `${trace.machine}: ${countText(trace.updates, "update")} in ${countText(trace.commits.length, "commit")}`,
    ...table(counts),
    ...lossText("one by one", lossesOf(oneByOne.gaps), trace),
    ...lossText("as lists", lossesOf(list.gaps), trace),
    "",
  ].join("\n");
}

function countsOf(outcome: Outcome): string[] {
  const same = sameOf(outcome);
  const gaps = outcome.gaps.length;
  const { probed } = outcome;
  return [
    outcome.publications,
    gaps,
    same,
    gaps - same,
    gapPages(outcome.gaps),
    ...(probed === undefined ? [] : [probed.accesses, probed.misses]),
  ].map(numberText);
}

/** The ranges with most of the unmapped pages, and how often each was missing. */
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

function sameOf({ gaps }: Outcome): number {
  return gaps.filter(({ same }) => same).length;
}
