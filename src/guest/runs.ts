/**
 * Runs of guest addresses in one layout, for loads or for stores, and the tables that find the run of a page.
 *
 *   main run -> page of gpa -> table entry -> the entry beside it -> sorted array of runs -> the engine
 *
 * A run is as long as it can be: the part of a slot that one host buffer backs. So the page of an entry only chooses
 * the entry; whether an access hits is a question to the run, and one over a page border is none over a run's border.
 *
 * Invariants
 *  - All runs of an array are of one layout and one address space, sorted, and do not overlap.
 *  - A run in a table is in the array, or is a page of one that is: of a logged slot, made for stores.
 *  - Table `near` is for addresses below 4 GiB, table `far` for those above: for an address of 32 bits the hot path
 *    compares nothing but these. It tries the main run for all addresses, so there is none once `far` has entries.
 */

import type { Device } from "./devices.js";

/** Host bytes of a run of guest addresses, or the registers of a device. */
export class Run {
  // Fields without an initial value are declared only: one that was undefined at first may be anything for V8, which
  // then looks at the kind of its value in each access.
  /** Guest address of the first byte. A double for V8, so that the field of all runs is one. */
  declare readonly gpa: number;
  /** Its lower 32 bits, signed. */
  declare readonly low: number;
  /** The address without them. */
  declare readonly high: number;
  /** First bytes of the run that have host memory; never more than V8 keeps as a small integer everywhere. */
  declare readonly limit: number;
  /** Guest bytes. */
  declare readonly size: number;
  /** Those of the host; empty for a device, and once the buffer has moved or shrunk. */
  declare readonly bytes: Uint8Array;
  declare readonly view: DataView;
  /** Stores mark their page dirty. */
  declare readonly logged: boolean;
  /** One page of a logged slot, which has been marked: in the vCPU's section stores need not. */
  marked = false;
  /** Guest address of the byte that is shown at `gpa`, in address space `asId`: another one in a mirror. */
  declare origin: number;
  asId = 0;
  /** Accesses are told to watches, so the hot path must not find it. */
  watched = false;
  /** The object that was the device when it was last called, and whether it takes accesses as they are. */
  target: Device | undefined = undefined;
  plain = false;
  /** Device that answers, -1 for memory. */
  declare readonly device: number;
  /** Byte of its registers at `gpa`; of memory, the host address. */
  declare readonly offset: number;
  /** Arrays for atomic operations on 1, 2, 4, 8 bytes, made when first used. */
  readonly units: (Uint8Array | Uint16Array | Uint32Array | BigUint64Array | undefined)[] = [];

  constructor(gpa: number, size: number, bytes: Uint8Array, logged: boolean, device: number, offset: number) {
    this.gpa = gpa;
    this.low = gpa | 0;
    this.high = gpa - (gpa >>> 0);
    this.limit = Math.min(bytes.length, SMALL_MAX);
    this.origin = gpa;
    this.size = size;
    this.bytes = bytes;
    this.view = bytes.length === 0 ? NO_VIEW : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.logged = logged;
    this.device = device;
    this.offset = offset;
  }
}

/** Largest integer that V8 keeps in 31 bits. */
const SMALL_MAX = 2 ** 30 - 1;
const NO_BYTES = /* @__PURE__ */ new Uint8Array(0);
const NO_VIEW: DataView = /* @__PURE__ */ new DataView(new ArrayBuffer(0));
/** `Run.device` of host memory. */
export const MEMORY = -1;

/** Nothing is in it. */
export const NO_RUN: Run = /* @__PURE__ */ new Run(Number.NaN, 0, NO_BYTES, false, MEMORY, 0);

/** Registers of a device. */
export function deviceRun(gpa: number, size: number, device: number, offset: number): Run {
  return new Run(gpa, size, NO_BYTES, false, device, offset);
}

/** Entries of a table as a power of two; 8 KiB. */
export const TABLE_BITS = 10;
/**
 * Times the page number, modulo 2^32, its upper bits are the entry: pages side by side have entries of their own, and
 * so have 64 pages at any distance that is a power of two up to 2^24 pages.
 */
export const SPREAD = 0x9e3779b1 | 0;
/** What is left of 32 bits is the entry. */
export const TABLE_SHIFT = 32 - TABLE_BITS;

/** Filled by push: V8 would look for holes at each access to an array that was made with a length. */
export function emptyTable(bits: number): Run[] {
  const table: Run[] = [];
  for (let i = 0; i < 2 ** bits; i++) table.push(NO_RUN);
  return table;
}

