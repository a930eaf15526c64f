/**
 * The staging area of the writer that has the lock: a list as it was given, what each of its entries does, and what
 * that amounts to.
 *
 *   Region entry[stagingEntries] | u32 number[stagingEntries], the last first | Effect effect[stagingEntries]
 *
 * The first list of an engine finds it behind the fixed areas, a longer one than there was has it moved to the heap.
 */
import { isBlock } from "./heap";
import { EFFECT_BYTES, Header, REGION_BYTES, STAGING_ENTRIES_MIN } from "./layout";

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

/** Damage: a list would be written elsewhere than to the first area, or a block of the heap. */
export function checkStaging(header: usize): void {
  const engine = changetype<Header>(header);
  const entries = engine.stagingEntries;
  if (engine.effects != engine.staging + entries * (REGION_BYTES + 4)) unreachable();
  if (engine.staging == engine.stagingHome) {
    if (entries != STAGING_ENTRIES_MIN) unreachable();
  } else if (!isBlock(header, engine.staging, stagingBytes(entries))) unreachable();
}

/** Entry number `entry` of the list. */
export function regionAt(header: usize, entry: u32): usize {
  if (!ASC_NO_ASSERT) assert(entry < changetype<Header>(header).stagingEntries);
  return changetype<Header>(header).staging + entry * REGION_BYTES;
}

/** Address of the number + 1 of the effect that entry `entry` has; 0 for none. */
export function effectOfEntry(header: usize, entry: u32): usize {
  if (!ASC_NO_ASSERT) assert(entry < changetype<Header>(header).stagingEntries);
  return changetype<Header>(header).effects - 4 - (entry << 2);
}

/** Effect number `number` of the transaction. */
export function effectAt(header: usize, number: u32): usize {
  if (!ASC_NO_ASSERT) assert(number < changetype<Header>(header).stagingEntries);
  return changetype<Header>(header).effects + number * EFFECT_BYTES;
}
