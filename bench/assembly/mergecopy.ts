/**
 * A sorted array that each list copies whole: the simplest structure whose readers keep their snapshot. The list is
 * sorted, one pass merges it into the other copy and checks overlaps, and one store publishes that copy.
 *
 *   | active | count | spare | work | ranges: 16 bytes each ... | ranges ... | sorted list ... |
 */
import { OPERATION_BYTES, Operation } from "./operation";

@unmanaged
class MergeCopy {
  /** Array that readers use. */
  active: u32;
  count: u32;
  /** Array that the next list fills. */
  spare: u32;
  /** Room for one sorted list. */
  work: u32;
}

/** Make an empty map at `map` for `capacity` ranges and lists of `entries`. @returns the address after it */
export function createMergeCopy(map: usize, capacity: u32, entries: u32): usize {
  const state = changetype<MergeCopy>(map);
  state.count = 0;
  state.active = <u32>map + 16;
  state.spare = state.active + capacity * OPERATION_BYTES;
  state.work = state.spare + capacity * OPERATION_BYTES;
  return state.work + entries * OPERATION_BYTES;
}

/** Insertion sort by gfn: lists are short. At one gfn a removal comes before an insertion. */
function sortInto(work: usize, operations: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const from = operations + i * OPERATION_BYTES;
    const gfn = changetype<Operation>(from).gfn;
    let at = work + i * OPERATION_BYTES;
    while (at > work && changetype<Operation>(at - OPERATION_BYTES).gfn > gfn) {
      memory.copy(at, at - OPERATION_BYTES, OPERATION_BYTES);
      at -= OPERATION_BYTES;
    }
    memory.copy(at, from, OPERATION_BYTES);
  }
}

/** First range of [from, end) that begins at or after `gfn`. */
function lowerBound(from: usize, end: usize, gfn: u64): usize {
  let n = <u32>(end - from) / OPERATION_BYTES;
  while (n > 0) {
    const half = n >> 1;
    const middle = from + half * OPERATION_BYTES;
    const before = changetype<Operation>(middle).gfn < gfn;
    from = select<usize>(middle + OPERATION_BYTES, from, before);
    n = select<u32>(n - half - 1, half, before);
  }
  return from;
}

function endGfn(range: usize): u64 {
  return changetype<Operation>(range).gfn + changetype<Operation>(range).npages;
}

/** Apply one list. @returns number of operations that met another range */
function mergeList(map: usize, operations: usize, count: u32): u32 {
  const state = changetype<MergeCopy>(map);
  const work: usize = state.work;
  sortInto(work, operations, count);
  let from: usize = state.active;
  const end = from + state.count * OPERATION_BYTES;
  const start: usize = state.spare;
  let to = start;
  let refused: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const operation = changetype<Operation>(work + i * OPERATION_BYTES);
    const next = lowerBound(from, end, operation.gfn);
    memory.copy(to, from, next - from);
    to += next - from;
    from = next;
    if (operation.payload == 0) {
      from += OPERATION_BYTES;
    } else {
      const meetsBefore = to > start && endGfn(to - OPERATION_BYTES) > operation.gfn;
      const meetsNext = from < end && changetype<Operation>(from).gfn < operation.gfn + operation.npages;
      if (meetsBefore || meetsNext) refused++;
      memory.copy(to, changetype<usize>(operation), OPERATION_BYTES);
      to += OPERATION_BYTES;
    }
  }
  memory.copy(to, from, end - from);
  to += end - from;
  state.spare = state.active;
  state.count = <u32>(to - start) / OPERATION_BYTES;
  atomic.store<u32>(map, <u32>start);
  return refused;
}

export function mergeCopyEach(map: usize, operations: usize, entries: u32, lists: u32): f64 {
  let refused: u32 = 0;
  for (let i: u32 = 0; i < lists; i++) {
    refused += mergeList(map, operations, entries);
    operations += entries * OPERATION_BYTES;
  }
  return <f64>refused;
}

/** Sum of the payloads of `count` u64 frames. */
export function mergeCopyFind(map: usize, keys: usize, count: u32): f64 {
  const state = changetype<MergeCopy>(map);
  const start: usize = state.active;
  const end = start + state.count * OPERATION_BYTES;
  let sum: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const gfn = load<u64>(keys + (i << 3));
    const range = lowerBound(start, end, gfn + 1) - OPERATION_BYTES;
    if (range >= start && gfn < endGfn(range)) sum += changetype<Operation>(range).payload;
  }
  return <f64>sum;
}
