/**
 * Walks over a layout, in pieces that fit a reader line's scratch area: the caller opens a section, asks
 * until the answer is 0, and closes it, so that all pieces come from one layout. Each piece is an array of
 * struct kvm_userspace_memory_region; of the walk over the readers, of ReaderState.
 *
 * Mirrors kvm_for_each_memslot_in_gfn_range and kvm_for_each_memslot_in_hva_range.
 */
import { observeOwner, observePin, observeRequest, ownPin } from "./atomic";
import { findEntry } from "./directory";
import { nextGfn } from "./gfnindex";
import { nextHva } from "./hvaindex";
import { recordOf, slotKey } from "./idtable";
import {
  BATCH_REGIONS,
  Entry,
  Header,
  READER_BEHIND,
  READER_BYTES,
  READER_INSIDE,
  READER_KICKED,
  READER_STATE_BYTES,
  READER_VCPU,
  REGION_BYTES,
  Reader,
  ReaderState,
  Record,
  Region,
  SECTIONS_SHIFT,
} from "./layout";
import { addressBits, gfnOf } from "./lookup";
import { batchOf, publishedRoot, readerLines } from "./readers";
import { directoryOf, gfnIndexOf, hvaIndexOf } from "./roots";
import { windowsOf } from "./windows";

/**
 * The slot of address space `asId` that maps `gpa` (bytes), as a region in the scratch area: 1, or 0 if none does.
 * For one who derives more from it than one translation. Mirrors gfn_to_memslot.
 */
export function slotAt(reader: usize, asId: u32, gpa: f64): u32 {
  const line = changetype<Reader>(reader);
  const gfn = gfnOf(addressBits(gpa), line.pageShift);
  const entry = changetype<Entry>(findEntry(directoryOf(ownPin(reader), gfnIndexOf(asId)), gfn));
  if (gfn - entry.key >= <u64>entry.npages) return 0;
  putRegion(batchOf(reader), entry.record, line.pageShift, 0, entry.npages);
  return 1;
}

/** Start a walk of either kind. */
export function rewind(reader: usize): void {
  changetype<Reader>(reader).cursor = 0;
}

/** The next slots of the line's address space, ascending by guest address: their number, 0 at the end. */
export function nextSlots(reader: usize): u32 {
  const line = changetype<Reader>(reader);
  const directory = directoryOf(ownPin(reader), gfnIndexOf(line.asId));
  let region = batchOf(reader);
  let count: u32 = 0;
  while (count < BATCH_REGIONS) {
    const entry = nextGfn(directory, line.cursor);
    if (entry == 0) break;
    const npages = changetype<Entry>(entry).npages;
    putRegion(region, changetype<Entry>(entry).record, line.pageShift, 0, npages);
    line.cursor = changetype<Entry>(entry).key + npages;
    region += REGION_BYTES;
    count++;
  }
  return count;
}

/**
 * The next slots of the line's address space whose host memory meets [start, end) bytes, ascending by host
 * address, cut to the host pages that the range touches: their number, 0 at the end.
 */
export function nextHostSlots(reader: usize, start: f64, end: f64): u32 {
  const line = changetype<Reader>(reader);
  const shift = <u64>line.pageShift;
  const directory = directoryOf(ownPin(reader), hvaIndexOf(line.asId));
  const startPage = <u64>start >> shift;
  const endPage = (<u64>end + (((<u64>1) << shift) - 1)) >> shift;
  let region = batchOf(reader);
  let count: u32 = 0;
  while (count < BATCH_REGIONS) {
    const entry = nextHva(directory, line.cursor, startPage, endPage);
    if (entry == 0) break;
    const record: usize = changetype<Entry>(entry).record;
    const first = changetype<Record>(record).userspaceAddr >> shift;
    const npages = <u64>changetype<Record>(record).npages;
    const from = startPage > first ? startPage - first : 0;
    putRegion(region, record, shift, from, min(npages, endPage - first));
    line.cursor = changetype<Entry>(entry).key + 1;
    region += REGION_BYTES;
    count++;
  }
  return count;
}

