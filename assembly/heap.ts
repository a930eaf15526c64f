/**
 * Memory of changing size: dirty bitmaps and the staging area of long lists.
 *
 *   heapStart                                                        heapEnd
 *   | size used payload | size used payload | ...          | bridge |
 *
 * Invariants
 *  - Blocks of 8 bytes of header and payload follow each other without gap; the last one is a bridge, a block
 *    without payload that leads to the pages of the next growth, wherever they are.
 *  - The chain of sizes is whole after every single store: a split writes the upper header before it shortens
 *    the lower block, a merge is one store. So a writer may die anywhere and the next one can walk the chain.
 *  - heapFreeBytes = sum of the sizes of the free blocks.
 *  - A payload that was freed keeps its contents until the next allocation.
 *
 * Every step along the chain is checked: a block of no size, or beyond the end, is damage, and traps.
 *
 * Next-fit, neighbours merge while the search walks over them. Allocation is rare (KVM_MEM_LOG_DIRTY_PAGES
 * switched on, a list longer than ever before), lookups never come here.
 */
import { Header } from "./layout";

const BLOCK_HEADER: u32 = 8;
const USED: u32 = 1;
const MARKED: u32 = 2;
/** End of the pages that one growth brought; never freed, may be as long as the foreign pages behind it. */
const BRIDGE: u32 = 3;
const WASM_PAGE: u32 = 65536;

/** Turn [start, end) into an empty heap. Both are multiples of 8 and at least 8 apart. */
export function createHeap(header: usize, start: u32, end: u32): void {
  const engine = changetype<Header>(header);
  const bridge = end - BLOCK_HEADER;
  setBlock(bridge, BLOCK_HEADER, BRIDGE);
  if (bridge > start) setBlock(start, bridge - start, 0);
  engine.heapStart = start;
  engine.heapEnd = end;
  engine.heapRover = start;
  engine.heapFreeBytes = bridge - start;
}

/** End of a heap whose memory ends at `end`, 0 for 2^32: addresses up to it, and itself, are 32-bit words. */
export function heapEndAt(end: u32): u32 {
  return (end == 0 ? u32.MAX_VALUE : end) & ~7;
}

/** Allocate `bytes` bytes at a multiple of 8; contents are whatever was there. 0 when the memory is full. */
export function allocHeap(header: usize, bytes: u32): usize {
  const engine = changetype<Header>(header);
  if (bytes > 0x7fff0000) return 0;
  const need = ((bytes + 7) & ~7) + BLOCK_HEADER;
  let block: usize = 0;
  if (engine.heapFreeBytes >= need) {
    block = searchHeap(header, engine.heapRover, engine.heapEnd, need);
    if (block == 0) block = searchHeap(header, engine.heapStart, engine.heapEnd, need);
  }
  if (block == 0) {
    if (!growHeap(header, need + BLOCK_HEADER)) return 0;
    block = searchHeap(header, engine.heapStart, engine.heapEnd, need);
    // Damage: the chain does not lead to the new pages.
    if (block == 0) unreachable();
  }
  const rest = sizeOf(block) - need;
  if (rest != 0) {
    setBlock(block + need, rest, 0);
    store<u32>(block, need);
  }
  store<u32>(block, USED, 4);
  engine.heapFreeBytes -= need;
  engine.heapRover = <u32>block;
  return block + BLOCK_HEADER;
}

/**
 * Search [from, to) for a free block of `need` bytes, merging free neighbours on the way. 0 if there is none.
 */
function searchHeap(header: usize, from: usize, to: usize, need: u32): usize {
  const engine = changetype<Header>(header);
  let block = from;
  while (block < to) {
    if (stateOf(block) == 0) {
      let next = behind(engine, block);
      while (next < engine.heapEnd && stateOf(next) == 0) {
        store<u32>(block, <u32>(behind(engine, next) - block));
        if (<usize>engine.heapRover == next) engine.heapRover = <u32>block;
        next = behind(engine, block);
      }
      if (sizeOf(block) >= need) return block;
    }
    block = behind(engine, block);
  }
  return 0;
}

