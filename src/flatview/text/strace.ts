/**
 * The KVM_SET_USER_MEMORY_REGION lines of strace: what any VMM told KVM.
 *
 *   [pid 1002] 17:30:10.25 ioctl(13, KVM_SET_USER_MEMORY_REGION, {slot=7, flags=KVM_MEM_READONLY, guest_phys_addr=0x0,
 *     memory_size=4096, userspace_addr=0x20fe8000}) = -1 EINVAL (Invalid argument) <0.000021>
 *   1002 ioctl(13, KVM_SET_USER_MEMORY_REGION2, {..., guest_memfd_offset=0, guest_memfd=16}) = 0
 *   1002 ioctl(13, KVM_SET_USER_MEMORY_REGION, {...} <unfinished ...>
 *   1002 <... ioctl resumed>) = 0
 *
 * The number before a line is that of a thread. Mirrors kvm_ioctl_decode_set_user_memory_region (strace src/kvm.c).
 */
import { ERRNO } from "../../kvm/errno.js";
import type { TracedUpdate } from "./kvmtrace.js";
import { ParseError } from "./parseerror.js";
import { pastedLines } from "./pastedlines.js";

const CALL = /ioctl\((\d{1,10})(?:<[^<>\n]{0,255}>)?, KVM_SET_USER_MEMORY_REGION2?, /;
const RESULT = /\) {0,80}= (-?\d{1,20}|\?)(?: (E[A-Z0-9]{1,20}))?(?: \([^()\n]{0,80}\))?(?: <[\d.]{1,40}>)?$/;
const RESUMED = "<... ioctl resumed>";
const UNFINISHED = / ?<unfinished \.\.\.>$/;
const FLAGS: Readonly<Record<string, number>> = {
  KVM_MEM_LOG_DIRTY_PAGES: 1,
  KVM_MEM_READONLY: 2,
  KVM_MEM_GUEST_MEMFD: 4,
};

/** Characters that a call may have in front of the request: a descriptor, perhaps with the path of its file. */
const DESCRIPTOR_MAX = 270;

/** The text has such a line. */
export function isStrace(text: string): boolean {
  for (const { index } of text.matchAll(/,\sKVM_SET_USER_MEMORY_REGION2?,\s/g)) {
    const before = text.slice(Math.max(0, index - DESCRIPTOR_MAX), index);
    if (/ioctl\(\d/.test(before.slice(before.lastIndexOf("\n") + 1))) return true;
  }
  return false;
}

/** The updates of a log of strace, in order of their calls. @throws ParseError naming the line */
export function parseStrace(text: string): TracedUpdate[] {
  const updates: TracedUpdate[] = [];
  /** Calls that have not come back, by thread. */
  const open = new Map<number | undefined, { line: number; before: string; fd: string; rest: string }>();
  for (const { number: line, text: content } of pastedLines(text)) {
    const call = CALL.exec(content);
    const pid = pidOf(content);
    if (call !== null) {
      const fd = call[1]!;
      const before = content.slice(0, call.index);
      const rest = content.slice(call.index + call[0].length);
      if (UNFINISHED.test(rest)) open.set(pid, { line, before, fd, rest: rest.replace(UNFINISHED, "") });
      else updates.push(updateOf(line, before, fd, rest));
      continue;
    }
    const resumed = content.indexOf(RESUMED);
    const begun = resumed < 0 ? undefined : open.get(pid);
    if (begun === undefined) {
      if (/KVM_SET_USER_MEMORY_REGION2?\b/.test(content) && /\{slot=/.test(content)) {
        throw new ParseError(line, "not as strace prints KVM_SET_USER_MEMORY_REGION");
      }
      continue;
    }
    open.delete(pid);
    const { before, fd, rest } = begun;
    updates.push(updateOf(begun.line, before, fd, rest + content.slice(resumed + RESUMED.length)));
  }
  const [lost] = open.values();
  if (lost !== undefined)
    throw new ParseError(lost.line, "the call is unfinished: whether KVM took it is not told");
  return updates.sort((a, b) => a.line - b.line);
}

function updateOf(line: number, before: string, fd: string, rest: string): TracedUpdate {
  const fail = (): never => {
    throw new ParseError(line, "not as strace prints KVM_SET_USER_MEMORY_REGION");
  };
  const struct = /^\{([^{}]*)\}/.exec(rest);
  const result = RESULT.exec(rest);
  if (struct === null || result === null || result[1] === "?") return fail();
  const fields = new Map(
    struct[1]!.split(/,\s*/).map((field): [string, string] => {
      const [name, value] = field.split("=", 2) as [string, string | undefined];
      return [name.trim(), (value ?? "").split("/*", 1)[0]!.trimEnd()];
    }),
  );
  const number = (name: string): bigint => {
    const value = fields.get(name) ?? "";
    return /^(?:0x[0-9a-f]+|\d+|NULL)$/i.test(value) ? BigInt(value === "NULL" ? 0 : value) : fail();
  };
  const flags = flagsOf(fields.get("flags") ?? "") ?? fail();
  const memfd = (flags & 4) === 0 ? undefined : Number(BigInt.asIntN(32, number("guest_memfd")));
  const pid = pidOf(before);
  const time = /(?:^|\s)(\d{9,}\.\d+) $/.exec(before)?.[1];
  return {
    line,
    time: time === undefined ? undefined : Number(time),
    slot: Number(BigInt.asUintN(32, number("slot"))),
    flags,
    guestPhysAddr: number("guest_phys_addr"),
    memorySize: number("memory_size"),
    userspaceAddr: number("userspace_addr"),
    ret: resultOf(result[1]!, result[2]) ?? fail(),
    ...(memfd !== undefined && { guestMemfd: memfd, guestMemfdOffset: number("guest_memfd_offset") }),
    ...(pid !== undefined && { pid }),
    fd: Number(fd),
  };
}

/** KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY, with bits that strace does not know as a number. */
function flagsOf(text: string): number | undefined {
  let flags = 0;
  for (const part of text.split("|")) {
    const known = Object.hasOwn(FLAGS, part) ? FLAGS[part] : undefined;
    const bit = known ?? (/^(?:0x[0-9a-f]+|\d+)$/i.test(part) ? Number(part) : undefined);
    if (bit === undefined) return undefined;
    flags |= bit;
  }
  return flags >>> 0;
}

/** A negated errno; one that this library does not know is -1. */
function resultOf(value: string, name: string | undefined): number | undefined {
  if (value !== "-1") return Number(value) >= 0 ? Number(value) : undefined;
  return name === undefined ? undefined : -((ERRNO as Readonly<Record<string, number>>)[name] ?? 1);
}

function pidOf(text: string): number | undefined {
  const found = /^\s{0,80}(?:\[pid\s{1,20}(\d{1,20})\]|(\d{1,20})\s(?!\s{0,20}[\d.]{0,40}\s{0,20}=))/.exec(
    text,
  );
  return found === null ? undefined : Number(found[1] ?? found[2]);
}
