/**
 * A page table of the 4 GiB that a guest sees: for each page that was touched, where its host memory is, or which
 * MMIO windows touch it. Entries are taken from the engine at the first access, and dropped when the map changes.
 *
 *   entry 0    not looked up yet
 *   entry > 0  host memory: the host address of the page's first byte, plus one
 *   entry < 0  no host memory: minus the number of its windows' list
 *
 * A table has 4 MiB of address space, of which the system gives what is used.
 */
import type { MemslotEngine } from "../engine.js";
import type { MmioWindow } from "../windows.js";

export const PAGE_SHIFT = 12;
export const PAGE_BYTES = 1 << PAGE_SHIFT;
export const PAGE_MASK = PAGE_BYTES - 1;
const PAGES = 2 ** (32 - PAGE_SHIFT);

/** Stands for an access of which a window holds a part. */
export const SPLIT: MmioWindow = { gpa: 0, bytes: 0, device: 0 };

/** Translations for reads, or for writes. */
export class PageTable {
  /** By page number. For those who read only: what is 0 is filled in by `fill`. */
  readonly entries = new Int32Array(PAGES);
  readonly #engine: MemslotEngine;
  readonly #isWrite: boolean;
  /** Pages whose entry is not 0. */
  #filled: number[] = [];
  /** Windows by the number that entries have; number 0 is not in use. */
  #lists: (readonly MmioWindow[])[] = [[]];
  /** All windows, since the first page without host memory was looked up. */
  #windows: readonly MmioWindow[] | undefined;

  constructor(engine: MemslotEngine, isWrite: boolean) {
    this.#engine = engine;
    this.#isWrite = isWrite;
  }

  /** Look the page of `gpa` up. */
  fill(gpa: number): void {
    const engine = this.#engine;
    const page = gpa >>> PAGE_SHIFT;
    const start = page * PAGE_BYTES;
    const host = this.#isWrite ? engine.gpaToHva(start) : engine.gpaToHvaRead(start);
    // The first write since the log was harvested; the further ones find this entry.
    if (this.#isWrite && host >= 0) engine.markDirty(start);
    this.entries[page] = host >= 0 ? host + 1 : -this.#listOf(start);
    this.#filled.push(page);
  }

  /** Number of the list of windows that touch the page from `start` on. */
  #listOf(start: number): number {
    this.#windows ??= this.#engine.windows();
    const end = start + PAGE_BYTES;
    return this.#lists.push(this.#windows.filter(({ gpa, bytes }) => gpa < end && gpa + bytes > start)) - 1;
  }

  /**
   * The window that holds the `size` bytes at `gpa`, whose page has the entry `entry` < 0; SPLIT if windows hold
   * some of them, undefined if none.
   */
  window(entry: number, gpa: number, size: number): MmioWindow | undefined {
    const list = this.#lists[-entry]!;
    for (let i = 0; i < list.length; i++) {
      const window = list[i]!;
      const offset = gpa - window.gpa;
      if (offset >= 0 && offset + size <= window.bytes) return window;
      if (offset < window.bytes && offset + size > 0) return SPLIT;
    }
    return undefined;
  }

  flush(): void {
    for (const page of this.#filled) this.entries[page] = 0;
    this.#filled = [];
    this.#lists = [[]];
    this.#windows = undefined;
  }
}
