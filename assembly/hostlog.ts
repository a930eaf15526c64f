/**
 * What is dirty for the consumers, by host page: where the bytes are, whatever maps them.
 *
 *   readers set bits            slot's bitmap, marks of a window table
 *      fold (lock)  ------->    KVM's view of the slot, and `pending` of the extent of every consumer
 *      harvest (lock)           pending -> in flight -> gone, or back
 *
 * Invariants
 *  - While there is a HostLog: every page that a log of the published layout covers is in an extent, and every bitmap
 *    has a view for KVM.
 *  - A bit leaves a bitmap only when it is everywhere else. So a death in between reports a page twice.
 *  - An extent is added on a private copy, which comes with the publication; a consumer's bits in it may be added and
 *    dropped in place, because nobody looks at them while its place is free.
 *  - What a list does changes no bit: not a split, a move, a bank that is switched away and back, nor a deletion.
 *
 * Mirrors QEMU's ram_list.dirty_memory, which kvm_slot_sync_dirty_pages folds the logs of slots into.
 */
import { clearDirtyWord, observeDirtyWord } from "./atomic";
import { anyDirty, dirtyBytes, fillPages, headOf, LOOK_BYTES, mergeBits } from "./dirtybitmap";
import { allocHeap, freeHeap, markHeap, sameBytes } from "./heap";
import { nextHva } from "./hvaindex";
import {
  CONSUMERS_MAX,
  Consumer,
  EXTENT_BYTES,
  Extent,
  Header,
  HOST_LOG_BYTES,
  HostLog,
  Record,
  TABLES,
  WINDOW_LOGGED,
  Window,
  WindowTable,
} from "./layout";
import { directoryOf, hvaIndexOf, rootAt } from "./roots";
import { KVM_MEM_READONLY, MAX_NR_PAGES } from "./validate";
import { stagedOf, windowAt, windowPages, windowsOf } from "./windows";

/** Extents that a new table has room for. */
const EXTENTS_MIN: u32 = 16;
/** Extents below this number are kept, needed or not. */
const PRUNE_MIN: u32 = 1024;

/** All consumers. */
const ALL_PLACES: u32 = (1 << CONSUMERS_MAX) - 1;
/** What is done with logs: what readers have set is shared out; they get extents. */
export const VISIT_FOLD: u32 = ALL_PLACES + 1;
export const VISIT_KEEP: u32 = ALL_PLACES + 2;

// ---- fold: what readers have set becomes what consumers have pending ----

/** Share out what readers have set in the bitmap of a record. */
export function foldLog(header: usize, record: usize): void {
  const slot = changetype<Record>(record);
  const view: usize = headOf(slot.bitmap).kvmView;
  if (view == 0) return;
  foldBits(header, slot.bitmap, 0, slot.npages, hostPage(header, slot.userspaceAddr), view);
}

/** Share out what readers have set in the marks of a window table. Without consumers they stay. */
export function foldMarks(header: usize, table: usize): void {
  if (changetype<Header>(header).hostLog != 0) visitWindows(header, table, VISIT_FOLD);
}

/**
 * Each logged window of a table: VISIT_FOLD, VISIT_KEEP, or its pages are dirty for the consumers in these places.
 * False when the memory is full.
 */
export function visitWindows(header: usize, table: usize, visit: u32): bool {
  if (table == 0 || changetype<WindowTable>(table).marks == 0) return true;
  const marks: usize = changetype<WindowTable>(table).marks;
  for (let i: u32 = 0; i < changetype<WindowTable>(table).count; i++) {
    const window = changetype<Window>(windowAt(table, i));
    if (!(window.flags & WINDOW_LOGGED)) continue;
    const page = hostPage(header, window.target);
    const npages = windowPages(window, changetype<Header>(header).pageShift);
    if (visit == VISIT_FOLD) foldBits(header, marks, window.device, npages, page, 0);
    else if (visit != VISIT_KEEP) soilPages(header, page, npages, visit);
    else if (!keepPages(header, page, npages)) return false;
  }
  return true;
}

/**
 * Move bits [from, from + count) of a bitmap that readers set to every consumer, bit `from` being host page `page`, and
 * to `view`, if there is one, where they are bits from 0 on.
 */
