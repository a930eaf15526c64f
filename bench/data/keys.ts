/**
 * Seeded streams of guest frames to look up.
 *
 *   uniform      any slot, any page of it
 *   mix          nine times in ten another page of the same slot, else as uniform
 *   sequential   ascending, four steps in each slot
 *   miss         frames of holes and behind the last slot
 *   adversarial  first and last pages in bit-reversed order of the slots: never the same slot, never the same chunk
 */
import { type Random, random } from "../../test/support/random.js";
import { endOfSlots, type Slots } from "./slots.js";

export type KeyPattern = "uniform" | "mix" | "sequential" | "miss" | "adversarial";

const STAY = 0.9;
const STEPS_PER_SLOT = 4;
const ODD_PAGES_BEHIND = 1000;

export function makeKeys(slots: Slots, pattern: KeyPattern, count: number, seed = 7): Float64Array {
  const next = STREAMS[pattern](random(seed * 7_368_787 + slots.count), slots);
  return Float64Array.from({ length: count }, (_, i) => next(i));
}

const STREAMS: Record<KeyPattern, (rng: Random, slots: Slots) => (i: number) => number> = {
  uniform: (rng, slots) => () => pageOf(rng, slots, rng.int(slots.count)),
  mix: (rng, slots) => {
    let slot = 0;
    return () => {
      if (!rng.chance(STAY)) slot = rng.int(slots.count);
      return pageOf(rng, slots, slot);
    };
  },
  sequential: (_rng, slots) => (i) => {
    const slot = Math.floor(i / STEPS_PER_SLOT) % slots.count;
    return slots.baseGfn[slot]! + Math.floor(((i % STEPS_PER_SLOT) * slots.npages[slot]!) / STEPS_PER_SLOT);
  },
  miss: (rng, slots) => {
    const end = endOfSlots(slots);
    return () => {
      const slot = rng.int(slots.count);
      const gap = slots.hole[slot]!;
      if (gap === 0 || slot === slots.count - 1) return end + rng.int(ODD_PAGES_BEHIND);
      return slots.baseGfn[slot]! + slots.npages[slot]! + Math.floor(rng.next() * gap);
    };
  },
  adversarial: (_rng, slots) => {
    const bits = Math.max(1, Math.ceil(Math.log2(slots.count)));
    return (i) => {
      const slot = reverseBits(i % 2 ** bits, bits) % slots.count;
      return slots.baseGfn[slot]! + (i & 1 ? slots.npages[slot]! - 1 : 0);
    };
  },
};

function pageOf(rng: Random, slots: Slots, slot: number): number {
  return slots.baseGfn[slot]! + Math.floor(rng.next() * slots.npages[slot]!);
}

function reverseBits(value: number, bits: number): number {
  let reversed = 0;
  for (let bit = 0; bit < bits; bit++) reversed = reversed * 2 + ((value >> bit) & 1);
  return reversed;
}

/** Streams of `count` keys each, one after the other; rounds take them in turns. */
export class KeyStreams {
  readonly all: Float64Array;
  readonly count: number;
  readonly streams: number;

  constructor(slots: Slots, pattern: KeyPattern, count: number, streams: number) {
    this.all = makeKeys(slots, pattern, count * streams);
    this.count = count;
    this.streams = streams;
  }

  /** Index of the first key of a round. */
  first(round: number): number {
    return (round % this.streams) * this.count;
  }

  /** A view of `keys`, which holds all streams, for each stream. */
  views<View extends { subarray(start: number, end: number): View }>(keys: View): View[] {
    return Array.from({ length: this.streams }, (_, i) =>
      keys.subarray(i * this.count, (i + 1) * this.count),
    );
  }
}
