/**
 * A software TLB: for each guest page that was touched, where its host memory is, or which MMIO windows touch
 * it. Direct-mapped; entries are taken from the engine when they miss, and dropped all at once when the map
 * changes.
 */
import type { MemslotEngine } from "../engine.js";
import type { MmioWindow } from "../windows.js";

export const PAGE_SHIFT = 12;
export const PAGE_BYTES = 1 << PAGE_SHIFT;
export const PAGE_MASK = PAGE_BYTES - 1;
const ENTRIES = 1024;
const INDEX_MASK = ENTRIES - 1;
const NO_PAGE = -1;

/** Stands for an access of which a window holds a part. */
export const SPLIT: MmioWindow = { gpa: 0, bytes: 0, device: 0 };

/** Translations for reads, or for writes. Guest addresses are unsigned. */
export class Pages {
  readonly #engine: MemslotEngine;
  readonly #isWrite: boolean;
  /** By entry: guest page number, host address or HVA_BAD or HVA_RO_BAD, windows that touch the page. */
  readonly #page = new Int32Array(ENTRIES).fill(NO_PAGE);
  readonly #host = new Int32Array(ENTRIES);
  readonly #windows: (readonly MmioWindow[])[] = new Array(ENTRIES).fill([]);

  constructor(engine: MemslotEngine, isWrite: boolean) {
    this.#engine = engine;
    this.#isWrite = isWrite;
  }

  /** Host address of the page of `gpa`, negative if it is no RAM. */
  host(gpa: number): number {
    const page = gpa >>> PAGE_SHIFT;
    const entry = page & INDEX_MASK;
    if (this.#page[entry] !== page) this.#fill(gpa, page, entry);
    return this.#host[entry]!;
  }

  /**
   * The window that holds the `size` bytes at `gpa`, of whose page `host` has just said that it is no RAM;
   * SPLIT if windows hold some of them, undefined if none.
   */
  window(gpa: number, size: number): MmioWindow | undefined {
    for (const window of this.#windows[(gpa >>> PAGE_SHIFT) & INDEX_MASK]!) {
      const offset = gpa - window.gpa;
      if (offset >= 0 && offset + size <= window.bytes) return window;
      if (offset < window.bytes && offset + size > 0) return SPLIT;
    }
    return undefined;
  }

  flush(): void {
    this.#page.fill(NO_PAGE);
  }

  #fill(gpa: number, page: number, entry: number): void {
    const engine = this.#engine;
    const start = page * PAGE_BYTES;
    const host = this.#isWrite ? engine.gpaToHva(start) : engine.gpaToHvaRead(start);
    // The first write since the log was harvested; the further ones find this entry.
    if (this.#isWrite && host >= 0) engine.markDirty(gpa);
    const end = start + PAGE_BYTES;
    this.#windows[entry] =
      host >= 0 ? [] : engine.windows().filter(({ gpa, bytes }) => gpa < end && gpa + bytes > start);
    this.#host[entry] = host;
    this.#page[entry] = page;
  }
}
