import Flatbush from "flatbush";
import { HVA_BAD, type Slot } from "memslots";
import { hvaIn, kind, type Peer, PeerSlot } from "./peer.js";

/** Static: each list builds a new index. */
class FlatbushIndex implements Peer {
  readonly #byId: (PeerSlot | undefined)[] = [];
  #slots: PeerSlot[] = [];
  #index: Flatbush | undefined;

  lookups(gpas: Float64Array): number {
    const index = this.#index;
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      const found = index?.search(gpa, 0, gpa, 0)[0];
      sum += found === undefined ? HVA_BAD : hvaIn(this.#slots[found], gpa);
    }
    return sum;
  }

  apply(list: readonly Slot[]): void {
    for (const region of list) {
      this.#byId[region.slot] = region.memorySize === 0 ? undefined : new PeerSlot(region);
    }
    this.#slots = this.#byId.filter((slot) => slot !== undefined);
    this.#index = this.#slots.length === 0 ? undefined : new Flatbush(this.#slots.length);
    for (const slot of this.#slots) this.#index?.add(slot.gpa, 0, slot.end - 1, 0);
    this.#index?.finish();
  }
}

export const flatbush = kind("flatbush (static)", FlatbushIndex);
