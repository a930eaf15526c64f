/** Marks of all pages that host memory backs, in the layout that a line has pinned. */
import { dirtyEpochNow, ownPin } from "./atomic";
import { markPageDirty, repairPush } from "./dirtyring";
import { nextHva } from "./hvaindex";
import { Entry, Header, NO_RING, Reader, Record } from "./layout";
import { directoryOf, hvaIndexOf } from "./roots";
import { KVM_MEM_LOG_DIRTY_PAGES } from "./validate";
import { markWindows, windowsOf } from "./windows";

/**
 * The thread of the line is dead. If it was in a section, and marks were taken since it keeps some, it would have set
 * those again at the section's end. Nobody knows which: every page of every logged slot and window may be written.
 */
export function settleKeptMarks(reader: usize): void {
  const line = changetype<Reader>(reader);
  if (line.keepsMarks == 0 || ownPin(reader) == 0) return;
  if (line.keepsMarks == dirtyEpochNow(line.header) + 1) return;
  // It may have died in a push.
  if (line.ring > NO_RING) repairPush(line.ring);
  markHostPages(reader, 0, u64.MAX_VALUE >> 1);
}

/**
 * Mark every page of a logged slot or window that host bytes [start, end) back, in all address spaces of the layout
 * that the line has pinned. Returns their number.
 */
export function markHostPages(reader: usize, start: u64, end: u64): u64 {
  const line = changetype<Reader>(reader);
  const root = ownPin(reader);
  const shift = <u64>line.pageShift;
  const endPage = (end + (((<u64>1) << shift) - 1)) >> shift;
  let marked: u64 = 0;
  for (let asId: u32 = 0; asId < changetype<Header>(line.header).addressSpaces; asId++) {
    marked += markIndex(reader, directoryOf(root, hvaIndexOf(asId)), start >> shift, endPage);
    marked += markWindows(windowsOf(root, asId), start, end, <u32>shift);
  }
  return marked;
}

/** Mark those pages of one index that meet the host pages [start, end) and whose slot keeps a log: their number. */
function markIndex(reader: usize, directory: usize, start: u64, end: u64): u64 {
  const shift = <u64>changetype<Reader>(reader).pageShift;
  let marked: u64 = 0;
  let key: u64 = 0;
  for (
    let entry = nextHva(directory, key, start, end);
    entry != 0;
    entry = nextHva(directory, key, start, end)
  ) {
    key = changetype<Entry>(entry).key + 1;
    const record: usize = changetype<Entry>(entry).record;
    const slot = changetype<Record>(record);
    if (!(slot.flags & KVM_MEM_LOG_DIRTY_PAGES)) continue;
    // Damage: the loop would go on for billions of pages.
    if (slot.npages != changetype<Entry>(entry).npages) unreachable();
    const first = slot.userspaceAddr >> shift;
    const from = max(start, first);
    const to = min(end, first + slot.npages);
    for (let page = from; page < to; page++) markPageDirty(reader, record, slot.baseGfn + (page - first));
    marked += to - from;
  }
  return marked;
}