/** Add at least `need` bytes of free memory from memory.grow. */
function growHeap(header: usize, need: u32): bool {
  const engine = changetype<Header>(header);
  if (!engine.growable) return false;
  const pages = <i32>((need + WASM_PAGE - 1) / WASM_PAGE);
  // A quarter more than there is keeps the number of growths logarithmic; where it does not fit, what is
  // needed must do.
  const quarter = <i32>((engine.heapEnd - engine.heapStart) / (4 * WASM_PAGE));
  let grown = max(pages, quarter);
  let at = memory.grow(grown);
  if (at == -1 && grown > pages) {
    grown = pages;
    at = memory.grow(grown);
  }
  if (at == -1) return false;
  const start = <u32>at * WASM_PAGE;
  const bridge = engine.heapEnd - BLOCK_HEADER;
  const end = heapEndAt(start + <u32>grown * WASM_PAGE);
  const bytes = end - start;
  setBlock(end - BLOCK_HEADER, BLOCK_HEADER, BRIDGE);
  if (start == engine.heapEnd) {
    store<u32>(bridge, bytes);
    store<u32>(bridge, 0, 4);
    engine.heapFreeBytes += bytes;
  } else {
    setBlock(start, bytes - BLOCK_HEADER, 0);
    store<u32>(bridge, start - bridge);
    engine.heapFreeBytes += bytes - BLOCK_HEADER;
  }
  engine.heapEnd = end;
  return true;
}

/** Give `pointer` back. */
export function freeHeap(header: usize, pointer: usize): void {
  const block = pointer - BLOCK_HEADER;
  const engine = changetype<Header>(header);
  if (!isBlock(header, pointer, 0)) unreachable();
  store<u32>(block, 0, 4);
  engine.heapFreeBytes += sizeOf(block);
}

/** Whether `pointer` is a block in use, of `bytes` bytes at least. */
export function isBlock(header: usize, pointer: usize, bytes: u32): bool {
  const engine = changetype<Header>(header);
  const block = pointer - BLOCK_HEADER;
  return (
    block >= engine.heapStart &&
    block < engine.heapEnd &&
    stateOf(block) == USED &&
    sizeOf(block) - BLOCK_HEADER >= bytes
  );
}

/** First half of a rebuild: `pointer` is alive. */
export function markHeap(pointer: usize): void {
  store<u32>(pointer - BLOCK_HEADER, MARKED, 4);
}

/**
 * Second half of a rebuild: whatever was not marked is free. A growth that was cut short may have linked the
 * last bridge to pages that heapEnd does not count yet; it ends the heap again, and those pages are given up.
 */
export function sweepHeap(header: usize): void {
  const engine = changetype<Header>(header);
  let free: u32 = 0;
  let block: usize = engine.heapStart;
  const bridge: usize = engine.heapEnd - BLOCK_HEADER;
  while (block < engine.heapEnd) {
    const state = stateOf(block);
    if (block == bridge) setBlock(block, BLOCK_HEADER, BRIDGE);
    else if (state == MARKED) store<u32>(block, USED, 4);
    else if (state != BRIDGE) {
      store<u32>(block, 0, 4);
      free += sizeOf(block);
    }
    block = behind(engine, block);
  }
  engine.heapRover = engine.heapStart;
  engine.heapFreeBytes = free;
}

/** True if `bytes` bytes at two addresses are equal. */
export function sameBytes(a: usize, b: usize, bytes: u32): bool {
  let at: usize = 0;
  for (; at + 8 <= <usize>bytes; at += 8) if (load<u64>(a + at) != load<u64>(b + at)) return false;
  for (; at < <usize>bytes; at++) if (load<u8>(a + at) != load<u8>(b + at)) return false;
  return true;
}

/** The block behind `block`, or the end of the heap. */
function behind(engine: Header, block: usize): usize {
  const size = sizeOf(block);
  if (size < BLOCK_HEADER || size > engine.heapEnd - <u32>block) unreachable();
  return block + size;
}

function stateOf(block: usize): u32 {
  return load<u32>(block, 4);
}

function setBlock(block: usize, size: u32, state: u32): void {
  if (!ASC_NO_ASSERT) assert(size >= BLOCK_HEADER && (size & 7) == 0);
  store<u32>(block, size);
  store<u32>(block, state, 4);
}

function sizeOf(block: usize): u32 {
  return load<u32>(block);
}
