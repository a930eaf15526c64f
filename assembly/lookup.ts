/**
 * The hot path: guest address -> slot -> host address, for one reader line.
 *
 *   gpa -> the line's cached slot, else gfn -> radix -> separators -> 5 steps in one chunk -> record -> hva
 *
 * Inside a section every lookup answers from the pinned layout. Outside of one each lookup is a section by
 * itself. Mirrors kvm_vcpu_gfn_to_memslot, search_memslots, __gfn_to_hva_many.
 */
import { observeDirtyEpoch, ownPin } from "./atomic";
import { findEntry } from "./directory";
import { markPageDirty } from "./dirtyring";
import {
  Entry,
  PIECE_MEMORY,
  PIECE_NO_ACCESS,
  PIECE_NONE,
  PIECE_READ_ONLY,
  Piece,
  Reader,
  Record,
  Root,
  TABLE_ATTRIBUTES,
  TLB_READ,
  TLB_WRITE,
  WINDOW_HOLE,
  WINDOW_HOST,
  WINDOW_MIRROR,
  WINDOW_READONLY,
  Window,
} from "./layout";
import { findPiece, pieceOf, uncovered } from "./pieces";
import { exitSection, openSection, pinAlone, unpinAlone } from "./readers";
import { directoryOf, gfnIndexOf } from "./roots";
import { enterPage } from "./tlb";
import { KVM_MEM_READONLY } from "./validate";
import { covers, findWindow, markWindow, windowsOf } from "./windows";

/** No slot maps the page; mirrors KVM_HVA_ERR_BAD. */
export const HVA_BAD: f64 = -1;
/** A write translation in a READONLY slot; mirrors KVM_HVA_ERR_RO_BAD. */
export const HVA_RO_BAD: f64 = -2;
/** The byte is a device's; which, and where in it, is in the reader line. */
export const HVA_MMIO: f64 = -3;
/** A probe that missed may not access the page: KVM_MEMORY_ATTRIBUTE_NR, NW or NX. */
export const HVA_NO_ACCESS: f64 = -4;

/** 2^52, and its bits. */
const BIAS: f64 = 4503599627370496;
export const BIAS_BITS: u64 = 0x4330000000000000;

/**
 * Host address for a write to `gpa` (bytes), HVA_BAD, or HVA_RO_BAD in a READONLY slot. Mirrors
 * kvm_vcpu_gfn_to_hva.
 */
export function gpaToHva(reader: usize, gpa: f64): f64 {
  return inline.always(translate(reader, ownPin(reader), gpa, KVM_MEM_READONLY));
}

/** Host address for a read of `gpa` (bytes), or HVA_BAD. Mirrors kvm_vcpu_gfn_to_hva_prot. */
export function gpaToHvaRead(reader: usize, gpa: f64): f64 {
  return inline.always(translate(reader, ownPin(reader), gpa, 0));
}

/**
 * By the line's cache, or the search; outside of sections (`root` 0), and with windows over slots, by the one call at
 * the end: for each further call the compiler would keep a caller's loop on the stack, at a tenth of its time.
 */
function translate(reader: usize, root: usize, gpa: f64, refused: u32): f64 {
  if (root != 0) {
    const line = changetype<Reader>(reader);
    const bits = addressBits(gpa);
    if (bits - line.cacheStart < line.cacheBytes) return inline.always(translated(reader, gpa, refused));
    if (changetype<Root>(root).covered == 0) {
      if (!inline.always(searchSlot(reader, root, bits))) return HVA_BAD;
      return inline.always(translated(reader, gpa, refused));
    }
  }
  return translateApart(reader, root, gpa, refused);
}

/** The host address of `gpa`, which is in the line's cache. */
function translated(reader: usize, gpa: f64, refused: u32): f64 {
  const line = changetype<Reader>(reader);
  return line.cacheFlags & refused ? HVA_RO_BAD : floor<f64>(gpa) + line.cacheOffset;
}

function translateApart(reader: usize, root: usize, gpa: f64, refused: u32): f64 {
  const pinned = root != 0 ? root : inline.always(pinAlone(reader));
  // No bytes are cached if a window is over this one.
  const found = inline.always(findSlot(reader, pinned, addressBits(gpa)));
  const hva =
    found && changetype<Reader>(reader).cacheBytes != 0 ? translated(reader, gpa, refused) : HVA_BAD;
  if (root == 0) inline.always(unpinAlone(reader));
  return hva;
}

/**
 * All that the layout knows about the byte `gpa`: its host address, or HVA_MMIO with the line's `device` and
 * `deviceOffset` set, HVA_RO_BAD, HVA_BAD. Slots come before windows; a write that a READONLY slot refuses
 * goes to the window below it, as to a ROM device in QEMU. `write` not 0: for a write.
 */
