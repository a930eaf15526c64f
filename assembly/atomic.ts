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
  Reader,
  RING_OVERFLOW_MISSED,
  RING_OVERFLOW_TOLD,
} from "./layout";

/**
 * The only wait: until the word at `address` is not `expected`, is notified, or `ns` nanoseconds are over. A
 * function of its own on purpose, see noinline.mjs.
 */
function sleepOnWord(address: usize, expected: i32, ns: i64): void {
  atomic.wait<i32>(address, expected, ns);
}

/**
 * Orders:      everything written into the private copies, before the pointer to them.
 * Pairs with:  observeRoot.
 * Otherwise:   a reader could follow the new root into chunks and records that do not hold their content yet.
 * Checked by:  protocol model "publish before build", test/stress.
 *
 * An exchange in a loop, because a reaper may open the gate of a dead owner at the same time.
 */
export function publishRoot(header: usize, root: usize): void {
  if (ASC_FEATURE_THREADS) {
    let word = atomic.load<u32>(header, offsetof<Header>("root"));
    while (true) {
      const seen = atomic.cmpxchg<u32>(
        header,
        word,
        <u32>root | (word & GATE_CLOSED),
        offsetof<Header>("root"),
      );
      if (seen == word) break;
      word = seen;
    }
  } else {
    const word = load<u32>(header, offsetof<Header>("root"));
    store<u32>(header, <u32>root | (word & GATE_CLOSED), offsetof<Header>("root"));
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
  if (ASC_FEATURE_THREADS) atomic.or<u32>(header, GATE_CLOSED, offsetof<Header>("root"));
  else
    store<u32>(header, load<u32>(header, offsetof<Header>("root")) | GATE_CLOSED, offsetof<Header>("root"));
}

/**
 * Orders:      the publication, before the open gate; and wakes who waits for either.
 * Pairs with:  closeGate, sleepOnRoot.
 * Otherwise:   vCPUs enter on the layout that the barrier was to end.
 * Checked by:  protocol model "gate opened before publication".
 */
export function openGate(header: usize): void {
  if (ASC_FEATURE_THREADS) {
    atomic.and<u32>(header, ~GATE_CLOSED, offsetof<Header>("root"));
    atomic.notify(header + offsetof<Header>("root"), -1);
  } else {
    store<u32>(header, load<u32>(header, offsetof<Header>("root")) & ~GATE_CLOSED, offsetof<Header>("root"));
  }
}

/** Take the gate for `owner`: a compare-and-swap, so that one thread has it. Pairs with releaseGate. */
export function claimGate(header: usize, owner: u32): bool {
  if (ASC_FEATURE_THREADS) return atomic.cmpxchg<u32>(header, 0, owner, offsetof<Header>("gateOwner")) == 0;
  if (load<u32>(header, offsetof<Header>("gateOwner")) != 0) return false;
  store<u32>(header, owner, offsetof<Header>("gateOwner"));
  return true;
}

/** Owner of the gate, 0 if it is open. Exact for the owner itself. */
export function observeGate(header: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(header, offsetof<Header>("gateOwner"));
  return load<u32>(header, offsetof<Header>("gateOwner"));
}

/** The gate is open and may be taken again. After openGate, so that no two owners meet. */
export function releaseGate(header: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(header, 0, offsetof<Header>("gateOwner"));
  else store<u32>(header, 0, offsetof<Header>("gateOwner"));
}

/**
 * Sleep until the root word is no longer `word`, is notified, or `ms` are over. Spurious returns are legal.
 */
export function sleepOnRoot(header: usize, word: u32, ms: i64): void {
  if (ASC_FEATURE_THREADS) {
    atomic.add<u32>(header, 1, offsetof<Header>("observers"));
    sleepOnWord(header + offsetof<Header>("root"), <i32>word, ms * 1000000);
    atomic.sub<u32>(header, 1, offsetof<Header>("observers"));
  }
}

/**
 * Wake who waits for a publication. A count left behind by the dead costs a needless notify. Pairs with
 * sleepOnRoot.
 */
export function wakeObservers(header: usize): void {
  if (ASC_FEATURE_THREADS) {
    if (atomic.load<u32>(header, offsetof<Header>("observers")) != 0) {
      atomic.notify(header + offsetof<Header>("root"), -1);
    }
  }
}

/** Count this thread among the observers while it waits outside of wasm, `by` +1 or -1. */
export function countObserver(header: usize, by: i32): void {
  if (ASC_FEATURE_THREADS) atomic.add<u32>(header, <u32>by, offsetof<Header>("observers"));
}

/**
 * Orders:      the load of the root, before every load through it; in enterSection also after the store of
 *              the pin.
 * Pairs with:  publishRoot, pinRoot.
 * Otherwise:   see pinRoot.
 * Checked by:  protocol model "no second look at the root".
 *
 * The word has the gate in its lowest bit; publishedRoot in publish.ts takes it off.
 */
export function observeRoot(header: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(header, offsetof<Header>("root"));
  return load<u32>(header, offsetof<Header>("root"));
}

/**
 * Orders:      the store of the pin, before the second look at the root.
 * Pairs with:  observePin of a writer, which looks at the pins after publishRoot.
 * Otherwise:   the reader loads root A, is preempted; the writer publishes B, finds no pin and recycles A;
 *              the reader stores its pin and reads recycled chunks.
 * Checked by:  protocol model "pin after look", test/stress --break grace.
 */
export function pinRoot(reader: usize, root: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(reader, <u32>root, offsetof<Reader>("pin"));
  else store<u32>(reader, <u32>root, offsetof<Reader>("pin"));
}

/**
 * Orders:      every load of the section, before the pin is gone.
 * Pairs with:  observePin.
 * Otherwise:   the writer recycles a chunk while the last lookup of the section is still in it.
 * Checked by:  protocol model "unpin early".
 */
export function unpinRoot(reader: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(reader, 0, offsetof<Reader>("pin"));
  else store<u32>(reader, 0, offsetof<Reader>("pin"));
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
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(reader, offsetof<Reader>("pin"));
  return load<u32>(reader, offsetof<Reader>("pin"));
}

/**
 * Orders:      the claim of a free reader line, before its first use.
 * Pairs with:  releaseOwner.
 * Otherwise:   two threads would pin through one line, and the second exit would unpin the first.
 * Checked by:  protocol model "claim without compare".
 */
export function claimOwner(reader: usize, owner: u32): bool {
  if (ASC_FEATURE_THREADS) return atomic.cmpxchg<u32>(reader, 0, owner, offsetof<Reader>("owner")) == 0;
  if (load<u32>(reader, offsetof<Reader>("owner")) != 0) return false;
  store<u32>(reader, owner, offsetof<Reader>("owner"));
  return true;
}

/**
 * Orders:      the take-over of a dead thread's line, before the line is freed.
 * Pairs with:  claimOwner, and inheritOwner of another reaper.
 * Otherwise:   of two reapers of one dead thread the late one would unpin whoever has claimed the line since.
 * Checked by:  protocol model "reap without compare".
 */
export function inheritOwner(reader: usize, dead: u32, owner: u32): bool {
  if (ASC_FEATURE_THREADS) {
    return atomic.cmpxchg<u32>(reader, dead, owner, offsetof<Reader>("owner")) == dead;
  }
  if (load<u32>(reader, offsetof<Reader>("owner")) != dead) return false;
  store<u32>(reader, owner, offsetof<Reader>("owner"));
  return true;
}

/** The same for the gate that a dead thread has closed. Pairs with claimGate. */
export function inheritGate(header: usize, dead: u32, owner: u32): bool {
  if (ASC_FEATURE_THREADS) {
    return atomic.cmpxchg<u32>(header, dead, owner, offsetof<Header>("gateOwner")) == dead;
  }
  if (load<u32>(header, offsetof<Header>("gateOwner")) != dead) return false;
  store<u32>(header, owner, offsetof<Header>("gateOwner"));
  return true;
}

/** Owner token of a line. A stale answer only sends a claim to the next line. Pairs with claimOwner. */
export function observeOwner(reader: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(reader, offsetof<Reader>("owner"));
  return load<u32>(reader, offsetof<Reader>("owner"));
}

/**
 * Orders:      the last store into the line, before the line is free.
 * Pairs with:  claimOwner.
 * Otherwise:   the next owner's pin could be overwritten by the last one's unpin.
 * Checked by:  protocol model "release before unpin".
 */
export function releaseOwner(reader: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(reader, 0, offsetof<Reader>("owner"));
  else store<u32>(reader, 0, offsetof<Reader>("owner"));
}

/** A new owner token; an add, so that no two threads get the same. */
export function newOwner(header: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.add<u32>(header, 1, offsetof<Header>("owners")) + 1;
  const owner = load<u32>(header, offsetof<Header>("owners")) + 1;
  store<u32>(header, owner, offsetof<Header>("owners"));
  return owner;
}

/**
 * Decide whether the engine has dirty rings; the word before, 0 if this call has decided.
 *
 * Orders:      the first vCPU, and the capability that must come before it.
 * Pairs with:  itself: one word, one compare-and-swap.
 * Otherwise:   both succeed, and the vCPU has no ring although all writes go to rings.
 * Checked by:  test/unit/dirty-death.test.ts.
 */
export function decideDirtyRing(header: usize, choice: u32): u32 {
  if (ASC_FEATURE_THREADS) return atomic.cmpxchg<u32>(header, 0, choice, offsetof<Header>("dirtyRing"));
  const before = load<u32>(header, offsetof<Header>("dirtyRing"));
  if (before == 0) store<u32>(header, choice, offsetof<Header>("dirtyRing"));
  return before;
}

/** What was decided, 0 if nothing was yet. Pairs with decideDirtyRing. */
export function observeDirtyRing(header: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(header, offsetof<Header>("dirtyRing"));
  return load<u32>(header, offsetof<Header>("dirtyRing"));
}

/**
 * Orders:      the writer's notebook, after the store of its last holder.
 * Pairs with:  unlockWriter.
 * Otherwise:   two writers would build on one set of spare copies.
 * Checked by:  protocol model "no lock".
 */
export function tryLockWriter(header: usize, owner: u32): bool {
  if (ASC_FEATURE_THREADS) return atomic.cmpxchg<u32>(header, 0, owner, offsetof<Header>("lock")) == 0;
  if (load<u32>(header, offsetof<Header>("lock")) != 0) return false;
  store<u32>(header, owner, offsetof<Header>("lock"));
  return true;
}

/**
 * Holder of the lock. Exact for the holder itself; for others it may be old, which only costs another try.
 */
export function observeLock(header: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(header, offsetof<Header>("lock"));
  return load<u32>(header, offsetof<Header>("lock"));
}

/**
 * Orders:      the writer's notebook, before the lock is free.
 * Pairs with:  tryLockWriter.
 * Otherwise:   the next writer would start from an old free list.
 * Checked by:  protocol model "unlock before recycle".
 */
export function unlockWriter(header: usize): void {
  if (ASC_FEATURE_THREADS) {
    atomic.store<u32>(header, 0, offsetof<Header>("lock"));
    if (atomic.load<u32>(header, offsetof<Header>("lockWaiters")) != 0) {
      atomic.notify(header + offsetof<Header>("lock"), 1);
    }
  } else {
    store<u32>(header, 0, offsetof<Header>("lock"));
  }
}

/** Sleep until the lock is free, is notified, or `ms` are over. Spurious returns are legal. */
export function sleepOnLock(header: usize, holder: u32, ms: i64): void {
  if (ASC_FEATURE_THREADS) {
    atomic.add<u32>(header, 1, offsetof<Header>("lockWaiters"));
    sleepOnWord(header + offsetof<Header>("lock"), <i32>holder, ms * 1000000);
    atomic.sub<u32>(header, 1, offsetof<Header>("lockWaiters"));
  }
}

/**
 * Orders:      the mark "a writer died", before its lock is free.
 * Pairs with:  observeOrphan, by whoever gets the lock next.
 * Otherwise:   the next writer would go on with the half-written notebook of the dead one.
 * Checked by:  protocol model "recovery skipped".
 */
export function orphanLock(header: usize, dead: u32): void {
  if (ASC_FEATURE_THREADS) {
    if (atomic.load<u32>(header, offsetof<Header>("lock")) == dead) {
      atomic.store<u32>(header, 1, offsetof<Header>("orphaned"));
      atomic.cmpxchg<u32>(header, dead, 0, offsetof<Header>("lock"));
    }
    // Even if the dead thread did not hold it: it may have died between giving it back and saying so.
    atomic.notify(header + offsetof<Header>("lock"), 1);
  } else if (load<u32>(header, offsetof<Header>("lock")) == dead) {
    store<u32>(header, 1, offsetof<Header>("orphaned"));
    store<u32>(header, 0, offsetof<Header>("lock"));
  }
}

/** Holder of the lock: true if the notebook must be rebuilt. Pairs with orphanLock. */
export function observeOrphan(header: usize): bool {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(header, offsetof<Header>("orphaned")) != 0;
  return load<u32>(header, offsetof<Header>("orphaned")) != 0;
}

/**
 * Orders:      the rebuilt notebook, before the mark is gone.
 * Pairs with:  observeOrphan.
 * Otherwise:   a rebuild that gives up, because a reader stays, would leave the dead writer's notebook to one
 *              that trusts it.
 * Checked by:  protocol model "recovery marked done first".
 */
export function clearOrphan(header: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(header, 0, offsetof<Header>("orphaned"));
  else store<u32>(header, 0, offsetof<Header>("orphaned"));
}

/** Ask a vCPU to leave its section soon. It may see the request late, which only delays the writer. */
export function postRequest(reader: usize, request: u32): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(reader, request, offsetof<Reader>("request"));
  else store<u32>(reader, request, offsetof<Reader>("request"));
}

