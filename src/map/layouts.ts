/**
 * The layouts that a trace goes through: the slots after every commit, found by applying its updates to a table
 * of slots. No engine: this says what the recorded VMM meant, for others to draw, compare and check.
 */
import { regionOf } from "../replay/commits.js";
import type { Slot } from "../replay/gaps.js";
import type { Commit, Trace } from "../trace/trace.js";
import type { Update } from "../trace/update.js";
import { inOrder, type MemoryMap, mappingOf } from "./memorymap.js";

/** Slots by number. */
export type SlotTable = ReadonlyMap<number, Slot>;

/** `slots` after one more update; a deleted slot is gone. */
export function withUpdate(slots: SlotTable, change: Slot): SlotTable {
  const next = new Map(slots);
  putUpdate(next, change);
  return next;
}

/** Let `slots` have one more update. */
export function putUpdate(slots: Map<number, Slot>, change: Slot): void {
  if (change.memorySize === 0) slots.delete(change.slot);
  else slots.set(change.slot, change);
}

function slotOf(change: Update): Slot {
  const { flags, guestMemfd, guestMemfdOffset } = change;
  return {
    ...regionOf(change),
    flags,
    ...(guestMemfd !== undefined && { guestMemfd, guestMemfdOffset: guestMemfdOffset ?? 0 }),
  };
}

/** The slots before the first commit (none), and after each: one more table than there are commits. */
export function layoutsOf(commits: readonly Commit[]): SlotTable[] {
  const layouts: SlotTable[] = [new Map()];
  for (const { updates } of commits) {
    const next = new Map(layouts.at(-1)!);
    for (const change of updates) putUpdate(next, slotOf(change));
    layouts.push(next);
  }
  return layouts;
}

/** Index of the last commit whose id is at most `id`; -1 is before the first. */
export function commitAt(trace: Trace, id: number): number {
  return trace.commits.filter((commit) => commit.id <= id).length - 1;
}

/** The map after the commit of an index. */
export function mapAfter(trace: Trace, index: number): MemoryMap {
  const slots = new Map<number, Slot>();
  for (const { updates } of trace.commits.slice(0, index + 1)) {
    for (const change of updates) putUpdate(slots, slotOf(change));
  }
  const count = trace.commits.length;
  const where =
    index < 0
      ? "before its first commit"
      : `after commit ${trace.commits[index]!.id}, ${index + 1} of ${count}`;
  return {
    source: "a trace of memory-slot updates",
    title: `${trace.machine} ${where}`,
    mappings: inOrder([...slots.values()].map((slot) => mappingOf(slot, trace.blocks))),
  };
}