export function resolve(reader: usize, gpa: f64, write: u32): f64 {
  const refused = write != 0 ? KVM_MEM_READONLY : 0;
  const root = ownPin(reader);
  if (root == 0) return resolveAlone(reader, gpa, refused);
  return inline.always(resolveIn(reader, root, gpa, refused));
}

function resolveAlone(reader: usize, gpa: f64, refused: u32): f64 {
  openSection(reader);
  const result = resolveIn(reader, ownPin(reader), gpa, refused);
  exitSection(reader);
  return result;
}

function resolveIn(reader: usize, root: usize, gpa: f64, refused: u32): f64 {
  const hva = translate(reader, root, gpa, refused);
  return hva >= 0 ? hva : throughWindow(reader, root, gpa, refused, hva);
}

/**
 * A probe of the line's TLB has missed, in a section that enterSection has begun: as resolve for one access of the
 * kind TLB_READ, TLB_WRITE or TLB_CODE, and if a slot answers, its page is entered for the kind, so that the next probe
 * hits. Before it is entered for writes, the page is marked dirty: a write that hits needs no markDirty. A page with
 * less than a page of memory in it, or with a device, is never entered.
 */
export function fillTlb(reader: usize, gpa: f64, access: u32): f64 {
  const root = ownPin(reader);
  if (root == 0) return fillAlone(reader, gpa, access);
  return inline.always(fill(reader, root, gpa, access));
}

function fillAlone(reader: usize, gpa: f64, access: u32): f64 {
  openSection(reader);
  const hva = fill(reader, ownPin(reader), gpa, access);
  exitSection(reader);
  return hva;
}

function fill(reader: usize, root: usize, gpa: f64, access: u32): f64 {
  const line = changetype<Reader>(reader);
  if (covers(root, line.asId) || windowsOf(root, TABLE_ATTRIBUTES) != 0) {
    return fillFromPiece(reader, root, gpa, access);
  }
  const refused = access == TLB_WRITE ? KVM_MEM_READONLY : 0;
  const hva = translate(reader, root, gpa, refused);
  if (hva < 0) return throughWindow(reader, root, gpa, refused, hva);
  if (line.tlb != 0 && line.seenCommit == changetype<Root>(root).commit) {
    enterPage(reader, line.cacheRecord, gfnOf(addressBits(gpa), 0), access, <i64>line.cacheOffset);
  }
  return hva;
}

/** The same where a page may have several pieces, and permissions. Only a page that is one slot's is entered. */
function fillFromPiece(reader: usize, root: usize, gpa: f64, access: u32): f64 {
  const line = changetype<Reader>(reader);
  const byte = gfnOf(addressBits(gpa), 0);
  const hva = fromPiece(reader, byte, access);
  const piece = changetype<Piece>(pieceOf(reader));
  const page = byte & ~(((<u64>1) << line.pageShift) - 1);
  if (
    hva >= 0 &&
    piece.record != 0 &&
    piece.origin == piece.start &&
    piece.asId == line.asId &&
    page >= piece.start &&
    page + ((<u64>1) << line.pageShift) <= piece.end &&
    line.tlb != 0 &&
    line.seenCommit == changetype<Root>(root).commit
  ) {
    enterPage(reader, piece.record, byte, access, <i64>(piece.target - piece.start));
  }
  return hva;
}

/** The answer of resolve for a byte, out of its piece. */
function fromPiece(reader: usize, byte: u64, access: u32): f64 {
  const line = changetype<Reader>(reader);
  const kind = findPiece(reader, line.asId, byte, access);
  const piece = changetype<Piece>(pieceOf(reader));
  const target = piece.target + (byte - piece.start);
  if (kind == PIECE_MEMORY) return <f64>target;
  if (kind == PIECE_READ_ONLY) return HVA_RO_BAD;
  if (kind == PIECE_NO_ACCESS) return HVA_NO_ACCESS;
  if (kind == PIECE_NONE) return HVA_BAD;
  line.device = piece.device;
  line.deviceOffset = target;
  return HVA_MMIO;
}

/**
 * What responds to guest byte `gpa` of an address space for the kind TLB_READ, TLB_WRITE or TLB_CODE, and to the bytes
 * around it: address of the line's Piece, which is valid until the next call for the line. In a section.
 */
export function pieceAt(reader: usize, asId: u32, gpa: f64, access: u32): usize {
  findPiece(reader, asId, gfnOf(addressBits(gpa), 0), access);
  return pieceOf(reader);
}

