/**
 * A sorted index of ranges in chunks, with copy-on-write: a transaction works on a copy of the chunk list and
 * copies each chunk that it touches once, so that readers of the published layout notice nothing and a
 * refused list is dropped by forgetting the copies.
 *
 * Invariants, at every step of a transaction
 *  - No chunk is empty, except the only one of an empty index.
 *  - Two neighbours hold more than CHUNK_MERGE_ENTRIES entries together, so that n entries need at most
 *    2 * floor(n / 25) + 1 chunks, and one more inside a split.
 *  - separator[r] <= first key of chunk r, and every key of chunk r - 1 is smaller; in a gfn index also no
 *    range of chunk r - 1 ends beyond separator[r]. So one chunk only can hold the slot of a frame.
 *  - The radix is right while the structure block is shared. While it is private to a transaction the
 *    separators are right and the radix is not; `closeDirectory` makes it so.
 *
 * Called by gfnindex.ts and hvaindex.ts; `findEntry` is the readers' half.
 */
import {
  allocChunk,
  copyChunk,
  entryAt,
  freeChunk,
  insertEntry,
  PADDING_KEY,
  padChunk,
  searchChunk,
} from "./chunks";
import {
  BUCKETS_PER_CHUNK,
  CHUNK_ENTRIES,
  CHUNK_HEADER_BYTES,
  CHUNK_MERGE_ENTRIES,
  Chunk,
  CROWDED,
  DIRECTORY_BYTES,
  Directory,
  ENTRY_BYTES,
  GROUP_CHUNKS,
  Header,
  ROOTS,
  STRUCTURE_BYTES,
  Structure,
} from "./layout";
import { retireChunk } from "./retired";
import { directoryOf, rootAt } from "./roots";

/** Readers: the last entry whose key is <= `key`, or any other entry if there is none. */
export function findEntry(directory: usize, key: u64): usize {
  return inline.always(searchChunk(inline.always(readerChunk(directory, key)), key));
}

/** Readers: the chunk that has the last entry whose key is <= `key`, or any other. For published directories. */
export function readerChunk(directory: usize, key: u64): usize {
  const list = changetype<Directory>(directory);
  if (list.chunkCount == 1) return chunkAt(directory, 0);
  const structure: usize = list.structure;
  const blocks = changetype<Structure>(structure);
  const radix: usize = blocks.radix;
  const origin = originOf(structure);
  const shift: u64 = blocks.shift;
  const lastBucket: u64 = blocks.lastBucket;
  return inline.always(radixChunk(directory, structure, radix, origin, shift, lastBucket, key));
}

/**
 * readerChunk of a directory of two chunks or more, whose parts a loop over many keys has in locals.
 *
 * Both chunks that it may be are loaded while their border is: by its number, the pointer would wait for the
 * comparison, which is a fifteenth of a lookup.
 */
export function radixChunk(
  directory: usize,
  structure: usize,
  radix: usize,
  origin: u64,
  shift: u64,
  lastBucket: u64,
  key: u64,
): usize {
  const place = inline.always(bucketOf(radix, origin, shift, lastBucket, key));
  const first = <i32>load<i16>(place);
  if (first < 0) return chunkAt(directory, searchCrowded(structure, place, key));
  const chunk = directory + (first << 2);
  const below = load<u32>(chunk, DIRECTORY_BYTES);
  const above = load<u32>(chunk, DIRECTORY_BYTES + 4);
  return select<u32>(above, below, load<u64>(structure + (first << 3), STRUCTURE_BYTES + 8) <= key);
}

/** Writer and iterators: the chunk where `key` is or belongs. */
export function findChunk(directory: usize, key: u64): u32 {
  const list = changetype<Directory>(directory);
  if (list.chunkCount == 1 || key < separatorOf(list.structure, 0)) return 0;
  if (list.privateStructure) return searchSeparators(list.structure, key, 0, list.chunkCount);
  return searchRadix(list.structure, key);
}

