/**
 * A peer: a competitor in JavaScript. It returns the results of the engine's lookups and takes the same lists. One
 * checks overlaps; none is atomic or keeps a snapshot. Each has separate loops, so that V8 specialises every one of
 * them.
 */
import { HVA_BAD, type Slot } from "memslots";

/** A slot as a peer stores it: [gpa, end) and what to add to an address for its host address. */
export class PeerSlot {
  /** Changed only in the slot that a search compares with. */
  gpa: number;
  readonly end: number;
  readonly delta: number;

  constructor({ guestPhysAddr, memorySize, userspaceAddr }: Slot) {
    this.gpa = guestPhysAddr;
    this.end = guestPhysAddr + memorySize;
    this.delta = userspaceAddr - guestPhysAddr;
  }
}

/** A map of slots. */
export interface Peer {
  /** Sum of the host addresses of guest addresses. */
  lookups(gpas: Float64Array): number;
  /** Apply one list; the peer finds a slot to delete by its id. */
  apply(list: readonly Slot[]): void;
}

export interface PeerKind {
  readonly name: string;
  create(regions: readonly Slot[]): Peer;
}

/** A peer whose lists are sequences of single inserts and removals. */
export abstract class SlotwisePeer implements Peer {
  readonly #slots: (PeerSlot | undefined)[] = [];

  abstract lookups(gpas: Float64Array): number;
  protected abstract insert(slot: PeerSlot): void;
  protected abstract remove(slot: PeerSlot): void;

  apply(list: readonly Slot[]): void {
    for (let i = 0; i < list.length; i++) {
      const region = list[i]!;
      const old = this.#slots[region.slot];
      if (old !== undefined) this.remove(old);
      const slot = region.memorySize === 0 ? undefined : new PeerSlot(region);
      if (slot !== undefined) this.insert(slot);
      this.#slots[region.slot] = slot;
    }
  }
}

/** Host address in a slot that begins at or before `gpa`. */
export function hvaIn(slot: PeerSlot | undefined, gpa: number): number {
  return slot !== undefined && gpa < slot.end ? gpa + slot.delta : HVA_BAD;
}

export function compareNumbers(a: number, b: number): number {
  return a - b;
}

export function compareSlots(a: PeerSlot, b: PeerSlot): number {
  return a.gpa - b.gpa;
}

/** A peer made of a class that is filled region by region. */
export function kind(name: string, make: new () => Peer): PeerKind {
  return {
    name,
    create(regions) {
      const peer = new make();
      peer.apply(regions);
      return peer;
    },
  };
}
