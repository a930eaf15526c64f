/**
 * Binary search on Float64Arrays, the fastest lookup that plain JavaScript has, with and without a last-hit
 * slot. It is filled once and takes no lists.
 */
import { HVA_BAD, type Slot } from "memslots";
import { compareSlots, type Peer, type PeerKind, PeerSlot } from "./peer.js";

abstract class TypedArrays implements Peer {
  protected readonly starts: Float64Array;
  protected readonly ends: Float64Array;
  protected readonly deltas: Float64Array;

  constructor(regions: readonly Slot[]) {
    const slots = regions.map((region) => new PeerSlot(region)).sort(compareSlots);
    this.starts = Float64Array.from(slots, (slot) => slot.gpa);
    this.ends = Float64Array.from(slots, (slot) => slot.end);
    this.deltas = Float64Array.from(slots, (slot) => slot.delta);
  }

  abstract lookups(gpas: Float64Array): number;

  apply(): void {
    throw new Error("a typed array is filled once");
  }
}

class Search extends TypedArrays {
  #find(gpa: number): number {
    const { starts } = this;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= gpa) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  override lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      const at = this.#find(gpa);
      sum += at >= 0 && gpa < this.ends[at]! ? gpa + this.deltas[at]! : HVA_BAD;
    }
    return sum;
  }
}

class LastHit extends TypedArrays {
  #last = 0;

  #find(gpa: number): number {
    const { starts } = this;
    const last = this.#last;
    if (gpa >= starts[last]! && gpa < this.ends[last]!) return last;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= gpa) low = middle + 1;
      else high = middle;
    }
    if (low > 0) this.#last = low - 1;
    return low - 1;
  }

  override lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      const at = this.#find(gpa);
      sum += at >= 0 && gpa < this.ends[at]! ? gpa + this.deltas[at]! : HVA_BAD;
    }
    return sum;
  }
}

export const binarySearch: PeerKind = {
  name: "binary search on Float64Array",
  create: (regions) => new Search(regions),
};

export const binarySearchLastHit: PeerKind = {
  name: "binary search on Float64Array, last hit",
  create: (regions) => new LastHit(regions),
};
