/**
 * What replaced layouts keep alive: a ring of addresses in the order of retirement. Each replaced root
 * remembers how far its share reaches; when its last reader is gone, that share goes back to the pools.
 *
 * The lowest bits of a record's address tell what becomes of its dirty bitmap: 0 a successor has it,
 * BITMAP_DIES, or BITMAP_TAKEN for one that the commit hands to its caller.
 */
import { carryRecord } from "./carry";
import { freeChunk } from "./chunks";
import { freeBitmap } from "./dirtybitmap";
import { CHUNK_BYTES, Header, Record } from "./layout";
import { freeRecord } from "./records";

export const BITMAP_KEPT: u32 = 0;
export const BITMAP_DIES: u32 = 1;
export const BITMAP_TAKEN: u32 = 2;
const BITMAP_FATE: u32 = 3;

function push(header: usize, word: u32): void {
  const engine = changetype<Header>(header);
  const tail = engine.retiredTail;
  store<u32>(engine.retired + (tail << 2), word);
  engine.retiredTail = next(header, tail);
}

/** The transaction replaced this published chunk. */
export function retireChunk(header: usize, chunk: usize): void {
  push(header, <u32>chunk);
}

/** The transaction replaced this published record; `fate` of its bitmap is one of BITMAP_*. */
export function retireRecord(header: usize, record: usize, fate: u32): void {
  push(header, <u32>record | fate);
}

function isChunk(header: usize, word: u32): bool {
  const engine = changetype<Header>(header);
  return word - engine.chunks < engine.chunkCount * CHUNK_BYTES;
}

function next(header: usize, at: u32): u32 {
  return at + 1 == changetype<Header>(header).retiredCapacity ? 0 : at + 1;
}

/**
 * Before what is retired up to `end` goes: carry the dirty bits of bitmaps that die into the layout `after`.
 */
export function carryRetired(header: usize, end: u32, after: usize): void {
  const engine = changetype<Header>(header);
  for (let at = engine.retiredHead; at != end; at = next(header, at)) {
    const word = load<u32>(engine.retired + (at << 2));
    if (!isChunk(header, word) && word & BITMAP_FATE) carryRecord(header, word & ~BITMAP_FATE, after);
  }
}

/** What the caller was to get will not be asked for: those bitmaps die as the others. */
export function abandonTaken(header: usize): void {
  const engine = changetype<Header>(header);
  for (let at = engine.retiredHead; at != engine.retiredTail; at = next(header, at)) {
    const place = engine.retired + (at << 2);
    const word = load<u32>(place);
    if (!isChunk(header, word) && word & BITMAP_TAKEN) store<u32>(place, (word & ~BITMAP_FATE) | BITMAP_DIES);
  }
}

/** Give everything up to `end` back to the pools. */
export function recycle(header: usize, end: u32): void {
  const engine = changetype<Header>(header);
  let head = engine.retiredHead;
  for (; head != end; head = next(header, head)) {
    const word = load<u32>(engine.retired + (head << 2));
    if (isChunk(header, word)) {
      freeChunk(header, word);
    } else {
      const record: usize = word & ~BITMAP_FATE;
      if (word & BITMAP_DIES) freeBitmap(header, changetype<Record>(record).bitmap);
      freeRecord(header, record);
    }
  }
  engine.retiredHead = end;
}
