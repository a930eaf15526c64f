/**
 * The subregions of a container by address, so that an edit finds those in a range without a look at all others: a
 * treap by first byte whose nodes know the largest end below them.
 *
 * Invariants
 *  - Ascending by (start, order); no two regions have the same order.
 *  - A node weighs at least as much as those below it, and its `last` is the largest end of them and itself.
 */

/** One subregion. Bytes of the container: [start, end). */
export interface Child<Region> {
  readonly region: Region;
  readonly start: bigint;
  readonly end: bigint;
  readonly priority: number;
  /** Of two with equal priority the one with the larger order is in front. */
  readonly order: number;
}

interface Node<Region> extends Child<Region> {
  readonly weight: number;
  last: bigint;
  left: Node<Region> | undefined;
  right: Node<Region> | undefined;
}

/** The one in front first. */
export function frontFirst(a: Child<unknown>, b: Child<unknown>): number {
  return b.priority - a.priority || b.order - a.order;
}

function before(a: Child<unknown>, b: Child<unknown>): boolean {
  return a.start < b.start || (a.start === b.start && a.order < b.order);
}

/** A number that looks random, the same each time. */
function weightOf(order: number): number {
  const mixed = Math.imul(order ^ (order >>> 16), 0x45d9f3b);
  return Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b) >>> 0;
}

function settle<R>(node: Node<R>): Node<R> {
  const { left, right, end } = node;
  let last = end;
  if (left !== undefined && left.last > last) last = left.last;
  if (right !== undefined && right.last > last) last = right.last;
  node.last = last;
  return node;
}

/** Those before `at`, and the others. */
function split<R>(
  node: Node<R> | undefined,
  at: Child<R>,
): [low: Node<R> | undefined, high: Node<R> | undefined] {
  if (node === undefined) return [undefined, undefined];
  if (before(node, at)) {
    const [low, high] = split(node.right, at);
    node.right = low;
    return [settle(node), high];
  }
  const [low, high] = split(node.left, at);
  node.left = high;
  return [low, settle(node)];
}

/** All of `low`, which are before all of `high`, and those. */
function join<R>(low: Node<R> | undefined, high: Node<R> | undefined): Node<R> | undefined {
  if (low === undefined) return high;
  if (high === undefined) return low;
  if (low.weight > high.weight) {
    low.right = join(low.right, high);
    return settle(low);
  }
  high.left = join(low, high.left);
  return settle(high);
}

function insert<R>(into: Node<R> | undefined, node: Node<R>): Node<R> {
  if (into === undefined) return node;
  if (node.weight > into.weight) {
    [node.left, node.right] = split(into, node);
    return settle(node);
  }
  if (before(node, into)) into.left = insert(into.left, node);
  else into.right = insert(into.right, node);
  return settle(into);
}

function remove<R>(from: Node<R> | undefined, child: Child<R>): Node<R> | undefined {
  if (from === undefined) return undefined;
  if (from.order === child.order) return join(from.left, from.right);
  if (before(child, from)) from.left = remove(from.left, child);
  else from.right = remove(from.right, child);
  return settle(from);
}

function collect<R>(node: Node<R> | undefined, start: bigint, end: bigint, found: Child<R>[]): void {
  if (node === undefined || node.last <= start) return;
  collect(node.left, start, end, found);
  if (node.start >= end) return;
  if (node.end > start) found.push(node);
  collect(node.right, start, end, found);
}

export class Children<Region> {
  #root: Node<Region> | undefined;
  #front: readonly Region[] | undefined;

  get empty(): boolean {
    return this.#root === undefined;
  }

  add(child: Child<Region>): void {
    const { region, start, end, priority, order } = child;
    const weight = weightOf(order);
    const node = {
      region,
      start,
      end,
      priority,
      order,
      weight,
      last: end,
      left: undefined,
      right: undefined,
    };
    this.#root = insert(this.#root, node);
    this.#front = undefined;
  }

  /** Take it out; its start and order tell which. */
  delete(child: Child<Region>): void {
    this.#root = remove(this.#root, child);
    this.#front = undefined;
  }

  /** All, the one in front first. */
  all(): readonly Region[] {
    if (this.#front === undefined) {
      const nodes: Node<Region>[] = [];
      const walk = (node: Node<Region> | undefined): void => {
        if (node === undefined) return;
        walk(node.left);
        nodes.push(node);
        walk(node.right);
      };
      walk(this.#root);
      this.#front = Object.freeze(nodes.sort(frontFirst).map(({ region }) => region));
    }
    return this.#front;
  }

  /** Those with bytes in [start, end), the one in front first. */
  within(start: bigint, end: bigint): readonly Region[] {
    const found: Child<Region>[] = [];
    collect(this.#root, start, end, found);
    if (found.length > 1) found.sort(frontFirst);
    return found.map(({ region }) => region);
  }
}
