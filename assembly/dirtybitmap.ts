/**
 * Dirty bitmaps: KVM's dirty log.
 *
 * Invariants
 *  - A record has a bitmap only if it has KVM_MEM_LOG_DIRTY_PAGES, and always if it has while bitmaps are in
 *    use.
 *  - A bitmap has two halves of ALIGN(npages, 64) / 8 bytes. Bit i of the first half, little-endian, is page
 *    i of the slot; the second half is the scratch of getDirtyLog and clearDirtyLog. Bits from npages on are
 *    0.
 *  - Readers set bits, the holder of the writer lock takes them.
 *
 * Mirrors kvm_alloc_dirty_bitmap, mark_page_dirty_in_slot, kvm_get_dirty_log_protect,
 * kvm_clear_dirty_log_protect.
 */
import { clearDirtyWord, markDirtyBit, observeDirtyWord, takeDirtyWord } from "./atomic";
import { EINVAL, ENOENT, ENXIO } from "./errno";
import { allocHeap } from "./heap";
import { recordOf, slotKey } from "./idtable";
import { Header, Record } from "./layout";

export const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: u32 = 1;
export const KVM_DIRTY_LOG_INITIALLY_SET: u32 = 2;

/** Bytes of one half, the size that KVM_GET_DIRTY_LOG writes. */
export function dirtyBytes(npages: u32): u32 {
  return ((npages + 63) >> 6) << 3;
}

/** True while dirty logging uses bitmaps; mirrors kvm_use_dirty_bitmap. */
export function useDirtyBitmap(header: usize): bool {
  return changetype<Header>(header).dirtyRingBytes == 0;
}

/** A new bitmap for `npages` pages: clean, or all dirty with INITIALLY_SET. 0 when the memory is full. */
export function createBitmap(header: usize, npages: u32): usize {
  const bytes = dirtyBytes(npages);
  const bitmap = allocHeap(header, bytes << 1);
  if (bitmap == 0) return 0;
  memory.fill(bitmap, 0, bytes);
  if (changetype<Header>(header).manualDirtyLog & KVM_DIRTY_LOG_INITIALLY_SET) {
    memory.fill(bitmap, 0xff, npages >> 3);
    if (npages & 7) store<u8>(bitmap + (npages >> 3), <u8>(((<u32>1) << (npages & 7)) - 1));
  }
  return bitmap;
}

/** The page `gfn` of a record was written. */
export function markPageDirty(record: usize, gfn: u64): void {
  const bitmap: usize = changetype<Record>(record).bitmap;
  if (bitmap != 0) markDirtyBit(bitmap, <u32>(gfn - changetype<Record>(record).baseGfn));
}

/** The record whose log is asked for, or a negative errno: steps 2 to 4 of both ioctls. */
function loggedRecord(header: usize, slot: u32, aligned: bool): i32 {
  if (!useDirtyBitmap(header)) return ENXIO;
  const key = slotKey(header, slot);
  if (key < 0 || !aligned) return EINVAL;
  const record = recordOf(header, key);
  return record == 0 || changetype<Record>(record).bitmap == 0 ? ENOENT : key;
}

/**
 * KVM_GET_DIRTY_LOG up to the copy to the caller: the address of ALIGN(npages, 64) / 8 bytes, or a negative
 * errno. Without manual protection the bits are taken, word by word; each word is atomic, the whole is not.
 */
export function getDirtyLog(header: usize, slot: u32): f64 {
  const key = loggedRecord(header, slot, true);
  if (key < 0) return key;
  const record = recordOf(header, key);
  const bitmap: usize = changetype<Record>(record).bitmap;
  const bytes = dirtyBytes(changetype<Record>(record).npages);
  const scratch = bitmap + bytes;
  const take = (changetype<Header>(header).manualDirtyLog & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) == 0;
  for (let i: u32 = 0; i < bytes; i += 8) {
    let bits = observeDirtyWord(bitmap + i);
    if (take && bits != 0) bits = takeDirtyWord(bitmap + i);
    store<u64>(scratch + i, bits);
  }
  return <f64>scratch;
}

/** Bytes of the log of a slot that getDirtyLog has just answered for. */
export function dirtyLogBytes(header: usize, slot: u32): u32 {
  return dirtyBytes(changetype<Record>(recordOf(header, slotKey(header, slot))).npages);
}

/**
 * KVM_CLEAR_DIRTY_LOG up to the copy from the caller: the address where ALIGN(numPages, 64) / 8 bytes of
 * bitmap are expected, or a negative errno. Nothing changes before endClearDirtyLog.
 */
export function beginClearDirtyLog(header: usize, slot: u32, first: u32, firstHigh: u32, numPages: u32): f64 {
  const key = loggedRecord(header, slot, (first & 63) == 0);
  if (key < 0) return key;
  const record = recordOf(header, key);
  const npages = changetype<Record>(record).npages;
  if (firstHigh != 0 || first > npages) return EINVAL;
  const rest = npages - first;
  if (numPages > rest || (numPages < rest && numPages & 63)) return EINVAL;
  return <f64>(<usize>changetype<Record>(record).bitmap + dirtyBytes(npages));
}

/** The rest of KVM_CLEAR_DIRTY_LOG: clear from page `first` on what is set in the scratch half. */
export function endClearDirtyLog(header: usize, slot: u32, first: u32, numPages: u32): void {
  const record = recordOf(header, slotKey(header, slot));
  const bitmap: usize = changetype<Record>(record).bitmap;
  const scratch = bitmap + dirtyBytes(changetype<Record>(record).npages);
  const bytes = dirtyBytes(numPages);
  for (let i: u32 = 0; i < bytes; i += 8) {
    const mask = load<u64>(scratch + i);
    if (mask != 0) clearDirtyWord(bitmap + (first >> 3) + i, mask);
  }
}
