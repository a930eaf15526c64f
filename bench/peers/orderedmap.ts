import { OrderedMap } from "@js-sdsl/ordered-map";
import { HVA_BAD } from "memslots";
import { compareNumbers, hvaIn, kind, type PeerSlot, SlotwisePeer } from "./peer.js";

class JsSdslOrderedMap extends SlotwisePeer {
  readonly #map = new OrderedMap<number, PeerSlot>([], compareNumbers);

  lookups(gpas: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      const at = this.#map.reverseLowerBound(gpa);
      sum += at.isAccessible() ? hvaIn(at.pointer[1], gpa) : HVA_BAD;
    }
    return sum;
  }

  protected override insert(slot: PeerSlot): void {
    this.#map.setElement(slot.gpa, slot);
  }

  protected override remove(slot: PeerSlot): void {
    this.#map.eraseElementByKey(slot.gpa);
  }
}

export const orderedMap = kind("@js-sdsl/ordered-map", JsSdslOrderedMap);
