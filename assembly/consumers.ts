/**
 * Dirty consumers: screen, snapshot, migration, each with its own view of the dirty pages, by name, from any
 * thread.
 *
 *   begin    pending -> in flight, the caller gets a copy      (in flight is what a dead harvester has left,
 *            too)
 *   commit   in flight -> gone
 *   abort    in flight -> pending
 *
 * KVM has one consumer per slot; QEMU keeps several bitmaps of its own above it (DIRTY_MEMORY_VGA,
 * _MIGRATION).
 */

import { createBitmap, dirtyBytes, fillPages, freeBitmap, useDirtyBitmap } from "./dirtybitmap";
import { E2BIG, EINVAL, ENOENT, ENOMEM, ENXIO, OK } from "./errno";
import { nextGfn } from "./gfnindex";
import { recordOf, slotKey } from "./idtable";
import { CONSUMERS_MAX, Entry, Header, Record } from "./layout";
import { publishedRoot } from "./publish";
import { directoryOf, gfnIndexOf } from "./roots";
import { foldLive, growViews, inFlightView, moveView, pendingView, viewAt } from "./views";

function nameAt(header: usize, consumer: u32): usize {
  return header + offsetof<Header>("consumer0") + (consumer << 3);
}

/** Highest place in use, and one: views need room for so many. */
export function consumerCount(header: usize): u32 {
  for (let count = CONSUMERS_MAX; count > 0; count--) {
    if (load<u64>(nameAt(header, count - 1)) != 0) return count;
  }
  return 0;
}

/** The next logged record of an address space from frame `gfn` on, 0 behind the last. */
function nextLogged(directory: usize, gfn: u64): usize {
  for (let entry = nextGfn(directory, gfn); entry != 0; entry = nextGfn(directory, gfn)) {
    const record: usize = changetype<Entry>(entry).record;
    if (changetype<Record>(record).bitmap != 0) return record;
    gfn = changetype<Entry>(entry).key + changetype<Entry>(entry).npages;
  }
  return 0;
}

/** Give every log a view for consumer number `consumer`, clean or all dirty. */
function openViews(header: usize, consumer: u32, allDirty: bool): i32 {
  const root = publishedRoot(header);
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    const directory = directoryOf(root, gfnIndexOf(asId));
    let record = nextLogged(directory, 0);
    while (record != 0) {
      const slot = changetype<Record>(record);
      const bytes = dirtyBytes(slot.npages);
      if (!growViews(header, slot.bitmap, slot.npages, consumer + 1)) return ENOMEM;
      // What is live so far belongs to the views that were there before.
      foldLive(record);
      memory.fill(viewAt(slot.bitmap, bytes, pendingView(consumer)), 0, bytes << 1);
      if (allDirty) fillPages(viewAt(slot.bitmap, bytes, pendingView(consumer)), slot.npages);
      record = nextLogged(directory, slot.baseGfn + slot.npages);
    }
  }
  return OK;
}

/** A new bitmap, with views if there are consumers. 0 when the memory is full. */
export function createLog(header: usize, npages: u32, birth: u64): usize {
  const bitmap = createBitmap(header, npages, birth);
  if (bitmap == 0) return 0;
  const consumers = consumerCount(header);
  if (consumers == 0 || growViews(header, bitmap, npages, consumers)) return bitmap;
  freeBitmap(header, bitmap);
  return 0;
}

/**
 * Number of the consumer with this name hash, which is made if there is none: every page of every log is
 * clean for it, or dirty. E2BIG if CONSUMERS_MAX exist, ENOMEM, ENXIO with a dirty ring. The lock must be
 * held.
 */
export function openConsumer(header: usize, hashLow: u32, hashHigh: u32, allDirty: u32): i32 {
  if (!useDirtyBitmap(header)) return ENXIO;
  const hash = ((<u64>hashHigh) << 32) | hashLow | 1;
  let free: i32 = -1;
  for (let consumer: u32 = 0; consumer < CONSUMERS_MAX; consumer++) {
    const name = load<u64>(nameAt(header, consumer));
    if (name == hash) return consumer;
    if (name == 0 && free < 0) free = consumer;
  }
  if (free < 0) return E2BIG;
  const result = openViews(header, free, allDirty != 0);
  if (result == OK) store<u64>(nameAt(header, free), hash);
  return result == OK ? free : result;
}

/** The consumer is no more; its place is free. The lock must be held. */
export function closeConsumer(header: usize, consumer: u32): void {
  store<u64>(nameAt(header, consumer), 0);
}

function viewedRecord(header: usize, slot: u32, consumer: u32): i32 {
  if (!useDirtyBitmap(header)) return ENXIO;
  const key = slotKey(header, slot);
  if (key < 0 || consumer >= CONSUMERS_MAX || load<u64>(nameAt(header, consumer)) == 0) return EINVAL;
  const record = recordOf(header, key);
  return record == 0 || changetype<Record>(record).bitmap == 0 ? ENOENT : key;
}

/**
 * Harvest: what is dirty for the consumer, as the address of ALIGN(npages, 64) / 8 bytes, or ENXIO, EINVAL,
 * ENOENT as getDirtyLog. Bits of an earlier harvest that was never settled are among them.
 */
export function beginHarvest(header: usize, slot: u32, consumer: u32): f64 {
  const key = viewedRecord(header, slot, consumer);
  if (key < 0) return key;
  const record = recordOf(header, key);
  const bitmap: usize = changetype<Record>(record).bitmap;
  const bytes = dirtyBytes(changetype<Record>(record).npages);
  foldLive(record);
  moveView(bitmap, bytes, pendingView(consumer), inFlightView(consumer));
  return <f64>viewAt(bitmap, bytes, inFlightView(consumer));
}

/** Settle a harvest: its bits are gone, or with `abort` pending again. OK, ENXIO, EINVAL, ENOENT. */
export function endHarvest(header: usize, slot: u32, consumer: u32, abort: u32): i32 {
  const key = viewedRecord(header, slot, consumer);
  if (key < 0) return key;
  const record = recordOf(header, key);
  const bitmap: usize = changetype<Record>(record).bitmap;
  const bytes = dirtyBytes(changetype<Record>(record).npages);
  if (abort) moveView(bitmap, bytes, inFlightView(consumer), pendingView(consumer));
  else memory.fill(viewAt(bitmap, bytes, inFlightView(consumer)), 0, bytes);
  return OK;
}
