/**
 * Edits of live slots that KVM refuses as a single update: split, merge, resize, READONLY. Each function returns a list
 * that deletes and creates, for `setUserMemoryRegionList`. As one list, no page that keeps its host page is ever
 * unmapped, and it keeps its dirty bit.
 */
import {
  checkArray,
  checkObject,
  checkOptionNames,
  show,
  toAddress,
  toBoolean,
  toU32,
} from "../kvm/arguments.js";
import type { Slot } from "../kvm/region.js";
import { KVM_MEM_READONLY } from "../kvm/uapi.js";

/**
 * The list that cuts a slot in two at guest address `gpa`: the slot keeps its number below, slot number `upper`
 * (address space << 16 | id) is the part from `gpa` on.
 * @param gpa above the slot's first byte and below its end; the engine also requires a multiple of the page size
 * @param upper number of a slot that is not there: one that is refuses the list (EINVAL)
 * @throws RangeError if `gpa` is not inside the slot, or `upper` is its own number; TypeError naming the argument
 *
 * @example
 * // KVM cannot write-protect a part of a slot: split it, and make the part READONLY.
 * engine.setUserMemoryRegionList(splitSlot(engine.slot(0), 0xf0000, 1));
 * engine.setUserMemoryRegionList(setReadonly(engine.slot(1), true));
 */
export function splitSlot(slot: Slot, gpa: number, upper: number): Slot[] {
  checkSlot(slot, "slot");
  const offset = inside(slot, gpa);
  if (toU32(upper, "upper") === slot.slot) {
    throw new RangeError(`upper must be another slot than ${upper}, which keeps the lower part`);
  }
  return [
    remove(slot),
    { ...slot, memorySize: offset },
    {
      ...slot,
      slot: upper,
      guestPhysAddr: gpa,
      memorySize: slot.memorySize - offset,
      userspaceAddr: slot.userspaceAddr + offset,
    },
  ];
}

/**
 * The list that joins slots into one with the number of the first. Each must continue the one before it in guest and in
 * host memory.
 * @throws RangeError naming a slot that does not, or has other flags or another address space
 *
 * @example
 * engine.setUserMemoryRegionList(mergeSlots(engine.slot(0), engine.slot(1))); // undoes splitSlot
 */
export function mergeSlots(...slots: Slot[]): Slot[] {
  const [first, ...others] = slots;
  if (slots.length === 0) throw new RangeError("there must be a slot to merge");
  for (const [i, slot] of slots.entries()) checkSlot(slot, `slots[${i}]`);
  let end = first!.memorySize;
  for (const slot of others) {
    const fits =
      slot.slot >>> 16 === first!.slot >>> 16 &&
      slot.flags === first!.flags &&
      slot.guestPhysAddr === first!.guestPhysAddr + end &&
      slot.userspaceAddr === first!.userspaceAddr + end;
    if (!fits) throw new RangeError(`slot ${slot.slot} does not continue slot ${first!.slot}`);
    end += slot.memorySize;
  }
  return [...slots.map(remove), { ...first!, memorySize: end }];
}

/** New bounds of a slot, in bytes; a bound that is not given stays. */
export interface SlotBounds {
  /** First guest address; the first host address moves by the same distance. */
  start?: number | undefined;
  /** Guest address after the last byte. */
  end?: number | undefined;
}

/**
 * The list that grows or shrinks a slot at either end.
 * @throws RangeError if no byte is left, or host memory would begin below 0; TypeError naming the bound
 */
export function resizeSlot(slot: Slot, bounds: SlotBounds): Slot[] {
  checkSlot(slot, "slot");
  checkOptionNames<SlotBounds>(bounds, { start: true, end: true }, "bounds");
  const { start, end } = bounds;
  if (start !== undefined) toAddress(start, "bounds.start");
  if (end !== undefined) toAddress(end, "bounds.end");
  const from = start ?? slot.guestPhysAddr;
  const to = end ?? slot.guestPhysAddr + slot.memorySize;
  const userspaceAddr = slot.userspaceAddr + (from - slot.guestPhysAddr);
  if (!(to > from)) throw new RangeError(`end must be above start, not ${show(to)} and ${show(from)}`);
  if (userspaceAddr < 0)
    throw new RangeError(`start must leave host memory at 0 or above, not ${show(start)}`);
  return [remove(slot), { ...slot, guestPhysAddr: from, memorySize: to - from, userspaceAddr }];
}

