/**
 * Layout number n of a run, as a function of n: what each page maps to, and the list that leads to the next
 * layout. The number is that of the publication, and the clock, a page of address space 0, has it in its host
 * address: one lookup of the clock tells which layout answers, and all other answers of the section must be
 * that layout's.
 */
import { HVA_BAD, HVA_RO_BAD, KVM_MEM_READONLY, type Slot } from "memslots";
import { CELL_PAGES, Cell, type Change, mix, type Piece, SHAPES } from "./cells.js";

export const PAGE = 4096;
export const ADDRESS_SPACES = 2;
/** The clock's frame and slot id. */
const CLOCK_GFN = 1;
const CLOCK_ID = 0;
/** Host page of the clock in layout 0, above those of all cells. */
const CLOCK_HOST = 2 ** 34 + 2 ** 33;
const CLOCK_HOST_END = 2 ** 35 - 1;
export const CLOCK_GPA = CLOCK_GFN * PAGE;
/**
 * Epochs of a cell that are kept computed: sections of an old layout may be open beside those of a new one.
 */
const EPOCHS_KEPT = 4;

/** Answers of the lookups in one epoch of a cell, index = asId * CELL_PAGES + page. */
export interface Answers {
  readonly epoch: number;
  /** Host address, or HVA_BAD. */
  readonly reads: Float64Array;
  /** The same for writes: HVA_RO_BAD in READONLY slots. */
  readonly writes: Float64Array;
  /** Slot number, or -1. */
  readonly slots: Int32Array;
}

/** A list of regions, and what is in it. */
export interface Step {
  readonly regions: Slot[];
  readonly changes: Change[];
}

/** Layout that a host address of the clock belongs to; -1 if it is no address of the clock. */
export function layoutOf(hva: number): number {
  const page = hva / PAGE;
  return Number.isInteger(page) && page > CLOCK_HOST && page < CLOCK_HOST_END ? page - CLOCK_HOST : -1;
}

