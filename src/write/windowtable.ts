/**
 * The windows of an address space as the words that a commit stages, for who changes a few of many: an edit moves
 * words, and encodes nothing but what comes.
 */
import { WINDOW_BYTES, WINDOW_START_OFFSET } from "../core/layout.js";
import type { MmioWindow } from "../kvm/window.js";
import { encodeWindows, keepEncoded } from "./windows.js";

const WINDOW_WORDS = WINDOW_BYTES / 4;
const START = WINDOW_START_OFFSET / 4;

export class WindowTable {
  /** Stands for these windows in the option `windows` of a commit. */
  readonly handle: readonly MmioWindow[];
  readonly #limit: number;
  readonly #op: string;
  /** With room for more. */
  #words: Uint32Array;
  #count: number;

  /**
   * @param limit end of guest addresses
   * @param op the operation, for errors
   * @throws as encodeWindows
   */
  constructor(windows: readonly MmioWindow[], limit: number, op: string) {
    this.#limit = limit;
    this.#op = op;
    this.#words = this.#encode(windows);
    this.#count = windows.length;
    this.handle = keepEncoded(() => ({
      count: this.#count,
      words: this.#words.subarray(0, this.#count * WINDOW_WORDS),
    }));
  }

  #encode(windows: readonly MmioWindow[]): Uint32Array {
    return encodeWindows([windows], 1, this.#limit, this.#op)[0]!.words;
  }

  /** Take windows out that are there, and put others in, which overlap none. */
  edit(gone: readonly MmioWindow[], come: readonly MmioWindow[]): void {
    for (const { gpa } of gone) {
      const at = this.#find(gpa) * WINDOW_WORDS;
      this.#words.copyWithin(at, at + WINDOW_WORDS, this.#count * WINDOW_WORDS);
      this.#count--;
    }
    const need = (this.#count + come.length) * WINDOW_WORDS;
    if (need > this.#words.length) {
      const words = new Uint32Array(2 * need);
      words.set(this.#words);
      this.#words = words;
    }
    for (const window of come) {
      const at = this.#find(window.gpa) * WINDOW_WORDS;
      this.#words.copyWithin(at + WINDOW_WORDS, at, this.#count * WINDOW_WORDS);
      this.#words.set(this.#encode([window]), at);
      this.#count++;
    }
  }

  /** Number of windows that start below `gpa`. */
  #find(gpa: number): number {
    const words = this.#words;
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = middle * WINDOW_WORDS + START;
      if (words[at + 1]! * 2 ** 32 + words[at]! < gpa) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
