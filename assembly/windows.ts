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
import { Header, Root, WINDOW_BYTES, WINDOW_TABLE_BYTES, Window, WindowTable } from "./layout";
import { retireWindows } from "./retired";
import { rootAt } from "./roots";

/** Window table of an address space in a layout, 0 without. */
export function windowsOf(root: usize, asId: u32): usize {
  return load<u32>(root + (asId << 2), offsetof<Root>("windows0"));
}

function setWindows(root: usize, asId: u32, table: usize): void {
  store<u32>(root + (asId << 2), <u32>table, offsetof<Root>("windows0"));
}

function stagedOf(header: usize, asId: u32): usize {
  return load<u32>(header + (asId << 2), offsetof<Header>("stagedWindows0"));
}

function setStaged(header: usize, asId: u32, table: usize): void {
  store<u32>(header + (asId << 2), <u32>table, offsetof<Header>("stagedWindows0"));
}

function bytesOf(table: usize): u32 {
  return WINDOW_TABLE_BYTES + changetype<WindowTable>(table).count * WINDOW_BYTES;
}

function windowAt(table: usize, i: u32): usize {
  return table + WINDOW_TABLE_BYTES + i * WINDOW_BYTES;
}

/** Forget what is staged for an address space. */
function dropStaged(header: usize, asId: u32): void {
  const table = stagedOf(header, asId);
  if (table == 0) return;
  setStaged(header, asId, 0);
  freeHeap(header, table);
}

/** Forget what is staged. */
export function dropStagedWindows(header: usize): void {
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) dropStaged(header, asId);
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
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    const table = stagedOf(header, asId);
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
  let differ = false;
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    const staged = stagedOf(header, asId);
    if (staged == 0) continue;
    const table = windowsOf(root, asId);
    const count: u32 = table == 0 ? 0 : changetype<WindowTable>(table).count;
    const same =
      count == changetype<WindowTable>(staged).count &&
      (count == 0 || memory.compare(staged, table, bytesOf(staged)) == 0);
    if (same) dropStaged(header, asId);
    else differ = true;
  }
  return differ;
}

/** Put what is staged for an address space into `root`, which is private. False if nothing is. */
export function replaceWindows(header: usize, root: usize, asId: u32): bool {
  const staged = stagedOf(header, asId);
  if (staged == 0) return false;
  const old = windowsOf(root, asId);
  if (old != 0) retireWindows(header, old);
  setWindows(root, asId, staged);
  return true;
}

/** The root that has the staged arrays is published: they are staged no more. */
export function unstageWindows(header: usize): void {
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) setStaged(header, asId, 0);
}

/** A part of the rebuild after a writer's death: the arrays of the root numbered `number` are alive. */
export function recoverWindows(header: usize, number: u32): void {
  const root = rootAt(header, number);
  unstageWindows(header);
  for (let asId: u32 = 0; asId < changetype<Header>(header).addressSpaces; asId++) {
    if (windowsOf(root, asId) != 0) markHeap(windowsOf(root, asId));
  }
}

/** Readers: the window that holds guest byte `gpa` in the layout of `root`, 0 if none does. */
export function findWindow(root: usize, asId: u32, gpa: u64): usize {
  const table = windowsOf(root, asId);
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
