/**
 * The memory map: every structure of the engine, field by field, and the order of the areas.
 *
 *   base                                                                                     heap end
 *   | Header | readers | batch | threads | ids | touched | roots | directories | structures | chunks |
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
 * src/core/layout.ts is generated from this file by layout.gen.mjs.
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
/** Width of a host address in bits. */
export const USER_ADDR_BITS_MIN: u32 = 32;
export const USER_ADDR_BITS_MAX: u32 = 52;

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
/** Bits of Reader.nesting that count open sections; the two above tell who opened them; then comes MARKED_AHEAD. */
export const DEPTH_BITS: u64 = 20;
/** Bit of Reader.nesting: the TLB has write entries of logged slots, whose pages were marked before their writes. */
export const MARKED_AHEAD: u64 = 0x400000;
/** Lowest bit of the number of sections in Reader.nesting. */
export const SECTIONS_SHIFT: u64 = 23;
/** Entries of a TLB, a power of two. */
export const TLB_ENTRIES_MIN: u32 = 64;
export const TLB_ENTRIES_MAX: u32 = 65536;
/** What an access is, and which tag of a TLB entry has to match. */
export const TLB_READ: u32 = 0;
export const TLB_WRITE: u32 = 1;
export const TLB_CODE: u32 = 2;
/** Dirty consumers besides KVM's own log. */
export const CONSUMERS_MAX: u32 = 8;
/** List entries that fit without the heap. */
export const STAGING_ENTRIES_MIN: u32 = 128;

/** Owner tokens of one thread: they differ in the lowest bits only. */
export const OWNERS_PER_THREAD: u32 = 64;

/** Bits of a commit's mode. */
export const COMMIT_WAIT: u32 = 1;
export const COMMIT_BARRIER: u32 = 2;
export const COMMIT_CHANGED: u32 = 4;
export const COMMIT_TAKE_DIRTY: u32 = 8;
/** Checks that refuse a commit. In Header.errorCheck they are above CHECK_SHIFT bits for the slot that was met. */
export const CHECK_SHIFT: u32 = 24;
export const CHECK_OWN_SECTION: u32 = 1;
export const CHECK_GATE: u32 = 2;
export const CHECK_SLOT: u32 = 3;
export const CHECK_FLAGS: u32 = 4;
export const CHECK_SIZE: u32 = 5;
export const CHECK_GPA: u32 = 6;
export const CHECK_HVA: u32 = 7;
export const CHECK_HVA_END: u32 = 8;
export const CHECK_MEMFD_OFFSET: u32 = 9;
export const CHECK_GPA_WRAPS: u32 = 10;
export const CHECK_NPAGES: u32 = 11;
export const CHECK_NO_SLOT: u32 = 12;
export const CHECK_HVA_CHANGES: u32 = 13;
export const CHECK_SIZE_CHANGES: u32 = 14;
export const CHECK_READONLY_CHANGES: u32 = 15;
export const CHECK_MEMFD_CHANGES: u32 = 16;
export const CHECK_GPA_END: u32 = 17;
export const CHECK_OVERLAP: u32 = 18;
export const CHECK_MEMFD_END: u32 = 19;
export const CHECK_MEMFD_BOUND: u32 = 20;
export const CHECK_MEMFD: u32 = 21;
/** Checks of the structs that create a guest_memfd and set attributes. */
export const CHECK_MEMFD_SIZE: u32 = 22;
export const CHECK_MEMFD_FLAGS: u32 = 23;
export const CHECK_ATTRIBUTES: u32 = 24;
export const CHECK_ATTRIBUTES_FLAGS: u32 = 25;
export const CHECK_ATTRIBUTES_ADDRESS: u32 = 26;
export const CHECK_ATTRIBUTES_SIZE: u32 = 27;
export const CHECK_ATTRIBUTES_END: u32 = 28;
/**
 * Bits of Window.flags: a window onto host memory, not a device; one that refuses writes, as KVM_MEM_READONLY; one that
 * covers a slot, instead of being hidden by it; a mirror of other guest memory; nothing, where a slot is covered; one
 * whose written pages dirty consumers are told, as KVM_MEM_LOG_DIRTY_PAGES.
 */