/** Pairs with postRequest. */
export function observeRequest(reader: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(reader, offsetof<Reader>("request"));
  return load<u32>(reader, offsetof<Reader>("request"));
}

/**
 * Orders:      the store of "a writer sleeps", before its last look at the pin (in the wait itself).
 * Pairs with:  wakeWriter, which looks at the word after the pin was cleared.
 * Otherwise:   a lost wake-up; the wait is bounded, so it costs one step of the wait and nothing more.
 * Checked by:  protocol model "lost wake-up".
 */
export function announceWait(header: usize, waiting: u32): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(header, waiting, offsetof<Header>("waiting"));
  else store<u32>(header, waiting, offsetof<Header>("waiting"));
}

/** Wake the writer that sleeps on this reader's pin, if there is one. Pairs with announceWait. */
export function wakeWriter(header: usize, reader: usize): void {
  if (ASC_FEATURE_THREADS) {
    if (atomic.load<u32>(header, offsetof<Header>("waiting")) != 0) {
      atomic.notify(reader + offsetof<Reader>("pin"), -1);
    }
  }
}

/** Sleep until the pin is no longer `root`, is notified, or `ms` are over. Spurious returns are legal. */
export function sleepOnPin(reader: usize, root: usize, ms: i64): void {
  if (ASC_FEATURE_THREADS) {
    sleepOnWord(reader + offsetof<Reader>("pin"), <i32>root, ms * 1000000);
  }
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
  if (ASC_FEATURE_THREADS) atomic.or<u32>(word, bit);
  else store<u32>(word, load<u32>(word) | bit);
}

