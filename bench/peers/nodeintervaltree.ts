import intervalTree from "node-interval-tree";
import { hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class NodeIntervalTree extends SlotwisePeer {
  readonly #tree = new intervalTree.default<PeerSlot>();

  lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      sum += hvaIn(this.#tree.search(gpa, gpa)[0], gpa);
    }
    return sum;
  }

  protected overlaps(slot: PeerSlot): boolean {
    return this.#tree.search(slot.gpa, slot.end - 1).length > 0;
  }

  /** Intervals of this package include both ends. */
  protected override insert(slot: PeerSlot): void {
    this.#tree.insert(slot.gpa, slot.end - 1, slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#tree.remove(slot.gpa, slot.end - 1, slot);
  }
}

/** With the overlap check, the first of the engine's checks. */
class CheckedNodeIntervalTree extends NodeIntervalTree {
  protected override insert(slot: PeerSlot): void {
    if (this.overlaps(slot)) throw new Error(`${slot.gpa} overlaps a slot`);
    super.insert(slot);
  }
}

export const nodeIntervalTree = kind("node-interval-tree", NodeIntervalTree);
export const checkedNodeIntervalTree = kind("node-interval-tree, overlap checked", CheckedNodeIntervalTree);