/** The window table of the line's address space in its open section, 0 without. */
export function windowTable(reader: usize): usize {
  return windowsOf(ownPin(reader), changetype<Reader>(reader).asId);
}

/**
 * The slot with number `slot` in the scratch area: 1, or 0 if there is none, or a negative
 * errno. The id table belongs to the writer and may be a commit ahead or behind, so what it says
 * counts only if the pinned layout agrees.
 */
export function slotByNumber(reader: usize, slot: u32): i32 {
  const line = changetype<Reader>(reader);
  const key = slotKey(line.header, slot);
  if (key < 0) return key;
  let record = recordOf(line.header, key);
  const directory = directoryOf(ownPin(reader), gfnIndexOf(slot >> 16));
  if (record == 0 || !holdsRecord(directory, record)) record = scanForSlot(directory, slot);
  if (record == 0) return 0;
  putRegion(batchOf(reader), record, line.pageShift, 0, changetype<Record>(record).npages);
  return 1;
}

/** True if a layout has this very record where the record says. */
function holdsRecord(directory: usize, record: usize): bool {
  const entry = changetype<Entry>(findEntry(directory, changetype<Record>(record).baseGfn));
  return <usize>entry.record == record && entry.npages != 0;
}

/** Record with slot number `slot` in a layout, by looking at every slot; 0 if there is none. */
function scanForSlot(directory: usize, slot: u32): usize {
  let gfn: u64 = 0;
  for (let entry = nextGfn(directory, gfn); entry != 0; entry = nextGfn(directory, gfn)) {
    const record: usize = changetype<Entry>(entry).record;
    if (changetype<Record>(record).slot == slot) return record;
    gfn = changetype<Entry>(entry).key + changetype<Entry>(entry).npages;
  }
  return 0;
}

/** Write the pages [first, end) of a record, counted from its first, as a region. */
function putRegion(region: usize, record: usize, shift: u64, first: u64, end: u64): void {
  const slot = changetype<Record>(record);
  const mem = changetype<Region>(region);
  mem.slot = slot.slot;
  mem.flags = slot.flags;
  mem.guestPhysAddr = (slot.baseGfn + first) << shift;
  mem.memorySize = (end - first) << shift;
  mem.userspaceAddr = slot.userspaceAddr + (first << shift);
}

/** The next reader lines that have an owner, the caller's among them: their number, 0 at the end. */
export function nextReaders(reader: usize): u32 {
  const line = changetype<Reader>(reader);
  const lines = readerLines(line.header);
  const first: usize = changetype<Header>(line.header).readers;
  let state = batchOf(reader);
  let count: u32 = 0;
  while (count < BATCH_REGIONS && line.cursor < lines) {
    const other = first + <u32>line.cursor * READER_BYTES;
    line.cursor += 1;
    if (observeOwner(other) == 0) continue;
    putReader(state, other);
    state += READER_STATE_BYTES;
    count++;
  }
  return count;
}

/** State of another thread's line: looked at word by word, so that it may be between two states. */
function putReader(at: usize, line: usize): void {
  const reader = changetype<Reader>(line);
  const pin = observePin(line);
  const state = changetype<ReaderState>(at);
  state.reader = <u32>line;
  state.token = observeOwner(line);
  state.asId = reader.asId;
  state.bits =
    (reader.gates != 0 ? READER_VCPU : 0) |
    (pin != 0 ? READER_INSIDE : 0) |
    (pin != 0 && pin != publishedRoot(reader.header) ? READER_BEHIND : 0) |
    (observeRequest(line) != 0 ? READER_KICKED : 0);
  state.sections = reader.nesting >> SECTIONS_SHIFT;
  state.misses = reader.misses;
}
