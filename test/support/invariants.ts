/**
 * Reads an engine's memory by the generated map and holds it to the invariants that the head comments of
 * assembly/ state: chunks, separators, radix, ends, id table, and that every chunk and record is either
 * reachable or free. For an engine at rest: no commit running, no section open.
 */
import type { MemslotEngine } from "memslots";
import * as assert from "uvu/assert";
import * as map from "../../src/layout.js";

const PADDING_KEY = 2n ** 64n - 1n;
const ID_BITS = 15n;
/** State of the block that ends the pages of one growth of the heap. */
const HEAP_BRIDGE = 3;

interface View {
  u16(at: number): number;
  u32(at: number): number;
  u64(at: number): bigint;
}

function viewOf(engine: MemslotEngine): View {
  const view = new DataView(engine.memory.buffer);
  return {
    u16: (at) => view.getUint16(at, true),
    u32: (at) => view.getUint32(at, true),
    u64: (at) => view.getBigUint64(at, true),
  };
}

interface Index {
  view: View;
  isHva: boolean;
  directory: number;
  chunks: number[];
}

function endOf({ view, isHva }: Index, entry: number): bigint {
  const key = view.u64(entry + map.ENTRY.key);
  return (isHva ? key >> ID_BITS : key) + BigInt(view.u32(entry + map.ENTRY.npages));
}

function entriesOf({ view }: Index, chunk: number): number[] {
  const first = chunk + map.CHUNK_HEADER_BYTES;
  return Array.from({ length: view.u32(chunk + map.CHUNK.count) }, (_, i) => first + i * map.ENTRY_BYTES);
}

/** Entries ascend and are padded; ends are exact. Returns the records in order. */
function checkChunks(index: Index): number[] {
  const { view, isHva, chunks, directory } = index;
  const records: number[] = [];
  let last = -1n;
  chunks.forEach((chunk, r) => {
    const entries = entriesOf(index, chunk);
    assert.ok(entries.length > 0 || chunks.length === 1, "no empty chunk");
    const next = chunks[r + 1];
    if (next !== undefined) {
      const together = entries.length + view.u32(next + map.CHUNK.count);
      assert.ok(together > map.CHUNK_MERGE_ENTRIES, `chunks ${r} and ${r + 1} hold ${together} entries`);
    }
    for (const entry of entries) {
      const key = view.u64(entry + map.ENTRY.key);
      assert.ok(key > last, "keys ascend");
      // Guest ranges never overlap: what comes next starts where this one ends, or later.
      last = isHva ? key : endOf(index, entry) - 1n;
      records.push(view.u32(entry + map.ENTRY.record));
    }
    for (let i = entries.length; i < map.CHUNK_ENTRIES; i++) {
      const entry = chunk + map.CHUNK_HEADER_BYTES + i * map.ENTRY_BYTES;
      assert.is(view.u64(entry + map.ENTRY.key), PADDING_KEY, "padding");
      assert.is(view.u32(entry + map.ENTRY.npages), 0, "padding");
    }
    if (isHva) {
      const ends = entries.map((entry) => endOf(index, entry));
      assert.is(
        view.u64(chunk + map.CHUNK.maxEnd),
        ends.reduce((a, b) => (a > b ? a : b), 0n),
        "maxEnd",
      );
    }
  });
  for (let first = 0; isHva && first < chunks.length; first += map.GROUP_CHUNKS) {
    const ends = chunks
      .slice(first, first + map.GROUP_CHUNKS)
      .map((chunk) => view.u64(chunk + map.CHUNK.maxEnd));
    const group = view.u32(directory + map.DIRECTORY.groups) + (first / map.GROUP_CHUNKS) * 8;
    assert.is(
      view.u64(group),
      ends.reduce((a, b) => (a > b ? a : b), 0n),
      "groupMax",
    );
  }
  return records;
}

