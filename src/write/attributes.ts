/** Codec of struct kvm_memory_attributes. */
import {
  ATTRIBUTES_REQUEST_ADDRESS_OFFSET,
  ATTRIBUTES_REQUEST_ATTRIBUTES_OFFSET,
  ATTRIBUTES_REQUEST_FLAGS_OFFSET,
  ATTRIBUTES_REQUEST_SIZE_OFFSET,
} from "../core/layout.js";
import { checkOptionNames, putU64 } from "../kvm/arguments.js";
import type { MemoryAttributes } from "../kvm/uapi.js";

const WORDS = 8;

/** The struct as words. @throws TypeError naming the field */
export function attributesWords(request: MemoryAttributes, name: string): Uint32Array {
  const fields = { address: true, size: true, attributes: true, flags: true } as const;
  checkOptionNames<MemoryAttributes>(request, fields, name);
  const words = new Uint32Array(WORDS);
  putU64(words, ATTRIBUTES_REQUEST_ADDRESS_OFFSET / 4, request.address, "address");
  putU64(words, ATTRIBUTES_REQUEST_SIZE_OFFSET / 4, request.size, "size");
  putU64(words, ATTRIBUTES_REQUEST_ATTRIBUTES_OFFSET / 4, request.attributes, "attributes");
  putU64(words, ATTRIBUTES_REQUEST_FLAGS_OFFSET / 4, request.flags ?? 0, "flags");
  return words;
}
