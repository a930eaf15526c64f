/**
 * Loads by guest address in a loop: `count` u32 addresses from address `keys` on, of 4-byte words. The sum is that of
 * the words. What emulators inline is the probe of docs/abi.md, for guests of 32-bit addresses.
 */
import { TLB_BYTES, TLB_READ, Tlb, TlbEntry } from "../../assembly/layout";
import { fillTlb } from "../../assembly/lookup";
import { tlbOf } from "../../assembly/tlb";

/** Bits of an address that must be 0 in a 4-byte access. */
const ALIGN: u32 = 3;
const ENTRY_SHIFT: u32 = 5;

/** Host addresses. */
export function loadFlat(keys: usize, count: u32): f64 {
  const end = keys + (count << 2);
  let sum: u64 = 0;
  for (; keys < end; keys += 4) sum += load<u32>(load<u32>(keys));
  return <f64>sum;
}

/**
 * Guest addresses. The line must be in a section, and have a TLB. What the head of the TLB says never changes, so a
 * loop keeps it in locals, as an emulator does. A miss leaves the inner loop: with a call inside of it, the compiler
 * would keep all of them on the stack.
 */
export function loadProbed(reader: usize, keys: usize, count: u32): f64 {
  const end = keys + (count << 2);
  const tlb = tlbOf(reader);
  const entries = tlb + TLB_BYTES;
  // Shifted, so that the place of an entry comes out in bytes.
  const shift = changetype<Tlb>(tlb).pageShift - ENTRY_SHIFT;
  const mask = changetype<Tlb>(tlb).indexMask << ENTRY_SHIFT;
  const tagMask = <u32>changetype<Tlb>(tlb).pageMask | ALIGN;
  let sum: u64 = 0;
  while (true) {
    for (; keys < end; keys += 4) {
      const gpa = load<u32>(keys);
      const page = gpa >> shift;
      const entry = entries + ((page ^ (page >> 6) ^ (page >> 12)) & mask);
      if ((gpa & tagMask) != load<u32>(entry, offsetof<TlbEntry>("read"))) break;
      sum += load<u32>(gpa + load<u32>(entry, offsetof<TlbEntry>("addend")));
    }
    if (keys == end) return <f64>sum;
    sum += load<u32>(<usize>fillTlb(reader, load<u32>(keys), TLB_READ));
    keys += 4;
  }
}
