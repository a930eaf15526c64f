/** Snapshots of the map: slots and windows, each from one layout. `collect` runs any walk of the core. */
import { BATCH_REGIONS } from "../core/constants.js";
import { damaged, damageOf } from "../core/damage.js";
import {
  SLOTS_MAX,
  WINDOW_ASID_MASK,
  WINDOW_ASID_SHIFT,
  WINDOW_BYTES,
  WINDOW_DEVICE_OFFSET,
  WINDOW_END_OFFSET,
  WINDOW_FLAGS_OFFSET,
  WINDOW_HOLE,
  WINDOW_HOST,
  WINDOW_LOGGED,
  WINDOW_MIRROR,
  WINDOW_OVER,
  WINDOW_POWER_MASK,
  WINDOW_READONLY,
  WINDOW_START_OFFSET,
  WINDOW_TABLE_BYTES,
  WINDOW_TABLE_COUNT_OFFSET,
  WINDOW_TARGET_OFFSET,
  WINDOW_UNIT_SHIFT,
  WINDOW_WAYS_SHIFT,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import type { MemoryViews } from "../core/views.js";
import { toU32 } from "../kvm/arguments.js";
import { KvmError } from "../kvm/errno.js";
import { badSlot, getRegion, REGION_WORDS, type Slot } from "../kvm/region.js";
import { KVM_MEM_GUEST_MEMFD } from "../kvm/uapi.js";
import type { MmioWindow } from "../kvm/window.js";
import { bindingsOf } from "./tables.js";

/** Most pieces that a walk can have: slots of an address space, or readers. */
const PIECES_MAX = SLOTS_MAX;

/** The slot with this number, or undefined. @throws KvmError EINVAL for a bad number */
export function slotOf(thread: Thread, slot: number): Slot | undefined {
  const reader = thread.reader(0);
  const number = toU32(slot, "slot");
  return inSection(thread, reader, () => {
    const found = thread.wasm.slotByNumber(reader, number);
    if (found < 0) throw new KvmError(found, "slot", { reason: badSlot(thread, number) });
    return found > 0 ? withMemfds(thread, reader, addBatch(thread, [], 1, getRegion))[0] : undefined;
  });
}

/** All slots of an address space, ascending by guest address. */
export function slotsOf(thread: Thread, asId: number): Slot[] {
  const reader = thread.reader(asId);
  return inSection(thread, reader, () => {
    return withMemfds(
      thread,
      reader,
      collect(thread, reader, () => thread.wasm.nextSlots(reader), getRegion),
    );
  });
}

/** The slots of a layout, with descriptor and offset where there is a guest_memfd. In their section. */
function withMemfds(thread: Thread, reader: number, slots: Slot[]): Slot[] {
  if (!slots.some(({ flags }) => flags & KVM_MEM_GUEST_MEMFD)) return slots;
  const bindings = bindingsOf(thread, reader);
  return slots.map((slot) => {
    const binding = slot.flags & KVM_MEM_GUEST_MEMFD ? bindings.get(slot.slot) : undefined;
    if (binding === undefined) return slot;
    return { ...slot, guestMemfd: binding.device, guestMemfdOffset: Number(binding.target) };
  });
}

/** All MMIO windows of an address space, ascending by guest address. */
export function windowsOf(thread: Thread, asId: number): MmioWindow[] {
  const reader = thread.reader(asId);
  return inSection(thread, reader, () => {
    const table = thread.wasm.windowTable(reader) >>> 0;
    return Array.from({ length: windowCount(thread, table) }, (_, i) => readWindow(thread.views, table, i));
  });
}

/** Decodes the piece of a walk at word `at`. */
export type GetPiece<Piece> = (words: Uint32Array, at: number) => Piece;

/**
 * All pieces of a walk; `next` writes the next ones to the scratch area and returns their number, which is less than
 * BATCH_REGIONS at the end.
 */
export function collect<Piece>(
  thread: Thread,
  reader: number,
  next: () => number,
  get: GetPiece<Piece>,
): Piece[] {
  return inSection(thread, reader, () => {
    const pieces: Piece[] = [];
    thread.wasm.rewind(reader);
    for (let count = BATCH_REGIONS; count === BATCH_REGIONS; ) {
      count = next();
      addBatch(thread, pieces, count, get);
      if (pieces.length > PIECES_MAX) throw damaged("read", `a walk of more than ${PIECES_MAX} pieces`);
    }
    return pieces;
  });
}

/** One layout for all of `work`; the section ends in any case. @throws KvmError EIO for a trap of the core */
export function inSection<Result>({ wasm }: Thread, reader: number, work: () => Result): Result {
  wasm.enterSection(reader);
  try {
    return work();
  } catch (error) {
    throw damageOf(error, "read");
  } finally {
    wasm.exitSection(reader);
  }
}

/** Add `count` pieces of the scratch area to `pieces`. */
function addBatch<Piece>(
  { views, batch }: Thread,
  pieces: Piece[],
  count: number,
  get: GetPiece<Piece>,
): Piece[] {
  const words = views.words(batch + count * REGION_WORDS * 4);
  // A loop: most walks for a host address have one piece, and what an iterator costs is more than the walk.
  for (let i = 0; i < count; i++) pieces.push(get(words, batch / 4 + i * REGION_WORDS));
  return pieces;
}

/** Windows of the table at this address; address 0 is an empty table. */
function windowCount({ views, maxListEntries }: Thread, table: number): number {
  if (table === 0) return 0;
  const count = views.words(table + WINDOW_TABLE_BYTES)[(table + WINDOW_TABLE_COUNT_OFFSET) / 4];
  if (count === undefined || count > maxListEntries) throw damaged("read", `a table of ${count} windows`);
  return count;
}

function readWindow(views: MemoryViews, table: number, i: number): MmioWindow {
  const at = (table + WINDOW_TABLE_BYTES + i * WINDOW_BYTES) / 4;
  const words = views.words(at * 4 + WINDOW_BYTES);
  const u64 = (field: number) => words[at + field / 4 + 1]! * 2 ** 32 + words[at + field / 4]!;
  const gpa = u64(WINDOW_START_OFFSET);
  const bytes = u64(WINDOW_END_OFFSET) - gpa;
  const target = u64(WINDOW_TARGET_OFFSET);
  const flags = words[at + WINDOW_FLAGS_OFFSET / 4]!;
  const device = words[at + WINDOW_DEVICE_OFFSET / 4]!;
  if (flags & WINDOW_HOLE) return { gpa, bytes, hole: true };
  const over = flags & WINDOW_OVER ? { over: true } : {};
  const readonly = (flags & WINDOW_READONLY) !== 0;
  if (flags & WINDOW_HOST) {
    const log = flags & WINDOW_LOGGED ? { log: true } : {};
    return { gpa, bytes, hva: target, readonly, ...log, ...over };
  }
  if ((flags & WINDOW_MIRROR) === 0) return { gpa, bytes, device, offset: target, ...over };
  const power = (shift: number) => 2 ** ((flags >> shift) & WINDOW_POWER_MASK);
  const stripe = { unit: power(WINDOW_UNIT_SHIFT), ways: power(WINDOW_WAYS_SHIFT) };
  const asId = (flags >> WINDOW_ASID_SHIFT) & WINDOW_ASID_MASK;
  const mirror = { gpa, bytes, mirrorOf: target, period: device, asId, readonly, ...over };
  return stripe.ways === 1 ? mirror : { ...mirror, stripe };
}
