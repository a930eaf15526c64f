/**
 * The state of one hart in linear memory. Every instance of this module is stateless, so that any thread may
 * run any hart, one at a time.
 *
 *    0 +----------------------+
 *      | Hart                 |
 *  256 | x0 .. x31            |
 *  512 | TLB, 256 x 16 bytes  |
 * 4608 +----------------------+
 */

/** Why `run` came back. */
export const EXIT_BUDGET: i32 = 0;
/** A load, a store that found no RAM: exitAddress, exitBytes, exitValue. The hart has not moved on. */
export const EXIT_LOAD: i32 = 1;
export const EXIT_STORE: i32 = 2;
/** The hart waits for an interrupt, or for another hart. */
export const EXIT_WFI: i32 = 3;
export const EXIT_PAUSE: i32 = 4;

/** Exception causes of the privileged specification. */
export const CAUSE_MISALIGNED_FETCH: u32 = 0;
export const CAUSE_FETCH_ACCESS: u32 = 1;
export const CAUSE_ILLEGAL: u32 = 2;
export const CAUSE_BREAKPOINT: u32 = 3;
export const CAUSE_MISALIGNED_LOAD: u32 = 4;
export const CAUSE_LOAD_ACCESS: u32 = 5;
export const CAUSE_MISALIGNED_STORE: u32 = 6;
export const CAUSE_STORE_ACCESS: u32 = 7;
export const CAUSE_ECALL_M: u32 = 11;
export const CAUSE_INTERRUPT: u32 = 0x80000000;

@unmanaged
export class Hart {
  pc: u32;
  /** EXIT_* that the present instruction asks for; EXIT_BUDGET: none. */
  exit: i32;
  /** Reader line of the engine. */
  reader: u32;
  /** Bytes of RAM; of the flat build only. */
  ramBytes: u32;
  exitAddress: u32;
  exitBytes: u32;
  /** The value of a store. */
  exitValue: u32;
  /** The instruction that exited. */
  exitInsn: u32;
  mhartid: u32;
  mstatus: u32;
  mie: u32;
  /** atomic; any thread sets and clears MSIP, the hart's own thread MTIP. */
  mip: u32;
  mtvec: u32;
  mscratch: u32;
  mepc: u32;
  mcause: u32;
  mtval: u32;
  /** LR: where, and what was there. */
  reservation: u32;
  reservedValue: u32;
  /** atomic; what FENCE operates on. */
  fenceWord: u32;
  /** Instructions retired; also the cycle counter. */
  instret: u64;
  /** Access faults that the hart took. */
  fetchFaults: u32;
  loadFaults: u32;
  storeFaults: u32;
  /** Layout changes seen, and translations that the TLB did not have. */
  flushes: u32;
  misses: u64;
}

export const REGISTERS: usize = 256;
export const TLB: usize = 512;
export const TLB_ENTRIES: u32 = 256;
export const TLB_ENTRY_BYTES: u32 = 16;
export const HART_BYTES: u32 = 4608;

if (offsetof<Hart>() > REGISTERS) ERROR("Hart");
if (TLB + TLB_ENTRIES * TLB_ENTRY_BYTES != HART_BYTES) ERROR("HART_BYTES");

export function getX(hart: usize, register: u32): u32 {
  return load<u32>(hart + (register << 2), REGISTERS);
}

/** x0 is written and zeroed again: cheaper than a branch. */
export function setX(hart: usize, register: u32, value: u32): void {
  store<u32>(hart + (register << 2), value, REGISTERS);
  store<u32>(hart, 0, REGISTERS);
}
