/**
 * Lookups in a loop: `count` keys from address `keys` on. The published layout does not change meanwhile. Lookups are
 * inlined, as those of the native yardsticks are.
 */
import { ownPin } from "../../assembly/atomic";
import { findChunks, findEntries } from "../../assembly/batch";
import { findEntry } from "../../assembly/directory";
import { BATCH_ENTRIES, BATCH_PLACES, Entry, Reader } from "../../assembly/layout";
import { gpaToHva } from "../../assembly/lookup";
import { batchOf, publishedRoot } from "../../assembly/readers";
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

/** The index alone, as a batch searches it: u64 frames -> the same sum. */
export function searchMany(reader: usize, keys: usize, count: u32): f64 {
  const directory = directoryOf(ownPin(reader), gfnIndexOf(changetype<Reader>(reader).asId));
  const places = batchOf(reader) + BATCH_PLACES;
  const end = keys + (count << 3);
  let sum: u64 = 0;
  while (keys < end) {
    const stop = min(end, keys + BATCH_ENTRIES * 8);
    findChunks(directory, keys, stop, places, 0);
    findEntries(keys, stop, places, 0);
    for (let place = places; keys < stop; keys += 8, place += 4) {
      const entry = changetype<Entry>(load<u32>(place));
      sum += <u64>select<u32>(entry.record, 0, load<u64>(keys) - entry.key < <u64>entry.npages);
    }
  }
  return <f64>sum;
}

/**
 * As emulators call it: f64 guest addresses -> sum of the host addresses. The line must be in a section. There are two
 * sums, because the compiler keeps a sum on the stack across the slow path's call, and one such chain of loads and
 * stores would take longer than the lookups.
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
