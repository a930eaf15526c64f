/**
 * Damage: the core checks every step along its linked structures, and traps where one leads nowhere. What was a trap is
 * an error of the call here.
 */
import { ERRNO, KvmError } from "../kvm/errno.js";

/** The error that `error` is for the caller of `op`: EIO for a trap of the core, itself else. */
export function damageOf(error: unknown, op: string): unknown {
  if (!isTrap(error)) return error;
  const reason = `the engine's memory is damaged (${error.message})`;
  return new KvmError(-ERRNO.EIO, op, { reason });
}

/** The error of a reader that has met damage. `what`: what it has found. */
export function damaged(op: string, what: string): KvmError {
  return new KvmError(-ERRNO.EIO, op, { reason: `the engine's memory is damaged: ${what}` });
}

/** Whether the core has trapped. */
export function isTrap(error: unknown): error is WebAssembly.RuntimeError {
  return error instanceof WebAssembly.RuntimeError;
}
