/**
 * Updates of slots, as tests write them: in pages, or in bytes with the arguments of the kernel's selftests.
 */
import type { Slot } from "../../src/kvm/region.js";
import type { UserspaceMemoryRegion } from "../../src/kvm/uapi.js";

/** Bytes of a page where a test asks for no other size. */
export const PAGE = 4096;

/** Host pages between two slots of `ownRegion`. */
const OWN_HOST_PAGES = 0x1000;

export type Address = number | bigint;

/** Number of the slot with this id in this address space. */
export function slotNumber(asId: number, id: number): number {
  return asId * 0x1_0000 + id;
}

/** `npages` guest pages from frame `gfn` on, backed by the host pages from `hostPage` on. */
export function region(slot: number, gfn: number, npages: number, hostPage: number, flags = 0): Slot {
  return {
    slot,
    flags,
    guestPhysAddr: gfn * PAGE,
    memorySize: npages * PAGE,
    userspaceAddr: hostPage * PAGE,
  };
}

/** A region whose host pages follow from its slot number, so that a translation shows which slot made it. */
export function ownRegion(slot: number, gfn: number, npages: number, flags = 0): Slot {
  return region(slot, gfn, npages, slot * OWN_HOST_PAGES, flags);
}

/** The entry that deletes a slot; KVM looks at its number and at its size of 0. */
export function deletion(slot: number): Slot {
  return region(slot, 0, 0, 0);
}

/** A region in bytes, with the order of arguments of the selftests' vm_set_user_memory_region. */
export function memoryRegion(
  slot: number,
  flags: number,
  gpa: Address,
  size: Address,
  hva: Address,
): UserspaceMemoryRegion {
  return { slot, flags, guestPhysAddr: gpa, memorySize: size, userspaceAddr: hva };
}
