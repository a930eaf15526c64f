/** Slots of the suites about dirty logs: slot n lies at n * 16 MiB, in guest and in host memory. */
import { KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import { bitmapOf, dirtyPages } from "./bitmap.js";
import { errnoOf, type Implementation } from "./implementation.js";
import { PAGE, region } from "./region.js";

const SLOT_PAGES = 0x1000;

/** Guest address of a page of a slot. */
export function gpaOf(slot: number, page: number): number {
  return (slot * SLOT_PAGES + page) * PAGE;
}

export function addSlot(
  vm: Implementation,
  slot: number,
  npages: number,
  flags = KVM_MEM_LOG_DIRTY_PAGES,
): void {
  vm.setUserMemoryRegion(region(slot, slot * SLOT_PAGES, npages, slot * SLOT_PAGES, flags));
}

export function markPages(vm: Implementation, slot: number, ...pages: number[]): void {
  for (const page of pages) vm.markDirty(gpaOf(slot, page));
}

export function getDirtyPages(vm: Implementation, slot: number): number[] {
  return dirtyPages(vm.getDirtyLog(slot));
}

/** KVM_CLEAR_DIRTY_LOG of the pages `bits`, counted from `firstPage`. Returns the errno, 0 on success. */
export function __clearDirtyLog(
  vm: Implementation,
  slot: number,
  firstPage: number | bigint,
  numPages: number,
  bits: number[],
): number {
  return errnoOf(() => vm.clearDirtyLog(slot, firstPage, numPages, bitmapOf(bits, numPages)));
}
