/**
 * Control and status registers, and the instructions of opcode SYSTEM.
 */
import { now } from "./clock";
import {
  CAUSE_BREAKPOINT,
  CAUSE_ECALL_U,
  CAUSE_ILLEGAL,
  EXIT_SBI,
  EXIT_WFI,
  getX,
  Hart,
  hasFloats,
  rs1,
  SSTATUS_FS,
  SUPERVISOR,
  setRd,
  USER,
} from "./hart";
import { chooseTable, flush, flushPage, SSTATUS_MXR, SSTATUS_SUM, switchAddressSpace } from "./mmu";
import {
  INTERRUPTS,
  NO_RESERVATION,
  pendingInterrupts,
  raise,
  returnFromTrap,
  SSI,
  STI,
  takeInterrupt,
} from "./trap";

/** Bits 11 and 10 of the address of a CSR that cannot be written; bits 9 and 8: the mode that it needs. */
const READ_ONLY: u32 = 0xc00;
/** Counters that U sees if scounteren says so. */
const COUNTERS: u32 = 0xc00;

const SSTATUS_UXL_64: u64 = (<u64>2) << 32;
const SSTATUS_SD: u64 = 1 << 63;
/** Bits that can be written: SIE, SPIE, SPP, FS, SUM, MXR. */
const SSTATUS_WRITABLE: u64 = 0x2 | 0x20 | 0x100 | SSTATUS_FS | SSTATUS_SUM | SSTATUS_MXR;
const SATP_BARE: u64 = 0;
const SATP_SV39: u64 = 8;
/** FIOM. */
const SENVCFG_WRITABLE: u64 = 1;

const ECALL: u32 = 0x00000073;
const EBREAK: u32 = 0x00100073;
const SRET: u32 = 0x10200073;
const WFI: u32 = 0x10500073;
const SFENCE_VMA: u32 = 0x09;

/** STIP follows the clock. */
export function updateTimer(hart: usize): void {
  const isDue = <u64>now() >= changetype<Hart>(hart).stimecmp;
  const isSet = (atomic.load<u32>(hart, offsetof<Hart>("mip")) & STI) != 0;
  if (isDue == isSet) return;
  if (isDue) atomic.or<u32>(hart, STI, offsetof<Hart>("mip"));
  else atomic.and<u32>(hart, ~STI, offsetof<Hart>("mip"));
}

/** Is there such a CSR, for the present mode? */
function canRead(hart: usize, csr: u32): bool {
  const state = changetype<Hart>(hart);
  if (((csr >> 8) & 3) > state.privilege) return false;
  switch (csr) {
    case 0x001: // fflags
    case 0x002: // frm
    case 0x003: // fcsr
      return hasFloats(hart);
    case 0xc00: // cycle
    case 0xc01: // time
    case 0xc02: // instret
      return state.privilege == SUPERVISOR || ((state.scounteren >> (csr - COUNTERS)) & 1) != 0;
    case 0x100: // sstatus
    case 0x104: // sie
    case 0x105: // stvec
    case 0x106: // scounteren
    case 0x10a: // senvcfg
    case 0x140: // sscratch
    case 0x141: // sepc
    case 0x142: // scause
    case 0x143: // stval
    case 0x144: // sip
    case 0x14d: // stimecmp
    case 0x180: // satp
      return true;
    default:
      return false;
  }
}

function readSstatus(hart: usize): u64 {
  const status = changetype<Hart>(hart).sstatus | SSTATUS_UXL_64;
  return (status & SSTATUS_FS) == SSTATUS_FS ? status | SSTATUS_SD : status;
}

/** Value of a CSR that exists; the hart has retired `retired` instructions. */
export function readCsr(hart: usize, csr: u32, retired: u64): u64 {
  const state = changetype<Hart>(hart);
  switch (csr) {
    case 0x001:
      return state.fflags;
    case 0x002:
      return state.frm;
    case 0x003:
      return (state.frm << 5) | state.fflags;
    case 0xc00:
    case 0xc02:
      return retired;
    case 0xc01:
      return <u64>now();
    case 0x100:
      return readSstatus(hart);
    case 0x104:
      return state.sie;
    case 0x105:
      return state.stvec;
    case 0x106:
      return state.scounteren;
    case 0x10a:
      return state.senvcfg;
    case 0x140:
      return state.sscratch;
    case 0x141:
      return state.sepc;
    case 0x142:
      return state.scause;
    case 0x143:
      return state.stval;
    case 0x144:
      updateTimer(hart);
      return atomic.load<u32>(hart, offsetof<Hart>("mip"));
    case 0x14d:
      return state.stimecmp;
    default:
      return state.satp;
  }
}

function writeFloatState(hart: usize, flags: u64, mode: u64): void {
  const state = changetype<Hart>(hart);
  state.fflags = <u32>flags & 31;
  state.frm = <u32>mode & 7;
  state.sstatus |= SSTATUS_FS;
}

