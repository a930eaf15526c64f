/**
 * The gfn index of one address space: guest frame ranges that never overlap.
 *
 * Mirrors slots->gfn_tree, kvm_check_memslot_overlap and search_memslots.
 */
import { entryAt, PADDING_KEY, removeEntry, searchPlace } from "./chunks";
import { chunkAt, findChunk, firstKey, insertAt, ownChunk, raiseSeparator, settleChunk } from "./directory";
import { Chunk, Directory, ENTRY_BYTES, Entry, Record } from "./layout";
import { endGfn } from "./records";

/** Results of insertGfn other than the address of a record in the way. */
export const INSERTED: usize = 0;
export const POOL_EMPTY: usize = 1;

/** Add a record. Returns INSERTED, POOL_EMPTY, or a record whose range is met. */
export function insertGfn(header: usize, index: u32, directory: usize, record: usize): usize {
  const base = changetype<Record>(record).baseGfn;
  const npages = changetype<Record>(record).npages;
  const end = endGfn(record);
  const r = findChunk(directory, base);
  const chunk = chunkAt(directory, r);
  const before = searchPlace(chunk, base);
  let at: u32 = 0;
  if (changetype<Entry>(before).key <= base) {
    if (base - changetype<Entry>(before).key < changetype<Entry>(before).npages)
      return changetype<Entry>(before).record;
    at = placeOf(chunk, before) + 1;
  }
  let next: usize = 0;
  if (at < changetype<Chunk>(chunk).count) next = entryAt(chunk, at);
  else if (r + 1 < changetype<Directory>(directory).chunkCount) next = entryAt(chunkAt(directory, r + 1), 0);
  if (next != 0 && changetype<Entry>(next).key < end) return changetype<Entry>(next).record;
  raiseSeparator(header, index, directory, r, end);
  return insertAt(header, index, directory, r, at, base, npages, record, end) ? INSERTED : POOL_EMPTY;
}

/** Take a record out. False if the chunk pool is empty. */
export function removeGfn(header: usize, index: u32, directory: usize, record: usize): bool {
  const base = changetype<Record>(record).baseGfn;
  const r = findChunk(directory, base);
  const chunk = ownChunk(header, directory, r);
  if (chunk == 0) return false;
  removeEntry(chunk, placeOf(chunk, searchPlace(chunk, base)));
  return settleChunk(header, index, directory, r);
}

/** Put `record` in the place of one with the same range. False if the chunk pool is empty. */
export function replaceGfn(header: usize, directory: usize, record: usize): bool {
  const base = changetype<Record>(record).baseGfn;
  const chunk = ownChunk(header, directory, findChunk(directory, base));
  if (chunk == 0) return false;
  changetype<Entry>(searchPlace(chunk, base)).record = <u32>record;
  return true;
}

/**
 * Readers: the first entry of a published directory that ends after `gfn`, 0 behind the last. One that does not would
 * keep a walk going for ever, and is damage.
 */
export function nextGfn(directory: usize, gfn: u64): usize {
  const entry = seekGfn(directory, gfn);
  if (entry != 0 && changetype<Entry>(entry).key + changetype<Entry>(entry).npages <= gfn) unreachable();
  return entry;
}

function seekGfn(directory: usize, gfn: u64): usize {
  const count = changetype<Directory>(directory).chunkCount;
  let r = findChunk(directory, gfn);
  const entry = searchPlace(chunkAt(directory, r), gfn);
  if (changetype<Entry>(entry).key == PADDING_KEY) return 0;
  if (changetype<Entry>(entry).key + changetype<Entry>(entry).npages > gfn) return entry;
  const place = placeOf(chunkAt(directory, r), entry) + 1;
  if (place < changetype<Chunk>(chunkAt(directory, r)).count) return entryAt(chunkAt(directory, r), place);
  r++;
  return r < count && firstKey(chunkAt(directory, r)) != PADDING_KEY ? entryAt(chunkAt(directory, r), 0) : 0;
}

/** Number of an entry inside its chunk. */
function placeOf(chunk: usize, entry: usize): u32 {
  return <u32>(entry - entryAt(chunk, 0)) / ENTRY_BYTES;
}
