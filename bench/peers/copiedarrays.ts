/**
 * Sorted arrays, twice: a list is merged from the published ones into the others, and one store of a reference swaps
 * these in. It is what plain JavaScript offers for a swap that readers never see half done. New arrays for each list
 * would cost a hundred times as much, for the collector.
 */
import { HVA_BAD, type Slot } from "memslots";
import { compareNumbers, type Peer, type PeerKind } from "./peer.js";

class Arrays {
  length = 0;
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly deltas: Float64Array;

  constructor(capacity: number) {
    this.starts = new Float64Array(capacity);
    this.ends = new Float64Array(capacity);
    this.deltas = new Float64Array(capacity);
  }

  /** Ranges that begin at or before `gpa`. */
  above(gpa: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.starts[middle]! <= gpa) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class CopiedArrays implements Peer {
  #published: Arrays;
  #spare: Arrays;
  /** First address of each slot id, NaN if it has none. */
  readonly #startOf: number[] = [];

  constructor(capacity: number) {
    this.#published = new Arrays(capacity);
    this.#spare = new Arrays(capacity);
  }

  lookups(gpas: Float64Array): number {
    const arrays = this.#published;
    const { ends, deltas } = arrays;
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i]!;
      const at = arrays.above(gpa) - 1;
      sum += at >= 0 && gpa < ends[at]! ? gpa + deltas[at]! : HVA_BAD;
    }
    return sum;
  }

  /** Merge the old arrays, without what goes, with what comes. @throws Error if two ranges overlap */
  apply(list: readonly Slot[]): void {
    const old = this.#published;
    const gone: number[] = [];
    const come: Slot[] = [];
    for (let i = 0; i < list.length; i++) {
      const region = list[i]!;
      const start = this.#startOf[region.slot];
      if (start !== undefined && !Number.isNaN(start)) gone.push(start);
      if (region.memorySize > 0) come.push(region);
    }
    gone.sort(compareNumbers);
    come.sort((a, b) => a.guestPhysAddr - b.guestPhysAddr);
    const next = this.#spare;
    let from = 0;
    let to = 0;
    let dropped = 0;
    const copyTo = (stop: number): void => {
      if (stop === from) return;
      next.starts.set(old.starts.subarray(from, stop), to);
      next.ends.set(old.ends.subarray(from, stop), to);
      next.deltas.set(old.deltas.subarray(from, stop), to);
      to += stop - from;
      from = stop;
    };
    /** Everything of the old arrays up to `limit`, in runs between those that go. */
    const keepUpTo = (limit: number): void => {
      for (; dropped < gone.length && gone[dropped]! <= limit; dropped++) {
        copyTo(old.above(gone[dropped]!) - 1);
        from++;
      }
      copyTo(old.above(limit));
    };
    for (let i = 0; i < come.length; i++) {
      const { guestPhysAddr, memorySize, userspaceAddr } = come[i]!;
      keepUpTo(guestPhysAddr);
      const end = guestPhysAddr + memorySize;
      const above = old.starts[from];
      const isFree = from >= old.length || above! >= end || above === gone[dropped];
      if ((to > 0 && next.ends[to - 1]! > guestPhysAddr) || !isFree) throw new Error("overlap");
      next.starts[to] = guestPhysAddr;
      next.ends[to] = end;
      next.deltas[to] = userspaceAddr - guestPhysAddr;
      to++;
    }
    keepUpTo(Number.POSITIVE_INFINITY);
    for (let i = 0; i < list.length; i++) {
      const { slot, memorySize, guestPhysAddr } = list[i]!;
      this.#startOf[slot] = memorySize > 0 ? guestPhysAddr : Number.NaN;
    }
    next.length = to;
    this.#spare = old;
    this.#published = next;
  }
}

export const copiedArrays: PeerKind = {
  name: "sorted arrays, copied and swapped",
  create(regions) {
    const peer = new CopiedArrays(regions.length);
    peer.apply(regions);
    return peer;
  },
};
