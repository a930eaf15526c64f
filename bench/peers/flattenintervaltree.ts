import IntervalTree from "@flatten-js/interval-tree";
import { hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class FlattenIntervalTree extends SlotwisePeer {
  readonly #tree = new IntervalTree<PeerSlot>();

  lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      sum += hvaIn(this.#tree.search([gpa, gpa])[0], gpa);
    }
    return sum;
  }

  /** Intervals of this package include both ends. */
  protected override insert(slot: PeerSlot): void {
    this.#tree.insert([slot.gpa, slot.end - 1], slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#tree.remove([slot.gpa, slot.end - 1], slot);
  }
}

export const flattenIntervalTree = kind("@flatten-js/interval-tree", FlattenIntervalTree);
