/**
 * Dirty consumers: screen, snapshot, migration, each with its own view of the dirty host pages, by name, from any
 * thread.
 *
 *   begin    pending -> in flight, the caller gets the ranges   (in flight is what a dead harvester has left, too)
 *   done     in flight -> gone
 *   abort    in flight -> pending
 *
 * KVM has one consumer per slot; QEMU keeps several bitmaps above it (DIRTY_MEMORY_VGA, _CODE, _MIGRATION), by place in
 * its RAM blocks.
 */
import { advanceDirtyEpoch } from "./atomic";
import { addKvmView, createBitmap, dirtyBytes, freeBitmap, logOf, useDirtyBitmap } from "./dirtybitmap";
import { E2BIG, EBADF, EINVAL, ENOMEM, ENXIO, OK } from "./errno";
import { nextGfn } from "./gfnindex";
import { allocHeap, freeHeap, sameBytes } from "./heap";
import {
  bitsOf,
  commitHostLog,
  consumerIn,
  createBits,
  dropStagedHostLog,
  endHostLog,
  extentAt,
  extentFrom,
  foldLog,
  hostLogOf,
  hostPage,
  keepPages,
  setBits,
  setConsumer,
  soilPages,
  stageEmptyLog,
  VISIT_FOLD,
  VISIT_KEEP,
  visitWindows,
} from "./hostlog";
import {
  CONSUMER_BYTES,
  CONSUMER_NAME_BYTES_MAX,
  CONSUMERS_MAX,
  Consumer,
  Entry,
  Extent,
  Header,
  HostLog,
  PLACE_BITS,
  REGION_BYTES,
  Record,
  VIEW_IN_FLIGHT,
  VIEW_PENDING,
} from "./layout";
import { reclaim } from "./publish";
import { publishedRoot } from "./readers";
import { BITMAP_DIES, isRecord, nextPlace } from "./retired";
import { directoryOf, gfnIndexOf } from "./roots";
import { windowsOf } from "./windows";

/** Bytes of a word that nextDirty returns: host address, and bits. */
const WORD_BYTES: u32 = 16;

/** A new bitmap, with a view for KVM if there are consumers. 0 when the memory is full. */
export function createLog(header: usize, npages: u32, birth: u64): usize {
  const bitmap = createBitmap(header, npages, birth);
  if (bitmap == 0 || hostLogOf(header) == 0) return bitmap;
  if (!addKvmView(header, bitmap, npages)) {
    freeBitmap(header, bitmap);
    return 0;
  }
  // Dirty from the beginning is what KVM promises for its log, and for no other.
  memory.copy(logOf(bitmap), bitmap, dirtyBytes(npages));
  memory.fill(bitmap, 0, dirtyBytes(npages));
  return bitmap;
}

// ---- open and close ----

/**
 * Number of the consumer whose name, of `nameBytes` bytes, is at the start of the staging area. If there is none yet it
 * is made: every page of every log is clean for it, or with `initiallyDirty` dirty, and so is each page that a log
 * covers later for the first time. E2BIG if CONSUMERS_MAX exist, EINVAL for a name that is too long, ENOMEM, ENXIO with
 * a dirty ring. The lock must be held.
 */
export function openConsumer(header: usize, nameBytes: u32, initiallyDirty: u32): i32 {
  if (!useDirtyBitmap(header)) return ENXIO;
  if (nameBytes > CONSUMER_NAME_BYTES_MAX) return EINVAL;
  const log: usize = changetype<Header>(header).hostLog;
  let free = CONSUMERS_MAX;
  for (let place = CONSUMERS_MAX; place > 0; place--) {
    const consumer: usize = log == 0 ? 0 : consumerIn(log, place - 1);
    if (consumer == 0) free = place - 1;
    else if (hasName(header, consumer, nameBytes)) return numberOf(consumer, place - 1);
  }
  if (free == CONSUMERS_MAX) return E2BIG;
  const result = addConsumer(header, free, nameBytes, initiallyDirty);
  dropStagedHostLog(header);
  return result;
}

/** True if a consumer has the staged name. */
function hasName(header: usize, consumer: usize, nameBytes: u32): bool {
  if (changetype<Consumer>(consumer).nameBytes != nameBytes) return false;
  return sameBytes(consumer + CONSUMER_BYTES, changetype<Header>(header).staging, nameBytes);
}

function numberOf(consumer: usize, place: u32): i32 {
  return (changetype<Consumer>(consumer).serial << PLACE_BITS) | place;
}

/** Place of a consumer, or EBADF if it is closed. */
function placeOf(header: usize, number: u32): i32 {
  const log: usize = changetype<Header>(header).hostLog;
  const place = number & (CONSUMERS_MAX - 1);
  const consumer: usize = log == 0 ? 0 : consumerIn(log, place);
  return consumer == 0 || numberOf(consumer, place) != number ? EBADF : place;
}

