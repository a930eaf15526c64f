/**
 * The memory map: every structure of the engine, field by field, and the order of the areas.
 *
 *   base                                                                                     heap end
 *   | Header | readers | batch | ids | touched | roots | directories | structures | chunks |
 *   | records | retired | marks | staging | heap: dirty bitmaps, staging of long lists ... |
 *
 * Invariants
 *  - Nothing lies outside this map: the wasm has no data section and no mutable global, so that several
 *    instances (one per worker) can share one memory.
 *  - Pointers are absolute addresses in the linear memory; 0 is "none". The memory never moves, and an
 *    addition saved on each step of a lookup is worth more than a map that could be copied elsewhere.
 *  - What a root reaches (directory, structure, chunk, record) is never edited once the root is published.
 *    Exceptions are named at the field.
 *  - "writer" below means: only by the holder of Header.lock. "reader i": only by the vCPU that owns the
 *    line.
 *
 * src/layout.ts is generated from this file by layout.gen.mjs.
 */

/** "MSLT", little-endian. */
export const MAGIC: u32 = 0x544c534d;
/** Address spaces of an engine; x86 has 2 (SMM), 4 leave room. */
export const ADDRESS_SPACES_MAX: u32 = 4;
/** KVM_USER_MEM_SLOTS of x86: SHRT_MAX less three internal slots. */
export const SLOTS_MAX: u32 = 32764;
export const VCPUS_MAX: u32 = 1024;
export const LIST_ENTRIES_MAX: u32 = 1048576;
export const PAGE_SHIFT_MIN: u32 = 8;
export const PAGE_SHIFT_MAX: u32 = 30;
export const PHYS_ADDR_BITS_MAX: u32 = 52;

/** Entries of one chunk: five halving steps, so that the search needs no count. */
export const CHUNK_ENTRIES: u32 = 32;
/**
 * Two neighbours that hold this many entries together become one chunk. Below CHUNK_ENTRIES, so that a merge
 * is not followed by a split; it also bounds the number of chunks (see `chunksFor` in create.ts).
 */
export const CHUNK_MERGE_ENTRIES: u32 = 24;
/** Radix buckets per chunk: most buckets then hold one chunk border at most. */
export const BUCKETS_PER_CHUNK: u32 = 8;
/** In a word of the radix: two separators or more lie inside the bucket. The rest is a chunk's number. */
export const CROWDED: u32 = 0x8000;
/** Chunks whose largest end is kept together in the directory of the hva index. */
export const GROUP_CHUNKS: u32 = 32;
/**
 * Roots, and so layouts that can be alive at once: the published one and those that wait for their last
 * reader. Two would do for commits that wait; the others let commits with `wait: false` run ahead of slow
 * readers.
 */
export const ROOTS: u32 = 4;
/** Addresses that one call of the batch translation takes. */
export const BATCH_ENTRIES: u32 = 64;
/** Regions that one call of the iterators hands out through the batch area. */
export const BATCH_REGIONS: u32 = 16;
/** Bits of Reader.nesting that count open sections; the two above tell who opened them. */
export const DEPTH_BITS: u64 = 20;
/** Dirty consumers besides KVM's own log. */
export const CONSUMERS_MAX: u32 = 8;
/** List entries that fit without the heap. */
export const STAGING_ENTRIES_MIN: u32 = 128;

/** Bits of a commit's mode. */
export const COMMIT_WAIT: u32 = 1;
export const COMMIT_BARRIER: u32 = 2;
export const COMMIT_CHANGED: u32 = 4;
export const COMMIT_TAKE_DIRTY: u32 = 8;
/** Bits of Window.flags: a window onto host memory, not a device; one that refuses writes, as KVM_MEM_READONLY. */
export const WINDOW_HOST: u32 = 1;
export const WINDOW_READONLY: u32 = 2;
/** Bits of ReaderState.state. */
export const READER_VCPU: u32 = 1;
export const READER_INSIDE: u32 = 2;
export const READER_BEHIND: u32 = 4;
export const READER_KICKED: u32 = 8;
/** Tables of a root: the windows of each address space, then those of private memory. */
export const TABLE_MEMFDS: u32 = 4;
export const TABLE_BINDINGS: u32 = 5;
export const TABLE_ATTRIBUTES: u32 = 6;
export const TABLES: u32 = 7;
/** More changed ranges than the staging area has room for: everything may have changed. */
export const CHANGED_OVERFLOW: u32 = 0xffffffff;

