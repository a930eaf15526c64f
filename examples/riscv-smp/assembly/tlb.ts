/**
 * From guest address to linear memory: a software TLB in front of the engine's lookup, or in the flat build
 * one comparison.
 *
 * Invariants
 *  - An entry is of the layout that the section has pinned: enterSection tells when that is another one than
 *    in the section before, and everything is dropped then. This is all that a TLB needs of the engine.
 *  - A write tag lives for one section. Its page is marked dirty after its last write, when the tag goes: a
 *    harvest in between finds the page in its next round, and one that waits for the readers finds it at once.
 *  - Addresses that are not aligned never match: the tag comparison has the low bits in it.
 */
import { enterSection, exitSection, gpaToHva, gpaToHvaRead, markDirty } from "./engine";
import { Hart, TLB, TLB_ENTRIES, TLB_ENTRY_BYTES } from "./hart";

/** 1 KiB: no engine page of this machine is smaller. */
const PAGE_SHIFT: u32 = 10;
const PAGE_MASK: u32 = 0xfffffc00;
/** No address has this tag. */
const NO_PAGE: u32 = 0xffffffff;

/** The flat build's RAM, in the guest and in linear memory; the machine puts it there in both builds. */
const RAM_GPA: u32 = 0x80000000;
export const RAM_HVA: u32 = 0x10000;

@unmanaged
class Entry {
  /** Page whose reads, and whose writes, the entry answers. */
  read: u32;
  write: u32;
  /** Linear address less guest address. */
  bias: u32;
  pad: u32;
}

if (offsetof<Entry>() != TLB_ENTRY_BYTES) ERROR("Entry");

/** The entry that a page would be in. */
function entryOf(hart: usize, address: u32): Entry {
  return changetype<Entry>(hart + TLB + ((address >> PAGE_SHIFT) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES);
}

function flatHost(hart: usize, address: u32, align: u32): usize {
  const offset = address - RAM_GPA;
  if (offset >= changetype<Hart>(hart).ramBytes || address & align) return 0;
  return offset + RAM_HVA;
}

/** Linear address of a read, 0 if there is no RAM or it is not aligned. `align`: bytes less one. */
export function hostForRead(hart: usize, address: u32, align: u32): usize {
  if (FLAT) return flatHost(hart, address, align);
  const entry = entryOf(hart, address);
  if ((address & (PAGE_MASK | align)) == entry.read) return address + entry.bias;
  return fillRead(hart, address, align);
}

/** The same for a write; 0 also if the slot is READONLY. */
export function hostForWrite(hart: usize, address: u32, align: u32): usize {
  if (FLAT) return flatHost(hart, address, align);
  const entry = entryOf(hart, address);
  if ((address & (PAGE_MASK | align)) == entry.write) return address + entry.bias;
  return fillWrite(hart, address, align);
}

/** True if `pc` is not in the page of `tag`, or not aligned. */
export function leavesPage(pc: u32, tag: u32): bool {
  return (pc & (PAGE_MASK | 3)) != tag;
}

export function pageOf(address: u32): u32 {
  return address & PAGE_MASK;
}

/** Let a write tag go. */
function retireWrite(hart: usize, entry: Entry): void {
  if (entry.write == NO_PAGE) return;
  markDirty(changetype<Hart>(hart).reader, entry.write);
  entry.write = NO_PAGE;
}

function fillRead(hart: usize, address: u32, align: u32): usize {
  if (address & align) return 0;
  const page = pageOf(address);
  const hva = gpaToHvaRead(changetype<Hart>(hart).reader, page);
  changetype<Hart>(hart).misses += 1;
  if (hva < 0) return 0;
  const entry = entryOf(hart, address);
  if (entry.write != page) retireWrite(hart, entry);
  entry.read = page;
  entry.bias = <u32>hva - page;
  return address + entry.bias;
}

function fillWrite(hart: usize, address: u32, align: u32): usize {
  if (address & align) return 0;
  const page = pageOf(address);
  const hva = gpaToHva(changetype<Hart>(hart).reader, page);
  changetype<Hart>(hart).misses += 1;
  if (hva < 0) return 0;
  const entry = entryOf(hart, address);
  retireWrite(hart, entry);
  entry.read = page;
  entry.write = page;
  entry.bias = <u32>hva - page;
  return address + entry.bias;
}

/** Nothing is known; for a new hart, and when the layout has changed. */
export function flushTlb(hart: usize): void {
  memory.fill(hart + TLB, 0xff, TLB_ENTRIES * TLB_ENTRY_BYTES);
}

/** Begin a section. True if what was derived from the layout, the reservation included, is void. */
export function beginSection(hart: usize): bool {
  if (FLAT) return false;
  if (!enterSection(changetype<Hart>(hart).reader)) return false;
  flushTlb(hart);
  changetype<Hart>(hart).flushes += 1;
  return true;
}

/** End it: the pages that were written become dirty, while the layout they were written in is pinned. */
export function endSection(hart: usize): void {
  if (FLAT) return;
  const end = hart + TLB + TLB_ENTRIES * TLB_ENTRY_BYTES;
  for (let entry = hart + TLB; entry < end; entry += TLB_ENTRY_BYTES) {
    retireWrite(hart, changetype<Entry>(entry));
  }
  exitSection(changetype<Hart>(hart).reader);
}
