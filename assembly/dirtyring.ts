/**
 * Dirty rings: one per vCPU, filled by the vCPU, harvested by any one thread, reset by the holder of the writer
 * lock.
 *
 *   free --push--> dirty --harvest--> harvested --reset--> free
 *
 * Invariants
 *  - Entries are pushed and reset in order; from resetIndex on to dirtyIndex none is free, but for the one that
 *    a reset was about to count when it died.
 *  - Only the vCPU moves dirtyIndex, only the holder of the lock moves resetIndex.
 *  - An entry is overwritten only when it is free: a full ring keeps what it has, and the write goes to the
 *    bitmap if there is one, else into the ring's overflow word.
 *
 * Mirrors virt/kvm/dirty_ring.c and mark_page_dirty_in_slot. KVM overwrites the oldest entry of a full ring, and
 * has no host page beside the entry, so that a slot that changes takes the meaning of its entries along.
 */
import {
  advanceDirty,
  advanceDirtyEpoch,
  advanceReset,
  clearOverflow,
  freeDirtyGfn,
  harvestDirtyGfn,
  keepDirtyGfn,
  markDirtyBit,
  noteOverflow,
  observeDirty,
  observeDirtyGfn,
  observeDirtyRing,
  observeReset,
  overflowOfOthers,
  overflowOfRing,
  publishDirtyGfn,
  tellOverflow,
} from "./atomic";
import { useDirtyBitmap } from "./dirtybitmap";
import { EINVAL, ENOMEM, OK } from "./errno";
import { allocHeap, markHeap } from "./heap";
import {
  DIRTY_GFN_BYTES,
  DIRTY_GFN_HARVESTED,
  DIRTY_RING_BYTES,
  DIRTY_RING_NEVER,
  DirtyGfn,
  DirtyRing,
  Header,
  NO_RING,
  READER_BYTES,
  Reader,
  Record,
  RING_FILTER_ENTRIES,
  RING_RESERVED_ENTRIES,
} from "./layout";
import { KVM_MEM_LOG_DIRTY_PAGES } from "./validate";

/** Multiplier of Fibonacci hashing. */
const GOLDEN: u32 = 0x9e3779b1;

// ---- birth ----

/** Bytes of the entries of each ring, 0 if the engine has none. */
export function dirtyRingBytes(header: usize): u32 {
  const bytes = observeDirtyRing(header);
  return bytes == DIRTY_RING_NEVER ? 0 : bytes;
}

/**
 * The ring of a vCPU that was just claimed, before its first section: made if the line has none, else as the last
 * vCPU in this line left it. OK, also in an engine without rings; or ENOMEM. The lock must be held.
 */
export function attachDirtyRing(reader: usize): i32 {
  const line = changetype<Reader>(reader);
  const bytes = dirtyRingBytes(line.header);
  if (bytes == 0) return OK;
  if (line.ring > NO_RING) {
    repairPush(line.ring);
    return OK;
  }
  const ring = createRing(line.header, bytes);
  if (ring == 0) return ENOMEM;
  line.ring = <u32>ring;
  return OK;
}

/** A vCPU that died in a push has published an entry that it did not count; it may be reset since. */
export function repairPush(ring: usize): void {
  const dirty = observeDirty(ring);
  const used = usedEntries(ring);
  const uncounted = used <= changetype<DirtyRing>(ring).mask && observeDirtyGfn(entryAt(ring, dirty)) != 0;
  if (uncounted || used == u32.MAX_VALUE) advanceDirty(ring, dirty + 1);
}

/** An empty ring with `bytes` bytes of entries. 0 when the memory is full. */
function createRing(header: usize, bytes: u32): usize {
  const count = bytes / DIRTY_GFN_BYTES;
  const fixed = DIRTY_RING_BYTES + (RING_FILTER_ENTRIES << 2);
  const size = fixed + (count << 3) + bytes;
  const ring = allocHeap(header, size);
  if (ring == 0) return 0;
  memory.fill(ring, 0, size);
  changetype<DirtyRing>(ring).header = <u32>header;
  changetype<DirtyRing>(ring).mask = count - 1;
  changetype<DirtyRing>(ring).hostPages = <u32>ring + fixed;
  changetype<DirtyRing>(ring).entries = <u32>ring + fixed + (count << 3);
  return ring;
}

