/**
 * Loss: a part of guest memory, and the number of commits of a boot in which it vanished. Gaps of different commits
 * overlap: RAM above 1 MiB vanishes once by itself and once as part of a larger range. Losses are disjoint, so each has
 * one count.
 */
import type { CommitGap } from "./commits.js";
import { elementaryRanges, type GpaRange } from "./gaps.js";

/** A range whose bytes vanished in the same commits, alone or as part of larger gaps. */
export interface Loss extends GpaRange {
  /** Number of commits in which it vanished. */
  readonly times: number;
  /** Number of these after which it has the same translation and flags. */
  readonly same: number;
  /** Number of these that were made while the machine was running. */
  readonly running: number;
  /** For each gap that holds a part of it: host address of the gap's first byte after the commit. */
  readonly hvas: readonly number[];
}

/** The losses of a boot, by bytes times commits, the largest first. */
export function lossesOf(gaps: readonly CommitGap[]): Loss[] {
  const losses: Loss[] = [];
  for (const asId of new Set(gaps.map((gap) => gap.asId))) {
    const own = gaps.filter((gap) => gap.asId === asId);
    const borders = own.flatMap(({ start, end }) => [start, end]);
    let lastKey = "";
    for (const range of elementaryRanges(asId, borders)) {
      const over = own.filter(({ start, end }) => start <= range.start && range.end <= end);
      const key = JSON.stringify(over.map(({ commit, same }) => [commit, same]));
      if (key === lastKey) losses.push(joined(losses.pop() as Loss, range, over));
      else if (over.length > 0) losses.push(lossOf(range, over));
      lastKey = over.length > 0 ? key : "";
    }
  }
  return losses.sort((a, b) => bytesOf(b) * b.times - bytesOf(a) * a.times || a.start - b.start);
}

export function bytesOf({ start, end }: GpaRange): number {
  return end - start;
}

function lossOf(range: GpaRange, gaps: readonly CommitGap[]): Loss {
  return {
    ...range,
    times: gaps.length,
    same: gaps.filter(({ same }) => same).length,
    running: gaps.filter(({ phase }) => phase === "running").length,
    hvas: gaps.map(({ hva }) => hva),
  };
}

function joined(last: Loss, range: GpaRange, gaps: readonly CommitGap[]): Loss {
  return { ...last, end: range.end, hvas: [...last.hvas, ...gaps.map(({ hva }) => hva)] };
}
