import createIntervalTree, { type Interval } from "interval-tree-1d";
import { HVA_BAD } from "memslots";
import { kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class IntervalTree1d extends SlotwisePeer {
  readonly #tree = createIntervalTree();
  /** The package removes an interval by the identity of its array. */
  readonly #intervals = new Map<PeerSlot, Interval>();

  lookups(gpas: Float64Array): number {
    let sum = 0;
    let gpa = 0;
    const take = (interval: Interval): boolean => {
      sum += gpa + interval[2];
      return true;
    };
    for (let i = 0; i < gpas.length; i++) {
      gpa = gpas[i]!;
      if (this.#tree.queryPoint(gpa, take) !== true) sum += HVA_BAD;
    }
    return sum;
  }

  protected override insert(slot: PeerSlot): void {
    const interval: Interval = [slot.gpa, slot.end - 1, slot.delta];
    this.#intervals.set(slot, interval);
    this.#tree.insert(interval);
  }

  protected override remove(slot: PeerSlot): void {
    this.#tree.remove(this.#intervals.get(slot)!);
    this.#intervals.delete(slot);
  }
}

export const intervalTree1d = kind("interval-tree-1d", IntervalTree1d);
