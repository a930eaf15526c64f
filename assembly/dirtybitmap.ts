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
 *  - With dirty consumers, KVM's log is a view beside the bitmap, and hostlog.ts shares out what readers set.
 *
 * Mirrors kvm_alloc_dirty_bitmap.
 */
import { mergeDirtyWord, observeDirtyRing } from "./atomic";
import { allocHeap, freeHeap, markHeap } from "./heap";
import { BITMAP_HEAD_BYTES, BitmapHead, DIRTY_RING_NEVER, Header } from "./layout";

export const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: u32 = 1;
export const KVM_DIRTY_LOG_INITIALLY_SET: u32 = 2;

/** True while dirty logging uses bitmaps; mirrors kvm_use_dirty_bitmap. */
export function useDirtyBitmap(header: usize): bool {
  return observeDirtyRing(header) <= DIRTY_RING_NEVER || changetype<Header>(header).dirtyRingBitmap != 0;
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
  head.kvmView = 0;
  memory.fill(bitmap, 0, bytes);
  if (changetype<Header>(header).manualDirtyLog & KVM_DIRTY_LOG_INITIALLY_SET) fillPages(bitmap, npages);
  return bitmap;
}

/** Bytes of one half, the size that KVM_GET_DIRTY_LOG writes. */
export function dirtyBytes(npages: u32): u32 {
  return ((npages + 63) >> 6) << 3;
}

/** Set the first `npages` bits. */
export function fillPages(bitmap: usize, npages: u32): void {
  memory.fill(bitmap, 0xff, npages >> 3);
  if (npages & 7) store<u8>(bitmap + (npages >> 3), <u8>(((<u32>1) << (npages & 7)) - 1));
}

/** Where KVM's log is read and written: the bitmap itself, or with consumers a view of its own. */
export function logOf(bitmap: usize): usize {
  const view: usize = headOf(bitmap).kvmView;
  return view != 0 ? view : bitmap;
}

/**
 * Have KVM's log of a bitmap in a view of its own, clean: the bits of the bitmap are to be shared. False without
 * memory.
 */
export function addKvmView(header: usize, bitmap: usize, npages: u32): bool {
  const head = headOf(bitmap);
  if (head.kvmView != 0) return true;
  const view = allocHeap(header, dirtyBytes(npages));
  if (view == 0) return false;
  memory.fill(view, 0, dirtyBytes(npages));
  head.kvmView = <u32>view;
  return true;
}

/** Bytes of a bitmap that `anyDirty` looks at together. */
export const LOOK_BYTES: u32 = 64;

/** True if one of LOOK_BYTES bytes is not 0; what is set meanwhile is found by the next look. */
export function anyDirty(words: usize): bool {
  const low = load<u64>(words) | load<u64>(words, 8) | load<u64>(words, 16) | load<u64>(words, 24);
  const high = load<u64>(words, 32) | load<u64>(words, 40) | load<u64>(words, 48) | load<u64>(words, 56);
  return (low | high) != 0;
}

/** Set up to 64 bits from bit `at` of a bitmap on. */
export function mergeBits(bitmap: usize, at: u32, bits: u64): void {
  const word = bitmap + ((at >> 6) << 3);
  const shift = <u64>(at & 63);
  mergeDirtyWord(word, bits << shift);
  const rest = shift == 0 ? 0 : bits >> (64 - shift);
  if (rest != 0) mergeDirtyWord(word + 8, rest);
}

/** Give a bitmap and its view back. */
export function freeBitmap(header: usize, bitmap: usize): void {
  const view: usize = headOf(bitmap).kvmView;
  if (view != 0) freeHeap(header, view);
  freeHeap(header, bitmap - BITMAP_HEAD_BYTES);
}

/** First half of a rebuild of the heap: a bitmap is alive, and its view. */
export function markBitmap(bitmap: usize): void {
  if (headOf(bitmap).kvmView != 0) markHeap(headOf(bitmap).kvmView);
  markHeap(bitmap - BITMAP_HEAD_BYTES);
}

/** What lies before the first word of a bitmap. */
export function headOf(bitmap: usize): BitmapHead {
  return changetype<BitmapHead>(bitmap - BITMAP_HEAD_BYTES);
}
