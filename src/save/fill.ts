/**
 * A state put into an engine that was just created, and that nobody else knows yet. Slots and windows come by commits,
 * with KVM's checks; what no call sets (generations, dirty pages, rings) is written into the engine's memory.
 */
import type { EngineExports } from "../core/exports.js";
import {
  BITMAP_HEAD_BIRTH_OFFSET,
  BITMAP_HEAD_BYTES,
  DIRTY_GFN_BYTES,
  DIRTY_GFN_OFFSET_OFFSET,
  DIRTY_GFN_SLOT_OFFSET,
  DIRTY_GFN_STATE_OFFSET,
  DIRTY_RING_DIRTY_INDEX_OFFSET,
  DIRTY_RING_MASK_OFFSET,
  DIRTY_RING_NEVER,
  DIRTY_RING_OVERFLOW_OFFSET,
  DIRTY_RING_RESET_INDEX_OFFSET,
  HEADER_STAGING_OFFSET,
  HEADER_UNLOGGED_OFFSET,
  ROOT_COMMIT_OFFSET,
  ROOT_GENERATION0_OFFSET,
  TABLE_BINDINGS,
  TABLE_MEMFDS,
  WINDOW_BYTES,
  WINDOW_DEVICE_OFFSET,
  WINDOW_END_OFFSET,
  WINDOW_FLAGS_OFFSET,
  WINDOW_HOST,
  WINDOW_LOGGED,
  WINDOW_START_OFFSET,
  WINDOW_TARGET_OFFSET,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { KvmError } from "../kvm/errno.js";
import { KVM_MEM_GUEST_MEMFD } from "../kvm/uapi.js";
import type { TableEntry } from "../read/tables.js";
import { TIMEOUT_MS } from "../write/commitoptions.js";
import { DEFAULTS, setList, setRegion2 } from "../write/list.js";
import { locked } from "../write/lock.js";
import { commit } from "../write/writer.js";
import { EngineMemory, halfBytes } from "./memory.js";
import type { EngineState, SavedRing } from "./state.js";

const OP = "restoreEngine";
const NO_WORDS = /* @__PURE__ */ new Uint32Array(0);
/** Bytes of a file while its slots are bound: as large as can be. */
const MEMFD_BYTES_MAX = 2n ** 53n;

/** Put a state into a new engine. @throws KvmError or Error for a state that no engine has */
export function fillEngine(thread: Thread, state: EngineState): void {
  const memory = new EngineMemory(thread);
  // Consumers are from before the rings then, and so are the bitmaps.
  const ringsLast = !state.dirtyRingBitmap && state.consumers.length > 0;
  if (!ringsLast) enableRings(thread, state);
  openConsumers(thread, state);
  makeSlots(thread, state);
  setTables(thread, state.tables);
  if (ringsLast) enableRings(thread, state);
  setLogs(thread, memory, state);
  for (const ring of fillRings(thread, state)) setRing(memory, ring.at, ring.saved);
  call(thread, (wasm, base) => wasm.setManualDirtyLog(base, state.manualDirtyLog));
  memory.setHeader(HEADER_UNLOGGED_OFFSET, state.unlogged);
  setNumbers(thread, memory, state);
}

function call(thread: Thread, work: (wasm: EngineExports, base: number) => number): number {
  const result = locked(thread, OP, TIMEOUT_MS, work);
  if (result < 0) throw new KvmError(result, OP);
  return result;
}

function enableRings(thread: Thread, { dirtyRing, dirtyRingBitmap }: EngineState): void {
  if (dirtyRing <= DIRTY_RING_NEVER) return;
  call(thread, (wasm, base) => wasm.enableDirtyRing(base, dirtyRing));
  if (dirtyRingBitmap) call(thread, (wasm, base) => wasm.enableRingBitmap(base));
}

/** Consumers, and the host pages that they know: those of windows that show them for a moment. */
function openConsumers(thread: Thread, { consumers, extents, maxListEntries, pageShift }: EngineState): void {
  for (const { name, initiallyDirty } of consumers) {
    const bytes = new TextEncoder().encode(name);
    call(thread, (wasm, base) => {
      const staging = thread.header(HEADER_STAGING_OFFSET);
      thread.views.bytes(staging + bytes.length).set(bytes, staging);
      return wasm.openConsumer(base, bytes.length, initiallyDirty ? 1 : 0);
    });
  }
  for (let first = 0; first < extents.length; first += maxListEntries) {
    let end = 0n;
    const windows = extents.slice(first, first + maxListEntries).map(({ hva, npages }) => {
      const start = end;
      end += BigInt(npages) << BigInt(pageShift);
      return { start, end, target: hva, device: 0, flags: WINDOW_HOST | WINDOW_LOGGED };
    });
    setTables(thread, [windows]);
  }
}

function makeSlots(thread: Thread, { slots, tables, maxListEntries }: EngineState): void {
  const bindings = tables[TABLE_BINDINGS] ?? [];
  // Files that are closed by now were open when their slots were bound.
  const bound = [...new Set(bindings.map(({ device }) => device))].sort((a, b) => a - b);
  const open = bound.map((device) => ({
    start: BigInt(device),
    end: BigInt(device) + 1n,
    target: MEMFD_BYTES_MAX,
    device,
    flags: 0,
  }));
  const staged: (readonly TableEntry[])[] = [];
  staged[TABLE_MEMFDS] = open;
  if (open.length > 0) setTables(thread, staged);
  const plain = slots.filter(({ flags }) => (flags & KVM_MEM_GUEST_MEMFD) === 0);
  for (let first = 0; first < plain.length; first += maxListEntries) {
    setList(thread, plain.slice(first, first + maxListEntries), undefined);
  }
  for (const slot of slots) {
    if ((slot.flags & KVM_MEM_GUEST_MEMFD) === 0) continue;
    const binding = bindings.find(({ start }) => start === BigInt(slot.slot));
    if (binding === undefined) throw new Error(`slot ${slot.slot} has no file`);
    setRegion2(thread, { ...slot, guestMemfd: binding.device, guestMemfdOffset: binding.target });
  }
}

/** One commit that puts whole tables; those that are not given stay. */
function setTables(thread: Thread, tables: readonly (readonly TableEntry[] | undefined)[]): void {
  const stage = ({ wasm }: Thread) => {
    tables.forEach((table, index) => {
      if (table === undefined) return;
      const at = wasm.stageWindows(thread.base, index, table.length);
      // Of an address space that the engine has not, there is nothing.
      if (at < 0 && table.length > 0) throw new KvmError(at, OP, { reason: `${table.length} windows` });
      if (at >= 0) writeTable(thread, at, table);
    });
  };
  const request = { op: OP, words: NO_WORDS, count: 0, asList: false, version2: false, windows: [], stage };
  commit(thread, request, DEFAULTS);
}

function writeTable(thread: Thread, at: number, table: readonly TableEntry[]): void {
  const memory = new EngineMemory(thread);
  table.forEach(({ start, end, target, device, flags }, i) => {
    const window = at + i * WINDOW_BYTES;
    memory.setU64(window + WINDOW_START_OFFSET, start);
    memory.setU64(window + WINDOW_END_OFFSET, end);
    memory.setU64(window + WINDOW_TARGET_OFFSET, target);
    memory.setWord(window + WINDOW_DEVICE_OFFSET, device);
    memory.setWord(window + WINDOW_FLAGS_OFFSET, flags);
  });
}

function setLogs(thread: Thread, memory: EngineMemory, { slots, extents, publications }: EngineState): void {
  for (const { slot, memorySize, log } of slots) {
    const bitmap = memory.bitmapOf(slot);
    if (bitmap === 0) continue;
    // Later commits carry into bitmaps that begin with them, and into no other.
    memory.setU64(bitmap - BITMAP_HEAD_BYTES + BITMAP_HEAD_BIRTH_OFFSET, BigInt(publications));
    memory.setRuns(memory.logOf(bitmap), memorySize / 2 ** thread.pageShift, log ?? []);
  }
  const places = new Map(memory.extents().map((extent) => [extent.page << BigInt(thread.pageShift), extent]));
  for (const { hva, npages, pending, inFlight } of extents) {
    const place = places.get(hva);
    if (place?.npages !== npages)
      throw new Error(`its host pages from 0x${hva.toString(16)} on are two extents`);
    place.bits.forEach((at, consumer) => {
      memory.setRuns(at, npages, pending[consumer]!);
      memory.setRuns(at + halfBytes(npages), npages, inFlight[consumer]!);
    });
  }
}

/** Rings for the vCPUs that had one; or the decision that there are none. @returns the rings, and their addresses */
function fillRings(thread: Thread, { dirtyRing, rings }: EngineState): { at: number; saved: SavedRing }[] {
  if (dirtyRing === 0) return [];
  const { wasm, base, owner, maxVcpus } = thread;
  const lines = Array.from({ length: maxVcpus }, () => wasm.claimVcpu(base, owner, 0) >>> 0);
  const made = rings.map((saved) => {
    const line = lines[saved.vcpu];
    if (line === undefined) throw new Error(`vCPU ${saved.vcpu} has a ring`);
    call(thread, () => wasm.attachDirtyRing(line));
    return { at: call(thread, () => wasm.dirtyRingOf(base, saved.vcpu)) >>> 0, saved };
  });
  for (const line of lines) wasm.releaseReader(line);
  return made.filter(({ at }) => at !== 0);
}

function setRing(memory: EngineMemory, ring: number, { resetIndex, overflow, entries }: SavedRing): void {
  const mask = memory.word(ring + DIRTY_RING_MASK_OFFSET);
  if (entries.length > mask + 1) throw new Error(`a ring has ${entries.length} entries`);
  const { gfns, hostPages } = memory.ringOf(ring);
  entries.forEach(({ state, slot, offset, hostPage }, i) => {
    const at = (resetIndex + i) & mask;
    const gfn = gfns + at * DIRTY_GFN_BYTES;
    memory.setWord(gfn + DIRTY_GFN_SLOT_OFFSET, slot);
    memory.setWord(gfn + DIRTY_GFN_OFFSET_OFFSET, offset);
    memory.setU64(hostPages + at * 8, BigInt(hostPage));
    memory.setWord(gfn + DIRTY_GFN_STATE_OFFSET, state);
  });
  memory.setWord(ring + DIRTY_RING_OVERFLOW_OFFSET, overflow);
  memory.setWord(ring + DIRTY_RING_RESET_INDEX_OFFSET, resetIndex);
  memory.setWord(ring + DIRTY_RING_DIRTY_INDEX_OFFSET, resetIndex + entries.length);
}

function setNumbers(thread: Thread, memory: EngineMemory, { publications, generations }: EngineState): void {
  memory.setU64(memory.root + ROOT_COMMIT_OFFSET, BigInt(publications));
  for (let asId = 0; asId < thread.addressSpaces; asId++) {
    memory.setU64(memory.root + ROOT_GENERATION0_OFFSET + asId * 8, BigInt(generations[asId] ?? asId));
  }
}
