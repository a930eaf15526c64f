/**
 * The hot path: guest address -> slot -> host address, for one reader line.
 *
 *   gpa -> gfn -> the line's cached slot, else radix -> separators -> 5 steps in one chunk -> record -> hva
 *
 * Inside a section every lookup answers from the pinned layout. Outside of one each lookup is a section by
 * itself. Mirrors kvm_vcpu_gfn_to_memslot, search_memslots, __gfn_to_hva_many.
 */
import { ownPin } from "./atomic";
import { findEntry } from "./directory";
import { markPageDirty } from "./dirtybitmap";
import { Entry, Reader, Record, Root, WINDOW_HOST, WINDOW_READONLY, Window } from "./layout";
import { batchOf, exitSection, openSection } from "./readers";
import { directoryOf, gfnIndexOf } from "./roots";
import { KVM_MEM_READONLY } from "./validate";
import { findWindow } from "./windows";

/** No slot maps the page; mirrors KVM_HVA_ERR_BAD. */
export const HVA_BAD: f64 = -1;
/** A write translation in a READONLY slot; mirrors KVM_HVA_ERR_RO_BAD. */
export const HVA_RO_BAD: f64 = -2;
/** The byte is a device's; which, and where in it, is in the reader line. */
export const HVA_MMIO: f64 = -3;

/** A frame that no slot can hold. */
const NO_GFN: u64 = u64.MAX_VALUE;

/** Frame of a guest address. Negative, too large and NaN give frames that are never mapped. */
function gfnOf(gpa: f64, shift: u32): u64 {
  return select<u64>(<u64>(<i64>gpa) >> shift, NO_GFN, gpa >= 0);
}

/**
 * Record that maps `gfn` in the layout of `root`, 0 if none does. Uncached; the record goes into the line's
 * cache.
 */
function searchSlot(reader: usize, root: usize, gfn: u64): usize {
  const line = changetype<Reader>(reader);
  const entry = changetype<Entry>(findEntry(directoryOf(root, gfnIndexOf(line.asId)), gfn));
  if (gfn - entry.key >= <u64>entry.npages) {
    line.misses += 1;
    return 0;
  }
  line.cacheCommit = changetype<Root>(root).commit;
  line.cacheGfn = entry.key;
  line.cacheNpages = entry.npages;
  line.cacheRecord = entry.record;
  return entry.record;
}

/** Record that maps `gfn`, 0 if none does. The line must have a root pinned. */
function findSlot(reader: usize, root: usize, gfn: u64): usize {
  const line = changetype<Reader>(reader);
  if (line.cacheCommit == changetype<Root>(root).commit && gfn - line.cacheGfn < <u64>line.cacheNpages) {
    return line.cacheRecord;
  }
  return searchSlot(reader, root, gfn);
}

function hvaOf(record: usize, gpa: f64, shift: u32): f64 {
  const slot = changetype<Record>(record);
  return <f64>(slot.userspaceAddr + (<u64>gpa - (slot.baseGfn << shift)));
}

function translate(reader: usize, root: usize, gpa: f64, refused: u32): f64 {
  const shift = changetype<Reader>(reader).pageShift;
  const record = findSlot(reader, root, gfnOf(gpa, shift));
  if (record == 0) return HVA_BAD;
  if (changetype<Record>(record).flags & refused) return HVA_RO_BAD;
  return hvaOf(record, gpa, shift);
}

function translateAlone(reader: usize, gpa: f64, refused: u32): f64 {
  openSection(reader);
  const hva = translate(reader, ownPin(reader), gpa, refused);
  exitSection(reader);
  return hva;
}

/**
 * Host address for a write to `gpa` (bytes), HVA_BAD, or HVA_RO_BAD in a READONLY slot. Mirrors
 * kvm_vcpu_gfn_to_hva.
 */
export function gpaToHva(reader: usize, gpa: f64): f64 {
  const root = ownPin(reader);
  return root != 0
    ? translate(reader, root, gpa, KVM_MEM_READONLY)
    : translateAlone(reader, gpa, KVM_MEM_READONLY);
}