/** Make a consumer in a free place. Its number, or ENOMEM. */
function addConsumer(header: usize, place: u32, nameBytes: u32, initiallyDirty: u32): i32 {
  const engine = changetype<Header>(header);
  reclaim(header);
  if (hostLogOf(header) == 0 && stageEmptyLog(header) == 0) return ENOMEM;
  if (!shareRetired(header) || !visitLogs(header, VISIT_KEEP)) return ENOMEM;
  // What is live so far belongs to the views that were there before.
  visitLogs(header, VISIT_FOLD);
  const at = allocHeap(header, CONSUMER_BYTES + nameBytes);
  if (at == 0) return ENOMEM;
  if (!addBits(header, place)) {
    dropBits(header, place);
    freeHeap(header, at);
    return ENOMEM;
  }
  if (initiallyDirty) visitLogs(header, 1 << place);
  const consumer = changetype<Consumer>(at);
  engine.consumerSerial += 1;
  consumer.serial = engine.consumerSerial & (u32.MAX_VALUE >> (PLACE_BITS + 1));
  consumer.initiallyDirty = initiallyDirty;
  consumer.nameBytes = nameBytes;
  memory.copy(at + CONSUMER_BYTES, engine.staging, nameBytes);
  setConsumer(hostLogOf(header), place, at);
  commitHostLog(header);
  // What was live is taken, for the new view.
  advanceDirtyEpoch(header);
  return numberOf(at, place);
}

/** Clean bits for a place in every extent. False when the memory is full. */
function addBits(header: usize, place: u32): bool {
  const log = hostLogOf(header);
  for (let i: u32 = 0; i < changetype<HostLog>(log).count; i++) {
    const extent = extentAt(log, i);
    const bits = createBits(header, changetype<Extent>(extent).npages);
    if (bits == 0) return false;
    setBits(extent, place, bits);
  }
  return true;
}

/** Free the bits of a place, which has no consumer. */
function dropBits(header: usize, place: u32): void {
  const log = hostLogOf(header);
  for (let i: u32 = 0; i < changetype<HostLog>(log).count; i++) {
    const extent = extentAt(log, i);
    const bits = bitsOf(extent, place);
    if (bits == 0) continue;
    // First the word, so that nobody adds to what is free.
    setBits(extent, place, 0);
    freeHeap(header, bits);
  }
}

/** The consumer is no more; its place is free. OK or EBADF. The lock must be held. */
export function closeConsumer(header: usize, consumer: u32): i32 {
  const place = placeOf(header, consumer);
  if (place < 0) return place;
  const log: usize = changetype<Header>(header).hostLog;
  const at = consumerIn(log, place);
  setConsumer(log, place, 0);
  dropBits(header, place);
  freeHeap(header, at);
  for (let i: u32 = 0; i < CONSUMERS_MAX; i++) if (consumerIn(log, i) != 0) return OK;
  endHostLog(header);
  return OK;
}

// ---- logs ----

/** Share out what readers have set in all logs: it is in no harvest before. The lock must be held. */
export function foldDirtyLogs(header: usize): void {
  // Sections that are over may have marked pages in the layout that they had.
  reclaim(header);
  visitLogs(header, VISIT_FOLD);
}

/**
 * Each log of the published layout, of slots and of windows: VISIT_FOLD, VISIT_KEEP, or its pages are dirty for the
 * consumers in these places. False when the memory is full.
 */
function visitLogs(header: usize, visit: u32): bool {
  const root = publishedRoot(header);
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    const directory = directoryOf(root, gfnIndexOf(asId));
    let gfn: u64 = 0;
    for (let entry = nextGfn(directory, gfn); entry != 0; entry = nextGfn(directory, gfn)) {
      const record: usize = changetype<Entry>(entry).record;
      if (changetype<Record>(record).bitmap != 0 && !visitLog(header, record, visit)) return false;
      gfn = changetype<Entry>(entry).key + changetype<Entry>(entry).npages;
    }
    if (!visitWindows(header, windowsOf(root, asId), visit)) return false;
  }
  return true;
}

function visitLog(header: usize, record: usize, visit: u32): bool {
  const slot = changetype<Record>(record);
  const page = hostPage(header, slot.userspaceAddr);
  if (visit == VISIT_KEEP) {
    return addKvmView(header, slot.bitmap, slot.npages) && keepPages(header, page, slot.npages);
  }
  if (visit == VISIT_FOLD) foldLog(header, record);
  else soilPages(header, page, slot.npages, visit);
  return true;
}

/** Give KVM a view of the bitmaps that end with their last reader. False when the memory is full. */
function shareRetired(header: usize): bool {
  const engine = changetype<Header>(header);
  for (let at = engine.retiredHead; at != engine.retiredTail; at = nextPlace(header, at)) {
    const word = load<u32>(engine.retired + (at << 2));
    if (!(word & BITMAP_DIES) || !isRecord(header, word)) continue;
    const slot = changetype<Record>(<usize>(word & ~BITMAP_DIES));
    if (slot.bitmap != 0 && !addKvmView(header, slot.bitmap, slot.npages)) return false;
  }
  return true;
}

