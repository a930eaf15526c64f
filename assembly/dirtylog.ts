/**
 * KVM's dirty log: the two ioctls, as the first of the dirty consumers; and both in one, as page numbers.
 *
 * Mirrors kvm_get_dirty_log_protect and kvm_clear_dirty_log_protect.
 */
import { advanceDirtyEpoch, clearDirtyWord, observeDirtyWord, takeDirtyWord } from "./atomic";
import {
  anyDirty,
  dirtyBytes,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  LOOK_BYTES,
  logOf,
  useDirtyBitmap,
} from "./dirtybitmap";
import { EINVAL, ENOENT, ENXIO } from "./errno";
import { foldLog } from "./hostlog";
import { recordOf, slotKey } from "./idtable";
import { Header, REGION_BYTES, Record } from "./layout";

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
  const log = foldedLog(header, record);
  let taken: u64 = 0;
  for (let i: u32 = 0; i < bytes; i += 8) {
    let bits = observeDirtyWord(log + i);
    if (take && bits != 0) bits = takeDirtyWord(log + i);
    store<u64>(scratch + i, bits);
    taken |= bits;
  }
  if (take && taken != 0) advanceDirtyEpoch(header);
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
  const log = foldedLog(header, record);
  const bytes = dirtyBytes(numPages);
  for (let i: u32 = 0; i < bytes; i += 8) {
    const mask = load<u64>(scratch + i);
    if (mask != 0) clearDirtyWord(log + (first >> 3) + i, mask);
  }
  advanceDirtyEpoch(header);
}

/**
 * Take dirty pages, `limit` at most, from page `from` on: their numbers in the slot as u32, ascending, are at the
 * start of the staging area. How many they are, 0 if there is none; or a negative errno as getDirtyLog. GET and
 * CLEAR in one: they are clean from now on, in each mode of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.
 */
export function takeDirtyPages(header: usize, slot: u32, from: u32, limit: u32): i32 {
  const key = loggedRecord(header, slot, true);
  if (key < 0) return key;
  const engine = changetype<Header>(header);
  const record = recordOf(header, key);
  const log = foldedLog(header, record);
  const first: usize = engine.staging;
  const end = first + (min(limit, engine.stagingEntries * (REGION_BYTES >> 2)) << 2);
  const bytes = dirtyBytes(changetype<Record>(record).npages);
  let out = first;
  // The pages of the first word that come before `from` may be dirty again.
  let mask = u64.MAX_VALUE << (<u64>(from & 63));
  let at = (from >> 6) << 3;
  while (at < bytes && out < end) {
    if ((at & (LOOK_BYTES - 1)) == 0 && at + LOOK_BYTES <= bytes && !anyDirty(log + at)) {
      at += LOOK_BYTES;
    } else {
      const bits = load<u64>(log + at) & mask;
      if (<u32>popcnt(bits) > FEW && out + ALL_NUMBERS <= end) {
        out = inline.always(writeNumbers(out, at << 3, bits));
        clearDirtyWord(log + at, bits);
      } else {
        let rest = bits;
        for (; rest != 0 && out < end; out += 4) {
          store<u32>(out, (at << 3) + <u32>ctz(rest));
          rest &= rest - 1;
        }
        if (rest != bits) clearDirtyWord(log + at, bits ^ rest);
      }
      at += 8;
    }
    mask = u64.MAX_VALUE;
  }
  if (out != first) advanceDirtyEpoch(header);
  return <i32>(<u32>(out - first) >> 2);
}

/** So many bits are soon written one by one. */
const FEW: u32 = 3;
/** Bytes of the numbers of 64 pages. */
const ALL_NUMBERS: usize = 256;

/**
 * Write `first` + i for each bit i of `bits` from `out` on: eight at a time, more than there are, because a jump that
 * depends on the number of bits is guessed wrong too often. ALL_NUMBERS must have room. The address behind the last.
 */
function writeNumbers(out: usize, first: u32, bits: u64): usize {
  const end = out + ((<usize>popcnt(bits)) << 2);
  for (let to = out; to < end; to += 32) {
    store<u32>(to, first + <u32>ctz(bits));
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 4);
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 8);
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 12);
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 16);
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 20);
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 24);
    bits &= bits - 1;
    store<u32>(to, first + <u32>ctz(bits), 28);
    bits &= bits - 1;
  }
  return end;
}

/** The record whose log is asked for, or a negative errno: steps 2 to 4 of both ioctls. */
function loggedRecord(header: usize, slot: u32, aligned: bool): i32 {
  if (!useDirtyBitmap(header)) return ENXIO;
  const key = slotKey(header, slot);
  if (key < 0 || !aligned) return EINVAL;
  const record = recordOf(header, key);
  return record == 0 || changetype<Record>(record).bitmap == 0 ? ENOENT : key;
}

/** Address of KVM's log of a record, with what readers have set so far. */
function foldedLog(header: usize, record: usize): usize {
  foldLog(header, record);
  return logOf(changetype<Record>(record).bitmap);
}
