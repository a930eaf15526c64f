/**
 * Two layouts of the same 64 pages, and the updates between them: one slot, and a split of it whose middle has another
 * host range, as a chipset's shadow RAM does. Every page is mapped in both, so a lookup that finds none is a miss.
 */
import type { Slot } from "memslots";
import { deletion, PAGE, region } from "../../support/region.js";

export const PAGES = 64;

/** Pages [start, end) that the split moves elsewhere. */
const MIDDLE = { start: 16, end: 48 } as const;
const HOST = 1000;
const MIDDLE_HOST = 5000;

export const WHOLE: readonly Slot[] = [region(0, 0, PAGES, HOST)];

export const SPLIT: readonly Slot[] = [
  deletion(0),
  region(0, 0, MIDDLE.start, HOST),
  region(1, MIDDLE.start, MIDDLE.end - MIDDLE.start, MIDDLE_HOST),
  region(2, MIDDLE.end, PAGES - MIDDLE.end, HOST + MIDDLE.end),
];

export const MERGE: readonly Slot[] = [deletion(2), deletion(1), deletion(0), ...WHOLE];

/** Host page of each guest page, whole and split. */
const LAYOUTS: readonly (readonly number[])[] = [false, true].map((split) =>
  Array.from({ length: PAGES }, (_, gfn) =>
    split && gfn >= MIDDLE.start && gfn < MIDDLE.end ? MIDDLE_HOST + gfn - MIDDLE.start : HOST + gfn,
  ),
);

/** Counts of passes over all pages. */
export interface Seen {
  accesses: number;
  /** Lookups that found no slot. */
  misses: number;
  /** Passes whose answers are not those of one layout. */
  torn: number;
}

/** Look all pages up and note what is not as it must be. */
export function pass(gpaToHva: (gpa: number) => number, seen: Seen): void {
  const possible = [true, true];
  for (let gfn = 0; gfn < PAGES; gfn++) {
    const hva = gpaToHva(gfn * PAGE);
    seen.accesses++;
    if (hva < 0) seen.misses++;
    for (const layout of [0, 1]) if (hva !== LAYOUTS[layout]![gfn]! * PAGE) possible[layout] = false;
  }
  if (!possible.includes(true)) seen.torn++;
}
