/**
 * What a reproduction is made of: a layout, lists of updates that lead around and back to it, and the guest
 * pages that are mapped in every layout on the way, so that to find one of them without memory is a loss.
 */
import type { MemslotEngine, Slot } from "memslots";
import { PAGE } from "../support/region.js";
import { hostOf, type Ram } from "./ram.js";

/** One list of updates. */
export interface Change {
  readonly list: readonly Slot[];
  /** The entry that has to be refused; the layout must then be the old one. */
  readonly refusedAt?: number;
  /** Block of the RAM that no page is mapped to any more once the change is made. */
  readonly leaves?: number;
}

export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly addressSpaces?: number;
  readonly initial: readonly Slot[];
  readonly changes: readonly Change[];
  readonly pages: readonly number[];
  /** Pages are READONLY in some layouts. */
  readonly readonly?: boolean;
  readonly writesPerAccess?: number;
  /** Another thread makes single updates meanwhile. */
  readonly secondWriter?: boolean;
  /** One by one must be seen to lose: the defect that the list is there for. */
  readonly losesOneByOne?: boolean;
  /** Checks of this scenario besides the accesses. */
  check?(engine: MemslotEngine, ram: Ram, pages: readonly number[]): Check;
}

/** Steps of the writer at which a check looks; what it found is asked at the end. */
export interface Check {
  /** Right before a change, right after it, and once all vCPUs have gone on since. */
  before?(change: Change): void;
  after?(change: Change): void;
  later?(change: Change): void;
  found(): Finding;
}

export interface Finding {
  readonly what: string;
  /** One by one may show any, a list none. */
  readonly count: number;
}

/** A slot over guest addresses [start, end). */
export function slot(id: number, start: number, end: number, flags = 0, block = 0): Slot {
  return {
    slot: id,
    flags,
    guestPhysAddr: start,
    memorySize: end - start,
    userspaceAddr: hostOf(start, block),
  };
}

export function gone(id: number): Slot {
  return { slot: id, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 };
}

/** `count` pages of [start, end), evenly apart, the first and the last among them. */
export function spread(start: number, end: number, count: number): number[] {
  const pages = (end - start) / PAGE;
  const last = Math.min(count, pages) - 1;
  return Array.from({ length: last + 1 }, (_, i) => start + Math.floor((i * (pages - 1)) / last) * PAGE);
}
