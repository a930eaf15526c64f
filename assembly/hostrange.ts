/**
 * Writes to host memory that came by no guest address: a device's own, a file read into RAM. Every page of every
 * slot that the host range backs was written, in all address spaces.
 *
 * Mirrors kvm_handle_hva_range, with mark_page_dirty_in_slot as its handler.
 */
import { ownPin } from "./atomic";
import { markPageDirty } from "./dirtyring";
import { nextHva } from "./hvaindex";
import { Entry, Header, Reader, Record } from "./layout";
import { exitSection, openSection } from "./readers";
import { directoryOf, hvaIndexOf } from "./roots";
import { KVM_MEM_LOG_DIRTY_PAGES } from "./validate";
import { markWindows, windowsOf } from "./windows";

/**
 * Mark every page of a logged slot or window that host bytes [start, end) back, `start` below `end`, in all address
 * spaces, from one layout. Returns their number.
 */
export function markHostRange(reader: usize, start: f64, end: f64): f64 {
  openSection(reader);
  const line = changetype<Reader>(reader);
  const root = ownPin(reader);
  const shift = <u64>line.pageShift;
  const endPage = (<u64>end + (((<u64>1) << shift) - 1)) >> shift;
  let marked: u64 = 0;
  for (let asId: u32 = 0; asId < changetype<Header>(line.header).addressSpaces; asId++) {
    marked += markIndex(reader, directoryOf(root, hvaIndexOf(asId)), <u64>start >> shift, endPage);
    marked += markWindows(windowsOf(root, asId), <u64>start, <u64>end, <u32>shift);
  }
  exitSection(reader);
  return <f64>marked;
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
