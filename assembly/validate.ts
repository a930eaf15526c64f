/**
 * KVM's checks of one region, in KVM's order: first those that look at the region alone, then those against
 * the slot that has the id now. Everything here answers EINVAL, so that the order shows only against what
 * comes later.
 *
 * Mirrors check_memory_region_flags, kvm_set_memory_region (Linux 6.12).
 */
import { EINVAL, OK } from "./errno";
import { Header, Record, Region } from "./layout";

export const KVM_MEM_LOG_DIRTY_PAGES: u32 = 1;
export const KVM_MEM_READONLY: u32 = 2;
export const KVM_MEM_GUEST_MEMFD: u32 = 4;
/** KVM_MEM_MAX_NR_PAGES, inclusive. */
const MAX_NR_PAGES: u64 = 0x7fffffff;
/** TASK_SIZE_MAX with 4-level paging; the end of a host range may equal it. */
const TASK_SIZE_MAX: u64 = 0x7ffffffff000;

/** What a region does to the slot that has its id. */
export const CHANGE_CREATE: i32 = 0;
export const CHANGE_DELETE: i32 = 1;
export const CHANGE_MOVE: i32 = 2;
export const CHANGE_FLAGS_ONLY: i32 = 3;
export const CHANGE_NONE: i32 = 4;

/** KVM_SET_USER_MEMORY_REGION2 knows GUEST_MEMFD, which excludes the other flags. */
function validFlags(flags: u32, version2: bool): bool {
  if (version2 && flags & KVM_MEM_GUEST_MEMFD) return flags == KVM_MEM_GUEST_MEMFD;
  return (flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)) == 0;
}

/**
 * Checks 3 to 12 of the ioctl; the slot id is checked by slotKey. `memfdOffset` counts with GUEST_MEMFD only.
 */
export function checkRegion(header: usize, region: usize, version2: bool, memfdOffset: u64): i32 {
  const engine = changetype<Header>(header);
  const mem = changetype<Region>(region);
  const pageMask: u64 = ((<u64>1) << engine.pageShift) - 1;
  const size = mem.memorySize;
  if (!validFlags(mem.flags, version2)) return EINVAL;
  if (size & pageMask) return EINVAL;
  if (mem.guestPhysAddr & pageMask) return EINVAL;
  if (mem.userspaceAddr & pageMask) return EINVAL;
  if (size > TASK_SIZE_MAX || mem.userspaceAddr > TASK_SIZE_MAX - size) return EINVAL;
  if (mem.flags & KVM_MEM_GUEST_MEMFD && (memfdOffset & pageMask || memfdOffset + size < memfdOffset))
    return EINVAL;
  if (mem.guestPhysAddr + size < mem.guestPhysAddr) return EINVAL;
  if (size >> engine.pageShift > MAX_NR_PAGES) return EINVAL;
  return OK;
}

/** Which change a region makes to `old` (0: no such slot): CHANGE_*, or EINVAL. */
export function classify(header: usize, region: usize, old: usize): i32 {
  const mem = changetype<Region>(region);
  if (mem.memorySize == 0) return old == 0 ? EINVAL : CHANGE_DELETE;
  if (old == 0) return CHANGE_CREATE;
  const slot = changetype<Record>(old);
  const shift = <u64>changetype<Header>(header).pageShift;
  if (mem.flags & KVM_MEM_GUEST_MEMFD) return EINVAL;
  if (mem.userspaceAddr != slot.userspaceAddr) return EINVAL;
  if (mem.memorySize >> shift != <u64>slot.npages) return EINVAL;
  if ((mem.flags ^ slot.flags) & (KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD)) return EINVAL;
  if (mem.guestPhysAddr >> shift != slot.baseGfn) return CHANGE_MOVE;
  return mem.flags != slot.flags ? CHANGE_FLAGS_ONLY : CHANGE_NONE;
}