/** Separators bound their chunks, and each bucket of the radix names the last chunk at or before it. */
function checkStructure(index: Index): void {
  const { view, isHva, chunks, directory } = index;
  assert.is(view.u32(directory + map.DIRECTORY.privateStructure), 0, "published structures are shared");
  if (chunks.length === 1) return;
  const structure = view.u32(directory + map.DIRECTORY.structure);
  const separatorOf = (r: number): bigint => view.u64(structure + map.STRUCTURE_BYTES + r * 8);
  const separators = chunks.map((_, r) => separatorOf(r));
  assert.is(separatorOf(chunks.length), 2n ** 64n - 1n, "end of the separators");
  chunks.forEach((chunk, r) => {
    const entries = entriesOf(index, chunk);
    assert.ok(separators[r]! <= view.u64(entries[0]! + map.ENTRY.key), `separator ${r}`);
    const lastEntry = entries.at(-1)!;
    const bound = isHva ? view.u64(lastEntry + map.ENTRY.key) + 1n : endOf(index, lastEntry);
    if (r + 1 < chunks.length)
      assert.ok(bound <= separators[r + 1]!, `chunk ${r} ends before separator ${r + 1}`);
  });
  const shift = BigInt(view.u32(structure + map.STRUCTURE.shift));
  const lastBucket = view.u32(structure + map.STRUCTURE.lastBucket);
  const radix = view.u32(structure + map.STRUCTURE.radix);
  for (let bucket = 0; bucket <= lastBucket; bucket++) {
    const key = separators[0]! + (BigInt(bucket) << shift);
    const next = key + (1n << shift);
    const first = separators.filter((separator) => separator <= key).length - 1;
    const inside = separators.filter((separator) => separator > key && separator < next).length;
    const expected = inside > 1 ? first | map.CROWDED : first;
    assert.is(view.u16(radix + bucket * 2), expected, `bucket ${bucket}`);
  }
  assert.is(view.u16(radix + (lastBucket + 1) * 2), chunks.length - 1, "end of the radix");
}

/** Length of a list linked through the word at `link`. */
function countFree(view: View, head: number, link: number): Set<number> {
  const seen = new Set<number>();
  for (let at = head; at !== 0; at = view.u32(at + link)) {
    assert.not(seen.has(at), "a free list has no cycle");
    seen.add(at);
  }
  return seen;
}

/** Everything is either reachable from the published root, or free, and never both. */
function checkPool(name: string, reachable: readonly number[], free: Set<number>, used: number): void {
  for (const item of reachable) assert.not(free.has(item), `a reachable ${name} is free`);
  assert.is(new Set(reachable).size, reachable.length, `each ${name} is reached once`);
  assert.is(reachable.length + free.size, used, `no ${name} is lost`);
}

