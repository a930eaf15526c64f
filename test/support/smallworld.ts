/**
 * Everything there is with four pages and three slots: ranges, layouts, and alphabets of updates to make
 * lists of.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type MemoryRegion } from "../../src/uapi.js";
import { deletion, PAGE_SIZE, region } from "./implementation.js";

export const PAGES = 4;
export const IDS = [0, 1, 2];

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const FLAGS = [0, LOG, KVM_MEM_READONLY, LOG | KVM_MEM_READONLY];

type Range = readonly [startGfn: number, endGfn: number];

/** All ten ranges of pages. */
const RANGES: Range[] = Array.from({ length: PAGES }, (_, start) =>
  Array.from({ length: PAGES - start }, (_, more): Range => [start, start + more + 1]),
).flat();

/** Host memory of a slot is its own, eight pages apart, so that a translation tells the slot. */
function slotAt(id: number, [startGfn, endGfn]: Range, flags = 0, hvaPage = 8 * id): MemoryRegion {
  const size = (endGfn - startGfn) * PAGE_SIZE;
  return region(id, flags, startGfn * PAGE_SIZE, size, hvaPage * PAGE_SIZE);
}

/**
 * Every entry that there is for a slot: delete, each range with and without LOG, and what a live slot
 * refuses.
 */
export const ENTRIES: MemoryRegion[] = IDS.flatMap((id) => [
  deletion(id),
  ...RANGES.flatMap((range) => [slotAt(id, range), slotAt(id, range, LOG)]),
  slotAt(id, [0, 1], KVM_MEM_READONLY),
  slotAt(id, [0, 2], 0, 8 * id + 4),
  { ...slotAt(id, [0, 1]), guestPhysAddr: 2 ** 52 },
]);

/** The few of them that longer lists are made of. */
export const FEW_ENTRIES: MemoryRegion[] = IDS.flatMap((id) => [
  deletion(id),
  slotAt(id, [0, 1], LOG),
  slotAt(id, [1, 2], LOG),
  slotAt(id, [0, 2]),
  slotAt(id, [2, 4]),
  slotAt(id, [2, 4], LOG),
  slotAt(id, [1, 4]),
]);

/** All ways to place up to three slots, in the order of their ids, without overlap. */
function placements(from: number, ids: readonly number[]): Map<number, Range>[] {
  const [id, ...rest] = ids;
  if (id === undefined) return [new Map()];
  const placed = RANGES.filter(([start]) => start >= from).flatMap((range) =>
    placements(range[1], rest).map((others) => new Map([[id, range], ...others])),
  );
  return [...placements(from, rest), ...placed];
}

/** Every layout with every choice of flags. */
export const LAYOUTS: MemoryRegion[][] = placements(0, IDS).flatMap((placement) =>
  [...placement].reduce<MemoryRegion[][]>(
    (layouts, [id, range]) =>
      layouts.flatMap((layout) => FLAGS.map((flags) => [...layout, slotAt(id, range, flags)])),
    [[]],
  ),
);

/** Layouts that are unlike each other: empty, full, holes, neighbours in either order of ids. */
export const FEW_LAYOUTS: MemoryRegion[][] = [
  [],
  [slotAt(0, [0, 4], LOG)],
  [slotAt(0, [0, 2], LOG), slotAt(1, [2, 4])],
  [slotAt(2, [0, 1], LOG), slotAt(1, [1, 2], LOG), slotAt(0, [2, 4], LOG)],
  [slotAt(1, [1, 2]), slotAt(0, [3, 4], LOG)],
  [slotAt(0, [1, 3], LOG)],
  [slotAt(2, [0, 1]), slotAt(0, [1, 4], LOG)],
  [slotAt(0, [0, 2], KVM_MEM_READONLY), slotAt(1, [2, 3], LOG), slotAt(2, [3, 4], LOG)],
];
