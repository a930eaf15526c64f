/**
 * The guest ranges that edits of a tree have touched since the last commit: outside of them a guest sees what it saw.
 * Each edit adds the bytes that it may change, as they are seen at that moment; so the union covers any number of
 * edits, in whatever order.
 */

/** Bytes [start, end). */
export interface Extent {
  readonly start: bigint;
  readonly end: bigint;
}

/** With more ranges than this that are apart, all is touched. */
const RANGES_MAX = 1024;

export class Touched {
  #ranges: Extent[] = [];
  /** So many are joined where they meet: twice what was left the last time. */
  #limit = 64;

  add(start: bigint, end: bigint): void {
    const last = this.#ranges.at(-1);
    // A region is often edited twice in the same place.
    if (last !== undefined && last.start <= start && end <= last.end) return;
    this.#ranges.push({ start, end });
    if (this.#ranges.length <= this.#limit) return;
    this.#ranges = joined(this.#ranges);
    if (this.#ranges.length > RANGES_MAX) {
      this.#ranges = [{ start: this.#ranges[0]!.start, end: this.#ranges.at(-1)!.end }];
    }
    this.#limit = Math.max(64, 2 * this.#ranges.length);
  }

  /** Ascending, none adjacent to another; and begin anew. */
  take(): readonly Extent[] {
    const ranges = this.#ranges.length > 1 ? joined(this.#ranges) : this.#ranges;
    this.#ranges = [];
    return ranges;
  }
}

function joined(ranges: Extent[]): Extent[] {
  ranges.sort((a, b) => (a.start < b.start ? -1 : Number(a.start > b.start)));
  const union: Extent[] = [];
  for (const range of ranges) {
    const last = union.at(-1);
    if (last === undefined || last.end < range.start) union.push(range);
    else if (last.end < range.end) union[union.length - 1] = { start: last.start, end: range.end };
  }
  return union;
}
