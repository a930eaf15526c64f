/**
 * Holes: guest memory that is mapped before and after a commit, but not now. A change made update by update opens them.
 * A reader of a hole finds nothing, although the commit does not change that memory.
 */
import { type SlotTable, withUpdate } from "../../src/map/layouts.js";
import { elementaryRanges, type GpaRange, type Slot } from "../../src/replay/gaps.js";
import { type Probe, probesOf } from "../../src/replay/probes.js";

export interface Hole {
  readonly bytes: number;
  readonly ranges: readonly GpaRange[];
}

export const NO_HOLE: Hole = { bytes: 0, ranges: [] };

/** The ranges that are mapped in both layouts: a reader must find memory there at any time. */
export function keptBetween(before: Iterable<Slot>, after: Iterable<Slot>): Probe[] {
  return probesOf([...before], [...after], []);
}

/** The parts of `kept` that `slots` do not map. */
export function holeIn(kept: readonly GpaRange[], slots: Iterable<Slot>): Hole {
  const mapped = [...slots].map(({ slot, guestPhysAddr, memorySize }) => ({
    asId: slot >>> 16,
    start: guestPhysAddr,
    end: guestPhysAddr + memorySize,
  }));
  const ranges = kept.flatMap((range) => {
    const own = mapped.filter(({ asId }) => asId === range.asId);
    const borders = own
      .flatMap(({ start, end }) => [start, end])
      .filter((at) => range.start < at && at < range.end);
    return elementaryRanges(range.asId, [range.start, ...borders, range.end]).filter(
      (piece) => !own.some(({ start, end }) => start <= piece.start && piece.end <= end),
    );
  });
  return { ranges: joined(ranges), bytes: ranges.reduce((sum, { start, end }) => sum + end - start, 0) };
}

function joined(ranges: readonly GpaRange[]): GpaRange[] {
  const result: GpaRange[] = [];
  for (const range of ranges) {
    const last = result.at(-1);
    if (last !== undefined && last.asId === range.asId && last.end === range.start) {
      result[result.length - 1] = { ...last, end: range.end };
    } else result.push(range);
  }
  return result;
}

/** The largest hole while the updates are made one by one. */
export function holesBetween(before: SlotTable, after: SlotTable, updates: readonly Slot[]): Hole {
  const kept = keptBetween(before.values(), after.values());
  let slots = before;
  let largest = NO_HOLE;
  for (const update of updates) {
    slots = withUpdate(slots, update);
    const hole = holeIn(kept, slots.values());
    if (hole.bytes > largest.bytes) largest = hole;
  }
  return largest;
}
