/**
 * Traps into M-mode, the only mode there is, and the way back.
 */
import { CAUSE_FETCH_ACCESS, CAUSE_INTERRUPT, CAUSE_LOAD_ACCESS, CAUSE_STORE_ACCESS, Hart } from "./hart";

export const MSTATUS_MIE: u32 = 1 << 3;
const MSTATUS_MPIE: u32 = 1 << 7;
/** MPP reads as M. */
const MSTATUS_MPP: u32 = 3 << 11;
const MTVEC_VECTORED: u32 = 1;
/** Interrupts that exist, in the order of their priority. */
const MSI: u32 = 3;
const MTI: u32 = 7;
export const INTERRUPTS: u32 = (1 << MSI) | (1 << MTI);

export function legalMstatus(value: u32): u32 {
  return (value & (MSTATUS_MIE | MSTATUS_MPIE)) | MSTATUS_MPP;
}

/** The hart goes to its trap handler; `pc` is where it comes from. Returns the handler's address. */
function enterHandler(hart: usize, pc: u32, cause: u32, value: u32): u32 {
  const state = changetype<Hart>(hart);
  state.mepc = pc;
  state.mcause = cause;
  state.mtval = value;
  const enabled = (state.mstatus & MSTATUS_MIE) != 0;
  state.mstatus = MSTATUS_MPP | (enabled ? MSTATUS_MPIE : 0);
  const base = state.mtvec & ~3;
  if (cause & CAUSE_INTERRUPT && state.mtvec & MTVEC_VECTORED) return base + ((cause & 31) << 2);
  return base;
}

/** An exception: the instruction at `pc` does not retire. Returns where to go on. */
export function raise(hart: usize, pc: u32, cause: u32, value: u32): u32 {
  const state = changetype<Hart>(hart);
  state.instret -= 1;
  if (cause == CAUSE_FETCH_ACCESS) state.fetchFaults += 1;
  else if (cause == CAUSE_LOAD_ACCESS) state.loadFaults += 1;
  else if (cause == CAUSE_STORE_ACCESS) state.storeFaults += 1;
  return enterHandler(hart, pc, cause, value);
}

/** Interrupts that the hart would take if it takes any. */
export function pendingInterrupts(hart: usize): u32 {
  return atomic.load<u32>(hart, offsetof<Hart>("mip")) & changetype<Hart>(hart).mie;
}

/** Between two instructions: take an interrupt if there is one. Returns where to go on. */
export function takeInterrupt(hart: usize, pc: u32): u32 {
  const pending = pendingInterrupts(hart);
  if (pending == 0 || !(changetype<Hart>(hart).mstatus & MSTATUS_MIE)) return pc;
  return enterHandler(hart, pc, CAUSE_INTERRUPT | (pending & (1 << MSI) ? MSI : MTI), 0);
}

/** MRET. Returns where to go on. */
export function returnFromTrap(hart: usize): u32 {
  const state = changetype<Hart>(hart);
  const enabled = (state.mstatus & MSTATUS_MPIE) != 0;
  state.mstatus = MSTATUS_MPP | MSTATUS_MPIE | (enabled ? MSTATUS_MIE : 0);
  return state.mepc;
}
