/**
 * MMIO windows: what lies beside the slots, to the byte. Each address space has one sorted array, which is a
 * part of the layout like its slots: the root points to it, so the store that publishes new slots publishes
 * new windows, and a section that pins the old slots pins the old windows.
 *
 *   stage    a new array on the heap, written by the facade       stagedWindows of the header
 *   publish  it goes into the root; the array before is retired   windows of the root
 *   recycle  when no reader of the old layout is left
 *
 * Invariants
 *  - An array is never edited once its root is published.
 *  - Every array on the heap is staged, or a live root's, or retired. Its marks, which readers set, are its own.
 *
 * Mirrors the sections of a QEMU FlatView that are no RAM, and KVM's kvm_io_bus (sorted, replaced as a whole).
 */
import { markDirtyBit } from "./atomic";
import { E2BIG, EEXIST, EINVAL, ENOMEM, OK } from "./errno";
import { allocHeap, freeHeap, markHeap, sameBytes } from "./heap";
import {
  Header,
  LIST_ENTRIES_MAX,
  Root,
  STAGED_SOUND,
  TABLE_MEMFDS,
  TABLES,
  WINDOW_BYTES,
  WINDOW_LOGGED,
  WINDOW_MIRROR,
  WINDOW_OVER,
  WINDOW_TABLE_BYTES,
  Window,
  WindowTable,
} from "./layout";
import { retireWindows } from "./retired";
import { rootAt } from "./roots";

/** Pages of logged windows in one table at most. */
const MARKS_MAX: u32 = 0x7fffffff;

/** Forget what is staged. Called, as the others for all of it, if `stagedTables` tells that there is something. */
export function dropStagedWindows(header: usize): void {
  for (let index: u32 = 0; index < TABLES; index++) dropStaged(header, index);
}

/**
 * Room for the `count` windows that an address space is to have after the next commit, or for a whole table of private
 * memory (TABLE_*): the address of Window[count], or EINVAL, E2BIG beyond maxListEntries, ENOMEM. After stageList,
 * under the same lock.
 */
export function stageWindows(header: usize, index: u32, count: u32): f64 {
  const engine = changetype<Header>(header);
  if (index >= TABLES || (index >= engine.addressSpaces && index < TABLE_MEMFDS)) return EINVAL;
  if (count > (index < TABLE_MEMFDS ? engine.maxListEntries : LIST_ENTRIES_MAX)) return E2BIG;
  dropStaged(header, index);
  const table = allocHeap(header, WINDOW_TABLE_BYTES + count * WINDOW_BYTES);
  if (table == 0) return ENOMEM;
  changetype<WindowTable>(table).count = count;
  changetype<WindowTable>(table).marks = 0;
  changetype<WindowTable>(table).covers = 0;
  setStaged(header, index, table);
  return <f64>windowAt(table, 0);
}

/**
 * OK if every staged array is one that can be searched: EINVAL for an empty window or a mirror without a period, EEXIST
 * for two that meet. Those that have logged windows get marks: ENOMEM.
 */
export function checkWindows(header: usize): i32 {
  for (let index: u32 = 0; index < TABLES; index++) {
    const table = stagedOf(header, index);
    if (table == 0 || isSound(header, index)) continue;
    let end: u64 = 0;
    let marks: u64 = 0;
    let flags: u32 = 0;
    for (let i: u32 = 0; i < changetype<WindowTable>(table).count; i++) {
      const window = changetype<Window>(windowAt(table, i));
      if (window.start >= window.end) return EINVAL;
      if (window.flags & WINDOW_MIRROR && window.device == 0) return EINVAL;
      if (window.start < end) return EEXIST;
      end = window.end;
      flags |= window.flags;
      if (!(window.flags & WINDOW_LOGGED)) continue;
      if ((window.end - window.start) >> changetype<Header>(header).pageShift > MARKS_MAX) return ENOMEM;
      window.device = <u32>marks;
      marks += windowPages(window, changetype<Header>(header).pageShift);
      if (marks > MARKS_MAX) return ENOMEM;
    }
    changetype<WindowTable>(table).covers = flags & WINDOW_OVER ? 1 : 0;
    if (marks != 0 && !addMarks(header, table, <u32>marks)) return ENOMEM;
  }
  return OK;
}

