/**
 * A tree of regions, flattened: which region answers for which bytes, ascending, no two overlapping.
 *
 *   each region, highest priority first, fills the gaps that those before it left
 *
 * Mirrors render_memory_region, flatview_insert and flatview_simplify (QEMU system/memory.c); its Int128 is a
 * bigint here, because the base of an alias' target may lie below 0 and an end may be 2^64.
 */
import { ADDRESS_SPACE_BYTES, type MemoryRegion } from "./memoryregion.js";

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
}

/** Guest address after the last byte. */
export function endOf(range: { readonly start: bigint; readonly size: bigint }): bigint {
  return range.start + range.size;
}

interface Clip {
  start: bigint;
  end: bigint;
}

/** Put `filler`, which covers [start, end), into the gaps of `ranges` from place `at` on. */
function fillGaps(ranges: FlatRange[], filler: FlatRange): void {
  const end = endOf(filler);
  const base = filler.start - filler.offset;
  let start = filler.start;
  for (let i = 0; start < end; i++) {
    const next = ranges[i];
    if (next !== undefined && start >= endOf(next)) continue;
    const gapEnd = next === undefined || next.start > end ? end : next.start;
    if (start < gapEnd) {
      ranges.splice(i++, 0, { ...filler, start, size: gapEnd - start, offset: start - base });
    }
    start = next === undefined ? end : endOf(next);
  }
}

function render(
  ranges: FlatRange[],
  region: MemoryRegion,
  base: bigint,
  clip: Clip,
  readonly: boolean,
): void {
  if (!region.enabled) return;
  const first = base + region.address;
  const start = first > clip.start ? first : clip.start;
  const end = first + region.size < clip.end ? first + region.size : clip.end;
  if (start >= end) return;
  const inside = { start, end };
  const refuses = readonly || region.readonly;
  const { target } = region;
  if (target !== undefined) {
    render(ranges, target, first - region.targetOffset - target.address, inside, refuses);
    return;
  }
  for (const child of region.subregions) render(ranges, child, first, inside, refuses);
  if (region.kind === "container") return;
  const { romd, log } = region;
  const size = end - start;
  fillGaps(ranges, { start, size, region, offset: start - first, readonly: refuses, romd, log });
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

/** Neighbours that continue each other as one. */
function simplify(ranges: readonly FlatRange[]): FlatRange[] {
  const merged: FlatRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && continues(last, range)) {
      merged[merged.length - 1] = { ...last, size: last.size + range.size };
    } else merged.push(range);
  }
  return merged;
}

/** What a guest sees whose address space is `root`. */
export function renderRoot(root: MemoryRegion): FlatRange[] {
  const ranges: FlatRange[] = [];
  render(ranges, root, 0n, { start: 0n, end: ADDRESS_SPACE_BYTES }, false);
  return simplify(ranges);
}
