/** The state of an engine, read under the writer lock: one layout, and what is dirty at that moment. */
import {
  DIRTY_GFN_BYTES,
  DIRTY_GFN_OFFSET_OFFSET,
  DIRTY_GFN_SLOT_OFFSET,
  DIRTY_GFN_STATE_OFFSET,
  DIRTY_RING_DIRTY_INDEX_OFFSET,
  DIRTY_RING_MASK_OFFSET,
  DIRTY_RING_OVERFLOW_OFFSET,
  DIRTY_RING_RESET_INDEX_OFFSET,
  HEADER_DIRTY_RING_BITMAP_OFFSET,
  HEADER_DIRTY_RING_OFFSET,
  HEADER_MANUAL_DIRTY_LOG_OFFSET,
  HEADER_PROCESSORS_OFFSET,
  HEADER_UNLOGGED_OFFSET,
  TABLES,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { openConsumers } from "../dirty/consumers.js";
import { inSection, slotsOf } from "../read/snapshot.js";
import { tableEntries } from "../read/tables.js";
import { EngineMemory, halfBytes } from "./memory.js";
import type { EngineState, SavedRing, SavedSlot } from "./state.js";

/** The state of the engine. The lock must be held. */
export function readState(thread: Thread): EngineState {
  const { wasm, base, addressSpaces, maxSlots, maxVcpus, maxListEntries, pageShift } = thread;
  const { maxPhysAddrBits, maxUserAddrBits } = thread;
  const memory = new EngineMemory(thread);
  // From here on what sections have marked is in the logs.
  wasm.foldDirtyLogs(base);
  const asIds = Array.from({ length: addressSpaces }, (_, asId) => asId);
  const reader = thread.reader(0);
  return {
    addressSpaces,
    maxSlots,
    maxVcpus,
    maxListEntries,
    pageShift,
    maxPhysAddrBits,
    maxUserAddrBits,
    hurry: memory.header(HEADER_PROCESSORS_OFFSET) !== 0,
    publications: thread.publications(),
    generations: asIds.map((asId) => thread.generation(asId)),
    manualDirtyLog: memory.header(HEADER_MANUAL_DIRTY_LOG_OFFSET),
    dirtyRing: memory.header(HEADER_DIRTY_RING_OFFSET),
    dirtyRingBitmap: memory.header(HEADER_DIRTY_RING_BITMAP_OFFSET) !== 0,
    unlogged: memory.header(HEADER_UNLOGGED_OFFSET),
    slots: asIds.flatMap((asId) => readSlots(thread, memory, asId)),
    tables: inSection(thread, reader, () =>
      Array.from({ length: TABLES }, (_, index) => tableEntries(thread, reader, index)),
    ),
    consumers: openConsumers(thread).map(({ name, initially }) => ({
      name,
      initiallyDirty: initially === "dirty",
    })),
    extents: memory.extents().map(({ page, npages, bits }) => ({
      hva: page << BigInt(pageShift),
      npages,
      pending: bits.map((at) => memory.runs(at, npages)),
      inFlight: bits.map((at) => memory.runs(at + halfBytes(npages), npages)),
    })),
    rings: Array.from({ length: maxVcpus }, (_, vcpu) => vcpu)
      .map((vcpu) => readRing(memory, vcpu, wasm.dirtyRingOf(base, vcpu) >>> 0))
      .filter((ring) => ring !== undefined),
  };
}

function readSlots(thread: Thread, memory: EngineMemory, asId: number): SavedSlot[] {
  return slotsOf(thread, asId).map(({ slot, flags, guestPhysAddr, memorySize, userspaceAddr }) => {
    const bitmap = memory.bitmapOf(slot);
    const npages = memorySize / 2 ** thread.pageShift;
    const log = bitmap === 0 ? undefined : memory.runs(memory.logOf(bitmap), npages);
    return { slot, flags, guestPhysAddr, memorySize, userspaceAddr, log };
  });
}

/** The ring at `ring`; undefined for address 0. */
function readRing(memory: EngineMemory, vcpu: number, ring: number): SavedRing | undefined {
  if (ring === 0) return undefined;
  const resetIndex = memory.word(ring + DIRTY_RING_RESET_INDEX_OFFSET);
  const count = (memory.word(ring + DIRTY_RING_DIRTY_INDEX_OFFSET) - resetIndex) >>> 0;
  const mask = memory.word(ring + DIRTY_RING_MASK_OFFSET);
  const { gfns, hostPages } = memory.ringOf(ring);
  const entries = Array.from({ length: Math.min(count, mask + 1) }, (_, i) => {
    const at = (resetIndex + i) & mask;
    const gfn = gfns + at * DIRTY_GFN_BYTES;
    return {
      state: memory.word(gfn + DIRTY_GFN_STATE_OFFSET),
      slot: memory.word(gfn + DIRTY_GFN_SLOT_OFFSET),
      offset: memory.word(gfn + DIRTY_GFN_OFFSET_OFFSET),
      hostPage: Number(memory.u64(hostPages + at * 8)),
    };
  });
  return { vcpu, resetIndex, overflow: memory.word(ring + DIRTY_RING_OVERFLOW_OFFSET), entries };
}
