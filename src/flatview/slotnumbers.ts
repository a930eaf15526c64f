/** Slot numbers of an address space that are in use, so that the lowest free one is found at once. */

export class SlotNumbers {
  readonly #bits: Uint32Array;

  /** @param numbers below `limit` */
  constructor(limit: number, numbers: Iterable<number> = []) {
    this.#bits = new Uint32Array(Math.ceil(limit / 32));
    for (const number of numbers) this.add(number);
  }

  add(number: number): void {
    this.#bits[number >> 5]! |= 1 << (number & 31);
  }

  delete(number: number): void {
    this.#bits[number >> 5]! &= ~(1 << (number & 31));
  }

  /** The lowest free number from `from` on. */
  lowest(from: number): number {
    let word = from >> 5;
    // Those below `from` are as good as used.
    let used = (this.#bits[word] ?? 0) | ((1 << (from & 31)) - 1);
    while (used === -1 || used === 0xffff_ffff) used = this.#bits[++word] ?? 0;
    return word * 32 + 31 - Math.clz32(~used & -~used);
  }
}