function foldBits(header: usize, bitmap: usize, from: u32, count: u32, page: u64, view: usize): void {
  let done: u32 = 0;
  while (done < count) {
    const at = from + done;
    const word = bitmap + ((at >> 6) << 3);
    if ((at & (LOOK_BYTES * 8 - 1)) == 0 && count - done >= LOOK_BYTES * 8 && !anyDirty(word)) {
      done += LOOK_BYTES * 8;
      continue;
    }
    const first = at & 63;
    const length = min(64 - first, count - done);
    let bits = observeDirtyWord(word) >> first;
    if (length < 64) bits &= ((<u64>1) << length) - 1;
    if (bits != 0) {
      if (view != 0) mergeBits(view, done, bits);
      addPending(header, page + done, bits, ALL_PLACES);
      clearDirtyWord(word, bits << first);
    }
    done += length;
  }
}

/** Host pages from `page` on, as bits, are dirty for the consumers in these places. */
function addPending(header: usize, page: u64, bits: u64, places: u32): void {
  const log = hostLogOf(header);
  if (log == 0) return;
  const end = page + (64 - clz(bits));
  for (let i = extentFrom(log, page); i < changetype<HostLog>(log).count; i++) {
    const extent = changetype<Extent>(extentAt(log, i));
    if (extent.start >= end) return;
    // Bits of pages before the extent are shifted out, those behind it are masked.
    const skipped = extent.start > page ? extent.start - page : 0;
    const at = <u32>(page + skipped - extent.start);
    const room = extent.npages - at;
    let own = bits >> skipped;
    if (room < 64) own &= ((<u64>1) << room) - 1;
    if (own == 0) continue;
    for (let rest = places; rest != 0; rest &= rest - 1) {
      const pending = bitsOf(changetype<usize>(extent), ctz(rest));
      if (pending != 0) mergeBits(pending, at, own);
    }
  }
}

/** Host pages [page, page + npages) are dirty for the consumers in these places. */
export function soilPages(header: usize, page: u64, npages: u32, places: u32): void {
  if (places == 0) return;
  // Damage: no slot has as many, and the loop would not end before them.
  if (npages > <u32>MAX_NR_PAGES) unreachable();
  for (let done: u32 = 0; done < npages; done += 64) {
    const rest = npages - done;
    addPending(header, page + done, rest < 64 ? ((<u64>1) << rest) - 1 : u64.MAX_VALUE, places);
  }
}

/** Places of the consumers for which a page is dirty until it was harvested. */
export function carefulPlaces(header: usize): u32 {
  const log: usize = changetype<Header>(header).hostLog;
  let places: u32 = 0;
  for (let place: u32 = 0; log != 0 && place < CONSUMERS_MAX; place++) {
    const consumer = consumerIn(log, place);
    if (consumer != 0 && changetype<Consumer>(consumer).initiallyDirty) places |= 1 << place;
  }
  return places;
}

/** True if `record` has no log, and consumers have to be told when it ends. */
export function spoils(header: usize, record: usize): bool {
  const slot = changetype<Record>(record);
  return changetype<Header>(header).hostLog != 0 && slot.bitmap == 0 && !(slot.flags & KVM_MEM_READONLY);
}

// ---- extents ----

/** The table that is in force, or will be with the commit under way; 0 without consumers. */
export function hostLogOf(header: usize): usize {
  const engine = changetype<Header>(header);
  return engine.stagedHostLog != 0 ? engine.stagedHostLog : engine.hostLog;
}

/** Have extents for host pages [page, page + npages), if there are consumers. False when the memory is full. */
export function keepPages(header: usize, page: u64, npages: u64): bool {
  let log = hostLogOf(header);
  const end = page + npages;
  while (log != 0 && page < end) {
    const i = extentFrom(log, page);
    const extent = changetype<Extent>(extentAt(log, i));
    const start = i < changetype<HostLog>(log).count ? extent.start : u64.MAX_VALUE;
    if (start <= page) {
      page = extent.start + extent.npages;
      continue;
    }
    const gap = min(start, end) - page;
    log = roomyLog(header);
    if (log == 0 || gap > 0x7fffffff || !insertExtent(header, log, page, <u32>gap)) return false;
    page += gap;
  }
  return true;
}

/** Have extents for what the logged windows of the staged tables show. False when the memory is full. */
export function keepStagedWindows(header: usize): bool {
  for (let index: u32 = 0; index < TABLES; index++) {
    if (!visitWindows(header, stagedOf(header, index), VISIT_KEEP)) return false;
  }
  return true;
}

