/**
 * The hot path: guest address -> slot -> host address, for one reader line.
 *
 *   gpa -> the line's cached slot, else gfn -> radix -> separators -> 5 steps in one chunk -> record -> hva
 *
 * Inside a section every lookup answers from the pinned layout. Outside of one each lookup is a section by
 * itself. Mirrors kvm_vcpu_gfn_to_memslot, search_memslots, __gfn_to_hva_many.
 */
import { ownPin } from "./atomic";
import { findEntry } from "./directory";
import { markPageDirty } from "./dirtyring";
import { Entry, Reader, Record, WINDOW_HOST, WINDOW_READONLY, Window } from "./layout";
import { exitSection, openSection } from "./readers";
import { directoryOf, gfnIndexOf } from "./roots";
import { KVM_MEM_READONLY } from "./validate";
import { findWindow } from "./windows";

/** No slot maps the page; mirrors KVM_HVA_ERR_BAD. */
export const HVA_BAD: f64 = -1;
/** A write translation in a READONLY slot; mirrors KVM_HVA_ERR_RO_BAD. */
export const HVA_RO_BAD: f64 = -2;
/** The byte is a device's; which, and where in it, is in the reader line. */
export const HVA_MMIO: f64 = -3;

/** 2^52, and its bits. */
const BIAS: f64 = 4503599627370496;
export const BIAS_BITS: u64 = 0x4330000000000000;

/**
 * The whole part of a guest address, plus BIAS_BITS: at 2^52 the mantissa of a double counts ones, so that an add
 * converts it, in a third of the instructions of a saturating conversion. What is no address (negative, 2^52 and
 * above, NaN) is 2^52 or more once the bias is off, as u64, and no slot is there.
 */
export function addressBits(gpa: f64): u64 {
  return reinterpret<u64>(floor<f64>(gpa) + BIAS);
}

/** Frame of a guest address. */
export function gfnOf(bits: u64, shift: u32): u64 {
  return (bits - BIAS_BITS) >> shift;
}

/** Search the layout of `root` for the slot that maps an address, and cache it in the line. False if none does. */
function searchSlot(reader: usize, root: usize, bits: u64): bool {
  const line = changetype<Reader>(reader);
  const shift = line.pageShift;
  const gfn = gfnOf(bits, shift);
  const directory = directoryOf(root, gfnIndexOf(line.asId));
  const entry = changetype<Entry>(inline.always(findEntry(directory, gfn)));
  const key = entry.key;
  const npages: u64 = entry.npages;
  if (gfn - key >= npages) {
    line.misses += 1;
    return false;
  }
  const slot = changetype<Record>(entry.record);
  const start = key << shift;
  line.cacheStart = BIAS_BITS + start;
  line.cacheBytes = npages << shift;
  line.cacheOffset = <f64>(<i64>(slot.userspaceAddr - start));
  line.cacheRecord = entry.record;
  line.cacheFlags = slot.flags;
  return true;
}

/** Have the slot that maps an address in the line's cache. False if none does. The line must have `root` pinned. */
function findSlot(reader: usize, root: usize, bits: u64): bool {
  const line = changetype<Reader>(reader);
  return bits - line.cacheStart < line.cacheBytes || searchSlot(reader, root, bits);
}

function translate(reader: usize, root: usize, gpa: f64, refused: u32): f64 {
  const line = changetype<Reader>(reader);
  const bits = addressBits(gpa);
  if (bits - line.cacheStart >= line.cacheBytes) {
    if (!inline.always(searchSlot(reader, root, bits))) return HVA_BAD;
  }
  if (line.cacheFlags & refused) return HVA_RO_BAD;
  return floor<f64>(gpa) + line.cacheOffset;
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
  if (root == 0) return translateAlone(reader, gpa, KVM_MEM_READONLY);
  return inline.always(translate(reader, root, gpa, KVM_MEM_READONLY));
}

/** Host address for a read of `gpa` (bytes), or HVA_BAD. Mirrors kvm_vcpu_gfn_to_hva_prot. */
export function gpaToHvaRead(reader: usize, gpa: f64): f64 {
  const root = ownPin(reader);
  if (root == 0) return translateAlone(reader, gpa, 0);
  return inline.always(translate(reader, root, gpa, 0));
}

/** Where the byte `gpa` lies that no slot answers for; `missed` if no window does either. */
function throughWindow(reader: usize, root: usize, gpa: f64, refused: u32, missed: f64): f64 {
  const line = changetype<Reader>(reader);
  const byte = gfnOf(addressBits(gpa), 0);
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
  const line = changetype<Reader>(reader);
  const found = findSlot(reader, ownPin(reader), addressBits(gfn * <f64>(1 << line.pageShift)));
  const slot = found ? <i32>changetype<Record>(line.cacheRecord).slot : -1;
  exitSection(reader);
  return slot;
}

/**
 * The page of `gpa` was written: it goes into the vCPU's dirty ring or its slot's bitmap, if the slot keeps a log.
 * Mirrors kvm_vcpu_mark_page_dirty.
 */
export function markDirty(reader: usize, gpa: f64): void {
  openSection(reader);
  const line = changetype<Reader>(reader);
  const bits = addressBits(gpa);
  if (findSlot(reader, ownPin(reader), bits)) {
    markPageDirty(reader, line.cacheRecord, gfnOf(bits, line.pageShift));
  }
  exitSection(reader);
}
