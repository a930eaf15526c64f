/**
 * Every atomic access of the engine, as a word of its protocol. All are sequentially consistent, the only
 * order that AssemblyScript emits; the build for unshared memory has one thread and turns them into plain
 * accesses.
 *
 * The shape is a hazard pointer on the root. A reader stores the root into its own pin and then looks whether
 * that root is still the published one; a writer stores the new root and then looks at all pins. Both store
 * before they load, so at least one of the two sees the other: either the reader notices that its root was
 * replaced and starts again, or the writer sees the pin and waits. docs/memory-order.md has all pairs in one
 * table.
 *
 * Layer 1: imports nothing but the map.
 */
import {
  DIRTY_GFN_DIRTY,
  DIRTY_GFN_HARVESTED,
  DirtyRing,
  GATE_CLOSED,
  Header,
  HURRY,
  OWNERS_PER_THREAD,
  Reader,
  RING_OVERFLOW_MISSED,
  RING_OVERFLOW_TOLD,
  ROOT_BITS,
  WAIT_HURRY,
} from "./layout";

/** What memory.atomic.wait32 returns when its time is over. */
const TIMED_OUT: i32 = 2;
/** To memory.atomic.notify: whoever sleeps. */
export const ALL: i32 = -1;

/**
 * Orders:      everything written into the private copies, before the pointer to them.
 * Pairs with:  observeRoot.
 * Otherwise:   a reader could follow the new root into chunks and records that do not hold their content yet.
 * Checked by:  protocol model "publish before build", test/stress.
 *
 * An exchange in a loop, because others may change the bits of the root at the same time: a reaper opens the gate
 * of a dead owner, a reader ends a hurry.
 */
export function publishRoot(header: usize, root: usize): void {
  let word = atomic.load<u32>(header, offsetof<Header>("root"));
  while (true) {
    const seen = atomic.cmpxchg<u32>(header, word, <u32>root | (word & ROOT_BITS), offsetof<Header>("root"));
    if (seen == word) break;
    word = seen;
  }
}

/**
 * Orders:      the closed gate, before the look at the pins of all vCPUs.
 * Pairs with:  the second look at the root in a vCPU's enterSection.
 * Otherwise:   a vCPU enters on the old layout after the writer has counted it out, and another one enters on
 *              the new.
 * Checked by:  protocol model "gate ignored".
 */
export function closeGate(header: usize): void {
  atomic.or<u32>(header, GATE_CLOSED, offsetof<Header>("root"));
}

/**
 * Orders:      the publication, before the open gate; and wakes `wakes` of those who wait at it.
 * Pairs with:  closeGate, sleepAtGate.
 * Otherwise:   vCPUs enter on the layout that the barrier was to end.
 * Checked by:  protocol model "gate opened before publication".
 */
export function openGate(header: usize, wakes: i32): void {
  atomic.and<u32>(header, ~GATE_CLOSED, offsetof<Header>("root"));
  countOpening(header, wakes);
}

/** Have vCPUs wait before their next section. Only the writer's time depends on it, so it needs no owner. */
export function beginHurry(header: usize): void {
  atomic.or<u32>(header, HURRY, offsetof<Header>("root"));
}

/**
 * Let the vCPUs go that a hurry holds. Any thread may, at any time; of several, one wakes them: as many as there are
 * processors, because the commit has to return, and more could not run. They wake the others.
 *
 * Orders:      nothing: a vCPU that enters too early is a reader of the newest layout.
 * Pairs with:  beginHurry, sleepAtGate.
 * Otherwise:   vCPUs sleep HURRY_MS for nothing.
 * Checked by:  protocol model "hurry without end".
 */
export function endHurry(header: usize): void {
  atomic.cmpxchg<u32>(header, WAIT_HURRY, 0, offsetof<Header>("waiting"));
  const word = atomic.and<u32>(header, ~HURRY, offsetof<Header>("root"));
  if (word & HURRY) countOpening(header, <i32>changetype<Header>(header).processors);
}

