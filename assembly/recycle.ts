/**
 * The end of what replaced layouts kept alive: dirty bits are carried on, and the rest goes back to the pools.
 */
import { carryRecord } from "./carry";
import { linkChunk } from "./chunks";
import { freeBitmap } from "./dirtybitmap";
import { foldMarks } from "./hostlog";
import { Header, Record } from "./layout";
import { freeRecord } from "./records";
import { BITMAP_DIES, isChunk, isRecord, nextPlace } from "./retired";
import { freeTable } from "./windows";

/**
 * Before what is retired up to `end` goes: carry the dirty bits of bitmaps and marks that die into the layout `after`,
 * and to the consumers.
 */
export function carryRetired(header: usize, end: u32, after: usize): void {
  const engine = changetype<Header>(header);
  // A place outside of the ring is damage; a walk would never come to it.
  if (end >= engine.retiredCapacity) unreachable();
  // Without consumers nobody asks for marks.
  const folds = engine.hostLog != 0;
  for (let at = engine.retiredHead; at != end; at = nextPlace(header, at)) {
    const word = load<u32>(engine.retired + (at << 2));
    if (word & BITMAP_DIES) carryRecord(header, word & ~BITMAP_DIES, after);
    else if (folds && !isRecord(header, word) && !isChunk(header, word)) foldMarks(header, word);
  }
}

/** Give everything up to `end` back to the pools. */
export function recycle(header: usize, end: u32): void {
  const engine = changetype<Header>(header);
  let head = engine.retiredHead;
  let freeChunk = engine.freeChunk;
  for (; head != end; head = nextPlace(header, head)) {
    const word = load<u32>(engine.retired + (head << 2));
    if (isChunk(header, word)) {
      freeChunk = linkChunk(word, freeChunk);
    } else if (!isRecord(header, word)) {
      freeTable(header, word);
    } else {
      const record: usize = word & ~BITMAP_DIES;
      const bitmap: usize = changetype<Record>(record).bitmap;
      if (word & BITMAP_DIES && bitmap != 0) freeBitmap(header, bitmap);
      freeRecord(header, record);
    }
  }
  engine.freeChunk = freeChunk;
  engine.retiredHead = end;
}
