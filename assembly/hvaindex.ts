/**
 * The hva index of one address space: host ranges, which may overlap and coincide. The chunks are those of
 * the gfn index; an entry's key is its first host page and, below it, the slot id, so that keys are unique
 * and aliases have an order. Each chunk knows its largest end and the directory the largest of 32 chunks: an
 * interval tree of three levels.
 *
 * Mirrors slots->hva_tree and kvm_for_each_memslot_in_hva_range.
 */
import { entryAt, removeEntry, searchPlace } from "./chunks";
import { chunkAt, findChunk, insertAt, ownChunk, settleChunk } from "./directory";
import { Chunk, Directory, ENTRY_BYTES, Entry, GROUP_CHUNKS, Header, Record } from "./layout";

/** Bits of a key below the host page: room for every slot id. */
const ID_BITS: u32 = 15;

/** Add a record. False if the chunk pool is empty. */
export function insertHva(header: usize, index: u32, directory: usize, record: usize): bool {
  const key = keyOf(header, record);
  const npages = changetype<Record>(record).npages;
  const end = (key >> ID_BITS) + npages;
  const r = findChunk(directory, key);
  const chunk = chunkAt(directory, r);
  const before = searchPlace(chunk, key);
  const at = changetype<Entry>(before).key <= key ? <u32>(before - entryAt(chunk, 0)) / ENTRY_BYTES + 1 : 0;
  // Chunks may come or go in here; then closeHva refreshes all groups, and this one may miss its mark.
  const group = groupMaxAt(directory, r);
  store<u64>(group, max(load<u64>(group), end));
  return insertAt(header, index, directory, r, at, key, npages, record, end);
}

/** Take a record out. False if the chunk pool is empty. */
export function removeHva(header: usize, index: u32, directory: usize, record: usize): bool {
  const key = keyOf(header, record);
  const r = findChunk(directory, key);
  const chunk = ownChunk(header, directory, r);
  if (chunk == 0) return false;
  const entry = searchPlace(chunk, key);
  const end = endOf(entry);
  removeEntry(chunk, <u32>(entry - entryAt(chunk, 0)) / ENTRY_BYTES);
  if (end == changetype<Chunk>(chunk).maxEnd) {
    refreshChunk(chunk);
    if (end == load<u64>(groupMaxAt(directory, r))) refreshGroup(directory, r);
  }
  return settleChunk(header, index, directory, r);
}

/** Put `record` in the place of one with the same host range and id. False if the chunk pool is empty. */
export function replaceHva(header: usize, directory: usize, record: usize): bool {
  const key = keyOf(header, record);
  const chunk = ownChunk(header, directory, findChunk(directory, key));
  if (chunk == 0) return false;
  changetype<Entry>(searchPlace(chunk, key)).record = <u32>record;
  return true;
}

function keyOf(header: usize, record: usize): u64 {
  const page = changetype<Record>(record).userspaceAddr >> changetype<Header>(header).pageShift;
  return (page << ID_BITS) | (changetype<Record>(record).slot & 0xffff);
}

/** Before closeDirectory: exact ends again where chunks were split, merged or dropped. */
export function closeHva(header: usize, directory: usize): void {
  const list = changetype<Directory>(directory);
  if (!list.privateStructure) return;
  const transaction = changetype<Header>(header).transaction;
  for (let r: u32 = 0; r < list.chunkCount; r++) {
    const chunk = chunkAt(directory, r);
    if (changetype<Chunk>(chunk).transaction == transaction) refreshChunk(chunk);
  }
  for (let r: u32 = 0; r < list.chunkCount; r += GROUP_CHUNKS) refreshGroup(directory, r);
}

function refreshChunk(chunk: usize): void {
  let end: u64 = 0;
  const count = changetype<Chunk>(chunk).count;
  for (let i: u32 = 0; i < count; i++) end = max(end, endOf(entryAt(chunk, i)));
  changetype<Chunk>(chunk).maxEnd = end;
}

function refreshGroup(directory: usize, r: u32): void {
  const first = r - (r % GROUP_CHUNKS);
  const last = min(first + GROUP_CHUNKS, changetype<Directory>(directory).chunkCount);
  let end: u64 = 0;
  for (let i = first; i < last; i++) end = max(end, changetype<Chunk>(chunkAt(directory, i)).maxEnd);
  store<u64>(groupMaxAt(directory, r), end);
}

/**
 * Readers: the first entry of a published directory with key >= `from` whose host pages meet [start, end), 0
 * if there is none. Chunks and groups that end before `start` are skipped.
 */
export function nextHva(directory: usize, from: u64, start: u64, end: u64): usize {
  const count = changetype<Directory>(directory).chunkCount;
  let r = findChunk(directory, from);
  let entry = searchPlace(chunkAt(directory, r), from);
  if (changetype<Entry>(entry).key < from) entry += ENTRY_BYTES;
  while (true) {
    const chunk = chunkAt(directory, r);
    if (changetype<Chunk>(chunk).maxEnd > start) {
      const last = entryAt(chunk, changetype<Chunk>(chunk).count);
      for (; entry < last; entry += ENTRY_BYTES) {
        if (changetype<Entry>(entry).key >> ID_BITS >= end) return 0;
        if (endOf(entry) <= start) continue;
        // Damage: a walk that goes back never ends.
        if (changetype<Entry>(entry).key < from) unreachable();
        return entry;
      }
    }
    r++;
    while (r < count && r % GROUP_CHUNKS == 0 && load<u64>(groupMaxAt(directory, r)) <= start)
      r += GROUP_CHUNKS;
    if (r >= count) return 0;
    entry = entryAt(chunkAt(directory, r), 0);
    if (changetype<Entry>(entry).key >> ID_BITS >= end) return 0;
  }
}

/** Host page after the last one of an entry. */
function endOf(entry: usize): u64 {
  return (changetype<Entry>(entry).key >> ID_BITS) + changetype<Entry>(entry).npages;
}

function groupMaxAt(directory: usize, r: u32): usize {
  return changetype<Directory>(directory).groups + ((r / GROUP_CHUNKS) << 3);
}
