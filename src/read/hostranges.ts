/**
 * Guest memory by host address: the guest ranges that a host range backs, notifiers for host memory that goes away, and
 * dirty marks for host memory that was written without a guest address.
 */
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { callAll, checkFunction, toAddress } from "../kvm/arguments.js";
import { getRegion } from "../kvm/region.js";
import { collect, inSection, windowsOf } from "./snapshot.js";

/** Id in `GuestRange.slot` of host memory that a window shows: no slot has it. */
const WINDOW_ID = 0xffff;

/** Guest memory that a host range backs. Addresses and sizes in bytes. */
export interface GuestRange {
  /** Slot number, address space << 16 | id; the id is 0xffff for a window of host memory, which is no slot. */
  readonly slot: number;
  /** First guest address, in bytes. */
  readonly gpa: number;
  /** Size in bytes, above 0. */
  readonly bytes: number;
}

/** Called with each range of guest memory whose host memory goes away. */
export type HostNotifier = (range: GuestRange) => void;

const notifiers = new WeakMap<Thread, Set<HostNotifier>>();

/** @throws as MemslotEngine.hvaToGpas */
export function guestRangesOf(thread: Thread, start: number, end: number): GuestRange[] {
  checkHostRange(start, end);
  const { wasm } = thread;
  // One section around all address spaces, so that all ranges come from one layout.
  return inSection(thread, thread.reader(0), () => {
    const ranges: GuestRange[] = [];
    for (let asId = 0; asId < thread.addressSpaces && start < end; asId++) {
      const reader = thread.reader(asId);
      const next = () => wasm.nextHostSlots(reader, start, end);
      for (const range of collect(thread, reader, next, getGuestRange)) ranges.push(range);
      for (const range of shownRanges(thread, reader, asId, start, end)) ranges.push(range);
    }
    return ranges;
  });
}

/** The range of the region at word `at`. */
function getGuestRange(words: Uint32Array, at: number): GuestRange {
  const { slot, guestPhysAddr, memorySize } = getRegion(words, at);
  return { slot, gpa: guestPhysAddr, bytes: memorySize };
}

/** Guest memory, and the host address of its first byte. */
export interface HostMapping extends GuestRange {
  readonly hva: number;
}

/** What maps host bytes [start, end), whole, ascending by host address: slots and windows of all address spaces. */
export function hostMappings(thread: Thread, start: number, end: number): HostMapping[] {
  const { wasm } = thread;
  const found: HostMapping[] = [];
  for (let asId = 0; asId < thread.addressSpaces; asId++) {
    const reader = thread.reader(asId);
    for (const region of collect(thread, reader, () => wasm.nextHostSlots(reader, start, end), getRegion)) {
      const { slot, guestPhysAddr, memorySize, userspaceAddr } = region;
      found.push({ slot, gpa: guestPhysAddr, bytes: memorySize, hva: userspaceAddr });
    }
    for (const window of windowsOf(thread, asId)) {
      if (!("hva" in window) || window.hva >= end || window.hva + window.bytes <= start) continue;
      const { gpa, bytes, hva } = window;
      found.push({ slot: asId * 2 ** 16 + WINDOW_ID, gpa, bytes, hva });
    }
  }
  return found.sort((a, b) => a.hva - b.hva);
}

/** What windows of an address space show of the host pages that [start, end) touches. */
function shownRanges(thread: Thread, reader: number, asId: number, start: number, end: number): GuestRange[] {
  if (thread.wasm.windowTable(reader) === 0) return [];
  const pageBytes = 2 ** thread.pageShift;
  const from = Math.floor(start / pageBytes) * pageBytes;
  const to = Math.ceil(end / pageBytes) * pageBytes;
  return windowsOf(thread, asId).flatMap((window) => {
    if (!("hva" in window)) return [];
    const first = Math.max(from, window.hva);
    const bytes = Math.min(to, window.hva + window.bytes) - first;
    return bytes > 0
      ? [{ slot: asId * 2 ** 16 + WINDOW_ID, gpa: window.gpa + (first - window.hva), bytes }]
      : [];
  });
}

/**
 * Call `notify` whenever this engine instance invalidates a host range, because host memory is freed, replaced or
 * moved. For code that keeps state derived from guest memory, such as translated blocks. Mirrors struct
 * mmu_notifier_ops.
 * @returns a function that removes the notifier
 * @throws TypeError naming the argument
 */
export function addHostNotifier(engine: Engine, notify: HostNotifier): () => void {
  const thread = threadOf(engine);
  checkFunction(notify, "notify");
  const known = notifiers.get(thread) ?? new Set();
  notifiers.set(thread, known);
  // A new function, so that one notifier may be added twice.
  const added: HostNotifier = (range) => notify(range);
  known.add(added);
  return () => {
    known.delete(added);
  };
}

/**
 * Call all notifiers for the guest memory that host bytes [start, end) back: once for each alias, in whole pages, in
 * the order of `hvaToGpas`. The call is one section, so a commit of another thread returns after the last notifier.
 * A notifier may commit, invalidate, add and remove notifiers: it is called for the ranges of the layout in which the
 * call began. Mirrors kvm_mmu_notifier_invalidate_range_start.
 * @returns number of ranges
 * @throws TypeError naming the argument; the first error of a notifier, after all were called for every range
 */
export function invalidateHostRange(engine: Engine, start: number, end: number): number {
  const thread = threadOf(engine);
  checkHostRange(start, end);
  return inSection(thread, thread.reader(0), () => {
    const ranges = guestRangesOf(thread, start, end);
    const told = [...(notifiers.get(thread) ?? [])];
    callAll(ranges.flatMap((range) => told.map((notify) => () => notify(range))));
    return ranges.length;
  });
}

/**
 * Mark guest pages dirty whose host bytes [start, end) were written without a guest address: every page of a logged
 * slot or window that they back, in all address spaces, as `markDirty`. Call it after the bytes are written.
 * @returns number of guest pages
 * @throws TypeError naming the argument
 */
export function markHostRangeDirty(engine: Engine, start: number, end: number): number {
  const thread = threadOf(engine);
  checkHostRange(start, end);
  return start < end ? thread.wasm.markHostRange(thread.reader(0), start, end) : 0;
}

function checkHostRange(start: number, end: number): void {
  toAddress(start, "start");
  toAddress(end, "end");
}
