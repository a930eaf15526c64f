/**
 * The integrity of an engine: the invariants that the head comments of assembly/ state, checked on its memory. Nothing
 * is trusted: every list is bounded by what there can be, and an address that leads out of the memory is a finding.
 */
import { damageOf } from "../core/damage.js";
import * as map from "../core/layout.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { KvmError } from "../kvm/errno.js";
import { TIMEOUT_MS } from "./commitoptions.js";
import { locked, lockedAsync } from "./lock.js";

const PADDING_KEY = 2n ** 64n - 1n;
/** The key of a host index carries the slot id in its lower bits. */
const ID_BITS = 15n;
/** State of the block that ends the pages of one growth of the heap. */
const HEAP_BRIDGE = 3;
const HEAP_BLOCK_BYTES = 8;
/** Lowest bit of a retired record's address: its dirty log ends with it. */
const BITMAP_DIES = 1;
/** Findings are told up to this number. */
const FINDINGS_MAX = 100;

/**
 * Check the memory of an engine: that every slot is in both indexes and in the table of slot numbers, that the searches
 * find it, and that every chunk, record and block of the heap is in use or free. It holds the writer lock meanwhile,
 * and first repairs what a dead writer has left; vCPUs run on.
 * @returns what is wrong, at most 100 findings; empty if nothing is
 * @throws KvmError EBUSY while another thread holds the lock; TypeError
 *
 * @example
 * const findings = checkEngine(engine);
 * if (findings.length > 0) throw new Error(findings.join("\n"));
 */
export function checkEngine(engine: Engine): string[] {
  const thread = threadOf(engine);
  const check = new IntegrityCheck(thread);
  try {
    locked(thread, "checkEngine", TIMEOUT_MS, () => check.run());
  } catch (error) {
    check.failed(error);
  }
  return check.findings;
}

/** The same without sleeping, for a page. @throws as checkEngine */
export async function checkEngineAsync(engine: Engine): Promise<string[]> {
  const thread = threadOf(engine);
  const check = new IntegrityCheck(thread);
  try {
    await lockedAsync(thread, "checkEngineAsync", TIMEOUT_MS, () => check.run());
  } catch (error) {
    check.failed(error);
  }
  return check.findings;
}

interface Index {
  readonly name: string;
  readonly isHva: boolean;
  readonly directory: number;
  readonly chunks: readonly number[];
}

class IntegrityCheck {
  readonly findings: string[] = [];
  readonly #thread: Thread;
  #view: DataView;

  constructor(thread: Thread) {
    this.#thread = thread;
    this.#view = new DataView(thread.memory.buffer);
  }

  /** The repair after a death has met the damage. @throws every other error */
  failed(error: unknown): void {
    if (!(error instanceof KvmError) || error.code !== "EIO") throw error;
    this.findings.push(error.message);
  }

  run(): void {
    this.#view = new DataView(this.#thread.memory.buffer);
    this.#part("the layout", () => this.#checkLayout());
  }

