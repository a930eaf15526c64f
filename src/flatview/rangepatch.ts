/** A part of a sorted list of ranges, replaced; and what was replaced in the end by several such steps. */
import type { Bounds, RangeList } from "./rangelist.js";

/** What the items of a list have in common. */
export interface Layer<T, Address extends number | bigint> extends Bounds<T, Address> {
  /** The part of an item in [start, end), which has bytes of it. */
  part(item: T, start: Address, end: Address): T;
  /** Neighbours that continue each other as one. */
  join(items: readonly T[]): T[];
  /** True for items that nothing distinguishes. */
  equal(a: T, b: T): boolean;
}

/** Items that a list had and has not any more, and those it has instead. Each ascends, if the steps ascend. */
export class Difference<T> {
  removed: readonly T[] = [];
  added: readonly T[] = [];

  note(removed: readonly T[], added: readonly T[]): void {
    if (this.added.length === 0) {
      this.removed = this.removed.length === 0 ? removed : [...this.removed, ...removed];
      this.added = added;
      return;
    }
    // What an earlier step has added was never there.
    const gone = new Set(removed);
    const left = this.added.filter((item) => !gone.delete(item));
    this.removed = [...this.removed, ...gone];
    this.added = [...left, ...added];
  }
}

/** A step from one list to the next. */
export interface Step<T, Address extends number | bigint> {
  readonly list: RangeList<T, Address>;
  readonly removed: readonly T[];
  readonly added: readonly T[];
}

/**
 * The list with `fresh` in [start, end), joined to what continues it outside. Items that come out as they were stay the
 * same objects and are not in the step.
 */
export function replaceWithin<T, Address extends number | bigint>(
  layer: Layer<T, Address>,
  list: RangeList<T, Address>,
  start: Address,
  end: Address,
  fresh: readonly T[],
): Step<T, Address> {
  const run = list.within(start, end, true);
  const { items } = run;
  if (items.length === 0 && fresh.length === 0) return { list, removed: fresh, added: fresh };
  const [first, last] = [items[0], items.at(-1)];
  const pieces = [...fresh];
  if (first !== undefined && layer.start(first) < start) {
    const firstEnd = layer.end(first);
    pieces.unshift(layer.part(first, layer.start(first), firstEnd < start ? firstEnd : start));
  }
  if (last !== undefined && layer.end(last) > end) {
    const lastStart = layer.start(last);
    pieces.push(layer.part(last, lastStart > end ? lastStart : end, layer.end(last)));
  }
  const after = layer.join(pieces);
  const most = Math.min(items.length, after.length);
  let same = 0;
  while (same < most && layer.equal(items[same]!, after[same]!)) same++;
  let rest = 0;
  while (rest < most - same && layer.equal(items.at(-1 - rest)!, after.at(-1 - rest)!)) rest++;
  const removed = items.slice(same, items.length - rest);
  const added = after.slice(same, after.length - rest);
  if (removed.length === 0 && added.length === 0) return { list, removed, added };
  return { list: list.splice(list.after(run, same), removed.length, added), removed, added };
}