export const WINDOW_HOST: u32 = 1;
export const WINDOW_READONLY: u32 = 2;
export const WINDOW_OVER: u32 = 4;
export const WINDOW_MIRROR: u32 = 8;
export const WINDOW_HOLE: u32 = 16;
export const WINDOW_LOGGED: u32 = 32;
/** Of a mirror: bytes of a unit and units of a stripe as powers of two, and the address space of the original. */
export const WINDOW_UNIT_SHIFT: u32 = 8;
export const WINDOW_WAYS_SHIFT: u32 = 13;
export const WINDOW_POWER_MASK: u32 = 31;
export const WINDOW_ASID_SHIFT: u32 = 18;
export const WINDOW_ASID_MASK: u32 = 3;
/** Of an edit: the window that starts there goes. */
export const WINDOW_REMOVE: u32 = 0x80000000;
/** Values of Piece.kind. */
export const PIECE_NONE: u32 = 0;
export const PIECE_MEMORY: u32 = 1;
export const PIECE_DEVICE: u32 = 2;
export const PIECE_READ_ONLY: u32 = 3;
export const PIECE_NO_ACCESS: u32 = 4;
/** The two bitmaps that an extent has for a consumer. */
export const VIEW_PENDING: u32 = 1;
export const VIEW_IN_FLIGHT: u32 = 2;
/** Bits of a consumer's number for its place; the others are its serial. */
export const PLACE_BITS: u32 = 3;
/** Bytes of a consumer's name at most. */
export const CONSUMER_NAME_BYTES_MAX: u32 = 255;
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
/** First of the bits of Header.stagedTables for tables that were checked as they were made. */
export const STAGED_SOUND: u32 = 8;
/** More changed ranges than the staging area has room for: everything may have changed. */
export const CHANGED_OVERFLOW: u32 = 0xffffffff;

/**
 * Bits of Header.root, which are free because roots are multiples of 64. vCPUs wait before they open a section:
 * behind the closed gate until its owner opens it; for a writer in a hurry once a section, and HURRY_MS at most.
 */
export const GATE_CLOSED: u32 = 1;
export const HURRY: u32 = 2;
export const ROOT_BITS: u32 = 3;

/** Values of Header.waiting: the writer sleeps on a pin; or it does not sleep, and the last reader ends its hurry. */
export const WAIT_ASLEEP: u32 = 1;
export const WAIT_HURRY: u32 = 2;

/**
 * One per engine, at `base`.
 *
 *    0 +---------------------------+
 *      | stamp and limits          |  written once by create
 *   64 | areas                     |  written once by create
 *  128 | root                      |  atomic, read by every reader: a line of its own
 *  192 | lock, waiting, owners ... |  atomic, written by writers
 *  256 | the writer's notebook     |  plain, under the lock; all of it can be rebuilt from the root
 *  384 | dirty consumers           |  plain, under the lock
 *  400 +---------------------------+
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
  /** Processors that the vCPUs share; 0 if no writer may be in a hurry. */
  processors: u32;
  /** Width of a host address in bits: see userEndOf of validate.ts. */
  maxUserAddrBits: u32;
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
  /** One AttachedThread for each reader line. */
  threads: u32;

  /** atomic; writer: the published root, GATE_CLOSED, HURRY. Its store is the one publication of a commit. */
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
  /** atomic; writer: WAIT_*, 0 while no writer waits for a reader. */
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
  /** atomic; any thread: how often a gate was opened or a hurry ended; who waits for that sleeps on it. */
  openings: u32;
  /** writer: low half of the number of the last publication that a hurry was for; a second one would hold too long. */
  hurried: u32;
  /** writer: the same of the last publication whose readers did not leave in PATIENCE_MS. */
  late: u32;
  /** writer: so many grace periods more begin with a hurry, because one was late. */
  hasty: u32;
  /** atomic; who takes dirty bits: advanced once they are taken, so that vCPUs that mark ahead mark again. */
  dirtyEpoch: u32;
  /** atomic; any thread: 1 if TLBs were released whose memory the next holder of the lock frees. */
  spareTlbs: u32;
  /** writer: CHECK_* that refused the last commit, 0 if the error number says all. */
  errorCheck: u32;

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
  /**
   * writer: bit i is set while table i is staged, so that a commit without any looks at one word; bit i + STAGED_SOUND
   * if it needs no check and differs from the published one.
   */
  stagedTables: u32;

  /** writer: the HostLog, 0 without dirty consumers. */
  hostLog: u32;
  /** writer: the one of the transaction that is being built, 0 if it needs no other. */
  stagedHostLog: u32;
  /** writer: consumers opened so far. */
  consumerSerial: u32;
  pad12: u32;
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
  /**
   * reader i: 1 + the dirty epoch since which its caller keeps marks of its own, 0 if it keeps none: a caller who marks
   * a page once, ahead of its writes, and would mark it again at the section's end.
   */
  keepsMarks: u32;
  /** written at claim: the engine. */
  header: u32;
  /**
   * written at claim: the bits of the root at which the line waits. GATE_CLOSED for a vCPU, with HURRY if its
   * thread may sleep; 0 for the one-shot calls of a thread.
   */
  gates: u32;
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
  /**
   * reader i: sections entered so far (SECTIONS_SHIFT), MARKED_AHEAD, who opened, and how many of them are open, one
   * in the other.
   */
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
  /** reader i: address of its TLB, 0 without. */
  tlb: u32;
  /** reader i: what the last lookup that met a device found: its number, and the byte of its registers. */
  device: u32;
  /** writer: heap block of the line's TLB, or of one that was released; 0 without. */
  tlbMemory: u32;
  deviceOffset: u64;
}

