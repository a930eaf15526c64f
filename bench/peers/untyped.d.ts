/** Types of the used parts of packages that have none. */

declare module "interval-tree-1d" {
  /** Both ends, included, and then the caller's data. */
  export type Interval = [low: number, high: number, delta: number];
  interface IntervalTree {
    insert(interval: Interval): void;
    remove(interval: Interval): boolean;
    queryPoint(at: number, visit: (interval: Interval) => boolean): boolean | undefined;
    queryInterval(low: number, high: number, visit: (interval: Interval) => boolean): boolean | undefined;
  }
  export default function createIntervalTree(intervals?: Interval[]): IntervalTree;
}

declare module "functional-red-black-tree" {
  interface Tree<K, V> {
    insert(key: K, value: V): Tree<K, V>;
    remove(key: K): Tree<K, V>;
    le(key: K): { readonly value: V | undefined };
  }
  export default function createTree<K, V>(compare: (a: K, b: K) => number): Tree<K, V>;
}

declare module "bintrees" {
  interface Iterator<T> {
    data(): T | null;
    prev(): T | null;
  }
  class RBTree<T> {
    constructor(compare: (a: T, b: T) => number);
    insert(value: T): boolean;
    remove(value: T): boolean;
    lowerBound(value: T): Iterator<T>;
  }
  const bintrees: { RBTree: typeof RBTree };
  export default bintrees;
}