/** Take 64 bits and leave none: one exchange per word, as KVM's xchg. Pairs with markDirtyBit. */
export function takeDirtyWord(word: usize): u64 {
  if (ASC_FEATURE_THREADS) return atomic.xchg<u64>(word, 0);
  const bits = load<u64>(word);
  store<u64>(word, 0);
  return bits;
}

/** Look at 64 bits. A bit set meanwhile is found by the next look. Pairs with markDirtyBit. */
export function observeDirtyWord(word: usize): u64 {
  if (ASC_FEATURE_THREADS) return atomic.load<u64>(word);
  return load<u64>(word);
}

/** Clear the bits of `mask` and leave those set meanwhile. Pairs with markDirtyBit. */
export function clearDirtyWord(word: usize, mask: u64): void {
  if (ASC_FEATURE_THREADS) atomic.and<u64>(word, ~mask);
  else store<u64>(word, load<u64>(word) & ~mask);
}

/** Set the bits of `mask`; markDirtyBit may set others meanwhile. Pairs with takeDirtyWord. */
export function mergeDirtyWord(word: usize, mask: u64): void {
  if (ASC_FEATURE_THREADS) atomic.or<u64>(word, mask);
  else store<u64>(word, load<u64>(word) | mask);
}

/**
 * Orders:      the guest's write to the page, and what the entry says, before its state.
 * Pairs with:  harvestDirtyGfn.
 * Otherwise:   the harvester reads the slot of an older entry, or the page before the write.
 * Checked by:  ring model "write before mark", "entry before its state", test/dirty.
 */
