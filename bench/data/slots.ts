/**
 * Seeded slot layouts, ascending by guest frame.
 *
 *   dense      1 to 512 pages, half of the slots followed by a hole of 1 to 64 pages
 *   wide       sizes and holes log-uniform up to 2^30 and 2^32 pages, less where 52 address bits would not hold them
 *   clustered  single pages side by side and one slot at 2^39: all chunks fall into one bucket of the radix
 *
 * Host addresses follow each other from 1 GiB on and start again after 64 GiB, so that a sum of 65,536 of
 * them is exact in a double; where a layout is larger than that, host ranges alias.
 */
import { type Random, random } from "../../test/support/random.js";

export type LayoutKind = "dense" | "wide" | "clustered";

/** Slot i has id i in address space 0. */
export interface Slots {
  readonly kind: LayoutKind;
  readonly count: number;
  /** First frame; frames; first byte of host memory. */
  readonly baseGfn: Float64Array;
  readonly npages: Float64Array;
  readonly hva: Float64Array;
  /** Frames of the hole behind each slot. */
  readonly hole: Float64Array;
}

export const PAGE_BYTES = 4096;
const HVA_START = 2 ** 30;
const HVA_WRAP = 2 ** 36;

export function makeSlots(kind: LayoutKind, count: number, seed = 1): Slots {
  const rng = random(seed * 1_000_003 + count);
  const shape = SHAPES[kind](rng, count);
  const columns = Array.from({ length: 4 }, () => new Float64Array(count));
  const [baseGfn, npages, hva, hole] = columns as [Float64Array, Float64Array, Float64Array, Float64Array];
  let gfn = 0;
  let host = 0;
  for (let i = 0; i < count; i++) {
    const { pages, gap } = shape(i);
    baseGfn[i] = gfn;
    npages[i] = pages;
    hole[i] = gap;
    hva[i] = HVA_START + (host % HVA_WRAP);
    gfn += pages + gap;
    host += pages * PAGE_BYTES;
  }
  return { kind, count, baseGfn, npages, hva, hole };
}

type Shape = (i: number) => { pages: number; gap: number };

const SHAPES: Record<LayoutKind, (rng: Random, count: number) => Shape> = {
  dense: (rng) => () => ({ pages: 1 + rng.int(512), gap: rng.chance(0.5) ? 1 + rng.int(64) : 0 }),
  wide: (rng, count) => {
    const bits = wideBits(count);
    const logUniform = (most: number) => Math.floor(2 ** (rng.next() * Math.min(bits, most)));
    return () => ({ pages: logUniform(30), gap: logUniform(32) });
  },
  clustered: (_rng, count) => (i) => ({ pages: 1, gap: i === count - 2 ? 2 ** 39 : 0 }),
};

/** Largest exponent for which all slots and holes end below 2^39 frames on average. */
function wideBits(count: number): number {
  let bits = 32;
  while (count * 2 * (2 ** bits / (bits * Math.LN2)) > 2 ** 39) bits--;
  return bits;
}

/** Frame after the last slot. */
export function endOfSlots({ count, baseGfn, npages }: Slots): number {
  return baseGfn[count - 1]! + npages[count - 1]!;
}
