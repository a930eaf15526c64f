/**
 * What a flat view is to the engine: memory in whole pages becomes slots, everything else windows.
 *
 *   memory ranges -> joined where they continue each other in guest and host -> whole pages  -> slots
 *                                                                            -> what is left -> host windows
 *   devices       -> joined where they continue each other                                   -> device windows
 *
 * A piece is what has been joined. Slots and windows are a function of the piece alone, so what an edit changes in a
 * mapping is what it changes in its pieces.
 *
 * Invariants
 *  - The same view gives the same mapping, whatever was mapped before.
 *  - No two slots continue each other with equal flags, but for slots of the largest size there is.
 *
 * Mirrors kvm_align_section, kvm_set_phys_mem and kvm_mem_flags (QEMU accel/kvm/kvm-all.c); QEMU makes a slot of
 * each range by itself.
 */
import type { Slot } from "../kvm/region.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX } from "../kvm/uapi.js";
import type { MmioWindow } from "../kvm/window.js";
import type { FlatView } from "./flatview.js";
import type { Layer } from "./rangepatch.js";
import { endOf, type FlatRange } from "./render.js";

/** A slot without a number. Bytes. */
export interface SlotRange {
  /** First guest address, a multiple of the page size. */
  readonly guestPhysAddr: number;
  /** Size, a multiple of the page size; 0 deletes. */
  readonly memorySize: number;
  /** Host address of the first byte, a multiple of the page size. */
  readonly userspaceAddr: number;
  /** KVM_MEM_* bits. */
  readonly flags: number;
}

export interface Mapping {
  /** Ascending by guest address. */
  readonly slots: readonly SlotRange[];
  /** Ascending by guest address. */
  readonly windows: readonly MmioWindow[];
}

export interface MappingOptions {
  readonly pageShift: number;
  readonly maxPhysAddrBits: number;
  /**
   * Make memory READONLY where a section is, not only where its region is. QEMU does not tell KVM of a
   * section's protection, so that a guest behind KVM writes what PAM protects.
   */
  readonly protectSections: boolean;
  /** End of host addresses; TASK_SIZE_MAX if not given. */
  readonly maxHost?: number;
}

/** Largest slot in pages: below KVM_MEM_MAX_NR_PAGES, and a power of two. */
const SLOT_PAGES_MAX = 2 ** 30;
const NO_SLOTS: readonly Slot[] = [];

/** Guest memory [start, end) that one block of host memory, or one device, answers for. */
export class Piece {
  readonly start: number;
  readonly end: number;
  /** Host address, or byte of the device, at `start`. */
  readonly target: number;
  /** Number of the device; undefined for host memory. */
  readonly device: number | undefined;
  /** KVM_MEM_* bits. */
  readonly flags: number;
  /** Its part-pages are the device's. */
  readonly romd: boolean;
  readonly slotless: boolean;
  /** Its slots, once it has been mapped. */
  slots: readonly Slot[] = NO_SLOTS;

  constructor(
    start: number,
    end: number,
    target: number,
    device: number | undefined,
    flags: number,
    romd: boolean,
    slotless: boolean,
  ) {
    this.start = start;
    this.end = end;
    this.target = target;
    this.device = device;
    this.flags = flags;
    this.romd = romd;
    this.slotless = slotless;
  }

  /** The same for other guest memory, which it continues to. */
  at(start: number, end: number): Piece {
    const { device, flags, romd, slotless } = this;
    return new Piece(start, end, this.target + (start - this.start), device, flags, romd, slotless);
  }

  /** Answered for in one way. */
  alike(other: Piece): boolean {
    return (
      this.device === other.device &&
      this.flags === other.flags &&
      this.target - this.start === other.target - other.start &&
      this.romd === other.romd &&
      this.slotless === other.slotless
    );
  }
}

/** Pieces of memory, or those of devices: a ROM device has one of each in the same place. */
export const PIECES: Layer<Piece, number> = {
  start: ({ start }) => start,
  end: ({ end }) => end,
  part: (piece, start, end) => piece.at(start, end),
  join(pieces) {
    const joined: Piece[] = [];
    for (const piece of pieces) {
      const last = joined.at(-1);
      if (last !== undefined && last.end === piece.start && last.alike(piece)) {
        joined[joined.length - 1] = last.at(last.start, piece.end);
      } else joined.push(piece);
    }
    return joined;
  },
  equal: (a, b) => a.start === b.start && a.end === b.end && a.alike(b),
};

/** `address`, or the first guest address that an engine has not: nothing is there, of memory as of devices. */
export function withinReach(address: bigint, limit: number): number {
  // Numbers are exact up to there.
  return Math.min(Number(address), limit);
}