  /** Run a part; an address that is none ends it. */
  #part(name: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof RangeError)) throw damageOf(error, "checkEngine");
      this.#expect(false, `${name} leads out of the memory`);
    }
  }

  #expect(holds: boolean, finding: string): boolean {
    if (!holds && this.findings.length < FINDINGS_MAX) this.findings.push(finding);
    return holds;
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #u64(at: number): bigint {
    return this.#view.getBigUint64(at, true);
  }

  #header(field: keyof typeof map.HEADER): number {
    return this.#u32(this.#thread.base + map.HEADER[field]);
  }

  #checkLayout(): void {
    const root = this.#header("root") - (this.#header("root") & map.ROOT_BITS);
    const active = this.#header("roots") + this.#header("activeRoot") * map.ROOT_BYTES;
    this.#expect(this.#header("activeRoot") < map.ROOTS, `activeRoot is ${this.#header("activeRoot")}`);
    this.#expect(this.#header("oldestRoot") < map.ROOTS, `oldestRoot is ${this.#header("oldestRoot")}`);
    this.#expect(this.#header("effectCount") === 0, "effects of a list are left");
    if (!this.#expect(root === active, `the published root is ${root}, the active one ${active}`)) return;
    const chunks: number[] = [];
    const records: number[] = [];
    for (let asId = 0; asId < this.#thread.addressSpaces; asId++) {
      this.#part(`address space ${asId}`, () => this.#checkSpace(root, asId, chunks, records));
    }
    const retired = this.#retired();
    this.#part("the chunks", () => this.#checkPool("chunk", chunks, retired));
    this.#part("the records", () => this.#checkPool("record", records, retired));
    this.#part("the heap", () => this.#checkHeap(root, records, retired));
  }

  #checkSpace(root: number, asId: number, chunks: number[], records: number[]): void {
    const indexes = [false, true].map((isHva): Index => {
      const directory = this.#u32(root + map.ROOT.directory0 + (2 * asId + (isHva ? 1 : 0)) * 4);
      const name = `the ${isHva ? "host" : "guest"} index of address space ${asId}`;
      const count = this.#u32(directory + map.DIRECTORY.chunkCount);
      const fits = count > 0 && count <= this.#header("chunksPerDirectory");
      if (!this.#expect(fits, `${name} has ${count} chunks`)) return { name, isHva, directory, chunks: [] };
      const table = Array.from({ length: count }, (_, r) =>
        this.#u32(directory + map.DIRECTORY_BYTES + r * 4),
      );
      return { name, isHva, directory, chunks: table };
    });
    const [byGfn, byHva] = indexes.map((index) => this.#checkIndex(index)) as [number[], number[]];
    const known = new Set(byGfn);
    this.#expect(
      known.size === byGfn.length &&
        byHva.length === byGfn.length &&
        byHva.every((record) => known.has(record)),
      `the indexes of address space ${asId} hold different slots`,
    );
    for (const { chunks: own } of indexes) chunks.push(...own);
    records.push(...byGfn);
    this.#checkIds(asId, byGfn);
  }

  #checkIds(asId: number, byGfn: readonly number[]): void {
    const { maxSlots } = this.#thread;
    const [ids, touched] = [this.#header("ids"), this.#header("touched")].map(
      (at) => at + asId * maxSlots * 4,
    );
    const expected = new Map(byGfn.map((record) => [this.#u32(record + map.RECORD.slot), record]));
    for (let id = 0; id < maxSlots; id++) {
      const slot = (asId << 16) | id;
      this.#expect(
        this.#u32(ids! + id * 4) === (expected.get(slot) ?? 0),
        `slot ${slot} has another record by number`,
      );
      this.#expect(this.#u32(touched! + id * 4) === 0, `slot ${slot} is touched by no list`);
    }
  }

  /** Entries ascend and are padded, ends are exact, separators bound, buckets lead. @returns the records in order */
  #checkIndex(index: Index): number[] {
    const { name, isHva, chunks } = index;
    const records: number[] = [];
    let last = -1n;
    chunks.forEach((chunk, r) => {
      const count = this.#u32(chunk + map.CHUNK.count);
      if (!this.#expect(count <= map.CHUNK_ENTRIES, `${name}: chunk ${r} has ${count} entries`)) return;
      this.#expect(count > 0 || chunks.length === 1, `${name}: chunk ${r} is empty`);
      const next = chunks[r + 1];
      const together =
        next === undefined ? Number.POSITIVE_INFINITY : count + this.#u32(next + map.CHUNK.count);
      this.#expect(
        together > map.CHUNK_MERGE_ENTRIES,
        `${name}: chunks ${r} and ${r + 1} hold ${together} entries`,
      );
      for (let i = 0; i < map.CHUNK_ENTRIES; i++) {
        const entry = chunk + map.CHUNK_HEADER_BYTES + i * map.ENTRY_BYTES;
        const key = this.#u64(entry + map.ENTRY.key);
        if (i >= count) {
          const npages = this.#u32(entry + map.ENTRY.npages);
          this.#expect(key === PADDING_KEY && npages === 0, `${name}: chunk ${r} is not padded at ${i}`);
          continue;
        }
        this.#expect(key > last, `${name}: entry ${i} of chunk ${r} does not ascend`);
        // Guest ranges never overlap: the next one starts at the end of this one, or later.
        last = isHva ? key : this.#endOf(index, entry) - 1n;
        records.push(this.#u32(entry + map.ENTRY.record));
        this.#checkEntry(index, entry, r, i);
      }
      if (isHva)
        this.#expect(
          this.#u64(chunk + map.CHUNK.maxEnd) === this.#maxEnd(index, chunk),
          `${name}: end of ${r}`,
        );
    });
    if (isHva) this.#checkGroups(index);
    this.#checkStructure(index);
    return records;
  }

  /** An entry says what its record says. */
  #checkEntry({ name, isHva }: Index, entry: number, r: number, i: number): void {
    const record = this.#u32(entry + map.ENTRY.record);
    const place = record - this.#header("records");
    const inPool = place >= 0 && record < this.#header("retired") && place % map.RECORD_BYTES === 0;
    if (!this.#expect(inPool, `${name}: entry ${i} of chunk ${r} has no record`)) return;
    const shift = BigInt(this.#thread.pageShift);
    const key = isHva
      ? ((this.#u64(record + map.RECORD.userspaceAddr) >> shift) << ID_BITS) |
        BigInt(this.#u32(record + map.RECORD.slot) & 0x7fff)
      : this.#u64(record + map.RECORD.baseGfn);
    const npages = this.#u32(record + map.RECORD.npages);
    const same = key === this.#u64(entry + map.ENTRY.key) && npages === this.#u32(entry + map.ENTRY.npages);
    this.#expect(same, `${name}: entry ${i} of chunk ${r} differs from its record`);
  }

  #endOf({ isHva }: Index, entry: number): bigint {
    const key = this.#u64(entry + map.ENTRY.key);
    return (isHva ? key >> ID_BITS : key) + BigInt(this.#u32(entry + map.ENTRY.npages));
  }

  #maxEnd(index: Index, chunk: number): bigint {
    const first = chunk + map.CHUNK_HEADER_BYTES;
    let end = 0n;
    for (let i = 0; i < this.#u32(chunk + map.CHUNK.count); i++) {
      const own = this.#endOf(index, first + i * map.ENTRY_BYTES);
      if (own > end) end = own;
    }
    return end;
  }

  #checkGroups({ name, directory, chunks }: Index): void {
    for (let first = 0; first < chunks.length; first += map.GROUP_CHUNKS) {
      const ends = chunks
        .slice(first, first + map.GROUP_CHUNKS)
        .map((chunk) => this.#u64(chunk + map.CHUNK.maxEnd));
      const group = this.#u32(directory + map.DIRECTORY.groups) + (first / map.GROUP_CHUNKS) * 8;
      const end = ends.reduce((a, b) => (a > b ? a : b), 0n);
      this.#expect(this.#u64(group) === end, `${name}: end of the chunks from ${first} on`);
    }
  }

  /** Separators bound their chunks, and each bucket of the radix names the last chunk at or before it. */
  #checkStructure(index: Index): void {
    const { name, isHva, directory, chunks } = index;
    this.#expect(
      this.#u32(directory + map.DIRECTORY.privateStructure) === 0,
      `${name}: its structure is private`,
    );
    if (chunks.length < 2) return;
    const structure = this.#u32(directory + map.DIRECTORY.structure);
    const separators = chunks.map((_, r) => this.#u64(structure + map.STRUCTURE_BYTES + r * 8));
    const end = this.#u64(structure + map.STRUCTURE_BYTES + chunks.length * 8);
    this.#expect(end === PADDING_KEY, `${name}: its separators have no end`);
    chunks.forEach((chunk, r) => {
      const first = chunk + map.CHUNK_HEADER_BYTES;
      const last = first + (this.#u32(chunk + map.CHUNK.count) - 1) * map.ENTRY_BYTES;
      const bound = isHva ? this.#u64(last + map.ENTRY.key) + 1n : this.#endOf(index, last);
      const holds =
        separators[r]! <= this.#u64(first + map.ENTRY.key) && bound <= (separators[r + 1] ?? bound);
      this.#expect(holds, `${name}: the separators do not bound chunk ${r}`);
    });
    const shift = BigInt(this.#u32(structure + map.STRUCTURE.shift));
    const lastBucket = this.#u32(structure + map.STRUCTURE.lastBucket);
    const radix = this.#u32(structure + map.STRUCTURE.radix);
    const room = chunks.length * map.BUCKETS_PER_CHUNK;
    if (!this.#expect(lastBucket < room && shift < 64n, `${name}: its radix has ${lastBucket} buckets`))
      return;
    let first = 0;
    for (let bucket = 0; bucket <= lastBucket; bucket++) {
      const key = separators[0]! + (BigInt(bucket) << shift);
      const next = key + (1n << shift);
      while (first + 1 < separators.length && separators[first + 1]! <= key) first++;
      let inside = 0;
      while (first + inside + 1 < separators.length && separators[first + inside + 1]! < next) inside++;
      const expected = inside > 1 ? first | map.CROWDED : first;
      this.#expect(this.#u16(radix + bucket * 2) === expected, `${name}: bucket ${bucket} leads elsewhere`);
    }
    this.#expect(
      this.#u16(radix + (lastBucket + 1) * 2) === chunks.length - 1,
      `${name}: its radix has no end`,
    );
  }

  /** What replaced layouts keep alive, as words of the ring. */
  #retired(): number[] {
    const [capacity, tail] = [this.#header("retiredCapacity"), this.#header("retiredTail")];
    const words: number[] = [];
    let at = this.#header("retiredHead");
    if (!this.#expect(at < capacity && tail < capacity, `the retired are from ${at} to ${tail}`))
      return words;
    for (; at !== tail; at = at + 1 === capacity ? 0 : at + 1)
      words.push(this.#u32(this.#header("retired") + at * 4));
    return words;
  }

  /** Every item of a pool is in the published layout, or retired, or free, and only one of these. */
  #checkPool(kind: "chunk" | "record", published: readonly number[], retired: readonly number[]): void {
    const isChunk = kind === "chunk";
    const first = this.#header(isChunk ? "chunks" : "records");
    const end = this.#header(isChunk ? "records" : "retired");
    const bytes = isChunk ? map.CHUNK_BYTES : map.RECORD_BYTES;
    const link = isChunk ? map.CHUNK.nextFree : 0;
    const seen = new Set<number>();
    const take = (item: number, how: string): boolean => {
      const inPool = item >= first && item < end && (item - first) % bytes === 0;
      const fresh = this.#expect(inPool, `${how} ${kind} at ${item} is in no pool`) && !seen.has(item);
      if (inPool) this.#expect(fresh, `${how} ${kind} at ${item} is used twice`);
      seen.add(item);
      return fresh;
    };
    for (const item of published) take(item, "a published");
    for (const word of retired) {
      const item = word - (word & BITMAP_DIES);
      if (item >= first && item < end) take(item, "a retired");
    }
    let free = this.#header(isChunk ? "freeChunk" : "freeRecord");
    while (free !== 0 && take(free, "a free")) free = this.#u32(free + link);
    const used = (this.#header(isChunk ? "freshChunk" : "freshRecord") - first) / bytes;
    this.#expect(seen.size === used, `of ${used} ${kind}s ${seen.size} are known`);
  }

  /** The blocks of the heap follow each other, and the used ones are somebody's. */
  #checkHeap(root: number, records: readonly number[], retired: readonly number[]): void {
    const expected = this.#blocks(root, records, retired);
    const [start, end] = [this.#header("heapStart"), this.#header("heapEnd")];
    let free = 0;
    let at = start;
    while (at < end) {
      const size = this.#u32(at);
      const whole = size >= HEAP_BLOCK_BYTES && size % HEAP_BLOCK_BYTES === 0 && at + size <= end;
      if (!this.#expect(whole, `the block at ${at} has ${size} bytes`)) return;
      const state = this.#u32(at + 4);
      if (state === 0) free += size;
      else if (state !== HEAP_BRIDGE) {
        this.#expect(expected.delete(at + HEAP_BLOCK_BYTES), `the block at ${at} is nobody's`);
      }
      at += size;
    }
    for (const block of expected) this.#expect(false, `there is no block at ${block}`);
    this.#expect(free === this.#header("heapFreeBytes"), `${free} bytes are free, not what the header says`);
  }

  /** Payloads of the heap that are in use. */
  #blocks(root: number, records: readonly number[], retired: readonly number[]): Set<number> {
    const blocks = new Set<number>();
    const addLog = (record: number) => {
      const bitmap = this.#u32(record + map.RECORD.bitmap);
      if (bitmap === 0) return;
      blocks.add(bitmap - map.BITMAP_HEAD_BYTES);
      const view = this.#u32(bitmap - map.BITMAP_HEAD_BYTES + map.BITMAP_HEAD.kvmView);
      if (view !== 0) blocks.add(view);
    };
    const addTable = (table: number) => {
      blocks.add(table);
      const marks = this.#u32(table + map.WINDOW_TABLE.marks);
      if (marks !== 0) blocks.add(marks);
    };
    for (const record of records) addLog(record);
    for (const word of retired) {
      if (word & BITMAP_DIES) addLog(word - BITMAP_DIES);
      else if (word >= this.#header("heapStart")) addTable(word);
    }
    for (let table = 0; table < map.TABLES; table++) {
      const published = this.#u32(root + map.ROOT.windows0 + table * 4);
      const staged = this.#u32(this.#thread.base + map.HEADER.stagedWindows0 + table * 4);
      for (const block of [published, staged]) if (block !== 0) addTable(block);
    }
    for (const block of this.#hostLog(records)) blocks.add(block);
    if (this.#header("staging") >= this.#header("heapStart")) blocks.add(this.#header("staging"));
    for (let i = 0; i < 2 * this.#thread.maxVcpus; i++) {
      const line = this.#header("readers") + i * map.READER_BYTES;
      const [ring, tlb] = [this.#u32(line + map.READER.ring), this.#u32(line + map.READER.tlbMemory)];
      if (ring > map.NO_RING) blocks.add(ring);
      if (tlb !== 0) blocks.add(tlb);
    }
    return blocks;
  }

  /** Blocks of the dirty consumers: extents ascend, do not meet, and cover what is logged. */
  #hostLog(records: readonly number[]): number[] {
    const log = this.#header("hostLog");
    if (log === 0) return [];
    const places = Array.from({ length: map.CONSUMERS_MAX }, (_, i) => i);
    const consumers = places.map((place) => this.#u32(log + map.HOST_LOG.consumer0 + place * 4));
    const blocks = [log, ...consumers.filter((consumer) => consumer !== 0)];
    const covered: [bigint, bigint][] = [];
    for (let i = 0; i < this.#u32(log + map.HOST_LOG.count); i++) {
      const extent = log + map.HOST_LOG_BYTES + i * map.EXTENT_BYTES;
      const start = this.#u64(extent + map.EXTENT.start);
      const last = covered.at(-1);
      this.#expect(last === undefined || last[1] <= start, `extent ${i} of the host log does not ascend`);
      covered.push([start, start + BigInt(this.#u32(extent + map.EXTENT.npages))]);
      for (const place of places) {
        const bits = this.#u32(extent + map.EXTENT.bits0 + place * 4);
        const known = this.#expect(
          (bits !== 0) === (consumers[place] !== 0),
          `extent ${i}: bits of ${place}`,
        );
        if (known && bits !== 0) blocks.push(bits);
      }
    }
    const shift = BigInt(this.#thread.pageShift);
    for (const record of records) {
      if (this.#u32(record + map.RECORD.bitmap) === 0) continue;
      let page = this.#u64(record + map.RECORD.userspaceAddr) >> shift;
      const end = page + BigInt(this.#u32(record + map.RECORD.npages));
      for (const [from, to] of covered) if (from <= page && page < to) page = to;
      this.#expect(page >= end, `the host log lacks pages of slot ${this.#u32(record + map.RECORD.slot)}`);
    }
    return blocks;
  }
}