/** Give a private table clean marks. False when the memory is full. */
function addMarks(header: usize, table: usize, count: u32): bool {
  const bytes = ((count + 63) >> 6) << 3;
  const marks = allocHeap(header, bytes);
  if (marks == 0) return false;
  memory.fill(marks, 0, bytes);
  const old: usize = changetype<WindowTable>(table).marks;
  if (old != 0) freeHeap(header, old);
  changetype<WindowTable>(table).marks = <u32>marks;
  return true;
}

/** Host pages that a window of host memory touches. */
export function windowPages(window: Window, shift: u32): u32 {
  const last = window.target + (window.end - window.start - 1);
  return <u32>((last >> shift) - (window.target >> shift)) + 1;
}

/** Drop staged arrays that are as those of `root`. True if one is left. */
export function windowsDiffer(header: usize, root: usize): bool {
  let differ = false;
  for (let index: u32 = 0; index < TABLES; index++) {
    const staged = stagedOf(header, index);
    if (staged == 0) continue;
    if (isSound(header, index)) {
      differ = true;
      continue;
    }
    const table = windowsOf(root, index);
    const count: u32 = table == 0 ? 0 : changetype<WindowTable>(table).count;
    const same =
      count == changetype<WindowTable>(staged).count &&
      (count == 0 || sameBytes(windowAt(staged, 0), windowAt(table, 0), count * WINDOW_BYTES));
    if (same) dropStaged(header, index);
    else differ = true;
  }
  return differ;
}

/** Forget what is staged as number `index`. */
export function dropStaged(header: usize, index: u32): void {
  const table = stagedOf(header, index);
  if (table == 0) return;
  setStaged(header, index, 0);
  freeTable(header, table);
}

/** Give a table and its marks back. */
export function freeTable(header: usize, table: usize): void {
  const marks: usize = changetype<WindowTable>(table).marks;
  if (marks != 0) freeHeap(header, marks);
  freeHeap(header, table);
}

/** Put what is staged as number `index` into `root`, which is private. False if nothing is. */
export function replaceWindows(header: usize, root: usize, index: u32): bool {
  const staged = stagedOf(header, index);
  if (staged == 0) return false;
  const old = windowsOf(root, index);
  if (old != 0) retireWindows(header, old);
  setWindows(root, index, staged);
  return true;
}

/** What is staged as number `index`, 0 without. */
export function stagedOf(header: usize, index: u32): usize {
  return load<u32>(header + (index << 2), offsetof<Header>("stagedWindows0"));
}

function setWindows(root: usize, index: u32, table: usize): void {
  store<u32>(root + (index << 2), <u32>table, offsetof<Root>("windows0"));
  if (index >= TABLE_MEMFDS) return;
  const bit: u32 = 1 << index;
  const spaces = changetype<Root>(root);
  spaces.covered = coversSlots(table) ? spaces.covered | bit : spaces.covered & ~bit;
}

/** The root that has the staged arrays is published: they are staged no more. */
export function unstageWindows(header: usize): void {
  for (let index: u32 = 0; index < TABLES; index++) setStaged(header, index, 0);
}

/** A part of the rebuild after a writer's death: the arrays of the root numbered `number` are alive. */
export function recoverWindows(header: usize, number: u32): void {
  const root = rootAt(header, number);
  for (let index: u32 = 0; index < TABLES; index++) {
    setStaged(header, index, 0);
    const table = windowsOf(root, index);
    if (table == 0) continue;
    markHeap(table);
    if (changetype<WindowTable>(table).marks != 0) markHeap(changetype<WindowTable>(table).marks);
  }
}

/** Have `table` be number `index` of the next layout. */
export function setStaged(header: usize, index: u32, table: usize): void {
  const bit = (<u32>1) << index;
  const staged = changetype<Header>(header).stagedTables;
  store<u32>(header + (index << 2), <u32>table, offsetof<Header>("stagedWindows0"));
  changetype<Header>(header).stagedTables =
    (table != 0 ? staged | bit : staged & ~bit) & ~(bit << STAGED_SOUND);
}

