/**
 * The end of what replaced layouts kept alive: dirty bits are carried on, and the rest goes back to the pools.
 */
import { carryRecord } from "./carry";
import { linkChunk } from "./chunks";
import { freeBitmap } from "./dirtybitmap";
import { freeHeap } from "./heap";
import { Header, Record } from "./layout";
import { freeRecord } from "./records";
import { BITMAP_DIES, isChunk, isRecord, nextPlace } from "./retired";

/**
 * Before what is retired up to `end` goes: carry the dirty bits of bitmaps that die into the layout `after`.
 */
export function carryRetired(header: usize, end: u32, after: usize): void {
  const engine = changetype<Header>(header);
  for (let at = engine.retiredHead; at != end; at = nextPlace(header, at)) {
    const word = load<u32>(engine.retired + (at << 2));
    if (word & BITMAP_DIES) carryRecord(header, word & ~BITMAP_DIES, after);
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
      freeHeap(header, word);
    } else {
      const record: usize = word & ~BITMAP_DIES;
      if (word & BITMAP_DIES) freeBitmap(header, changetype<Record>(record).bitmap);
      freeRecord(header, record);
    }
  }
  engine.freeChunk = freeChunk;
  engine.retiredHead = end;
}
