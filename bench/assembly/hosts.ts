/** Host range queries in a loop: the slots that meet `pages` pages from each f64 host address on. */

import { nextHostSlots, rewind } from "../../assembly/iterate";
import { BATCH_REGIONS, REGION_BYTES, Region } from "../../assembly/layout";
import { batchOf } from "../../assembly/readers";

/** Sum of slot number + 1 over all slots found. The line must be in a section. */
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
