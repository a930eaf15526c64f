/**
 * Logs of QEMU's `-trace kvm_set_user_memory`: each line one KVM_SET_USER_MEMORY_REGION, among lines of other
 * trace points, which are passed over.
 *
 *   kvm_set_user_memory Slot#0 flags=0x0 gpa=0x0 size=0x40000000 ua=0x7f1c3fe00000 ret=0
 *   1234@1700000000.123456:kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x0 gpa=...   (since QEMU 9)
 *
 * Mirrors trace_kvm_set_user_memory (QEMU accel/kvm/trace-events); before QEMU 9 the slot holds the address space
 * in its upper half.
 */
import { linesOf, ParseError } from "./parseerror.js";

/** One update as logged. Addresses are bigints, as the log has all of u64. */
export interface TracedUpdate {
  /** Counted from 1. */
  readonly line: number;
  /** Seconds, if the log has a clock. */
  readonly time: number | undefined;
  /** Address space << 16 | id. */
  readonly slot: number;
  /** KVM_MEM_* bits. */
  readonly flags: number;
  /** First guest address, in bytes. */
  readonly guestPhysAddr: bigint;
  /** Bytes; 0 deletes. */
  readonly memorySize: bigint;
  /** Host address of the first byte. */
  readonly userspaceAddr: bigint;
  /** What the ioctl answered: 0, or a negated errno. */
  readonly ret: number;
}

const EVENT = /^(?:\d+@(\d+\.\d+):)?kvm_set_user_memory (.*)$/;
const U64 = "0x([0-9a-f]{1,16})";
const FIELDS = new RegExp(
  `^(?:AddrSpace#(\\d+) )?Slot#(\\d+) flags=0x([0-9a-f]{1,8}) gpa=${U64} size=${U64} ua=${U64}` +
    "(?: guest_memfd=-?\\d+ guest_memfd_offset=0x[0-9a-f]+)? ret=(-?\\d+)$",
);

/** The updates of a log, in order. @throws ParseError naming the line */
export function parseKvmTrace(text: string): TracedUpdate[] {
  return linesOf(text).flatMap((content, i) => {
    const event = EVENT.exec(content);
    if (event === null) return [];
    const fields = FIELDS.exec(event[2]!);
    if (fields === null) throw new ParseError(i + 1, `not as kvm_set_user_memory is traced: ${event[2]}`);
    const [, asId, slot, flags, gpa, size, ua, ret] = fields as (string | undefined)[] as [
      string,
      ...string[],
    ];
    const hex = (digits: string | undefined) => BigInt(`0x${digits}`);
    return {
      line: i + 1,
      time: event[1] === undefined ? undefined : Number(event[1]),
      slot: ((Number(asId ?? 0) << 16) | Number(slot)) >>> 0,
      flags: Number(hex(flags)),
      guestPhysAddr: hex(gpa),
      memorySize: hex(size),
      userspaceAddr: hex(ua),
      ret: Number(ret),
    };
  });
}
