/**
 * A list of updates, worked out on a copy of the layout. Each entry is checked against what the entries
 * before it left, overlap excepted; overlap and the highest gpa are questions to the final layout.
 */
import { ERRNO } from "../../src/kvm/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import type { Arguments } from "./arguments.js";
import {
  asIdOf,
  beyondHighestGpa,
  checkArguments,
  classify,
  knownFlagsV1,
  type Limits,
  type Slot,
  sameSlot,
} from "./checks.js";

export interface Refusal {
  errno: number;
  index: number;
}

interface Base {
  layout: Map<number, Slot>[];
  overlaps(a: Slot, b: Slot): boolean;
}

export class ModelList {
  readonly layout: Map<number, Slot>[];
  /** Slots whose log an entry ended, by a delete or LOG off, whether or not a later entry began a new one. */
  readonly logEnded = new Set<number>();
  /** Slot number to the last entry that had an effect on it. */
  protected readonly entryOf = new Map<number, number>();
  protected readonly base: Base;
  protected readonly limits: Limits;

  constructor(base: Base, limits: Limits) {
    this.base = base;
    this.limits = limits;
    this.layout = base.layout.map((slots) => new Map(slots));
  }

  /** Nothing is published here: after a refusal the caller drops the list. */
  apply(entries: readonly Arguments[]): Refusal | undefined {
    for (const [index, entry] of entries.entries()) {
      const errno = this.applyEntry(entry, index);
      if (errno) return { errno, index };
    }
    return this.checkFinalLayout();
  }

  protected checkFinalLayout(): Refusal | undefined {
    return this.findOverlap() ?? this.findBeyondHighestGpa();
  }

  protected applyEntry(entry: Arguments, index: number): number {
    const errno = checkArguments(entry, this.limits, knownFlagsV1);
    if (errno) return errno;
    const slots = this.layout[asIdOf(entry.slot)]!;
    const change = classify(entry, slots.get(entry.slot));
    if (typeof change === "number") return change;
    if (change === "NONE") return 0;
    if (!(entry.flags & KVM_MEM_LOG_DIRTY_PAGES) || change === "DELETE") this.logEnded.add(entry.slot);
    if (change === "DELETE") {
      slots.delete(entry.slot);
    } else {
      const { slot, flags, gpa, size, hva } = entry;
      slots.set(slot, { slot, flags, gpa, size, hva });
    }
    this.entryOf.set(entry.slot, index);
    return 0;
  }

  /** A conflict is reported at the later of its two entries, and of several conflicts the first so found. */
  protected findOverlap(): Refusal | undefined {
    const inserted = this.#inserted();
    let index = Number.POSITIVE_INFINITY;
    for (const slot of inserted) {
      for (const other of this.layout[asIdOf(slot.slot)]!.values()) {
        if (this.base.overlaps(slot, other)) index = Math.min(index, this.conflictIndex(slot, other));
      }
    }
    return index < Number.POSITIVE_INFINITY ? { errno: -ERRNO.EEXIST, index } : undefined;
  }

  protected conflictIndex(a: Slot, b: Slot): number {
    return Math.max(this.#insertedBy(a), this.#insertedBy(b));
  }

  protected findBeyondHighestGpa(): Refusal | undefined {
    const bad = this.#inserted().filter((slot) => beyondHighestGpa(slot, this.limits));
    if (bad.length === 0) return undefined;
    return { errno: -ERRNO.EINVAL, index: Math.min(...bad.map((slot) => this.#insertedBy(slot))) };
  }

  /** New slots of the net effect. */
  #inserted(): Slot[] {
    return this.layout.flatMap((slots) => [...slots.values()].filter((slot) => !this.#unchanged(slot)));
  }

  /** Entry that inserted a slot, -1 for one that stays as it was. */
  #insertedBy(slot: Slot): number {
    return this.#unchanged(slot) ? -1 : this.entryOf.get(slot.slot)!;
  }

  #unchanged(slot: Slot): boolean {
    return sameSlot(slot, this.base.layout[asIdOf(slot.slot)]!.get(slot.slot));
  }
}