/** searchSeparators by way of the radix. */
function searchRadix(structure: usize, key: u64): u32 {
  const blocks = changetype<Structure>(structure);
  const place = bucketOf(blocks.radix, originOf(structure), blocks.shift, blocks.lastBucket, key);
  const first: u32 = load<u16>(place);
  if (first & CROWDED) return searchCrowded(structure, place, key);
  return first + <u32>(separatorOf(structure, first + 1) <= key);
}

/** Word of the radix where `key` is; a key below separator[0] ends in the last bucket, whose chunks do not hold it. */
function bucketOf(radix: usize, origin: u64, shift: u64, lastBucket: u64, key: u64): usize {
  return radix + ((<u32>min<u64>((key - origin) >> shift, lastBucket)) << 1);
}

/** First key of bucket 0 of the radix. */
export function originOf(structure: usize): u64 {
  return separatorOf(structure, 0);
}

/** searchSeparators inside a crowded bucket: a loop whose length differs from key to key mispredicts. */
function searchCrowded(structure: usize, place: usize, key: u64): u32 {
  const lo: u32 = load<u16>(place) & ~CROWDED;
  return searchSeparators(structure, key, lo, (load<u16>(place, 2) & ~CROWDED) - lo + 1);
}

/** Last chunk of [lo, lo + n) whose separator is <= `key`, or `lo`. */
function searchSeparators(structure: usize, key: u64, lo: u32, n: u32): u32 {
  while (n > 1) {
    const half = n >> 1;
    lo = select<u32>(lo + half, lo, separatorOf(structure, lo + half) <= key);
    n -= half;
  }
  return lo;
}

/** First directory of an engine: one empty chunk. */
export function createDirectory(header: usize, index: u32): usize {
  const engine = changetype<Header>(header);
  const chunks = engine.chunksPerDirectory;
  const directory: usize = engine.directories + index * ROOTS * directoryBytes(chunks);
  const structure: usize = engine.structures + index * ROOTS * structureBytes(chunks);
  const list = changetype<Directory>(directory);
  list.structure = <u32>structure;
  list.chunkCount = 1;
  list.privateStructure = 0;
  list.groups = groupsOf(directory, chunks);
  store<u64>(list.groups, 0);
  const chunk = allocChunk(header);
  changetype<Chunk>(chunk).count = 0;
  changetype<Chunk>(chunk).maxEnd = 0;
  padChunk(chunk, 0);
  setChunk(directory, 0, chunk);
  return directory;
}

/** A private copy of the published directory of an index. */
export function openDirectory(header: usize, index: u32): usize {
  const engine = changetype<Header>(header);
  const chunks = engine.chunksPerDirectory;
  const published = directoryOf(rootAt(header, engine.activeRoot), index);
  const directory = spareBlock(header, index, engine.directories, directoryBytes(chunks), false);
  const from = changetype<Directory>(published);
  const list = changetype<Directory>(directory);
  list.structure = from.structure;
  list.chunkCount = chunkCountOf(header, published);
  list.privateStructure = 0;
  list.groups = groupsOf(directory, chunks);
  memory.copy(directory + DIRECTORY_BYTES, published + DIRECTORY_BYTES, from.chunkCount << 2);
  memory.copy(list.groups, from.groups, (from.chunkCount / GROUP_CHUNKS + 1) << 3);
  return directory;
}

/** Bytes of a directory with room for `chunks` chunks and one more. */
export function directoryBytes(chunks: u32): u32 {
  return ((DIRECTORY_BYTES + (chunks + 1) * 4 + 7) & ~7) + (chunks / GROUP_CHUNKS + 1) * 8;
}

function groupsOf(directory: usize, chunks: u32): u32 {
  return (<u32>directory + DIRECTORY_BYTES + (chunks + 1) * 4 + 7) & ~7;
}

/**
 * Put an entry at place `at` of chunk `r`; `end` is where its range ends, for maxEnd. False if the pool is
 * empty.
 */