export function publishDirtyGfn(entry: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(entry, DIRTY_GFN_DIRTY);
  else store<u32>(entry, DIRTY_GFN_DIRTY);
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
  if (ASC_FEATURE_THREADS)
    return atomic.cmpxchg<u32>(entry, DIRTY_GFN_DIRTY, DIRTY_GFN_DIRTY) == DIRTY_GFN_DIRTY;
  return load<u32>(entry) == DIRTY_GFN_DIRTY;
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
  if (ASC_FEATURE_THREADS) return atomic.cmpxchg<u32>(entry, DIRTY_GFN_DIRTY, DIRTY_GFN_HARVESTED);
  const state = load<u32>(entry);
  if (state == DIRTY_GFN_DIRTY) store<u32>(entry, DIRTY_GFN_HARVESTED);
  return state;
}

/** State of an entry; late is late. Pairs with publishDirtyGfn, freeDirtyGfn. */
export function observeDirtyGfn(entry: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(entry);
  return load<u32>(entry);
}

/**
 * The harvested entry is free.
 *
 * Orders:      before advanceReset, which lets the vCPU use the entry again.
 * Pairs with:  observeReset.
 * Otherwise:   the vCPU's new entry is freed in place of the old one, and a dirty page is lost.
 * Checked by:  ring model "free before the advance", test/unit/dirty-death.test.ts.
 */