/**
 * Bit of Header.root: vCPUs wait before they open a section. Roots are multiples of 64, so that it is free.
 */
export const GATE_CLOSED: u32 = 1;

/**
 * One per engine, at `base`.
 *
 *    0 +---------------------------+
 *      | stamp and limits          |  written once by create
 *   64 | areas                     |  written once by create
 *  128 | root                      |  atomic, read by every reader: a line of its own
 *  192 | lock, waiting, owners ... |  atomic, written by writers
 *  256 | the writer's notebook     |  plain, under the lock; all of it can be rebuilt from the root
 *  384 | names of dirty consumers  |  plain, under the lock
 *  448 +---------------------------+
 */
@unmanaged
export class Header {
  /** MAGIC; stored last by create, so that an unfinished engine is refused. */
  magic: u32;
  /** Hash of this map; differently built code refuses the memory. */
  layoutHash: u32;
  addressSpaces: u32;
  /** Slots per address space. */
  maxSlots: u32;
  maxVcpus: u32;
  maxListEntries: u32;
  pageShift: u32;
  maxPhysAddrBits: u32;
  /** Highest guest frame number, in frames. */
  maxGfn: u64;
  /** Bytes of the fixed areas, from base to the start of the heap. */
  fixedBytes: u32;
  /** 1 if the heap may take pages from memory.grow; 0 in a region of fixed size. */
  growable: u32;
  pad20: u64;
  pad22: u64;

  // Areas: addresses and capacities.
  readers: u32;
  batch: u32;
  ids: u32;
  touched: u32;
  roots: u32;
  directories: u32;
  structures: u32;
  chunks: u32;
  records: u32;
  retired: u32;
  /** Entries of the ring `retired`. */
  retiredCapacity: u32;
  marks: u32;
  /** Largest number of chunks in one directory. */
  chunksPerDirectory: u32;
  /** Chunks in the pool. */
  chunkCount: u32;
  /** Records in the pool. */
  recordCount: u32;
  pad21: u32;

  /** atomic; writer: the published root, and GATE_CLOSED. Its store is the one publication of a commit. */
  root: u32;
  pad0: u32;
  pad1: u64;
  pad2: u64;
  pad3: u64;
  pad4: u64;
  pad5: u64;
  pad6: u64;
  pad7: u64;

  /** atomic; any thread: owner token of the writer, 0 when free. */
  lock: u32;
  /** atomic; any thread: number of threads asleep on the lock. */
  lockWaiters: u32;
  /** atomic; writer: not 0 while it sleeps on a reader's pin. */
  waiting: u32;
  /** atomic; any thread: owner of the closed gate (the lowest bit of root), 0 while it is open. */
  gateOwner: u32;
  /**
   * atomic; reaper: 1 after a writer died; the next one rebuilds the notebook before it does anything else.
   */
  orphaned: u32;
  /** atomic; any thread: number of threads that wait for a publication. */
  observers: u32;
  /** atomic; any thread: last owner token handed out. */
  owners: u32;
  /**
   * atomic; decided once, by the first vCPU or by the capability before it: 0 undecided, DIRTY_RING_NEVER, or
   * the bytes of the entries of each vCPU's dirty ring.
   */
  dirtyRing: u32;
  /** atomic; any thread: RING_OVERFLOW_* of writes by threads that are no vCPU, while there is no bitmap. */
  unlogged: u32;
  pad23: u32;
  pad10: u64;
  pad11: u64;
  pad12: u64;

