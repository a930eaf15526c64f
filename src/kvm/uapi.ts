/**
 * memslots/uapi: the constants and structs of include/uapi/linux/kvm.h that concern memory slots, and their codecs.
 * Struct bytes are little-endian.
 *
 * @module memslots/uapi
 */
import { ERRNO, KvmError } from "./errno.js";

/** Flag of a slot: keep a dirty log. */
export const KVM_MEM_LOG_DIRTY_PAGES = 1 << 0;
/** Flag of a slot: guest writes are refused (HVA_RO_BAD). */
export const KVM_MEM_READONLY = 1 << 1;
/** Flag of a slot: backed by a guest_memfd, KVM_SET_USER_MEMORY_REGION2 only. */
export const KVM_MEM_GUEST_MEMFD = 1 << 2;

/** KVM_SET_USER_MEMORY_REGION is supported. */
export const KVM_CAP_USER_MEMORY = 3;
/** Slots per address space; its value is the engine's `maxSlots`. */
export const KVM_CAP_NR_MEMSLOTS = 10;
/** Slots can be deleted; always 1. */
export const KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21;
/** Slots may join into one; always 1. */
export const KVM_CAP_JOIN_MEMORY_REGIONS_WORKS = 30;
/** KVM_MEM_READONLY is supported. */
export const KVM_CAP_READONLY_MEM = 81;
/** Number of address spaces; 0 if there is one, as in a KVM without system management mode. */
export const KVM_CAP_MULTI_ADDRESS_SPACE = 118;
/** Obsolete first version; refused, as KVM does. */
export const KVM_CAP_MANUAL_DIRTY_LOG_PROTECT = 166;
/** Manual dirty log protection; its value is the mask of KVM_DIRTY_LOG_* bits. */
export const KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168;
/** Dirty ring; its value is the largest size in bytes. */
export const KVM_CAP_DIRTY_LOG_RING = 192;
/** The same under the name that promises acquire/release order of the entries' states. */
export const KVM_CAP_DIRTY_LOG_RING_ACQ_REL = 223;
/** Writes that go to no dirty ring go to the bitmaps, and KVM_GET_DIRTY_LOG works beside the rings. */
export const KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP = 225;
/** KVM_SET_USER_MEMORY_REGION2 is supported. */
export const KVM_CAP_USER_MEMORY2 = 231;
/** Attributes of guest memory; its value is the mask of KVM_MEMORY_ATTRIBUTE_* bits. */
export const KVM_CAP_MEMORY_ATTRIBUTES = 233;
/** A guest_memfd can be created and bound. */
export const KVM_CAP_GUEST_MEMFD = 234;
/** Flags of KVM_CREATE_GUEST_MEMFD; its value is the mask of GUEST_MEMFD_FLAG_* bits. */
export const KVM_CAP_GUEST_MEMFD_FLAGS = 244;
/**
 * Entries of the longest list, `maxListEntries`. Linux has no list, so this number is outside of its range.
 */
export const KVM_CAP_USER_MEMORY_REGION_LIST = 0x6d73_0001;

/** args[0] of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: GET_DIRTY_LOG leaves the bits, CLEAR_DIRTY_LOG removes them. */
export const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1 << 0;
/** args[0] of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: a new bitmap starts with every page dirty. */
export const KVM_DIRTY_LOG_INITIALLY_SET = 1 << 1;

/** Flag of a guest_memfd: host user space may map it. */
export const GUEST_MEMFD_FLAG_MMAP = 1 << 0;
/** Flag of a guest_memfd: its pages are shared with the host until they are made private. */
export const GUEST_MEMFD_FLAG_INIT_SHARED = 1 << 1;

/** Attribute of guest memory: guest accesses may not read it. Bit of a series that is not in Linux yet. */
export const KVM_MEMORY_ATTRIBUTE_NR = 1 << 0;
/** Attribute of guest memory: guest accesses may not write it. Bit of a series that is not in Linux yet. */
export const KVM_MEMORY_ATTRIBUTE_NW = 1 << 1;
/** Attribute of guest memory: guest accesses may not fetch code from it. Bit of a series that is not in Linux yet. */
export const KVM_MEMORY_ATTRIBUTE_NX = 1 << 2;
/** Attribute of guest memory: its bytes are those of the guest_memfd, not those at userspaceAddr. */
export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3;

/** State of a dirty ring's entry: pushed by the vCPU. */
export const KVM_DIRTY_GFN_F_DIRTY = 1 << 0;
/** State of a dirty ring's entry: harvested; the next reset frees it. */
export const KVM_DIRTY_GFN_F_RESET = 1 << 1;

