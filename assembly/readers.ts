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
  ALL,
  claimOwner,
  countOpening,
  decideDirtyRing,
  endHurry,
  inheritGate,
  inheritOwner,
  observeGate,
  observeOpenings,
  observeOwner,
  observePin,
  observeRequest,
  observeRoot,
  observeRootAfterLoads,
  observeWait,
  openGate,
  orphanLock,
  ownPin,
  pinRoot,
  postRequest,
  releaseGate,
  releaseOwner,
  sleepAtGate,
  unpinRoot,
  wakeWriter,
} from "./atomic";
import { settleKeptMarks } from "./hostmarks";
import {
  BATCH_BYTES,
  DEPTH_BITS,
  DIRTY_RING_NEVER,
  GATE_CLOSED,
  Header,
  HURRY,
  MAGIC,
  MARKED_AHEAD,
  OWNERS_PER_THREAD,
  READER_BYTES,
  Reader,
  ROOT_BITS,
  Root,
  SECTIONS_SHIFT,
  WAIT_HURRY,
} from "./layout";
import { flushTlb, forgetTaken, releaseTlb, settleMarks } from "./tlb";

/** Longest sleep at the gate; bounded, so that a lost wake-up costs this much and no more. */
const GATE_SLEEP_MS: i64 = 5;
/**
 * Longest time that a hurry holds a section: some turns of a processor, for the reader that the writer waits for. If
 * that one waits in its section for a vCPU that is held, it goes on after this time.
 */
const HURRY_MS: i64 = 50;

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
const FIRST_SECTION: u64 = ((<u64>1) << SECTIONS_SHIFT) + 1;

/**
 * Claim a vCPU's line; in an engine with dirty rings attachDirtyRing comes next. 0 if all maxVcpus are taken.
 * `sleeps`: 1 if the calling thread may sleep, so that a writer in a hurry may hold the vCPU; else 0.
 */
export function claimVcpu(header: usize, owner: u32, sleeps: u32): usize {
  decideDirtyRing(header, DIRTY_RING_NEVER);
  const gates = sleeps != 0 ? GATE_CLOSED | HURRY : GATE_CLOSED;
  return claimLine(header, owner, 0, changetype<Header>(header).maxVcpus, gates);
}

/** Claim the line for a thread's one-shot calls. 0 if as many threads as vCPUs hold one. */
export function claimThread(header: usize, owner: u32): usize {
  return claimLine(header, owner, changetype<Header>(header).maxVcpus, readerLines(header), 0);
}

