/** A list of 32-bit numbers that grows by segments, so that it is never copied. */

const SEGMENT_BITS = 18;
const SEGMENT_MASK = (1 << SEGMENT_BITS) - 1;

export class Growing {
  readonly #segments: Int32Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if ((this.#length & SEGMENT_MASK) === 0) this.#segments.push(new Int32Array(SEGMENT_MASK + 1));
    this.#segments[this.#length >> SEGMENT_BITS]![this.#length & SEGMENT_MASK] = value;
    this.#length++;
  }

  get(index: number): number {
    return this.#segments[index >> SEGMENT_BITS]![index & SEGMENT_MASK]!;
  }
}