/** The list that makes a slot READONLY, or writable again. @throws TypeError naming the argument */
export function setReadonly(slot: Slot, readonly: boolean): Slot[] {
  checkSlot(slot, "slot");
  if (typeof readonly !== "boolean") throw new TypeError(`readonly must be a boolean, not ${show(readonly)}`);
  const flags = readonly ? slot.flags | KVM_MEM_READONLY : slot.flags & ~KVM_MEM_READONLY;
  return [remove(slot), { ...slot, flags }];
}

/** The list that deletes slot number `slot` (address space << 16 | id). @throws TypeError */
export function deleteSlot(slot: number): Slot[] {
  return [remove({ slot: toU32(slot, "slot"), flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 })];
}

/**
 * The list that makes guest bytes [gpa, gpa + bytes) READONLY, or writable, in all of `slots` that they touch: slots
 * that lie in them in part are split.
 * @param free numbers for the parts that are split off, at most two, as `freeSlotNumbers` returns them
 * @throws RangeError if there are too few of them; TypeError naming the argument
 *
 * @example
 * const list = protectRange(engine.slots(), 0xc0000, 0x40000, true, freeSlotNumbers(engine, 2));
 * engine.setUserMemoryRegionList(list);
 */
export function protectRange(
  slots: readonly Slot[],
  gpa: number,
  bytes: number,
  readonly: boolean,
  free: readonly number[] = [],
): Slot[] {
  const start = toAddress(gpa, "gpa");
  const end = start + toAddress(bytes, "bytes");
  const wanted = toBoolean(readonly, "readonly", false) ? KVM_MEM_READONLY : 0;
  checkArray(slots, "slots");
  for (const [i, slot] of slots.entries()) checkSlot(slot, `slots[${i}]`);
  checkArray(free, "free");
  const numbers = free.map((number, i) => toU32(number, `free[${i}]`));
  const number = () => {
    const next = numbers.shift();
    if (next === undefined) throw new RangeError("free must have a number for each part that is split off");
    return next;
  };
  const list: Slot[] = [];
  for (const slot of slots) {
    const first = Math.max(start, slot.guestPhysAddr);
    const last = Math.min(end, slot.guestPhysAddr + slot.memorySize);
    if (first >= last || (slot.flags & KVM_MEM_READONLY) === wanted) continue;
    const flags = (slot.flags & ~KVM_MEM_READONLY) | wanted;
    const part = (from: number, to: number) => ({
      ...slot,
      guestPhysAddr: from,
      memorySize: to - from,
      userspaceAddr: slot.userspaceAddr + (from - slot.guestPhysAddr),
    });
    const below = part(slot.guestPhysAddr, first);
    const above = part(last, slot.guestPhysAddr + slot.memorySize);
    const parts = [below, { ...part(first, last), flags }, above].filter(({ memorySize }) => memorySize > 0);
    list.push(remove(slot), ...parts.map((each, i) => (i === 0 ? each : { ...each, slot: number() })));
  }
  return list;
}

/** A slot as `engine.slot` returns it. @throws TypeError naming the field */
function checkSlot(slot: Slot, name: string): void {
  checkObject(slot, name);
  toU32(slot.slot, `${name}.slot`);
  toU32(slot.flags, `${name}.flags`);
  toAddress(slot.guestPhysAddr, `${name}.guestPhysAddr`);
  toAddress(slot.memorySize, `${name}.memorySize`);
  toAddress(slot.userspaceAddr, `${name}.userspaceAddr`);
}

function remove(slot: Slot): Slot {
  return { ...slot, flags: 0, memorySize: 0 };
}

function inside(slot: Slot, gpa: number): number {
  const offset = toAddress(gpa, "gpa") - slot.guestPhysAddr;
  if (offset <= 0 || offset >= slot.memorySize) {
    throw new RangeError(`gpa must lie inside the slot, behind its first byte, not at ${show(gpa)}`);
  }
  return offset;
}