/**
 * Orders:      the bit that is gone from the root, before the count; and wakes `wakes` of those who sleep at either
 *              gate.
 * Pairs with:  observeOpenings, which comes before the look at the root.
 * Otherwise:   a vCPU that has seen the bit goes to sleep behind the notify, and sleeps for its whole time.
 * Checked by:  protocol model "opening not counted".
 */
export function countOpening(header: usize, wakes: i32): void {
  atomic.add<u32>(header, 1, offsetof<Header>("openings"));
  atomic.notify(header + offsetof<Header>("openings"), wakes);
}

/**
 * Orders:      the count of openings, before the look at the root that finds a gate closed.
 * Pairs with:  countOpening.
 * Otherwise:   an opening between the two looks is slept through.
 * Checked by:  protocol model "openings counted late".
 */
export function observeOpenings(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("openings"));
}

/**
 * Sleep until there were more than `openings`: true; or for `ms`: false. Not on the root: a publication behind a
 * closed gate would wake all sleepers for nothing.
 *
 * Whoever is woken wakes one more. Those who have slept longest are woken first, so a wake-up that is left over when
 * all have gone finds sleepers at a gate that was closed since: they sleep again, and wake nobody.
 *
 * Pairs with:  countOpening.
 * Otherwise:   vCPUs sleep for their whole time at an open gate.
 * Checked by:  protocol model "wake-up not passed on".
 */
export function sleepAtGate(header: usize, openings: u32, ms: i64): bool {
  const word = header + offsetof<Header>("openings");
  while (observeOpenings(header) == openings) {
    if (sleepOnWord(word, <i32>openings, ms * 1000000) == TIMED_OUT) return false;
  }
  atomic.notify(word, 1);
  return true;
}

/** Take the gate for `owner`: a compare-and-swap, so that one thread has it. Pairs with releaseGate. */
export function claimGate(header: usize, owner: u32): bool {
  return atomic.cmpxchg<u32>(header, 0, owner, offsetof<Header>("gateOwner")) == 0;
}

/** Owner of the gate, 0 if it is open. Exact for the owner itself. */
export function observeGate(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("gateOwner"));
}

/** The gate is open and may be taken again. After openGate, so that no two owners meet. */
export function releaseGate(header: usize): void {
  atomic.store<u32>(header, 0, offsetof<Header>("gateOwner"));
}

/**
 * Wake who waits for a publication. A count left behind by the dead costs a needless notify. Pairs with
 * countObserver.
 */
export function wakeObservers(header: usize): void {
  if (atomic.load<u32>(header, offsetof<Header>("observers")) != 0) {
    atomic.notify(header + offsetof<Header>("root"), ALL);
  }
}

/** Count this thread among the observers while it waits outside of wasm, `by` +1 or -1. */
export function countObserver(header: usize, by: i32): void {
  atomic.add<u32>(header, <u32>by, offsetof<Header>("observers"));
}

/**
 * Orders:      the load of the root, before every load through it; in enterSection also after the store of
 *              the pin.
 * Pairs with:  publishRoot, pinRoot.
 * Otherwise:   see pinRoot.
 * Checked by:  protocol model "no second look at the root".
 *
 * The word has ROOT_BITS besides; publishedRoot takes them off.
 */
export function observeRoot(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("root"));
}

/**
 * Orders:      the store of the pin, before the second look at the root.
 * Pairs with:  observePin of a writer, which looks at the pins after publishRoot.
 * Otherwise:   the reader loads root A, is preempted; the writer publishes B, finds no pin and recycles A;
 *              the reader stores its pin and reads recycled chunks.
 * Checked by:  protocol model "pin after look", test/stress --break grace.
 */
export function pinRoot(reader: usize, root: usize): void {
  atomic.store<u32>(reader, <u32>root, offsetof<Reader>("pin"));
}

