/** A small world of four pages and three slots: all ranges, all layouts, and alphabets of updates for lists. */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import { deletion, memoryRegion, PAGE } from "./region.js";

export const PAGES = 4;
export const IDS = [0, 1, 2];

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const FLAGS = [0, LOG, KVM_MEM_READONLY, LOG | KVM_MEM_READONLY];

type Range = readonly [startGfn: number, endGfn: number];

/** All ten ranges of pages. */
const RANGES: Range[] = Array.from({ length: PAGES }, (_, start) =>
  Array.from({ length: PAGES - start }, (_, more): Range => [start, start + more + 1]),
).flat();

/** Each slot has separate host memory, eight pages apart, so that a translation identifies the slot. */
function slotAt(id: number, [startGfn, endGfn]: Range, flags = 0, hvaPage = 8 * id): UserspaceMemoryRegion {
  const size = (endGfn - startGfn) * PAGE;
  return memoryRegion(id, flags, startGfn * PAGE, size, hvaPage * PAGE);
}

/** Every entry for a slot: delete, each range with and without LOG, and updates that a live slot refuses. */
export const ENTRIES: UserspaceMemoryRegion[] = IDS.flatMap((id) => [
  deletion(id),
  ...RANGES.flatMap((range) => [slotAt(id, range), slotAt(id, range, LOG)]),
  slotAt(id, [0, 1], KVM_MEM_READONLY),
  slotAt(id, [0, 2], 0, 8 * id + 4),
  { ...slotAt(id, [0, 1]), guestPhysAddr: 2 ** 52 },
]);

/** The few of them for longer lists. */
export const FEW_ENTRIES: UserspaceMemoryRegion[] = IDS.flatMap((id) => [
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
export const LAYOUTS: UserspaceMemoryRegion[][] = placements(0, IDS).flatMap((placement) =>
  [...placement].reduce<UserspaceMemoryRegion[][]>(
    (layouts, [id, range]) =>
      layouts.flatMap((layout) => FLAGS.map((flags) => [...layout, slotAt(id, range, flags)])),
    [[]],
  ),
);

/** Layouts that differ much: empty, full, holes, neighbours in either order of ids. */
export const FEW_LAYOUTS: UserspaceMemoryRegion[][] = [
  [],
  [slotAt(0, [0, 4], LOG)],
  [slotAt(0, [0, 2], LOG), slotAt(1, [2, 4])],
  [slotAt(2, [0, 1], LOG), slotAt(1, [1, 2], LOG), slotAt(0, [2, 4], LOG)],
  [slotAt(1, [1, 2]), slotAt(0, [3, 4], LOG)],
  [slotAt(0, [1, 3], LOG)],
  [slotAt(2, [0, 1]), slotAt(0, [1, 4], LOG)],
  [slotAt(0, [0, 2], KVM_MEM_READONLY), slotAt(1, [2, 3], LOG), slotAt(2, [3, 4], LOG)],
];
