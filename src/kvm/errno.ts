/**
 * The error numbers of Linux that the engine returns (include/uapi/asm-generic/errno-base.h), and the error class of
 * the package. The core returns the numbers negated.
 */
import type { EndedLog, GuestHole, KvmErrorDetails } from "./errordetails.js";

/** Error numbers by name, positive as in errno(3); a `KvmError` has them negated, as the kernel returns them. */
export const ERRNO = {
  /** No such slot, or it keeps no dirty log. */
  ENOENT: 2,
  /** The engine's memory is damaged. */
  EIO: 5,
  /** There are dirty rings, and no bitmap. */
  ENXIO: 6,
  /** More than the engine was made for. */
  E2BIG: 7,
  /** A descriptor that is no guest_memfd of this engine. */
  EBADF: 9,
  /** Every item of a fixed pool is in use. */
  EAGAIN: 11,
  /** The engine's memory is full. */
  ENOMEM: 12,
  /** Bytes that cannot be read or written. */
  EFAULT: 14,
  /** Another thread holds the lock, the gate or the spare layouts. */
  EBUSY: 16,
  /** A slot of the same address space overlaps. */
  EEXIST: 17,
  /** An argument that KVM refuses. */
  EINVAL: 22,
  /** A wait took longer than its timeout. */
  ETIMEDOUT: 110,
} as const;

/** Symbolic name of an error number, as in errno(3). */
export type ErrnoCode = keyof typeof ERRNO;

const MEANING: Record<ErrnoCode, string> = {
  ENOENT: "no such slot, or it keeps no dirty log",
  EIO: "the engine's memory is damaged",
  ENXIO: "the dirty ring is enabled, there is no bitmap",
  E2BIG: "too large",
  EBADF: "not a guest_memfd of this engine",
  EAGAIN: "nothing free right now",
  ENOMEM: "the engine's memory is full",
  EFAULT: "the argument cannot be read or written",
  EBUSY: "readers keep every spare layout, or the vCPUs are held, or a section of this thread is open",
  EEXIST: "overlaps a slot of the same address space",
  EINVAL: "invalid argument",
  ETIMEDOUT: "a reader did not leave its section in time",
};

/**
 * A refused call, with KVM's error number. Nothing has changed, unless `published` is true.
 */
export class KvmError extends Error {
  /** "KvmError". */
  override readonly name = "KvmError";
  /** Error number, negative as a kernel function returns it: -22. */
  readonly errno: number;
  /** Its name: "EINVAL". */
  readonly code: ErrnoCode;
  /** The call that was refused, by its name in this library. */
  readonly op: string;
  /** Index of the refused entry in the list, from 0 on; absent if no single entry was refused. */
  readonly index?: number;
  /** True when the new layout is in force although the call failed. */
  readonly published?: boolean;
  /** With `published` and the option `takeDirty`: the ended logs so far. */
  readonly dirty?: readonly EndedLog[];
  /** The hole that an access to guest memory met (EFAULT). */
  readonly hole?: Readonly<GuestHole>;

  /**
   * Make the error of a refused call.
   * @param errno error number of either sign; one that `ERRNO` lacks becomes EIO
   * @param op the refused call
   * @param details further fields of the error
   */
  constructor(errno: number, op: string, details: KvmErrorDetails = {}) {
    const code = codeOf(errno);
    const entry = details.index === undefined ? "" : ` (entry ${details.index})`;
    super(`${op}${entry}: ${code}, ${details.reason ?? MEANING[code]}`);
    this.errno = -ERRNO[code];
    this.code = code;
    this.op = op;
    if (details.index !== undefined) this.index = details.index;
    if (details.published !== undefined) this.published = details.published;
    if (details.dirty !== undefined) this.dirty = details.dirty;
    if (details.hole !== undefined) this.hole = details.hole;
  }
}

function codeOf(errno: number): ErrnoCode {
  const codes = Object.keys(ERRNO) as ErrnoCode[];
  return codes.find((code) => ERRNO[code] === Math.abs(errno)) ?? "EIO";
}
