/**
 * A page table of the 4 GiB that a guest sees: for each page that was touched, where its host memory is, or who
 * answers instead. Entries are taken from the engine at the first access, and dropped when the map changes.
 *
 *   entry 0    not looked up yet
 *   entry > 0  host memory: the host address of the page's first byte, which is a multiple of the page's size, plus one
 *   entry < 0  no host memory: minus the number of who answers
 *
 * Who reads takes number `0 - entry`: for an entry of 0 `-entry` would be -0, which V8 does not keep as an integer.
 * A table has 4 MiB of address space, of which the system gives what is used.
 */
import type { MemslotEngine } from "../engine.js";
import type { MmioWindow } from "../kvm/window.js";
import { PAGE_BYTES, PAGE_SHIFT, type WindowPart } from "./parts.js";

const PAGES = 2 ** (32 - PAGE_SHIFT);

/** Who answers for a page without host memory. */
export interface Page<Handlers> extends WindowPart {
  /** For all of the page. What the part itself holds needs no handler: one call less. */
  readonly handlers: Handlers;
}

/** Finds out who answers for a page without host memory. */
export type PageOf<Handlers> = (windows: readonly MmioWindow[], pageStart: number) => Page<Handlers>;

/** Translations for reads, or for writes. */
export class PageTable<Handlers> {
  /** By page number. Only `fill` and `flush` write here. */
  readonly entries = new Int32Array(PAGES);
  /** By the number that entries have; number 0 stands for the pages that are not looked up yet. */
  readonly pages: Page<Handlers>[];
  readonly #engine: MemslotEngine;
  readonly #isWrite: boolean;
  readonly #pageOf: PageOf<Handlers>;
  /** Pages whose entry is not 0. */
  #filled: number[] = [];
  /** All windows, since the first page without host memory was looked up. */
  #windows: readonly MmioWindow[] | undefined;

  /** @param unknown its handlers call `fill` and access again */
  constructor(engine: MemslotEngine, isWrite: boolean, unknown: Page<Handlers>, pageOf: PageOf<Handlers>) {
    this.#engine = engine;
    this.#isWrite = isWrite;
    this.pages = [unknown];
    this.#pageOf = pageOf;
  }

  /** Look the page of `gpa` up. */
  fill(gpa: number): void {
    const page = gpa >>> PAGE_SHIFT;
    this.entries[page] = this.#lookUp(page * PAGE_BYTES);
    this.#filled.push(page);
  }

  #lookUp(pageStart: number): number {
    const engine = this.#engine;
    const hva = this.#isWrite ? engine.gpaToHva(pageStart) : engine.gpaToHvaRead(pageStart);
    if (hva < 0) {
      this.#windows ??= engine.windows();
      return 1 - this.pages.push(this.#pageOf(this.#windows, pageStart));
    }
    // The first write since the log was harvested; the further ones find this entry.
    if (this.#isWrite) engine.markDirty(pageStart);
    return hva + 1;
  }

  flush(): void {
    for (const page of this.#filled) this.entries[page] = 0;
    this.#filled = [];
    this.pages.length = 1;
    this.#windows = undefined;
  }
}
