/**
 * Control and status registers, and the instructions of opcode SYSTEM.
 */
import { CAUSE_BREAKPOINT, CAUSE_ECALL_M, CAUSE_ILLEGAL, EXIT_WFI, getX, Hart, setX } from "./hart";
import { INTERRUPTS, legalMstatus, pendingInterrupts, raise, returnFromTrap } from "./trap";

/** RV32 with A, I and M. */
const MISA: u32 = 0x40001101;
/** Bits 11 and 10 of the address of a CSR that cannot be written. */
const READ_ONLY: u32 = 0xc00;
/** There is no such CSR. Beyond 32 bits, so that it is no value. */
const NO_CSR: u64 = u64.MAX_VALUE;

const ECALL: u32 = 0x00000073;
const EBREAK: u32 = 0x00100073;
const MRET: u32 = 0x30200073;
const WFI: u32 = 0x10500073;

/** Value of a CSR; the hart has retired `retired` instructions. */
export function readCsr(hart: usize, csr: u32, retired: u64): u64 {
  const state = changetype<Hart>(hart);
  switch (csr) {
    case 0x300: // mstatus
      return state.mstatus;
    case 0x301: // misa
      return MISA;
    case 0x304: // mie
      return state.mie;
    case 0x305: // mtvec
      return state.mtvec;
    case 0x340: // mscratch
      return state.mscratch;
    case 0x341: // mepc
      return state.mepc;
    case 0x342: // mcause
      return state.mcause;
    case 0x343: // mtval
      return state.mtval;
    case 0x344: // mip
      return atomic.load<u32>(hart, offsetof<Hart>("mip"));
    case 0xb00: // mcycle
    case 0xb02: // minstret
    case 0xc00: // cycle
    case 0xc02: // instret
      return <u32>retired;
    case 0xb80: // mcycleh
    case 0xb82: // minstreth
    case 0xc80: // cycleh
    case 0xc82: // instreth
      return retired >> 32;
    case 0xf14: // mhartid
      return state.mhartid;
    case 0x310: // mstatush
    case 0xf11: // mvendorid
    case 0xf12: // marchid
    case 0xf13: // mimpid
    case 0xf15: // mconfigptr
      return 0;
    default:
      return NO_CSR;
  }
}

/** `rest`: instructions that `instret` does not count yet. */
function writeCsr(hart: usize, csr: u32, value: u32, rest: u64): void {
  const state = changetype<Hart>(hart);
  const low = state.instret + rest;
  switch (csr) {
    case 0x300:
      state.mstatus = legalMstatus(value);
      break;
    case 0x304:
      state.mie = value & INTERRUPTS;
      break;
    case 0x305:
      // Modes above 1 are reserved.
      state.mtvec = value & ~2;
      break;
    case 0x340:
      state.mscratch = value;
      break;
    case 0x341:
      state.mepc = value & ~3;
      break;
    case 0x342:
      state.mcause = value;
      break;
    case 0x343:
      state.mtval = value;
      break;
    case 0xb00:
    case 0xb02:
      state.instret = ((low >> 32) << 32) + value - rest;
      break;
    case 0xb80:
    case 0xb82:
      state.instret = ((<u64>value) << 32) + <u32>low - rest;
      break;
    default:
      // Of the others the legal value is the one that they have.
      break;
  }
}

/** CSRRW, CSRRS, CSRRC and their immediate forms. Returns where to go on. */
function executeCsr(hart: usize, pc: u32, insn: u32, executed: u64): u32 {
  const csr = insn >> 20;
  const source = (insn >> 15) & 31;
  const writes = (insn & 0x3000) == 0x1000 || source != 0;
  // The present instruction has not retired.
  const old = readCsr(hart, csr, changetype<Hart>(hart).instret + executed - 1);
  if (old == NO_CSR || (writes && (csr & READ_ONLY) == READ_ONLY)) {
    return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
  const operand = insn & 0x4000 ? source : getX(hart, source);
  if (writes) {
    const kept = <u32>old;
    const value = insn & 0x1000 ? (insn & 0x2000 ? kept & ~operand : operand) : kept | operand;
    writeCsr(hart, csr, value, executed);
  }
  setX(hart, (insn >> 7) & 31, <u32>old);
  return pc + 4;
}

/** SYSTEM. `executed`: instructions since `instret` was brought up to date. Returns where to go on. */
export function executeSystem(hart: usize, pc: u32, insn: u32, executed: u64): u32 {
  if (insn & 0x3000) return executeCsr(hart, pc, insn, executed);
  switch (insn) {
    case ECALL:
      return raise(hart, pc, CAUSE_ECALL_M, 0);
    case EBREAK:
      return raise(hart, pc, CAUSE_BREAKPOINT, pc);
    case MRET:
      return returnFromTrap(hart);
    case WFI:
      if (pendingInterrupts(hart) == 0) changetype<Hart>(hart).exit = EXIT_WFI;
      return pc + 4;
    default:
      return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
}
