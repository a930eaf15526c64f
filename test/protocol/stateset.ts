/**
 * The states met so far, numbered in the order of their first visit: an open-addressing hash table over an
 * arena that grows by segments. A state is a few 32-bit words; whole states are compared, so no two are ever
 * taken for one.
 */

const SEGMENT_BITS = 16;
const SEGMENT_STATES = 1 << SEGMENT_BITS;

export class StateSet {
  readonly #words: number;
  readonly #segments: Int32Array[] = [];
  /** Number of a state + 1, or 0; and its hash, so that few states are compared in vain. */
  #table = new Int32Array(2 << 12);
  #size = 0;

  constructor(wordsPerState: number) {
    this.#words = wordsPerState;
  }

  get size(): number {
    return this.#size;
  }

  /** The number of a state; `size` before the call if it is new. */
  add(state: Int32Array): number {
    const hash = this.#hash(state);
    const table = this.#table;
    const mask = (table.length >> 1) - 1;
    let at = hash & mask;
    for (let entry = table[2 * at]!; entry !== 0; entry = table[2 * at]!) {
      if (table[2 * at + 1] === hash && this.#equals(entry - 1, state)) return entry - 1;
      at = (at + 1) & mask;
    }
    const number = this.#size++;
    if ((number & (SEGMENT_STATES - 1)) === 0)
      this.#segments.push(new Int32Array(SEGMENT_STATES * this.#words));
    this.#segments[number >> SEGMENT_BITS]!.set(state, (number & (SEGMENT_STATES - 1)) * this.#words);
    table[2 * at] = number + 1;
    table[2 * at + 1] = hash;
    if (this.#size * 4 > table.length) this.#grow();
    return number;
  }

  /** Copy state `number` into `state`. */
  get(number: number, state: Int32Array): void {
    const segment = this.#segments[number >> SEGMENT_BITS]!;
    const offset = (number & (SEGMENT_STATES - 1)) * this.#words;
    for (let i = 0; i < this.#words; i++) state[i] = segment[offset + i]!;
  }

  #equals(number: number, state: Int32Array): boolean {
    const segment = this.#segments[number >> SEGMENT_BITS]!;
    const offset = (number & (SEGMENT_STATES - 1)) * this.#words;
    for (let i = 0; i < this.#words; i++) if (segment[offset + i] !== state[i]) return false;
    return true;
  }

  #hash(state: Int32Array): number {
    let hash = 0;
    for (let i = 0; i < this.#words; i++) {
      hash = Math.imul(hash ^ state[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  #grow(): void {
    const old = this.#table;
    const table = new Int32Array(old.length * 2);
    const mask = old.length - 1;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] === 0) continue;
      let at = old[i + 1]! & mask;
      while (table[2 * at] !== 0) at = (at + 1) & mask;
      table[2 * at] = old[i]!;
      table[2 * at + 1] = old[i + 1]!;
    }
    this.#table = table;
  }
}