/** Claim a free line of lines [first, end) for `owner`. 0 if all are taken. */
function claimLine(header: usize, owner: u32, first: u32, end: u32, gates: u32): usize {
  const engine = changetype<Header>(header);
  for (let i = first; i < end; i++) {
    const reader: usize = engine.readers + i * READER_BYTES;
    if (!claimOwner(reader, owner)) continue;
    const line = changetype<Reader>(reader);
    line.header = <u32>header;
    line.pageShift = engine.pageShift;
    line.asId = 0;
    line.gates = gates;
    line.keepsMarks = 0;
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

/**
 * Begin a section, or nest into the open one, for lookups of our own: the caller's next enterSection still tells
 * whether the layout has changed since its last.
 */
export function openSection(reader: usize): void {
  const line = changetype<Reader>(reader);
  let nesting = line.nesting;
  if (nesting & (DEPTH_MASK | MARKED_AHEAD)) nesting = beginOther(reader);
  line.nesting = nesting + 1;
  if (nesting & DEPTH_MASK) return;
  const gates = line.gates;
  keepCache(reader, inline.always(pinNewest(reader, gates)));
}

/**
 * The newest layout, pinned for one lookup of a line that has no section open; unpinAlone ends it. No section is
 * counted: the two stores less are a tenth of a lookup.
 */
export function pinAlone(reader: usize): usize {
  const line = changetype<Reader>(reader);
  if (line.nesting & MARKED_AHEAD) beginOther(reader);
  const gates = line.gates;
  return keepCache(reader, inline.always(pinNewest(reader, gates)));
}

/** The lookup is over. */
export function unpinAlone(reader: usize): void {
  unpinRoot(reader);
  tellWriter(changetype<Reader>(reader).header, reader);
}

/** Begin a section, or nest into the open one. 1 if the layout changed since the last section. */
export function enterSection(reader: usize): u32 {
  if (beginsOtherwise(reader) && nest(reader, MIXED)) return 0;
  const gates = changetype<Reader>(reader).gates;
  return inline.always(noteCommit(reader, inline.always(begin(reader, FIRST_SECTION, gates))));
}

/**
 * The same for callers who keep what they derive from the layout, and drop it when they see this section end. Returns
 * 1 + the commit number of the layout, below 0 if it changed since the last section; 0 for a nested section.
 */
export function enterVcpu(reader: usize): f64 {
  if (beginsOtherwise(reader) && nest(reader, 0)) return 0;
  const root = inline.always(begin(reader, FIRST_SECTION | BY_VCPU, ROOT_BITS));
  const commit = changetype<Root>(root).commit;
  if (commit != changetype<Reader>(reader).seenCommit) return -1 - <f64>noteChange(reader, commit);
  // Signed, which is one instruction: no commit number is so large.
  return <f64>(<i64>commit + 1);
}

/** True if a section is open, or its line has marks ahead: one test for both. */
function beginsOtherwise(reader: usize): bool {
  return (changetype<Reader>(reader).nesting & (DEPTH_MASK | MARKED_AHEAD)) != 0;
}

/** Nest into the open section. False if there is none: then the marks ahead that were taken are forgotten. */
function nest(reader: usize, nested: u64): bool {
  const line = changetype<Reader>(reader);
  if ((line.nesting & DEPTH_MASK) == 0) {
    forgetTaken(reader);
    return false;
  }
  line.nesting = (line.nesting | nested) + 1;
  return true;
}

/**
 * Begin a section: the root that is pinned. The caller notes its commit number: that settles the cache too, which is
 * never of an older layout than the last one noted.
 */
function begin(reader: usize, first: u64, gates: u32): usize {
  // Before the pin: who publishes and then asks would else lose the request to a section of the old layout.
  if (observeRequest(reader) != 0) postRequest(reader, 0);
  changetype<Reader>(reader).nesting += first;
  return inline.always(pinNewest(reader, gates));
}

/** Before a section that is nested, or has marks ahead, those of which that were taken are forgotten: `nesting`. */
function beginOther(reader: usize): u64 {
  const line = changetype<Reader>(reader);
  if ((line.nesting & DEPTH_MASK) == 0) forgetTaken(reader);
  return line.nesting;
}

/** End a section, or its innermost nesting. */
export function exitSection(reader: usize): void {
  const nesting = changetype<Reader>(reader).nesting;
  if (endsPlainly(nesting)) inline.always(exitOutermost(reader, nesting));
  else exitOther(reader, nesting);
}

/** The same; insideVcpu from then on. */
export function exitVcpu(reader: usize): bool {
  const line = changetype<Reader>(reader);
  const nesting = line.nesting;
  if (endsPlainly(nesting)) {
    inline.always(exitOutermost(reader, nesting));
    return false;
  }
  exitOther(reader, nesting);
  if (line.nesting & MIXED) line.nesting &= ~OPENERS;
  return insideVcpu(reader);
}

/** End the section whose innermost nesting is the only one. */
function exitOutermost(reader: usize, nesting: u64): void {
  const line = changetype<Reader>(reader);
  // Before the store, for which every load behind it waits.
  const header: usize = line.header;
  line.nesting = (nesting - 1) & ~OPENERS;
  unpinRoot(reader);
  tellWriter(header, reader);
}

/** True if one section is open, and nothing is to be done before its end: one test for both. */
function endsPlainly(nesting: u64): bool {
  return (<u32>nesting & <u32>(DEPTH_MASK | MARKED_AHEAD)) == 1;
}

/** End the innermost nesting of several, or a section whose marks are to be settled, or nothing if there is none. */
function exitOther(reader: usize, nesting: u64): void {
  const depth = <u32>nesting & <u32>DEPTH_MASK;
  if (depth == 1) {
    settleMarks(reader);
    exitOutermost(reader, changetype<Reader>(reader).nesting);
  } else if (depth != 0) changetype<Reader>(reader).nesting = nesting - 1;
}

/** True while a section is open that enterVcpu has begun and exitVcpu will end. */
export function insideVcpu(reader: usize): bool {
  return (changetype<Reader>(reader).nesting & BY_VCPU) != 0;
}

/** Inside a section: move to the newest layout. 1 if it is another one. */
export function refreshSection(reader: usize): u32 {
  if (ownPin(reader) == 0) return 0;
  settleMarks(reader);
  const old = ownPin(reader);
  const root = keepCache(reader, pinNewest(reader, changetype<Reader>(reader).gates));
  if (old != root) tellWriter(changetype<Reader>(reader).header, reader);
  return noteCommit(reader, root);
}

/**
 * A pinned layout for one access: its commit number n, in a section that this call has opened and exitSection ends; or
 * -1 - n in the section that enterVcpu has begun; then nothing was opened. One call, because JavaScript makes it for
 * each access outside of sections.
 */
export function openAccess(reader: usize): f64 {
  const line = changetype<Reader>(reader);
  const nesting = line.nesting;
  if (nesting & BY_VCPU) return -1 - <f64>changetype<Root>(ownPin(reader)).commit;
  line.nesting = nesting + 1;
  if (nesting & DEPTH_MASK) return <f64>changetype<Root>(ownPin(reader)).commit;
  const gates = line.gates;
  return <f64>changetype<Root>(keepCache(reader, inline.always(pinNewest(reader, gates)))).commit;
}

/**
 * Outside of sections, behind loads from what an earlier access has found: the commit number of the newest layout. If
 * it is that of the earlier access, they were loads of that layout, because no number comes twice; else they count for
 * nothing. -1 in a section, or at a closed gate. Half as dear as a section, which has to tell writers that it is there.
 */
export function commitAfterLoads(reader: usize): f64 {
  const line = changetype<Reader>(reader);
  if (line.nesting & DEPTH_MASK) return -1;
  const word = observeRootAfterLoads(line.header, reader);
  if (word & line.gates) return -1;
  return <f64>changetype<Root>(<usize>(word & ~ROOT_BITS)).commit;
}

/**
 * Leave the section with all its nestings, as KVM_RUN returns for an MMIO exit. Returns what resumeSection takes, 0 if
 * there is no section.
 */
export function suspendSection(reader: usize): u32 {
  const line = changetype<Reader>(reader);
  if (line.nesting & MARKED_AHEAD) settleMarks(reader);
  const open = line.nesting & (DEPTH_MASK | OPENERS);
  if (open == 0) return 0;
  line.nesting ^= open;
  unpinRoot(reader);
  tellWriter(line.header, reader);
  return <u32>open;
}

/**
 * Begin the section again that suspendSection has left, as deep as it was and in the newest layout; a section that was
 * left open since is part of it. The next enterSection or refreshSection still tells that the layout is another one.
 * Returns the commit number of the layout.
 */
export function resumeSection(reader: usize, open: u32): f64 {
  const line = changetype<Reader>(reader);
  if (line.nesting & MARKED_AHEAD) settleMarks(reader);
  line.nesting = (line.nesting & ~(DEPTH_MASK | OPENERS)) | open;
  const old = ownPin(reader);
  const gates = line.gates;
  const root = keepCache(reader, inline.always(pinNewest(reader, gates)));
  if (old != 0 && old != root) tellWriter(line.header, reader);
  return <f64>changetype<Root>(root).commit;
}

/**
 * Pin the published root, once it has none of the bits in `gates`, which holds at least the line's own; what was
 * pinned before is let go.
 */
function pinNewest(reader: usize, gates: u32): usize {
  // Once: loads behind the store of the pin wait for it, and this one and the root one after the other.
  const header: usize = changetype<Reader>(reader).header;
  const word = observeRoot(header);
  if ((word & gates) == 0) {
    pinRoot(reader, word & ~ROOT_BITS);
    if (observeRoot(header) == word) return word & ~ROOT_BITS;
  }
  return pinAgain(reader);
}

/**
 * pinNewest once a gate is closed, or the root was replaced between the two looks at it. A line whose gates are damaged
 * has other bits there, which no writer ever opens.
 */
function pinAgain(reader: usize): usize {
  const line = changetype<Reader>(reader);
  let gates: u32 = line.gates & ROOT_BITS;
  while (true) {
    // A writer may be asleep on the pin that the next one replaces.
    unpinRoot(reader);
    tellWriter(line.header, reader);
    const openings = observeOpenings(line.header);
    const word = observeRoot(line.header);
    if (word & gates) {
      gates = awaitGate(reader, word & gates, openings) & ROOT_BITS;
      continue;
    }
    pinRoot(reader, word & ~ROOT_BITS);
    if (observeRoot(line.header) == word) return word & ~ROOT_BITS;
  }
}

/** After the line's pin has changed: wake the writer that may sleep on it, or end the hurry of one that does not. */
function tellWriter(header: usize, reader: usize): void {
  const waiting = observeWait(header);
  if (waiting != 0) tellWaiting(header, reader, waiting);
}

function tellWaiting(header: usize, reader: usize, waiting: u32): void {
  wakeWriter(reader);
  if (waiting == WAIT_HURRY && readerBehind(header, 0, false) == 0) endHurry(header);
}

/** Sleep until the bits in `closed` may be gone from the root. Returns the gates that the section waits at still. */
function awaitGate(reader: usize, closed: u32, openings: u32): u32 {
  const line = changetype<Reader>(reader);
  // Damage: nobody opens the gate of what is no engine.
  if (changetype<Header>(line.header).magic != MAGIC) unreachable();
  if (closed & GATE_CLOSED) {
    const holder = observeGate(line.header);
    // The line's own thread has closed it, and could not open it.
    if (sameThread(holder, observeOwner(reader))) return line.gates & ~GATE_CLOSED;
    // An owner takes the gate before it closes, and opens before it leaves: closed without owner or opening is damage.
    if (holder == 0 && observeOpenings(line.header) == openings) openGate(line.header, ALL);
    sleepAtGate(line.header, openings, GATE_SLEEP_MS);
    return line.gates;
  }
  // Nobody has ended it: the writer died, or the reader that it waits for does not leave.
  if (!sleepAtGate(line.header, openings, HURRY_MS)) endHurry(line.header);
  return line.gates & ~HURRY;
}

/** The pinned root, for who does not note its commit number. The cached slot is kept if it is of this layout. */
function keepCache(reader: usize, root: usize): usize {
  const line = changetype<Reader>(reader);
  const commit = changetype<Root>(root).commit;
  if (line.cacheCommit != commit) {
    line.cacheCommit = commit;
    line.cacheBytes = 0;
  }
  return root;
}

/** 1 if the layout is another than at the last look. */
function noteCommit(reader: usize, root: usize): u32 {
  const commit = changetype<Root>(root).commit;
  if (commit == changetype<Reader>(reader).seenCommit) return 0;
  noteChange(reader, commit);
  return 1;
}

/** The layout is another one: what the TLB and the cache have is of an older one. Returns its commit number. */
function noteChange(reader: usize, commit: u64): u64 {
  const line = changetype<Reader>(reader);
  line.seenCommit = commit;
  line.cacheCommit = commit;
  line.cacheBytes = 0;
  flushTlb(reader);
  return commit;
}

/** Address space that the line's lookups use; its cached slot belongs to another one. */
export function setAddressSpace(reader: usize, asId: u32): bool {
  if (asId >= changetype<Header>(changetype<Reader>(reader).header).addressSpaces) return false;
  settleMarks(reader);
  flushTlb(reader);
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

/** The published root. */
export function publishedRoot(header: usize): usize {
  return observeRoot(header) & ~ROOT_BITS;
}

/**
 * A line with a replaced layout pinned, 0 if there is none: with `own` one of the thread of `owner`, else one of
 * another.
 */
export function readerBehind(header: usize, owner: u32, own: bool): usize {
  const root = publishedRoot(header);
  const lines = readerLines(header);
  let reader: usize = changetype<Header>(header).readers;
  for (let i: u32 = 0; i < lines; i++) {
    const pin = observePin(reader);
    if (pin != 0 && pin != root && sameThread(observeOwner(reader), owner) == own) return reader;
    reader += READER_BYTES;
  }
  return 0;
}

/** A vCPU of another thread than `owner` that is inside a section, 0 if there is none. */
export function vcpuInside(header: usize, owner: u32): usize {
  const engine = changetype<Header>(header);
  let reader: usize = engine.readers;
  for (let i: u32 = 0; i < engine.maxVcpus; i++) {
    if (observePin(reader) != 0 && !sameThread(observeOwner(reader), owner)) return reader;
    reader += READER_BYTES;
  }
  return 0;
}

/** Whether two owner tokens are those of one thread. */
export function sameThread(a: u32, b: u32): bool {
  return (a ^ b) < OWNERS_PER_THREAD;
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
  return <f64>(changetype<Reader>(reader).nesting >> SECTIONS_SHIFT);
}

/** Lookups of the line that found no slot since then. */
export function missCount(reader: usize): f64 {
  return <f64>changetype<Reader>(reader).misses;
}

/**
 * The thread with token `dead` is gone: free its reader lines, open its gate, end its hurry, and leave its lock to
 * the next writer, which will rebuild what it may have left half-written. The caller has proof of death. Lines, gate
 * and lock are taken over under `owner`, the caller's token, first: of two reapers one gets them, and one that dies is
 * reaped in turn. Returns the lines freed.
 */
export function reapOwner(header: usize, owner: u32, dead: u32): u32 {
  const lines = readerLines(header);
  let freed: u32 = 0;
  for (let i: u32 = 0; i < lines; i++) {
    const reader: usize = changetype<Header>(header).readers + i * READER_BYTES;
    if (!inheritOwner(reader, dead, owner)) continue;
    settleKeptMarks(reader);
    freeLine(header, reader);
    freed++;
  }
  if (inheritGate(header, dead, owner)) {
    openGate(header, ALL);
    releaseGate(header);
  }
  // It may have been the dead thread's, or one that it has ended without a word to the sleepers.
  endHurry(header);
  countOpening(header, ALL);
  orphanLock(header, dead);
  return freed;
}

/** Let the pin go, then the line; in the line of a dead owner `header` may not be written yet. */
function freeLine(header: usize, reader: usize): void {
  releaseTlb(reader);
  unpinRoot(reader);
  tellWriter(header, reader);
  releaseOwner(reader);
}

/** True if a line of the thread of `owner` is inside a section. */
export function ownSectionOpen(header: usize, owner: u32): bool {
  const lines = readerLines(header);
  let reader: usize = changetype<Header>(header).readers;
  for (let i: u32 = 0; i < lines; i++) {
    if (observePin(reader) != 0 && sameThread(observeOwner(reader), owner)) return true;
    reader += READER_BYTES;
  }
  return false;
}

/** Lines of an engine, those of the attached threads included. */
export function readerLines(header: usize): u32 {
  return changetype<Header>(header).maxVcpus << 1;
}
