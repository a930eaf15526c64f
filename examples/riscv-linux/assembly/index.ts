/**
 * What the machine calls. `hart` is the address of a hart's state.
 */
import { readCsr, setReturn } from "./csr";
import { EXPANSIONS, fillExpansions } from "./expand";
import { getF, getX, Hart, SUPERVISOR, setF, setX } from "./hart";
import { HART_BYTES, useEngine } from "./mmu";
import { NO_RESERVATION } from "./trap";

export { completeLoad, completeStore, refuseAccess } from "./memory";
export { flush, makeFences } from "./mmu";
export { run } from "./run";

/** Bytes of a hart's state, a multiple of 64. */
export function hartBytes(): u32 {
  return HART_BYTES;
}

/** Bytes of the table that all harts share, and its contents. */
export function expansionBytes(): u32 {
  return EXPANSIONS << 2;
}

export function initExpansions(table: usize): void {
  fillExpansions(table);
}

/** A hart at reset, in S-mode. `reader`: its reader line; RAM: for the flat build. */
export function initHart(hart: usize, id: u32, reader: usize, expansions: usize): void {
  memory.fill(hart, 0, HART_BYTES);
  const state = changetype<Hart>(hart);
  state.id = id;
  state.expansions = <u32>expansions;
  useEngine(hart, reader);
}

/** A hart whose state was saved, with another reader line. */
export function resumeHart(hart: usize, reader: usize): void {
  const state = changetype<Hart>(hart);
  state.reservation = NO_RESERVATION;
  state.epoch = 0;
  useEngine(hart, reader);
}

export function useRam(hart: usize, gpa: f64, bytes: f64, hva: usize): void {
  const state = changetype<Hart>(hart);
  state.ramGpa = <u64>gpa;
  state.ramBytes = <u64>bytes;
  state.ramHva = <u32>hva;
}

/** As SBI's HSM starts a hart: at `pc` in S-mode, without translation, its number in a0, `opaque` in a1. */
export function startHart(hart: usize, pc: f64, opaque: f64): void {
  const state = changetype<Hart>(hart);
  state.privilege = SUPERVISOR;
  state.pc = <u64>pc;
  state.sstatus = 0;
  state.satp = 0;
  state.sie = 0;
  state.stimecmp = u64.MAX_VALUE;
  state.reservation = NO_RESERVATION;
  useEngine(hart, state.reader);
  setX(hart, 10, state.id);
  setX(hart, 11, <u64>opaque);
}

export function getPc(hart: usize): u64 {
  return changetype<Hart>(hart).pc;
}

export function setPc(hart: usize, pc: u64): void {
  changetype<Hart>(hart).pc = pc;
}

/** USER or SUPERVISOR. */
export function getPrivilege(hart: usize): u32 {
  return changetype<Hart>(hart).privilege;
}

export function getRegister(hart: usize, register: u32): u64 {
  return getX(hart, register);
}

export function setRegister(hart: usize, register: u32, value: u64): void {
  setX(hart, register, value);
}

export function getFloat(hart: usize, register: u32): u64 {
  return getF(hart, register);
}

export function setFloat(hart: usize, register: u32, value: u64): void {
  setF(hart, register, value);
}

/** A CSR of a hart that does not run. */
export function getCsr(hart: usize, csr: u32): u64 {
  return readCsr(hart, csr, changetype<Hart>(hart).instret);
}

/** Answer an SBI call. */
export function answer(hart: usize, error: i32, value: f64): void {
  setReturn(hart, error, <i64>value);
}

export function exitAddress(hart: usize): f64 {
  return <f64>changetype<Hart>(hart).exitAddress;
}

export function exitBytes(hart: usize): u32 {
  return changetype<Hart>(hart).exitBytes;
}

export function exitValue(hart: usize): u64 {
  return changetype<Hart>(hart).exitValue;
}

/** When the timer fires, in ticks. */
export function timerAt(hart: usize): f64 {
  return <f64>changetype<Hart>(hart).stimecmp;
}

/** Interrupts that are enabled, and the word that has the pending ones. */
export function enabledInterrupts(hart: usize): u32 {
  return <u32>changetype<Hart>(hart).sie;
}

export function mipAddress(hart: usize): usize {
  return hart + offsetof<Hart>("mip");
}

/** Words of the fences that others ask for, of those that are made, and of whether the hart executes nothing. */
export function fencesWantedAddress(hart: usize): usize {
  return hart + offsetof<Hart>("fencesWanted");
}

export function fencesDoneAddress(hart: usize): usize {
  return hart + offsetof<Hart>("fencesDone");
}

export function idleAddress(hart: usize): usize {
  return hart + offsetof<Hart>("idle");
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

/** Layout changes and fences that emptied the tables, and translations that were not in them. */
export function flushes(hart: usize): u32 {
  return changetype<Hart>(hart).flushes;
}

export function fences(hart: usize): f64 {
  return <f64>changetype<Hart>(hart).fences;
}

export function misses(hart: usize): f64 {
  return <f64>changetype<Hart>(hart).misses;
}
