import bintrees from "bintrees";
import { compareSlots, hvaIn, kind, PeerSlot, SlotwisePeer } from "./peer.js";

class BintreesRBTree extends SlotwisePeer {
  readonly #tree = new bintrees.RBTree<PeerSlot>(compareSlots);

  lookups(gpas: Float64Array): number {
    const probe = new PeerSlot({ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 });
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      probe.gpa = gpas[i]!;
      const at = this.#tree.lowerBound(probe);
      // At the address, at the next slot, or after all of them: then the one before is the last.
      const slot = at.data()?.gpa === probe.gpa ? at.data() : at.prev();
      sum += hvaIn(slot ?? undefined, probe.gpa);
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

export const bintreesRBTree = kind("bintrees RBTree", BintreesRBTree);
