/**
 * Dirty bitmaps.
 *
 * Invariants
 *  - A record has a bitmap only if it has KVM_MEM_LOG_DIRTY_PAGES, and always if it has while bitmaps are in
 *    use.
 *  - A bitmap has two halves of ALIGN(npages, 64) / 8 bytes. Bit i of the first half, little-endian, is page
 *    i of the slot; the second half is the scratch of getDirtyLog and clearDirtyLog. Bits from npages on are
 *    0.
 *  - Readers set bits, the holder of the writer lock takes them.
 *
 * Mirrors kvm_alloc_dirty_bitmap.
 */
import { observeDirtyRing } from "./atomic";
import { allocHeap, freeHeap, markHeap } from "./heap";
import { BITMAP_HEAD_BYTES, BitmapHead, DIRTY_RING_NEVER, Header } from "./layout";

export const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: u32 = 1;
export const KVM_DIRTY_LOG_INITIALLY_SET: u32 = 2;

/** What lies before the first word of a bitmap. */
export function headOf(bitmap: usize): BitmapHead {
  return changetype<BitmapHead>(bitmap - BITMAP_HEAD_BYTES);
}

/** Bytes of one half, the size that KVM_GET_DIRTY_LOG writes. */
export function dirtyBytes(npages: u32): u32 {
  return ((npages + 63) >> 6) << 3;
}

/** True while dirty logging uses bitmaps; mirrors kvm_use_dirty_bitmap. */
export function useDirtyBitmap(header: usize): bool {
  return observeDirtyRing(header) <= DIRTY_RING_NEVER || changetype<Header>(header).dirtyRingBitmap != 0;
}

/** Set the first `npages` bits. */
export function fillPages(bitmap: usize, npages: u32): void {
  memory.fill(bitmap, 0xff, npages >> 3);
  if (npages & 7) store<u8>(bitmap + (npages >> 3), <u8>(((<u32>1) << (npages & 7)) - 1));
}

/**
 * A new bitmap for `npages` pages that comes with publication `birth`: clean, or all dirty with
 * INITIALLY_SET. 0 when the memory is full.
 */
export function createBitmap(header: usize, npages: u32, birth: u64): usize {
  const bytes = dirtyBytes(npages);
  const block = allocHeap(header, BITMAP_HEAD_BYTES + (bytes << 1));
  if (block == 0) return 0;
  const bitmap = block + BITMAP_HEAD_BYTES;
  const head = headOf(bitmap);
  head.birth = birth;
  head.views = 0;
  head.consumers = 0;
  memory.fill(bitmap, 0, bytes);
  if (changetype<Header>(header).manualDirtyLog & KVM_DIRTY_LOG_INITIALLY_SET) fillPages(bitmap, npages);
  return bitmap;
}

/** Give a bitmap and its views back. */
export function freeBitmap(header: usize, bitmap: usize): void {
  const views: usize = headOf(bitmap).views;
  if (views != 0) freeHeap(header, views);
  freeHeap(header, bitmap - BITMAP_HEAD_BYTES);
}

/** First half of a rebuild of the heap: a bitmap is alive, and its views. */
export function markBitmap(bitmap: usize): void {
  if (headOf(bitmap).views != 0) markHeap(headOf(bitmap).views);
  markHeap(bitmap - BITMAP_HEAD_BYTES);
}
