/**
 * A vCPU's TLB: host addresses of the pages that it uses, for a probe that its emulator inlines.
 *
 *   tlb ->  | Tlb | TlbEntry[entries] | u32 ahead[entries / 32] |        on the heap, at a multiple of 32
 *
 * Invariants
 *  - Every entry is of the layout `seenCommit`, which an enterSection has told of, and of the line's address space.
 *  - An entry has a write tag only if the page is marked dirty, or nobody asks. The marks come before the writes: a
 *    page of a logged slot has its bit in `ahead`, and the line has MARKED_AHEAD in `nesting`, from before its mark
 *    until the page is marked again or the epoch was found to be that of the first mark.
 *  - A line without a TLB pays nothing: an exit finds MARKED_AHEAD by the test that it makes anyway, and entries are
 *    dropped where a change of the layout is told.
 *  - The memory stays the line's until the holder of the lock frees it. Only he changes `tlbMemory`; only the line's
 *    owner, or his reaper, sets `tlb` to 0.
 *
 * Mirrors QEMU's CPUTLBEntry, tlb_set_page and tlb_flush; the dirty epoch stands for tlb_reset_dirty, which stops the
 * vCPUs.
 */
import { clearSpareTlbs, dirtyEpochNow, noteSpareTlb, observeDirtyEpoch, ownPin } from "./atomic";
import { findEntry } from "./directory";
import { markPageDirty, repairPush } from "./dirtyring";
import { ENOMEM, OK } from "./errno";
import { allocHeap, freeHeap, markHeap } from "./heap";
import {
  Entry,
  Header,
  MARKED_AHEAD,
  NO_RING,
  READER_BYTES,
  Reader,
  Record,
  TLB_BYTES,
  TLB_ENTRY_BYTES,
  TLB_WRITE,
  Tlb,
  TlbEntry,
} from "./layout";
import { directoryOf, gfnIndexOf } from "./roots";
import { KVM_MEM_LOG_DIRTY_PAGES } from "./validate";

/** A tag that no page has. */
const TLB_NONE: u64 = u64.MAX_VALUE;

// ---- birth and death ----

/**
 * Give a vCPU that was just claimed, before its first section, a TLB of `entries`, a power of two from TLB_ENTRIES_MIN
 * to TLB_ENTRIES_MAX. OK or ENOMEM. The lock must be held.
 */
export function attachTlb(reader: usize, entries: u32): i32 {
  const line = changetype<Reader>(reader);
  releaseTlb(reader);
  freeTlb(reader);
  const bytes = TLB_BYTES + entries * TLB_ENTRY_BYTES + (entries >> 3);
  const block = allocHeap(line.header, bytes + TLB_BYTES);
  if (block == 0) return ENOMEM;
  line.tlbMemory = <u32>block;
  const tlb = changetype<Tlb>((block + (TLB_BYTES - 1)) & ~(<usize>TLB_BYTES - 1));
  tlb.pageShift = line.pageShift;
  tlb.indexMask = entries - 1;
  tlb.pageMask = ~(((<u64>1) << line.pageShift) - 1);
  tlb.filled = 1;
  emptyTlb(changetype<usize>(tlb));
  line.tlb = <u32>changetype<usize>(tlb);
  return OK;
}

/** Address of the vCPU's struct Tlb, which its entries follow; 0 if it has none. It stays where it is. */
export function tlbOf(reader: usize): usize {
  return changetype<Reader>(reader).tlb;
}

/** The vCPU of a line is gone, or dead: its marks are whole, and its TLB is the lock's. */
export function releaseTlb(reader: usize): void {
  const line = changetype<Reader>(reader);
  if (line.tlbMemory == 0) return;
  if (line.tlb != 0) {
    // It may have died in a push.
    if (line.ring > NO_RING) repairPush(line.ring);
    settleMarks(reader);
    line.nesting &= ~MARKED_AHEAD;
    line.tlb = 0;
  }
  noteSpareTlb(line.header);
}

/** Free the memory of TLBs that were released since. The lock must be held. */
export function freeSpareTlbs(header: usize): void {
  clearSpareTlbs(header);
  const engine = changetype<Header>(header);
  for (let i: u32 = 0; i < engine.maxVcpus; i++) freeTlb(<usize>engine.readers + i * READER_BYTES);
}

/** Free the memory of a line's TLB, if it has none in use. */
function freeTlb(reader: usize): void {
  const line = changetype<Reader>(reader);
  const block: usize = line.tlbMemory;
  if (block == 0 || line.tlb != 0) return;
  // First the word, so that a death in between leaves a block that the rebuild finds unmarked.
  line.tlbMemory = 0;
  freeHeap(line.header, block);
}

/** A part of the rebuild after a writer's death: TLBs in use are alive, the memory of all others is free. */
export function recoverTlbs(header: usize): void {
  const engine = changetype<Header>(header);
  for (let i: u32 = 0; i < engine.maxVcpus; i++) {
    const line = changetype<Reader>(<usize>engine.readers + i * READER_BYTES);
    if (line.tlb != 0) markHeap(line.tlbMemory);
    else line.tlbMemory = 0;
  }
}

// ---- entries ----

/**
 * Enter the page of guest byte `gpa`, which `record` of the pinned layout maps: its host address less its guest address
 * is `offset`. For TLB_WRITE the page is marked first.
 */
