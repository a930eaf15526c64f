/**
 * What replaced layouts keep alive: a ring of addresses in the order of retirement. Each replaced root
 * remembers how far its share reaches; when its last reader is gone, that share goes back to the pools.
 *
 * The lowest bit of a record's address tells what becomes of its dirty bitmap: 0 a successor has it, or
 * BITMAP_DIES. The rest is told by where it lies: chunks, records, this ring, and the heap with window tables.
 */
import { Header } from "./layout";

export const BITMAP_KEPT: u32 = 0;
export const BITMAP_DIES: u32 = 1;

/** The transaction replaced this published chunk. */
export function retireChunk(header: usize, chunk: usize): void {
  push(header, <u32>chunk);
}

/** The transaction replaced this published record; `fate` of its bitmap is one of BITMAP_*. */
export function retireRecord(header: usize, record: usize, fate: u32): void {
  push(header, <u32>record | fate);
}

/** The transaction replaced this published window table. */
export function retireWindows(header: usize, table: usize): void {
  push(header, <u32>table);
}

function push(header: usize, word: u32): void {
  const engine = changetype<Header>(header);
  const tail = engine.retiredTail;
  if (!ASC_NO_ASSERT) assert(tail < engine.retiredCapacity && nextPlace(header, tail) != engine.retiredHead);
  store<u32>(engine.retired + (tail << 2), word);
  engine.retiredTail = nextPlace(header, tail);
}

/** Place after `at` in the ring. */
export function nextPlace(header: usize, at: u32): u32 {
  return at + 1 >= changetype<Header>(header).retiredCapacity ? 0 : at + 1;
}

/** True if a word of the ring is a record and the fate of its bitmap. */
export function isRecord(header: usize, word: u32): bool {
  const engine = changetype<Header>(header);
  return word - engine.records < engine.retired - engine.records;
}

/** True if a word of the ring is a chunk. */
export function isChunk(header: usize, word: u32): bool {
  const engine = changetype<Header>(header);
  return word - engine.chunks < engine.records - engine.chunks;
}
