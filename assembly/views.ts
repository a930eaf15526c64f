/**
 * Views of the dirty consumers: each has its own bits, so that a harvest by one takes nothing from another.
 *
 * Readers set bits in the slot's live bitmap only, one read-modify-write each. Whoever holds the lock and
 * wants to see them first moves them from there into the pending bits of every view. A consumer's harvest
 * moves its pending bits to "in flight", where they stay until it says that it is done with them, or dies.
 *
 * Invariants
 *  - A bitmap has views if a consumer exists; the first view is KVM's own log (GET and CLEAR).
 *  - A bit leaves a view only to the consumer that asked for it, and never before it is somewhere else.
 */
import { clearDirtyWord, mergeDirtyWord, observeDirtyWord } from "./atomic";
import { dirtyBytes, headOf } from "./dirtybitmap";
import { allocHeap, freeHeap } from "./heap";
import { Record } from "./layout";

/** The view of KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG. */
export const KVM_VIEW: u32 = 0;

/** Number of the view with a consumer's pending bits. */
export function pendingView(consumer: u32): u32 {
  return 1 + 2 * consumer;
}

/** Number of the view with the bits that a consumer has harvested and not yet settled. */
export function inFlightView(consumer: u32): u32 {
  return 2 + 2 * consumer;
}

/** Address of a view; `bytes` is the size of one half of the bitmap. */
export function viewAt(bitmap: usize, bytes: u32, view: u32): usize {
  return <usize>headOf(bitmap).views + view * bytes;
}

/** Give a bitmap views for `consumers` consumers, clean where they are new. False when the memory is full. */
export function growViews(header: usize, bitmap: usize, npages: u32, consumers: u32): bool {
  const head = headOf(bitmap);
  if (head.consumers >= consumers) return true;
  const bytes = dirtyBytes(npages);
  const size = <u64>(1 + 2 * consumers) * bytes;
  const views: usize = size > 0x7fff0000 ? 0 : allocHeap(header, <u32>size);
  if (views == 0) return false;
  const old: usize = head.views;
  const kept = old == 0 ? 0 : (1 + 2 * head.consumers) * bytes;
  memory.copy(views, old, kept);
  memory.fill(views + kept, 0, <u32>size - kept);
  head.views = <u32>views;
  head.consumers = consumers;
  if (old != 0) freeHeap(header, old);
  return true;
}

/**
 * Move the live bits of a record into the pending bits of every view. Into all of them before they are
 * cleared.
 */
export function foldLive(record: usize): void {
  const bitmap: usize = changetype<Record>(record).bitmap;
  const head = headOf(bitmap);
  if (head.views == 0) return;
  const bytes = dirtyBytes(changetype<Record>(record).npages);
  for (let i: u32 = 0; i < bytes; i += 8) {
    const bits = observeDirtyWord(bitmap + i);
    if (bits == 0) continue;
    addBits(viewAt(bitmap, bytes, KVM_VIEW) + i, bits);
    for (let consumer: u32 = 0; consumer < head.consumers; consumer++) {
      addBits(viewAt(bitmap, bytes, pendingView(consumer)) + i, bits);
    }
    clearDirtyWord(bitmap + i, bits);
  }
}

function addBits(word: usize, bits: u64): void {
  store<u64>(word, load<u64>(word) | bits);
}

/** Move the bits of one view into another: first there, then gone here. */
export function moveView(bitmap: usize, bytes: u32, from: u32, to: u32): void {
  const source = viewAt(bitmap, bytes, from);
  const target = viewAt(bitmap, bytes, to);
  for (let i: u32 = 0; i < bytes; i += 8) {
    const bits = load<u64>(source + i);
    if (bits == 0) continue;
    addBits(target + i, bits);
    store<u64>(source + i, 0);
  }
}

/** Add the bits of all views to the live bitmap: its slot is gone, and whoever gets it gets all. */
export function sumViews(bitmap: usize, npages: u32): void {
  const head = headOf(bitmap);
  if (head.views == 0) return;
  const bytes = dirtyBytes(npages);
  const views: u32 = 1 + 2 * head.consumers;
  for (let view: u32 = 0; view < views; view++) {
    for (let i: u32 = 0; i < bytes; i += 8) {
      const bits = load<u64>(viewAt(bitmap, bytes, view) + i);
      if (bits != 0) mergeDirtyWord(bitmap + i, bits);
    }
  }
}
