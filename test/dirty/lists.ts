/**
 * Random lists over logged slots: split, merge, move to another window, another number, READONLY on and off,
 * delete with the log taken, and create again.
 */
import {
  KVM_MEM_READONLY,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  mergeSlots,
  type Slot,
  setReadonly,
  splitSlot,
} from "memslots";
import type { Random } from "../support/random.js";
import { deletion, PAGE, region } from "../support/region.js";
import { HOME_HVA, HOSTS, WINDOWS } from "./world.js";

/** Slot numbers. */
export const SLOTS = 24;

/** Host pages [from, to) in a window. */
export function mapping(slot: number, window: number, from: number, to: number): Slot {
  return region(slot, window * HOSTS + from, to - from, HOME_HVA + from, LOG);
}

/** Host pages of a slot. */
function hostRange({ userspaceAddr, memorySize }: Slot): [number, number] {
  const from = userspaceAddr / PAGE - HOME_HVA;
  return [from, from + memorySize / PAGE];
}

/** Slots for all host pages that none maps. */
function fillHoles(slots: readonly Slot[], free: number[], rng: Random): Slot[] {
  const made: Slot[] = [];
  let at = 0;
  const ranges = [...slots.map(hostRange), [HOSTS, HOSTS] as const].sort((a, b) => a[0] - b[0]);
  for (const [from, to] of ranges) {
    const slot = at < from ? free.pop() : undefined;
    if (slot !== undefined) made.push(mapping(slot, rng.int(WINDOWS), at, from));
    at = to;
  }
  return made;
}

function change(slot: Slot, slots: readonly Slot[], free: number[], rng: Random): Slot[] {
  const [from, to] = hostRange(slot);
  const next = slots.find(
    (other) =>
      other.userspaceAddr === slot.userspaceAddr + slot.memorySize &&
      other.guestPhysAddr === slot.guestPhysAddr + slot.memorySize &&
      other.flags === slot.flags,
  );
  const window = rng.int(WINDOWS);
  const guestPhysAddr = (window * HOSTS + from) * PAGE;
  const action = rng.int(10);
  if (action < 4 && free.length > 0 && to - from > 1) {
    return splitSlot(slot, slot.guestPhysAddr + (1 + rng.int(to - from - 1)) * PAGE, free.pop()!);
  }
  if (action < 6 && next !== undefined) return mergeSlots(slot, next);
  // KVM's own move, and one by delete and create.
  if (action === 6) return [{ ...slot, guestPhysAddr }];
  if (action === 7) return [deletion(slot.slot), { ...slot, guestPhysAddr }];
  if (action === 8) return setReadonly(slot, (slot.flags & KVM_MEM_READONLY) === 0);
  if (free.length > 0 && rng.chance(0.6)) return [deletion(slot.slot), { ...slot, slot: free.pop()! }];
  return [deletion(slot.slot)];
}

/** A list that changes one to three slots, or fills the holes. */
export function randomList(slots: readonly Slot[], rng: Random): Slot[] {
  const numbers = new Set(slots.map(({ slot }) => slot));
  const free = Array.from({ length: SLOTS }, (_, i) => i).filter((slot) => !numbers.has(slot));
  const holes = rng.chance(0.2) ? fillHoles(slots, free, rng) : [];
  if (holes.length > 0) return holes;
  const first = rng.int(slots.length);
  const list: Slot[] = [];
  // Two slots apart, so that a merge takes none that another change is about.
  for (let i = first; i < Math.min(slots.length, first + 9); i += 3) {
    const others = slots.filter((_, j) => j === i || j === i + 1);
    list.push(...change(slots[i]!, others, free, rng));
    if (rng.chance(0.5)) break;
  }
  return list;
}
