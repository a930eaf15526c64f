/**
 * One recorded update: a KVM_SET_USER_MEMORY_REGION as the VMM issued it and KVM answered it. Invariants:
 * every address is page aligned and exact as a number; the host range lies inside its RAM block; only a
 * delete has size 0.
 */
import { KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "../kvm/uapi.js";
import type { BlockLayout } from "./blocks.js";
import type { JsonLine } from "./jsonl.js";

const KINDS = ["create", "delete", "move", "flags"] as const;
const PAGE_BYTES = 0x1000;
/** Ends of guest and block ranges stay exact as numbers up to here. */
const ADDRESS_MAX = Number.MAX_SAFE_INTEGER;
const U32_MAX = 2 ** 32 - 1;
const FLAGS = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD;
const S32_MAX = 2 ** 31 - 1;
const ERRNO_MAX = 4095;

export type UpdateKind = (typeof KINDS)[number];

export interface Update {
  readonly line: number;
  readonly commit: number;
  readonly kind: UpdateKind;
  /** Address space << 16 | slot id. */
  readonly slot: number;
  readonly flags: number;
  /** Bytes. */
  readonly gpa: number;
  /** Bytes, 0 for a delete. */
  readonly size: number;
  readonly hva: number;
  /** What the recorded ioctl answered. */
  readonly ret: number;
  /** The register write or BAR change that QEMU made it for, where that was recorded. */
  readonly cause?: string;
  /** With KVM_MEM_GUEST_MEMFD, where that was recorded: its descriptor, and bytes from its start. */
  readonly guestMemfd?: number;
  readonly guestMemfdOffset?: number;
}

/** @throws InputError naming the field that is wrong. */
export function parseUpdate(line: JsonLine, blocks: BlockLayout): Update {
  const kind = KINDS.find((known) => known === line.text("kind"));
  if (kind === undefined)
    line.fail(`unknown kind "${line.text("kind")}", it must be one of ${KINDS.join(", ")}`);
  const size = pageAligned(line, "size");
  if (kind === "delete" && size !== 0) line.fail(`kind is delete, but size is 0x${size.toString(16)}`);
  if (kind !== "delete" && size === 0) line.fail(`kind is ${kind}, but size 0x0 is a delete`);
  const gpa = pageAligned(line, "gpa");
  if (gpa + size > ADDRESS_MAX) line.fail(`gpa + size is beyond 2^53`);
  const block = line.text("block");
  const bytes = blocks.bytes(block);
  if (bytes === undefined) line.fail(`unknown block "${block}", the header does not name it`);
  const off = pageAligned(line, "off");
  if (off + size > bytes) {
    line.fail(
      `off + size is 0x${(off + size).toString(16)}, but block "${block}" has 0x${bytes.toString(16)} bytes`,
    );
  }
  return {
    line: line.line,
    commit: line.integer("commit", 0, Number.MAX_SAFE_INTEGER),
    kind,
    slot: line.integer("slot", 0, U32_MAX),
    flags: line.integer("flags", 0, FLAGS),
    gpa,
    size,
    hva: blocks.hva(block, off),
    ret: line.integer("ret", -ERRNO_MAX, 0),
    ...(line.has("cause") && { cause: line.text("cause") }),
    ...(line.has("guestMemfd") && {
      guestMemfd: line.integer("guestMemfd", 0, S32_MAX),
      guestMemfdOffset: line.has("guestMemfdOffset") ? pageAligned(line, "guestMemfdOffset") : 0,
    }),
  };
}

function pageAligned(line: JsonLine, name: string): number {
  const value = address(line, name);
  if (value % PAGE_BYTES !== 0)
    line.fail(`field "${name}" must be a multiple of 0x1000, it is 0x${value.toString(16)}`);
  return value;
}

/** A guest address, a size or an offset as a number. */
export function address(line: JsonLine, name: string): number {
  return exact(line, line.hex(name), `field "${name}"`);
}

export function exact(line: JsonLine, value: bigint, what: string): number {
  if (value > BigInt(ADDRESS_MAX)) line.fail(`${what} is 0x${value.toString(16)}, beyond 2^53`);
  return Number(value);
}
