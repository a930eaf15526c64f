/**
 * Reader lines: who reads, and which root it has pinned.
 *
 * Invariants
 *  - A line that is pinned is owned. Only its owner's thread stores into it, apart from `request`.
 *  - Lines 0 .. maxVcpus - 1 are vCPUs; as many again serve the one-shot calls of attached threads.
 *  - Between enterSection and exitSection the pinned root, and all it reaches, does not change.
 *
 * Mirrors srcu_read_lock and srcu_read_unlock around KVM_RUN.
 */
import {
  claimOwner,
  decideDirtyRing,
  inheritGate,
  inheritOwner,
  observeGate,
  observeOwner,
  observePin,
  observeRequest,
  observeRoot,
  openGate,
  orphanLock,
  ownPin,
  pinRoot,
  postRequest,
  releaseGate,
  releaseOwner,
  sleepOnRoot,
  unpinRoot,
  wakeWriter,
} from "./atomic";
import {
  BATCH_BYTES,
  DEPTH_BITS,
  DIRTY_RING_NEVER,
  GATE_CLOSED,
  Header,
  READER_BYTES,
  Reader,
  Root,
} from "./layout";

/** Longest sleep at the gate; bounded, so that a lost wake-up costs this much and no more. */
const GATE_SLEEP_MS: i64 = 5;

/** Commit number that no layout has: nothing is cached. */
const NO_COMMIT: u64 = u64.MAX_VALUE;

const DEPTH_MASK: u64 = ((<u64>1) << DEPTH_BITS) - 1;
/** The outermost section was opened by enterVcpu, and its end will be seen. */
const BY_VCPU: u64 = (<u64>1) << DEPTH_BITS;
/** Inside of it enterSection was called: whose the section is that exitVcpu leaves open cannot be told. */
const MIXED: u64 = BY_VCPU << 1;
const OPENERS: u64 = BY_VCPU | MIXED;
/**
 * A section that is no nested one: counted, and open. One word for all of it, because each store between two pins is
 * one more that the next pin has to wait for.
 */
const FIRST_SECTION: u64 = (MIXED << 1) + 1;

/** Lines of an engine, those of the attached threads included. */
export function readerLines(header: usize): u32 {
  return changetype<Header>(header).maxVcpus << 1;
}

/** Claim a free line of lines [first, end) for `owner`. 0 if all are taken. */
function claimLine(header: usize, owner: u32, first: u32, end: u32, gated: u32): usize {
  const engine = changetype<Header>(header);
  for (let i = first; i < end; i++) {
    const reader: usize = engine.readers + i * READER_BYTES;
    if (!claimOwner(reader, owner)) continue;
    const line = changetype<Reader>(reader);
    line.header = <u32>header;
    line.pageShift = engine.pageShift;
    line.asId = 0;
    line.gated = gated;
    line.cacheCommit = NO_COMMIT;
    line.cacheBytes = 0;
    line.seenCommit = NO_COMMIT;
    line.nesting = 0;
    line.misses = 0;
    postRequest(reader, 0);
    return reader;
  }
  return 0;
}

/** Claim a vCPU's line; in an engine with dirty rings attachDirtyRing comes next. 0 if all maxVcpus are taken. */
export function claimVcpu(header: usize, owner: u32): usize {
  decideDirtyRing(header, DIRTY_RING_NEVER);
  return claimLine(header, owner, 0, changetype<Header>(header).maxVcpus, 1);
}

/** Claim the line for a thread's one-shot calls. 0 if as many threads as vCPUs hold one. */
export function claimThread(header: usize, owner: u32): usize {
  return claimLine(header, owner, changetype<Header>(header).maxVcpus, readerLines(header), 0);
}

/** Let the pin go, then the line; in the line of a dead owner `header` may not be written yet. */
function freeLine(header: usize, reader: usize): void {
  unpinRoot(reader);
  wakeWriter(header, reader);
  releaseOwner(reader);
}

/** Leave any section and give the line back. */
export function releaseReader(reader: usize): void {
  changetype<Reader>(reader).nesting &= ~(DEPTH_MASK | OPENERS);
  freeLine(changetype<Reader>(reader).header, reader);
}

/** Scratch area of a line: BATCH_BYTES for batches and iterators. */
export function batchOf(reader: usize): usize {
  const engine = changetype<Header>(changetype<Reader>(reader).header);
  return engine.batch + ((<u32>reader - engine.readers) / READER_BYTES) * BATCH_BYTES;
}

