/** A plain sorted array of objects with binary search and splice, as most emulators write it by hand. */
import { hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class SortedArray extends SlotwisePeer {
  readonly #sorted: PeerSlot[] = [];

  /** Number of slots that begin at or before `gpa`. */
  #above(gpa: number): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sorted[middle]!.gpa <= gpa) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      const above = this.#above(gpa);
      sum += hvaIn(above === 0 ? undefined : this.#sorted[above - 1], gpa);
    }
    return sum;
  }

  protected override insert(slot: PeerSlot): void {
    this.#sorted.splice(this.#above(slot.gpa), 0, slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#sorted.splice(this.#above(slot.gpa) - 1, 1);
  }
}

export const sortedArray = kind("sorted array of objects", SortedArray);
