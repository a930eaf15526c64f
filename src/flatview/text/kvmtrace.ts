/**
 * Logs of QEMU's `-trace kvm_set_user_memory`: each line one KVM_SET_USER_MEMORY_REGION, among lines of other
 * trace points, which are passed over.
 *
 *   kvm_set_user_memory Slot#0 flags=0x0 gpa=0x0 size=0x40000000 ua=0x7f1c3fe00000 ret=0           log
 *   1234@1700000000.123456:kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x0 gpa=...                log, since QEMU 9
 *   2026-01-02T03:04:05.678901Z kvm_set_user_memory ...                                            log, since 10.1
 *    qemu-2345  [001] ..... 19702.919659: tracing_mark_write: kvm_set_user_memory Slot#0 ...       ftrace
 *   Jan  2 03:04:05 host qemu[2345]: kvm_set_user_memory Slot#0 ...                                syslog
 *   kvm_set_user_memory 12.345 pid=2345 slot=0x0 flags=0x0 guest_phys_addr=0x0 memory_size=0x40000000 ...   simple
 *
 * Whatever stands before the name is passed over. Behind it each value has a name, and nothing else is there: a line
 * that is not so is an error, because a map without its update would be wrong.
 *
 * Mirrors trace_kvm_set_user_memory (QEMU accel/kvm/trace-events); before QEMU 9 the slot holds the address space
 * in its upper half.
 */
import { ParseError } from "./parseerror.js";
import { pastedLines } from "./pastedlines.js";

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
  /** Descriptor of the guest_memfd, with KVM_MEM_GUEST_MEMFD. */
  readonly guestMemfd?: number;
  /** Bytes from its start, likewise. */
  readonly guestMemfdOffset?: bigint;
  /** Process or thread that made it, where the line tells. */
  readonly pid?: number;
  /** Descriptor of the virtual machine, where the line tells. */
  readonly fd?: number;
}

const NAME = "kvm_set_user_memory";
/** What stands before the name in a command that switches the trace point on. */
const COMMAND = /(?:-trace|trace-event|-events?|enable=)\b/;
const VALUE = /^[\s,;:{}]*([A-Za-z_]\w*)\s*(?:=\s*|#)(-?(?:0x[0-9a-f]+|\d+))(?![\w.])/i;
/** Of the simple backend: microseconds since the last event. */
const DELTA = /^[:\s]*(?:-?\d+\.\d+\s+)?/;

/** Names of a value in the formats of all backends and versions. */
const NAMES: Readonly<Record<string, keyof Values>> = {
  addrspace: "as",
  as: "as",
  as_id: "as",
  slot: "slot",
  flags: "flags",
  gpa: "gpa",
  guest_phys_addr: "gpa",
  size: "size",
  memory_size: "size",
  ua: "ua",
  userspace_addr: "ua",
  guest_memfd: "fd",
  fd: "fd",
  guest_memfd_offset: "offset",
  fd_offset: "offset",
  ret: "ret",
  pid: "pid",
};

interface Values {
  as: bigint;
  slot: bigint;
  flags: bigint;
  gpa: bigint;
  size: bigint;
  ua: bigint;
  fd: bigint;
  offset: bigint;
  ret: bigint;
  pid: bigint;
}

/** The text has such a line, or one that is meant to be. */
export function isKvmTrace(text: string): boolean {
  return /kvm_set_user_memory\b[^\n=#]{0,80}[=#]/.test(text);
}

/** The updates of a log, in order. @throws ParseError naming the line */
export function parseKvmTrace(text: string): TracedUpdate[] {
  return pastedLines(text).flatMap(({ number, text: line }) => {
    const at = line.indexOf(NAME);
    if (at < 0 || /\w/.test(line[at + NAME.length] ?? "")) return [];
    if (line.trimStart() === NAME || COMMAND.test(line.slice(0, line.lastIndexOf(NAME)))) return [];
    return updateOf(number, line.slice(0, at), line.slice(at + NAME.length));
  });
}

function updateOf(line: number, before: string, rest: string): TracedUpdate {
  const values = valuesOf(rest);
  const needed = ["slot", "flags", "gpa", "size", "ua", "ret"] as const;
  if (values === undefined || needed.some((name) => values[name] === undefined)) {
    throw new ParseError(line, `not as kvm_set_user_memory is traced: ${rest.trim()}`);
  }
  const { as = 0n, slot, flags, gpa, size, ua, ret, pid } = values as Values;
  const inRange = as < 1n << 16n && slot < 1n << 32n && flags < 1n << 32n;
  if (!inRange || [as, slot, flags, gpa, size, ua].some((value) => value < 0n || value >= 1n << 64n)) {
    throw new ParseError(line, `a value is beyond its type: ${rest.trim()}`);
  }
  const process = pid === undefined ? pidOf(before) : Number(pid);
  return {
    line,
    time: timeOf(before),
    slot: Number((as << 16n) | slot),
    flags: Number(flags),
    guestPhysAddr: gpa,
    memorySize: size,
    userspaceAddr: ua,
    ret: Number(BigInt.asIntN(32, ret)),
    ...memfdOf(flags, values),
    ...(process !== undefined && { pid: process }),
  };
}

/** What a slot without KVM_MEM_GUEST_MEMFD has there means nothing. */
function memfdOf(flags: bigint, { fd, offset }: Partial<Values>): Partial<TracedUpdate> {
  if ((flags & 4n) === 0n || fd === undefined) return {};
  return { guestMemfd: Number(BigInt.asIntN(32, fd)), guestMemfdOffset: offset ?? 0n };
}

/** The named values, or undefined if anything else is there. */
function valuesOf(text: string): Partial<Values> | undefined {
  const values: Partial<Values> = {};
  let rest = text.replace(DELTA, "");
  for (let found = VALUE.exec(rest); found !== null; found = VALUE.exec(rest)) {
    const [whole, name, digits] = found as (string | undefined)[] as [string, string, string];
    const lower = name.toLowerCase();
    const known = Object.hasOwn(NAMES, lower) ? NAMES[lower] : undefined;
    if (known !== undefined) {
      if (values[known] !== undefined) return undefined;
      values[known] = digits.startsWith("-") ? -BigInt(digits.slice(1)) : BigInt(digits);
    } else if (!/^(?:cpu_id|vpid|vtid|procname|tid|perf_\w+)$/.test(name)) return undefined;
    rest = rest.slice(whole.length);
  }
  return /^[\s,;{}"'\\]*$/.test(rest) ? values : undefined;
}

function timeOf(before: string): number | undefined {
  const seconds =
    /(?:^|\s)\d{1,20}@(\d{1,20}\.\d{1,20}):$/.exec(before.trimEnd())?.[1] ??
    /(?:^|\s)(\d{1,20}\.\d{1,20}): /.exec(before)?.[1];
  if (seconds !== undefined) return Number(seconds);
  const iso = /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?/.exec(before)?.[0];
  if (iso === undefined) return undefined;
  const time = Date.parse(iso.replace(" ", "T").replace(",", "."));
  return Number.isNaN(time) ? undefined : time / 1000;
}

/** pid@time, task-pid [cpu] of ftrace, name[pid] of syslog. */
function pidOf(before: string): number | undefined {
  const found =
    /(?:^|\s)(\d{1,20})@\d{1,20}\.\d{1,20}:$/.exec(before.trimEnd()) ??
    /-(\d{1,20})\s{1,40}(?:\([^()]{0,40}\)\s{1,40})?\[\d{1,9}\]/.exec(before) ??
    /[^\s[]\[(\d{1,20})\]:$/.exec(before.trimEnd());
  return found === null ? undefined : Number(found[1]);
}