/** Where the byte `gpa` lies that no slot answers for; `missed` if no window does either. */
function throughWindow(reader: usize, root: usize, gpa: f64, refused: u32, missed: f64): f64 {
  const line = changetype<Reader>(reader);
  const byte = gfnOf(addressBits(gpa), 0);
  const found = findWindow(root, line.asId, byte);
  if (found == 0) return missed;
  const window = changetype<Window>(found);
  if (window.flags & (WINDOW_MIRROR | WINDOW_HOLE)) {
    return fromPiece(reader, byte, refused != 0 ? TLB_WRITE : TLB_READ);
  }
  const target = window.target + (byte - window.start);
  if (window.flags & WINDOW_HOST) return window.flags & WINDOW_READONLY & refused ? HVA_RO_BAD : <f64>target;
  line.device = window.device;
  line.deviceOffset = target;
  return HVA_MMIO;
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
 * The page of `gpa` was written: it goes into the vCPU's dirty ring or its slot's bitmap, if the slot keeps a log;
 * where no slot is, to the marks of a logged window. Mirrors kvm_vcpu_mark_page_dirty.
 */
export function markDirty(reader: usize, gpa: f64): void {
  const root = ownPin(reader);
  if (root == 0) markAlone(reader, gpa);
  else inline.always(mark(reader, root, gpa));
}

function markAlone(reader: usize, gpa: f64): void {
  openSection(reader);
  mark(reader, ownPin(reader), gpa);
  exitSection(reader);
}

function mark(reader: usize, root: usize, gpa: f64): void {
  const line = changetype<Reader>(reader);
  const bits = addressBits(gpa);
  if (findSlot(reader, root, bits)) {
    markPageDirty(reader, line.cacheRecord, gfnOf(bits, line.pageShift));
    // A window is over the byte.
    if (line.cacheBytes == 0) markWindow(root, line.asId, gfnOf(bits, 0), line.pageShift);
  } else if (windowsOf(root, line.asId) != 0) {
    markOriginal(reader, gfnOf(bits, 0));
  }
}

/** The same for a byte of a window: the page of a mirror's original was written, or one that a logged window shows. */
function markOriginal(reader: usize, byte: u64): void {
  const line = changetype<Reader>(reader);
  if (findPiece(reader, line.asId, byte, TLB_WRITE) != PIECE_MEMORY) return;
  const piece = changetype<Piece>(pieceOf(reader));
  const original = piece.origin + (byte - piece.start);
  if (piece.record != 0) markPageDirty(reader, piece.record, original >> line.pageShift);
  else markWindow(ownPin(reader), piece.asId, original, line.pageShift);
}

/**
 * Number that advances when dirty pages are taken, by whatever takes them: for a caller that marks a page once, ahead
 * of its writes, and keeps that it has. Ask by keepMarks before the first mark. Ask again before exitSection and
 * refreshSection, and before one of the pages is forgotten, as when another takes its entry: if it is another number,
 * mark all those pages again with markDirty, in the section as it is, and forget them. Between sections nothing is to
 * be done. The answer comes behind all writes of the calling thread.
 */
export function dirtyEpochOf(reader: usize): u32 {
  return observeDirtyEpoch(changetype<Reader>(reader).header, reader);
}

/**
 * The same before the first mark. From now on a reaper knows that the line's thread keeps marks: if that dies in a
 * section after the number has moved, all pages with a log are marked, because it cannot mark its own again.
 */
export function keepMarks(reader: usize): u32 {
  const epoch = dirtyEpochOf(reader);
  // 0 would be "keeps none"; of another epoch it is never taken for this one's.
  changetype<Reader>(reader).keepsMarks = max(epoch + 1, 1);
  return epoch;
}

/**
 * The whole part of a guest address, plus BIAS_BITS: at 2^52 the mantissa of a double counts ones, so that an add
 * converts it, in a third of the instructions of a saturating conversion. What is no address (negative, 2^52 and
 * above, NaN) is 2^52 or more once the bias is off, as u64, and no slot is there.
 */
export function addressBits(gpa: f64): u64 {
  return reinterpret<u64>(floor<f64>(gpa) + BIAS);
}

/** Have the slot that maps an address in the line's cache. False if none does. The line must have `root` pinned. */
function findSlot(reader: usize, root: usize, bits: u64): bool {
  const line = changetype<Reader>(reader);
  if (bits - line.cacheStart < line.cacheBytes) return true;
  if (!searchSlot(reader, root, bits)) return false;
  if (changetype<Root>(root).covered != 0) cacheUncovered(reader, root, bits);
  return true;
}

/**
 * Search the layout of `root` for the slot that maps an address, and cache it in the line, windows over it or not.
 * False if none does.
 */
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

/** Leave in the line's cache what no window covers around an address; nothing if one covers the address. */
function cacheUncovered(reader: usize, root: usize, bits: u64): void {
  const line = changetype<Reader>(reader);
  if (!covers(root, line.asId)) return;
  const start = line.cacheStart - BIAS_BITS;
  const piece = changetype<Piece>(pieceOf(reader));
  const free = uncovered(
    reader,
    windowsOf(root, line.asId),
    start,
    start + line.cacheBytes,
    bits - BIAS_BITS,
  );
  line.cacheStart = BIAS_BITS + piece.start;
  line.cacheBytes = free ? piece.end - piece.start : 0;
}

/** Frame of a guest address. */
export function gfnOf(bits: u64, shift: u32): u64 {
  return (bits - BIAS_BITS) >> shift;
}
