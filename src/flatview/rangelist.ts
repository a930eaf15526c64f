/**
 * A sorted list of ranges that costs, to change, what changes: chunks of some dozen, shared between a list and those
 * made of it. A list is never edited; so a commit that is refused has nothing to undo. A buffer is, while it is made.
 */

/** Items of a chunk. */
const CHUNK_MAX = 64;
const CHUNK_MIN = 16;

/** A place in a list: before item `at` of chunk `chunk`. */
export interface Place {
  readonly chunk: number;
  readonly at: number;
}

/** What distinguishes items of one list from those of another: where an item begins and ends. */
export interface Bounds<T, Address extends number | bigint> {
  start(item: T): Address;
  end(item: T): Address;
}

/** Neighbours of a list. */
export interface Run<T> extends Place {
  readonly items: readonly T[];
}

export class RangeList<T, Address extends number | bigint> {
  readonly #bounds: Bounds<T, Address>;
  readonly #chunks: readonly (readonly T[])[];

  protected constructor(bounds: Bounds<T, Address>, chunks: readonly (readonly T[])[]) {
    this.#bounds = bounds;
    this.#chunks = chunks;
  }

  static empty<T, Address extends number | bigint>(bounds: Bounds<T, Address>): RangeList<T, Address> {
    return new RangeList(bounds, []);
  }

  /** All items, ascending. */
  items(): T[] {
    return this.#chunks.flat();
  }

  /** The list with each item replaced by another one of the same range. */
  map(change: (item: T) => T): RangeList<T, Address> {
    return new RangeList(
      this.#bounds,
      this.#chunks.map((chunk) => chunk.map(change)),
    );
  }

  /** The place of the first item that ends behind `address`; with `meeting`, of the first that ends there. */
  #seek(address: Address, meeting: boolean): Place {
    const chunks = this.#chunks;
    const { end } = this.#bounds;
    const passed = (item: T): boolean => (meeting ? end(item) < address : end(item) <= address);
    let [low, high] = [0, chunks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (passed(chunks[middle]!.at(-1)!)) low = middle + 1;
      else high = middle;
    }
    const chunk = low;
    if (chunk === chunks.length) return { chunk, at: 0 };
    const items = chunks[chunk]!;
    [low, high] = [0, items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (passed(items[middle]!)) low = middle + 1;
      else high = middle;
    }
    return { chunk, at: low };
  }

  /** The items with bytes in [start, end); with `meeting`, also those that end or begin at its borders. */
  within(start: Address, end: Address, meeting = false): Run<T> {
    const { chunk: foundChunk, at: foundAt } = this.#seek(start, meeting);
    const { start: startOf } = this.#bounds;
    const items: T[] = [];
    let [chunk, at] = [foundChunk, foundAt];
    for (let list = this.#chunks[chunk]; list !== undefined; list = this.#chunks[++chunk], at = 0) {
      for (; at < list.length; at++) {
        const first = startOf(list[at]!);
        if (meeting ? first > end : first >= end) return { chunk: foundChunk, at: foundAt, items };
        items.push(list[at]!);
      }
    }
    return { chunk: foundChunk, at: foundAt, items };
  }

  /** The place `count` items behind another. */
  after({ chunk, at }: Place, count: number): Place {
    let [next, to] = [chunk, at + count];
    for (let list = this.#chunks[next]; list !== undefined && to > list.length; list = this.#chunks[++next]) {
      to -= list.length;
    }
    return { chunk: next, at: to };
  }

  /** The list with `count` items from `place` on replaced by `items`. */
  splice({ chunk, at }: Place, count: number, items: readonly T[]): RangeList<T, Address> {
    const chunks = this.#chunks;
    let [first, head] = [chunk, at];
    if (first === chunks.length && first > 0) [first, head] = [first - 1, chunks[first - 1]!.length];
    let last = first;
    let tail = head + count;
    while (last < chunks.length && tail > chunks[last]!.length) tail -= chunks[last++]!.length;
    let edited = [...(chunks[first]?.slice(0, head) ?? []), ...items, ...(chunks[last]?.slice(tail) ?? [])];
    if (chunks.length <= 1 && edited.length <= CHUNK_MAX) {
      return new RangeList(this.#bounds, edited.length === 0 ? [] : [edited]);
    }
    // A small chunk joins its neighbour.
    if (edited.length < CHUNK_MIN && first > 0) edited = [...chunks[--first]!, ...edited];
    else if (edited.length < CHUNK_MIN && last + 1 < chunks.length) edited = [...edited, ...chunks[++last]!];
    return new RangeList(this.#bounds, [
      ...chunks.slice(0, first),
      ...cut(edited),
      ...chunks.slice(last + 1),
    ]);
  }
}

/** The same in the list's own chunks, for a list that nobody else has yet: its changes cost no copies. */
export class RangeBuffer<T, Address extends number | bigint> extends RangeList<T, Address> {
  readonly #own: T[][];

  constructor(bounds: Bounds<T, Address>) {
    const own: T[][] = [];
    super(bounds, own);
    this.#own = own;
  }

  /** Replace `count` items from `place` on by `item`. */
  replace({ chunk, at }: Place, count: number, item: T): void {
    const chunks = this.#own;
    if (chunks.length === 0) {
      chunks.push([item]);
      return;
    }
    const first = Math.min(chunk, chunks.length - 1);
    const items = chunks[first]!;
    const from = first === chunk ? at : items.length;
    let left = count - items.splice(from, count, item).length;
    // What is left is at the beginning of the chunks behind.
    while (left > 0) {
      const next = chunks[first + 1]!;
      left -= next.splice(0, left).length;
      if (next.length === 0) chunks.splice(first + 1, 1);
    }
    if (items.length > CHUNK_MAX) chunks.splice(first + 1, 0, items.splice(CHUNK_MAX / 2));
  }
}

/** The items as chunks. */
function cut<T>(items: readonly T[]): (readonly T[])[] {
  if (items.length === 0) return [];
  if (items.length <= CHUNK_MAX) return [items];
  const pieces = Math.ceil(items.length / (CHUNK_MAX / 2));
  const length = Math.ceil(items.length / pieces);
  return Array.from({ length: Math.ceil(items.length / length) }, (_, i) =>
    items.slice(i * length, (i + 1) * length),
  );
}
