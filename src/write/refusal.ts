/** The error of a commit that the core has refused: it names the entry, the check and the value. */
import * as check from "../core/layout.js";
import type { Place } from "../core/thread.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { badSlot, getU64, REGION_WORDS, userEnd } from "../kvm/region.js";
import type { CommitRequest } from "./commitrequest.js";

/** The error for `errno`, which the core has returned for `request`; the lock must be held since. */
export function refusal(place: Place, request: CommitRequest, errno: number): KvmError {
  const { wasm, base, views } = place;
  const { op, asList } = request;
  if (errno === -ERRNO.EAGAIN) {
    return new KvmError(-ERRNO.EBUSY, op, { reason: "readers keep every spare layout" });
  }
  const entry = wasm.errorEntry(base);
  const word = errorCheck({ views, base });
  const reason = reasonOf(place, request, entry, word >>> check.CHECK_SHIFT, word % 2 ** check.CHECK_SHIFT);
  return new KvmError(errno, op, { index: asList && entry >= 0 ? entry : undefined, reason });
}

/**
 * The error for `errno`, which the core has returned for a struct of private memory; the lock must be held since.
 * @param words the struct, which creates a guest_memfd or sets attributes
 * @param name of the argument, followed by a dot, unless the struct's fields are the arguments
 */
export function structRefusal(
  place: Place,
  op: string,
  errno: number,
  words: Uint32Array,
  name = "",
): KvmError {
  const number = errno === -ERRNO.EINVAL ? errorCheck(place) >>> check.CHECK_SHIFT : 0;
  const reason = structReason(number, words, hex(2 ** place.pageShift));
  return new KvmError(errno, op, { reason: reason && name + reason });
}

/** What the check has found wrong; undefined if the error number says it all. */
function structReason(number: number, words: Uint32Array, page: string): string | undefined {
  const field = (at: number) => hex(getU64(words, at / 4));
  const size = () => field(check.ATTRIBUTES_REQUEST_SIZE_OFFSET);
  switch (number) {
    case check.CHECK_MEMFD_SIZE:
      return `size ${field(check.MEMFD_REQUEST_SIZE_OFFSET)} must be from ${page} to 2^53, in whole pages of ${page}`;
    case check.CHECK_MEMFD_FLAGS:
      return `flags ${field(check.MEMFD_REQUEST_FLAGS_OFFSET)} must be GUEST_MEMFD_FLAG_* bits`;
    case check.CHECK_ATTRIBUTES:
      return `attributes ${field(check.ATTRIBUTES_REQUEST_ATTRIBUTES_OFFSET)} must be KVM_MEMORY_ATTRIBUTE_* bits`;
    case check.CHECK_ATTRIBUTES_FLAGS:
      return `flags ${field(check.ATTRIBUTES_REQUEST_FLAGS_OFFSET)} must be 0`;
    case check.CHECK_ATTRIBUTES_ADDRESS:
      return `address ${field(check.ATTRIBUTES_REQUEST_ADDRESS_OFFSET)} is no multiple of the page size ${page}`;
    case check.CHECK_ATTRIBUTES_SIZE:
      return `size ${size()} must be ${page} or more, in whole pages of ${page}`;
    case check.CHECK_ATTRIBUTES_END:
      return `address ${field(check.ATTRIBUTES_REQUEST_ADDRESS_OFFSET)} + size ${size()} is 2^64 or beyond`;
  }
  return undefined;
}

/** Of the last commit: the check above CHECK_SHIFT bits for the slot that it has met. */
function errorCheck({ views, base }: Pick<Place, "views" | "base">): number {
  return views.words(base + check.HEADER_BYTES)[(base + check.HEADER_ERROR_CHECK_OFFSET) / 4]!;
}

/** The last commit was refused because the vCPUs are not all held. */
export function isGateRefusal(place: Place): boolean {
  return errorCheck(place) >>> check.CHECK_SHIFT === check.CHECK_GATE;
}

/** What the check has found wrong; undefined if the error number says it all. `met`: a slot that is in the way. */
function reasonOf(
  place: Place,
  { words, version2 }: CommitRequest,
  entry: number,
  number: number,
  met: number,
): string | undefined {
  const { pageShift, maxPhysAddrBits, maxUserAddrBits } = place;
  if (number === check.CHECK_OWN_SECTION)
    return "takeDirty would wait for a section that this thread has open";
  if (number === check.CHECK_GATE) return "the vCPUs are held already, or one of them is inside a section";
  if (number === 0 || entry < 0) return undefined;
  const at = entry * REGION_WORDS;
  const slot = words[at]!;
  const flags = words[at + 1]!;
  const [gpa, size, hva] = [getU64(words, at + 2), getU64(words, at + 4), getU64(words, at + 6)];
  const page = `no multiple of the page size ${hex(2 ** pageShift)}`;
  const hostEnd = hex(userEnd(maxUserAddrBits));
  const live = `of slot ${slot} cannot change while the slot is there: delete it first`;
  switch (number) {
    case check.CHECK_SLOT:
      return badSlot(place, slot);
    case check.CHECK_FLAGS:
      return `flags ${hex(flags)} must be LOG_DIRTY_PAGES, READONLY, both${version2 ? ", or GUEST_MEMFD" : ""} or 0`;
    case check.CHECK_SIZE:
      return `memorySize ${hex(size)} is ${page}`;
    case check.CHECK_GPA:
      return `guestPhysAddr ${hex(gpa)} is ${page}`;
    case check.CHECK_HVA:
      return `userspaceAddr ${hex(hva)} is ${page}`;
    case check.CHECK_HVA_END:
      return `userspaceAddr ${hex(hva)} + memorySize ${hex(size)} is above ${hostEnd} (maxUserAddrBits)`;
    case check.CHECK_MEMFD_OFFSET:
      return `guestMemfdOffset ${hex(getU64(words, at + 8))} is ${page}, or ends beyond 2^64`;
    case check.CHECK_GPA_WRAPS:
      return `guestPhysAddr ${hex(gpa)} + memorySize ${hex(size)} is beyond 2^64`;
    case check.CHECK_NPAGES:
      return `memorySize ${hex(size)} has more than 2^31 - 1 pages`;
    case check.CHECK_NO_SLOT:
      return `memorySize 0 deletes slot ${slot}, which is not there`;
    case check.CHECK_HVA_CHANGES:
      return `userspaceAddr ${live}`;
    case check.CHECK_SIZE_CHANGES:
      return `memorySize ${live}`;
    case check.CHECK_READONLY_CHANGES:
      return `KVM_MEM_READONLY ${live}`;
    case check.CHECK_MEMFD_CHANGES:
      return `KVM_MEM_GUEST_MEMFD ${live}`;
    case check.CHECK_GPA_END:
      return `guestPhysAddr ${hex(gpa)} + memorySize ${hex(size)} is above 2^${maxPhysAddrBits} (maxPhysAddrBits)`;
    case check.CHECK_OVERLAP:
      return `slot ${slot} overlaps slot ${met} of the same address space`;
    case check.CHECK_MEMFD:
      return `guestMemfd ${words[at + 10]! | 0} is no open guest_memfd`;
    case check.CHECK_MEMFD_END:
      return `guestMemfdOffset + memorySize is beyond the end of guest_memfd ${words[at + 10]! | 0}`;
    case check.CHECK_MEMFD_BOUND:
      return `another slot is bound to these bytes of guest_memfd ${words[at + 10]! | 0}`;
  }
  return undefined;
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