/**
 * A thread that has attached. It tells two instances in one thread that they are, two threads with one token that they
 * are not, and a writer that waits whether the reader's thread still lives. Written by JavaScript alone.
 */
@unmanaged
export class AttachedThread {
  /** atomic; any thread: lowest owner token of the thread, 0 while the place is free. */
  owner: u32;
  /** atomic; own thread: tokens handed out besides. */
  tokens: u32;
  /** atomic; own thread: instances that are not closed. */
  instances: u32;
  /** own thread: number of the kernel's thread, 0 if unknown. */
  kernelThread: u32;
  /** own thread: number that no other thread has; 0 until the place is written. */
  identity: f64;
  pad0: u64;
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
  /** Bit asId: windows of the address space are over its slots. What a lookup that misses its cache asks. */
  covered: u32;
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
  /** What of it KVM_GET_DIRTY_LOG has not taken yet, once there are consumers: one half's bytes; 0 before. */
  kvmView: u32;
  reserved0: u32;
}

/**
 * Views of the dirty consumers, by host page. Never edited where a consumer would see it; replaced as a whole. Followed
 * by
 *   Extent extent[capacity]           ascending, no two of them meet
 */
@unmanaged
export class HostLog {
  /** Extents. */
  count: u32;
  /** Extents that fit. */
  capacity: u32;
  /** Number of extents from which on those are dropped that nobody needs. */
  pruneAt: u32;
  reserved0: u32;
  /** Consumer in each place, 0 if it is free: what extents have for it counts for nothing then. */
  consumer0: u32;
  consumer1: u32;
  consumer2: u32;
  consumer3: u32;
  consumer4: u32;
  consumer5: u32;
  consumer6: u32;
  consumer7: u32;
}

/** Host pages that follow each other and that a log has covered: what is dirty there for each consumer. */
@unmanaged
export class Extent {
  /** First host page. */
  start: u64;
  npages: u32;
  reserved0: u32;
  /** Two bitmaps of ALIGN(npages, 64) / 8 bytes for the consumer in each place: pending, in flight. */
  bits0: u32;
  bits1: u32;
  bits2: u32;
  bits3: u32;
  bits4: u32;
  bits5: u32;
  bits6: u32;
  bits7: u32;
}