/** Ring of vCPU number `vcpu`, 0 if it never had one. The lock must be held. */
export function dirtyRingOf(header: usize, vcpu: u32): usize {
  const engine = changetype<Header>(header);
  if (vcpu >= engine.maxVcpus) return 0;
  const ring = changetype<Reader>(<usize>engine.readers + vcpu * READER_BYTES).ring;
  return ring == NO_RING ? 0 : ring;
}

/** Let all lines know that the engine has rings: what they mark is no longer for bitmaps alone. */
export function announceRings(header: usize): void {
  const engine = changetype<Header>(header);
  for (let i: u32 = 0; i < engine.maxVcpus << 1; i++) {
    const line = changetype<Reader>(<usize>engine.readers + i * READER_BYTES);
    if (line.ring == 0) line.ring = NO_RING;
  }
}

// ---- the vCPU ----

/**
 * The page `gfn` of a record was written through the line `reader`: to its ring if it is a vCPU with one, else to
 * the bitmap. Mirrors mark_page_dirty_in_slot.
 */
export function markPageDirty(reader: usize, record: usize, gfn: u64): void {
  const line = changetype<Reader>(reader);
  const slot = changetype<Record>(record);
  const offset = <u32>(gfn - slot.baseGfn);
  if (line.ring != 0) markThroughRing(line, slot, offset);
  else if (slot.bitmap != 0) markDirtyBit(slot.bitmap, offset);
}

/** A page was written in an engine with rings. */
function markThroughRing(line: Reader, slot: Record, offset: u32): void {
  if ((slot.flags & KVM_MEM_LOG_DIRTY_PAGES) == 0) return;
  const hostPage = (slot.userspaceAddr >> line.pageShift) + offset;
  if (line.ring > NO_RING && pushDirty(line.ring, slot.slot, offset, hostPage)) return;
  if (slot.bitmap != 0 && useDirtyBitmap(line.header)) markDirtyBit(slot.bitmap, offset);
  else if (line.ring > NO_RING) noteOverflow(overflowOfRing(line.ring));
  else noteOverflow(overflowOfOthers(line.header));
}

/** Add an entry, if there is none of the page. False if the ring is full. Mirrors kvm_dirty_ring_push. */
function pushDirty(ring: usize, slot: u32, offset: u32, hostPage: u64): bool {
  const index = observeDirty(ring);
  const used = index - observeReset(ring);
  const filter = filterAt(ring, slot, offset);
  const last = load<u32>(filter);
  if (index - last - 1 < used && keepsPushed(ring, last, slot, offset, hostPage)) return true;
  if (used > changetype<DirtyRing>(ring).mask) return false;
  const entry = entryAt(ring, index);
  changetype<DirtyGfn>(entry).slot = slot;
  changetype<DirtyGfn>(entry).offset = offset;
  store<u64>(hostPageAt(ring, index), hostPage);
  publishDirtyGfn(entry);
  advanceDirty(ring, index + 1);
  store<u32>(filter, index);
  return true;
}

/** True if entry `index`, which is not reset, is of this page and waits for its harvest: it tells this write too. */
function keepsPushed(ring: usize, index: u32, slot: u32, offset: u32, hostPage: u64): bool {
  if (load<u64>(hostPageAt(ring, index)) != hostPage) return false;
  const entry = entryAt(ring, index);
  const gfn = changetype<DirtyGfn>(entry);
  return gfn.slot == slot && gfn.offset == offset && keepDirtyGfn(entry);
}

/**
 * 1 if the ring of a vCPU should be harvested and reset before it runs on: it has come to the soft limit. Mirrors
 * kvm_dirty_ring_soft_full, for which KVM_RUN ends with KVM_EXIT_DIRTY_RING_FULL.
 */
export function dirtyRingFull(reader: usize): u32 {
  const ring: usize = changetype<Reader>(reader).ring;
  if (ring <= NO_RING) return 0;
  const limit = changetype<DirtyRing>(ring).mask + 1 - RING_RESERVED_ENTRIES;
  return usedEntries(ring) >= limit ? 1 : 0;
}

// ---- the harvester ----

/** Index of the first entry that is not reset: where each harvest begins. */
export function firstDirtyGfn(ring: usize): u32 {
  return observeReset(ring);
}