/** Check all invariants. @throws Assertion naming the one that is broken */
export function checkInvariants(engine: MemslotEngine): void {
  const view = viewOf(engine);
  const header = (field: keyof typeof map.HEADER) => view.u32(engine.base + map.HEADER[field]);
  const root = header("root");
  assert.is(header("lock"), 0, "the lock is free");
  assert.is(header("orphaned"), 0, "no writer died");
  assert.is(header("gateOwner"), 0, "nobody holds the vCPUs");
  assert.is(header("effectCount"), 0, "no effect is left");
  assert.is(header("oldestRoot"), header("activeRoot"), "no replaced layout is left");
  assert.is(header("retiredHead"), header("retiredTail"), "nothing is retired");
  assert.is(
    root,
    header("roots") + header("activeRoot") * map.ROOT_BYTES,
    "the published root is the active one",
  );
  const chunks: number[] = [];
  const records: number[] = [];
  for (let asId = 0; asId < engine.addressSpaces; asId++) {
    const found: number[][] = [];
    for (const isHva of [false, true]) {
      const directory = view.u32(root + map.ROOT.directory0 + (2 * asId + (isHva ? 1 : 0)) * 4);
      const count = view.u32(directory + map.DIRECTORY.chunkCount);
      const table = Array.from({ length: count }, (_, r) =>
        view.u32(directory + map.DIRECTORY_BYTES + r * 4),
      );
      const index = { view, isHva, directory, chunks: table };
      found.push(checkChunks(index));
      checkStructure(index);
      chunks.push(...table);
    }
    const [byGfn, byHva] = found as [number[], number[]];
    assert.equal([...byHva].sort(), [...byGfn].sort(), "both indexes hold the same records");
    records.push(...byGfn);
    const ids = header("ids") + asId * engine.maxSlots * 4;
    const touched = header("touched") + asId * engine.maxSlots * 4;
    const expected = new Map(byGfn.map((record) => [view.u32(record + map.RECORD.slot) & 0xffff, record]));
    for (let id = 0; id < engine.maxSlots; id++) {
      assert.is(view.u32(ids + id * 4), expected.get(id) ?? 0, `id ${id}`);
      assert.is(view.u32(touched + id * 4), 0, `id ${id} is touched`);
    }
  }
  const usedChunks = (header("freshChunk") - header("chunks")) / map.CHUNK_BYTES;
  checkPool("chunk", chunks, countFree(view, header("freeChunk"), map.CHUNK.nextFree), usedChunks);
  const usedRecords = (header("freshRecord") - header("records")) / map.RECORD_BYTES;
  checkPool("record", records, countFree(view, header("freeRecord"), 0), usedRecords);
  const tables: number[] = [];
  assert.is(header("stagedTables"), 0, "no table is staged");
  for (let index = 0; index < map.TABLES; index++) {
    assert.is(view.u32(engine.base + map.HEADER.stagedWindows0 + index * 4), 0, `table ${index} is staged`);
    const table = view.u32(root + map.ROOT.windows0 + index * 4);
    if (table !== 0) tables.push(table);
  }
  checkHeap(view, engine.base, records, tables);
}

/** Addresses of the dirty rings; in an engine that has them every line knows so. */
function ringsOf(view: View, base: number): number[] {
  const header = (field: keyof typeof map.HEADER) => view.u32(base + map.HEADER[field]);
  const hasRings = header("dirtyRing") > map.DIRTY_RING_NEVER;
  const lines = Array.from({ length: header("maxVcpus") * 2 }, (_, i) =>
    view.u32(header("readers") + i * map.READER_BYTES + map.READER.ring),
  );
  assert.is(
    lines.every((ring) => ring !== 0),
    hasRings,
    "all lines know of rings",
  );
  assert.is(
    lines.some((ring) => ring !== 0),
    hasRings,
    "no line has a ring that the engine has not",
  );
  return lines.filter((ring) => ring > map.NO_RING);
}

/**
 * The blocks of the heap follow each other, and the used ones are the bitmaps, the rings, the window tables, the
 * staging area and the bridges.
 */
function checkHeap(view: View, base: number, records: readonly number[], tables: readonly number[]): void {
  const header = (field: keyof typeof map.HEADER) => view.u32(base + map.HEADER[field]);
  const expected = new Set<number>(tables);
  for (const record of records) {
    const bitmap = view.u32(record + map.RECORD.bitmap);
    if (bitmap === 0) continue;
    const head = bitmap - map.BITMAP_HEAD_BYTES;
    expected.add(head);
    const views = view.u32(head + map.BITMAP_HEAD.views);
    if (views !== 0) expected.add(views);
  }
  if (header("staging") >= header("heapStart")) expected.add(header("staging"));
  for (const ring of ringsOf(view, base)) expected.add(ring);
  let free = 0;
  let at = header("heapStart");
  while (at < header("heapEnd")) {
    const size = view.u32(at);
    assert.ok(size >= 8 && size % 8 === 0, `block at ${at} has ${size} bytes`);
    if (view.u32(at + 4) === 0) free += size;
    else if (view.u32(at + 4) !== HEAP_BRIDGE)
      assert.ok(expected.delete(at + 8), `block at ${at} is nobody's`);
    at += size;
  }
  assert.is(at, header("heapEnd"), "the heap ends where it should");
  assert.is(expected.size, 0, "every bitmap is a block");
  assert.is(free, header("heapFreeBytes"), "free bytes");
}