/** A dirty consumer. Followed by the bytes of its name. */
@unmanaged
export class Consumer {
  /** Number of the opening; tells a consumer from the next one in its place. */
  serial: u32;
  /** 1 if pages are dirty for it when a log covers them for the first time. */
  initiallyDirty: u32;
  /** Bytes of its name, UTF-8. */
  nameBytes: u32;
  reserved0: u32;
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
  /** written at birth: the engine. */
  header: u32;
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
 * TLB of a vCPU, at a multiple of 32. Followed by
 *   TlbEntry entry[indexMask + 1]
 *   u32 ahead[...]                 bit per entry: its page was marked dirty before its writes
 *
 * Guest byte `gpa` is looked for in one entry: with page = (u32)(gpa >> pageShift), in entry number
 * (page ^ page >> 6 ^ page >> 12) & indexMask.
 */
@unmanaged
export class Tlb {
  /** written at birth: bytes of a page, as a power of two. */
  pageShift: u32;
  /** written at birth: entries less one. */
  indexMask: u32;
  /** written at birth: the bits of a guest address that are the page's. */
  pageMask: u64;
  /** reader i: dirty epoch before the first of the marks that are ahead of their writes. */
  epoch: u32;
  /** reader i: 0 if no entry was written since the last flush. */
  filled: u32;
  pad0: u64;
}

/**
 * A page. An access of n bytes, n a power of two, is a hit if gpa & (pageMask | n - 1) equals the tag of its kind; the
 * host address is gpa + addend then. A tag of all ones is none.
 */
@unmanaged
export class TlbEntry {
  /** reader i: guest address of the page, if it may be read. */
  read: u64;
  /** reader i: the same if it may be written, and is marked dirty or keeps no log. */
  write: u64;
  /** reader i: the same if it may be fetched from. */
  code: u64;
  /** reader i: host address less guest address. */
  addend: i64;
}

/**
 * MMIO windows of an address space in one layout, on the heap. Followed by Window window[count]: ascending,
 * no two of them meet.
 */
@unmanaged
export class WindowTable {
  count: u32;
  /** 1 if a window covers slots. */
  covers: u32;
  /** Dirty bits of the windows with WINDOW_LOGGED, a bit per page; 0 if there is none. Its words are atomic. */
  marks: u32;
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
  /** What `start` is there: offset in the device's registers, a host address, or that of the original. Bytes. */
  target: u64;
  /**
   * Number of the device; with WINDOW_LOGGED number of its first bit in the table's marks; bytes of a period with
   * WINDOW_MIRROR.
   */
  device: u32;
  /** WINDOW_* bits. */
  flags: u32;
}

/** Guest bytes [start, end) to which one thing responds alike; where pieceAt writes it. */
@unmanaged
export class Piece {
  start: u64;
  end: u64;
  /** What `start` is there: host address, or offset in the device's registers. Bytes. */
  target: u64;
  /** The guest address that `start` mirrors, in its address space; `start` itself without a mirror. */
  origin: u64;
  /** PIECE_*. */
  kind: u32;
  /** Number of the device. */
  device: u32;
  /** Record of the slot of memory, whose log its writes belong to; 0 without. */
  record: u32;
  /** KVM_MEM_* bits of that slot; of a window KVM_MEM_LOG_DIRTY_PAGES if it is logged. */
  flags: u32;
  /** Address space of `origin`. */
  asId: u32;
  reserved0: u32;
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
export const HEADER_BYTES: u32 = 400;
export const READER_BYTES: u32 = 128;
export const ATTACHED_THREAD_BYTES: u32 = 32;
export const ROOT_BYTES: u32 = 128;
export const DIRECTORY_BYTES: u32 = 16;
export const STRUCTURE_BYTES: u32 = 16;
export const CHUNK_HEADER_BYTES: u32 = 64;
export const ENTRY_BYTES: u32 = 16;
export const CHUNK_BYTES: u32 = 576;
export const RECORD_BYTES: u32 = 32;
export const BITMAP_HEAD_BYTES: u32 = 16;
export const HOST_LOG_BYTES: u32 = 48;
export const EXTENT_BYTES: u32 = 48;
export const CONSUMER_BYTES: u32 = 16;
export const DIRTY_RING_BYTES: u32 = 128;
export const DIRTY_GFN_BYTES: u32 = 16;
export const TLB_BYTES: u32 = 32;
export const TLB_ENTRY_BYTES: u32 = 32;
export const WINDOW_TABLE_BYTES: u32 = 16;
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
if (offsetof<Header>("hostLog") != 384) ERROR("Header.hostLog must start a line");
if (offsetof<Header>("transaction") != 256) ERROR("Header.transaction must start a line");
if (offsetof<Reader>() != READER_BYTES) ERROR("Reader");
if (offsetof<AttachedThread>() != ATTACHED_THREAD_BYTES) ERROR("AttachedThread");
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
if (offsetof<HostLog>() != HOST_LOG_BYTES) ERROR("HostLog");
if (offsetof<Extent>() != EXTENT_BYTES) ERROR("Extent");
if (offsetof<Consumer>() != CONSUMER_BYTES) ERROR("Consumer");
if ((<u32>1) << PLACE_BITS != CONSUMERS_MAX) ERROR("PLACE_BITS");
if (offsetof<DirtyRing>() != DIRTY_RING_BYTES) ERROR("DirtyRing");
if (offsetof<DirtyRing>("resetIndex") != 64) ERROR("DirtyRing.resetIndex must be a line away");
if (offsetof<DirtyGfn>() != DIRTY_GFN_BYTES) ERROR("DirtyGfn must equal struct kvm_dirty_gfn");
if (offsetof<Tlb>() != TLB_BYTES) ERROR("Tlb");
if (offsetof<TlbEntry>() != TLB_ENTRY_BYTES) ERROR("TlbEntry");
if (offsetof<TlbEntry>("write") != 8 * TLB_WRITE) ERROR("TlbEntry.write");
if (offsetof<TlbEntry>("code") != 8 * TLB_CODE) ERROR("TlbEntry.code");
if (MARKED_AHEAD != (<u64>4) << DEPTH_BITS) ERROR("MARKED_AHEAD");
if (SECTIONS_SHIFT != DEPTH_BITS + 3) ERROR("SECTIONS_SHIFT");
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