/**
 * Orders:      every load of the section, before the pin is gone.
 * Pairs with:  observePin.
 * Otherwise:   the writer recycles a chunk while the last lookup of the section is still in it.
 * Checked by:  protocol model "unpin early".
 */
export function unpinRoot(reader: usize): void {
  atomic.store<u32>(reader, 0, offsetof<Reader>("pin"));
}

/**
 * Orders:      every load from guest memory before, before this load of the root. A store to a pin that is 0 already:
 *              the core has no fence, and a load orders only what comes behind it.
 * Pairs with:  publishRoot, after which the writer waits, and the caller may use the host memory of the old layout for
 *              something else.
 * Otherwise:   the loads see what that host memory is used for next, and pass for loads of the guest's.
 * Checked by:  loads model "loads before the look".
 */
export function observeRootAfterLoads(header: usize, reader: usize): u32 {
  atomic.store<u32>(reader, 0, offsetof<Reader>("pin"));
  return atomic.load<u32>(header, offsetof<Header>("root"));
}

/**
 * The reader's look at its own pin. Plain: only this thread stores it while the owner lives, and a thread
 * sees its own stores. A stale value is impossible, so it errs to no side.
 */
export function ownPin(reader: usize): usize {
  return load<u32>(reader, offsetof<Reader>("pin"));
}

/**
 * Orders:      the look at a pin, after publishRoot and before anything is recycled.
 * Pairs with:  pinRoot, unpinRoot.
 * Otherwise:   see there. A stale non-zero pin only delays recycling.
 * Checked by:  protocol model "no grace period".
 */
export function observePin(reader: usize): usize {
  return atomic.load<u32>(reader, offsetof<Reader>("pin"));
}

/**
 * Orders:      the claim of a free reader line, before its first use.
 * Pairs with:  releaseOwner.
 * Otherwise:   two threads would pin through one line, and the second exit would unpin the first.
 * Checked by:  protocol model "claim without compare".
 */
export function claimOwner(reader: usize, owner: u32): bool {
  return atomic.cmpxchg<u32>(reader, 0, owner, offsetof<Reader>("owner")) == 0;
}

/**
 * Orders:      the take-over of a dead thread's line, before the line is freed.
 * Pairs with:  claimOwner, and inheritOwner of another reaper.
 * Otherwise:   of two reapers of one dead thread the late one would unpin whoever has claimed the line since.
 * Checked by:  protocol model "reap without compare".
 */
export function inheritOwner(reader: usize, dead: u32, owner: u32): bool {
  return atomic.cmpxchg<u32>(reader, dead, owner, offsetof<Reader>("owner")) == dead;
}

/** The same for the gate that a dead thread has closed. Pairs with claimGate. */
export function inheritGate(header: usize, dead: u32, owner: u32): bool {
  return atomic.cmpxchg<u32>(header, dead, owner, offsetof<Header>("gateOwner")) == dead;
}

/** Owner token of a line. A stale answer only sends a claim to the next line. Pairs with claimOwner. */
export function observeOwner(reader: usize): u32 {
  return atomic.load<u32>(reader, offsetof<Reader>("owner"));
}

/**
 * Orders:      the last store into the line, before the line is free.
 * Pairs with:  claimOwner.
 * Otherwise:   the next owner's pin could be overwritten by the last one's unpin.
 * Checked by:  protocol model "release before unpin".
 */
export function releaseOwner(reader: usize): void {
  atomic.store<u32>(reader, 0, offsetof<Reader>("owner"));
}

/** A new owner token; an add, so that no two threads get the same. The last one is followed by 0, not by the first. */
export function newOwner(header: usize): u32 {
  const last = atomic.add<u32>(header, OWNERS_PER_THREAD, offsetof<Header>("owners"));
  if (last < u32.MAX_VALUE - OWNERS_PER_THREAD) return last + OWNERS_PER_THREAD;
  atomic.sub<u32>(header, OWNERS_PER_THREAD, offsetof<Header>("owners"));
  return 0;
}

