/**
 * Birth of an engine: carve the areas of the map, stamp the header; and the check of a stamp at attach.
 */
import { newOwner, publishRoot } from "./atomic";
import { createDirectory, directoryBytes, structureBytes } from "./directory";
import { EINVAL, OK } from "./errno";
import { createHeap, heapEndAt } from "./heap";
import {
  ATTACHED_THREAD_BYTES,
  BATCH_BYTES,
  CHUNK_BYTES,
  CHUNK_MERGE_ENTRIES,
  HEADER_BYTES,
  Header,
  MAGIC,
  READER_BYTES,
  RECORD_BYTES,
  ROOT_BYTES,
  ROOTS,
  STAGING_ENTRIES_MIN,
  TABLES,
} from "./layout";
import { rootAt, setDirectory, setGeneration } from "./roots";
import { setStaging, stagingBytes } from "./staging";

/**
 * Bytes that an engine of these limits occupies before its heap. `scratch` is any address with HEADER_BYTES
 * of memory that may be overwritten.
 */
export function engineBytes(scratch: usize, addressSpaces: u32, maxSlots: u32, maxVcpus: u32): u32 {
  const engine = changetype<Header>(scratch);
  engine.addressSpaces = addressSpaces;
  engine.maxSlots = maxSlots;
  engine.maxVcpus = maxVcpus;
  return carve(scratch, engine) - <u32>scratch;
}

/**
 * Make an engine in [header, end), `end` 0 being 2^32, whose limits the caller has checked and whose size is at least
 * engineBytes + 64. `growable`: the heap may take more from memory.grow. `processors`: how many the vCPUs share; 0 if
 * no writer may be in a hurry, see hurry.ts.
 */
export function createEngine(
  header: usize,
  end: u32,
  growable: u32,
  layoutHash: u32,
  addressSpaces: u32,
  maxSlots: u32,
  maxVcpus: u32,
  maxListEntries: u32,
  pageShift: u32,
  maxPhysAddrBits: u32,
  maxUserAddrBits: u32,
  processors: u32,
): void {
  const engine = changetype<Header>(header);
  memory.fill(header, 0, HEADER_BYTES);
  engine.layoutHash = layoutHash;
  engine.addressSpaces = addressSpaces;
  engine.maxSlots = maxSlots;
  engine.maxVcpus = maxVcpus;
  engine.maxListEntries = maxListEntries;
  engine.pageShift = pageShift;
  engine.maxPhysAddrBits = maxPhysAddrBits;
  engine.maxGfn = ((<u64>1) << (maxPhysAddrBits - pageShift)) - 1;
  const heap = carve(header, engine);
  engine.fixedBytes = heap - <u32>header;
  engine.growable = growable;
  engine.processors = processors;
  engine.maxUserAddrBits = maxUserAddrBits;
  memory.fill(engine.readers, 0, engine.chunks - engine.readers);
  engine.freshChunk = engine.chunks;
  engine.freshRecord = engine.records;
  engine.errorEntry = -1;
  const root = rootAt(header, 0);
  for (let asId: u32 = 0; asId < addressSpaces; asId++) setGeneration(root, asId, asId);
  for (let index: u32 = 0; index < addressSpaces << 1; index++) {
    setDirectory(root, index, createDirectory(header, index));
  }
  createHeap(header, heap, heapEndAt(end));
  // Private chunks carry the number of their transaction: the first one must differ from the chunks made
  // here.
  engine.transaction = 1;
  publishRoot(header, root);
  engine.magic = MAGIC;
}

/** Set the areas and capacities of a header whose limits are set; the address behind the last area. */
function carve(header: usize, engine: Header): u32 {
  const spaces = engine.addressSpaces;
  const slots = engine.maxSlots;
  const lines = engine.maxVcpus << 1;
  const chunks = chunksFor(slots);
  // The published layout and a successor that shares nothing with it, each with a gfn and a hva index.
  engine.chunksPerDirectory = chunks;
  engine.chunkCount = spaces * 2 * 2 * (chunks + 1);
  engine.recordCount = spaces * slots * 2;
  engine.retiredCapacity = engine.chunkCount + engine.recordCount + ROOTS * TABLES + 1;
  engine.readers = align(<u32>header + HEADER_BYTES);
  engine.batch = engine.readers + lines * READER_BYTES;
  engine.threads = engine.batch + lines * BATCH_BYTES;
  engine.ids = engine.threads + lines * ATTACHED_THREAD_BYTES;
  engine.touched = align(engine.ids + spaces * slots * 4);
  engine.roots = align(engine.touched + spaces * slots * 4);
  engine.directories = engine.roots + ROOTS * ROOT_BYTES;
  engine.structures = align(engine.directories + spaces * 2 * ROOTS * directoryBytes(chunks));
  engine.chunks = align(engine.structures + spaces * 2 * ROOTS * structureBytes(chunks));
  engine.records = engine.chunks + engine.chunkCount * CHUNK_BYTES;
  engine.retired = engine.records + engine.recordCount * RECORD_BYTES;
  engine.marks = align(engine.retired + engine.retiredCapacity * 4);
  engine.stagingHome = align(engine.marks + ((engine.chunkCount + engine.recordCount + 7) >> 3));
  setStaging(header, engine.stagingHome, STAGING_ENTRIES_MIN);
  return align(engine.stagingHome + stagingBytes(STAGING_ENTRIES_MIN));
}

/** Most chunks that `slots` slots can need: two neighbours share more than CHUNK_MERGE_ENTRIES entries. */
function chunksFor(slots: u32): u32 {
  return 2 * (slots / (CHUNK_MERGE_ENTRIES + 1)) + 1;
}

/** A line of 64 bytes, so that no area shares one with the last. */
function align(address: u32): u32 {
  return (address + 63) & ~63;
}

/** OK if `header` is an engine of this layout, else EINVAL. */
export function checkStamp(header: usize, layoutHash: u32): i32 {
  const engine = changetype<Header>(header);
  return engine.magic == MAGIC && engine.layoutHash == layoutHash ? OK : EINVAL;
}

/** A new owner token for a thread that attaches, a multiple of OWNERS_PER_THREAD; 0 once all were handed out. */
export function attachOwner(header: usize): u32 {
  return newOwner(header);
}
