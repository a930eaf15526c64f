/** KVM_CHECK_EXTENSION and KVM_ENABLE_CAP as far as slots are concerned. */
import { ERRNO } from "../../src/kvm/errno.js";
import * as uapi from "../../src/kvm/uapi.js";
import type { Limits } from "./checks.js";
import type { ModelDirtyLog } from "./dirtylog.js";

const RING_BYTES_MIN = 4096n;
const RING_BYTES_MAX = 1n << 20n;

/** Value of a capability, 0 for one that is unknown. */
export function extension(cap: number, limits: Limits): number {
  switch (cap) {
    case uapi.KVM_CAP_NR_MEMSLOTS:
      return limits.maxSlots;
    case uapi.KVM_CAP_MULTI_ADDRESS_SPACE:
      return limits.addressSpaces === 1 ? 0 : limits.addressSpaces;
    case uapi.KVM_CAP_GUEST_MEMFD_FLAGS:
      return uapi.GUEST_MEMFD_FLAG_MMAP | uapi.GUEST_MEMFD_FLAG_INIT_SHARED;
    case uapi.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
      return uapi.KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | uapi.KVM_DIRTY_LOG_INITIALLY_SET;
    case uapi.KVM_CAP_DIRTY_LOG_RING:
    case uapi.KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
      return Number(RING_BYTES_MAX);
    case uapi.KVM_CAP_USER_MEMORY_REGION_LIST:
      return limits.maxListEntries;
    case uapi.KVM_CAP_MEMORY_ATTRIBUTES:
      return (
        uapi.KVM_MEMORY_ATTRIBUTE_NR |
        uapi.KVM_MEMORY_ATTRIBUTE_NW |
        uapi.KVM_MEMORY_ATTRIBUTE_NX |
        uapi.KVM_MEMORY_ATTRIBUTE_PRIVATE
      );
    case uapi.KVM_CAP_GUEST_MEMFD:
    case uapi.KVM_CAP_READONLY_MEM:
    case uapi.KVM_CAP_USER_MEMORY2:
    case uapi.KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
      return 1;
    default:
      return 0;
  }
}

/** State that decides whether KVM_ENABLE_CAP still comes in time. */
export interface Moment {
  vcpuExists: boolean;
  slotExists: boolean;
}

/** 0, or a negated errno. */
export function enable(cap: number, arg: bigint, dirtyLog: ModelDirtyLog, moment: Moment): number {
  if (cap === uapi.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) {
    if (arg !== 0n && arg !== 1n && arg !== 3n) return -ERRNO.EINVAL;
    dirtyLog.manualProtect = arg !== 0n;
    dirtyLog.initiallySet = arg === 3n;
    return 0;
  }
  if (cap === uapi.KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP) {
    if (!dirtyLog.ringEnabled || moment.slotExists) return -ERRNO.EINVAL;
    dirtyLog.bitmapBesideRing = true;
    return 0;
  }
  if (cap !== uapi.KVM_CAP_DIRTY_LOG_RING && cap !== uapi.KVM_CAP_DIRTY_LOG_RING_ACQ_REL)
    return -ERRNO.EINVAL;
  // The kernel's function takes a u32, so the upper half of the argument is never seen.
  const bytes = BigInt.asUintN(32, arg);
  const powerOfTwo = bytes > 0n && (bytes & (bytes - 1n)) === 0n;
  if (!powerOfTwo || bytes < RING_BYTES_MIN) return -ERRNO.EINVAL;
  if (bytes > RING_BYTES_MAX) return -ERRNO.E2BIG;
  if (dirtyLog.ringEnabled || moment.vcpuExists) return -ERRNO.EINVAL;
  dirtyLog.ringEnabled = true;
  return 0;
}
