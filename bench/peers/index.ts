/** The competitors in JavaScript. */
import { avlTree } from "./avltree.js";
import { bintreesRBTree } from "./bintrees.js";
import { flatbush } from "./flatbush.js";
import { flattenIntervalTree } from "./flattenintervaltree.js";
import { functionalRedBlackTree } from "./functionalredblacktree.js";
import { intervalTree1d } from "./intervaltree1d.js";
import { checkedNodeIntervalTree, nodeIntervalTree } from "./nodeintervaltree.js";
import { orderedMap } from "./orderedmap.js";
import type { PeerKind } from "./peer.js";
import { sortedArray } from "./sortedarray.js";
import { sortedBTree } from "./sortedbtree.js";

export { binarySearch, binarySearchLastHit } from "./typedarray.js";
export type { PeerKind };
export { checkedNodeIntervalTree, nodeIntervalTree, orderedMap, sortedArray, sortedBTree };

/** Those that take updates. */
export const peers: readonly PeerKind[] = [
  sortedArray,
  sortedBTree,
  orderedMap,
  bintreesRBTree,
  functionalRedBlackTree,
  avlTree,
  intervalTree1d,
  flattenIntervalTree,
  nodeIntervalTree,
  checkedNodeIntervalTree,
  flatbush,
];