export function freeDirtyGfn(entry: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(entry, 0);
  else store<u32>(entry, 0);
}

/** Entries reset so far; those before are free. Late only makes the ring look full. Pairs with advanceReset. */
export function observeReset(ring: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(ring, offsetof<DirtyRing>("resetIndex"));
  return load<u32>(ring, offsetof<DirtyRing>("resetIndex"));
}

/** Entries before `index` are free. Pairs with observeReset. */
export function advanceReset(ring: usize, index: u32): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(ring, index, offsetof<DirtyRing>("resetIndex"));
  else store<u32>(ring, index, offsetof<DirtyRing>("resetIndex"));
}

/** Entries pushed so far, exact for the vCPU itself; for others late is late. Pairs with advanceDirty. */
export function observeDirty(ring: usize): u32 {
  if (ASC_FEATURE_THREADS) return atomic.load<u32>(ring, offsetof<DirtyRing>("dirtyIndex"));
  return load<u32>(ring, offsetof<DirtyRing>("dirtyIndex"));
}

/**
 * The entries before `index` are published.
 *
 * Orders:      publishDirtyGfn, before it.
 * Pairs with:  observeDirty of whoever finds a free entry before the index: a reset has died behind it.
 * Otherwise:   an entry that is about to be published is taken for one that was reset, and passed over.
 * Checked by:  ring model "state before the count", test/unit/dirty-death.test.ts.
 */
export function advanceDirty(ring: usize, index: u32): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(ring, index, offsetof<DirtyRing>("dirtyIndex"));
  else store<u32>(ring, index, offsetof<DirtyRing>("dirtyIndex"));
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
 * Checked by:  ring model "overflow is noted", test/unit/dirtyring.test.ts.
 */
export function noteOverflow(word: usize): void {
  if (ASC_FEATURE_THREADS) atomic.store<u32>(word, RING_OVERFLOW_MISSED);
  else store<u32>(word, RING_OVERFLOW_MISSED);
}

/** True if writes were missed since the last clearOverflow; a harvester knows of them from now on. */
export function tellOverflow(word: usize): bool {
  if (ASC_FEATURE_THREADS) return atomic.cmpxchg<u32>(word, RING_OVERFLOW_MISSED, RING_OVERFLOW_TOLD) != 0;
  const state = load<u32>(word);
  if (state == RING_OVERFLOW_MISSED) store<u32>(word, RING_OVERFLOW_TOLD);
  return state != 0;
}

/**
 * The harvester has dealt with what it was told of.
 *
 * Orders:      nothing but itself: a compare-and-swap, so that what was missed since stays.
 * Pairs with:  tellOverflow, noteOverflow.
 * Otherwise:   writes that were missed after the harvest are forgotten with those before it.
 * Checked by:  ring model "overflow is cleared by compare", test/unit/dirtyring.test.ts.
 */
export function clearOverflow(word: usize): void {
  if (ASC_FEATURE_THREADS) atomic.cmpxchg<u32>(word, RING_OVERFLOW_TOLD, 0);
  else if (load<u32>(word) == RING_OVERFLOW_TOLD) store<u32>(word, 0);
}
