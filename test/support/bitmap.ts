/** Dirty bitmaps as page indexes: bit i of byte i >> 3, in words of 64 pages; harvests of consumers as host pages. */
import type { DirtyRange } from "memslots";
import { PAGE } from "./region.js";

/** Host pages of the ranges of a harvest, counted from host page `first`. */
export function hostPages(ranges: readonly DirtyRange[], first = 0): number[] {
  return ranges.flatMap(({ hva, bytes }) =>
    Array.from({ length: bytes / PAGE }, (_, i) => hva / PAGE + i - first),
  );
}

/** A bitmap with these pages, long enough for `npages`. */
export function bitmapOf(pages: readonly number[], npages: number): Uint8Array {
  const end = Math.max(npages, ...pages.map((page) => page + 1));
  const bitmap = new Uint8Array(Math.ceil(end / 64) * 8);
  for (const page of pages) bitmap[page >> 3]! |= 1 << (page & 7);
  return bitmap;
}

/** Page indexes of the bits set, ascending. */
export function dirtyPages(bitmap: Uint8Array): number[] {
  const pages = [];
  for (let page = 0; page < bitmap.byteLength * 8; page++) {
    if (bitmap[page >> 3]! & (1 << (page & 7))) pages.push(page);
  }
  return pages;
}
