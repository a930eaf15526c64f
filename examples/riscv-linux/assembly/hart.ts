/**
 * The state of one hart in linear memory. Every instance of this module is stateless, so that any thread may
 * run any hart, one at a time.
 *
 *      0 +-----------------------------+
 *        | Hart                        |
 *    512 | x0 .. x31                   |
 *    768 | f0 .. f31                   |
 *   1024 | translations of U           |  three tables, see mmu.ts
 *        | of S                        |
 *        | of S that may reach U       |
 *        +-----------------------------+
 */

/** Why `run` came back. */
export const EXIT_BUDGET: i32 = 0;
/** A load, a store that found no RAM: exitAddress, exitBytes, exitValue. The hart has not moved on. */
export const EXIT_LOAD: i32 = 1;
export const EXIT_STORE: i32 = 2;
/** The hart waits for an interrupt, or for another hart. */
export const EXIT_WFI: i32 = 3;
export const EXIT_PAUSE: i32 = 4;
/** An SBI call that is not answered here: a0 to a7. The hart has moved on. */
export const EXIT_SBI: i32 = 5;

/** Exception causes of the privileged specification. */
export const CAUSE_FETCH_ACCESS: u64 = 1;
export const CAUSE_ILLEGAL: u64 = 2;
export const CAUSE_BREAKPOINT: u64 = 3;
export const CAUSE_MISALIGNED_LOAD: u64 = 4;
export const CAUSE_LOAD_ACCESS: u64 = 5;
export const CAUSE_MISALIGNED_STORE: u64 = 6;
export const CAUSE_STORE_ACCESS: u64 = 7;
export const CAUSE_ECALL_U: u64 = 8;
export const CAUSE_FETCH_PAGE: u64 = 12;
export const CAUSE_LOAD_PAGE: u64 = 13;
export const CAUSE_STORE_PAGE: u64 = 15;
export const CAUSE_INTERRUPT: u64 = 1 << 63;

/** Privilege modes that this hart has. */
export const USER: u32 = 0;
export const SUPERVISOR: u32 = 1;

@unmanaged
export class Hart {
  pc: u64;
  /** EXIT_* that the present instruction asks for; EXIT_BUDGET: none. */
  exit: i32;
  /** Reader line of the engine, and its TLB; of the build with the engine only. */
  reader: u32;
  tlb: u32;
  /** USER or SUPERVISOR. */
  privilege: u32;
  /** Address of the translations that the present mode uses. */
  table: u32;
  id: u32;
  /** Address of the table of expand.ts. */
  expansions: u32;
  /** Guest address of RAM and its bytes; the flat build's only. */
  ramGpa: u64;
  ramBytes: u64;
  /** Where RAM is in linear memory. */
  ramHva: u32;
  /** Cause of the translation that has just failed. */
  fault: u32;
  exitAddress: u64;
  /** The value of a store. */
  exitValue: u64;
  exitBytes: u32;
  /** The instruction that exited, and its bytes. */
  exitInsn: u32;
  exitLength: u32;
  /** atomic; interrupts that are pending. Any thread sets SSIP and SEIP, the hart's own thread STIP. */
  mip: u32;
  /** atomic; fences that other harts have asked for, and those that this one has made. */
  fencesWanted: u32;
  fencesDone: u32;
  /** atomic; 1 while the hart executes nothing: it makes its fences before it goes on. */
  idle: u32;
  /** atomic; what FENCE operates on. */
  fenceWord: u32;
  sstatus: u64;
  sie: u64;
  stvec: u64;
  sscratch: u64;
  sepc: u64;
  scause: u64;
  stval: u64;
  satp: u64;
  stimecmp: u64;
  scounteren: u64;
  senvcfg: u64;
  /** LR: where, and what was there. */
  reservation: u64;
  reservedValue: u64;
  fflags: u32;
  frm: u32;
  /** The dirty epoch from before the first mark of the pages that the tables admit writes to. */
  epoch: u32;
  /** 1 if the table of S has an entry that one address space owns. */
  ownPages: u32;
  /** First and last address that large pages in the tables have, of U and of S. */
  userLarge: u64;
  userLargeLast: u64;
  kernelLarge: u64;
  kernelLargeLast: u64;
  /** Instructions retired; also the cycle counter. */
  instret: u64;
  /** Access faults that the hart took. */
  fetchFaults: u32;
  loadFaults: u32;
  storeFaults: u32;
  /** Layout changes that emptied the tables. */
  flushes: u32;
  /** Translations that the tables did not have, and fences that emptied them. */
  misses: u64;
  fences: u64;
}

const REGISTERS: usize = 512;
const FLOATS: usize = 768;
export const TABLES: usize = 1024;

if (offsetof<Hart>() > REGISTERS) ERROR("Hart");

export function getX(hart: usize, register: u32): u64 {
  return load<u64>(hart + (register << 3), REGISTERS);
}

/** x0 is written and zeroed again: cheaper than a branch. */
export function setX(hart: usize, register: u32, value: u64): void {
  store<u64>(hart + (register << 3), value, REGISTERS);
  store<u64>(hart, 0, REGISTERS);
}

/** The register that the bits of `insn` from `shift` on name. */
export function rs1(hart: usize, insn: u32): u64 {
  return load<u64>(hart + ((insn >> 12) & 0xf8), REGISTERS);
}

export function rs2(hart: usize, insn: u32): u64 {
  return load<u64>(hart + ((insn >> 17) & 0xf8), REGISTERS);
}

export function setRd(hart: usize, insn: u32, value: u64): void {
  store<u64>(hart + ((insn >> 4) & 0xf8), value, REGISTERS);
  store<u64>(hart, 0, REGISTERS);
}

export function getF(hart: usize, register: u32): u64 {
  return load<u64>(hart + (register << 3), FLOATS);
}

/** The float unit: off, initial, clean, dirty. */
export const SSTATUS_FS: u64 = 3 << 13;

/** Is the float unit on? */
export function hasFloats(hart: usize): bool {
  return (changetype<Hart>(hart).sstatus & SSTATUS_FS) != 0;
}

/** Floats that the guest has changed are for it to save. */
export function setF(hart: usize, register: u32, value: u64): void {
  store<u64>(hart + (register << 3), value, FLOATS);
  changetype<Hart>(hart).sstatus |= SSTATUS_FS;
}
