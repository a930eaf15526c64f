/**
 * Seeded lists of updates as QEMU makes them: deletes first, then creates of slots that earlier lists deleted. A pass
 * ends with the slots that it began with, so it can be applied repeatedly.
 */
import type { Slot } from "memslots";
import { random } from "../../test/support/random.js";
import { PAGE_BYTES, type Slots } from "./slots.js";

/** A pass: `length` lists of `entries` updates each. */
export interface Pass {
  readonly lists: readonly (readonly Slot[])[];
  readonly entries: number;
}

export function regionOf(slots: Slots, slot: number): Slot {
  return {
    slot,
    flags: 0,
    guestPhysAddr: slots.baseGfn[slot]! * PAGE_BYTES,
    memorySize: slots.npages[slot]! * PAGE_BYTES,
    userspaceAddr: slots.hva[slot]!,
  };
}

export function deletionOf(slot: number): Slot {
  return { slot, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 };
}

/** All slots in seeded random order, so that chunks and trees have the fill of a map in use. */
export function shuffledRegions(slots: Slots, seed = 3): Slot[] {
  const rng = random(seed);
  const order = Array.from({ length: slots.count }, (_, slot) => slot);
  for (let i = order.length - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order.map((slot) => regionOf(slots, slot));
}

/** `count` lists (an even number) of `entries` updates. */
export function makePass(slots: Slots, entries: number, count: number, seed = 11): Pass {
  const rng = random(seed * 15_485_863 + slots.count * 31 + entries);
  const present = Array.from({ length: slots.count }, (_, slot) => slot);
  const absent: number[] = [];
  const takeAny = (): number => {
    const at = rng.int(present.length);
    const slot = present[at]!;
    present[at] = present[present.length - 1]!;
    present.pop();
    return slot;
  };
  const lists = Array.from({ length: count }, (_, number) => {
    // The last list creates what is missing; the others do half and half, a list of one in turns.
    const half = entries === 1 ? number % 2 : entries / 2;
    const creates = number === 0 ? 0 : number === count - 1 ? entries : half;
    const deleted = Array.from({ length: entries - creates }, takeAny);
    const created = absent.splice(0, creates);
    present.push(...created);
    absent.push(...deleted);
    return [...deleted.map(deletionOf), ...created.map((slot) => regionOf(slots, slot))];
  });
  if (absent.length > 0) throw new Error(`a pass of ${count} lists leaves ${absent.length} slots deleted`);
  return { lists, entries };
}
