/** Random calls of KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG: most in range, some odd, some refused. */
import type { Random } from "../support/random.js";
import type { VectorOp } from "../support/vectors.js";
import { type Guess, PAGE_BYTES } from "./guess.js";
import type { RegionDraw } from "./regions.js";

const WORD_PAGES = 64;
/** Most bits set in one bitmap. */
const BITS_MAX = 200;

interface Range {
  first: number | bigint;
  num: number;
}

export class LogDraw {
  readonly #random: Random;
  readonly #guess: Guess;
  readonly #regions: RegionDraw;

  constructor(random: Random, guess: Guess, regions: RegionDraw) {
    this.#random = random;
    this.#guess = guess;
    this.#regions = regions;
  }

  get(): VectorOp {
    return { op: "get_dirty_log", slot: this.#slot().slot };
  }

  /** Without manual protection this takes the dirty pages with it. */
  getBadPointer(): VectorOp {
    return { ...this.get(), bitmap: "badptr" };
  }

  clear(): VectorOp {
    const { slot, npages } = this.#slot();
    const { first, num } = this.#range(npages);
    return {
      op: "clear_dirty_log",
      slot,
      first_page: hex(first),
      num_pages: num,
      bits: this.#bits(Math.min(num, npages)),
    };
  }

  clearBadPointer(): VectorOp {
    const { bits: _, ...op } = this.clear();
    return { ...op, op: "clear_dirty_log", bitmap: "badptr" };
  }

  #slot(): { slot: number; npages: number } {
    const logging = this.#random.chance(0.75) ? this.#guess.pickLogging(this.#random) : undefined;
    const region = logging ?? this.#regions.live();
    if (region === undefined || this.#random.chance(0.1)) {
      const bad = this.#random.chance(0.2);
      return {
        slot: bad ? this.#regions.badId().slot : this.#regions.id(),
        npages: 1 + this.#random.int(130),
      };
    }
    return { slot: region.slot, npages: Number(region.size / PAGE_BYTES) };
  }

  #range(npages: number): Range {
    const first = WORD_PAGES * this.#random.int(Math.ceil(npages / WORD_PAGES));
    const rest = npages - first;
    const odd = this.#random.int(WORD_PAGES);
    return this.#random.pick<Range>([
      { first: 0, num: npages },
      { first: 0, num: npages },
      { first, num: rest },
      { first, num: rest },
      { first, num: Math.min(WORD_PAGES, rest) },
      { first, num: Math.max(rest - odd, 0) },
      { first, num: rest + odd },
      { first, num: 0 },
      { first: WORD_PAGES * Math.ceil(npages / WORD_PAGES), num: 0 },
      { first: first + odd, num: Math.max(rest - odd, 0) },
      { first: this.#random.pick([2n ** 64n - 64n, 2n ** 63n, first + WORD_PAGES]), num: odd },
      { first, num: this.#random.pick([rest, 2 ** 32 - WORD_PAGES]) },
    ]);
  }

  /** Also bits past the range, in its last word: KVM reads whole words. */
  #bits(num: number): number[] {
    const words = Math.max(Math.ceil(num / WORD_PAGES), 1);
    const bits = words * WORD_PAGES;
    const density = this.#random.pick([0.1, 0.5, 1]);
    if (bits <= BITS_MAX) return [...Array(bits).keys()].filter(() => this.#random.chance(density));
    const few = new Set(Array.from({ length: this.#random.int(BITS_MAX) }, () => this.#random.int(bits)));
    return [...few].sort((a, b) => a - b);
  }
}

function hex(page: number | bigint): string {
  return `0x${page.toString(16)}`;
}
