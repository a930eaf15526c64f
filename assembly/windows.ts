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
 *  - Every array on the heap is staged, or a live root's, or retired.
 *
 * Mirrors the sections of a QEMU FlatView that are no RAM, and KVM's kvm_io_bus (sorted, replaced as a whole).
 */
import { E2BIG, EEXIST, EINVAL, ENOMEM, OK } from "./errno";
import { allocHeap, freeHeap, markHeap } from "./heap";
import { Header, Root, TABLES, WINDOW_BYTES, WINDOW_TABLE_BYTES, Window, WindowTable } from "./layout";
import { retireWindows } from "./retired";
import { rootAt } from "./roots";

/** Table number `index` of a layout, 0 without: an address space's windows, or one of TABLE_*. */
export function windowsOf(root: usize, index: u32): usize {
  return load<u32>(root + (index << 2), offsetof<Root>("windows0"));
}

function setWindows(root: usize, index: u32, table: usize): void {
  store<u32>(root + (index << 2), <u32>table, offsetof<Root>("windows0"));
}

function stagedOf(header: usize, index: u32): usize {
  return load<u32>(header + (index << 2), offsetof<Header>("stagedWindows0"));
}

/** Have `table` be number `index` of the next layout. */
export function setStaged(header: usize, index: u32, table: usize): void {
  const bit = (<u32>1) << index;
  const staged = changetype<Header>(header).stagedTables;
  store<u32>(header + (index << 2), <u32>table, offsetof<Header>("stagedWindows0"));
  changetype<Header>(header).stagedTables = table != 0 ? staged | bit : staged & ~bit;
}

function bytesOf(table: usize): u32 {
  return WINDOW_TABLE_BYTES + changetype<WindowTable>(table).count * WINDOW_BYTES;
}

export function windowAt(table: usize, i: u32): usize {
  return table + WINDOW_TABLE_BYTES + i * WINDOW_BYTES;
}

/** Forget what is staged as number `index`. */
export function dropStaged(header: usize, index: u32): void {
  const table = stagedOf(header, index);
  if (table == 0) return;
  setStaged(header, index, 0);
  freeHeap(header, table);
}

/** Forget what is staged. */
export function dropStagedWindows(header: usize): void {
  if (changetype<Header>(header).stagedTables == 0) return;
  for (let index: u32 = 0; index < TABLES; index++) dropStaged(header, index);
}

/**
 * Room for the `count` windows that an address space is to have after the next commit: the address of
 * Window[count], or EINVAL, E2BIG beyond maxListEntries, ENOMEM. After stageList, under the same lock.
 */
export function stageWindows(header: usize, asId: u32, count: u32): f64 {
  const engine = changetype<Header>(header);
  if (asId >= engine.addressSpaces) return EINVAL;
  if (count > engine.maxListEntries) return E2BIG;
  dropStaged(header, asId);
  const table = allocHeap(header, WINDOW_TABLE_BYTES + count * WINDOW_BYTES);
  if (table == 0) return ENOMEM;
  changetype<WindowTable>(table).count = count;
  changetype<WindowTable>(table).reserved0 = 0;
  setStaged(header, asId, table);
  return <f64>windowAt(table, 0);
}

/** OK if every staged array is one that can be searched: EINVAL for an empty window, EEXIST for two that meet. */
export function checkWindows(header: usize): i32 {
  if (changetype<Header>(header).stagedTables == 0) return OK;
  for (let index: u32 = 0; index < TABLES; index++) {
    const table = stagedOf(header, index);
    if (table == 0) continue;
    let end: u64 = 0;
    for (let i: u32 = 0; i < changetype<WindowTable>(table).count; i++) {
      const window = changetype<Window>(windowAt(table, i));
      if (window.start >= window.end) return EINVAL;
      if (window.start < end) return EEXIST;
      end = window.end;
    }
  }
  return OK;
}

/** Drop staged arrays that are as those of `root`. True if one is left. */
export function windowsDiffer(header: usize, root: usize): bool {
  if (changetype<Header>(header).stagedTables == 0) return false;
  let differ = false;
  for (let index: u32 = 0; index < TABLES; index++) {
    const staged = stagedOf(header, index);
    if (staged == 0) continue;
    const table = windowsOf(root, index);
    const count: u32 = table == 0 ? 0 : changetype<WindowTable>(table).count;
    const same =
      count == changetype<WindowTable>(staged).count &&
      (count == 0 || memory.compare(staged, table, bytesOf(staged)) == 0);
    if (same) dropStaged(header, index);
    else differ = true;
  }
  return differ;
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

/** The root that has the staged arrays is published: they are staged no more. */
export function unstageWindows(header: usize): void {
  if (changetype<Header>(header).stagedTables == 0) return;
  for (let index: u32 = 0; index < TABLES; index++) setStaged(header, index, 0);
}

/** A part of the rebuild after a writer's death: the arrays of the root numbered `number` are alive. */
export function recoverWindows(header: usize, number: u32): void {
  const root = rootAt(header, number);
  for (let index: u32 = 0; index < TABLES; index++) {
    setStaged(header, index, 0);
    if (windowsOf(root, index) != 0) markHeap(windowsOf(root, index));
  }
}

/** Readers: the window of table number `index` that holds `gpa` in the layout of `root`, 0 if none does. */
export function findWindow(root: usize, index: u32, gpa: u64): usize {
  const table = windowsOf(root, index);
  if (table == 0) return 0;
  let n = changetype<WindowTable>(table).count;
  if (n == 0) return 0;
  // Loop invariant: the last window that starts at or below `gpa`, if there is one, is among [window, window + n).
  let window = windowAt(table, 0);
  while (n > 1) {
    const half = n >> 1;
    const middle = window + half * WINDOW_BYTES;
    window = select<usize>(middle, window, changetype<Window>(middle).start <= gpa);
    n -= half;
  }
  const found = changetype<Window>(window);
  return gpa >= found.start && gpa < found.end ? window : 0;
}