/** Host address for a read of `gpa` (bytes), or HVA_BAD. Mirrors kvm_vcpu_gfn_to_hva_prot. */
export function gpaToHvaRead(reader: usize, gpa: f64): f64 {
  const root = ownPin(reader);
  return root != 0 ? translate(reader, root, gpa, 0) : translateAlone(reader, gpa, 0);
}

/** Where the byte `gpa` lies that no slot answers for; `missed` if no window does either. */
function throughWindow(reader: usize, root: usize, gpa: f64, refused: u32, missed: f64): f64 {
  const line = changetype<Reader>(reader);
  const byte = gfnOf(gpa, 0);
  const found = findWindow(root, line.asId, byte);
  if (found == 0) return missed;
  const window = changetype<Window>(found);
  const target = window.target + (byte - window.start);
  if (window.flags & WINDOW_HOST) return window.flags & WINDOW_READONLY & refused ? HVA_RO_BAD : <f64>target;
  line.device = window.device;
  line.deviceOffset = target;
  return HVA_MMIO;
}

/**
 * All that the layout knows about the byte `gpa`: its host address, or HVA_MMIO with the line's `device` and
 * `deviceOffset` set, HVA_RO_BAD, HVA_BAD. Slots come before windows; a write that a READONLY slot refuses
 * goes to the window below it, as to a ROM device in QEMU. `write` not 0: for a write.
 */
export function resolve(reader: usize, gpa: f64, write: u32): f64 {
  const refused = write != 0 ? KVM_MEM_READONLY : 0;
  openSection(reader);
  const root = ownPin(reader);
  const hva = translate(reader, root, gpa, refused);
  const result = hva >= 0 ? hva : throughWindow(reader, root, gpa, refused, hva);
  exitSection(reader);
  return result;
}

/** Device of the last HVA_MMIO. */
export function deviceOf(reader: usize): u32 {
  return changetype<Reader>(reader).device;
}

/** Byte of its registers. */
export function deviceOffsetOf(reader: usize): f64 {
  return <f64>changetype<Reader>(reader).deviceOffset;
}

/** Slot number (address space << 16 | id) that maps frame `gfn`, or -1. Mirrors kvm_vcpu_gfn_to_memslot. */
export function gfnToSlot(reader: usize, gfn: f64): i32 {
  openSection(reader);
  const record = findSlot(reader, ownPin(reader), gfnOf(gfn, 0));
  const slot = record == 0 ? -1 : <i32>changetype<Record>(record).slot;
  exitSection(reader);
  return slot;
}

/**
 * The page of `gpa` was written: set its dirty bit if its slot keeps a log. Mirrors kvm_vcpu_mark_page_dirty.
 */
export function markDirty(reader: usize, gpa: f64): void {
  openSection(reader);
  const gfn = gfnOf(gpa, changetype<Reader>(reader).pageShift);
  const record = findSlot(reader, ownPin(reader), gfn);
  if (record != 0) markPageDirty(record, gfn);
  exitSection(reader);
}

/**
 * Translate `count` f64 addresses at `gpas` into f64 host addresses at `hvas`; the two may be the same place.
 * `write` not 0: write translations.
 */
export function translateMany(reader: usize, gpas: usize, hvas: usize, count: u32, write: u32): void {
  openSection(reader);
  const root = ownPin(reader);
  const refused = write != 0 ? KVM_MEM_READONLY : 0;
  const end = gpas + (count << 3);
  while (gpas < end) {
    store<f64>(hvas, translate(reader, root, load<f64>(gpas), refused));
    gpas += 8;
    hvas += 8;
  }
  exitSection(reader);
}

/** The same in the line's own scratch area: at most BATCH_ENTRIES addresses, in place. */
export function translateBatch(reader: usize, count: u32, write: u32): void {
  const batch = batchOf(reader);
  translateMany(reader, batch, batch, count, write);
}
