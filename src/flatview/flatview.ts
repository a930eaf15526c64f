/**
 * What a guest sees of an address space at one moment: ranges of guest memory, ascending, each answered for by
 * one region. Immutable; made from a tree of regions, or from ranges (an imported dump).
 *
 * Mirrors struct FlatView and flatview_lookup (QEMU system/memory.c).
 */
import { MemoryRegion } from "./memoryregion.js";
import { endOf, type FlatRange, renderRoot } from "./render.js";

/**
 * What a guest sees of an address space: ranges, ascending and apart, each answered for by one region. Immutable.
 * Mirrors struct FlatView (QEMU system/memory.c).
 */
export class FlatView {
  /** Ascending by guest address; what lies between them answers nothing. */
  readonly ranges: readonly FlatRange[];

  private constructor(ranges: readonly FlatRange[]) {
    this.ranges = Object.freeze(ranges);
  }

  /** What a guest sees whose address space is `root`. @throws TypeError */
  static of(root: MemoryRegion): FlatView {
    if (!(root instanceof MemoryRegion)) throw new TypeError("root must be a MemoryRegion");
    return new FlatView(renderRoot(root));
  }

  /** A view of these ranges. @throws RangeError if they do not ascend or two of them overlap */
  static from(ranges: readonly FlatRange[]): FlatView {
    ranges.forEach((range, i) => {
      const before = ranges[i - 1];
      if (range.size <= 0n) throw new RangeError(`ranges[${i}].size must be above 0`);
      if (before !== undefined && endOf(before) > range.start) {
        throw new RangeError(`ranges[${i}] must start at or after the end of the one before it`);
      }
    });
    return new FlatView([...ranges]);
  }

  /** The range that holds guest byte `address`. */
  find(address: number | bigint): FlatRange | undefined {
    const byte = BigInt(address);
    let [low, high] = [0, this.ranges.length];
    // Loop invariant: ranges before `low` end at or before the byte, those from `high` on start behind it.
    while (low < high) {
      const middle = (low + high) >> 1;
      if (endOf(this.ranges[middle]!) <= byte) low = middle + 1;
      else high = middle;
    }
    const found = this.ranges[low];
    return found !== undefined && found.start <= byte ? found : undefined;
  }
}
