/**
 * From the addresses of programs to linear memory: Sv39, then the slots.
 *
 *   virtual --table of the mode--> linear                            a hit: one comparison, one addition
 *   virtual --walk--> guest physical --the engine's TLB--> linear    a miss
 *
 * A table has ENTRIES entries, found by the number of the page. Each has a tag for reads, for writes, and for
 * fetches, because pages and slots differ in what they admit.
 *
 * Invariants
 *  - Tables are looked at inside a section only, and are empty when the layout is another one than before.
 *  - An access that is not aligned never matches: the comparison has the low bits in it.
 *  - A tag for writes exists only if the page has its D bit, and is marked dirty since `epoch`: where marks were
 *    taken since, `settleDirty` marks all of them again before the section ends or an entry goes.
 *  - The slots' pages are plain memory and no smaller than those of the tables.
 */
import { dirtyEpochOf, enterSection, exitSection, fillTlb, keepMarks, markDirty, tlbOf } from "./engine";
import {
  CAUSE_FETCH_ACCESS,
  CAUSE_FETCH_PAGE,
  CAUSE_LOAD_ACCESS,
  CAUSE_LOAD_PAGE,
  CAUSE_STORE_ACCESS,
  CAUSE_STORE_PAGE,
  Hart,
  TABLES,
  USER,
} from "./hart";

/** What an access is, and where its tag is in an entry, in units of 8 bytes. */
export const READ: u32 = 0;
export const WRITE: u32 = 1;
export const CODE: u32 = 2;

export const PAGE_SHIFT: u32 = 12;
export const PAGE_BYTES: u32 = 1 << PAGE_SHIFT;
export const PAGE_MASK: u64 = ~(<u64>(PAGE_BYTES - 1));

const ENTRIES: u32 = 1024;
const ENTRY_SHIFT: u32 = 5;
const TABLE_BYTES: u32 = ENTRIES << ENTRY_SHIFT;
/** Tables: of U, of S, of S that may reach the pages of U. */
const OF_USER: u32 = 0;
const OF_SUPERVISOR: u32 = 1;
const OF_BOTH: u32 = 2;
const TABLE_COUNT: u32 = 3;
export const HART_BYTES: u32 = <u32>TABLES + TABLE_COUNT * TABLE_BYTES;

/** No page has this tag. */
const NONE: u64 = u64.MAX_VALUE;

@unmanaged
class Entry {
  read: u64;
  write: u64;
  code: u64;
  /** Linear address less the virtual one. */
  addend: u32;
  gfn: u32;
}

if (offsetof<Entry>() != 1 << ENTRY_SHIFT) ERROR("Entry");

/** struct memslots_tlb of the engine, and its entries. */
@unmanaged
class EngineTlb {
  pageShift: u32;
  indexMask: u32;
  pageMask: u64;
}

const ENGINE_TLB_BYTES: u32 = 32;

@unmanaged
class EngineEntry {
  read: u64;
  write: u64;
  code: u64;
  addend: i64;
}

export const SSTATUS_SUM: u64 = 1 << 18;
export const SSTATUS_MXR: u64 = 1 << 19;

const SATP_MODE_SHIFT: u64 = 60;
const SATP_PPN: u64 = 0x0fff_ffff_ffff;
const SV39_LEVELS: i32 = 3;
const SV39_UNUSED_BITS: u64 = 64 - 39;
/** Guest physical addresses of Sv39. */
const PHYSICAL_BITS: u64 = 56;

const PTE_V: u64 = 1;
const PTE_R: u64 = 2;
const PTE_W: u64 = 4;
const PTE_X: u64 = 8;
const PTE_U: u64 = 16;
const PTE_G: u64 = 32;
const PTE_A: u64 = 64;
const PTE_D: u64 = 128;
const PTE_PPN_SHIFT: u64 = 10;
/** Bits of extensions that this hart does not have. */
const PTE_RESERVED: u64 = 0xffc0_0000_0000_0000;

// ---- guest physical to linear ----