/** The pieces of memory of ascending ranges, not joined. @throws RangeError as mappingOf */
export function memoryPieces(ranges: readonly FlatRange[], options: MappingOptions): Piece[] {
  const limit = 2 ** options.maxPhysAddrBits;
  const pieces: Piece[] = [];
  for (const range of ranges) {
    const { region, romd, log } = range;
    if (region.host === undefined || (region.kind === "romDevice" && !romd)) continue;
    const start = withinReach(range.start, limit);
    const end = withinReach(endOf(range), limit);
    if (start === end) continue;
    const target = hostOf(range, end - start, options);
    const refuses = region.readonly || romd || (options.protectSections && range.readonly);
    const flags = (refuses ? KVM_MEM_READONLY : 0) | (log ? KVM_MEM_LOG_DIRTY_PAGES : 0);
    pieces.push(new Piece(start, end, target, undefined, flags, romd, range.slotless === true));
  }
  return pieces;
}

/** The pieces of devices of ascending ranges, not joined. */
export function devicePieces(ranges: readonly FlatRange[], options: MappingOptions): Piece[] {
  const limit = 2 ** options.maxPhysAddrBits;
  const pieces: Piece[] = [];
  for (const range of ranges) {
    const { device } = range.region;
    if (device === undefined) continue;
    const start = withinReach(range.start, limit);
    const end = withinReach(endOf(range), limit);
    if (start < end) pieces.push(new Piece(start, end, Number(range.offset), device, 0, false, false));
  }
  return pieces;
}

/** The host address of a range of memory. @throws RangeError */
function hostOf({ region, offset }: FlatRange, bytes: number, { maxHost }: MappingOptions): number {
  const hva = region.host! + Number(offset);
  const most = maxHost ?? TASK_SIZE_MAX;
  if (hva + bytes <= most) return hva;
  const end = `0x${(hva + bytes).toString(16)}`;
  throw new RangeError(
    `"${region.name}" must end at or below 0x${most.toString(16)} in the host, not at ${end}`,
  );
}

/** The first whole page of a piece of memory; its end if it has none. */
function firstPage({ start, end, target, slotless }: Piece, pageBytes: number): number {
  const distance = start - target;
  // Rounding is several times faster than a remainder of doubles.
  if (slotless || Math.floor(distance / pageBytes) * pageBytes !== distance) return end;
  return Math.min(Math.ceil(start / pageBytes) * pageBytes, end);
}

/** The end of its last whole page. */
function lastPage({ end }: Piece, pageBytes: number): number {
  return Math.floor(end / pageBytes) * pageBytes;
}

/** Add the slots of a piece of memory. */
export function addSlots(slots: SlotRange[], piece: Piece, { pageShift }: MappingOptions): void {
  const { start, target, flags } = piece;
  const pageBytes = 1 << pageShift;
  const last = lastPage(piece, pageBytes);
  for (let at = firstPage(piece, pageBytes); at < last; at += SLOT_PAGES_MAX * pageBytes) {
    const memorySize = Math.min(last - at, SLOT_PAGES_MAX * pageBytes);
    slots.push({ guestPhysAddr: at, memorySize, userspaceAddr: target + (at - start), flags });
  }
}

/** Add the windows of a piece: a device, or the memory that is not in whole pages. */
export function addWindows(windows: MmioWindow[], piece: Piece, { pageShift }: MappingOptions): void {
  const { start, end, target, device, flags, romd } = piece;
  if (device !== undefined) {
    windows.push({ gpa: start, bytes: end - start, device, offset: target });
    return;
  }
  if (romd) return;
  const pageBytes = 1 << pageShift;
  const [first, last] = [firstPage(piece, pageBytes), lastPage(piece, pageBytes)];
  const add = (from: number, to: number): void => {
    if (from >= to) return;
    const readonly = (flags & KVM_MEM_READONLY) !== 0;
    const window = { gpa: from, bytes: to - from, hva: target + (from - start), readonly };
    windows.push((flags & KVM_MEM_LOG_DIRTY_PAGES) === 0 ? window : { ...window, log: true });
  };
  if (first < last) {
    add(start, first);
    add(last, end);
  } else add(start, end);
}

/**
 * Slots and windows of a view.
 * @throws RangeError naming a region whose host memory lies beyond what the engine can address
 */
export function mappingOf(view: FlatView, options: MappingOptions): Mapping {
  const memory = PIECES.join(memoryPieces(view.ranges, options));
  const devices = PIECES.join(devicePieces(view.ranges, options));
  const slots: SlotRange[] = [];
  for (const piece of memory) addSlots(slots, piece, options);
  return { slots, windows: windowsOf([...memory, ...devices], options) };
}

/** All windows of these pieces, ascending. */
export function windowsOf(pieces: readonly Piece[], options: MappingOptions): MmioWindow[] {
  const windows: MmioWindow[] = [];
  for (const piece of pieces) addWindows(windows, piece, options);
  return windows.sort((a, b) => a.gpa - b.gpa);
}
