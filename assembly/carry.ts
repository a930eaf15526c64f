/**
 * Dirty bits across a commit: what was dirty stays dirty, wherever its host page is mapped afterwards.
 *
 * For each page that was mapped with a log before and is after the commit, in the same address space and with
 * the same host page, the bit goes from the bitmap that ends to the bitmap that begins with the commit:
 * split, merge, resize, move, another slot id. Done right after the publication, and again when the last
 * reader of the old layout has left. It is an OR, so doing it twice, or again after a death, is harmless; a
 * bit that is harvested in between is reported twice, never lost.
 *
 * KVM has no counterpart: there the bitmap of a deleted slot is gone.
 */
import { mergeDirtyWord, observeDirtyWord } from "./atomic";
import { dirtyBytes, headOf } from "./dirtybitmap";
import { nextHva } from "./hvaindex";
import { Entry, Header, Record, Root } from "./layout";
import { directoryOf, hvaIndexOf } from "./roots";
import { inFlightView, KVM_VIEW, pendingView, viewAt } from "./views";

/** Set up to 64 bits from bit `at` of a bitmap on. */
function mergeBits(bitmap: usize, at: u32, bits: u64): void {
  const word = bitmap + ((at >> 6) << 3);
  const shift = <u64>(at & 63);
  mergeDirtyWord(word, bits << shift);
  const rest = shift == 0 ? 0 : bits >> (64 - shift);
  if (rest != 0) mergeDirtyWord(word + 8, rest);
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

/** The same for the views of all dirty consumers; what is in flight there is pending here. */
function mergeViews(source: Record, from: u32, target: Record, to: u32, count: u32): void {
  const consumers = min(headOf(source.bitmap).consumers, headOf(target.bitmap).consumers);
  const sourceBytes = dirtyBytes(source.npages);
  const targetBytes = dirtyBytes(target.npages);
  if (headOf(source.bitmap).views == 0 || headOf(target.bitmap).views == 0) return;
  const kvm = viewAt(target.bitmap, targetBytes, KVM_VIEW);
  mergeRange(viewAt(source.bitmap, sourceBytes, KVM_VIEW), from, kvm, to, count);
  for (let consumer: u32 = 0; consumer < consumers; consumer++) {
    const pending = viewAt(target.bitmap, targetBytes, pendingView(consumer));
    mergeRange(viewAt(source.bitmap, sourceBytes, pendingView(consumer)), from, pending, to, count);
    mergeRange(viewAt(source.bitmap, sourceBytes, inFlightView(consumer)), from, pending, to, count);
  }
}

/** Carry the dirty bits of `record` into the bitmaps that began with the layout `after`. */
export function carryRecord(header: usize, record: usize, after: usize): void {
  const source = changetype<Record>(record);
  const shift = <u64>changetype<Header>(header).pageShift;
  const commit = changetype<Root>(after).commit;
  const directory = directoryOf(after, hvaIndexOf(source.slot >> 16));
  const start = source.userspaceAddr >> shift;
  const end = start + source.npages;
  let entry = nextHva(directory, 0, start, end);
  while (entry != 0) {
    const target = changetype<Record>(<usize>changetype<Entry>(entry).record);
    if (target.bitmap != 0 && headOf(target.bitmap).birth == commit) {
      const first = target.userspaceAddr >> shift;
      const low = max(start, first);
      const count = <u32>(min(end, first + target.npages) - low);
      const from = <u32>(low - start);
      const to = <u32>(low - first);
      mergeRange(source.bitmap, from, target.bitmap, to, count);
      mergeViews(source, from, target, to, count);
    }
    entry = nextHva(directory, changetype<Entry>(entry).key + 1, start, end);
  }
}
