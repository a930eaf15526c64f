/**
 * KVM's checks of one update, in KVM's order (check_memory_region_flags, __kvm_set_memory_region and x86's
 * kvm_arch_prepare_memory_region). They answer 0 or a negated errno and change nothing.
 */
import { ERRNO } from "../../src/kvm/errno.js";
import {
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_MAX_NR_PAGES,
  KVM_MEM_READONLY,
} from "../../src/kvm/uapi.js";
import type { Arguments } from "./arguments.js";

export interface Limits {
  addressSpaces: number;
  maxSlots: number;
  maxListEntries: number;
  pageShift: number;
  maxPhysAddrBits: number;
  maxUserAddrBits: number;
}

/**
 * What is kept of an accepted update. Still u64: inside a list a slot may lie beyond the highest gpa for a
 * while.
 */
export type Slot = Readonly<Pick<Arguments, "slot" | "flags" | "gpa" | "size" | "hva">>;

export type Change = "CREATE" | "DELETE" | "MOVE" | "FLAGS_ONLY" | "NONE";

const U64_END = 1n << 64n;

export function knownFlagsV1(flags: number): boolean {
  return flags <= (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY);
}

/** GUEST_MEMFD excludes the other two. */
export function knownFlagsV2(flags: number): boolean {
  return knownFlagsV1(flags) || flags === KVM_MEM_GUEST_MEMFD;
}

export function asIdOf(slot: number): number {
  return Math.floor(slot / 0x1_0000);
}

export function idOf(slot: number): number {
  return slot % 0x1_0000;
}

/** Everything that needs no look at the slots. Each refusal is EINVAL, so their order shows nowhere. */
export function checkArguments(
  args: Arguments,
  limits: Limits,
  knownFlags: (flags: number) => boolean,
): number {
  const pageSize = 1n << BigInt(limits.pageShift);
  const npages = args.size / pageSize;
  const bad =
    idOf(args.slot) >= limits.maxSlots ||
    !knownFlags(args.flags) ||
    args.size % pageSize !== 0n ||
    args.gpa % pageSize !== 0n ||
    args.hva % pageSize !== 0n ||
    args.hva + args.size > (1n << BigInt(limits.maxUserAddrBits)) - 0x1000n ||
    (args.flags === KVM_MEM_GUEST_MEMFD &&
      (args.guestMemfdOffset % pageSize !== 0n || args.guestMemfdOffset + args.size >= U64_END)) ||
    asIdOf(args.slot) >= limits.addressSpaces ||
    args.gpa + args.size >= U64_END ||
    npages > BigInt(KVM_MEM_MAX_NR_PAGES);
  return bad ? -ERRNO.EINVAL : 0;
}

/** The kind of change, given the slot of that id or none. */
export function classify(args: Arguments, old: Slot | undefined): Change | number {
  if (args.size === 0n) return old ? "DELETE" : -ERRNO.EINVAL;
  if (!old) return "CREATE";
  if (args.flags === KVM_MEM_GUEST_MEMFD) return -ERRNO.EINVAL;
  if (args.hva !== old.hva) return -ERRNO.EINVAL;
  if (args.size !== old.size) return -ERRNO.EINVAL;
  const fixed = KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD;
  if ((args.flags & fixed) !== (old.flags & fixed)) return -ERRNO.EINVAL;
  if (args.gpa !== old.gpa) return "MOVE";
  return args.flags === old.flags ? "NONE" : "FLAGS_ONLY";
}

export function beyondHighestGpa(slot: Slot, limits: Limits): boolean {
  return slot.gpa + slot.size > 1n << BigInt(limits.maxPhysAddrBits);
}

export function sameSlot(a: Slot | undefined, b: Slot | undefined): boolean {
  if (!a || !b) return a === b;
  return a.flags === b.flags && a.gpa === b.gpa && a.size === b.size && a.hva === b.hva;
}