export function insertAt(
  header: usize,
  index: u32,
  directory: usize,
  r: u32,
  at: u32,
  key: u64,
  npages: u32,
  record: usize,
  end: u64,
): bool {
  const list = changetype<Directory>(directory);
  let chunk = ownChunk(header, directory, r);
  if (chunk == 0) return false;
  if (r == 0 && list.chunkCount > 1 && key < separatorOf(list.structure, 0)) {
    setSeparator(ownStructure(header, index, directory), 0, key);
  }
  if (changetype<Chunk>(chunk).count < CHUNK_ENTRIES) {
    insertEntry(chunk, at, key, npages, record);
    changetype<Chunk>(chunk).maxEnd = max(changetype<Chunk>(chunk).maxEnd, end);
    return true;
  }
  // Slots are mostly made in ascending order: a new last entry opens a chunk of its own and leaves a full one
  // behind.
  const half = at == CHUNK_ENTRIES && r + 1 == list.chunkCount ? CHUNK_ENTRIES : CHUNK_ENTRIES / 2;
  const upper = splitChunk(header, index, directory, r, half, key);
  if (upper == 0) return false;
  const intoUpper = at > half || half == CHUNK_ENTRIES;
  if (intoUpper) chunk = upper;
  insertEntry(chunk, intoUpper ? at - half : at, key, npages, record);
  changetype<Chunk>(chunk).maxEnd = max(changetype<Chunk>(chunk).maxEnd, end);
  if (!mergeSparse(header, index, directory, r + 1)) return false;
  return r == 0 || mergeSparse(header, index, directory, r - 1);
}

/** Cut the full chunk `r` at entry `at`; the upper part becomes chunk `r + 1`. 0 if the pool is empty. */
function splitChunk(header: usize, index: u32, directory: usize, r: u32, at: u32, key: u64): usize {
  const list = changetype<Directory>(directory);
  const upper = allocChunk(header);
  if (upper == 0) return 0;
  const lower = chunkAt(directory, r);
  const structure = ownStructure(header, index, directory);
  const moved = CHUNK_ENTRIES - at;
  memory.copy(entryAt(upper, 0), entryAt(lower, at), moved * ENTRY_BYTES);
  padChunk(upper, moved);
  padChunk(lower, at);
  changetype<Chunk>(upper).count = moved;
  changetype<Chunk>(lower).count = at;
  // An upper bound for both halves; closing the hva index makes it exact.
  changetype<Chunk>(upper).maxEnd = changetype<Chunk>(lower).maxEnd;
  const after = list.chunkCount - r - 1;
  const pointer = directory + DIRECTORY_BYTES + ((r + 1) << 2);
  memory.copy(pointer + 4, pointer, after << 2);
  store<u32>(pointer, <u32>upper);
  const separator = structure + STRUCTURE_BYTES + ((r + 1) << 3);
  memory.copy(separator + 8, separator, after << 3);
  store<u64>(separator, moved != 0 ? firstKey(upper) : key);
  if (list.chunkCount == 1) setSeparator(structure, 0, min(firstKey(lower), key));
  list.chunkCount += 1;
  return upper;
}

/** Restore the invariants after entries were taken out of chunk `r`. False if the pool is empty. */
export function settleChunk(header: usize, index: u32, directory: usize, r: u32): bool {
  const list = changetype<Directory>(directory);
  const count = changetype<Chunk>(chunkAt(directory, r)).count;
  // No chunk is empty: neither neighbour fits beside this one.
  if (list.chunkCount == 1 || count >= CHUNK_MERGE_ENTRIES) return true;
  if (count == 0) {
    dropChunk(header, index, directory, r);
    return true;
  }
  if (!inline.always(mergeSparse(header, index, directory, r))) return false;
  return r == 0 || inline.always(mergeSparse(header, index, directory, r - 1));
}

