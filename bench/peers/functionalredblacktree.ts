import createTree from "functional-red-black-tree";
import { compareNumbers, hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class FunctionalRedBlackTree extends SlotwisePeer {
  /** Persistent: each change makes a new tree. */
  #tree = createTree<number, PeerSlot>(compareNumbers);

  lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      sum += hvaIn(this.#tree.le(gpa).value, gpa);
    }
    return sum;
  }

  protected override insert(slot: PeerSlot): void {
    this.#tree = this.#tree.insert(slot.gpa, slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#tree = this.#tree.remove(slot.gpa);
  }
}

export const functionalRedBlackTree = kind("functional-red-black-tree", FunctionalRedBlackTree);