/** A table in which nothing is found; shared by all that have found nothing yet. */
const EMPTY: Run[] = /* @__PURE__ */ emptyTable(TABLE_BITS);

/** First address of more than 32 bits. */
export const FAR_GPA = 2 ** 32;

export class Runs {
  /** By entry, for addresses of 32 bits. Another array after the first `keep`. */
  near = EMPTY;
  /** For those above. */
  far = EMPTY;
  /** The one with more than half of all bytes that were found, if all are `near`; the hot path tries it first. */
  main = NO_RUN;
  readonly #pageShift: number;
  /** Sorted by guest address. */
  readonly #runs: Run[] = [];
  /** Bytes in them that have host memory. */
  #bytes = 0;
  /** Entries of the tables that are in use. */
  readonly #nearFilled: number[] = [];
  readonly #farFilled: number[] = [];

  constructor(pageShift: number) {
    this.#pageShift = pageShift;
  }

  #entryOf(gpa: number): number {
    return Math.imul((gpa >>> 0) >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT;
  }

  /** The kept run with `gpa`, a whole number, in it. */
  find(gpa: number): Run | undefined {
    const table = gpa < FAR_GPA ? this.near : this.far;
    const entry = this.#entryOf(gpa);
    const first = table[entry]!;
    const at = gpa - first.gpa;
    if (at >= 0 && at < first.size) return first;
    const second = table[entry ^ 1]!;
    const beside = gpa - second.gpa;
    if (beside >= 0 && beside < second.size) return second;
    return undefined;
  }

  /** The run of the array with `gpa` in it. */
  search(gpa: number): Run | undefined {
    const place = this.#place(gpa);
    // V8 takes an index of -1 for a name, and looks it up by hashing.
    if (place === 0) return undefined;
    const run = this.#runs[place - 1]!;
    return gpa - run.gpa < run.size ? run : undefined;
  }

  /** How many runs begin at `gpa` or before. */
  #place(gpa: number): number {
    const runs = this.#runs;
    let low = 0;
    let high = runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (runs[middle]!.gpa <= gpa) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Keep a run of the layout; it replaces those that begin in it. */
  add(run: Run): void {
    const place = this.#place(run.gpa);
    const first = place > 0 && this.#runs[place - 1]!.gpa === run.gpa ? place - 1 : place;
    let end = first;
    while (end < this.#runs.length && this.#runs[end]!.gpa < run.gpa + run.size) end++;
    this.#bytes += run.limit;
    if (first === this.#runs.length) this.#runs.push(run);
    else for (const { limit } of this.#runs.splice(first, end - first, run)) this.#bytes -= limit;
    if (this.main.limit * 2 <= this.#bytes) this.main = NO_RUN;
  }

  /** Have the tables find `run` for the page of `gpa`. */
  keep(gpa: number, run: Run): void {
    if (gpa >= FAR_GPA) {
      if (this.far === EMPTY) this.far = EMPTY.slice();
      keepIn(this.far, this.#farFilled, this.#entryOf(gpa), run);
      this.main = NO_RUN;
      return;
    }
    if (this.near === EMPTY) this.near = EMPTY.slice();
    keepIn(this.near, this.#nearFilled, this.#entryOf(gpa), run);
    if (run.limit * 2 > this.#bytes && this.#farFilled.length === 0) this.main = run;
  }

  /** Forget what the tables find. */
  clearTables(): void {
    clearIn(this.near, this.#nearFilled);
    clearIn(this.far, this.#farFilled);
    this.main = NO_RUN;
  }

  /** Forget all: the layout is another one. */
  clear(): void {
    this.clearTables();
    const runs = this.#runs;
    while (runs.length > 0) runs.pop();
    this.#bytes = 0;
  }
}

/** Without a new array: the next layout fills this one, and few layouts have many entries. */
function clearIn(table: Run[], filled: number[]): void {
  while (filled.length > 0) table[filled.pop()!] = NO_RUN;
}

/** A run that is displaced goes to the entry beside, if that is free: two that share an entry both stay. */
function keepIn(table: Run[], filled: number[], entry: number, run: Run): void {
  const beside = table[entry]!;
  if (beside === NO_RUN) filled.push(entry);
  else if (table[entry ^ 1] === NO_RUN) {
    table[entry ^ 1] = beside;
    filled.push(entry ^ 1);
  }
  table[entry] = run;
}
