import { AvlTree } from "@datastructures-js/binary-search-tree";
import { compareSlots, hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class DatastructuresAvlTree extends SlotwisePeer {
  readonly #tree = new AvlTree<PeerSlot>(compareSlots, { key: "gpa" });

  lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      sum += hvaIn(this.#tree.floorKey(gpa)?.getValue(), gpa);
    }
    return sum;
  }

  protected override insert(slot: PeerSlot): void {
    this.#tree.insert(slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#tree.remove(slot);
  }
}

export const avlTree = kind("@datastructures-js AvlTree", DatastructuresAvlTree);