/** Merge chunks `r` and `r + 1` if they are sparse together. False if the pool is empty. */
function mergeSparse(header: usize, index: u32, directory: usize, r: u32): bool {
  if (r + 1 >= changetype<Directory>(directory).chunkCount) return true;
  const left = changetype<Chunk>(chunkAt(directory, r)).count;
  const right = changetype<Chunk>(chunkAt(directory, r + 1)).count;
  return left + right > CHUNK_MERGE_ENTRIES || mergeChunks(header, index, directory, r);
}

/** Put the entries of chunk `r + 1` behind those of chunk `r`. False if the pool is empty. */
function mergeChunks(header: usize, index: u32, directory: usize, r: u32): bool {
  const right = chunkAt(directory, r + 1);
  const rightCount = changetype<Chunk>(right).count;
  const left = ownChunk(header, directory, r);
  if (left == 0) return false;
  const leftCount = changetype<Chunk>(left).count;
  memory.copy(entryAt(left, leftCount), entryAt(right, 0), rightCount * ENTRY_BYTES);
  changetype<Chunk>(left).count = leftCount + rightCount;
  changetype<Chunk>(left).maxEnd = max(changetype<Chunk>(left).maxEnd, changetype<Chunk>(right).maxEnd);
  dropChunk(header, index, directory, r + 1);
  return true;
}

/** Chunk `r` as the transaction's own copy. 0 if the pool is empty. */
export function ownChunk(header: usize, directory: usize, r: u32): usize {
  const chunk = chunkAt(directory, r);
  const transaction = changetype<Header>(header).transaction;
  if (changetype<Chunk>(chunk).transaction == transaction) return chunk;
  const copy = inline.always(allocChunk(header));
  if (copy == 0) return 0;
  copyChunk(copy, chunk);
  setChunk(directory, r, copy);
  retireChunk(header, chunk);
  return copy;
}

function setChunk(directory: usize, r: u32, chunk: usize): void {
  store<u32>(directory + (r << 2), <u32>chunk, DIRECTORY_BYTES);
}

/** Take chunk `r`, whose entries are elsewhere or gone, out of the list. */
function dropChunk(header: usize, index: u32, directory: usize, r: u32): void {
  const list = changetype<Directory>(directory);
  const structure = ownStructure(header, index, directory);
  const chunk = chunkAt(directory, r);
  if (changetype<Chunk>(chunk).transaction == changetype<Header>(header).transaction)
    freeChunk(header, chunk);
  else retireChunk(header, chunk);
  const after = list.chunkCount - r - 1;
  const pointer = directory + DIRECTORY_BYTES + (r << 2);
  memory.copy(pointer, pointer + 4, after << 2);
  const separator = structure + STRUCTURE_BYTES + (r << 3);
  memory.copy(separator, separator + 8, after << 3);
  list.chunkCount -= 1;
}

/**
 * Keep the range up to `end`, about to be put into chunk `r`, below the next separator: it may be older than
 * entries that were removed, so raise it to the first key that is there.
 */
export function raiseSeparator(header: usize, index: u32, directory: usize, r: u32, end: u64): void {
  const list = changetype<Directory>(directory);
  if (r + 1 >= list.chunkCount || separatorOf(list.structure, r + 1) >= end) return;
  setSeparator(ownStructure(header, index, directory), r + 1, firstKey(chunkAt(directory, r + 1)));
}

/** The structure block of the transaction, copied at its first change. */
function ownStructure(header: usize, index: u32, directory: usize): usize {
  const list = changetype<Directory>(directory);
  if (list.privateStructure) return list.structure;
  const engine = changetype<Header>(header);
  const bytes = structureBytes(engine.chunksPerDirectory);
  const structure = spareBlock(header, index, engine.structures, bytes, true);
  memory.copy(structure + STRUCTURE_BYTES, list.structure + STRUCTURE_BYTES, list.chunkCount << 3);
  list.structure = <u32>structure;
  list.privateStructure = 1;
  return structure;
}

