/**
 * Watches: a handler for the accesses to some bytes of guest memory, as a debugger's watchpoints, or to find code that
 * changes itself.
 *
 * Pages with a watched byte have no entry in the tables of the hot path, for the kinds of access that are watched;
 * all other pages keep theirs. What is done to such a page is noted, and told when the access is over and its section
 * is left, as to the handler of a hole.
 */
import { checkFunction, checkOptionNames, show, toAddress, toBoolean } from "../kvm/arguments.js";
import { resumeSection, type Section, suspendSection } from "../read/section.js";
import { accessOf } from "./access.js";
import type { GuestMemory } from "./memory.js";
import { FETCH, type Original, type Piece, READ, type WatchList, WRITE } from "./target.js";

/** The bytes and kinds of access that a watch is for. */
export interface WatchOptions {
  /** First guest address. A mirror of the bytes counts as the bytes. */
  readonly gpa: number;
  /** Size, above 0. */
  readonly bytes: number;
  /** Default false. */
  readonly reads?: boolean | undefined;
  /** Default true, if neither `reads` nor `fetches` is. */
  readonly writes?: boolean | undefined;
  /** Accesses by `fetchUint8` and its like. Default false. */
  readonly fetches?: boolean | undefined;
}

/** An access that was watched. */
export interface WatchedAccess {
  /** First guest address. */
  readonly gpa: number;
  /** Bytes of the access; of a block, a copy or a piece, those of it in one run of host memory. */
  readonly bytes: number;
  /** The value, unsigned, of a float its bits: of an atomic operation the one that is there now. 0 of a block. */
  readonly value: number | bigint;
  /** True for a store, false for a load or a fetch. */
  readonly write: boolean;
}

interface Watch {
  readonly start: number;
  readonly end: number;
  /** By kind of access. */
  readonly kinds: readonly boolean[];
  readonly handler: (access: WatchedAccess) => void;
}

/** All watches of a guest memory. */
class Watches implements WatchList {
  readonly #pageBytes: number;
  /** By number of the page. */
  readonly #byPage = new Map<number, Watch[]>();
  /** By kind of access: numbers of the pages that are watched for it, ascending; made when needed. */
  readonly #pages: (number[] | undefined)[] = [];
  #noted: { watch: Watch; access: WatchedAccess }[] = [];

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  get empty(): boolean {
    return this.#byPage.size === 0;
  }

  add(watch: Watch): void {
    for (const page of this.#pagesOf(watch.start, watch.end)) {
      const known = this.#byPage.get(page);
      if (known === undefined) this.#byPage.set(page, [watch]);
      else known.push(watch);
    }
    this.#pages.length = 0;
  }

  remove(watch: Watch): void {
    for (const page of this.#pagesOf(watch.start, watch.end)) {
      const left = this.#byPage.get(page)!.filter((other) => other !== watch);
      if (left.length === 0) this.#byPage.delete(page);
      else this.#byPage.set(page, left);
    }
    this.#pages.length = 0;
  }

  *#pagesOf(start: number, end: number): Iterable<number> {
    const last = Math.floor((end - 1) / this.#pageBytes);
    for (let page = Math.floor(start / this.#pageBytes); page <= last; page++) yield page;
  }

  #watchedPages(kind: number): number[] {
    const known = this.#pages[kind];
    if (known !== undefined) return known;
    const pages = [...this.#byPage].filter(([, watches]) => watches.some(({ kinds }) => kinds[kind]));
    return (this.#pages[kind] = pages.map(([page]) => page).sort((a, b) => a - b));
  }

  cut(piece: Piece, gpa: number, kind: number, distance: number): boolean {
    // A mirror is watched where it is, and where its original is.
    const here = this.#cutAt(piece, gpa, kind, 0);
    return distance === 0 ? here : this.#cutAt(piece, gpa, kind, distance) || here;
  }

  /** Cut a piece by the watched pages that lie `distance` bytes further. */
  #cutAt(piece: Piece, gpa: number, kind: number, distance: number): boolean {
    const pages = this.#watchedPages(kind);
    const page = Math.floor((gpa + distance) / this.#pageBytes);
    let low = 0;
    let high = pages.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pages[middle]! < page) low = middle + 1;
      else high = middle;
    }
    const watched = pages[low] === page;
    const before = watched ? page : (pages[low - 1] ?? Number.NEGATIVE_INFINITY) + 1;
    const behind = watched ? page + 1 : (pages[low] ?? Number.POSITIVE_INFINITY);
    piece.start = Math.max(piece.start, before * this.#pageBytes - distance);
    piece.end = Math.min(piece.end, behind * this.#pageBytes - distance);
    return watched;
  }

  note(
    gpa: number,
    bytes: number,
    kind: number,
    value: number | bigint,
    originals: readonly Original[],
  ): void {
    const found = new Set<Watch>();
    for (const range of [{ gpa, bytes }, ...originals]) {
      const start = range.gpa;
      const end = start + range.bytes;
      for (const page of this.#pagesOf(start, end)) {
        for (const watch of this.#byPage.get(page) ?? []) {
          if (watch.kinds[kind] && watch.start < end && start < watch.end) found.add(watch);
        }
      }
    }
    const write = kind === WRITE;
    for (const watch of found) this.#noted.push({ watch, access: { gpa, bytes, value, write } });
  }

  tell(section: Section): void {
    if (this.#noted.length === 0) return;
    const noted = this.#noted;
    this.#noted = [];
    const open = suspendSection(section);
    try {
      for (const { watch, access } of noted) watch.handler(access);
    } finally {
      resumeSection(section, open);
    }
  }
}

/**
 * Call `handler` after each access of `memory` to one of some bytes: a typed access, a fetch, a block, an atomic
 * operation. It runs outside of the vCPU's section. Accesses through other guest memories, through a GuestCache or by
 * host address are not seen.
 * @returns a function that ends the watch
 * @throws TypeError naming the argument; RangeError for no bytes
 *
 * @example
 * const end = watchGuest(memory, { gpa: 0x8000, bytes: 4096, writes: true }, ({ gpa }) => dropCode(gpa));
 */
export function watchGuest(
  memory: GuestMemory,
  options: WatchOptions,
  handler: (access: WatchedAccess) => void,
): () => void {
  const { target } = accessOf(memory);
  const names = { gpa: true, bytes: true, reads: true, writes: true, fetches: true } as const;
  checkOptionNames<WatchOptions>(options, names, "watch");
  checkFunction(handler, "handler");
  const start = toAddress(options.gpa, "gpa");
  const end = start + toAddress(options.bytes, "bytes");
  if (end === start) throw new RangeError(`bytes must be above 0, not ${show(options.bytes)}`);
  const kinds: boolean[] = [];
  kinds[READ] = toBoolean(options.reads, "reads", false);
  kinds[FETCH] = toBoolean(options.fetches, "fetches", false);
  kinds[WRITE] = toBoolean(options.writes, "writes", !(kinds[READ] || kinds[FETCH]));
  const watches = (target.watches ?? new Watches(2 ** target.thread.pageShift)) as Watches;
  const watch = { start, end, kinds, handler };
  const changed = () => {
    target.watches = watches.empty ? undefined : watches;
    for (const forget of target.forget) forget();
  };
  watches.add(watch);
  changed();
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    watches.remove(watch);
    changed();
  };
}