  /** writer: number of the transaction that is being built; stamps private chunks, never repeats. */
  transaction: u64;
  /** Address of the staging area outside of the heap; written once by create. */
  stagingHome: u32;
  /** writer: number of the oldest root that is not recycled, 0 .. ROOTS - 1. */
  oldestRoot: u32;
  /** writer: number of the published root. */
  activeRoot: u32;
  /** writer: heads of the free lists, linked through the first word. */
  freeChunk: u32;
  freeRecord: u32;
  /** writer: chunks and records that were never used start here. */
  freshChunk: u32;
  freshRecord: u32;
  /** writer: ring of what the pending roots keep alive, as indexes into `retired`. */
  retiredHead: u32;
  retiredTail: u32;
  /** writer: effects of the transaction that is being built. */
  effectCount: u32;
  /** writer: entry of the list that the last failed call refused, or -1. */
  errorEntry: i32;
  /** writer: pieces that the last commit with COMMIT_CHANGED left in `staging`, or CHANGED_OVERFLOW. */
  changedCount: u32;
  /** writer: where a list is written, and how many entries fit; staging.ts has its parts. */
  staging: u32;
  stagingEntries: u32;
  /** writer: the heap. */
  heapStart: u32;
  heapEnd: u32;
  heapRover: u32;
  heapFreeBytes: u32;
  /** writer: logs that the last commit with COMMIT_TAKE_DIRTY has ended, as regions in `staging` with the
   * address of the bitmap in place of the host address; the changed ranges come behind them. */
  endedCount: u32;
  /** writer: KVM_DIRTY_LOG_* bits of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
  manualDirtyLog: u32;
  /** writer: 1 if writes that go to no dirty ring go to the bitmaps. */
  dirtyRingBitmap: u32;
  /** writer: address of effect 0 in the staging area. */
  effects: u32;
  /** writer: window tables of the list that is staged, per address space; 0 where they stay as they are. */
  stagedWindows0: u32;
  stagedWindows1: u32;
  stagedWindows2: u32;
  stagedWindows3: u32;
  /** writer: the same for the tables of private memory. */
  stagedMemfds: u32;
  stagedBindings: u32;
  stagedAttributes: u32;
  /** writer: bit i is set while table i is staged, so that a commit without any looks at one word. */
  stagedTables: u32;

  /** writer: hash of each dirty consumer's name, 0 if the place is free. */
  consumer0: u64;
  consumer1: u64;
  consumer2: u64;
  consumer3: u64;
  consumer4: u64;
  consumer5: u64;
  consumer6: u64;
  consumer7: u64;
}

/**
 * One per vCPU and per attached thread: 128 bytes, two cache lines, so that no reader's store touches
 * another's.
 */
@unmanaged
export class Reader {
  /** atomic; reader i: the root that its section uses, 0 outside of sections. */
  pin: u32;
  /** atomic; any thread: owner token, 0 when the line is free. */
  owner: u32;
  /** atomic; any thread: not 0 asks the vCPU to leave its section. */
  request: u32;
  /** reader i: address space. */
  asId: u32;
  /** written at claim. */
  pageShift: u32;
  pad25: u32;
  /** written at claim: the engine. */
  header: u32;
  /**
   * written at claim: 1 for a vCPU, which waits at the gate; 0 for the one-shot calls of a thread, which do
   * not.
   */
  gated: u32;
  /**
   * reader i: the cached slot, which belongs to the pinned layout: its first guest address, biased as addressBits
   * has it; its bytes, 0 if there is none; host address less guest address; record; flags.
   */
  cacheStart: u64;
  cacheBytes: u64;
  cacheOffset: f64;
  cacheRecord: u32;
  cacheFlags: u32;
  /**
   * reader i: commit counter of the layout that the cached slot was found in; a counter, not an address, has
   * no ABA.
   */
  cacheCommit: u64;
  /** reader i: commit counter of the last section. */
  seenCommit: u64;
  /** reader i: sections entered so far, above who opened, and how many of them are open, one in the other. */
  nesting: u64;
  /** reader i: lookups that found no slot. */
  misses: u64;
  /** reader i: where an iterator goes on. */
  cursor: u64;
  /**
   * writer: 0 while the engine has no dirty rings, then NO_RING, or for a vCPU the address of its ring. It stays
   * with the line: what a vCPU that is gone has left in it is still to be harvested.
   */
  ring: u32;
  pad5: u32;
  /** reader i: what the last lookup that met a device found: its number, and the byte of its registers. */
  device: u32;
  pad6: u32;
  deviceOffset: u64;
}

/** One layout of all address spaces; immutable once published. 128 bytes. */
@unmanaged
export class Root {
  /** Number of this publication, counted from 0; never repeats. */
  commit: u64;
  /** KVM's generation per address space: starts at its number, advances by the number of address spaces. */
  generation0: u64;
  generation1: u64;
  generation2: u64;
  generation3: u64;
  /**
   * Directories, one per index: 2 * asId is the gfn index, 2 * asId + 1 the hva index of an address space.
   */
  directory0: u32;
  directory1: u32;
  directory2: u32;
  directory3: u32;
  directory4: u32;
  directory5: u32;
  directory6: u32;
  directory7: u32;
  /** writer, after the root was replaced: end of what it keeps alive, as an index into `retired`. */
  retiredEnd: u32;
  pad0: u32;
  /** Window table of each address space, 0 without. */
  windows0: u32;
  windows1: u32;
  windows2: u32;
  windows3: u32;
  /** Tables of private memory, of the same shape: guest_memfds, what slots are bound to, attributes; 0 without. */
  memfds: u32;
  bindings: u32;
  attributes: u32;
  pad3: u32;
  pad4: u64;
  pad5: u64;
}

