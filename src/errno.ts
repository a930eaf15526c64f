/**
 * The error numbers of Linux that the engine answers with, and the one error class of the package.
 * Numbers are those of include/uapi/asm-generic/errno-base.h; the core returns them negated.
 */
import type { EndedLog } from "./dirtylog.js";
import type { GuestHole } from "./guestaccess.js";

export const ERRNO = {
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  EOWNERDEAD: 130,
  ETIMEDOUT: 110,
} as const;

/** Symbolic name of an error number, as in errno(3). */
export type ErrnoCode = keyof typeof ERRNO;

const CODES = new Map<number, ErrnoCode>(
  (Object.entries(ERRNO) as [ErrnoCode, number][]).map(([code, number]) => [number, code]),
);

const MEANING: Record<ErrnoCode, string> = {
  ENOENT: "no such slot, or it keeps no dirty log",
  EIO: "the engine's memory is damaged",
  ENXIO: "the dirty ring is enabled, there is no bitmap",
  E2BIG: "too large",
  EBADF: "not a guest_memfd of this engine",
  EAGAIN: "nothing free right now",
  ENOMEM: "the engine's memory is full",
  EFAULT: "the argument cannot be read or written",
  EBUSY: "every spare layout is still in use by a reader",
  EEXIST: "overlaps a slot of the same address space",
  EINVAL: "invalid argument",
  EOWNERDEAD: "the writer that held the lock is dead",
  ETIMEDOUT: "a reader did not leave its section in time",
};

/** What a {@link KvmError} may tell beyond the error number. */
export interface KvmErrorDetails {
  /** Entry of the list that was refused, counted from 0. */
  readonly index?: number;
  /** True when the new layout is in force although the call failed (ETIMEDOUT of a grace period). */
  readonly published?: boolean;
  /**
   * With `published` and the option `takeDirty`: the ended logs so far; readers of the old layout may add to
   * them.
   */
  readonly dirty?: readonly EndedLog[];
  /** What an access to guest memory met (EFAULT). */
  readonly hole?: Readonly<GuestHole>;
  /** A sentence that replaces the general meaning of the error number. */
  readonly reason?: string;
}

/**
 * A refusal with KVM's error number. `errno` is negative as a kernel function returns it (-22),
 * `code` its name ("EINVAL"), `op` the operation that was refused.
 */
export class KvmError extends Error {
  override readonly name = "KvmError";
  readonly errno: number;
  readonly code: ErrnoCode;
  readonly op: string;
  readonly index?: number;
  readonly published?: boolean;
  readonly dirty?: readonly EndedLog[];
  readonly hole?: Readonly<GuestHole>;

  /** @param errno error number of either sign; @param op operation refused; @param details see there. */
  constructor(errno: number, op: string, details: KvmErrorDetails = {}) {
    const code = CODES.get(Math.abs(errno)) ?? "EIO";
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
