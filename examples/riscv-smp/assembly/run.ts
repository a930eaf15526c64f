/**
 * The interpreter: fetch, decode, execute, in one read section of the engine.
 *
 *   fetch    pc -> TLB -> word; the page of the last fetch is kept in two locals
 *   execute  by opcode; each returns where to go on
 *
 * A call is to a hart what one KVM_RUN is to a vCPU: it begins a section, takes an interrupt that is pending,
 * and comes back when its budget is used up, or for a reason that the machine has to look at.
 */
import { executeAmo, NO_RESERVATION } from "./amo";
import { compute, isTaken, multiply } from "./compute";
import { executeSystem } from "./csr";
import {
  CAUSE_FETCH_ACCESS,
  CAUSE_ILLEGAL,
  CAUSE_MISALIGNED_FETCH,
  EXIT_BUDGET,
  EXIT_PAUSE,
  getX,
  Hart,
  setX,
} from "./hart";
import { executeLoad, executeStore } from "./memory";
import { beginSection, endSection, hostForRead, leavesPage, pageOf } from "./tlb";
import { raise, takeInterrupt } from "./trap";

/** Opcodes, without their two low bits, which are 1 in all. */
const LOAD: u32 = 0x00;
const MISC_MEM: u32 = 0x03;
const OP_IMM: u32 = 0x04;
const AUIPC: u32 = 0x05;
const STORE: u32 = 0x08;
const AMO: u32 = 0x0b;
const OP: u32 = 0x0c;
const LUI: u32 = 0x0d;
const BRANCH: u32 = 0x18;
const JALR: u32 = 0x19;
const JAL: u32 = 0x1b;
const SYSTEM: u32 = 0x1c;

const PAUSE: u32 = 0x0100000f;
/** No page: its tag matches no pc. */
const NO_TAG: u32 = 0xffffffff;

function rd(insn: u32): u32 {
  return (insn >> 7) & 31;
}

function rs1(hart: usize, insn: u32): u32 {
  return getX(hart, (insn >> 15) & 31);
}

function rs2(hart: usize, insn: u32): u32 {
  return getX(hart, (insn >> 20) & 31);
}

function executeOpImm(hart: usize, pc: u32, insn: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  const imm = <u32>(<i32>insn >> 20);
  if ((funct3 & 3) == 1) {
    // Shifts have a funct7: 0, or 0x20 for SRAI.
    const funct7 = insn >> 25;
    if (funct7 != 0 && (funct7 != 0x20 || funct3 != 5)) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
  const alternative = funct3 == 5 && (insn & 0x40000000) != 0;
  setX(hart, rd(insn), inline.always(compute(funct3, alternative, rs1(hart, insn), imm)));
  return pc + 4;
}

function executeOp(hart: usize, pc: u32, insn: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  const funct7 = insn >> 25;
  const a = rs1(hart, insn);
  const b = rs2(hart, insn);
  if (funct7 == 1) {
    setX(hart, rd(insn), inline.always(multiply(funct3, a, b)));
    return pc + 4;
  }
  if (funct7 != 0 && (funct7 != 0x20 || (funct3 != 0 && funct3 != 5))) {
    return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
  setX(hart, rd(insn), inline.always(compute(funct3, funct7 != 0, a, b)));
  return pc + 4;
}

function executeBranch(hart: usize, pc: u32, insn: u32): u32 {
  const funct3 = (insn >> 12) & 7;
  if ((funct3 & 6) == 2) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  if (!inline.always(isTaken(funct3, rs1(hart, insn), rs2(hart, insn)))) return pc + 4;
  const offset =
    ((<u32>(<i32>insn >> 31)) << 12) | ((insn << 4) & 0x800) | ((insn >> 20) & 0x7e0) | ((insn >> 7) & 0x1e);
  return inline.always(jumpTo(hart, pc, pc + offset, 0));
}

/** Go to `target`; `link` gets the address behind the jump. */
function jumpTo(hart: usize, pc: u32, target: u32, link: u32): u32 {
  if (target & 2) return raise(hart, pc, CAUSE_MISALIGNED_FETCH, target);
  setX(hart, link, pc + 4);
  return target;
}

function executeJal(hart: usize, pc: u32, insn: u32): u32 {
  const offset =
    ((<u32>(<i32>insn >> 31)) << 20) | (insn & 0xff000) | ((insn >> 9) & 0x800) | ((insn >> 20) & 0x7fe);
  return inline.always(jumpTo(hart, pc, pc + offset, rd(insn)));
}

function executeJalr(hart: usize, pc: u32, insn: u32): u32 {
  if (insn & 0x7000) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  const target = (rs1(hart, insn) + <u32>(<i32>insn >> 20)) & ~1;
  return inline.always(jumpTo(hart, pc, target, rd(insn)));
}

/** FENCE and FENCE.I: instructions are fetched from memory each time, so that both order memory and no more. */
function executeFence(hart: usize, pc: u32, insn: u32): u32 {
  if (insn & 0x6000) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  // wasm's fence cannot be had from this compiler; an exchange is one.
  atomic.add<u32>(hart, 1, offsetof<Hart>("fenceWord"));
  if (insn == PAUSE) changetype<Hart>(hart).exit = EXIT_PAUSE;
  return pc + 4;
}

/** Execute the instruction at `pc`. `executed`: instructions of this section, this one among them. */
function execute(hart: usize, pc: u32, insn: u32, executed: u32): u32 {
  if ((insn & 3) != 3) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  switch ((insn >> 2) & 31) {
    case LOAD:
      return inline.always(executeLoad(hart, pc, insn));
    case MISC_MEM:
      return executeFence(hart, pc, insn);
    case OP_IMM:
      return inline.always(executeOpImm(hart, pc, insn));
    case AUIPC:
      setX(hart, rd(insn), pc + (insn & 0xfffff000));
      return pc + 4;
    case STORE:
      return inline.always(executeStore(hart, pc, insn));
    case AMO:
      return executeAmo(hart, pc, insn);
    case OP:
      return inline.always(executeOp(hart, pc, insn));
    case LUI:
      setX(hart, rd(insn), insn & 0xfffff000);
      return pc + 4;
    case BRANCH:
      return inline.always(executeBranch(hart, pc, insn));
    case JALR:
      return inline.always(executeJalr(hart, pc, insn));
    case JAL:
      return inline.always(executeJal(hart, pc, insn));
    case SYSTEM:
      return executeSystem(hart, pc, insn, executed);
    default:
      return raise(hart, pc, CAUSE_ILLEGAL, insn);
  }
}

/** Run a hart for `budget` instructions, in one section. Returns EXIT_*. */
export function run(hart: usize, budget: u32): i32 {
  const state = changetype<Hart>(hart);
  if (beginSection(hart)) state.reservation = NO_RESERVATION;
  state.exit = EXIT_BUDGET;
  let pc = takeInterrupt(hart, state.pc);
  let tag = NO_TAG;
  let bias: u32 = 0;
  let executed: u32 = 0;
  while (executed < budget) {
    executed++;
    if (leavesPage(pc, tag)) {
      const host = inline.always(hostForRead(hart, pc, 3));
      if (host == 0) {
        pc = raise(hart, pc, CAUSE_FETCH_ACCESS, pc);
        continue;
      }
      tag = pageOf(pc);
      bias = <u32>host - pc;
    }
    pc = inline.always(execute(hart, pc, load<u32>(pc + bias), executed));
    if (state.exit != EXIT_BUDGET) break;
  }
  state.pc = pc;
  state.instret += executed;
  endSection(hart);
  return state.exit;
}