/**
 * Decide whether the engine has dirty rings; the word before, 0 if this call has decided.
 *
 * Orders:      the first vCPU, and the capability that must come before it.
 * Pairs with:  itself: one word, one compare-and-swap.
 * Otherwise:   both succeed, and the vCPU has no ring although all writes go to rings.
 * Checked by:  test/unit/dirty/dirty-death.test.ts.
 */
export function decideDirtyRing(header: usize, choice: u32): u32 {
  return atomic.cmpxchg<u32>(header, 0, choice, offsetof<Header>("dirtyRing"));
}

/** What was decided, 0 if nothing was yet. Pairs with decideDirtyRing. */
export function observeDirtyRing(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("dirtyRing"));
}

/**
 * Orders:      the writer's notebook, after the store of its last holder.
 * Pairs with:  unlockWriter.
 * Otherwise:   two writers would build on one set of spare copies.
 * Checked by:  protocol model "no lock".
 */
export function tryLockWriter(header: usize, owner: u32): bool {
  return atomic.cmpxchg<u32>(header, 0, owner, offsetof<Header>("lock")) == 0;
}

/**
 * Holder of the lock. Exact for the holder itself; for others it may be old, which only costs another try.
 */
export function observeLock(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("lock"));
}

/**
 * Orders:      the writer's notebook, before the lock is free.
 * Pairs with:  tryLockWriter.
 * Otherwise:   the next writer would start from an old free list.
 * Checked by:  protocol model "unlock before recycle".
 */
export function unlockWriter(header: usize): void {
  atomic.store<u32>(header, 0, offsetof<Header>("lock"));
  if (atomic.load<u32>(header, offsetof<Header>("lockWaiters")) != 0) {
    atomic.notify(header + offsetof<Header>("lock"), 1);
  }
}

/** Sleep until the lock is free, is notified, or `ms` are over. Spurious returns are legal. */
export function sleepOnLock(header: usize, holder: u32, ms: i64): void {
  atomic.add<u32>(header, 1, offsetof<Header>("lockWaiters"));
  sleepOnWord(header + offsetof<Header>("lock"), <i32>holder, ms * 1000000);
  atomic.sub<u32>(header, 1, offsetof<Header>("lockWaiters"));
}

/**
 * Orders:      the mark "a writer died", before its lock is free.
 * Pairs with:  observeOrphan, by whoever gets the lock next.
 * Otherwise:   the next writer would go on with the half-written notebook of the dead one.
 * Checked by:  protocol model "recovery skipped".
 */
export function orphanLock(header: usize, dead: u32): void {
  if (atomic.load<u32>(header, offsetof<Header>("lock")) == dead) {
    atomic.store<u32>(header, 1, offsetof<Header>("orphaned"));
    atomic.cmpxchg<u32>(header, dead, 0, offsetof<Header>("lock"));
  }
  // Even if the dead thread did not hold it: it may have died between giving it back and saying so.
  atomic.notify(header + offsetof<Header>("lock"), 1);
}

/** Holder of the lock: true if the notebook must be rebuilt. Pairs with orphanLock. */
export function observeOrphan(header: usize): bool {
  return atomic.load<u32>(header, offsetof<Header>("orphaned")) != 0;
}

/**
 * Orders:      the rebuilt notebook, before the mark is gone.
 * Pairs with:  observeOrphan.
 * Otherwise:   a rebuild that gives up, because a reader stays, would leave the dead writer's notebook to one
 *              that trusts it.
 * Checked by:  protocol model "recovery marked done first".
 */
export function clearOrphan(header: usize): void {
  atomic.store<u32>(header, 0, offsetof<Header>("orphaned"));
}

