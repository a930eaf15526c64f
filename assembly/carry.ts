/**
 * Dirty bits across a commit: what was dirty stays dirty, wherever its host page is mapped afterwards.
 *
 * KVM's log: for each page that was mapped with a log before and is after the commit, in the same address space and
 * with the same host page, the bit goes from the bitmap that ends to the bitmap that begins with the commit: split,
 * merge, resize, move, another slot id. Consumers see host pages, so for them the log that ends is folded, whatever the
 * commit maps. Done right after the publication, and again when the last reader of the old layout has left. It is an
 * OR, so doing it twice, or again after a death, is harmless; a bit that is harvested in between is reported twice,
 * never lost.
 *
 * KVM has no counterpart: there the bitmap of a deleted slot is gone. QEMU keeps ram_list.dirty_memory above it.
 */
import { observeDirtyWord } from "./atomic";
import { headOf, logOf, mergeBits } from "./dirtybitmap";
import { carefulPlaces, foldLog, hostPage, soilPages } from "./hostlog";
import { nextHva } from "./hvaindex";
import { Entry, Record, Root } from "./layout";
import { directoryOf, hvaIndexOf } from "./roots";

/** Carry the dirty bits of `record`, which ends, into the bitmaps that began with the layout `after`. */
export function carryRecord(header: usize, record: usize, after: usize): void {
  const source = changetype<Record>(record);
  const start = hostPage(header, source.userspaceAddr);
  // Without a log: nobody knows which of its pages were written.
  if (source.bitmap == 0) {
    soilPages(header, start, source.npages, carefulPlaces(header));
    return;
  }
  foldLog(header, record);
  const commit = changetype<Root>(after).commit;
  const directory = directoryOf(after, hvaIndexOf(source.slot >> 16));
  const end = start + source.npages;
  const log = logOf(source.bitmap);
  let entry = nextHva(directory, 0, start, end);
  while (entry != 0) {
    const target = changetype<Record>(<usize>changetype<Entry>(entry).record);
    if (target.bitmap != 0 && headOf(target.bitmap).birth == commit) {
      const first = hostPage(header, target.userspaceAddr);
      const low = max(start, first);
      const count = <u32>(min(end, first + target.npages) - low);
      mergeRange(log, <u32>(low - start), logOf(target.bitmap), <u32>(low - first), count);
    }
    entry = nextHva(directory, changetype<Entry>(entry).key + 1, start, end);
  }
}

/** OR bits [from, from + count) of one bitmap into another, from bit `to` on. */
function mergeRange(source: usize, from: u32, target: usize, to: u32, count: u32): void {
  let done: u32 = 0;
  while (done < count) {
    const at = from + done;
    const first = at & 63;
    const length = min(64 - first, count - done);
    let bits = observeDirtyWord(source + ((at >> 6) << 3)) >> first;
    if (length < 64) bits &= ((<u64>1) << length) - 1;
    if (bits != 0) mergeBits(target, to + done, bits);
    done += length;
  }
}