/**
 * Ordered list of chunks: the entries of one index of one layout. Followed by
 *   u32 chunk[chunksPerDirectory + 1]
 *   u64 groupMax[...]                      (hva index: largest end in GROUP_CHUNKS chunks)
 */
@unmanaged
export class Directory {
  /** Structure block; the directories of several layouts may share one. */
  structure: u32;
  chunkCount: u32;
  /** Address of groupMax[0]. */
  groups: u32;
  /** writer: 1 while the structure block belongs to the transaction; 0 in every published directory. */
  privateStructure: u32;
}

/**
 * Where the chunks begin: shared by the layouts between two splits or merges. Followed by
 *   u64 separator[chunks + 1]  keys of chunk r are in [separator[r], separator[r + 1]), and no range of chunk
 *                              r reaches beyond separator[r + 1]; the last is the padding key
 *   u16 radix[buckets + 1]     last chunk whose separator is <= the first key of the bucket, and CROWDED
 */
@unmanaged
export class Structure {
  /** Width of a bucket is 1 << shift keys; bucket 0 starts at separator[0]. */
  shift: u32;
  /** Number of buckets less one. */
  lastBucket: u32;
  /** Address of radix[0]. */
  radix: u32;
  reserved0: u32;
}

/**
 * 32 entries in ascending order of their key behind a header of one line, padded with keys of 2^64 - 1.
 * The stride of 576 bytes is no power of two, so that equal places of different chunks do not share a cache
 * set.
 */
@unmanaged
export class Chunk {
  count: u32;
  /** Next free chunk, while free. */
  nextFree: u32;
  /** Transaction that made this copy: equal to Header.transaction means private to the writer. */
  transaction: u64;
  /** hva index: largest end of the entries, in host pages. */
  maxEnd: u64;
  pad0: u64;
  pad1: u64;
  pad2: u64;
  pad3: u64;
  pad4: u64;
}

/** Entry of a chunk. */
@unmanaged
export class Entry {
  /** gfn index: first frame. hva index: first host page << 15 | slot id. */
  key: u64;
  npages: u32;
  record: u32;
}

/** A slot as KVM's struct kvm_memory_slot: 32 bytes, half a line, never edited once published. */
@unmanaged
export class Record {
  baseGfn: u64;
  userspaceAddr: u64;
  npages: u32;
  /** KVM_MEM_* bits. */
  flags: u32;
  /** Address space << 16 | id. */
  slot: u32;
  /** Dirty bitmap: 2 halves of ALIGN(npages, 64) / 8 bytes, as in KVM; 0 without. Its words are atomic. */
  bitmap: u32;
}

/** What lies before the first word of a dirty bitmap. */
@unmanaged
export class BitmapHead {
  /** Publication that the bitmap came with; what it replaces is carried into it. */
  birth: u64;
  /** Views of the dirty consumers, 0 without: KVM's pending bits, then per consumer pending and in flight. */
  views: u32;
  /** Number of consumers that the views have room for. */
  consumers: u32;
}

/** Header.dirtyRing when the first vCPU came before the capability. */
export const DIRTY_RING_NEVER: u32 = 1;
/** Reader.ring of a line without a ring in an engine that has rings. */
export const NO_RING: u32 = 1;
/** Smallest and largest dirty ring in bytes: 256 and 65,536 entries. */
export const RING_BYTES_MIN: u32 = 4096;
export const RING_BYTES_MAX: u32 = 1048576;
/** Entries between the soft limit and the end of a ring: KVM_DIRTY_RING_RSVD_ENTRIES, without x86's PML. */
export const RING_RESERVED_ENTRIES: u32 = 64;
/** Pages that a ring remembers having pushed, a power of two. */
export const RING_FILTER_ENTRIES: u32 = 64;
/** States of an entry, KVM_DIRTY_GFN_F_*: 0 free, then dirty, then harvested, then free. */
export const DIRTY_GFN_DIRTY: u32 = 1;
export const DIRTY_GFN_HARVESTED: u32 = 2;
/** States of an overflow word: 0 nothing missed, then missed, then told to a harvester, then nothing. */
export const RING_OVERFLOW_MISSED: u32 = 1;
export const RING_OVERFLOW_TOLD: u32 = 2;