/** Ask a vCPU to leave its section soon. It may see the request late, which only delays the writer. */
export function postRequest(reader: usize, request: u32): void {
  atomic.store<u32>(reader, request, offsetof<Reader>("request"));
}

/** Pairs with postRequest. */
export function observeRequest(reader: usize): u32 {
  return atomic.load<u32>(reader, offsetof<Reader>("request"));
}

/**
 * Orders:      the store of WAIT_ASLEEP, before the last look at the pin (in the wait itself); of WAIT_HURRY, before
 *              one more look at all pins.
 * Pairs with:  observeWait, which looks at the word after the pin was cleared.
 * Otherwise:   a lost wake-up; each wait is bounded, so it costs one step of the wait and nothing more.
 * Checked by:  protocol model "lost wake-up", "hurry announced unseen".
 */
export function announceWait(header: usize, waiting: u32): void {
  atomic.store<u32>(header, waiting, offsetof<Header>("waiting"));
}

/**
 * Whether a writer waits, and how: WAIT_*.
 *
 * Orders:      the pin that has changed, before this look, and the look at the other pins behind it.
 * Pairs with:  announceWait.
 * Otherwise:   the last reader leaves and nobody ends the hurry: vCPUs sleep HURRY_MS for nothing.
 * Checked by:  protocol model "hurry that nobody ends".
 */
export function observeWait(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("waiting"));
}

/** Wake the writer that sleeps on this reader's pin, if there is one. Pairs with sleepOnPin. */
export function wakeWriter(reader: usize): void {
  atomic.notify(reader + offsetof<Reader>("pin"), ALL);
}

/** Sleep until the pin is no longer `root`, is notified, or `ms` are over. Spurious returns are legal. */
export function sleepOnPin(reader: usize, root: usize, ms: i64): void {
  sleepOnWord(reader + offsetof<Reader>("pin"), <i32>root, ms * 1000000);
}

/**
 * The only wait: until the word at `address` is not `expected`, is notified, or `ns` nanoseconds are over: TIMED_OUT. A
 * function of its own on purpose, see noinline.mjs.
 */
function sleepOnWord(address: usize, expected: i32, ns: i64): i32 {
  return atomic.wait<i32>(address, expected, ns);
}

/**
 * Orders:      the guest's write to the page, before its dirty bit.
 * Pairs with:  takeDirtyWord, clearDirtyWord.
 * Otherwise:   the harvester takes the bit, copies the page before the write is visible, and the write is in
 *              no harvest. That is why the bit is set by a read-modify-write even where it seems to be set
 *              already.
 * Checked by:  test/suites/dirty-log.ts.
 */
export function markDirtyBit(bitmap: usize, page: u32): void {
  const word = bitmap + ((page >> 5) << 2);
  const bit: u32 = 1 << (page & 31);
  atomic.or<u32>(word, bit);
}

/**
 * Dirty bits, or entries of a ring, were taken, and their pages are looked at next.
 *
 * Orders:      the taking, before the new epoch, before the harvester's look at the pages.
 * Pairs with:  observeDirtyEpoch, by a vCPU that marks a page once, ahead of its writes.
 * Otherwise:   the epoch moves; a vCPU looks at it and sets its bit; the bit is taken and the page copied; the vCPU
 *              writes the page, finds the epoch as it was and marks nothing. The write is in no harvest.
 * Checked by:  epoch model "epoch after taking", "epoch before the look at the page", test/dirty.
 */
export function advanceDirtyEpoch(header: usize): void {
  atomic.add<u32>(header, 1, offsetof<Header>("dirtyEpoch"));
}

/**
 * The epoch, behind all that the line's thread has written so far. The pin is stored once more as it is: a store of
 * this order, to a word that nobody else writes, between the guest's plain writes and the look.
 *
 * Orders:      the guest's writes, before the look at the epoch; before the first mark, the look before the mark.
 * Pairs with:  advanceDirtyEpoch.
 * Otherwise:   the look is early, while the writes are on their way: the harvester takes the bit and copies the page
 *              without them, and the vCPU has seen the old epoch and marks nothing.
 * Checked by:  epoch model "store before the look", "writes before the look", "look before the first mark",
 *              test/dirty.
 */