// ---- harvest ----

/**
 * Harvest what is dirty for the consumer in host bytes [start, end): it is in flight, and nextDirty returns it. Pages
 * of an earlier harvest that was never settled are among it. OK, EBADF if the consumer is closed, ENXIO once there are
 * dirty rings alone. The lock must be held.
 */
export function beginHarvest(header: usize, consumer: u32, start: f64, end: f64): i32 {
  if (!useDirtyBitmap(header)) return ENXIO;
  const place = placeOf(header, consumer);
  if (place < 0) return place;
  foldDirtyLogs(header);
  moveDirty(header, place, VIEW_PENDING, true, pageOf(header, start, 0), pageOf(header, end, 1));
  advanceDirtyEpoch(header);
  return OK;
}

/** Settle a harvest in host bytes [start, end): it has arrived, or with `abort` is pending again. As beginHarvest. */
export function endHarvest(header: usize, consumer: u32, start: f64, end: f64, abort: u32): i32 {
  const place = placeOf(header, consumer);
  if (place < 0) return place;
  moveDirty(header, place, VIEW_IN_FLIGHT, abort != 0, pageOf(header, start, 0), pageOf(header, end, 1));
  return OK;
}

/**
 * The next pages of host bytes [start, end) that are dirty for the consumer in one of `views`, a set of VIEW_*: words
 * at the start of the staging area, ascending, each as an f64, the host address of a page, and 64 bits, which are that
 * page and those behind it. How many they are, or EBADF. The next call begins 64 pages behind the last address. The
 * lock must be held.
 */
export function nextDirty(header: usize, consumer: u32, views: u32, start: f64, end: f64): i32 {
  const place = placeOf(header, consumer);
  if (place < 0) return place;
  const engine = changetype<Header>(header);
  const log: usize = engine.hostLog;
  const from = pageOf(header, start, 0);
  const to = pageOf(header, end, 1);
  const room = engine.stagingEntries * (REGION_BYTES / WORD_BYTES);
  let out: usize = engine.staging;
  let count: u32 = 0;
  for (let i = extentFrom(log, from); i < changetype<HostLog>(log).count; i++) {
    const extent = changetype<Extent>(extentAt(log, i));
    const half = dirtyBytes(extent.npages);
    const pending = bitsOf(changetype<usize>(extent), place);
    for (let at = firstWord(extent, from); at < half; at += 8) {
      let bits: u64 = 0;
      if (views & VIEW_PENDING) bits = load<u64>(pending + at);
      if (views & VIEW_IN_FLIGHT) bits |= load<u64>(pending + half + at);
      if (bits == 0) continue;
      const page = extent.start + (at << 3);
      if (page >= to || count == room) return count;
      bits &= pagesWithin(page, from, to);
      if (bits == 0) continue;
      store<f64>(out, <f64>(page << (<u64>engine.pageShift)));
      store<u64>(out, bits, 8);
      out += WORD_BYTES;
      count++;
    }
  }
  return count;
}

/** Offset of the word of an extent that page `from` is in, or of its first one. */
function firstWord(extent: Extent, from: u64): u32 {
  return from > extent.start ? (<u32>((from - extent.start) >> 6)) << 3 : 0;
}

/** Move what one of the views has of host pages [from, to) to the other, or nowhere. First there, then gone here. */
function moveDirty(header: usize, place: u32, view: u32, keep: bool, from: u64, to: u64): void {
  const log: usize = changetype<Header>(header).hostLog;
  for (let i = extentFrom(log, from); i < changetype<HostLog>(log).count; i++) {
    const extent = changetype<Extent>(extentAt(log, i));
    if (extent.start >= to) break;
    const half = dirtyBytes(extent.npages);
    const pending = bitsOf(changetype<usize>(extent), place);
    const source = view == VIEW_PENDING ? pending : pending + half;
    const target = view == VIEW_PENDING ? pending + half : pending;
    for (let at = firstWord(extent, from); at < half; at += 8) {
      const all = load<u64>(source + at);
      if (all == 0) continue;
      const bits = all & pagesWithin(extent.start + (at << 3), from, to);
      if (keep) store<u64>(target + at, load<u64>(target + at) | bits);
      store<u64>(source + at, all ^ bits);
    }
  }
}

/** Of 64 pages from `page` on those in [from, to), as bits. */
function pagesWithin(page: u64, from: u64, to: u64): u64 {
  if (from >= page + 64 || to <= page) return 0;
  const mask = from > page ? u64.MAX_VALUE << (from - page) : u64.MAX_VALUE;
  return to < page + 64 ? mask & (u64.MAX_VALUE >> (page + 64 - to)) : mask;
}

/** Host page of a host address; with `up` the first one that begins there or behind it. */
function pageOf(header: usize, hva: f64, up: u64): u64 {
  const shift = <u64>changetype<Header>(header).pageShift;
  return (<u64>hva + up * (((<u64>1) << shift) - 1)) >> shift;
}
