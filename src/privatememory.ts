/**
 * Requests of private memory as the structs that the core reads: files that slots are bound to, attributes of guest
 * memory.
 */
import { ATTRIBUTES_REQUEST, MEMFD_REQUEST } from "./layout.js";
import { putU64, show } from "./region.js";
import type { MemoryAttributes } from "./uapi.js";

/** Where the private memory of a guest byte is. */
export interface PrivateByte {
  /** Descriptor of the guest_memfd. */
  readonly guestMemfd: number;
  /** Byte of the file. */
  readonly offset: number;
}

/** struct kvm_create_guest_memfd. @throws TypeError naming the argument */
export function encodeMemfd(size: number | bigint, flags: number | bigint): Uint32Array {
  const words = new Uint32Array(4);
  putU64(words, MEMFD_REQUEST.size / 4, size, "size");
  putU64(words, MEMFD_REQUEST.flags / 4, flags, "flags");
  return words;
}

/** struct kvm_memory_attributes. @throws TypeError naming the field */
export function encodeAttributes(request: MemoryAttributes): Uint32Array {
  if (typeof request !== "object" || request === null) {
    throw new TypeError(`attributes must be an object, not ${show(request)}`);
  }
  const words = new Uint32Array(8);
  putU64(words, ATTRIBUTES_REQUEST.address / 4, request.address, "address");
  putU64(words, ATTRIBUTES_REQUEST.size / 4, request.size, "size");
  putU64(words, ATTRIBUTES_REQUEST.attributes / 4, request.attributes, "attributes");
  putU64(words, ATTRIBUTES_REQUEST.flags / 4, request.flags ?? 0, "flags");
  return words;
}