export function observeDirtyEpoch(header: usize, reader: usize): u32 {
  atomic.store<u32>(reader, load<u32>(reader, offsetof<Reader>("pin")), offsetof<Reader>("pin"));
  return atomic.load<u32>(header, offsetof<Header>("dirtyEpoch"));
}

/** The epoch when a section begins, before its first write. It may be stale: the section's end looks again. */
export function dirtyEpochNow(header: usize): u32 {
  return atomic.load<u32>(header, offsetof<Header>("dirtyEpoch"));
}

/**
 * A line's TLB is released.
 *
 * Orders:      the line's `tlb`, which is 0 now, before the flag.
 * Pairs with:  observeSpareTlbs, of whoever holds the lock next.
 * Otherwise:   the memory is kept until the line has a TLB again, and no longer.
 * Checked by:  test/unit/read/tlb.test.ts.
 */
export function noteSpareTlb(header: usize): void {
  atomic.store<u32>(header, 1, offsetof<Header>("spareTlbs"));
}

/** Pairs with noteSpareTlb; a stale value only delays the freeing. */
export function observeSpareTlbs(header: usize): bool {
  return atomic.load<u32>(header, offsetof<Header>("spareTlbs")) != 0;
}

/** Before the look at the lines, so that one that is released meanwhile is found next time. */
export function clearSpareTlbs(header: usize): void {
  atomic.store<u32>(header, 0, offsetof<Header>("spareTlbs"));
}

/** Take 64 bits and leave none: one exchange per word, as KVM's xchg. Pairs with markDirtyBit. */
export function takeDirtyWord(word: usize): u64 {
  return atomic.xchg<u64>(word, 0);
}

/** Look at 64 bits. A bit set meanwhile is found by the next look. Pairs with markDirtyBit. */
export function observeDirtyWord(word: usize): u64 {
  return atomic.load<u64>(word);
}

/** Clear the bits of `mask` and leave those set meanwhile. Pairs with markDirtyBit. */
export function clearDirtyWord(word: usize, mask: u64): void {
  atomic.and<u64>(word, ~mask);
}

/** Set the bits of `mask`; markDirtyBit may set others meanwhile. Pairs with takeDirtyWord. */
export function mergeDirtyWord(word: usize, mask: u64): void {
  atomic.or<u64>(word, mask);
}

/**
 * Orders:      the guest's write to the page, and what the entry says, before its state.
 * Pairs with:  harvestDirtyGfn.
 * Otherwise:   the harvester reads the slot of an older entry, or the page before the write.
 * Checked by:  ring model "write before mark", "entry before its state", test/dirty.
 */
export function publishDirtyGfn(entry: usize): void {
  atomic.store<u32>(entry, DIRTY_GFN_DIRTY);
}

/**
 * True if the entry is not harvested yet, so that it speaks for another write to its page too.
 *
 * Orders:      the guest's write to the page, before the harvest of the entry.
 * Pairs with:  harvestDirtyGfn.
 * Otherwise:   the harvester takes the entry and copies the page before the write is visible, and no entry comes
 *              after it. That is why this is a read-modify-write.
 * Checked by:  ring model "keep by read-modify-write", test/dirty.
 */
export function keepDirtyGfn(entry: usize): bool {
  return atomic.cmpxchg<u32>(entry, DIRTY_GFN_DIRTY, DIRTY_GFN_DIRTY) == DIRTY_GFN_DIRTY;
}

/**
 * Take a dirty entry; its state before.
 *
 * Orders:      the harvest, before the harvester's look at the page.
 * Pairs with:  publishDirtyGfn, keepDirtyGfn.
 * Otherwise:   see keepDirtyGfn.
 * Checked by:  test/dirty.
 */
