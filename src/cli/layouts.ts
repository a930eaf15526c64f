/**
 * The layouts that a trace goes through: the slots after every commit, found by applying its updates to a table
 * of slots. No engine: this says what the recorded VMM meant, for others to draw, compare and check.
 */
import { regionOf } from "./commits.js";
import { inOrder, type MemoryMap, mappingOf } from "./memorymap.js";
import type { Commit, Trace } from "./trace.js";
import type { Slot } from "./windows.js";

/** Slots by number. */
export type SlotTable = ReadonlyMap<number, Slot>;

/** `slots` after one more update; a deleted slot is gone. */
export function withUpdate(slots: SlotTable, update: Slot): SlotTable {
  const next = new Map(slots);
  if (update.memorySize === 0) next.delete(update.slot);
  else next.set(update.slot, update);
  return next;
}

/** The slots before the first commit (none), and after each: one more table than there are commits. */
export function layoutsOf(commits: readonly Commit[]): SlotTable[] {
  const layouts: SlotTable[] = [new Map()];
  for (const { updates } of commits) {
    layouts.push(updates.map(regionOf).reduce(withUpdate, layouts.at(-1)!));
  }
  return layouts;
}

/** Index of the last commit whose id is at most `id`; -1 is before the first. */
export function commitAt(trace: Trace, id: number): number {
  return trace.commits.filter((commit) => commit.id <= id).length - 1;
}

/** The map after the commit of an index. */
export function mapAfter(trace: Trace, index: number): MemoryMap {
  const slots = layoutsOf(trace.commits.slice(0, index + 1)).at(-1)!;
  const count = trace.commits.length;
  const where =
    index < 0
      ? "before its first commit"
      : `after commit ${trace.commits[index]!.id}, ${index + 1} of ${count}`;
  return {
    title: `${trace.machine} ${where}`,
    mappings: inOrder([...slots.values()].map((slot) => mappingOf(slot, trace.blocks))),
  };
}
