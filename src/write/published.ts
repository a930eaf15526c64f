/**
 * The published layout as the holder of the writer lock sees it: it cannot be replaced meanwhile, so no reader line is
 * needed to look at it.
 */
import {
  HEADER_BYTES,
  HEADER_ROOT_OFFSET,
  ROOT_BITS,
  ROOT_COMMIT_OFFSET,
  ROOT_GENERATION0_OFFSET,
} from "../core/layout.js";
import type { Place } from "../core/thread.js";

/** Address of the published root. */
export function publishedRoot({ views, base }: Place): number {
  const word = views.words(base + HEADER_ROOT_OFFSET + 4)[(base + HEADER_ROOT_OFFSET) / 4]!;
  return word - (word & ROOT_BITS);
}

/** Number of the publication. */
export function publishedCommit(place: Place): number {
  return rootU64(place, ROOT_COMMIT_OFFSET);
}

/** Generation of an address space. */
export function publishedGeneration(place: Place, asId: number): number {
  return rootU64(place, ROOT_GENERATION0_OFFSET + asId * 8);
}

/** Every commit reads two of these: one look at the views, which have had all roots since the engine was made. */
function rootU64({ views, base }: Place, field: number): number {
  const words = views.words(base + HEADER_BYTES);
  const root = words[(base + HEADER_ROOT_OFFSET) / 4]!;
  const at = (root - (root & ROOT_BITS) + field) / 4;
  return words[at + 1]! * 2 ** 32 + words[at]!;
}