export function harvestDirtyGfn(entry: usize): u32 {
  return atomic.cmpxchg<u32>(entry, DIRTY_GFN_DIRTY, DIRTY_GFN_HARVESTED);
}

/** State of an entry; a stale state only delays the reader. Pairs with publishDirtyGfn, freeDirtyGfn. */
export function observeDirtyGfn(entry: usize): u32 {
  return atomic.load<u32>(entry);
}

/**
 * The harvested entry is free.
 *
 * Orders:      before advanceReset, which lets the vCPU use the entry again.
 * Pairs with:  observeReset.
 * Otherwise:   the vCPU's new entry is freed in place of the old one, and a dirty page is lost.
 * Checked by:  ring model "free before the advance", test/unit/dirty/dirty-death.test.ts.
 */
export function freeDirtyGfn(entry: usize): void {
  atomic.store<u32>(entry, 0);
}

/** Entries reset so far; those before are free. Late only makes the ring look full. Pairs with advanceReset. */
export function observeReset(ring: usize): u32 {
  return atomic.load<u32>(ring, offsetof<DirtyRing>("resetIndex"));
}

/** Entries before `index` are free. Pairs with observeReset. */
export function advanceReset(ring: usize, index: u32): void {
  atomic.store<u32>(ring, index, offsetof<DirtyRing>("resetIndex"));
}

/** Entries pushed so far: exact for the vCPU itself, for others perhaps too few. Pairs with advanceDirty. */
export function observeDirty(ring: usize): u32 {
  return atomic.load<u32>(ring, offsetof<DirtyRing>("dirtyIndex"));
}

/**
 * The entries before `index` are published.
 *
 * Orders:      publishDirtyGfn, before it.
 * Pairs with:  observeDirty of whoever finds a free entry before the index: a reset has died behind it.
 * Otherwise:   an entry that is about to be published is taken for one that was reset, and passed over.
 * Checked by:  ring model "state before the count", test/unit/dirty/dirty-death.test.ts.
 */
export function advanceDirty(ring: usize, index: u32): void {
  atomic.store<u32>(ring, index, offsetof<DirtyRing>("dirtyIndex"));
}

/** The overflow word of a ring's vCPU. */
export function overflowOfRing(ring: usize): usize {
  return ring + offsetof<DirtyRing>("overflow");
}

/** The overflow word of all threads that are no vCPU. */
export function overflowOfOthers(header: usize): usize {
  return header + offsetof<Header>("unlogged");
}

/**
 * A write is in no entry.
 *
 * Orders:      the guest's write, before the word.
 * Pairs with:  tellOverflow.
 * Otherwise:   the harvester copies all pages before the write is visible, and hears of it never again.
 * Checked by:  ring model "overflow is noted", test/unit/dirty/dirtyring.test.ts.
 */
export function noteOverflow(word: usize): void {
  atomic.store<u32>(word, RING_OVERFLOW_MISSED);
}

/** True if writes were missed since the last clearOverflow; a harvester knows of them from now on. */
export function tellOverflow(word: usize): bool {
  return atomic.cmpxchg<u32>(word, RING_OVERFLOW_MISSED, RING_OVERFLOW_TOLD) != 0;
}

/**
 * The harvester has dealt with what it was told of.
 *
 * Orders:      nothing but itself: a compare-and-swap, so that what was missed since stays.
 * Pairs with:  tellOverflow, noteOverflow.
 * Otherwise:   writes that were missed after the harvest are forgotten with those before it.
 * Checked by:  ring model "overflow is cleared by compare", test/unit/dirty/dirtyring.test.ts.
 */
export function clearOverflow(word: usize): void {
  atomic.cmpxchg<u32>(word, RING_OVERFLOW_TOLD, 0);
}
