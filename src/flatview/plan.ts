/**
 * The shortest list that turns the slots that are mapped into those that are wanted.
 *
 *   equal in range, host and flags            nothing
 *   equal in size, host and READONLY          one entry: KVM's FLAGS_ONLY or MOVE
 *   else                                      one entry to delete, one to create
 *
 * An entry changes one slot id. So each old slot that is not wanted costs one, and each wanted one that is not
 * there costs one, unless they share it, which KVM allows as above; sharing is between slots of one class, so
 * any pairing inside the classes shares as many as there can be. Slots that stay as they are need not be given: no
 * list gets shorter by changing them.
 *
 * The list deletes first. It is one atomic change, but whoever applies its entries one by one (a recorder, a
 * real KVM) then meets no overlap that is not there in the end, unless slots move onto each other's places.
 */
import type { Slot } from "../kvm/region.js";
import { KVM_MEM_READONLY } from "../kvm/uapi.js";
import type { SlotRange } from "./mapping.js";
import type { SlotNumbers } from "./slotnumbers.js";

export interface Plan {
  /** Entries, deletes first. */
  readonly list: readonly Slot[];
  /** The slots that are there afterwards, in the order in which they were wanted. */
  readonly slots: readonly Slot[];
}

/** What two slots of one class have in common. */
interface Class {
  /** Equal for all of a class. */
  hash(slot: SlotRange): number;
  has(a: SlotRange, b: SlotRange): boolean;
}

const end = ({ guestPhysAddr, memorySize }: SlotRange) => guestPhysAddr + memorySize;
const distance = ({ guestPhysAddr, userspaceAddr }: SlotRange) => guestPhysAddr - userspaceAddr;

/** One update of KVM can turn one into the other. */
const convertible: Class = {
  hash: ({ userspaceAddr, memorySize }) => userspaceAddr + 31 * memorySize,
  has: (a, b) =>
    a.userspaceAddr === b.userspaceAddr &&
    a.memorySize === b.memorySize &&
    ((a.flags ^ b.flags) & KVM_MEM_READONLY) === 0,
};
const convertibleInPlace: Class = {
  hash: ({ guestPhysAddr }) => guestPhysAddr,
  has: (a, b) => a.guestPhysAddr === b.guestPhysAddr && convertible.has(a, b),
};
const equal: Class = {
  hash: convertibleInPlace.hash,
  has: (a, b) => a.flags === b.flags && convertibleInPlace.has(a, b),
};
/** The same memory, from the same byte or up to the same byte. */
const sameStart: Class = {
  hash: ({ guestPhysAddr }) => guestPhysAddr,
  has: (a, b) => a.guestPhysAddr === b.guestPhysAddr && distance(a) === distance(b),
};
const sameEnd: Class = {
  hash: end,
  has: (a, b) => end(a) === end(b) && distance(a) === distance(b),
};

/** So few old slots are looked at one by one. */
const FEW = 8;

/** What is left to be planned. */
class Rest {
  /** Not taken yet, in order. */
  old: Slot[];
  /** Indexes of what is wanted and has no slot yet. */
  made: number[] = [];
  readonly #wanted: readonly SlotRange[];
  /** By the index of what is wanted. */
  readonly slots: Slot[];

  constructor(mapped: readonly Slot[], wanted: readonly SlotRange[]) {
    this.old = [...mapped];
    for (let i = 0; i < wanted.length; i++) this.made.push(i);
    this.#wanted = wanted;
    this.slots = new Array(wanted.length);
  }

  /** Pair slots of one class, and add what they become to `pairs`. */
  pair(of: Class, pairs: Slot[]): void {
    if (this.old.length === 0 || this.made.length === 0) return;
    const classes = this.old.length > FEW ? byHash(this.old, of) : undefined;
    const taken: Slot[] = [];
    const left: number[] = [];
    for (const i of this.made) {
      const range = this.#wanted[i]!;
      // Those that are taken leave the candidates.
      const candidates = classes === undefined ? this.old : (classes.get(of.hash(range)) ?? []);
      let at = 0;
      while (at < candidates.length && !of.has(candidates[at]!, range)) at++;
      if (at === candidates.length) {
        left.push(i);
        continue;
      }
      const slot = candidates[at]!;
      candidates.splice(at, 1);
      taken.push(slot);
      pairs.push(this.take(i, slot.slot));
    }
    this.made = left;
    if (classes === undefined || taken.length === 0) return;
    const gone = new Set(taken);
    this.old = this.old.filter((slot) => !gone.has(slot));
  }

  /** Give what is wanted as number `i` to slot number `slot`. */
  take(i: number, slot: number): Slot {
    const { guestPhysAddr, memorySize, userspaceAddr, flags } = this.#wanted[i]!;
    return (this.slots[i] = { slot, flags, guestPhysAddr, memorySize, userspaceAddr });
  }
}

function byHash(slots: readonly Slot[], { hash }: Class): Map<number, Slot[]> {
  const classes = new Map<number, Slot[]>();
  for (const slot of slots) {
    const key = hash(slot);
    const known = classes.get(key);
    if (known === undefined) classes.set(key, [slot]);
    else known.push(slot);
  }
  return classes;
}

/**
 * Plan for one address space. A slot that grows or shrinks keeps its number; other new ones get the lowest that
 * are free.
 * @param mapped slots that are there and may be changed
 * @param numbers those of all other slots; those that are used here are added
 */
export function planList(
  mapped: readonly Slot[],
  wanted: readonly SlotRange[],
  asId: number,
  numbers: SlotNumbers,
): Plan {
  const rest = new Rest(mapped, wanted);
  const kept: Slot[] = [];
  const changed: Slot[] = [];
  const created: Slot[] = [];
  rest.pair(equal, kept);
  rest.pair(convertibleInPlace, changed);
  rest.pair(convertible, changed);
  const list: Slot[] = [];
  for (const { slot, guestPhysAddr, userspaceAddr } of rest.old) {
    list.push({ slot, flags: 0, guestPhysAddr, memorySize: 0, userspaceAddr });
  }
  rest.pair(sameStart, created);
  rest.pair(sameEnd, created);
  for (const slots of [kept, changed, created]) for (const { slot } of slots) numbers.add(slot & 0xffff);
  if (rest.made.length > 0) {
    let id = 0;
    for (const i of rest.made) {
      id = numbers.lowest(id);
      numbers.add(id);
      created.push(rest.take(i, (asId << 16) | id++));
    }
  }
  if (created.length > 1) created.sort((a, b) => a.guestPhysAddr - b.guestPhysAddr);
  list.push(...changed, ...created);
  return { list, slots: rest.slots };
}
