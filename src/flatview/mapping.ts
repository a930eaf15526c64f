/**
 * What a flat view is to the engine: memory in whole pages becomes slots, everything else windows.
 *
 *   memory ranges -> joined where they continue each other in guest and host -> whole pages  -> slots
 *                                                                            -> what is left -> host windows
 *   devices       -> joined where they continue each other                                   -> device windows
 *
 * Invariants
 *  - The same view gives the same mapping, whatever was mapped before.
 *  - No two slots continue each other with equal flags, but for slots of the largest size there is.
 *
 * Mirrors kvm_align_section, kvm_set_phys_mem and kvm_mem_flags (QEMU accel/kvm/kvm-all.c); QEMU makes a slot of
 * each range by itself.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX } from "../uapi.js";
import type { MmioWindow } from "../windows.js";
import type { FlatView } from "./flatview.js";
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
}

/** Largest slot in pages: below KVM_MEM_MAX_NR_PAGES, and a power of two. */
const SLOT_PAGES_MAX = 2 ** 30;

interface Piece {
  gpa: number;
  bytes: number;
  hva: number;
  flags: number;
  /** Its part-pages are the device's. */
  romd: boolean;
}

function isMemory({ region, romd }: FlatRange): boolean {
  return region.host !== undefined && (region.kind !== "romDevice" || romd);
}

function pieceOf(range: FlatRange, { maxPhysAddrBits, protectSections }: MappingOptions): Piece {
  const { region, romd, log } = range;
  const refuses = region.readonly || romd || (protectSections && range.readonly);
  const end = endOf(range);
  if (end > 1n << BigInt(maxPhysAddrBits)) {
    throw new RangeError(
      `"${region.name}" must end at or below 2^${maxPhysAddrBits} (maxPhysAddrBits), not at 0x${end.toString(16)}`,
    );
  }
  const hva = BigInt(region.host!) + range.offset;
  if (hva + range.size > BigInt(TASK_SIZE_MAX)) {
    throw new RangeError(
      `"${region.name}" must end below TASK_SIZE_MAX in the host, not at ${hva + range.size}`,
    );
  }
  const flags = (refuses ? KVM_MEM_READONLY : 0) | (log ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  return { gpa: Number(range.start), bytes: Number(range.size), hva: Number(hva), flags, romd };
}

/** Pieces that continue each other as one. */
function coalesce(pieces: readonly Piece[]): Piece[] {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    const continues =
      last !== undefined &&
      last.gpa + last.bytes === piece.gpa &&
      last.hva + last.bytes === piece.hva &&
      last.flags === piece.flags &&
      last.romd === piece.romd;
    if (continues) last.bytes += piece.bytes;
    else joined.push({ ...piece });
  }
  return joined;
}

/** Whole pages of a piece as slots, the rest as windows. */
function cut(piece: Piece, pageBytes: number, slots: SlotRange[], windows: MmioWindow[]): void {
  const { gpa, bytes, hva, flags, romd } = piece;
  const end = gpa + bytes;
  const fits = gpa % pageBytes === hva % pageBytes;
  const first = fits ? Math.ceil(gpa / pageBytes) * pageBytes : end;
  const last = Math.max(first, Math.floor(end / pageBytes) * pageBytes);
  const window = (from: number, to: number) => {
    if (from >= to || romd) return;
    const readonly = (flags & KVM_MEM_READONLY) !== 0;
    windows.push({ gpa: from, bytes: to - from, hva: hva + (from - gpa), readonly });
  };
  window(gpa, Math.min(first, end));
  for (let at = first; at < last; at += SLOT_PAGES_MAX * pageBytes) {
    const memorySize = Math.min(last - at, SLOT_PAGES_MAX * pageBytes);
    slots.push({ guestPhysAddr: at, memorySize, userspaceAddr: hva + (at - gpa), flags });
  }
  window(last, first < end ? end : last);
}

/** The devices' ranges as windows, cut at the end of what the engine can address. */
function deviceWindows(ranges: readonly FlatRange[], limit: bigint): MmioWindow[] {
  const windows: { gpa: number; bytes: number; device: number; offset: number }[] = [];
  for (const range of ranges) {
    const { device } = range.region;
    if (device === undefined || range.start >= limit) continue;
    const end = endOf(range) < limit ? endOf(range) : limit;
    const [gpa, bytes, offset] = [range.start, end - range.start, range.offset].map(Number) as [
      number,
      number,
      number,
    ];
    const last = windows.at(-1);
    const continues =
      last?.device === device && last.gpa + last.bytes === gpa && last.offset + last.bytes === offset;
    if (continues) last.bytes += bytes;
    else windows.push({ gpa, bytes, device, offset });
  }
  return windows;
}

/**
 * Slots and windows of a view.
 * @throws RangeError naming a region whose memory lies beyond what the engine can address
 */
export function mappingOf(view: FlatView, options: MappingOptions): Mapping {
  const limit = 1n << BigInt(options.maxPhysAddrBits);
  const slots: SlotRange[] = [];
  const windows = deviceWindows(view.ranges, limit);
  const mixed: MmioWindow[] = windows;
  const pieces = view.ranges.filter(isMemory).map((range) => pieceOf(range, options));
  for (const piece of coalesce(pieces)) cut(piece, 2 ** options.pageShift, slots, mixed);
  mixed.sort((a, b) => a.gpa - b.gpa);
  return { slots, windows: mixed };
}