function writeSatp(hart: usize, value: u64): void {
  const state = changetype<Hart>(hart);
  const mode = value >> 60;
  // A mode that is not there: nothing is written.
  if (mode != SATP_BARE && mode != SATP_SV39) return;
  const old = state.satp;
  state.satp = value;
  if (mode != old >> 60) flush(hart);
  else if (state.satp != old) switchAddressSpace(hart);
}

export function setTimer(hart: usize, value: u64): void {
  changetype<Hart>(hart).stimecmp = value;
  updateTimer(hart);
}

function writeCsr(hart: usize, csr: u32, value: u64): void {
  const state = changetype<Hart>(hart);
  switch (csr) {
    case 0x001:
      writeFloatState(hart, value, state.frm);
      break;
    case 0x002:
      writeFloatState(hart, state.fflags, value);
      break;
    case 0x003:
      writeFloatState(hart, value, value >> 5);
      break;
    case 0x100: {
      const changed = (state.sstatus ^ value) & SSTATUS_MXR;
      state.sstatus = value & SSTATUS_WRITABLE;
      if (changed) flush(hart);
      chooseTable(hart);
      break;
    }
    case 0x104:
      state.sie = value & INTERRUPTS;
      break;
    case 0x105:
      // Modes above 1 are reserved.
      state.stvec = value & ~2;
      break;
    case 0x106:
      state.scounteren = value & 7;
      break;
    case 0x10a:
      state.senvcfg = value & SENVCFG_WRITABLE;
      break;
    case 0x140:
      state.sscratch = value;
      break;
    case 0x141:
      state.sepc = value & ~1;
      break;
    case 0x142:
      state.scause = value;
      break;
    case 0x143:
      state.stval = value;
      break;
    case 0x144:
      if (value & SSI) atomic.or<u32>(hart, SSI, offsetof<Hart>("mip"));
      else atomic.and<u32>(hart, ~SSI, offsetof<Hart>("mip"));
      break;
    case 0x14d:
      setTimer(hart, value);
      break;
    default:
      writeSatp(hart, value);
      break;
  }
}

/** CSRRW, CSRRS, CSRRC and their immediate forms. Returns where to go on. */
function executeCsr(hart: usize, pc: u64, insn: u32, executed: u64): u64 {
  const csr = insn >> 20;
  const source = (insn >> 15) & 31;
  const writes = (insn & 0x3000) == 0x1000 || source != 0;
  if ((insn & 0x3000) == 0 || !canRead(hart, csr) || (writes && (csr & READ_ONLY) == READ_ONLY)) {
    return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
  // The present instruction has not retired.
  const old = readCsr(hart, csr, changetype<Hart>(hart).instret + executed - 1);
  const operand = insn & 0x4000 ? <u64>source : getX(hart, source);
  if (writes) {
    // Of the pending interrupts only SSIP is in the register itself.
    const kept = csr == 0x144 ? old & SSI : old;
    writeCsr(hart, csr, insn & 0x2000 ? (insn & 0x1000 ? kept & ~operand : kept | operand) : operand);
  }
  setRd(hart, insn, old);
  return takeInterrupt(hart, pc + 4);
}

function executeWfi(hart: usize, pc: u64): u64 {
  updateTimer(hart);
  if (pendingInterrupts(hart) == 0) changetype<Hart>(hart).exit = EXIT_WFI;
  return takeInterrupt(hart, pc + 4);
}

function executeSfence(hart: usize, pc: u64, insn: u32): u64 {
  if (insn & 0x7f80) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  if ((insn >> 15) & 31) flushPage(hart, rs1(hart, insn));
  else flush(hart);
  return pc + 4;
}

/** SBI, extension TIME: the only call that needs nothing of the machine. */
const SBI_TIME: u64 = 0x54494d45;

function callMachine(hart: usize, pc: u64): u64 {
  if (getX(hart, 17) == SBI_TIME && getX(hart, 16) == 0) {
    setTimer(hart, getX(hart, 10));
    setReturn(hart, 0, 0);
  } else changetype<Hart>(hart).exit = EXIT_SBI;
  return takeInterrupt(hart, pc + 4);
}

/** What an SBI call returns: a0 and a1. */
export function setReturn(hart: usize, error: i64, value: i64): void {
  setRd(hart, 10 << 7, error);
  setRd(hart, 11 << 7, value);
}

/** SYSTEM. `executed`: instructions since `instret` was brought up to date. Returns where to go on. */
export function executeSystem(hart: usize, pc: u64, insn: u32, executed: u64): u64 {
  const state = changetype<Hart>(hart);
  if (insn & 0x7000) return executeCsr(hart, pc, insn, executed);
  if (insn == EBREAK) return raise(hart, pc, CAUSE_BREAKPOINT, pc);
  if (state.privilege == USER) {
    return insn == ECALL ? raise(hart, pc, CAUSE_ECALL_U, 0) : raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
  if (insn >> 25 == SFENCE_VMA) return executeSfence(hart, pc, insn);
  switch (insn) {
    case ECALL:
      return callMachine(hart, pc);
    case SRET:
      state.reservation = NO_RESERVATION;
      return takeInterrupt(hart, returnFromTrap(hart));
    case WFI:
      return executeWfi(hart, pc);
    default:
      return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
}
