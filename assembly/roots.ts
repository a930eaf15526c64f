/**
 * Access to a root: one root is one layout of all address spaces.
 *
 * A root and all it reaches never changes once published, so that every load here is plain.
 * Mirrors kvm->memslots[as_id] and slots->generation.
 */
import { ADDRESS_SPACES_MAX, Header, ROOT_BYTES, ROOTS, Root } from "./layout";

/** Root number `number` of the engine. */
export function rootAt(header: usize, number: u32): usize {
  if (!ASC_NO_ASSERT) assert(number < ROOTS);
  return changetype<Header>(header).roots + number * ROOT_BYTES;
}

/** Number of the root that the next transaction builds. */
export function spareRoot(header: usize): u32 {
  return (changetype<Header>(header).activeRoot + 1) % ROOTS;
}

/** Number of the gfn index of an address space. */
export function gfnIndexOf(asId: u32): u32 {
  return asId << 1;
}

/** Number of the hva index of an address space. */
export function hvaIndexOf(asId: u32): u32 {
  return (asId << 1) + 1;
}

/** Directory of an index. */
export function directoryOf(root: usize, index: u32): usize {
  if (!ASC_NO_ASSERT) assert(index < 2 * ADDRESS_SPACES_MAX);
  return load<u32>(root + (index << 2), offsetof<Root>("directory0"));
}

export function setDirectory(root: usize, index: u32, directory: usize): void {
  store<u32>(root + (index << 2), <u32>directory, offsetof<Root>("directory0"));
}

/** Generation of an address space. */
export function generationOf(root: usize, asId: u32): u64 {
  return load<u64>(root + (asId << 3), offsetof<Root>("generation0"));
}

export function setGeneration(root: usize, asId: u32, generation: u64): void {
  store<u64>(root + (asId << 3), generation, offsetof<Root>("generation0"));
}
