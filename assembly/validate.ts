/**
 * KVM's checks of one region, in KVM's order: first those that look at the region alone, then those against
 * the slot that has the id now. Everything here answers EINVAL, so that the order shows only against what
 * comes later.
 *
 * Mirrors check_memory_region_flags, kvm_set_memory_region (Linux 6.12).
 */
import { EINVAL, OK } from "./errno";
import {
  CHECK_FLAGS,
  CHECK_GPA,
  CHECK_GPA_WRAPS,
  CHECK_HVA,
  CHECK_HVA_CHANGES,
  CHECK_HVA_END,
  CHECK_MEMFD_CHANGES,
  CHECK_MEMFD_OFFSET,
  CHECK_NO_SLOT,
  CHECK_NPAGES,
  CHECK_READONLY_CHANGES,
  CHECK_SHIFT,
  CHECK_SIZE,
  CHECK_SIZE_CHANGES,
  Header,
  Record,
  Region,
} from "./layout";

export const KVM_MEM_LOG_DIRTY_PAGES: u32 = 1;
export const KVM_MEM_READONLY: u32 = 2;
export const KVM_MEM_GUEST_MEMFD: u32 = 4;
/** KVM_MEM_MAX_NR_PAGES, inclusive. */
export const MAX_NR_PAGES: u64 = 0x7fffffff;
/** The bytes at the end of the lower half of the addresses that Linux gives to no process: a page of x86. */
const GUARD_BYTES: u64 = 0x1000;

/** What a region does to the slot that has its id. */
export const CHANGE_CREATE: i32 = 0;
export const CHANGE_DELETE: i32 = 1;
export const CHANGE_MOVE: i32 = 2;
export const CHANGE_FLAGS_ONLY: i32 = 3;
export const CHANGE_NONE: i32 = 4;

/**
 * Checks 3 to 12 of the ioctl; the slot id is checked by slotKey. `memfdOffset` counts with GUEST_MEMFD only.
 */
export function checkRegion(header: usize, region: usize, version2: bool, memfdOffset: u64): i32 {
  const engine = changetype<Header>(header);
  const mem = changetype<Region>(region);
  const pageMask: u64 = ((<u64>1) << engine.pageShift) - 1;
  const size = mem.memorySize;
  if (!validFlags(mem.flags, version2)) return invalid(header, CHECK_FLAGS);
  if (size & pageMask) return invalid(header, CHECK_SIZE);
  if (mem.guestPhysAddr & pageMask) return invalid(header, CHECK_GPA);
  if (mem.userspaceAddr & pageMask) return invalid(header, CHECK_HVA);
  const userEnd = userEndOf(engine);
  if (size > userEnd || mem.userspaceAddr > userEnd - size) return invalid(header, CHECK_HVA_END);
  if (mem.flags & KVM_MEM_GUEST_MEMFD && (memfdOffset & pageMask || memfdOffset + size < memfdOffset))
    return invalid(header, CHECK_MEMFD_OFFSET);
  if (mem.guestPhysAddr + size < mem.guestPhysAddr) return invalid(header, CHECK_GPA_WRAPS);
  if (size >> engine.pageShift > MAX_NR_PAGES) return invalid(header, CHECK_NPAGES);
  return OK;
}

/** The end of host addresses, which the end of a host range may equal: with 47 bits TASK_SIZE_MAX of x86. */
function userEndOf(engine: Header): u64 {
  return ((<u64>1) << engine.maxUserAddrBits) - GUARD_BYTES;
}

/** EINVAL, and why. */
export function invalid(header: usize, check: u32): i32 {
  return noteCheck(header, check, EINVAL);
}

/** `errno`, and the CHECK_* that it stands for. */
export function noteCheck(header: usize, check: u32, errno: i32): i32 {
  changetype<Header>(header).errorCheck = check << CHECK_SHIFT;
  return errno;
}

/** KVM_SET_USER_MEMORY_REGION2 knows GUEST_MEMFD, which excludes the other flags. */
function validFlags(flags: u32, version2: bool): bool {
  if (version2 && flags & KVM_MEM_GUEST_MEMFD) return flags == KVM_MEM_GUEST_MEMFD;
  return (flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)) == 0;
}

/** Which change a region makes to `old` (0: no such slot): CHANGE_*, or EINVAL. */
export function classify(header: usize, region: usize, old: usize): i32 {
  const mem = changetype<Region>(region);
  if (mem.memorySize == 0) return old == 0 ? invalid(header, CHECK_NO_SLOT) : CHANGE_DELETE;
  if (old == 0) return CHANGE_CREATE;
  const slot = changetype<Record>(old);
  const shift = <u64>changetype<Header>(header).pageShift;
  if (mem.flags & KVM_MEM_GUEST_MEMFD) return invalid(header, CHECK_MEMFD_CHANGES);
  if (mem.userspaceAddr != slot.userspaceAddr) return invalid(header, CHECK_HVA_CHANGES);
  if (mem.memorySize >> shift != <u64>slot.npages) return invalid(header, CHECK_SIZE_CHANGES);
  if ((mem.flags ^ slot.flags) & (KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD)) {
    return invalid(header, CHECK_READONLY_CHANGES);
  }
  if (mem.guestPhysAddr >> shift != slot.baseGfn) return CHANGE_MOVE;
  return mem.flags != slot.flags ? CHANGE_FLAGS_ONLY : CHANGE_NONE;
}