/** KVM's limit of pages per slot, inclusive (KVM_MEM_MAX_NR_PAGES). */
export const KVM_MEM_MAX_NR_PAGES = 2 ** 31 - 1;
/** End of user addresses with 4-level paging; userspaceAddr + memorySize may equal it. */
export const TASK_SIZE_MAX = 0x7fff_ffff_f000;

/** Result of a translation where no slot maps the page (KVM_HVA_ERR_BAD). */
export const HVA_BAD = -1;
/** Result of a write translation in a READONLY slot (KVM_HVA_ERR_RO_BAD). */
export const HVA_RO_BAD = -2;
/** Result of `resolve` where a device's window maps the byte. */
export const HVA_MMIO = -3;
/** Result of the wasm ABI's fillTlb where KVM_MEMORY_ATTRIBUTE_NR, NW or NX forbids the access. */
export const HVA_NO_ACCESS = -4;

/** Bytes of struct kvm_userspace_memory_region. */
export const KVM_USERSPACE_MEMORY_REGION_BYTES = 32;
/** Bytes of struct kvm_userspace_memory_region2. */
export const KVM_USERSPACE_MEMORY_REGION2_BYTES = 160;

/**
 * struct kvm_userspace_memory_region. Addresses and sizes are in bytes; a number is exact up to 2^53, a bigint up to
 * 2^64.
 */
export interface UserspaceMemoryRegion {
  /** Address space << 16 | slot id. */
  slot: number;
  /** KVM_MEM_* bits. */
  flags: number;
  /** First guest-physical address, a multiple of the page size. */
  guestPhysAddr: number | bigint;
  /** Bytes, a multiple of the page size; 0 deletes the slot. */
  memorySize: number | bigint;
  /** Host address of the first byte, a multiple of the page size. */
  userspaceAddr: number | bigint;
}

/** struct kvm_userspace_memory_region2. */
export interface UserspaceMemoryRegion2 extends UserspaceMemoryRegion {
  /** Byte offset in the guest_memfd; read only with KVM_MEM_GUEST_MEMFD. */
  guestMemfdOffset?: number | bigint;
  /** Descriptor of the guest_memfd, a 32-bit word; -1 is 0xffffffff. Read only with KVM_MEM_GUEST_MEMFD. */
  guestMemfd?: number;
}

/** struct kvm_memory_attributes. Addresses and sizes as in UserspaceMemoryRegion. */
export interface MemoryAttributes {
  /** First guest-physical address, a multiple of the page size. */
  address: number | bigint;
  /** Bytes, a multiple of the page size, above 0. */
  size: number | bigint;
  /** KVM_MEMORY_ATTRIBUTE_* bits; 0 removes them. */
  attributes: number | bigint;
  /** Must be 0: KVM defines none. */
  flags?: number | bigint;
}

/** Encode struct kvm_userspace_memory_region as the bytes that a C program passes to the ioctl. */
export function encodeUserspaceMemoryRegion(region: UserspaceMemoryRegion): Uint8Array {
  const bytes = new Uint8Array(KVM_USERSPACE_MEMORY_REGION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, region.slot, true);
  view.setUint32(4, region.flags, true);
  view.setBigUint64(8, BigInt(region.guestPhysAddr), true);
  view.setBigUint64(16, BigInt(region.memorySize), true);
  view.setBigUint64(24, BigInt(region.userspaceAddr), true);
  return bytes;
}

/** Decode struct kvm_userspace_memory_region. @throws KvmError EFAULT for fewer than 32 bytes */
export function decodeUserspaceMemoryRegion(
  bytes: Uint8Array,
  op = "decodeUserspaceMemoryRegion",
): UserspaceMemoryRegion {
  const view = viewOf(bytes, KVM_USERSPACE_MEMORY_REGION_BYTES, op);
  return {
    slot: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    guestPhysAddr: view.getBigUint64(8, true),
    memorySize: view.getBigUint64(16, true),
    userspaceAddr: view.getBigUint64(24, true),
  };
}

/** Decode struct kvm_userspace_memory_region2. @throws KvmError EFAULT for fewer than 160 bytes */
export function decodeUserspaceMemoryRegion2(
  bytes: Uint8Array,
  op = "decodeUserspaceMemoryRegion2",
): UserspaceMemoryRegion2 {
  const view = viewOf(bytes, KVM_USERSPACE_MEMORY_REGION2_BYTES, op);
  return {
    ...decodeUserspaceMemoryRegion(bytes, op),
    guestMemfdOffset: view.getBigUint64(32, true),
    guestMemfd: view.getUint32(40, true),
  };
}

function viewOf(bytes: Uint8Array, need: number, op: string): DataView {
  if (bytes.byteLength < need) {
    throw new KvmError(-ERRNO.EFAULT, op, {
      reason: `the struct has ${need} bytes, ${bytes.byteLength} can be read`,
    });
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
