/** Capabilities: KVM_CHECK_EXTENSION and KVM_ENABLE_CAP. */
import type { EngineExports } from "../core/exports.js";
import { RING_BYTES_MAX } from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { checkArray, checkOptionNames, putU64, show, toU32 } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import {
  GUEST_MEMFD_FLAG_INIT_SHARED,
  GUEST_MEMFD_FLAG_MMAP,
  KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_GUEST_MEMFD,
  KVM_CAP_GUEST_MEMFD_FLAGS,
  KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_CAP_MEMORY_ATTRIBUTES,
  KVM_CAP_MULTI_ADDRESS_SPACE,
  KVM_CAP_NR_MEMSLOTS,
  KVM_CAP_READONLY_MEM,
  KVM_CAP_USER_MEMORY,
  KVM_CAP_USER_MEMORY_REGION_LIST,
  KVM_CAP_USER_MEMORY2,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  KVM_MEMORY_ATTRIBUTE_NR,
  KVM_MEMORY_ATTRIBUTE_NW,
  KVM_MEMORY_ATTRIBUTE_NX,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
} from "../kvm/uapi.js";
import { TIMEOUT_MS } from "./commitoptions.js";
import { locked, lockedAsync } from "./lock.js";

/** struct kvm_enable_cap. */
export interface EnableCap {
  /** KVM_CAP_* number. */
  readonly cap: number;
  /** 0, as in KVM; any other value is EINVAL. */
  readonly flags?: number | undefined;
  /** Arguments of 64 bits each, 0 if not given; only the first is read. */
  readonly args?: readonly (number | bigint)[] | undefined;
}

/** KVM_CHECK_EXTENSION. @returns the value of a capability, 0 if it is unknown */
export function checkExtension({ maxSlots, addressSpaces, maxListEntries }: Thread, cap: number): number {
  switch (toU32(cap, "cap")) {
    case KVM_CAP_NR_MEMSLOTS:
      return maxSlots;
    case KVM_CAP_MULTI_ADDRESS_SPACE:
      // A KVM that has one for all of its VMs does not know the capability.
      return addressSpaces > 1 ? addressSpaces : 0;
    case KVM_CAP_GUEST_MEMFD_FLAGS:
      return GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
      return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
    case KVM_CAP_DIRTY_LOG_RING:
    case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
      return RING_BYTES_MAX;
    case KVM_CAP_USER_MEMORY_REGION_LIST:
      return maxListEntries;
    case KVM_CAP_MEMORY_ATTRIBUTES:
      return (
        KVM_MEMORY_ATTRIBUTE_NR |
        KVM_MEMORY_ATTRIBUTE_NW |
        KVM_MEMORY_ATTRIBUTE_NX |
        KVM_MEMORY_ATTRIBUTE_PRIVATE
      );
    case KVM_CAP_USER_MEMORY:
    case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
    case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
    case KVM_CAP_USER_MEMORY2:
    case KVM_CAP_GUEST_MEMFD:
    case KVM_CAP_READONLY_MEM:
    case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
      return 1;
    default:
      return 0;
  }
}

/** Arguments of `enableCap`. */
export type EnableCapArguments = [cap: number | EnableCap, ...args: (number | bigint)[]];

/** @throws as MemslotEngine.enableCap */
export function enableCap(thread: Thread, ...args: EnableCapArguments): void {
  const op = "enableCap";
  locked(thread, op, TIMEOUT_MS, enabling(op, args));
}

/** The same without sleeping. */
export async function enableCapAsync(thread: Thread, ...args: EnableCapArguments): Promise<void> {
  const op = "enableCapAsync";
  await lockedAsync(thread, op, TIMEOUT_MS, enabling(op, args));
}

/** Check the arguments. @returns what is done under the writer lock */
function enabling(
  op: string,
  [cap, ...args]: EnableCapArguments,
): (wasm: EngineExports, base: number) => void {
  const request: EnableCap = typeof cap === "object" && cap !== null ? cap : { cap, args };
  checkOptionNames<EnableCap>(request, { cap: true, flags: true, args: true }, "cap");
  const { cap: wanted, flags = 0, args: given = [] } = request;
  checkArray(given, "args");
  const [value = 0] = given;
  const number = toU32(wanted, "cap");
  const words = new Uint32Array(2);
  putU64(words, 0, value, "args[0]");
  if (toU32(flags, "flags") !== 0) {
    throw new KvmError(-ERRNO.EINVAL, op, { reason: `flags must be 0, not ${show(flags)}` });
  }
  return (wasm, base) => {
    const result = enable(wasm, base, number, words[0]!, words[1]!);
    if (result < 0) throw new KvmError(result, op, { reason: refusalOf(number, value) });
  };
}

/** What a capability asks for; the core has refused it. */
function refusalOf(cap: number, value: number | bigint): string {
  const given = `, not ${show(value)}`;
  switch (cap) {
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
      return `args[0] must be KVM_DIRTY_LOG_* bits, INITIALLY_SET only with MANUAL_PROTECT_ENABLE${given}`;
    case KVM_CAP_DIRTY_LOG_RING:
    case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
      return `args[0] must be a power of two from 4096 to ${RING_BYTES_MAX}, once, before the first vCPU${given}`;
    case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
      return "it must come after KVM_CAP_DIRTY_LOG_RING, and before the first slot";
    default:
      return `cap ${cap} is none that can be enabled`;
  }
}

function enable(wasm: EngineExports, base: number, cap: number, low: number, high: number): number {
  switch (cap) {
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
      return wasm.setManualDirtyLog(base, high === 0 ? low : 0xffff_ffff);
    case KVM_CAP_DIRTY_LOG_RING:
    case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
      // KVM reads the size as the lower half of the u64 argument and ignores the upper half.
      return wasm.enableDirtyRing(base, low);
    case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
      return wasm.enableRingBitmap(base);
    default:
      return -ERRNO.EINVAL;
  }
}