/** Sleep until the gate may be open. True if the line's own thread has closed it, which then cannot open it. */
function awaitGate(reader: usize, word: u32): bool {
  const line = changetype<Reader>(reader);
  if (observeGate(line.header) == observeOwner(reader)) return true;
  sleepOnRoot(line.header, word, GATE_SLEEP_MS);
  return false;
}

/** The pinned root. The cached slot is kept if it is of this layout. */
function keepCache(reader: usize, root: usize): usize {
  const line = changetype<Reader>(reader);
  const commit = changetype<Root>(root).commit;
  if (line.cacheCommit != commit) {
    line.cacheCommit = commit;
    line.cacheBytes = 0;
  }
  return root;
}

/** pinNewest once the gate is closed, or the root was replaced between the two looks at it. */
function pinAgain(reader: usize): usize {
  const line = changetype<Reader>(reader);
  let gate: u32 = line.gated;
  while (true) {
    // A writer may be asleep on the pin that the next one replaces.
    unpinRoot(reader);
    wakeWriter(line.header, reader);
    const word = observeRoot(line.header);
    if (word & gate) {
      if (awaitGate(reader, word)) gate = 0;
      continue;
    }
    pinRoot(reader, word & ~GATE_CLOSED);
    if (observeRoot(line.header) == word) return keepCache(reader, word & ~GATE_CLOSED);
  }
}

/** Pin the published root, behind the gate for a vCPU, whose `gated` is 1; what was pinned before is let go. */
function pinNewest(reader: usize, gated: u32): usize {
  const line = changetype<Reader>(reader);
  const word = observeRoot(line.header);
  if ((word & gated) == 0) {
    pinRoot(reader, word & ~GATE_CLOSED);
    if (observeRoot(line.header) == word) return keepCache(reader, word & ~GATE_CLOSED);
  }
  return pinAgain(reader);
}

/** 1 if the layout is another than at the last look. */
function noteCommit(reader: usize, root: usize): u32 {
  const commit = changetype<Root>(root).commit;
  if (commit == changetype<Reader>(reader).seenCommit) return 0;
  changetype<Reader>(reader).seenCommit = commit;
  return 1;
}

/**
 * Begin a section, or nest into the open one, for lookups of our own: the caller's next enterSection still tells
 * whether the layout has changed since its last.
 */
export function openSection(reader: usize): void {
  const line = changetype<Reader>(reader);
  const nesting = line.nesting;
  line.nesting = nesting + 1;
  if (nesting & DEPTH_MASK) return;
  const gated = line.gated;
  inline.always(pinNewest(reader, gated));
}

function enter(reader: usize, first: u64, nested: u64, gated: u32): u32 {
  const line = changetype<Reader>(reader);
  const nesting = line.nesting;
  if (nesting & DEPTH_MASK) {
    line.nesting = (nesting | nested) + 1;
    return 0;
  }
  // Before the pin: who publishes and then asks would else lose the request to a section of the old layout.
  if (observeRequest(reader) != 0) postRequest(reader, 0);
  line.nesting = nesting + first;
  return noteCommit(reader, inline.always(pinNewest(reader, gated)));
}

/** Begin a section, or nest into the open one. 1 if the layout changed since the last section. */
export function enterSection(reader: usize): u32 {
  const gated = changetype<Reader>(reader).gated;
  return inline.always(enter(reader, FIRST_SECTION, MIXED, gated));
}

/** The same for callers who keep what they derive from the layout, and drop it when they see this section end. */
export function enterVcpu(reader: usize): u32 {
  return inline.always(enter(reader, FIRST_SECTION | BY_VCPU, 0, 1));
}

/** True while a section is open that enterVcpu has begun and exitVcpu will end. */
export function insideVcpu(reader: usize): bool {
  return (changetype<Reader>(reader).nesting & BY_VCPU) != 0;
}

function depthOf(nesting: u64): u32 {
  return <u32>nesting & <u32>DEPTH_MASK;
}

/** End the section whose innermost nesting is the only one. */
function exitOutermost(reader: usize, nesting: u64): void {
  const line = changetype<Reader>(reader);
  line.nesting = (nesting - 1) & ~OPENERS;
  unpinRoot(reader);
  wakeWriter(line.header, reader);
}

/** End the innermost nesting of several, or nothing if there is no section. */
function exitNested(reader: usize, nesting: u64): void {
  if (depthOf(nesting) != 0) changetype<Reader>(reader).nesting = nesting - 1;
}

