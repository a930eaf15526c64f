/**
 * Host range queries in a loop: which slots do the `pages` pages from each f64 host address meet.
 */

import { nextHostSlots, rewind } from "../../assembly/iterate";
import { BATCH_REGIONS, REGION_BYTES, Region } from "../../assembly/layout";
import { batchOf } from "../../assembly/readers";

/** Sum over all slots found of their number + 1. The line must have a section open. */
export function hostSlotsEach(reader: usize, keys: usize, count: u32, bytes: f64): f64 {
  const end = keys + (count << 3);
  const found = batchOf(reader);
  let sum: u64 = 0;
  for (; keys < end; keys += 8) {
    const start = load<f64>(keys);
    rewind(reader);
    let slots: u32;
    do {
      slots = nextHostSlots(reader, start, start + bytes);
      for (let i: u32 = 0; i < slots; i++) sum += changetype<Region>(found + i * REGION_BYTES).slot + 1;
    } while (slots == BATCH_REGIONS);
  }
  return <f64>sum;
}
