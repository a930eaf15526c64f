/**
 * A tree of regions, flattened: which region answers for which bytes, ascending, no two overlapping.
 *
 *   each region, highest priority first, fills the gaps that those before it left
 *
 * Any part of an address space can be flattened alone; it costs what lies there.
 *
 * Mirrors render_memory_region, flatview_insert and flatview_simplify (QEMU system/memory.c); its Int128 is a
 * bigint here, because the base of an alias' target may lie below 0 and an end may be 2^64.
 */
import { ADDRESS_SPACE_BYTES, type MemoryRegion, subregionsWithin } from "./memoryregion.js";
import { RangeBuffer } from "./rangelist.js";
import type { Extent } from "./touched.js";

/** Guest bytes that one region answers for in one way. */
export interface FlatRange {
  /** First guest byte. */
  readonly start: bigint;
  /** Bytes, above 0. */
  readonly size: bigint;
  /** The region itself, never an alias or a container. */
  readonly region: MemoryRegion;
  /** Byte of the region at `start`. */
  readonly offset: bigint;
  /** Guest writes are refused: the region is readonly, or something on the way to it is. */
  readonly readonly: boolean;
  /** A romDevice in its readable mode. */
  readonly romd: boolean;
  /** A dirty log is kept. */
  readonly log: boolean;
  /** Memory that has no slot, as a dump tells: a window, page-aligned or not. Never of a tree. */
  readonly slotless?: boolean;
}

/** Guest address after the last byte. */
export function endOf(range: { readonly start: bigint; readonly size: bigint }): bigint {
  return range.start + range.size;
}

/** A range of a tree with other bytes. A literal: spreads are slow. */
function resized(
  { region, readonly, romd, log }: FlatRange,
  start: bigint,
  end: bigint,
  offset: bigint,
): FlatRange {
  return { start, size: end - start, region, offset, readonly, romd, log };
}

const EXTENTS = { start: ({ start }: Extent) => start, end: ({ end }: Extent) => end };

/** What is painted first stays; what comes later fills the gaps. */
class Canvas {
  /** Unsorted. */
  readonly ranges: FlatRange[] = [];
  /** The one extent that is painted, as long as it is one. */
  #single: Extent | undefined;
  /** All of them, maximal: none is adjacent to another. */
  #painted: RangeBuffer<Extent, bigint> | undefined;

  /** True if there is no gap in [start, end). */
  isFull(start: bigint, end: bigint): boolean {
    const painted = this.#single ?? this.#painted?.within(start, end).items[0];
    return painted !== undefined && painted.start <= start && end <= painted.end;
  }

  /** Put `filler` into the gaps of its bytes. */
  fill(filler: FlatRange): void {
    const end = endOf(filler);
    if (this.ranges.length === 0) {
      this.ranges.push(filler);
      this.#single = { start: filler.start, end };
      return;
    }
    if (this.#painted === undefined) {
      this.#painted = new RangeBuffer(EXTENTS);
      this.#painted.replace({ chunk: 0, at: 0 }, 0, this.#single!);
      this.#single = undefined;
    }
    const base = filler.start - filler.offset;
    const painted = this.#painted.within(filler.start, end, true);
    const { items } = painted;
    let start = filler.start;
    for (const next of items) {
      if (start < next.start) {
        this.ranges.push(resized(filler, start, next.start, start - base));
      }
      if (start < next.end) start = next.end;
    }
    if (start < end) this.ranges.push(resized(filler, start, end, start - base));
    const [first, last] = [items[0], items.at(-1)];
    const union = {
      start: first !== undefined && first.start < filler.start ? first.start : filler.start,
      end: last !== undefined && last.end > end ? last.end : end,
    };
    this.#painted.replace(painted, items.length, union);
  }
}

function paint(canvas: Canvas, region: MemoryRegion, base: bigint, clip: Extent, readonly: boolean): void {
  if (!region.enabled) return;
  const first = base + region.address;
  const last = first + region.size;
  const start = first > clip.start ? first : clip.start;
  const end = last < clip.end ? last : clip.end;
  if (start >= end || canvas.isFull(start, end)) return;
  const inside = { start, end };
  const refuses = readonly || region.readonly;
  const { target } = region;
  if (target !== undefined) {
    paint(canvas, target, first - region.targetOffset - target.address, inside, refuses);
    return;
  }
  for (const child of subregionsWithin(region, start - first, end - first)) {
    paint(canvas, child, first, inside, refuses);
  }
  if (region.kind === "container") return;
  const { romd, log } = region;
  canvas.fill({
    start,
    size: end - start,
    region,
    offset: start - first,
    readonly: refuses,
    romd,
    log,
  });
}

function continues(a: FlatRange, b: FlatRange): boolean {
  return (
    a.region === b.region &&
    endOf(a) === b.start &&
    a.offset + a.size === b.offset &&
    a.readonly === b.readonly &&
    a.romd === b.romd &&
    a.log === b.log
  );
}

/** True for ranges that nothing distinguishes. */
export function sameRange(a: FlatRange, b: FlatRange): boolean {
  return (
    a === b ||
    (a.region === b.region &&
      a.start === b.start &&
      a.size === b.size &&
      a.offset === b.offset &&
      a.readonly === b.readonly &&
      a.romd === b.romd &&
      a.log === b.log &&
      a.slotless === b.slotless)
  );
}

/** Neighbours that continue each other as one. */
export function simplify(ranges: readonly FlatRange[]): FlatRange[] {
  const merged: FlatRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && continues(last, range)) {
      merged[merged.length - 1] = resized(last, last.start, endOf(range), last.offset);
    } else merged.push(range);
  }
  return merged;
}

/** The part of a range in [start, end), which has bytes of it. */
export function partOf(range: FlatRange, start: bigint, end: bigint): FlatRange {
  const first = start > range.start ? start : range.start;
  const last = end < endOf(range) ? end : endOf(range);
  if (first === range.start && last === endOf(range)) return range;
  return resized(range, first, last, range.offset + (first - range.start));
}

/** What a guest sees in [start, end) whose address space is `root`. */
export function renderWithin(root: MemoryRegion, clip: Extent): FlatRange[] {
  const canvas = new Canvas();
  paint(canvas, root, 0n, clip, false);
  const { ranges } = canvas;
  if (ranges.length > 1) ranges.sort((a, b) => (a.start < b.start ? -1 : 1));
  return simplify(ranges);
}

/** What a guest sees whose address space is `root`. */
export function renderRoot(root: MemoryRegion): FlatRange[] {
  return renderWithin(root, { start: 0n, end: ADDRESS_SPACE_BYTES });
}
