/**
 * Edits of the windows of an address space: some come, some go, and nobody states the others. What stays is copied in
 * whole stretches and not looked at, as it was checked when it was published.
 *
 * Invariants
 *  - The staging area holds the edits, ascending by `start`, the one that removes a window before one that adds there.
 *  - A staged table that comes from here is sound, and differs from the published one, unless it has logged windows.
 */
import { E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM, OK } from "./errno";
import { allocHeap, freeHeap } from "./heap";
import {
  Header,
  WINDOW_BYTES,
  WINDOW_LOGGED,
  WINDOW_MIRROR,
  WINDOW_OVER,
  WINDOW_REMOVE,
  WINDOW_TABLE_BYTES,
  Window,
  WindowTable,
} from "./layout";
import { rootAt } from "./roots";
import { dropStaged, lastWindow, setStaged, stagedSound, windowAt, windowsOf } from "./windows";

/**
 * Stage the windows of an address space with the `count` edits of the staging area: OK, EINVAL for edits that are not
 * ascending or a bad window, ENOENT for the removal of a window that is not there, EEXIST for two that meet, E2BIG
 * beyond maxListEntries, ENOMEM. After stageList, under the same lock.
 */
export function editWindows(header: usize, asId: u32, count: u32): i32 {
  const engine = changetype<Header>(header);
  if (asId >= engine.addressSpaces) return EINVAL;
  const old = windowsOf(rootAt(header, engine.activeRoot), asId);
  const known: u32 = old == 0 ? 0 : changetype<WindowTable>(old).count;
  const room = known + count;
  dropStaged(header, asId);
  const table = allocHeap(header, WINDOW_TABLE_BYTES + room * WINDOW_BYTES);
  if (table == 0) return ENOMEM;
  const result = merge(old, known, table, <usize>engine.staging, count);
  const left = changetype<WindowTable>(table).count;
  if (result == OK && left <= engine.maxListEntries) {
    setStaged(header, asId, table);
    // Logged windows need marks, which the check of a whole table gives.
    if (!hasLogged(old, <usize>engine.staging, count)) stagedSound(header, asId);
    return OK;
  }
  freeHeap(header, table);
  if (result == OK) return E2BIG;
  return result == NOTHING ? OK : result;
}

/** True if a window of a table, or of the edits, is logged. */
function hasLogged(old: usize, edits: usize, count: u32): bool {
  if (old != 0 && changetype<WindowTable>(old).marks != 0) return true;
  for (let i: u32 = 0; i < count; i++) {
    if (changetype<Window>(edits + i * WINDOW_BYTES).flags & WINDOW_LOGGED) return true;
  }
  return false;
}

/** Result of a merge that leaves all windows as they are. */
const NOTHING: i32 = 1;

function merge(old: usize, known: u32, table: usize, edits: usize, count: u32): i32 {
  const merged = changetype<WindowTable>(table);
  merged.count = 0;
  merged.marks = 0;
  merged.covers = old == 0 ? 0 : changetype<WindowTable>(old).covers;
  let next: u32 = 0;
  let removed: usize = 0;
  let differs = false;
  let start: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at = edits + i * WINDOW_BYTES;
    const edit = changetype<Window>(at);
    if (edit.start < start) return EINVAL;
    start = edit.start;
    const copied = copyBelow(old, next, known, table, start);
    if (copied < 0) return EEXIST;
    next += copied;
    const place = next < known ? windowAt(old, next) : 0;
    if (edit.flags & WINDOW_REMOVE) {
      if (place == 0 || changetype<Window>(place).start != start) return ENOENT;
      if (removed != 0) differs = true;
      removed = place;
      next++;
      continue;
    }
    if (edit.start >= edit.end || (edit.flags & WINDOW_MIRROR && edit.device == 0)) return EINVAL;
    if (endOf(table) > start) return EEXIST;
    if (removed == 0 || memory.compare(removed, at, WINDOW_BYTES) != 0) differs = true;
    removed = 0;
    if (edit.flags & WINDOW_OVER) merged.covers = 1;
    memory.copy(windowAt(table, merged.count), at, WINDOW_BYTES);
    merged.count += 1;
  }
  if (removed != 0) differs = true;
  if (copyBelow(old, next, known, table, u64.MAX_VALUE) < 0) return EEXIST;
  return differs ? OK : NOTHING;
}

/** Where the last window of a table ends. */
function endOf(table: usize): u64 {
  const count = changetype<WindowTable>(table).count;
  return count == 0 ? 0 : changetype<Window>(windowAt(table, count - 1)).end;
}

/** Copy the windows from number `next` on that start below `start`: their number, or EEXIST. */
function copyBelow(old: usize, next: u32, known: u32, table: usize, start: u64): i32 {
  if (next == known) return 0;
  const last = lastWindow(old, start - 1);
  const end =
    changetype<Window>(last).start < start ? <u32>((last - windowAt(old, 0)) / WINDOW_BYTES) + 1 : 0;
  if (end <= next) return 0;
  if (changetype<Window>(windowAt(old, next)).start < endOf(table)) return EEXIST;
  const merged = changetype<WindowTable>(table);
  memory.copy(windowAt(table, merged.count), windowAt(old, next), (end - next) * WINDOW_BYTES);
  merged.count += end - next;
  return <i32>(end - next);
}
