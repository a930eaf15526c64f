/**
 * Lists that change a live slot in ways that a single update refuses: resize, split, merge, READONLY. Each
 * deletes and creates in one list, so that no page that stays where it is is ever missing, and its dirty bit
 * is kept.
 */
import { show, toU32 } from "./region.js";
import { KVM_MEM_READONLY, type MemoryRegion } from "./uapi.js";

/** A slot with addresses as numbers, as `engine.slots()` lists it. */
export interface Slot extends MemoryRegion {
  guestPhysAddr: number;
  memorySize: number;
  userspaceAddr: number;
}

function remove(slot: Slot): Slot {
  return { ...slot, flags: 0, memorySize: 0 };
}

function inside(slot: Slot, gpa: number): number {
  const offset = gpa - slot.guestPhysAddr;
  if (!Number.isSafeInteger(gpa) || offset <= 0 || offset >= slot.memorySize) {
    throw new RangeError(`gpa must lie inside the slot, behind its first byte, not at ${show(gpa)}`);
  }
  return offset;
}

/**
 * Cut a slot in two at guest address `gpa`; the upper part becomes slot number `upper`.
 * @throws RangeError if `gpa` is not inside the slot
 */
export function splitSlot(slot: Slot, gpa: number, upper: number): Slot[] {
  const offset = inside(slot, gpa);
  return [
    remove(slot),
    { ...slot, memorySize: offset },
    {
      ...slot,
      slot: toU32(upper, "upper"),
      guestPhysAddr: gpa,
      memorySize: slot.memorySize - offset,
      userspaceAddr: slot.userspaceAddr + offset,
    },
  ];
}

/**
 * Make one slot, with the number of the first, of slots that continue each other in guest and host memory.
 * @throws RangeError if they do not, or differ in flags or address space
 */
export function mergeSlots(...slots: Slot[]): Slot[] {
  const [first, ...others] = slots;
  if (first === undefined) throw new RangeError("there must be a slot to merge");
  let end = first.memorySize;
  for (const slot of others) {
    const fits =
      slot.slot >>> 16 === first.slot >>> 16 &&
      slot.flags === first.flags &&
      slot.guestPhysAddr === first.guestPhysAddr + end &&
      slot.userspaceAddr === first.userspaceAddr + end;
    if (!fits) throw new RangeError(`slot ${slot.slot} does not continue slot ${first.slot}`);
    end += slot.memorySize;
  }
  return [...slots.map(remove), { ...first, memorySize: end }];
}

/** Where a slot is to begin and end. */
export interface SlotBounds {
  /** First guest address; as it is if not given. Host memory begins as much lower or higher. */
  start?: number;
  /** Guest address after the last byte; as it is if not given. */
  end?: number;
}

/**
 * Grow or shrink a slot at either end. @throws RangeError if nothing is left, or host memory would be
 * negative
 */
export function resizeSlot(slot: Slot, { start, end }: SlotBounds): Slot[] {
  const from = start ?? slot.guestPhysAddr;
  const to = end ?? slot.guestPhysAddr + slot.memorySize;
  const userspaceAddr = slot.userspaceAddr + (from - slot.guestPhysAddr);
  if (!(to > from)) throw new RangeError(`end must be above start, not ${show(to)} and ${show(from)}`);
  if (userspaceAddr < 0)
    throw new RangeError(`start must leave host memory at 0 or above, not ${show(start)}`);
  return [remove(slot), { ...slot, guestPhysAddr: from, memorySize: to - from, userspaceAddr }];
}

/** Make a slot READONLY, or writable again. */
export function setReadonly(slot: Slot, readonly: boolean): Slot[] {
  const flags = readonly ? slot.flags | KVM_MEM_READONLY : slot.flags & ~KVM_MEM_READONLY;
  return [remove(slot), { ...slot, flags }];
}
