/**
 * Pieces of the guest's bus: what responds to a guest byte, and the bytes around it to which the same thing responds.
 *
 *   attributes -> slot, or the window over it -> window beside the slots -> the original of a mirror
 *
 * Off the hot path: who asks keeps the piece as long as its layout is pinned. Bounds are safe, not tight: every byte
 * of a piece has the answer of the byte that was asked for, and the bytes next to it may have the same.
 *
 * Mirrors address_space_translate with its MemoryRegionSection (QEMU system/physmem.c).
 */
import { ownPin } from "./atomic";
import { findEntry } from "./directory";
import { nextGfn } from "./gfnindex";
import {
  BATCH_PLACES,
  Entry,
  PIECE_DEVICE,
  PIECE_MEMORY,
  PIECE_NO_ACCESS,
  PIECE_NONE,
  PIECE_READ_ONLY,
  Piece,
  Reader,
  Record,
  TABLE_ATTRIBUTES,
  TLB_WRITE,
  WINDOW_ASID_MASK,
  WINDOW_ASID_SHIFT,
  WINDOW_HOLE,
  WINDOW_HOST,
  WINDOW_LOGGED,
  WINDOW_MIRROR,
  WINDOW_OVER,
  WINDOW_POWER_MASK,
  WINDOW_READONLY,
  WINDOW_UNIT_SHIFT,
  WINDOW_WAYS_SHIFT,
  Window,
  WindowTable,
} from "./layout";
import { batchOf } from "./readers";
import { directoryOf, gfnIndexOf } from "./roots";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "./validate";
import { covers, lastWindow, windowAt, windowsOf } from "./windows";

/** No guest address is as large. */
const ADDRESS_END: u64 = 1 << 52;
/** Mirrors of mirrors that are followed: a mirror of itself is a hole. */
const MIRRORS_MAX: u32 = 8;

/** Place of a line's Piece: the part of the scratch area that only a batch without windows over slots uses. */
export function pieceOf(reader: usize): usize {
  return batchOf(reader) + BATCH_PLACES;
}

/**
 * What responds to byte `byte` of an address space in the layout that the line has pinned, for the kind TLB_READ,
 * TLB_WRITE or TLB_CODE: in the line's Piece, whose kind is returned.
 */
export function findPiece(reader: usize, asId: u32, byte: u64, access: u32): u32 {
  return search(reader, asId, byte, access, MIRRORS_MAX);
}

function search(reader: usize, asId: u32, byte: u64, access: u32, mirrors: u32): u32 {
  const piece = changetype<Piece>(pieceOf(reader));
  const root = ownPin(reader);
  const shift = <u64>changetype<Reader>(reader).pageShift;
  piece.start = 0;
  piece.end = ADDRESS_END;
  piece.kind = PIECE_NONE;
  piece.record = 0;
  piece.flags = 0;
  piece.asId = asId;
  if (byte >= ADDRESS_END) return PIECE_NONE;
  const attributes = narrow(piece, windowsOf(root, TABLE_ATTRIBUTES), byte);
  if (attributes != 0 && (changetype<Window>(attributes).target >> access) & 1) {
    piece.kind = PIECE_NO_ACCESS;
    return PIECE_NO_ACCESS;
  }
  const gfn = byte >> shift;
  const directory = directoryOf(root, gfnIndexOf(asId));
  const entry = changetype<Entry>(findEntry(directory, gfn));
  const table = windowsOf(root, asId);
  const npages = <u64>entry.npages;
  if (gfn - entry.key >= npages) {
    const window = narrow(piece, table, byte);
    if (window == 0) return PIECE_NONE;
    const next = nextGfn(directory, gfn);
    if (next != 0) piece.end = min(piece.end, changetype<Entry>(next).key << shift);
    const first = nextGfn(directory, piece.start >> shift);
    if (first != 0 && changetype<Entry>(first).key <= gfn) piece.start = max(piece.start, gfn << shift);
    return throughWindow(reader, piece, window, byte, access, mirrors);
  }
  const slot = changetype<Record>(entry.record);
  piece.start = max(piece.start, entry.key << shift);
  piece.end = min(piece.end, (entry.key + npages) << shift);
  piece.record = entry.record;
  piece.flags = slot.flags;
  const refused = access == TLB_WRITE && (slot.flags & KVM_MEM_READONLY) != 0;
  const window = refused || covers(root, asId) ? narrow(piece, table, byte) : 0;
  if (window != 0 && (refused || changetype<Window>(window).flags & WINDOW_OVER)) {
    return throughWindow(reader, piece, window, byte, access, mirrors);
  }
  piece.kind = refused ? PIECE_READ_ONLY : PIECE_MEMORY;
  piece.target = slot.userspaceAddr + (piece.start - (entry.key << shift));
  piece.origin = piece.start;
  return piece.kind;
}

