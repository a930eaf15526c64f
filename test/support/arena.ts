/**
 * Guest accesses as the recorder made them, through the engine's lookups. The recorder let KVM write its wall clock to
 * guest memory and then checked which pages of one host mapping, the arena, were read and written (README of the
 * vectors, "How a translation was observed"). Nothing is stored here: an access is the list of host pages that it
 * reaches, and marks the pages dirty that it writes.
 */
import { HVA_BAD, HVA_RO_BAD } from "memslots";

const PAGE_BYTES = 0x1000n;
const ARENA_START = 0x1000_0000_0000;
const ARENA_BYTES = 2 ** 40;
/** The offset at which the recorder probed a page. */
const PROBE_OFFSET = 0x10n;
const VERSION_BYTES = 4n;
const CLOCK_BYTES = 12n;

export interface GuestMap {
  gpaToHva(gpa: number): number;
  gpaToHvaRead(gpa: number): number;
  markDirty(gpa: number): void;
}

/** Arena pages, ascending. */
export interface Access {
  readonly wrote: number[];
  /** Read or written. */
  readonly touched: number[];
}

/** Host address of an offset in the arena; KVM's addresses are 64 bits wide and wrap. */
export function arenaHva(offset: bigint): bigint {
  return BigInt.asUintN(64, BigInt(ARENA_START) + offset);
}

/** The pages that KVM reaches when it writes its wall clock to `gpa`: kvm_write_wall_clock, copy by copy. */
export function writeWallClock(map: GuestMap, gpa: bigint): Access {
  const read = new Set<number>();
  const wrote = new Set<number>();
  // Address 0 means "no wall clock" to KVM, whatever is mapped there.
  if (gpa === 0n) return { wrote: [], touched: [] };
  if (copy(gpa, VERSION_BYTES, (page) => reach(map.gpaToHvaRead(page), read))) {
    const write = (page: number) => {
      const reached = reach(map.gpaToHva(page), wrote);
      if (reached) map.markDirty(page);
      return reached;
    };
    // The version before and after the clock; KVM goes on after a clock that could be written in part only.
    if (copy(gpa, VERSION_BYTES, write)) {
      copy(gpa, CLOCK_BYTES, write);
      copy(gpa, VERSION_BYTES, write);
    }
  }
  return { wrote: ascending(wrote), touched: ascending(new Set([...read, ...wrote])) };
}

/** Arena page that a write to a page reaches, and that a read reaches; null where none does. */
export function translate(map: GuestMap, gpa: bigint): { page: number | null; rpage: number | null } {
  const { wrote, touched } = writeWallClock(map, gpa | PROBE_OFFSET);
  return { page: wrote[0] ?? null, rpage: touched[0] ?? null };
}

/**
 * kvm_read_guest and kvm_write_guest: page by page up to the first that fails; the pages before it stay done.
 */
function copy(gpa: bigint, bytes: bigint, piece: (gpa: number) => boolean): boolean {
  const end = gpa + bytes;
  for (let at = gpa; at < end; at = (at / PAGE_BYTES + 1n) * PAGE_BYTES) {
    // Lookups take numbers. Beyond 2^53 one is rounded, to another address that no slot can have.
    if (!piece(Number(at))) return false;
  }
  return true;
}

function reach(hva: number, pages: Set<number>): boolean {
  if (hva === HVA_BAD || hva === HVA_RO_BAD) return false;
  // A slot may map any user address. Only the arena has memory; elsewhere the copy faults.
  if (hva < ARENA_START || hva >= ARENA_START + ARENA_BYTES) return false;
  pages.add(Math.floor((hva - ARENA_START) / Number(PAGE_BYTES)));
  return true;
}

function ascending(pages: Set<number>): number[] {
  return [...pages].sort((a, b) => a - b);
}

/** Arguments cross the facade as numbers; only one that a number cannot hold goes as a bigint. */
export function narrowed(address: bigint): number | bigint {
  return address <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(address) : address;
}
