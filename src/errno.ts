/**
 * The error numbers of Linux that the engine answers with, and the one error class of the package.
 * Numbers are those of include/uapi/asm-generic/errno-base.h; the core returns them negated.
 */
import type { EndedLog } from "./dirtylog.js";
import type { GuestHole } from "./guestaccess.js";

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
  /** A guest_memfd that is none. */
  EBADF: 9,
  /** All of a fixed number are in use. */
  EAGAIN: 11,
  /** The engine's memory is full. */
  ENOMEM: 12,
  /** Bytes that cannot be read or written. */
  EFAULT: 14,
  /** Another thread keeps what is needed. */
  EBUSY: 16,
  /** A slot of the same address space is there. */
  EEXIST: 17,
  /** An argument that KVM refuses. */
  EINVAL: 22,
  /** The writer that held the lock is dead. */
  EOWNERDEAD: 130,
  /** A wait took longer than its timeout. */
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
  EBUSY: "readers keep every spare layout, or the vCPUs are held, or a section of this thread is open",
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
  /** "KvmError". */
  override readonly name = "KvmError";
  /** Negated error number: -22. */
  readonly errno: number;
  /** Its name: "EINVAL". */
  readonly code: ErrnoCode;
  /** The call that was refused, by its name in this library. */
  readonly op: string;
  /** Entry of the list that was refused, counted from 0; not there if no entry is to blame. */
  readonly index?: number;
  /** True when the new layout is in force although the call failed. */
  readonly published?: boolean;
  /** With `published` and the option `takeDirty`: the logs that ended, as far as they were known. */
  readonly dirty?: readonly EndedLog[];
  /** What an access to guest memory met (EFAULT). */
  readonly hole?: Readonly<GuestHole>;

  /**
   * A refusal.
   * @param errno error number of either sign; one that `ERRNO` does not have becomes EIO
   * @param op the call that is refused
   * @param details what is known beyond the number
   */
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
