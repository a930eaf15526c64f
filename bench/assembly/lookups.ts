/**
 * Lookups in a loop: `count` keys from `keys` on. The published layout does not change meanwhile. They are
 * inlined, as those of the native yardsticks are.
 */
import { entryAt } from "../../assembly/chunks";
import { findEntry, readerChunk } from "../../assembly/directory";
import { Entry } from "../../assembly/layout";
import { gpaToHva } from "../../assembly/lookup";
import { publishedRoot } from "../../assembly/publish";
import { directoryOf, gfnIndexOf } from "../../assembly/roots";

/** The index alone: u64 frames -> sum of the records found. */
export function searchEach(header: usize, keys: usize, count: u32): f64 {
  const directory = directoryOf(publishedRoot(header), gfnIndexOf(0));
  const end = keys + (count << 3);
  let sum: u64 = 0;
  for (; keys < end; keys += 8) {
    const gfn = load<u64>(keys);
    const entry = changetype<Entry>(inline.always(findEntry(directory, gfn)));
    sum += <u64>select<u32>(entry.record, 0, gfn - entry.key < <u64>entry.npages);
  }
  return <f64>sum;
}

/** What an entry found adds to the sum. */
function recordOf(found: usize, gfn: u64): u64 {
  const entry = changetype<Entry>(found);
  return <u64>select<u32>(entry.record, 0, gfn - entry.key < <u64>entry.npages);
}

/** The same, four searches side by side, as in assembly/batch.ts. `count` is a multiple of 4. */
export function searchFour(header: usize, keys: usize, count: u32): f64 {
  const directory = directoryOf(publishedRoot(header), gfnIndexOf(0));
  const end = keys + (count << 3);
  let sum: u64 = 0;
  for (; keys < end; keys += 32) {
    const a = load<u64>(keys);
    const b = load<u64>(keys, 8);
    const c = load<u64>(keys, 16);
    const d = load<u64>(keys, 24);
    let p = entryAt(inline.always(readerChunk(directory, a)), 0);
    let q = entryAt(inline.always(readerChunk(directory, b)), 0);
    let r = entryAt(inline.always(readerChunk(directory, c)), 0);
    let s = entryAt(inline.always(readerChunk(directory, d)), 0);
    p = select<usize>(p + 256, p, load<u64>(p, 256) <= a);
    q = select<usize>(q + 256, q, load<u64>(q, 256) <= b);
    r = select<usize>(r + 256, r, load<u64>(r, 256) <= c);
    s = select<usize>(s + 256, s, load<u64>(s, 256) <= d);
    p = select<usize>(p + 128, p, load<u64>(p, 128) <= a);
    q = select<usize>(q + 128, q, load<u64>(q, 128) <= b);
    r = select<usize>(r + 128, r, load<u64>(r, 128) <= c);
    s = select<usize>(s + 128, s, load<u64>(s, 128) <= d);
    p = select<usize>(p + 64, p, load<u64>(p, 64) <= a);
    q = select<usize>(q + 64, q, load<u64>(q, 64) <= b);
    r = select<usize>(r + 64, r, load<u64>(r, 64) <= c);
    s = select<usize>(s + 64, s, load<u64>(s, 64) <= d);
    p = select<usize>(p + 32, p, load<u64>(p, 32) <= a);
    q = select<usize>(q + 32, q, load<u64>(q, 32) <= b);
    r = select<usize>(r + 32, r, load<u64>(r, 32) <= c);
    s = select<usize>(s + 32, s, load<u64>(s, 32) <= d);
    p = select<usize>(p + 16, p, load<u64>(p, 16) <= a);
    q = select<usize>(q + 16, q, load<u64>(q, 16) <= b);
    r = select<usize>(r + 16, r, load<u64>(r, 16) <= c);
    s = select<usize>(s + 16, s, load<u64>(s, 16) <= d);
    sum += inline.always(recordOf(p, a)) + inline.always(recordOf(q, b));
    sum += inline.always(recordOf(r, c)) + inline.always(recordOf(s, d));
  }
  return <f64>sum;
}

/**
 * As emulators call it: f64 guest addresses -> sum of the host addresses. A section must be open for one
 * layout. Two sums, because the slow path's call has the compiler keep a sum in the stack, and one such chain of
 * loads and stores would take longer than the lookups.
 */
export function translateEach(reader: usize, keys: usize, count: u32): f64 {
  const end = keys + (count << 3);
  let even: f64 = 0;
  let odd: f64 = 0;
  if (count & 1) {
    odd = gpaToHva(reader, load<f64>(keys));
    keys += 8;
  }
  for (; keys < end; keys += 16) {
    even += inline.always(gpaToHva(reader, load<f64>(keys)));
    odd += inline.always(gpaToHva(reader, load<f64>(keys, 8)));
  }
  return even + odd;
}
