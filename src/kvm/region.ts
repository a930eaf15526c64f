/** Codec of regions for the staging area: eight 32-bit words each, struct kvm_userspace_memory_region. */
import { putU64, show, toU32 } from "./arguments.js";
import { KvmError } from "./errno.js";
import {
  decodeUserspaceMemoryRegion,
  decodeUserspaceMemoryRegion2,
  KVM_USERSPACE_MEMORY_REGION_BYTES,
  type UserspaceMemoryRegion,
  type UserspaceMemoryRegion2,
} from "./uapi.js";

/** Words of a region. */
export const REGION_WORDS = KVM_USERSPACE_MEMORY_REGION_BYTES / 4;

const TWO_32 = 2 ** 32;
/** The last page that Linux on x86 gives to no process. */
const GUARD_BYTES = 0x1000;

/** Width of a host address, if nothing else is said: the lower half of 48 bits, as on x86 with 4-level paging. */
export const USER_ADDR_BITS = 47;

/** The end of host addresses of `bits` bits: of 47 TASK_SIZE_MAX. */
export function userEnd(bits: number): number {
  return 2 ** bits - GUARD_BYTES;
}

/**
 * A mapped slot, as `engine.slots()` lists it: KVM's struct with its addresses as numbers, since every address that
 * the engine accepts is below 2^53.
 */
export interface Slot extends UserspaceMemoryRegion {
  guestPhysAddr: number;
  memorySize: number;
  userspaceAddr: number;
  /** With KVM_MEM_GUEST_MEMFD: descriptor of its file. */
  guestMemfd?: number;
  /** With KVM_MEM_GUEST_MEMFD: byte of the file that the slot begins with. */
  guestMemfdOffset?: number;
}

/** A region as a JavaScript object or as the bytes of the kernel's struct. */
export type RegionLike = UserspaceMemoryRegion | Uint8Array;
/** A list of regions, or the bytes of the RFC's struct kvm_userspace_memory_region_list. */
export type RegionListLike = readonly RegionLike[] | Uint8Array;
/** The same for KVM_SET_USER_MEMORY_REGION2. */
export type Region2Like = UserspaceMemoryRegion2 | Uint8Array;

/**
 * Encode one region as eight words. `name` is called only for an error: making the names of all fields takes longer
 * than the rest of a commit.
 * @throws TypeError naming the field, KvmError EFAULT for bytes that are too few
 */
export function putRegion(
  words: Uint32Array,
  at: number,
  region: RegionLike,
  name: () => string,
  op: string,
): void {
  if (typeof region !== "object" || region === null) {
    throw new TypeError(`${name()} must be an object, not ${show(region)}`);
  }
  // A Uint8Array has none of these fields and falls through.
  const { slot, flags, guestPhysAddr, memorySize, userspaceAddr } = region as UserspaceMemoryRegion;
  if (
    isU32(slot) &&
    isU32(flags) &&
    isPlain(guestPhysAddr) &&
    isPlain(memorySize) &&
    isPlain(userspaceAddr)
  ) {
    words[at] = slot;
    words[at + 1] = flags;
    words[at + 2] = guestPhysAddr;
    words[at + 3] = guestPhysAddr / TWO_32;
    words[at + 4] = memorySize;
    words[at + 5] = memorySize / TWO_32;
    words[at + 6] = userspaceAddr;
    words[at + 7] = userspaceAddr / TWO_32;
    return;
  }
  if (region instanceof Uint8Array) {
    putRegion(words, at, decodeUserspaceMemoryRegion(region, op), name, op);
    return;
  }
  words[at] = toU32(slot, `${name()}.slot`);
  words[at + 1] = toU32(flags, `${name()}.flags`);
  putU64(words, at + 2, guestPhysAddr, `${name()}.guestPhysAddr`);
  putU64(words, at + 4, memorySize, `${name()}.memorySize`);
  putU64(words, at + 6, userspaceAddr, `${name()}.userspaceAddr`);
}

/** Encode one struct kvm_userspace_memory_region2 as eleven words. @throws as putRegion */
export function putRegion2(words: Uint32Array, region: Region2Like, name: string, op: string): void {
  const mem = region instanceof Uint8Array ? decodeUserspaceMemoryRegion2(region, op) : region;
  putRegion(words, 0, mem, () => name, op);
  const { guestMemfdOffset = 0, guestMemfd: fd = 0 } = mem;
  putU64(words, 8, guestMemfdOffset, `${name}.guestMemfdOffset`);
  // A C program passes an int, the struct has a u32.
  if (typeof fd !== "number" || ((fd | 0) !== fd && fd >>> 0 !== fd)) {
    throw new TypeError(`${name}.guestMemfd must be a 32-bit integer, not ${show(fd)}`);
  }
  words[10] = fd;
}

/**
 * Encode a list whose length was `count` when it was asked: a getter of an entry may change it, and then the entries
 * that are gone are refused.
 * @throws TypeError naming entry and field, KvmError EFAULT with the entry
 */
export function putRegions(
  words: Uint32Array,
  regions: readonly RegionLike[],
  count: number,
  op: string,
): void {
  let i = 0;
  const name = () => `regions[${i}]`;
  try {
    for (; i < count; i++) putRegion(words, i * REGION_WORDS, regions[i]!, name, op);
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new KvmError(error.errno, op, { index: i });
  }
}

/** The 64 bits at word `at`: a number up to 2^53 - 1, a bigint above. */
export function getU64(words: Uint32Array, at: number): number | bigint {
  const value = words[at + 1]! * TWO_32 + words[at]!;
  return Number.isSafeInteger(value) ? value : (BigInt(words[at + 1]!) << 32n) | BigInt(words[at]!);
}

/** Decode the region at word `at`. Addresses are numbers: the engine accepts only those below 2^53. */
export function getRegion(words: Uint32Array, at: number): Slot {
  return {
    slot: words[at]!,
    flags: words[at + 1]!,
    guestPhysAddr: words[at + 3]! * TWO_32 + words[at + 2]!,
    memorySize: words[at + 5]! * TWO_32 + words[at + 4]!,
    userspaceAddr: words[at + 7]! * TWO_32 + words[at + 6]!,
  };
}

/** Why an engine of these limits refuses a slot number; undefined if it does not. */
export function badSlot(
  { addressSpaces, maxSlots }: { readonly addressSpaces: number; readonly maxSlots: number },
  slot: number,
): string | undefined {
  if (slot >>> 16 < addressSpaces && (slot & 0xffff) < maxSlots) return undefined;
  const number = `0x${slot.toString(16)}`;
  return `slot ${number} must be asId << 16 | id, with asId below ${addressSpaces} and id below ${maxSlots}`;
}

/** Whether `value` is an integer from 0 to 2^53 - 1. */
function isPlain(value: unknown): value is number {
  return (
    typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value
  );
}

function isU32(value: unknown): value is number {
  return typeof value === "number" && value >>> 0 === value;
}