/** What is staged as number `index` was checked as it was made, and differs from what is published. */
export function stagedSound(header: usize, index: u32): void {
  changetype<Header>(header).stagedTables |= (<u32>1) << (index + STAGED_SOUND);
}

function isSound(header: usize, index: u32): bool {
  return (changetype<Header>(header).stagedTables & ((<u32>1) << (index + STAGED_SOUND))) != 0;
}

/** Readers: the window of table number `index` that holds `gpa` in the layout of `root`, 0 if none does. */
export function findWindow(root: usize, index: u32, gpa: u64): usize {
  const table = windowsOf(root, index);
  if (table == 0 || changetype<WindowTable>(table).count == 0) return 0;
  const window = lastWindow(table, gpa);
  const found = changetype<Window>(window);
  return gpa >= found.start && gpa < found.end ? window : 0;
}

/** The last window of a table, which is not empty, that starts at or below `gpa`; the first if none does. */
export function lastWindow(table: usize, gpa: u64): usize {
  let n = changetype<WindowTable>(table).count;
  // Loop invariant: the last window that starts at or below `gpa`, if there is one, is among [window, window + n).
  let window = windowAt(table, 0);
  while (n > 1) {
    const half = n >> 1;
    const middle = window + half * WINDOW_BYTES;
    window = select<usize>(middle, window, changetype<Window>(middle).start <= gpa);
    n -= half;
  }
  return window;
}

/**
 * The page of guest byte `gpa`, which no slot maps, was written: for consumers, if a logged window shows it. Where host
 * and guest are not aligned alike, a guest page ends in the next host page.
 */
export function markWindow(root: usize, index: u32, gpa: u64, shift: u32): void {
  const found = findWindow(root, index, gpa);
  if (found == 0) return;
  const window = changetype<Window>(found);
  if ((window.flags & WINDOW_LOGGED) == 0) return;
  const marks: usize = changetype<WindowTable>(windowsOf(root, index)).marks;
  const page = <u32>(((window.target + (gpa - window.start)) >> shift) - (window.target >> shift));
  markDirtyBit(marks, window.device + page);
  const aligned = ((window.target ^ window.start) & (((<u64>1) << shift) - 1)) == 0;
  if (!aligned && page + 1 < windowPages(window, shift)) markDirtyBit(marks, window.device + page + 1);
}

/** Mark the pages of host bytes [start, end) that logged windows of a table show: how many they are, by window. */
export function markWindows(table: usize, start: u64, end: u64, shift: u32): u32 {
  if (table == 0 || changetype<WindowTable>(table).marks == 0) return 0;
  let marked: u32 = 0;
  for (let i: u32 = 0; i < changetype<WindowTable>(table).count; i++) {
    const window = changetype<Window>(windowAt(table, i));
    if ((window.flags & WINDOW_LOGGED) == 0) continue;
    const from = max(start, window.target);
    const to = min(end, window.target + (window.end - window.start));
    if (from >= to) continue;
    // Damage: there are no marks for as many pages.
    if ((window.end - window.start) >> shift > MARKS_MAX) unreachable();
    const first = window.target >> shift;
    for (let page = from >> shift; page <= (to - 1) >> shift; page++) {
      markDirtyBit(changetype<WindowTable>(table).marks, window.device + <u32>(page - first));
      marked++;
    }
  }
  return marked;
}

/** Table number `index` of a layout, 0 without: an address space's windows, or one of TABLE_*. */
export function windowsOf(root: usize, index: u32): usize {
  return load<u32>(root + (index << 2), offsetof<Root>("windows0"));
}

export function windowAt(table: usize, i: u32): usize {
  if (!ASC_NO_ASSERT) assert(i <= changetype<WindowTable>(table).count);
  return table + WINDOW_TABLE_BYTES + i * WINDOW_BYTES;
}

/** True if windows of an address space are over its slots. */
export function covers(root: usize, asId: u32): bool {
  return ((changetype<Root>(root).covered >> asId) & 1) != 0;
}

/** True if windows of a table are over slots. */
function coversSlots(table: usize): bool {
  return table != 0 && changetype<WindowTable>(table).covers != 0;
}
