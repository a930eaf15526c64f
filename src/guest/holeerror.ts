/** The error of an access that no memory and no device answers. */
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { GuestHole } from "../kvm/errordetails.js";

export function holeError(op: string, hole: GuestHole): KvmError {
  const { kind, at, bytes, gpa } = hole;
  const reason = `${kind} at ${addressOf(at)}, in ${bytes} bytes from ${addressOf(gpa)} on`;
  return new KvmError(-ERRNO.EFAULT, op, { hole, reason });
}

/** A guest address as an error shows it: `address | 0` of the upper half of 4 GiB is a frequent mistake. */
function addressOf(gpa: number): string {
  if (!(gpa < 0)) return `0x${gpa.toString(16)}`;
  return `-0x${(-gpa).toString(16)} (negative)`;
}
