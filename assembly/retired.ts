/**
 * What replaced layouts keep alive: a ring of addresses in the order of retirement. Each replaced root
 * remembers how far its share reaches; when its last reader is gone, that share goes back to the pools.
 *
 * An address of a record carries 1 in its lowest bit if its dirty bitmap dies with it.
 */
import { freeChunk } from "./chunks";
import { freeHeap } from "./heap";
import { CHUNK_BYTES, Header, Record } from "./layout";
import { freeRecord } from "./records";

const BITMAP_TOO: u32 = 1;

function push(header: usize, word: u32): void {
  const engine = changetype<Header>(header);
  const tail = engine.retiredTail;
  store<u32>(engine.retired + (tail << 2), word);
  engine.retiredTail = tail + 1 == engine.retiredCapacity ? 0 : tail + 1;
}

/** The transaction replaced this published chunk. */
export function retireChunk(header: usize, chunk: usize): void {
  push(header, <u32>chunk);
}

/** The transaction replaced this published record; with `bitmapToo` nobody took its bitmap over. */
export function retireRecord(header: usize, record: usize, bitmapToo: bool): void {
  push(header, <u32>record | (bitmapToo ? BITMAP_TOO : 0));
}

/** Give everything up to `end` back to the pools. */
export function recycle(header: usize, end: u32): void {
  const engine = changetype<Header>(header);
  const chunks = engine.chunks;
  const chunksEnd = chunks + engine.chunkCount * CHUNK_BYTES;
  let head = engine.retiredHead;
  while (head != end) {
    const word = load<u32>(engine.retired + (head << 2));
    if (word - chunks < chunksEnd - chunks) {
      freeChunk(header, word);
    } else {
      const record: usize = word & ~BITMAP_TOO;
      if (word & BITMAP_TOO) freeHeap(header, changetype<Record>(record).bitmap);
      freeRecord(header, record);
    }
    head = head + 1 == engine.retiredCapacity ? 0 : head + 1;
  }
  engine.retiredHead = end;
}