export function enterPage(reader: usize, record: usize, gpa: u64, access: u32, offset: i64): void {
  const line = changetype<Reader>(reader);
  const tlb = changetype<Tlb>(<usize>line.tlb);
  const page = gpa & tlb.pageMask;
  const index = tlbIndex(tlb, page);
  const entry = changetype<TlbEntry>(entryOf(changetype<usize>(tlb), index));
  if (entry.read != page && entry.write != page && entry.code != page) {
    // The page that has been here may be one that was written.
    if (entry.write != TLB_NONE) settleMarks(reader);
    entry.read = TLB_NONE;
    entry.write = TLB_NONE;
    entry.code = TLB_NONE;
    entry.addend = offset;
    tlb.filled = 1;
  }
  if (access == TLB_WRITE) markAhead(reader, record, gpa, index);
  store<u64>(changetype<usize>(entry) + (access << 3), page);
}

/** Place of a page: pages side by side do not meet, nor do 64 pages at strides of 16 KiB, 1 MiB or 4 MiB. */
function tlbIndex(tlb: Tlb, gpa: u64): u32 {
  const page = <u32>(gpa >> tlb.pageShift);
  return (page ^ (page >> 6) ^ (page >> 12)) & tlb.indexMask;
}

function entryOf(tlb: usize, index: u32): usize {
  return tlb + TLB_BYTES + index * TLB_ENTRY_BYTES;
}

/** Address of the bits of pages that are marked ahead of their writes. */
function aheadOf(tlb: usize): usize {
  return entryOf(tlb, changetype<Tlb>(tlb).indexMask + 1);
}

/** Mark the page of `gpa` before its first write, if `record` keeps a log. */
function markAhead(reader: usize, record: usize, gpa: u64, index: u32): void {
  const line = changetype<Reader>(reader);
  if ((changetype<Record>(record).flags & KVM_MEM_LOG_DIRTY_PAGES) == 0) return;
  const tlb: usize = line.tlb;
  if ((line.nesting & MARKED_AHEAD) == 0) {
    changetype<Tlb>(tlb).epoch = observeDirtyEpoch(line.header, reader);
    line.nesting |= MARKED_AHEAD;
  }
  const word = aheadOf(tlb) + ((index >> 5) << 2);
  store<u32>(word, load<u32>(word) | (1 << (index & 31)));
  markPageDirty(reader, record, gpa >> line.pageShift);
}

/**
 * Before the writes of a section are out of sight, or an entry is: if marks were taken since the first of them was set,
 * set all of them again and drop the write tags. The line must have its layout pinned; else nothing was written since.
 */
export function settleMarks(reader: usize): void {
  const line = changetype<Reader>(reader);
  if ((line.nesting & MARKED_AHEAD) == 0) return;
  const root = ownPin(reader);
  if (root == 0 || observeDirtyEpoch(line.header, reader) == changetype<Tlb>(<usize>line.tlb).epoch) return;
  dropAhead(reader, root);
}

/**
 * Before a section: if marks were taken since the last one, drop the write tags. What was written before is in that
 * harvest, and nothing was written since.
 */
export function forgetTaken(reader: usize): void {
  const line = changetype<Reader>(reader);
  if (dirtyEpochNow(line.header) != changetype<Tlb>(<usize>line.tlb).epoch) dropAhead(reader, 0);
}

/** Drop the write tags of logged pages; with a layout, set their marks again first. */
function dropAhead(reader: usize, root: usize): void {
  const line = changetype<Reader>(reader);
  const tlb: usize = line.tlb;
  const ahead = aheadOf(tlb);
  const words = (changetype<Tlb>(tlb).indexMask + 1) >> 5;
  for (let i: u32 = 0; i < words; i++) {
    const bits = load<u32>(ahead + (i << 2));
    for (let rest = bits; rest != 0; rest &= rest - 1) {
      const entry = changetype<TlbEntry>(entryOf(tlb, (i << 5) + ctz(rest)));
      if (entry.write == TLB_NONE) continue;
      if (root != 0) markGpa(reader, root, entry.write);
      entry.write = TLB_NONE;
    }
    if (bits != 0) store<u32>(ahead + (i << 2), 0);
  }
  line.nesting &= ~MARKED_AHEAD;
}

function markGpa(reader: usize, root: usize, gpa: u64): void {
  const line = changetype<Reader>(reader);
  const gfn = gpa >> line.pageShift;
  const entry = changetype<Entry>(findEntry(directoryOf(root, gfnIndexOf(line.asId)), gfn));
  if (gfn - entry.key < <u64>entry.npages) markPageDirty(reader, entry.record, gfn);
}

/** The line has another layout pinned, or looks into another address space: nothing is entered. */
export function flushTlb(reader: usize): void {
  const line = changetype<Reader>(reader);
  if (line.tlb == 0) return;
  line.nesting &= ~MARKED_AHEAD;
  emptyTlb(line.tlb);
}

function emptyTlb(tlb: usize): void {
  if (changetype<Tlb>(tlb).filled == 0) return;
  const entries = changetype<Tlb>(tlb).indexMask + 1;
  memory.fill(tlb + TLB_BYTES, 0xff, entries * TLB_ENTRY_BYTES);
  memory.fill(aheadOf(tlb), 0, entries >> 3);
  changetype<Tlb>(tlb).filled = 0;
}
