/**
 * Regions between JavaScript and the staging area: eight 32-bit words each, struct
 * kvm_userspace_memory_region.
 */
import { KvmError } from "./errno.js";
import {
  decodeMemoryRegion,
  decodeMemoryRegion2,
  KVM_USERSPACE_MEMORY_REGION_BYTES,
  type MemoryRegion,
  type MemoryRegion2,
} from "./uapi.js";

/** Words of a region. */
export const REGION_WORDS = KVM_USERSPACE_MEMORY_REGION_BYTES / 4;

const TWO_32 = 2 ** 32;
const TWO_64 = 2n ** 64n;

/** A region as a JavaScript object or as the bytes of the kernel's struct. */
export type RegionLike = MemoryRegion | Uint8Array;
/** The same for KVM_SET_USER_MEMORY_REGION2. */
export type Region2Like = MemoryRegion2 | Uint8Array;

/** How a value looks in an error message. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "object" && value !== null ? Object.prototype.toString.call(value) : String(value);
}

/** `value` as a 32-bit word. @throws TypeError naming the field */
export function toU32(value: unknown, name: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= TWO_32) {
    throw new TypeError(`${name} must be an integer from 0 to 2^32 - 1, not ${show(value)}`);
  }
  return value;
}

/** Put `value` into two words. @throws TypeError naming the field */
export function putU64(words: Uint32Array, at: number, value: unknown, name: string): void {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) {
    words[at] = value;
    words[at + 1] = value / TWO_32;
  } else if (typeof value === "bigint" && value >= 0n && value < TWO_64) {
    words[at] = Number(value & 0xffff_ffffn);
    words[at + 1] = Number(value >> 32n);
  } else {
    throw new TypeError(
      `${name} must be an integer from 0 to 2^53 - 1 or a bigint below 2^64, not ${show(value)}`,
    );
  }
}

/** An address that two words hold without a look at more than its value. */
function isPlain(value: unknown): value is number {
  return (
    typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value
  );
}

function isU32(value: unknown): value is number {
  return typeof value === "number" && value >>> 0 === value;
}

/**
 * Put one region into eight words. `name` is asked for when there is something to say only: making the names of
 * all fields takes longer than the rest of a commit.
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
  // Bytes have none of these and fall through.
  const { slot, flags, guestPhysAddr, memorySize, userspaceAddr } = region as MemoryRegion;
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
    putRegion(words, at, decodeMemoryRegion(region, op), name, op);
    return;
  }
  words[at] = toU32(slot, `${name()}.slot`);
  words[at + 1] = toU32(flags, `${name()}.flags`);
  putU64(words, at + 2, guestPhysAddr, `${name()}.guestPhysAddr`);
  putU64(words, at + 4, memorySize, `${name()}.memorySize`);
  putU64(words, at + 6, userspaceAddr, `${name()}.userspaceAddr`);
}

/** Put one region of the second version into eleven words. @throws as putRegion */
export function putRegion2(words: Uint32Array, region: Region2Like, name: string, op: string): void {
  const mem = region instanceof Uint8Array ? decodeMemoryRegion2(region, op) : region;
  putRegion(words, 0, mem, () => name, op);
  putU64(words, 8, mem.guestMemfdOffset ?? 0, `${name}.guestMemfdOffset`);
  const fd = mem.guestMemfd ?? 0;
  if (typeof fd !== "number" || (fd | 0) !== fd) {
    throw new TypeError(`${name}.guestMemfd must be a 32-bit integer, not ${show(fd)}`);
  }
  words[10] = fd;
}

/** A list as words. @throws TypeError naming entry and field, KvmError EFAULT with the entry */
export function putRegions(words: Uint32Array, regions: readonly RegionLike[], op: string): void {
  let i = 0;
  const name = () => `regions[${i}]`;
  try {
    for (; i < regions.length; i++) putRegion(words, i * REGION_WORDS, regions[i]!, name, op);
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    throw new KvmError(error.errno, op, { index: i });
  }
}

/** The region in eight words, addresses as numbers: all that the engine accepts is below 2^53. */
export function getRegion(words: Uint32Array, at: number): MappedRegion {
  const u64 = (i: number) => words[at + i + 1]! * TWO_32 + words[at + i]!;
  return {
    slot: words[at]!,
    flags: words[at + 1]!,
    guestPhysAddr: u64(2),
    memorySize: u64(4),
    userspaceAddr: u64(6),
  };
}

/** A mapped slot: a region whose addresses are numbers, in bytes. */
export interface MappedRegion extends MemoryRegion {
  guestPhysAddr: number;
  memorySize: number;
  userspaceAddr: number;
}
