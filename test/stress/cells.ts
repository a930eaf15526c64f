/**
 * What the guest maps, cell by cell. A cell is a piece of guest memory whose content is a function of its
 * epoch, and each kind of cell repeats one kind of change: so every layout that is ever published can be
 * computed from its number alone, by readers and writers of all threads, and no table of them has to survive
 * anybody's death.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";

/** Frames of a cell. Cells follow each other without a gap. */
export const CELL_PAGES = 256;
/** Host pages of a cell: as many for each stamp, so that an address tells the cell and the stamp. */
const HOST_FIRST = 2 ** 20;
const STAMPS = 2 ** 22;
/** Ids of a cell start here; below are those of the clock. */
const FIRST_ID = 1;
/** Frame of the first cell. */
const FIRST_GFN = 16;

/** A mapped range. */
export interface Piece {
  readonly asId: number;
  /** Slot id in its address space. */
  readonly id: number;
  readonly gfn: number;
  readonly npages: number;
  /** First host page. */
  readonly host: number;
  readonly flags: number;
}

/** What a commit does to a cell. */
export const CHANGES = ["split", "merge", "move", "swap", "flags", "spaces", "replace", "many"] as const;
export type Change = (typeof CHANGES)[number];

/** How often a cell changes: every `period` layouts, and one phase apart from its neighbours. */
interface Shape {
  readonly kind: Exclude<Change, "merge">;
  /** Address space; cells of kind "spaces" are in both. */
  readonly asId: number;
  readonly period: number;
  /** Slot ids that it uses. */
  readonly ids: number;
}

export const SHAPES: readonly Shape[] = [
  { kind: "split", asId: 0, period: 5, ids: 4 },
  { kind: "many", asId: 0, period: 16, ids: 64 },
  { kind: "move", asId: 0, period: 4, ids: 2 },
  { kind: "swap", asId: 0, period: 6, ids: 3 },
  { kind: "split", asId: 0, period: 7, ids: 4 },
  { kind: "flags", asId: 0, period: 5, ids: 1 },
  { kind: "spaces", asId: 0, period: 9, ids: 1 },
  { kind: "replace", asId: 1, period: 3, ids: 1 },
  { kind: "split", asId: 1, period: 8, ids: 4 },
  { kind: "many", asId: 1, period: 24, ids: 48 },
  { kind: "move", asId: 1, period: 6, ids: 2 },
  { kind: "spaces", asId: 0, period: 11, ids: 1 },
  { kind: "swap", asId: 1, period: 10, ids: 3 },
];

/**
 * Slot ids that all cells use, and the clock: the smallest maxSlots, so that chunks and records come back
 * soon.
 */
export const SLOT_IDS = FIRST_ID + SHAPES.reduce((sum, { ids }) => sum + ids, 0);

/** A number of 32 bits that looks random. */
export function mix(a: number, b: number, c: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15) ^ c, 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return (h ^ (h >>> 15)) >>> 0;
}

const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

/** Cell number `number` of a run. */
export class Cell {
  readonly number: number;
  readonly shape: Shape;
  readonly firstGfn: number;
  readonly #seed: number;
  readonly #firstId: number;
  readonly #phase: number;

  constructor(seed: number, number: number) {
    this.number = number;
    this.shape = SHAPES[number]!;
    this.firstGfn = FIRST_GFN + number * CELL_PAGES;
    this.#seed = mix(seed, number, 1);
    this.#firstId = SHAPES.slice(0, number).reduce((sum, { ids }) => sum + ids, FIRST_ID);
    this.#phase = this.#seed % this.shape.period;
  }

  /** Epoch of this cell in layout `layout`. */
  epoch(layout: number): number {
    return Math.floor((layout + this.#phase) / this.shape.period);
  }

  /** What the step into `epoch` is called. */
  change(epoch: number): Change {
    const { kind } = this.shape;
    return kind === "split" && epoch % 2 === 0 ? "merge" : kind;
  }

  /** First host page of a stamp. */
  host(stamp: number): number {
    return HOST_FIRST + (this.number * STAMPS + (stamp % STAMPS)) * CELL_PAGES;
  }

  /** A whole range, its cut in three with a READONLY middle, the whole again, and a cut with a hole. */
  #split(epoch: number): Piece[] {
    const pages = 32;
    const stamp = epoch >> 2;
    const first = 1 + (mix(this.#seed, stamp, 2) % 15);
    const second = 17 + (mix(this.#seed, stamp, 3) % 14);
    const part = (index: number, from: number, to: number, flags = 0) =>
      this.#piece(index, from, to - from, this.host(stamp) + from, flags);
    if (epoch % 2 === 0) return [part(0, 0, pages)];
    const ends = [part(1, 0, first), part(3, second, pages)];
    return epoch % 4 === 1 ? [...ends, part(2, first, second, KVM_MEM_READONLY)] : ends;
  }

  #move(epoch: number): Piece[] {
    return [0, 1].map((index) => {
      const from = index * 32 + (mix(this.#seed, epoch, index) % 24);
      return this.#piece(index, from, 8, this.host(epoch >> 3) + index * 8);
    });
  }

  #swap(epoch: number): Piece[] {
    const order = ORDERS[mix(this.#seed, epoch, 4) % ORDERS.length]!;
    return order.map((place, index) => this.#piece(index, place * 8, 8, this.host(epoch >> 4) + index * 8));
  }

  #flags(epoch: number): Piece[] {
    const flags = (epoch & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0) | (epoch & 2 ? KVM_MEM_READONLY : 0);
    return [this.#piece(0, 0, 64, this.host(epoch >> 4), flags)];
  }

  /** Two host ranges that wander between the address spaces. */
  #spaces(epoch: number): Piece[] {
    const host = this.host(Math.floor(epoch / 6));
    const one = (asId: number, from: number) => ({ ...this.#piece(0, 8, 16, host + from), asId });
    if (epoch % 3 === 0) return [one(0, 0), one(1, 16)];
    return epoch % 3 === 1 ? [one(1, 0)] : [one(0, 16), one(1, 0)];
  }

  /** So many small slots that chunks split and merge. */
  #many(epoch: number): Piece[] {
    const share = [95, 8, 50, 2][epoch % 4]!;
    const pieces: Piece[] = [];
    for (let index = 0; index < this.shape.ids; index++) {
      const random = mix(this.#seed, epoch, index);
      if (random % 100 >= share) continue;
      const flags = index % 9 === 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0;
      const host = this.host(epoch >> (index % 3)) + index * 4;
      pieces.push(this.#piece(index, index * 4, 1 + (index % 4), host, flags));
    }
    return pieces;
  }

  #piece(index: number, from: number, npages: number, host: number, flags = 0): Piece {
    const { asId } = this.shape;
    return { asId, id: this.#firstId + index, gfn: this.firstGfn + from, npages, host, flags };
  }

  /** What is mapped in `epoch`. */
  pieces(epoch: number): Piece[] {
    switch (this.shape.kind) {
      case "split":
        return this.#split(epoch);
      case "move":
        return this.#move(epoch);
      case "swap":
        return this.#swap(epoch);
      case "flags":
        return this.#flags(epoch);
      case "spaces":
        return this.#spaces(epoch);
      case "many":
        return this.#many(epoch);
      case "replace":
        return [this.#piece(0, 0, 4, this.host(epoch))];
    }
  }
}
