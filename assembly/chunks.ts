/**
 * The pool of chunks, and the entries inside one chunk.
 *
 * Invariants
 *  - Entries 0 .. count - 1 ascend strictly by key, the rest is padding with the largest key and 0 pages, so
 *    that the search takes five steps whatever the count, and the padding maps nothing.
 *  - Only a chunk whose `transaction` is the current one is edited; it is private to the writer.
 *  - A free chunk is linked through `nextFree`; chunks from Header.freshChunk on were never used.
 *
 * Called by directory.ts (writer) and lookup.ts (readers). KVM has no counterpart: its trees are edited node
 * by node.
 */
import { CHUNK_BYTES, CHUNK_ENTRIES, CHUNK_HEADER_BYTES, Chunk, ENTRY_BYTES, Entry, Header } from "./layout";
import { isChunk } from "./retired";

/** Key of the padding; no gfn and no host page reaches it. */
export const PADDING_KEY: u64 = u64.MAX_VALUE;

/**
 * The last entry whose key is <= `key`, or entry 0. `select` and never `if`: a branch per step costs a
 * misprediction per level.
 */
export function searchChunk(chunk: usize, key: u64): usize {
  let entry = chunk + CHUNK_HEADER_BYTES;
  entry = select<usize>(entry + 256, entry, load<u64>(entry, 256) <= key);
  entry = select<usize>(entry + 128, entry, load<u64>(entry, 128) <= key);
  entry = select<usize>(entry + 64, entry, load<u64>(entry, 64) <= key);
  entry = select<usize>(entry + 32, entry, load<u64>(entry, 32) <= key);
  return select<usize>(entry + 16, entry, load<u64>(entry, 16) <= key);
}

/**
 * The same for writers and iterators, which wait for each place before they go on: of two steps that follow each other
 * both possible keys are loaded at once. A lookup has the next one to overlap with, and would be slower by the loads.
 */
export function searchPlace(chunk: usize, key: u64): usize {
  let entry = chunk + CHUNK_HEADER_BYTES;
  let middle = select<u64>(load<u64>(entry, 128), load<u64>(entry, 384), key < load<u64>(entry, 256));
  entry = select<usize>(entry + 256, entry, load<u64>(entry, 256) <= key);
  entry = select<usize>(entry + 128, entry, middle <= key);
  middle = select<u64>(load<u64>(entry, 32), load<u64>(entry, 96), key < load<u64>(entry, 64));
  entry = select<usize>(entry + 64, entry, load<u64>(entry, 64) <= key);
  entry = select<usize>(entry + 32, entry, middle <= key);
  return select<usize>(entry + 16, entry, load<u64>(entry, 16) <= key);
}

/**
 * Take a chunk from the pool for the current transaction; its entries are not initialised. 0 if none is left.
 */
export function allocChunk(header: usize): usize {
  const engine = changetype<Header>(header);
  const free: usize = engine.freeChunk;
  const chunk: usize = free != 0 ? free : <usize>engine.freshChunk;
  if (chunk == engine.chunks + engine.chunkCount * CHUNK_BYTES) return 0;
  // Damage: the list leads out of the pool.
  if (!isChunk(header, <u32>chunk)) unreachable();
  if (free != 0) engine.freeChunk = changetype<Chunk>(chunk).nextFree;
  else engine.freshChunk = <u32>chunk + CHUNK_BYTES;
  changetype<Chunk>(chunk).transaction = engine.transaction;
  return chunk;
}

/** Make `copy`, which is private, an equal of `chunk`. */
export function copyChunk(copy: usize, chunk: usize): void {
  const count = changetype<Chunk>(chunk).count;
  // Damage: an insertion would write behind the chunk.
  if (count > CHUNK_ENTRIES) unreachable();
  changetype<Chunk>(copy).count = count;
  changetype<Chunk>(copy).maxEnd = changetype<Chunk>(chunk).maxEnd;
  memory.copy(copy + CHUNK_HEADER_BYTES, chunk + CHUNK_HEADER_BYTES, CHUNK_ENTRIES * ENTRY_BYTES);
}

/** Give a chunk back that no reader can reach. */
export function freeChunk(header: usize, chunk: usize): void {
  if (!ASC_NO_ASSERT) assert(isChunk(header, <u32>chunk));
  const engine = changetype<Header>(header);
  engine.freeChunk = linkChunk(chunk, engine.freeChunk);
}

/** Put a chunk that no reader can reach before `next`, the free list so far; the list from there on. */
export function linkChunk(chunk: usize, next: u32): u32 {
  changetype<Chunk>(chunk).transaction = 0;
  changetype<Chunk>(chunk).nextFree = next;
  return <u32>chunk;
}

/** Make the entries from `from` on padding. */
export function padChunk(chunk: usize, from: u32): void {
  for (let i = from; i < CHUNK_ENTRIES; i++) {
    const entry = entryAt(chunk, i);
    changetype<Entry>(entry).key = PADDING_KEY;
    store<u64>(entry, 0, offsetof<Entry>("npages"));
  }
}

/**
 * Put an entry at `index` of a chunk that has room. The others move one by one here and in removeEntry: on average
 * they are ten, and a call of memory.copy takes longer.
 */
export function insertEntry(chunk: usize, index: u32, key: u64, npages: u32, record: usize): void {
  const count = changetype<Chunk>(chunk).count;
  if (!ASC_NO_ASSERT) assert(count < CHUNK_ENTRIES && index <= count);
  const entry = entryAt(chunk, index);
  for (let at = entryAt(chunk, count); at > entry; at -= ENTRY_BYTES) moveEntry(at, at - ENTRY_BYTES);
  changetype<Entry>(entry).key = key;
  changetype<Entry>(entry).npages = npages;
  changetype<Entry>(entry).record = <u32>record;
  changetype<Chunk>(chunk).count = count + 1;
}

/** Take the entry at `index` out. */
export function removeEntry(chunk: usize, index: u32): void {
  const count = changetype<Chunk>(chunk).count - 1;
  if (!ASC_NO_ASSERT) assert(count < CHUNK_ENTRIES && index <= count);
  const last = entryAt(chunk, count);
  for (let at = entryAt(chunk, index); at < last; at += ENTRY_BYTES) moveEntry(at, at + ENTRY_BYTES);
  changetype<Entry>(last).key = PADDING_KEY;
  store<u64>(last, 0, offsetof<Entry>("npages"));
  changetype<Chunk>(chunk).count = count;
}

/** Address of entry `index`. */
export function entryAt(chunk: usize, index: u32): usize {
  if (!ASC_NO_ASSERT) assert(index <= CHUNK_ENTRIES);
  return chunk + CHUNK_HEADER_BYTES + index * ENTRY_BYTES;
}

function moveEntry(to: usize, from: usize): void {
  const key = changetype<Entry>(from).key;
  const rest = load<u64>(from, offsetof<Entry>("npages"));
  changetype<Entry>(to).key = key;
  store<u64>(to, rest, offsetof<Entry>("npages"));
}
