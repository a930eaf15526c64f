/**
 * The staging area of the writer that has the lock: a list as it was given, what each of its entries does, and what
 * that amounts to.
 *
 *   Region entry[stagingEntries] | u32 number[stagingEntries], the last first | Effect effect[stagingEntries]
 *
 * The first list of an engine finds it behind the fixed areas, a longer one than there was has it moved to the heap.
 */
import { EFFECT_BYTES, Header, REGION_BYTES } from "./layout";

/** Bytes of a staging area for `entries` entries. */
export function stagingBytes(entries: u32): u32 {
  return entries * (REGION_BYTES + 4 + EFFECT_BYTES);
}

/** Have the staging area, for `entries` entries, at `address`. */
export function setStaging(header: usize, address: usize, entries: u32): void {
  const engine = changetype<Header>(header);
  engine.staging = <u32>address;
  engine.stagingEntries = entries;
  engine.effects = <u32>address + entries * (REGION_BYTES + 4);
}

/** Entry number `entry` of the list. */
export function regionAt(header: usize, entry: u32): usize {
  return changetype<Header>(header).staging + entry * REGION_BYTES;
}

/** Address of the number + 1 of the effect that entry `entry` has; 0 for none. */
export function effectOfEntry(header: usize, entry: u32): usize {
  return changetype<Header>(header).effects - 4 - (entry << 2);
}

/** Effect number `number` of the transaction. */
export function effectAt(header: usize, number: u32): usize {
  return changetype<Header>(header).effects + number * EFFECT_BYTES;
}
