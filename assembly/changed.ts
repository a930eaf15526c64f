/**
 * Which guest ranges a commit changes: pages that another host page backs afterwards, or none, or with other
 * flags. Pages that a split or a merge leaves where they were are not among them.
 *
 * The ranges take the place of the list in the staging area, which has been used up by then; they may repeat
 * each other where several slots of the list met. For emulators that flush their TLB or JIT blocks by range.
 */
import { nextGfn } from "./gfnindex";
import { CHANGED_OVERFLOW, Effect, Entry, Header, REGION_BYTES, Record, Region } from "./layout";
import { asIdOf, endGfn } from "./records";
import { directoryOf, gfnIndexOf } from "./roots";
import { effectAt } from "./staging";

/**
 * Fill the staging area with the ranges that differ between the layouts `before` and `after`; both are
 * closed.
 */
export function collectChanged(header: usize, before: usize, after: usize): void {
  const engine = changetype<Header>(header);
  engine.changedCount = 0;
  const count = engine.effectCount;
  for (let i: u32 = 0; i < count; i++) {
    const effect = changetype<Effect>(effectAt(header, i));
    if (effect.oldRecord == effect.newRecord) continue;
    const asId = asIdOf(effect.oldRecord != 0 ? effect.oldRecord : effect.newRecord);
    const oldIndex = directoryOf(before, gfnIndexOf(asId));
    const newIndex = directoryOf(after, gfnIndexOf(asId));
    if (effect.oldRecord != 0) compareRange(header, asId, oldIndex, newIndex, effect.oldRecord);
    if (effect.newRecord != 0) compareRange(header, asId, oldIndex, newIndex, effect.newRecord);
  }
}

/** Compare two layouts of an address space over the frames of `record`. */
function compareRange(header: usize, asId: u32, before: usize, after: usize, record: usize): void {
  const shift = <u64>changetype<Header>(header).pageShift;
  const end = endGfn(record);
  let gfn = changetype<Record>(record).baseGfn;
  while (gfn < end) {
    const oldEntry = nextGfn(before, gfn);
    const newEntry = nextGfn(after, gfn);
    const oldRecord = covering(oldEntry, gfn);
    const newRecord = covering(newEntry, gfn);
    const next = min(pieceEnd(oldEntry, gfn, end), pieceEnd(newEntry, gfn, end));
    if (!sameMapping(oldRecord, newRecord, gfn, shift)) emit(header, asId, gfn, next);
    gfn = next;
  }
}

/** Record of `entry` if it maps `gfn`, else 0. */
function covering(entry: usize, gfn: u64): usize {
  return entry != 0 && changetype<Entry>(entry).key <= gfn ? <usize>changetype<Entry>(entry).record : 0;
}

/** Frame before `end` where the answer of `entry` for `gfn` ends. */
function pieceEnd(entry: usize, gfn: u64, end: u64): u64 {
  if (entry == 0) return end;
  const key = changetype<Entry>(entry).key;
  return min(end, key > gfn ? key : key + changetype<Entry>(entry).npages);
}

/** True if both records, or none of them, map `gfn` to the same host page with the same flags. */
function sameMapping(before: usize, after: usize, gfn: u64, shift: u64): bool {
  if (before == 0 || after == 0) return before == after;
  const a = changetype<Record>(before);
  const b = changetype<Record>(after);
  const aHost = a.userspaceAddr + ((gfn - a.baseGfn) << shift);
  const bHost = b.userspaceAddr + ((gfn - b.baseGfn) << shift);
  return a.flags == b.flags && aHost == bHost;
}

function emit(header: usize, asId: u32, start: u64, end: u64): void {
  const engine = changetype<Header>(header);
  const shift = <u64>engine.pageShift;
  const count = engine.changedCount;
  if (count == CHANGED_OVERFLOW) return;
  if (count != 0) {
    const last = changetype<Region>(<usize>engine.staging + (engine.endedCount + count - 1) * REGION_BYTES);
    if (last.slot == asId && last.guestPhysAddr + last.memorySize == start << shift) {
      last.memorySize += (end - start) << shift;
      return;
    }
  }
  if (engine.endedCount + count == engine.stagingEntries) {
    engine.changedCount = CHANGED_OVERFLOW;
    return;
  }
  const range = changetype<Region>(<usize>engine.staging + (engine.endedCount + count) * REGION_BYTES);
  range.slot = asId;
  range.flags = 0;
  range.guestPhysAddr = start << shift;
  range.memorySize = (end - start) << shift;
  range.userspaceAddr = 0;
  engine.changedCount = count + 1;
}