/** Bytes of a structure block with room for `chunks` chunks and one more. */
export function structureBytes(chunks: u32): u32 {
  return (STRUCTURE_BYTES + (chunks + 2) * 8 + ((chunks + 1) * BUCKETS_PER_CHUNK + 1) * 2 + 7) & ~7;
}

/** One of the ROOTS directories, or structure blocks, of an index that no live root uses. */
function spareBlock(header: usize, index: u32, blocks: usize, bytes: u32, structures: bool): usize {
  const engine = changetype<Header>(header);
  let block: usize = blocks + index * ROOTS * bytes;
  for (let i: u32 = 0; i < ROOTS; i++) {
    let used = false;
    let number = engine.oldestRoot;
    while (true) {
      const directory = directoryOf(rootAt(header, number), index);
      const inUse: usize = structures ? <usize>changetype<Directory>(directory).structure : directory;
      if (inUse == block) used = true;
      if (number == engine.activeRoot) break;
      number = (number + 1) % ROOTS;
    }
    if (!used) return block;
    block += bytes;
  }
  // Of ROOTS blocks one is free while a spare root is, unless the directories are damaged.
  return unreachable();
}

/** First key of a chunk; the padding key if it is empty. */
export function firstKey(chunk: usize): u64 {
  return load<u64>(chunk, CHUNK_HEADER_BYTES);
}

/** End of a transaction's work on a directory: rebuild the radix if chunks came or went. */
export function closeDirectory(directory: usize): void {
  const list = changetype<Directory>(directory);
  if (!list.privateStructure) return;
  list.privateStructure = 0;
  const count = list.chunkCount;
  if (count == 1) return;
  const structure: usize = list.structure;
  const blocks = changetype<Structure>(structure);
  const origin = separatorOf(structure, 0);
  const range = separatorOf(structure, count - 1) - origin;
  const buckets = count * BUCKETS_PER_CHUNK;
  let shift: u32 = 0;
  while (range >> shift >= buckets) shift++;
  const last = <u32>(range >> shift);
  setSeparator(structure, count, PADDING_KEY);
  const radix = structure + STRUCTURE_BYTES + ((count + 1) << 3);
  blocks.shift = shift;
  blocks.lastBucket = last;
  blocks.radix = <u32>radix;
  let r: u32 = 0;
  for (let bucket: u32 = 0; bucket <= last; bucket++) {
    const next = origin + ((<u64>bucket + 1) << shift);
    const first = r;
    while (separatorOf(structure, r + 1) < next) r++;
    store<u16>(radix + (bucket << 1), <u16>(r > first + 1 ? first | CROWDED : first));
    if (separatorOf(structure, r + 1) == next) r++;
  }
  store<u16>(radix + ((last + 1) << 1), <u16>(count - 1));
}

function separatorOf(structure: usize, r: u32): u64 {
  return load<u64>(structure + (r << 3), STRUCTURE_BYTES);
}

function setSeparator(structure: usize, r: u32, key: u64): void {
  store<u64>(structure + (r << 3), key, STRUCTURE_BYTES);
}

/** Chunks of a published directory; a number that it has no room for is damage. */
export function chunkCountOf(header: usize, directory: usize): u32 {
  const count = changetype<Directory>(directory).chunkCount;
  if (count - 1 >= changetype<Header>(header).chunksPerDirectory) unreachable();
  return count;
}

/** Drop a private directory: its private chunks go back to the pool. */
export function dropDirectory(header: usize, directory: usize): void {
  const transaction = changetype<Header>(header).transaction;
  const count = changetype<Directory>(directory).chunkCount;
  for (let r: u32 = 0; r < count; r++) {
    const chunk = chunkAt(directory, r);
    if (changetype<Chunk>(chunk).transaction == transaction) freeChunk(header, chunk);
  }
}

/** Chunk number `r`. */
export function chunkAt(directory: usize, r: u32): usize {
  if (!ASC_NO_ASSERT) assert(r < changetype<Directory>(directory).chunkCount);
  return load<u32>(directory + (r << 2), DIRECTORY_BYTES);
}
