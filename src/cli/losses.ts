/**
 * How often each part of guest memory vanished in a whole boot. Windows of different commits overlap: RAM
 * above 1 MiB goes once by itself and once as part of a larger range. Losses are disjoint, so that the count
 * beside a range is the count of commits that took it away, whatever else they took.
 */
import type { CommitWindow } from "./commits.js";
import { elementaryRanges, type GpaRange } from "./windows.js";

/** A range that vanished in one piece, or in neighbouring ones, each time from the same commits. */
export interface Loss extends GpaRange {
  /** Times it vanished: commits. */
  readonly times: number;
  /** Of these, the times it came back with the same translation and flags. */
  readonly same: number;
  /** Of these, the times the machine was running. */
  readonly running: number;
  /** Host address of the first byte of each window that holds a part of it, when it was back. */
  readonly hvas: readonly number[];
}

/** Those first that took most away, bytes times commits: what the sum of all windows is made of. */
export function lossesOf(windows: readonly CommitWindow[]): Loss[] {
  const losses: Loss[] = [];
  for (const asId of new Set(windows.map((window) => window.asId))) {
    const own = windows.filter((window) => window.asId === asId);
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

function lossOf(range: GpaRange, windows: readonly CommitWindow[]): Loss {
  return {
    ...range,
    times: windows.length,
    same: windows.filter(({ same }) => same).length,
    running: windows.filter(({ phase }) => phase === "running").length,
    hvas: windows.map(({ hva }) => hva),
  };
}

function joined(last: Loss, range: GpaRange, windows: readonly CommitWindow[]): Loss {
  return { ...last, end: range.end, hvas: [...last.hvas, ...windows.map(({ hva }) => hva)] };
}