function regionOf({ asId, id, gfn, npages, host, flags }: Piece): Slot {
  const slot = (asId << 16) | id;
  return { slot, flags, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

function deletionOf(piece: Piece): Slot {
  return { ...regionOf(piece), memorySize: 0 };
}

/**
 * A piece of the cell's before can become this one by MOVE or by its flags; else it is deleted and made anew.
 */
function canStay(before: Piece, after: Piece): boolean {
  const readonly = (before.flags ^ after.flags) & KVM_MEM_READONLY;
  return before.host === after.host && before.npages === after.npages && readonly === 0;
}

function samePiece(a: Piece, b: Piece): boolean {
  return canStay(a, b) && a.gfn === b.gfn && a.flags === b.flags;
}

/** The regions that turn one content of a cell into another. */
function difference(before: readonly Piece[], after: readonly Piece[]): Slot[] {
  const key = ({ asId, id }: Piece) => (asId << 16) | id;
  const old = new Map(before.map((piece) => [key(piece), piece]));
  const regions: Slot[] = [];
  for (const piece of after) {
    const was = old.get(key(piece));
    old.delete(key(piece));
    if (was !== undefined && samePiece(was, piece)) continue;
    if (was !== undefined && !canStay(was, piece)) regions.push(deletionOf(was));
    regions.push(regionOf(piece));
  }
  return [...[...old.values()].map(deletionOf), ...regions];
}

/** All layouts of a run. */
export class Layouts {
  readonly cells: readonly Cell[];
  readonly #seed: number;
  readonly #answers: Answers[][];

  constructor(seed: number) {
    this.#seed = seed;
    this.cells = SHAPES.map((_, number) => new Cell(seed, number));
    this.#answers = this.cells.map(() => []);
  }

  #clock(layout: number): Piece {
    return { asId: 0, id: CLOCK_ID, gfn: CLOCK_GFN, npages: 1, host: CLOCK_HOST + layout, flags: 0 };
  }

  /** True if layout `layout` is published with all vCPUs between two sections. */
  isBarrier(layout: number): boolean {
    return mix(this.#seed, layout, 5) % 8 === 0;
  }

  /** What the pages of a cell map to in layout `layout`. */
  answers(layout: number, cell: number): Answers {
    const epoch = this.cells[cell]!.epoch(layout);
    const kept = this.#answers[cell]!;
    const found = kept[epoch % EPOCHS_KEPT];
    if (found?.epoch === epoch) return found;
    const made = this.#compute(epoch, cell);
    kept[epoch % EPOCHS_KEPT] = made;
    return made;
  }

  #compute(epoch: number, number: number): Answers {
    const pages = CELL_PAGES * ADDRESS_SPACES;
    const reads = new Float64Array(pages).fill(HVA_BAD);
    const writes = new Float64Array(pages).fill(HVA_BAD);
    const slots = new Int32Array(pages).fill(-1);
    const cell = this.cells[number]!;
    for (const { asId, id, gfn, npages, host, flags } of cell.pieces(epoch)) {
      for (let page = 0; page < npages; page++) {
        const at = asId * CELL_PAGES + gfn - cell.firstGfn + page;
        reads[at] = (host + page) * PAGE;
        writes[at] = flags & KVM_MEM_READONLY ? HVA_RO_BAD : reads[at]!;
        slots[at] = (asId << 16) | id;
      }
    }
    return { epoch, reads, writes, slots };
  }

  /** True if `fits` one of the cell's contents in the layouts from `first` to `last`. */
  everAnswered(first: number, last: number, cell: number, fits: (answers: Answers) => boolean): boolean {
    const { period } = this.cells[cell]!.shape;
    for (let layout = first; layout < last; layout += period) {
      if (fits(this.answers(layout, cell))) return true;
    }
    return fits(this.answers(last, cell));
  }

  /** All slots of an address space in layout `layout`, ascending by guest address. */
  slots(layout: number, asId: number): Slot[] {
    const clock = layout > 0 ? [this.#clock(layout)] : [];
    const cells = layout > 0 ? this.cells.flatMap((cell) => cell.pieces(cell.epoch(layout))) : [];
    return [...clock, ...cells]
      .filter((piece) => piece.asId === asId)
      .sort((a, b) => a.gfn - b.gfn)
      .map(regionOf);
  }

  /**
   * The list from layout `layout` to the next. Its first entry says again what the clock is in `layout`:
   * where another writer was faster the clock has another host address, which KVM refuses, and all of the
   * list with it. So the number of a publication is exact, whoever made it and whoever died of it.
   */
  step(layout: number): Step {
    const next = layout + 1;
    if (layout === 0) {
      const regions = [...this.slots(1, 0), ...this.slots(1, 1)];
      return { regions, changes: [] };
    }
    const changes: Change[] = [];
    const regions: Slot[] = [];
    for (const cell of this.cells) {
      const [before, after] = [cell.epoch(layout), cell.epoch(next)];
      if (before === after) continue;
      const own = difference(cell.pieces(before), cell.pieces(after));
      if (own.length > 0) changes.push(cell.change(after));
      // An order of its own at each step; only what happens to one id must stay in order, and cells share no
      // ids.
      if (mix(this.#seed, next, cell.number) % 2 === 0) regions.push(...own);
      else regions.unshift(...own);
    }
    const clock = [deletionOf(this.#clock(layout)), regionOf(this.#clock(next))];
    const guard = regionOf(this.#clock(layout));
    return { regions: [guard, ...(next % 2 ? [...clock, ...regions] : [...regions, ...clock])], changes };
  }

  /** A list that changes nothing in layout `layout`, and is refused in any other. */
  nothing(layout: number): Slot[] {
    const clock = this.#clock(layout);
    return [regionOf(clock), deletionOf(clock), regionOf(clock)];
  }

  /**
   * An entry that every layout refuses at the end of a list: a range that is taken, an id that is not, too
   * far up.
   */
  bad(random: number): { region: Slot; code: string } {
    const free = { asId: 0, id: SHAPES.reduce((sum, { ids }) => sum + ids, 1), npages: 1, host: 7, flags: 0 };
    if (random % 3 === 0) return { region: regionOf({ ...free, gfn: CLOCK_GFN }), code: "EEXIST" };
    if (random % 3 === 1) return { region: deletionOf({ ...free, gfn: 0 }), code: "EINVAL" };
    return { region: regionOf({ ...free, gfn: 2 ** 40 }), code: "EINVAL" };
  }
}