/** Host page of a host address. */
export function hostPage(header: usize, hva: u64): u64 {
  return hva >> <u64>changetype<Header>(header).pageShift;
}

/** Number of the first extent that ends behind `page`. */
export function extentFrom(log: usize, page: u64): u32 {
  let low: u32 = 0;
  let high = changetype<HostLog>(log).count;
  while (low < high) {
    const middle = (low + high) >> 1;
    const extent = changetype<Extent>(extentAt(log, middle));
    if (extent.start + extent.npages > page) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function extentAt(log: usize, i: u32): usize {
  return log + HOST_LOG_BYTES + i * EXTENT_BYTES;
}

/** The consumer in a place, 0 if it is free. */
export function consumerIn(log: usize, place: u32): usize {
  return load<u32>(log + (place << 2), offsetof<HostLog>("consumer0"));
}

export function setConsumer(log: usize, place: u32, consumer: usize): void {
  store<u32>(log + (place << 2), <u32>consumer, offsetof<HostLog>("consumer0"));
}

/** Address of the pending bits of the consumer in a place; those in flight follow. */
export function bitsOf(extent: usize, place: u32): usize {
  return load<u32>(extent + (place << 2), offsetof<Extent>("bits0"));
}

export function setBits(extent: usize, place: u32, bits: usize): void {
  store<u32>(extent + (place << 2), <u32>bits, offsetof<Extent>("bits0"));
}

/** Clean bits for a consumer in `npages` pages, 0 when the memory is full. */
export function createBits(header: usize, npages: u32): usize {
  const bytes = dirtyBytes(npages) << 1;
  const bits = allocHeap(header, bytes);
  if (bits != 0) memory.fill(bits, 0, bytes);
  return bits;
}

/** Put in an extent for pages that none covers. False when the memory is full, and then nothing has changed. */
function insertExtent(header: usize, log: usize, page: u64, npages: u32): bool {
  const table = changetype<HostLog>(log);
  const end = extentAt(log, table.count);
  const at = extentAt(log, extentFrom(log, page));
  memory.copy(at + EXTENT_BYTES, at, end - at);
  memory.fill(at, 0, EXTENT_BYTES);
  const extent = changetype<Extent>(at);
  extent.start = page;
  extent.npages = npages;
  for (let place: u32 = 0; place < CONSUMERS_MAX; place++) {
    const consumer = consumerIn(log, place);
    if (consumer == 0) continue;
    const bits = createBits(header, npages);
    if (bits == 0) {
      freeExtent(header, at);
      memory.copy(at, at + EXTENT_BYTES, end - at);
      return false;
    }
    if (changetype<Consumer>(consumer).initiallyDirty) fillPages(bits, npages);
    setBits(at, place, bits);
  }
  table.count += 1;
  return true;
}

function freeExtent(header: usize, extent: usize): void {
  for (let place: u32 = 0; place < CONSUMERS_MAX; place++) {
    const bits = bitsOf(extent, place);
    if (bits != 0) freeHeap(header, bits);
  }
}

// ---- tables ----

/** A table without extents and consumers, which the next commit brings. 0 when the memory is full. */
export function stageEmptyLog(header: usize): usize {
  const log = createTable(header, EXTENTS_MIN);
  if (log == 0) return 0;
  memory.fill(log, 0, HOST_LOG_BYTES);
  changetype<HostLog>(log).capacity = EXTENTS_MIN;
  changetype<HostLog>(log).pruneAt = PRUNE_MIN;
  changetype<Header>(header).stagedHostLog = <u32>log;
  return log;
}

function createTable(header: usize, capacity: u32): usize {
  return capacity > 0x7fff0000 / EXTENT_BYTES
    ? 0
    : allocHeap(header, HOST_LOG_BYTES + capacity * EXTENT_BYTES);
}

/** The staged table, with room for an extent. 0 when the memory is full. */
function roomyLog(header: usize): usize {
  const engine = changetype<Header>(header);
  const old = hostLogOf(header);
  const table = changetype<HostLog>(old);
  const isStaged = engine.stagedHostLog != 0;
  if (isStaged && table.count < table.capacity) return old;
  const capacity = table.count + (table.count >> 1) + EXTENTS_MIN;
  const log = createTable(header, capacity);
  if (log == 0) return 0;
  memory.copy(log, old, HOST_LOG_BYTES + table.count * EXTENT_BYTES);
  changetype<HostLog>(log).capacity = capacity;
  engine.stagedHostLog = <u32>log;
  if (isStaged) freeHeap(header, old);
  else if (table.count >= table.pruneAt) prune(header, log);
  return log;
}

/** Leave out of a private table what is clean for all, and covered by no log. */
function prune(header: usize, log: usize): void {
  const table = changetype<HostLog>(log);
  const count = table.count;
  table.count = 0;
  for (let i: u32 = 0; i < count; i++) {
    const extent = extentAt(log, i);
    if (!isNeeded(header, log, extent)) continue;
    memory.copy(extentAt(log, table.count), extent, EXTENT_BYTES);
    table.count += 1;
  }
  table.pruneAt = max(PRUNE_MIN, table.count << 1);
}

function isNeeded(header: usize, log: usize, at: usize): bool {
  const engine = changetype<Header>(header);
  const extent = changetype<Extent>(at);
  const end = extent.start + extent.npages;
  const root = rootAt(header, engine.activeRoot);
  for (let asId: u32 = 0; asId < engine.addressSpaces; asId++) {
    if (nextHva(directoryOf(root, hvaIndexOf(asId)), 0, extent.start, end) != 0) return true;
    // Windows are few, and keep what they show.
    const windows = windowsOf(root, asId);
    if (windows != 0 && changetype<WindowTable>(windows).marks != 0) return true;
  }
  for (let place: u32 = 0; place < CONSUMERS_MAX; place++) {
    if (consumerIn(log, place) == 0) continue;
    const bits = bitsOf(at, place);
    const bytes = dirtyBytes(extent.npages) << 1;
    for (let i: u32 = 0; i < bytes; i += 8) if (load<u64>(bits + i) != 0) return true;
  }
  return false;
}

/** The staged table is in force. Before the publication: pages that are not mapped yet may be kept, not the reverse. */
export function commitHostLog(header: usize): void {
  const engine = changetype<Header>(header);
  const log: usize = engine.stagedHostLog;
  if (log == 0) return;
  const old: usize = engine.hostLog;
  engine.hostLog = <u32>log;
  engine.stagedHostLog = 0;
  if (old != 0) freeTable(header, old, log);
}

/** Forget the staged table. */
export function dropStagedHostLog(header: usize): void {
  const engine = changetype<Header>(header);
  const log: usize = engine.stagedHostLog;
  if (log == 0) return;
  engine.stagedHostLog = 0;
  freeTable(header, log, engine.hostLog);
}

/** There is no consumer any more. */
export function endHostLog(header: usize): void {
  const log: usize = changetype<Header>(header).hostLog;
  changetype<Header>(header).hostLog = 0;
  freeTable(header, log, 0);
}

/** Free a table, and the bits of those of its extents that `kept` has not. */
function freeTable(header: usize, log: usize, kept: usize): void {
  let k: u32 = 0;
  const keptCount: u32 = kept == 0 ? 0 : changetype<HostLog>(kept).count;
  for (let i: u32 = 0; i < changetype<HostLog>(log).count; i++) {
    const extent = extentAt(log, i);
    const start = changetype<Extent>(extent).start;
    while (k < keptCount && changetype<Extent>(extentAt(kept, k)).start < start) k++;
    if (k < keptCount && sameBytes(extentAt(kept, k), extent, EXTENT_BYTES)) continue;
    freeExtent(header, extent);
  }
  freeHeap(header, log);
}

/** A part of the rebuild after a writer's death: what open consumers have is alive. */
export function recoverHostLog(header: usize): void {
  const engine = changetype<Header>(header);
  const log: usize = engine.hostLog;
  engine.stagedHostLog = 0;
  if (log == 0) return;
  let open = false;
  for (let place: u32 = 0; place < CONSUMERS_MAX; place++) {
    const consumer = consumerIn(log, place);
    if (consumer != 0) {
      markHeap(consumer);
      open = true;
    }
    for (let i: u32 = 0; i < changetype<HostLog>(log).count; i++) {
      if (consumer != 0) markHeap(bitsOf(extentAt(log, i), place));
      else setBits(extentAt(log, i), place, 0);
    }
  }
  // The dead writer may have closed the last one.
  if (open) markHeap(log);
  else engine.hostLog = 0;
}
