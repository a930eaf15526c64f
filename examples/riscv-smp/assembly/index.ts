/**
 * What the machine calls. `hart` is the address of a hart's state.
 */
import { NO_RESERVATION } from "./amo";
import { readCsr } from "./csr";
import { getX, HART_BYTES, Hart, setX } from "./hart";
import { flushTlb, RAM_HVA } from "./tlb";
import { legalMstatus } from "./trap";

export { completeLoad, completeStore, refuseAccess } from "./memory";
export { run } from "./run";

/** Bytes of a hart's state, a multiple of 64. */
export function hartBytes(): u32 {
  return HART_BYTES;
}

/** Where RAM begins in linear memory. */
export function ramHva(): usize {
  return RAM_HVA;
}

/** A hart at reset. `reader`: its reader line; `ramBytes`: for the flat build. */
export function initHart(hart: usize, id: u32, pc: u32, reader: usize, ramBytes: u32): void {
  memory.fill(hart, 0, HART_BYTES);
  const state = changetype<Hart>(hart);
  state.mhartid = id;
  state.pc = pc;
  state.reader = <u32>reader;
  state.ramBytes = ramBytes;
  state.mstatus = legalMstatus(0);
  state.reservation = NO_RESERVATION;
  flushTlb(hart);
}

export function getPc(hart: usize): u32 {
  return changetype<Hart>(hart).pc;
}

export function setPc(hart: usize, pc: u32): void {
  changetype<Hart>(hart).pc = pc;
}

export function getRegister(hart: usize, register: u32): u32 {
  return getX(hart, register);
}

export function setRegister(hart: usize, register: u32, value: u32): void {
  setX(hart, register, value);
}

/** A CSR of a hart that does not run, -1 if there is none. */
export function getCsr(hart: usize, csr: u32): f64 {
  const value = readCsr(hart, csr, changetype<Hart>(hart).instret);
  return value == u64.MAX_VALUE ? -1 : <f64>value;
}

export function exitAddress(hart: usize): u32 {
  return changetype<Hart>(hart).exitAddress;
}

export function exitBytes(hart: usize): u32 {
  return changetype<Hart>(hart).exitBytes;
}

export function exitValue(hart: usize): u32 {
  return changetype<Hart>(hart).exitValue;
}

/** Address of the interrupt-pending word, for whoever sends interrupts. */
export function mipAddress(hart: usize): usize {
  return hart + offsetof<Hart>("mip");
}

/** Instructions retired. */
export function instructions(hart: usize): f64 {
  return <f64>changetype<Hart>(hart).instret;
}

/** Access faults taken: fetches, loads, stores. */
export function fetchFaults(hart: usize): u32 {
  return changetype<Hart>(hart).fetchFaults;
}

export function loadFaults(hart: usize): u32 {
  return changetype<Hart>(hart).loadFaults;
}

export function storeFaults(hart: usize): u32 {
  return changetype<Hart>(hart).storeFaults;
}

/** Layout changes that emptied the TLB, and translations that were not in it. */
export function flushes(hart: usize): u32 {
  return changetype<Hart>(hart).flushes;
}

export function misses(hart: usize): f64 {
  return <f64>changetype<Hart>(hart).misses;
}