/** Linear address of `gpa`, 0 if there is no RAM for such an access. */
function physical(hart: usize, gpa: u64, access: u32): usize {
  const state = changetype<Hart>(hart);
  if (FLAT) {
    const offset = gpa - state.ramGpa;
    return offset < state.ramBytes ? <usize>offset + state.ramHva : 0;
  }
  const tlb: usize = state.tlb;
  const page = <u32>(gpa >> changetype<EngineTlb>(tlb).pageShift);
  const index = (page ^ (page >> 6) ^ (page >> 12)) & changetype<EngineTlb>(tlb).indexMask;
  const entry = tlb + ENGINE_TLB_BYTES + index * <u32>offsetof<EngineEntry>();
  if ((gpa & changetype<EngineTlb>(tlb).pageMask) == load<u64>(entry + (access << 3))) {
    return <u32>gpa + load<u32>(entry, offsetof<EngineEntry>("addend"));
  }
  const hva = fillTlb(state.reader, <f64>gpa, access);
  return hva < 0 ? 0 : <usize>hva;
}

// ---- virtual to guest physical ----

function pageFault(hart: usize, access: u32): u64 {
  const cause = access == WRITE ? CAUSE_STORE_PAGE : access == CODE ? CAUSE_FETCH_PAGE : CAUSE_LOAD_PAGE;
  changetype<Hart>(hart).fault = <u32>cause;
  return NONE;
}

function accessFault(hart: usize, access: u32): u64 {
  const cause =
    access == WRITE ? CAUSE_STORE_ACCESS : access == CODE ? CAUSE_FETCH_ACCESS : CAUSE_LOAD_ACCESS;
  changetype<Hart>(hart).fault = <u32>cause;
  return NONE;
}

/** May the present mode make such an access by this leaf? */
function admits(hart: usize, pte: u64, access: u32): bool {
  const state = changetype<Hart>(hart);
  if (state.privilege == USER) {
    if ((pte & PTE_U) == 0) return false;
  } else if (pte & PTE_U && (access == CODE || (state.sstatus & SSTATUS_SUM) == 0)) return false;
  if (access == WRITE) return (pte & PTE_W) != 0;
  if (access == CODE) return (pte & PTE_X) != 0;
  return (pte & PTE_R) != 0 || (pte & PTE_X && (state.sstatus & SSTATUS_MXR) != 0);
}

/** Set the A and D bits in memory. False if the entry there is another one by now. */
function note(hart: usize, at: u64, pte: u64, bits: u64): bool {
  const host = physical(hart, at, WRITE);
  return host != 0 && atomic.cmpxchg<u64>(host, pte, pte | bits) == pte;
}

/** Guest physical address of `address`; NONE, and `fault`, if the page tables do not give it. */
function walk(hart: usize, address: u64, access: u32): u64 {
  const state = changetype<Hart>(hart);
  if (state.satp >> SATP_MODE_SHIFT == 0) {
    return address >> PHYSICAL_BITS ? accessFault(hart, access) : address;
  }
  if (<u64>(<i64>(address << SV39_UNUSED_BITS) >> SV39_UNUSED_BITS) != address)
    return pageFault(hart, access);
  let table = (state.satp & SATP_PPN) << PAGE_SHIFT;
  let isGlobal = false;
  for (let level = SV39_LEVELS - 1; level >= 0; level--) {
    const shift = <u64>(PAGE_SHIFT + 9 * level);
    const at = table + (((address >> shift) & 511) << 3);
    const host = physical(hart, at, READ);
    if (host == 0) return accessFault(hart, access);
    const pte = atomic.load<u64>(host);
    if ((pte & PTE_V) == 0 || (pte & (PTE_R | PTE_W)) == PTE_W || pte & PTE_RESERVED) {
      return pageFault(hart, access);
    }
    isGlobal = isGlobal || (pte & PTE_G) != 0;
    const base = (pte >> PTE_PPN_SHIFT) << PAGE_SHIFT;
    if ((pte & (PTE_R | PTE_X)) == 0) {
      if (pte & (PTE_A | PTE_D | PTE_U)) return pageFault(hart, access);
      table = base;
      continue;
    }
    const inside = ((<u64>1) << shift) - 1;
    if (base & inside || !admits(hart, pte, access)) return pageFault(hart, access);
    const bits = access == WRITE ? PTE_A | PTE_D : PTE_A;
    if ((pte & bits) != bits && !note(hart, at, pte, bits)) {
      if (physical(hart, at, WRITE) == 0) return accessFault(hart, access);
      // Another hart has changed the entry: look again.
      level++;
      continue;
    }
    if (!isGlobal && state.table == <u32>tableAt(hart, OF_SUPERVISOR)) state.ownPages = 1;
    if (level > 0) noteLarge(hart, address & ~inside, address | inside);
    return base | (address & inside);
  }
  return pageFault(hart, access);
}