/**
 * Dirty ring of a vCPU. Indexes run free; entry i is at i & mask. What the vCPU writes and what a reset writes
 * are a line apart, wherever the ring begins. Followed by
 *   u32 filter[RING_FILTER_ENTRIES]   index of the last entry of a page that hashes here, a hint
 *   u64 hostPage[mask + 1]            host page of each entry, in pages
 *   DirtyGfn entry[mask + 1]
 */
@unmanaged
export class DirtyRing {
  /** atomic; vCPU: entries pushed. */
  dirtyIndex: u32;
  /** atomic; vCPU and harvester: RING_OVERFLOW_*: a write found the ring full. */
  overflow: u32;
  /** written at birth: entries less one. */
  mask: u32;
  /** written at birth: address of hostPage[0]. */
  hostPages: u32;
  /** written at birth: address of entry[0]. */
  entries: u32;
  pad6: u32;
  pad0: u64;
  pad1: u64;
  pad2: u64;
  pad3: u64;
  pad4: u64;
  /** atomic; writer: entries reset. */
  resetIndex: u32;
  pad7: u32;
  pad8: u64;
  pad9: u64;
  pad10: u64;
  pad11: u64;
  pad12: u64;
  pad13: u64;
  pad14: u64;
}

/** struct kvm_dirty_gfn, byte for byte. */
@unmanaged
export class DirtyGfn {
  /** atomic; vCPU: free -> dirty; harvester: dirty -> harvested; writer: harvested -> free. KVM's flags. */
  state: u32;
  /** Address space << 16 | id. */
  slot: u32;
  /** Page of the slot. */
  offset: u64;
}

/**
 * MMIO windows of an address space in one layout, on the heap. Followed by Window window[count]: ascending,
 * no two of them meet.
 */
@unmanaged
export class WindowTable {
  count: u32;
  reserved0: u32;
}

/**
 * Guest bytes [start, end) that are no slot: registers of a device, or less than a page of host memory. In the tables
 * of private memory (privatememory.ts):
 *
 *   table        start        end          target                                       device
 *   memfds       descriptor   start + 1    bytes of the file                            descriptor
 *   bindings     slot number  start + 1    byte of the file that the slot begins with   descriptor
 *   attributes   first byte   behind it    KVM_MEMORY_ATTRIBUTE_* bits                  0
 */
@unmanaged
export class Window {
  start: u64;
  end: u64;
  /** What `start` is there: offset in the device's registers, or a host address. Bytes. */
  target: u64;
  /** Number of the device; 0 with WINDOW_HOST. */
  device: u32;
  /** WINDOW_* bits. */
  flags: u32;
}

/** Net effect of a list on one slot id. */
@unmanaged
export class Effect {
  /** Address space * maxSlots + id. */
  key: u32;
  /** Published record, 0 if there was none. */
  oldRecord: u32;
  /** Private record, 0 if the slot goes away; equal to oldRecord if nothing changes. */
  newRecord: u32;
  /** Last entry of the list that changed this slot. */
  entry: u32;
}

/** struct kvm_userspace_memory_region, byte for byte: one entry of a list. */
@unmanaged
export class Region {
  slot: u32;
  flags: u32;
  guestPhysAddr: u64;
  memorySize: u64;
  userspaceAddr: u64;
}

/** struct kvm_userspace_memory_region2 as far as it is read, byte for byte: a Region and what follows it. */
@unmanaged
export class Region2 {
  slot: u32;
  flags: u32;
  guestPhysAddr: u64;
  memorySize: u64;
  userspaceAddr: u64;
  guestMemfdOffset: u64;
  guestMemfd: u32;
  pad0: u32;
}

/** struct kvm_create_guest_memfd, as far as it is read. */
@unmanaged
export class MemfdRequest {
  size: u64;
  flags: u64;
}

/** struct kvm_memory_attributes. */
@unmanaged
export class AttributesRequest {
  address: u64;
  size: u64;
  attributes: u64;
  flags: u64;
}

/** What an observer sees of a reader line: one piece of a walk over the readers. */
@unmanaged
export class ReaderState {
  /** Address of the line. */
  reader: u32;
  /** Owner token. */
  token: u32;
  asId: u32;
  /** READER_* bits. */
  bits: u32;
  sections: u64;
  misses: u64;
}

