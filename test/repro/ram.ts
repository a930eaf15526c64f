/**
 * Guest RAM: bytes in a SharedArrayBuffer, to the engine host addresses from HOST on. Two blocks, so that a
 * guest page can be moved from one place to another; guest address g of block b is at HOST + b * BLOCK_BYTES
 * + g.
 *
 * A page that scenarios use begins with its stamp: guest page + 1, block. Then comes a line for each vCPU,
 * whose first word counts the writes of that vCPU; no other thread writes it, so that a count lost is a write
 * gone astray.
 */
import { PAGE } from "../support/region.js";

const HOST = 0x1000_0000_0000;
const BLOCK_BYTES = 0x800_0000;
const BLOCKS = 2;
const PAGE_WORDS = PAGE / 4;
const LINE_WORDS = 16;
/** As many lines as a page has behind that of the stamp. */
export const RAM_VCPUS_MAX = PAGE_WORDS / LINE_WORDS - 1;

/** Host address of a guest address in a block. */
export function hostOf(gpa: number, block = 0): number {
  return HOST + block * BLOCK_BYTES + gpa;
}

export class Ram {
  readonly buffer: SharedArrayBuffer;
  readonly #vcpus: number;
  readonly #words: Int32Array;

  constructor(vcpus: number, buffer = new SharedArrayBuffer(BLOCKS * BLOCK_BYTES)) {
    this.buffer = buffer;
    this.#vcpus = vcpus;
    this.#words = new Int32Array(buffer);
  }

  #at(hva: number): number {
    return (hva - HOST) / 4;
  }

  /** Stamp the pages in every block, and no writes so far. */
  prepare(gpas: readonly number[]): void {
    for (let block = 0; block < BLOCKS; block++) {
      for (const gpa of gpas) {
        const at = this.#at(hostOf(gpa, block));
        this.#words.fill(0, at, at + PAGE_WORDS);
        this.#words[at] = gpa / PAGE + 1;
        this.#words[at + 1] = block;
      }
    }
  }

  /**
   * Guest address of the page at a host address, as its stamp tells; not a page of the RAM: NaN, or another
   * page.
   */
  stampOf(hva: number): number {
    return (this.#words[this.#at(hva)]! - 1) * PAGE;
  }

  /** Block of the page at a host address, as its stamp tells. */
  blockOf(hva: number): number {
    return this.#words[this.#at(hva) + 1]!;
  }

  /** A write of a vCPU to the page. */
  write(hva: number, vcpu: number): void {
    this.#words[this.#at(hva) + (vcpu + 1) * LINE_WORDS]! += 1;
  }

  /** Writes of all vCPUs to a page of a block. */
  writesTo(gpa: number, block: number): number {
    const at = this.#at(hostOf(gpa, block));
    let writes = 0;
    for (let vcpu = 0; vcpu < this.#vcpus; vcpu++) writes += this.#words[at + (vcpu + 1) * LINE_WORDS]!;
    return writes;
  }

  /** Writes to pages, of one block or all. */
  writes(gpas: readonly number[], block?: number): number {
    const blocks = block === undefined ? Array.from({ length: BLOCKS }, (_, b) => b) : [block];
    return blocks.reduce((sum, b) => sum + gpas.reduce((n, gpa) => n + this.writesTo(gpa, b), 0), 0);
  }
}