/**
 * Harvest from entry `first` on: the dirty entries, and those that were harvested before and never reset, maybe
 * because their harvester died. Returns how many entries that are; one at the start may be free, if a reset died
 * behind it. They stay as they are until resetDirtyRings. The lock need not be held.
 */
export function harvestDirtyRing(ring: usize, first: u32): u32 {
  const dirty = observeDirty(ring);
  const size = changetype<DirtyRing>(ring).mask + 1;
  let count: u32 = 0;
  while (count < size) {
    const state = harvestDirtyGfn(entryAt(ring, first + count));
    if (state == 0 && <i32>(dirty - first - count) <= 0) break;
    count++;
  }
  advanceDirtyEpoch(changetype<DirtyRing>(ring).header);
  return count;
}

/**
 * 1 if pages of logged slots were written that are in no ring and no bitmap: `ring` was full (0: none is asked
 * for), or the writer is no vCPU. It stays so until the next resetDirtyRings.
 */
export function ringOverflow(header: usize, ring: usize): u32 {
  const unlogged = tellOverflow(overflowOfOthers(header));
  const full = ring != 0 && tellOverflow(overflowOfRing(ring));
  advanceDirtyEpoch(header);
  return full || unlogged ? 1 : 0;
}

// ---- the reset ----

/**
 * KVM_RESET_DIRTY_RINGS: free what was harvested, in each ring up to the first entry that was not. Returns the
 * number of entries, or EINVAL without rings. The lock must be held. Mirrors kvm_vm_ioctl_reset_dirty_pages.
 */
export function resetDirtyRings(header: usize): i32 {
  if (dirtyRingBytes(header) == 0) return EINVAL;
  let count: u32 = 0;
  for (let vcpu: u32 = 0; vcpu < changetype<Header>(header).maxVcpus; vcpu++) {
    const ring = dirtyRingOf(header, vcpu);
    if (ring != 0) count += resetRing(ring);
  }
  clearOverflow(overflowOfOthers(header));
  advanceDirtyEpoch(header);
  return count;
}

/** Free what was harvested up to the first entry that was not; what a dead reset has freed is only counted. */
function resetRing(ring: usize): u32 {
  const dirty = observeDirty(ring);
  let index = observeReset(ring);
  let count: u32 = 0;
  for (let left = changetype<DirtyRing>(ring).mask + 1; left != 0; left--) {
    const entry = entryAt(ring, index);
    const state = observeDirtyGfn(entry);
    if (state & DIRTY_GFN_HARVESTED) {
      freeDirtyGfn(entry);
      count++;
    } else if (state != 0 || <i32>(dirty - index) <= 0) break;
    index++;
    advanceReset(ring, index);
  }
  clearOverflow(overflowOfRing(ring));
  return count;
}

/** After a writer's death: all rings are alive, and all lines know that there are rings. */
export function recoverRings(header: usize): void {
  if (dirtyRingBytes(header) == 0) return;
  announceRings(header);
  for (let vcpu: u32 = 0; vcpu < changetype<Header>(header).maxVcpus; vcpu++) {
    const ring = dirtyRingOf(header, vcpu);
    if (ring != 0) markHeap(ring);
  }
}

// ---- the entries ----

function entryAt(ring: usize, index: u32): usize {
  return (
    <usize>changetype<DirtyRing>(ring).entries + (index & changetype<DirtyRing>(ring).mask) * DIRTY_GFN_BYTES
  );
}

/** Where the host page of entry `index` is. */
function hostPageAt(ring: usize, index: u32): usize {
  return <usize>changetype<DirtyRing>(ring).hostPages + ((index & changetype<DirtyRing>(ring).mask) << 3);
}

/** Where the index of the last entry is remembered of the pages that hash as page `offset` of `slot` does. */
function filterAt(ring: usize, slot: u32, offset: u32): usize {
  const hash = ((offset ^ (slot << 16)) * GOLDEN) >> (32 - ctz<u32>(RING_FILTER_ENTRIES));
  return ring + DIRTY_RING_BYTES + (hash << 2);
}

/** Entries that are not free. */
function usedEntries(ring: usize): u32 {
  return observeDirty(ring) - observeReset(ring);
}