/** What a window makes of `byte`, which lies in it; the piece has its bounds already. */
function throughWindow(reader: usize, piece: Piece, place: usize, byte: u64, access: u32, mirrors: u32): u32 {
  const window = changetype<Window>(place);
  const flags = window.flags;
  if (flags & WINDOW_HOLE) return PIECE_NONE;
  if (access == TLB_WRITE && flags & WINDOW_READONLY) {
    piece.kind = PIECE_READ_ONLY;
    return PIECE_READ_ONLY;
  }
  if (flags & WINDOW_MIRROR) {
    return mirrors == 0 ? PIECE_NONE : throughMirror(reader, piece, window, byte, access, mirrors - 1);
  }
  piece.kind = flags & WINDOW_HOST ? PIECE_MEMORY : PIECE_DEVICE;
  piece.device = window.device;
  if (flags & WINDOW_LOGGED) {
    piece.record = 0;
    piece.flags = KVM_MEM_LOG_DIRTY_PAGES;
  }
  piece.target = window.target + (piece.start - window.start);
  piece.origin = piece.start;
  return piece.kind;
}

/** The original of `byte`, as far as the mirror's period, or its unit, goes. */
function throughMirror(
  reader: usize,
  piece: Piece,
  window: Window,
  byte: u64,
  access: u32,
  mirrors: u32,
): u32 {
  const flags = window.flags;
  const unit: u64 = (<u64>1) << ((flags >> WINDOW_UNIT_SHIFT) & WINDOW_POWER_MASK);
  const ways = (flags >> WINDOW_WAYS_SHIFT) & WINDOW_POWER_MASK;
  const offset = (byte - window.start) % <u64>window.device;
  const inUnit = offset & (unit - 1);
  const original = window.target + ((offset - inUnit) << ways) + inUnit;
  const before = ways == 0 ? offset : inUnit;
  const behind = ways == 0 ? <u64>window.device - offset : min(unit - inUnit, <u64>window.device - offset);
  // Bounds in the address space of the original.
  const start = original - min(before, byte - piece.start);
  const end = original + min(behind, piece.end - byte);
  const kind = search(reader, (flags >> WINDOW_ASID_SHIFT) & WINDOW_ASID_MASK, original, access, mirrors);
  const from = max(piece.start, start);
  piece.target += from - piece.start;
  piece.origin += from - piece.start;
  piece.start = from + (byte - original);
  piece.end = min(piece.end, end) + (byte - original);
  return kind;
}

/** The window of a table that holds `byte`, 0 if none does; cut `piece` to it, or to the gap between two. */
function narrow(piece: Piece, table: usize, byte: u64): usize {
  if (table == 0 || changetype<WindowTable>(table).count == 0) return 0;
  const found = lastWindow(table, byte);
  const window = changetype<Window>(found);
  if (byte < window.start) {
    piece.end = min(piece.end, window.start);
    return 0;
  }
  if (byte < window.end) {
    piece.start = max(piece.start, window.start);
    piece.end = min(piece.end, window.end);
    return found;
  }
  piece.start = max(piece.start, window.end);
  const next = found + (windowAt(table, 1) - windowAt(table, 0));
  if (next < windowAt(table, changetype<WindowTable>(table).count)) {
    piece.end = min(piece.end, changetype<Window>(next).start);
  }
  return 0;
}

/**
 * False if a window of a table is over `byte`, which a slot maps from `start` to `end`; else the line's Piece has the
 * bytes around it that no window touches.
 */
export function uncovered(reader: usize, table: usize, start: u64, end: u64, byte: u64): bool {
  const piece = changetype<Piece>(pieceOf(reader));
  piece.start = start;
  piece.end = end;
  const window = narrow(piece, table, byte);
  return window == 0 || (changetype<Window>(window).flags & WINDOW_OVER) == 0;
}
