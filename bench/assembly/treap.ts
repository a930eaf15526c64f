/**
 * A treap in two copies, as KVM keeps its trees: a list is applied to the idle copy, one store makes that the active
 * one, and then the list is applied to the other copy.
 *
 *   | active | root 0 | root 1 | seed | copy 0: free, fresh, nodes ... | copy 1 ... |
 */
import { OPERATION_BYTES, Operation } from "./operation";

@unmanaged
class Treap {
  /** Number of the active copy. */
  active: u32;
  seed: u32;
  /** Copies. */
  copy0: u32;
  copy1: u32;
}

@unmanaged
class Copy {
  root: u32;
  /** Free nodes, linked through `left`. */
  free: u32;
  /** Nodes from here on were never used. */
  fresh: u32;
  pad: u32;
}

@unmanaged
class Node {
  gfn: u64;
  npages: u32;
  payload: u32;
  left: u32;
  right: u32;
  priority: u32;
  pad: u32;
}

const COPY_BYTES: u32 = 16;
const NODE_BYTES: u32 = 32;

if (offsetof<Node>() != NODE_BYTES) ERROR("Node");

/** Make an empty treap at `map` for `capacity` ranges. @returns the address after it */
export function createTreap(map: usize, capacity: u32): usize {
  const state = changetype<Treap>(map);
  const bytes = COPY_BYTES + capacity * NODE_BYTES;
  state.active = 0;
  state.seed = 0x9e3779b9;
  state.copy0 = <u32>map + 16;
  state.copy1 = state.copy0 + bytes;
  for (let i: u32 = 0; i < 2; i++) {
    const copy = changetype<Copy>(copyAt(map, i));
    copy.root = 0;
    copy.free = 0;
    copy.fresh = <u32>copyAt(map, i) + COPY_BYTES;
  }
  return state.copy1 + bytes;
}

function copyAt(map: usize, number: u32): usize {
  return load<u32>(map + (number << 2), offsetof<Treap>("copy0"));
}

function nextPriority(map: usize): u32 {
  let x = changetype<Treap>(map).seed;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  changetype<Treap>(map).seed = x;
  return x;
}

function newNode(copy: usize): usize {
  const pool = changetype<Copy>(copy);
  const node: usize = pool.free;
  if (node != 0) {
    pool.free = changetype<Node>(node).left;
    return node;
  }
  pool.fresh += NODE_BYTES;
  return pool.fresh - NODE_BYTES;
}

/** The last node whose gfn is <= `gfn`, 0 if there is none. */
function floorNode(copy: usize, gfn: u64): usize {
  let node: usize = changetype<Copy>(copy).root;
  let found: usize = 0;
  while (node != 0) {
    if (changetype<Node>(node).gfn <= gfn) {
      found = node;
      node = changetype<Node>(node).right;
    } else {
      node = changetype<Node>(node).left;
    }
  }
  return found;
}

function meets(copy: usize, operation: Operation): bool {
  const before = floorNode(copy, operation.gfn + operation.npages - 1);
  return before != 0 && changetype<Node>(before).gfn + changetype<Node>(before).npages > operation.gfn;
}

/** Insert by splitting the subtree that has the lower priority along the key. */
function insertNode(copy: usize, operation: Operation, priority: u32): void {
  const node = changetype<Node>(newNode(copy));
  node.gfn = operation.gfn;
  node.npages = operation.npages;
  node.payload = operation.payload;
  node.priority = priority;
  let link: usize = copy + offsetof<Copy>("root");
  let at: usize = load<u32>(link);
  while (at != 0 && changetype<Node>(at).priority >= priority) {
    const left = operation.gfn < changetype<Node>(at).gfn;
    link = at + (left ? offsetof<Node>("left") : offsetof<Node>("right"));
    at = load<u32>(link);
  }
  store<u32>(link, <u32>changetype<usize>(node));
  let lower: usize = changetype<usize>(node) + offsetof<Node>("left");
  let upper: usize = changetype<usize>(node) + offsetof<Node>("right");
  while (at != 0) {
    if (changetype<Node>(at).gfn < operation.gfn) {
      store<u32>(lower, <u32>at);
      lower = at + offsetof<Node>("right");
      at = load<u32>(lower);
    } else {
      store<u32>(upper, <u32>at);
      upper = at + offsetof<Node>("left");
      at = load<u32>(upper);
    }
  }
  store<u32>(lower, 0);
  store<u32>(upper, 0);
}

/** Remove the node at `gfn` by joining its subtrees. */
function removeNode(copy: usize, gfn: u64): void {
  let link: usize = copy + offsetof<Copy>("root");
  let at: usize = load<u32>(link);
  while (changetype<Node>(at).gfn != gfn) {
    link = at + (gfn < changetype<Node>(at).gfn ? offsetof<Node>("left") : offsetof<Node>("right"));
    at = load<u32>(link);
  }
  let left: usize = changetype<Node>(at).left;
  let right: usize = changetype<Node>(at).right;
  changetype<Node>(at).left = changetype<Copy>(copy).free;
  changetype<Copy>(copy).free = <u32>at;
  while (left != 0 && right != 0) {
    if (changetype<Node>(left).priority >= changetype<Node>(right).priority) {
      store<u32>(link, <u32>left);
      link = left + offsetof<Node>("right");
      left = load<u32>(link);
    } else {
      store<u32>(link, <u32>right);
      link = right + offsetof<Node>("left");
      right = load<u32>(link);
    }
  }
  store<u32>(link, <u32>(left | right));
}

function applyTo(map: usize, copy: usize, operations: usize, count: u32): u32 {
  let refused: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const operation = changetype<Operation>(operations + i * OPERATION_BYTES);
    if (operation.payload == 0) {
      removeNode(copy, operation.gfn);
    } else {
      if (meets(copy, operation)) refused++;
      insertNode(copy, operation, nextPriority(map));
    }
  }
  return refused;
}

export function treapEach(map: usize, operations: usize, entries: u32, lists: u32): f64 {
  const state = changetype<Treap>(map);
  let refused: u32 = 0;
  for (let i: u32 = 0; i < lists; i++) {
    const idle = state.active ^ 1;
    refused += applyTo(map, copyAt(map, idle), operations, entries);
    atomic.store<u32>(map, idle);
    applyTo(map, copyAt(map, idle ^ 1), operations, entries);
    operations += entries * OPERATION_BYTES;
  }
  return <f64>refused;
}

/** Sum of the payloads of `count` u64 frames. */
export function treapFind(map: usize, keys: usize, count: u32): f64 {
  const copy = copyAt(map, changetype<Treap>(map).active);
  let sum: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const gfn = load<u64>(keys + (i << 3));
    const node = changetype<Node>(floorNode(copy, gfn));
    if (changetype<usize>(node) != 0 && gfn - node.gfn < <u64>node.npages) sum += node.payload;
  }
  return <f64>sum;
}
