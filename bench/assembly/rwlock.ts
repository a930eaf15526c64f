/**
 * Lookups under a reader-writer lock of one word, the usual protection of a map that is edited in place. Readers count
 * themselves in and out; a writer requests the word and waits until it is alone.
 *
 *   bit 31   a writer has the lock or waits for it
 *   others   number of readers inside
 */
import { Reader } from "../../assembly/layout";
import { gpaToHva } from "../../assembly/lookup";
import { publishedRoot } from "../../assembly/readers";

const WRITER: u32 = 0x80000000;

function lockReader(lock: usize): void {
  while (atomic.add<u32>(lock, 1) & WRITER) {
    atomic.sub<u32>(lock, 1);
    while (atomic.load<u32>(lock) & WRITER) {}
  }
}

/** Each lookup under the lock. The line's pin is a plain store: the lock protects the layout. */
export function translateLocked(reader: usize, lock: usize, keys: usize, count: u32): f64 {
  const line = changetype<Reader>(reader);
  const end = keys + (count << 3);
  let sum: f64 = 0;
  for (; keys < end; keys += 8) {
    lockReader(lock);
    line.pin = <u32>publishedRoot(line.header);
    sum += inline.always(gpaToHva(reader, load<f64>(keys)));
    line.pin = 0;
    atomic.sub<u32>(lock, 1);
  }
  return sum;
}

/** Try to take the lock for a writer. @returns 1 when it is alone; 0: try again */
export function lockWriter(lock: usize): u32 {
  return atomic.or<u32>(lock, WRITER) & ~WRITER ? 0 : 1;
}

export function unlockWriter(lock: usize): void {
  atomic.and<u32>(lock, ~WRITER);
}