/** End a section, or its innermost nesting. */
export function exitSection(reader: usize): void {
  const nesting = changetype<Reader>(reader).nesting;
  if (depthOf(nesting) == 1) inline.always(exitOutermost(reader, nesting));
  else exitNested(reader, nesting);
}

/** The same; insideVcpu from then on. */
export function exitVcpu(reader: usize): bool {
  const line = changetype<Reader>(reader);
  const nesting = line.nesting;
  if (depthOf(nesting) == 1) {
    inline.always(exitOutermost(reader, nesting));
    return false;
  }
  exitNested(reader, nesting);
  if (line.nesting & MIXED) line.nesting &= ~OPENERS;
  return insideVcpu(reader);
}

/** Inside a section: move to the newest layout. 1 if it is another one. */
export function refreshSection(reader: usize): u32 {
  if (ownPin(reader) == 0) return 0;
  const old = ownPin(reader);
  const root = pinNewest(reader, changetype<Reader>(reader).gated);
  if (old != root) wakeWriter(changetype<Reader>(reader).header, reader);
  return noteCommit(reader, root);
}

/** Address space that the line's lookups use; its cached slot belongs to another one. */
export function setAddressSpace(reader: usize, asId: u32): bool {
  if (asId >= changetype<Header>(changetype<Reader>(reader).header).addressSpaces) return false;
  changetype<Reader>(reader).asId = asId;
  changetype<Reader>(reader).cacheBytes = 0;
  return true;
}

/** A reader that has `root` pinned, 0 if there is none. */
export function readerOf(header: usize, root: usize): usize {
  const lines = readerLines(header);
  let reader: usize = changetype<Header>(header).readers;
  for (let i: u32 = 0; i < lines; i++) {
    if (observePin(reader) == root) return reader;
    reader += READER_BYTES;
  }
  return 0;
}

/** A vCPU of another thread than `owner` that is inside a section, 0 if there is none. */
export function vcpuInside(header: usize, owner: u32): usize {
  const engine = changetype<Header>(header);
  let reader: usize = engine.readers;
  for (let i: u32 = 0; i < engine.maxVcpus; i++) {
    if (observePin(reader) != 0 && observeOwner(reader) != owner) return reader;
    reader += READER_BYTES;
  }
  return 0;
}

/** Ask every vCPU to leave its section. Mirrors kvm_make_all_cpus_request. */
export function kickVcpus(header: usize): void {
  const engine = changetype<Header>(header);
  for (let i: u32 = 0; i < engine.maxVcpus; i++) postRequest(engine.readers + i * READER_BYTES, 1);
}

/** 1 if the vCPU was asked to leave its section since it entered. */
export function vcpuKicked(reader: usize): u32 {
  return observeRequest(reader);
}

/** Sections that the line has entered since it was claimed. */
export function sectionCount(reader: usize): f64 {
  return <f64>(changetype<Reader>(reader).nesting >> (DEPTH_BITS + 2));
}

/** Lookups of the line that found no slot since then. */
export function missCount(reader: usize): f64 {
  return <f64>changetype<Reader>(reader).misses;
}

/**
 * The thread with token `dead` is gone: free its reader lines, open its gate, and leave its lock to the next
 * writer, which will rebuild what it may have left half-written. The caller has proof of death. Each thing is
 * taken over under `owner`, the caller's token, first: of two reapers one gets it, and one that dies is
 * reaped in turn. Returns the lines freed.
 */
export function reapOwner(header: usize, owner: u32, dead: u32): u32 {
  const lines = readerLines(header);
  let freed: u32 = 0;
  for (let i: u32 = 0; i < lines; i++) {
    const reader: usize = changetype<Header>(header).readers + i * READER_BYTES;
    if (!inheritOwner(reader, dead, owner)) continue;
    freeLine(header, reader);
    freed++;
  }
  if (inheritGate(header, dead, owner)) {
    openGate(header);
    releaseGate(header);
  }
  orphanLock(header, dead);
  return freed;
}

/** True if a line of `owner` is inside a section. */
export function ownSectionOpen(header: usize, owner: u32): bool {
  const lines = readerLines(header);
  let reader: usize = changetype<Header>(header).readers;
  for (let i: u32 = 0; i < lines; i++) {
    if (observePin(reader) != 0 && observeOwner(reader) == owner) return true;
    reader += READER_BYTES;
  }
  return false;
}
