/**
 * Traps into S-mode, and the way back. M-mode is the machine, which delegates everything to S but its calls.
 */
import {
  CAUSE_FETCH_ACCESS,
  CAUSE_INTERRUPT,
  CAUSE_LOAD_ACCESS,
  CAUSE_STORE_ACCESS,
  Hart,
  SUPERVISOR,
  USER,
} from "./hart";
import { chooseTable } from "./mmu";

export const SSTATUS_SIE: u64 = 1 << 1;
const SSTATUS_SPIE: u64 = 1 << 5;
const SSTATUS_SPP: u64 = 1 << 8;
const STVEC_VECTORED: u64 = 1;

/** Interrupts that exist: software, timer, external. */
export const SSI: u32 = 1 << 1;
export const STI: u32 = 1 << 5;
export const SEI: u32 = 1 << 9;
export const INTERRUPTS: u32 = SSI | STI | SEI;

/** No word has this address: there is no reservation. */
export const NO_RESERVATION: u64 = 1;

/** The hart goes to its trap handler; `pc` is where it comes from. Returns the handler's address. */
function enterHandler(hart: usize, pc: u64, cause: u64, value: u64): u64 {
  const state = changetype<Hart>(hart);
  state.sepc = pc;
  state.scause = cause;
  state.stval = value;
  const enabled = (state.sstatus & SSTATUS_SIE) != 0;
  const rest = state.sstatus & ~(SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_SPP);
  state.sstatus = rest | (enabled ? SSTATUS_SPIE : 0) | (state.privilege == SUPERVISOR ? SSTATUS_SPP : 0);
  state.privilege = SUPERVISOR;
  state.reservation = NO_RESERVATION;
  chooseTable(hart);
  const base = state.stvec & ~3;
  return cause & CAUSE_INTERRUPT && state.stvec & STVEC_VECTORED ? base + ((cause & 63) << 2) : base;
}

/** An exception: the instruction at `pc` does not retire. Returns where to go on. */
export function raise(hart: usize, pc: u64, cause: u64, value: u64): u64 {
  const state = changetype<Hart>(hart);
  state.instret -= 1;
  if (cause == CAUSE_FETCH_ACCESS) state.fetchFaults += 1;
  else if (cause == CAUSE_LOAD_ACCESS) state.loadFaults += 1;
  else if (cause == CAUSE_STORE_ACCESS) state.storeFaults += 1;
  return enterHandler(hart, pc, cause, value);
}

/** Interrupts that would wake the hart. */
export function pendingInterrupts(hart: usize): u32 {
  return atomic.load<u32>(hart, offsetof<Hart>("mip")) & <u32>changetype<Hart>(hart).sie;
}

/** Between two instructions: take an interrupt if there is one. Returns where to go on. */
export function takeInterrupt(hart: usize, pc: u64): u64 {
  const state = changetype<Hart>(hart);
  const pending = pendingInterrupts(hart);
  if (pending == 0 || (state.privilege == SUPERVISOR && (state.sstatus & SSTATUS_SIE) == 0)) return pc;
  const first = pending & SEI ? SEI : pending & SSI ? SSI : STI;
  return enterHandler(hart, pc, CAUSE_INTERRUPT | <u64>ctz(first), 0);
}

/** SRET. Returns where to go on. */
export function returnFromTrap(hart: usize): u64 {
  const state = changetype<Hart>(hart);
  const enabled = (state.sstatus & SSTATUS_SPIE) != 0;
  state.privilege = state.sstatus & SSTATUS_SPP ? SUPERVISOR : USER;
  const rest = state.sstatus & ~(SSTATUS_SIE | SSTATUS_SPP);
  state.sstatus = rest | SSTATUS_SPIE | (enabled ? SSTATUS_SIE : 0);
  chooseTable(hart);
  return state.sepc;
}