/** Bytes of each structure; the assertions below hold them to the classes. */
export const HEADER_BYTES: u32 = 448;
export const READER_BYTES: u32 = 128;
export const ROOT_BYTES: u32 = 128;
export const DIRECTORY_BYTES: u32 = 16;
export const STRUCTURE_BYTES: u32 = 16;
export const CHUNK_HEADER_BYTES: u32 = 64;
export const ENTRY_BYTES: u32 = 16;
export const CHUNK_BYTES: u32 = 576;
export const RECORD_BYTES: u32 = 32;
export const BITMAP_HEAD_BYTES: u32 = 16;
export const DIRTY_RING_BYTES: u32 = 128;
export const DIRTY_GFN_BYTES: u32 = 16;
export const WINDOW_TABLE_BYTES: u32 = 8;
export const WINDOW_BYTES: u32 = 32;
export const EFFECT_BYTES: u32 = 16;
export const REGION_BYTES: u32 = 32;
export const READER_STATE_BYTES: u32 = 32;
export const BATCH_BYTES: u32 = 768;
/** In a batch area, behind the addresses: where the search of each has come to, a u32. */
export const BATCH_PLACES: u32 = 512;

if (offsetof<Header>() != HEADER_BYTES) ERROR("Header");
if (offsetof<Header>("root") != 128) ERROR("Header.root must start a line");
if (offsetof<Header>("lock") != 192) ERROR("Header.lock must start a line");
if (offsetof<Header>("consumer0") != 384) ERROR("Header.consumer0 must start a line");
if (offsetof<Header>("transaction") != 256) ERROR("Header.transaction must start a line");
if (offsetof<Reader>() != READER_BYTES) ERROR("Reader");
if (offsetof<Root>() != ROOT_BYTES) ERROR("Root");
if (offsetof<Root>("memfds") != offsetof<Root>("windows0") + 4 * TABLE_MEMFDS) ERROR("Root.memfds");
if (offsetof<Root>("attributes") != offsetof<Root>("windows0") + 4 * TABLE_ATTRIBUTES)
  ERROR("Root.attributes");
if (offsetof<Header>("stagedMemfds") != offsetof<Header>("stagedWindows0") + 4 * TABLE_MEMFDS)
  ERROR("Header.stagedMemfds");
if (TABLE_MEMFDS != ADDRESS_SPACES_MAX) ERROR("TABLE_MEMFDS");
if (offsetof<Directory>() != DIRECTORY_BYTES) ERROR("Directory");
if (offsetof<Structure>() != STRUCTURE_BYTES) ERROR("Structure");
if (offsetof<Chunk>() != CHUNK_HEADER_BYTES) ERROR("Chunk");
if (offsetof<Entry>() != ENTRY_BYTES) ERROR("Entry");
if (CHUNK_HEADER_BYTES + CHUNK_ENTRIES * ENTRY_BYTES != CHUNK_BYTES) ERROR("CHUNK_BYTES");
if (offsetof<Record>() != RECORD_BYTES) ERROR("Record");
if (offsetof<BitmapHead>() != BITMAP_HEAD_BYTES) ERROR("BitmapHead");
if (offsetof<DirtyRing>() != DIRTY_RING_BYTES) ERROR("DirtyRing");
if (offsetof<DirtyRing>("resetIndex") != 64) ERROR("DirtyRing.resetIndex must be a line away");
if (offsetof<DirtyGfn>() != DIRTY_GFN_BYTES) ERROR("DirtyGfn must equal struct kvm_dirty_gfn");
if (offsetof<WindowTable>() != WINDOW_TABLE_BYTES) ERROR("WindowTable");
if (offsetof<Window>() != WINDOW_BYTES) ERROR("Window");
if (offsetof<Effect>() != EFFECT_BYTES) ERROR("Effect");
if (offsetof<Region>() != REGION_BYTES) ERROR("Region");
if (offsetof<Region>("userspaceAddr") != 24) ERROR("Region must equal struct kvm_userspace_memory_region");
if (offsetof<Region2>("guestMemfdOffset") != REGION_BYTES) ERROR("Region2 must equal the kernel's struct");
if (offsetof<ReaderState>() != READER_STATE_BYTES) ERROR("ReaderState");
if (READER_STATE_BYTES != REGION_BYTES) ERROR("BATCH_REGIONS counts reader states, too");
if (BATCH_ENTRIES * 8 != BATCH_PLACES) ERROR("BATCH_PLACES");
if (BATCH_PLACES + BATCH_ENTRIES * 4 != BATCH_BYTES) ERROR("BATCH_BYTES");
if (BATCH_REGIONS * REGION_BYTES != BATCH_PLACES) ERROR("BATCH_REGIONS");
