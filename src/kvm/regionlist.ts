/**
 * struct kvm_userspace_memory_region_list, the argument of the RFC's KVM_SET_USER_MEMORY_REGION_LIST, as bytes:
 *
 *   u32 nent | u32 flags | entries: struct kvm_userspace_memory_region, u8 invalidate_slot, 31 bytes padding
 *
 * invalidate_slot tells the RFC's kernel that an entry deletes or moves. This engine derives that from the list: it is
 * written as 1 for a delete, and read by nobody. Little-endian, as all structs here.
 */
import { ERRNO, KvmError } from "./errno.js";
import {
  decodeUserspaceMemoryRegion,
  encodeUserspaceMemoryRegion,
  KVM_USERSPACE_MEMORY_REGION_BYTES,
  type UserspaceMemoryRegion,
} from "./uapi.js";

/** Bytes of struct kvm_userspace_memory_region_list before its entries. */
export const KVM_USERSPACE_MEMORY_REGION_LIST_BYTES = 8;
/** Bytes of struct kvm_userspace_memory_region_entry. */
export const KVM_USERSPACE_MEMORY_REGION_ENTRY_BYTES = 64;

/** Encode a list as the bytes that the RFC's ioctl takes. */
export function encodeUserspaceMemoryRegionList(regions: readonly UserspaceMemoryRegion[]): Uint8Array {
  const header = KVM_USERSPACE_MEMORY_REGION_LIST_BYTES;
  // Once: a getter of a region could change the list.
  const count = regions.length;
  const bytes = new Uint8Array(header + count * KVM_USERSPACE_MEMORY_REGION_ENTRY_BYTES);
  new DataView(bytes.buffer).setUint32(0, count, true);
  for (let i = 0; i < count; i++) {
    const at = header + i * KVM_USERSPACE_MEMORY_REGION_ENTRY_BYTES;
    const region = encodeUserspaceMemoryRegion(regions[i]!);
    bytes.set(region, at);
    const deletes = new DataView(region.buffer).getBigUint64(16, true) === 0n;
    if (deletes) bytes[at + KVM_USERSPACE_MEMORY_REGION_BYTES] = 1;
  }
  return bytes;
}

/**
 * Decode such bytes. Bytes behind the last entry are not read.
 * @param entriesMax the cap of a list; 2^32 - 1 if not given
 * @throws KvmError EFAULT where the header, or an entry that it announces, cannot be read; EINVAL for flags other than
 *   0; E2BIG for more than `entriesMax` entries
 */
export function decodeUserspaceMemoryRegionList(
  bytes: Uint8Array,
  entriesMax = 2 ** 32 - 1,
  op = "decodeUserspaceMemoryRegionList",
): UserspaceMemoryRegion[] {
  const header = KVM_USERSPACE_MEMORY_REGION_LIST_BYTES;
  const tooFew = (need: number) => {
    const reason = `the list has ${need} bytes, ${bytes.byteLength} can be read`;
    return new KvmError(-ERRNO.EFAULT, op, { reason });
  };
  if (bytes.byteLength < header) throw tooFew(header);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [nent, flags] = [view.getUint32(0, true), view.getUint32(4, true)];
  if (flags !== 0) {
    throw new KvmError(-ERRNO.EINVAL, op, {
      reason: `flags of the list must be 0, not 0x${flags.toString(16)}`,
    });
  }
  if (nent > entriesMax) {
    throw new KvmError(-ERRNO.E2BIG, op, { reason: `${nent} entries, maxListEntries is ${entriesMax}` });
  }
  const need = header + nent * KVM_USERSPACE_MEMORY_REGION_ENTRY_BYTES;
  if (bytes.byteLength < need) throw tooFew(need);
  return Array.from({ length: nent }, (_, i) => {
    const at = header + i * KVM_USERSPACE_MEMORY_REGION_ENTRY_BYTES;
    return decodeUserspaceMemoryRegion(bytes.subarray(at, at + KVM_USERSPACE_MEMORY_REGION_BYTES), op);
  });
}