// ---- tables ----

function entryOf(hart: usize, address: u64): usize {
  const index = <u32>(address >> PAGE_SHIFT) & (ENTRIES - 1);
  return <usize>changetype<Hart>(hart).table + (index << ENTRY_SHIFT);
}

/** Linear address of an access that the table knows; 0 if it does not, or is not aligned. `align`: bytes less one. */
export function probe(hart: usize, address: u64, align: u64, access: u32): usize {
  const entry = entryOf(hart, address);
  if ((address & (PAGE_MASK | align)) != load<u64>(entry + (access << 3))) return 0;
  return <u32>address + load<u32>(entry, offsetof<Entry>("addend"));
}

/**
 * Linear address of an access inside one page, which is entered. 0 if there is none: `fault` is its cause, and
 * for an access fault behind the page tables `exitAddress` the guest physical address.
 */
export function translate(hart: usize, address: u64, access: u32): usize {
  const state = changetype<Hart>(hart);
  const found = probe(hart, address, 0, access);
  if (found != 0) return found;
  state.misses += 1;
  const gpa = walk(hart, address, access);
  state.exitAddress = gpa;
  if (gpa == NONE) return 0;
  const host = physical(hart, gpa, access);
  if (host == 0) {
    accessFault(hart, access);
    return 0;
  }
  enter(hart, address, gpa, host, access);
  return host;
}

function enter(hart: usize, address: u64, gpa: u64, host: usize, access: u32): void {
  const entry = changetype<Entry>(entryOf(hart, address));
  const page = address & PAGE_MASK;
  const addend = <u32>host - <u32>address;
  const gfn = <u32>(gpa >> PAGE_SHIFT);
  const isSame = entry.read == page || entry.write == page || entry.code == page;
  if (!isSame || entry.addend != addend || entry.gfn != gfn) {
    if (entry.write != NONE) settleDirty(hart);
    entry.read = NONE;
    entry.write = NONE;
    entry.code = NONE;
    entry.addend = addend;
    entry.gfn = gfn;
  }
  store<u64>(changetype<usize>(entry) + (access << 3), page);
}

function tableAt(hart: usize, table: u32): usize {
  return hart + TABLES + table * TABLE_BYTES;
}

/** The mode, or what it may reach, is another one. */
export function chooseTable(hart: usize): void {
  const state = changetype<Hart>(hart);
  const ofSupervisor = state.sstatus & SSTATUS_SUM ? OF_BOTH : OF_SUPERVISOR;
  state.table = <u32>tableAt(hart, state.privilege == USER ? OF_USER : ofSupervisor);
}

function dropAll(hart: usize): void {
  const state = changetype<Hart>(hart);
  memory.fill(hart + TABLES, 0xff, TABLE_COUNT * TABLE_BYTES);
  state.ownPages = 0;
  state.userLarge = NONE;
  state.userLargeLast = 0;
  state.kernelLarge = NONE;
  state.kernelLargeLast = 0;
}

/** A page of more than PAGE_BYTES, of which the tables have parts: a fence for one of its addresses is for all. */
function noteLarge(hart: usize, first: u64, last: u64): void {
  const state = changetype<Hart>(hart);
  if (<i64>first < 0) {
    state.kernelLarge = min(state.kernelLarge, first);
    state.kernelLargeLast = max(state.kernelLargeLast, last);
  } else {
    state.userLarge = min(state.userLarge, first);
    state.userLargeLast = max(state.userLargeLast, last);
  }
}

