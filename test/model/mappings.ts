/** Slots as the engine shows them, by guest address and by host address. */
import type { Slot } from "./checks.js";

export interface Mapping {
  slot: number;
  flags: number;
  guestPhysAddr: number;
  memorySize: number;
  userspaceAddr: number;
}

export interface GuestRange {
  slot: number;
  gpa: number;
  bytes: number;
}

export function toMapping(slot: Slot): Mapping {
  return {
    slot: slot.slot,
    flags: slot.flags,
    guestPhysAddr: Number(slot.gpa),
    memorySize: Number(slot.size),
    userspaceAddr: Number(slot.hva),
  };
}

export function byGpa(a: Slot, b: Slot): number {
  return a.gpa < b.gpa ? -1 : 1;
}

function byHva(a: Slot, b: Slot): number {
  if (a.hva !== b.hva) return a.hva < b.hva ? -1 : 1;
  return a.slot - b.slot;
}

/** Whole pages, as KVM's notifiers take them: a page that the range touches is in it. */
export function hvaToGpas(
  layout: readonly Map<number, Slot>[],
  start: number,
  end: number,
  pageSize: number,
): GuestRange[] {
  const firstByte = Math.floor(start / pageSize) * pageSize;
  const endByte = Math.ceil(end / pageSize) * pageSize;
  const ranges: GuestRange[] = [];
  if (start >= end) return ranges;
  for (const slots of layout) {
    for (const slot of [...slots.values()].sort(byHva)) {
      const { guestPhysAddr, memorySize, userspaceAddr } = toMapping(slot);
      const from = Math.max(firstByte, userspaceAddr);
      const to = Math.min(endByte, userspaceAddr + memorySize);
      if (from < to)
        ranges.push({ slot: slot.slot, gpa: guestPhysAddr + from - userspaceAddr, bytes: to - from });
    }
  }
  return ranges;
}
