import btree from "sorted-btree";
import { compareNumbers, hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class SortedBTree extends SlotwisePeer {
  readonly #tree = new btree.default<number, PeerSlot>(undefined, compareNumbers);

  lookups(gpas: Float64Array): number {
    const pair = [0, undefined] as unknown as [number, PeerSlot];
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      sum += hvaIn(this.#tree.getPairOrNextLower(gpa, pair)?.[1], gpa);
    }
    return sum;
  }

  protected override insert(slot: PeerSlot): void {
    this.#tree.set(slot.gpa, slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#tree.delete(slot.gpa);
  }
}

export const sortedBTree = kind("sorted-btree", SortedBTree);