function maybeLarge(hart: usize, address: u64): bool {
  const state = changetype<Hart>(hart);
  return <i64>address < 0
    ? address >= state.kernelLarge && address <= state.kernelLargeLast
    : address >= state.userLarge && address <= state.userLargeLast;
}

/** Empty the tables: the page tables are others. */
export function flush(hart: usize): void {
  settleDirty(hart);
  changetype<Hart>(hart).fences += 1;
  dropAll(hart);
}

/** Drop the page of `address` from all tables. */
export function flushPage(hart: usize, address: u64): void {
  if (maybeLarge(hart, address)) {
    flush(hart);
    return;
  }
  settleDirty(hart);
  changetype<Hart>(hart).fences += 1;
  const index = <u32>(address >> PAGE_SHIFT) & (ENTRIES - 1);
  for (let table: u32 = 0; table < TABLE_COUNT; table++) {
    memory.fill(tableAt(hart, table) + (index << ENTRY_SHIFT), 0xff, offsetof<Entry>());
  }
}

/** Another address space: what is in the table of S stays if all of it is global. */
export function switchAddressSpace(hart: usize): void {
  if (changetype<Hart>(hart).ownPages) {
    flush(hart);
    return;
  }
  settleDirty(hart);
  memory.fill(tableAt(hart, OF_USER), 0xff, TABLE_BYTES);
  memory.fill(tableAt(hart, OF_BOTH), 0xff, TABLE_BYTES);
}

// ---- dirty pages ----

/**
 * Before the writes of a section are out of sight, or an entry is: if marks were taken since the pages of the tables
 * were marked, mark them again, and drop their tags.
 */
export function settleDirty(hart: usize): void {
  dropTaken(hart, true);
}

function dropTaken(hart: usize, isWritten: bool): void {
  if (FLAT) return;
  const state = changetype<Hart>(hart);
  if (dirtyEpochOf(state.reader) == state.epoch) return;
  const end = hart + HART_BYTES;
  for (let at = hart + TABLES; at < end; at += offsetof<Entry>()) {
    const entry = changetype<Entry>(at);
    if (entry.write == NONE) continue;
    if (isWritten) markDirty(state.reader, <f64>((<u64>entry.gfn) << PAGE_SHIFT));
    entry.write = NONE;
  }
  state.epoch = keepMarks(state.reader);
}

// ---- sections ----

/** A hart of the reader line `reader`. */
export function useEngine(hart: usize, reader: usize): void {
  changetype<Hart>(hart).reader = <u32>reader;
  if (!FLAT) {
    changetype<Hart>(hart).tlb = <u32>tlbOf(reader);
    changetype<Hart>(hart).epoch = keepMarks(reader);
  }
  dropAll(hart);
  chooseTable(hart);
}

/** Make the fences that other harts have asked for since the last look. */
export function makeFences(hart: usize): void {
  const wanted = atomic.load<u32>(hart, offsetof<Hart>("fencesWanted"));
  if (wanted == changetype<Hart>(hart).fencesDone) return;
  flush(hart);
  atomic.store<u32>(hart, wanted, offsetof<Hart>("fencesDone"));
  atomic.notify(hart + offsetof<Hart>("fencesDone"));
}

/** Begin a section. True if the layout is another one; what was derived from the last one is dropped. */
export function beginSection(hart: usize): bool {
  let isNew = false;
  if (!FLAT && enterSection(changetype<Hart>(hart).reader)) {
    changetype<Hart>(hart).flushes += 1;
    dropAll(hart);
    isNew = true;
  }
  // What was written in the last section is in a harvest since, and nothing was written after it.
  dropTaken(hart, false);
  makeFences(hart);
  return isNew;
}

export function endSection(hart: usize): void {
  if (FLAT) return;
  settleDirty(hart);
  exitSection(changetype<Hart>(hart).reader);
}
