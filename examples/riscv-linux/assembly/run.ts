/**
 * The interpreter: fetch, decode, execute, in one read section of the engine.
 *
 *   fetch    pc -> table -> word; the page of the last fetch is kept in three locals
 *   decode   a compressed instruction is looked up; then one switch over opcode and funct3
 *   execute  what is short is done here, and goes on; what is long is called, and may ask to leave
 *
 * A call is to a hart what one KVM_RUN is to a vCPU: it begins a section, takes an interrupt that is pending,
 * and comes back when its budget is used up, or for a reason that the machine has to look at.
 */
import { executeAmo } from "./amo";
import { multiply, multiplyWord } from "./compute";
import { executeSystem, updateTimer } from "./csr";
import { ILLEGAL } from "./expand";
import { executeFloat, executeMultiplyAdd } from "./float";
import { CAUSE_ILLEGAL, EXIT_BUDGET, EXIT_PAUSE, getF, Hart, hasFloats, rs1, rs2, setF, setRd } from "./hart";
import { BOX, loadOffset, loadSlowly, storeOffset, storeSlowly } from "./memory";
import { beginSection, CODE, endSection, PAGE_BYTES, PAGE_MASK, probe, READ, translate, WRITE } from "./mmu";
import { NO_RESERVATION, raise, takeInterrupt } from "./trap";

/** Opcodes, without their two low bits, which are 1 in all. */
const LOAD: u32 = 0x00;
const LOAD_FP: u32 = 0x01;
const MISC_MEM: u32 = 0x03;
const OP_IMM: u32 = 0x04;
const AUIPC: u32 = 0x05;
const OP_IMM_32: u32 = 0x06;
const STORE: u32 = 0x08;
const STORE_FP: u32 = 0x09;
const AMO: u32 = 0x0b;
const OP: u32 = 0x0c;
const LUI: u32 = 0x0d;
const OP_32: u32 = 0x0e;
const MADD: u32 = 0x10;
const NMADD: u32 = 0x13;
const OP_FP: u32 = 0x14;
const BRANCH: u32 = 0x18;
const JALR: u32 = 0x19;
const JAL: u32 = 0x1b;
const SYSTEM: u32 = 0x1c;

const PAUSE: u32 = 0x0100000f;
/** Offsets of a page at which an instruction of 4 bytes is all in it. */
const INSIDE: u64 = PAGE_BYTES - 3;
/** Bit 30: SUB, SRA and their like. */
const ALTERNATIVE: u32 = 0x40000000;

function extend(value: u32): u64 {
  return <u64>(<i64>(<i32>value));
}

function branchOffset(insn: u32): u64 {
  const high = ((<u32>(<i32>insn >> 31)) << 12) | ((insn << 4) & 0x800);
  return extend(high | ((insn >> 20) & 0x7e0) | ((insn >> 7) & 0x1e));
}

function jumpOffset(insn: u32): u64 {
  const high = ((<u32>(<i32>insn >> 31)) << 20) | (insn & 0xff000);
  return extend(high | ((insn >> 9) & 0x800) | ((insn >> 20) & 0x7fe));
}

function illegal(hart: usize, pc: u64, insn: u32): u64 {
  return raise(hart, pc, CAUSE_ILLEGAL, insn == ILLEGAL ? 0 : insn);
}

/** FENCE and FENCE.I: instructions are fetched from memory each time, so that both order memory and no more. */
function executeFence(hart: usize, pc: u64, insn: u32): u64 {
  if (insn & 0x6000) return illegal(hart, pc, insn);
  // wasm's fence cannot be had from this compiler; an exchange is one.
  atomic.add<u32>(hart, 1, offsetof<Hart>("fenceWord"));
  if (insn == PAUSE) changetype<Hart>(hart).exit = EXIT_PAUSE;
  return pc + 4;
}

/** Shifts of OP-IMM and OP-IMM-32 whose upper bits are none of theirs, M, and what is no instruction. */
function executeRest(hart: usize, pc: u64, insn: u32, length: u32): u64 {
  const funct3 = (insn >> 12) & 7;
  if (insn >> 25 != 1) return illegal(hart, pc, insn);
  switch ((insn >> 2) & 31) {
    case OP:
      setRd(hart, insn, multiply(funct3, rs1(hart, insn), rs2(hart, insn)));
      return pc + length;
    case OP_32:
      if (funct3 - 1 < 3) return illegal(hart, pc, insn);
      setRd(hart, insn, multiplyWord(funct3, <u32>rs1(hart, insn), <u32>rs2(hart, insn)));
      return pc + length;
    default:
      return illegal(hart, pc, insn);
  }
}

/** What fetchAcross returns if there is nothing: no instruction has both halves so. */
const NO_INSTRUCTION: u32 = 0xffff_0000;

/**
 * The instruction at the end of a page, of which a half may be in the next one. NO_INSTRUCTION if it cannot be
 * fetched; then exitAddress is where.
 */
function fetchAcross(hart: usize, pc: u64): u32 {
  const state = changetype<Hart>(hart);
  const first = translate(hart, pc, CODE);
  state.exitAddress = pc;
  if (first == 0) return NO_INSTRUCTION;
  const low = <u32>load<u16>(first);
  if ((low & 3) != 3) return low;
  const second = translate(hart, pc + 2, CODE);
  state.exitAddress = pc + 2;
  return second == 0 ? NO_INSTRUCTION : low | ((<u32>load<u16>(second)) << 16);
}

/** Run a hart for `budget` instructions, in one section. Returns EXIT_*. */
export function run(hart: usize, budget: u32): i32 {
  const state = changetype<Hart>(hart);
  if (beginSection(hart)) state.reservation = NO_RESERVATION;
  updateTimer(hart);
  state.exit = EXIT_BUDGET;
  const expansions: usize = state.expansions;
  let pc = takeInterrupt(hart, state.pc);
  // The page of the last fetch: its address, what makes it linear, and how far it goes; 0: no page.
  let page: u64 = 0;
  let bias: u32 = 0;
  let inside: u64 = 0;
  let executed: u32 = 0;
  while (executed < budget) {
    executed++;
    let insn: u32 = 0;
    let length: u32 = 4;
    if (pc - page < inside) insn = load<u32>(<u32>pc + bias);
    else {
      inside = 0;
      if ((<u32>pc & (PAGE_BYTES - 1)) >= <u32>INSIDE) {
        insn = fetchAcross(hart, pc);
        if (insn == NO_INSTRUCTION) {
          pc = raise(hart, pc, state.fault, state.exitAddress);
          continue;
        }
      } else {
        const host = translate(hart, pc, CODE);
        if (host == 0) {
          pc = raise(hart, pc, state.fault, pc);
          continue;
        }
        page = pc & PAGE_MASK;
        bias = <u32>host - <u32>pc;
        inside = INSIDE;
        insn = load<u32>(host);
      }
    }
    if ((insn & 3) != 3) {
      insn = load<u32>(expansions + ((insn & 0xffff) << 2));
      length = 2;
    }
    switch (((insn << 1) & 0xf8) | ((insn >> 12) & 7)) {
      case (LOAD << 3) | 0: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 0, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, <u64>(<i64>load<i8>(host))));
        pc += length;
        continue;
      }
      case (LOAD << 3) | 1: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 1, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, <u64>(<i64>load<i16>(host))));
        pc += length;
        continue;
      }
      case (LOAD << 3) | 2: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 3, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, <u64>(<i64>load<i32>(host))));
        pc += length;
        continue;
      }
      case (LOAD << 3) | 3: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 7, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, load<u64>(host)));
        pc += length;
        continue;
      }
      case (LOAD << 3) | 4: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 0, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, <u64>load<u8>(host)));
        pc += length;
        continue;
      }
      case (LOAD << 3) | 5: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 1, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, <u64>load<u16>(host)));
        pc += length;
        continue;
      }
      case (LOAD << 3) | 6: {
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 3, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, <u64>load<u32>(host)));
        pc += length;
        continue;
      }
      case (LOAD_FP << 3) | 2: {
        if (!hasFloats(hart)) {
          pc = illegal(hart, pc, insn);
          break;
        }
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 3, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        setF(hart, (insn >> 7) & 31, <u64>load<u32>(host) | BOX);
        pc += length;
        continue;
      }
      case (LOAD_FP << 3) | 3: {
        if (!hasFloats(hart)) {
          pc = illegal(hart, pc, insn);
          break;
        }
        const address = inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn));
        const host = inline.always(probe(hart, address, 7, READ));
        if (host == 0) {
          pc = loadSlowly(hart, pc, insn, length);
          break;
        }
        setF(hart, (insn >> 7) & 31, load<u64>(host));
        pc += length;
        continue;
      }
      case (STORE << 3) | 0: {
        const address = inline.always(rs1(hart, insn)) + inline.always(storeOffset(insn));
        const host = inline.always(probe(hart, address, 0, WRITE));
        if (host == 0) {
          pc = storeSlowly(hart, pc, insn, length);
          break;
        }
        store<u8>(host, <u8>inline.always(rs2(hart, insn)));
        pc += length;
        continue;
      }
      case (STORE << 3) | 1: {
        const address = inline.always(rs1(hart, insn)) + inline.always(storeOffset(insn));
        const host = inline.always(probe(hart, address, 1, WRITE));
        if (host == 0) {
          pc = storeSlowly(hart, pc, insn, length);
          break;
        }
        store<u16>(host, <u16>inline.always(rs2(hart, insn)));
        pc += length;
        continue;
      }
      case (STORE << 3) | 2: {
        const address = inline.always(rs1(hart, insn)) + inline.always(storeOffset(insn));
        const host = inline.always(probe(hart, address, 3, WRITE));
        if (host == 0) {
          pc = storeSlowly(hart, pc, insn, length);
          break;
        }
        store<u32>(host, <u32>inline.always(rs2(hart, insn)));
        pc += length;
        continue;
      }
      case (STORE << 3) | 3: {
        const address = inline.always(rs1(hart, insn)) + inline.always(storeOffset(insn));
        const host = inline.always(probe(hart, address, 7, WRITE));
        if (host == 0) {
          pc = storeSlowly(hart, pc, insn, length);
          break;
        }
        store<u64>(host, inline.always(rs2(hart, insn)));
        pc += length;
        continue;
      }
      case (STORE_FP << 3) | 2: {
        if (!hasFloats(hart)) {
          pc = illegal(hart, pc, insn);
          break;
        }
        const address = inline.always(rs1(hart, insn)) + inline.always(storeOffset(insn));
        const host = inline.always(probe(hart, address, 3, WRITE));
        if (host == 0) {
          pc = storeSlowly(hart, pc, insn, length);
          break;
        }
        store<u32>(host, <u32>getF(hart, (insn >> 20) & 31));
        pc += length;
        continue;
      }
      case (STORE_FP << 3) | 3: {
        if (!hasFloats(hart)) {
          pc = illegal(hart, pc, insn);
          break;
        }
        const address = inline.always(rs1(hart, insn)) + inline.always(storeOffset(insn));
        const host = inline.always(probe(hart, address, 7, WRITE));
        if (host == 0) {
          pc = storeSlowly(hart, pc, insn, length);
          break;
        }
        store<u64>(host, getF(hart, (insn >> 20) & 31));
        pc += length;
        continue;
      }
      case (OP_IMM << 3) | 0:
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn))));
        pc += length;
        continue;
      case (OP_IMM << 3) | 1: {
        if (insn >> 26 != 0) {
          pc = illegal(hart, pc, insn);
          break;
        }
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) << ((insn >> 20) & 63)));
        pc += length;
        continue;
      }
      case (OP_IMM << 3) | 2:
        inline.always(
          setRd(
            hart,
            insn,
            <u64>(<i64>inline.always(rs1(hart, insn)) < <i64>inline.always(loadOffset(insn))),
          ),
        );
        pc += length;
        continue;
      case (OP_IMM << 3) | 3:
        inline.always(
          setRd(hart, insn, <u64>(inline.always(rs1(hart, insn)) < inline.always(loadOffset(insn)))),
        );
        pc += length;
        continue;
      case (OP_IMM << 3) | 4:
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) ^ inline.always(loadOffset(insn))));
        pc += length;
        continue;
      case (OP_IMM << 3) | 5: {
        if ((insn & ~ALTERNATIVE) >> 26 != 0) {
          pc = illegal(hart, pc, insn);
          break;
        }
        const value = inline.always(rs1(hart, insn));
        const shift = <u64>((insn >> 20) & 63);
        inline.always(setRd(hart, insn, insn & ALTERNATIVE ? <u64>(<i64>value >> shift) : value >> shift));
        pc += length;
        continue;
      }
      case (OP_IMM << 3) | 6:
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) | inline.always(loadOffset(insn))));
        pc += length;
        continue;
      case (OP_IMM << 3) | 7:
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) & inline.always(loadOffset(insn))));
        pc += length;
        continue;
      case (OP_IMM_32 << 3) | 0:
        inline.always(
          setRd(
            hart,
            insn,
            extend(<u32>inline.always(rs1(hart, insn)) + <u32>inline.always(loadOffset(insn))),
          ),
        );
        pc += length;
        continue;
      case (OP_IMM_32 << 3) | 1: {
        if (insn >> 25 != 0) {
          pc = illegal(hart, pc, insn);
          break;
        }
        inline.always(
          setRd(hart, insn, extend((<u32>inline.always(rs1(hart, insn))) << ((insn >> 20) & 31))),
        );
        pc += length;
        continue;
      }
      case (OP_IMM_32 << 3) | 5: {
        if ((insn & ~ALTERNATIVE) >> 25 != 0) {
          pc = illegal(hart, pc, insn);
          break;
        }
        const value = <u32>inline.always(rs1(hart, insn));
        const shift = (insn >> 20) & 31;
        inline.always(
          setRd(hart, insn, insn & ALTERNATIVE ? <u64>(<i64>(<i32>value >> shift)) : extend(value >> shift)),
        );
        pc += length;
        continue;
      }
      case (OP << 3) | 0: {
        if ((insn & ~ALTERNATIVE) >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        const a = inline.always(rs1(hart, insn));
        const b = inline.always(rs2(hart, insn));
        inline.always(setRd(hart, insn, insn & ALTERNATIVE ? a - b : a + b));
        pc += length;
        continue;
      }
      case (OP << 3) | 1: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(
          setRd(hart, insn, inline.always(rs1(hart, insn)) << (inline.always(rs2(hart, insn)) & 63)),
        );
        pc += length;
        continue;
      }
      case (OP << 3) | 2: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(
          setRd(hart, insn, <u64>(<i64>inline.always(rs1(hart, insn)) < <i64>inline.always(rs2(hart, insn)))),
        );
        pc += length;
        continue;
      }
      case (OP << 3) | 3: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(
          setRd(hart, insn, <u64>(inline.always(rs1(hart, insn)) < inline.always(rs2(hart, insn)))),
        );
        pc += length;
        continue;
      }
      case (OP << 3) | 4: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) ^ inline.always(rs2(hart, insn))));
        pc += length;
        continue;
      }
      case (OP << 3) | 5: {
        if ((insn & ~ALTERNATIVE) >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        const a = inline.always(rs1(hart, insn));
        const b = inline.always(rs2(hart, insn));
        inline.always(setRd(hart, insn, insn & ALTERNATIVE ? <u64>(<i64>a >> (b & 63)) : a >> (b & 63)));
        pc += length;
        continue;
      }
      case (OP << 3) | 6: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) | inline.always(rs2(hart, insn))));
        pc += length;
        continue;
      }
      case (OP << 3) | 7: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(setRd(hart, insn, inline.always(rs1(hart, insn)) & inline.always(rs2(hart, insn))));
        pc += length;
        continue;
      }
      case (OP_32 << 3) | 0: {
        if ((insn & ~ALTERNATIVE) >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        const a = inline.always(rs1(hart, insn));
        const b = inline.always(rs2(hart, insn));
        inline.always(
          setRd(hart, insn, insn & ALTERNATIVE ? extend(<u32>a - <u32>b) : extend(<u32>a + <u32>b)),
        );
        pc += length;
        continue;
      }
      case (OP_32 << 3) | 1: {
        if (insn >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        inline.always(
          setRd(
            hart,
            insn,
            extend((<u32>inline.always(rs1(hart, insn))) << (<u32>inline.always(rs2(hart, insn)) & 31)),
          ),
        );
        pc += length;
        continue;
      }
      case (OP_32 << 3) | 5: {
        if ((insn & ~ALTERNATIVE) >> 25 != 0) {
          pc = executeRest(hart, pc, insn, length);
          break;
        }
        const a = inline.always(rs1(hart, insn));
        const b = inline.always(rs2(hart, insn));
        inline.always(
          setRd(
            hart,
            insn,
            insn & ALTERNATIVE ? <u64>(<i64>(<i32>a >> (<u32>b & 31))) : extend(<u32>a >> (<u32>b & 31)),
          ),
        );
        pc += length;
        continue;
      }
      case (OP_32 << 3) | 4:
      case (OP_32 << 3) | 6:
      case (OP_32 << 3) | 7:
        pc = executeRest(hart, pc, insn, length);
        break;
      case (LUI << 3) | 0:
      case (LUI << 3) | 1:
      case (LUI << 3) | 2:
      case (LUI << 3) | 3:
      case (LUI << 3) | 4:
      case (LUI << 3) | 5:
      case (LUI << 3) | 6:
      case (LUI << 3) | 7:
        inline.always(setRd(hart, insn, extend(insn & 0xfffff000)));
        pc += length;
        continue;
      case (AUIPC << 3) | 0:
      case (AUIPC << 3) | 1:
      case (AUIPC << 3) | 2:
      case (AUIPC << 3) | 3:
      case (AUIPC << 3) | 4:
      case (AUIPC << 3) | 5:
      case (AUIPC << 3) | 6:
      case (AUIPC << 3) | 7:
        inline.always(setRd(hart, insn, pc + extend(insn & 0xfffff000)));
        pc += length;
        continue;
      case (BRANCH << 3) | 0:
        if (inline.always(rs1(hart, insn)) == inline.always(rs2(hart, insn)))
          pc += inline.always(branchOffset(insn));
        else pc += length;
        continue;
      case (BRANCH << 3) | 1:
        if (inline.always(rs1(hart, insn)) != inline.always(rs2(hart, insn)))
          pc += inline.always(branchOffset(insn));
        else pc += length;
        continue;
      case (BRANCH << 3) | 4:
        if (<i64>inline.always(rs1(hart, insn)) < <i64>inline.always(rs2(hart, insn)))
          pc += inline.always(branchOffset(insn));
        else pc += length;
        continue;
      case (BRANCH << 3) | 5:
        if (<i64>inline.always(rs1(hart, insn)) >= <i64>inline.always(rs2(hart, insn)))
          pc += inline.always(branchOffset(insn));
        else pc += length;
        continue;
      case (BRANCH << 3) | 6:
        if (inline.always(rs1(hart, insn)) < inline.always(rs2(hart, insn)))
          pc += inline.always(branchOffset(insn));
        else pc += length;
        continue;
      case (BRANCH << 3) | 7:
        if (inline.always(rs1(hart, insn)) >= inline.always(rs2(hart, insn)))
          pc += inline.always(branchOffset(insn));
        else pc += length;
        continue;
      case (JAL << 3) | 0:
      case (JAL << 3) | 1:
      case (JAL << 3) | 2:
      case (JAL << 3) | 3:
      case (JAL << 3) | 4:
      case (JAL << 3) | 5:
      case (JAL << 3) | 6:
      case (JAL << 3) | 7:
        inline.always(setRd(hart, insn, pc + length));
        pc += inline.always(jumpOffset(insn));
        continue;
      case (JALR << 3) | 0: {
        const target = (inline.always(rs1(hart, insn)) + inline.always(loadOffset(insn))) & ~1;
        inline.always(setRd(hart, insn, pc + length));
        pc = target;
        continue;
      }
      case (MISC_MEM << 3) | 0:
      case (MISC_MEM << 3) | 1:
      case (MISC_MEM << 3) | 2:
      case (MISC_MEM << 3) | 3:
      case (MISC_MEM << 3) | 4:
      case (MISC_MEM << 3) | 5:
      case (MISC_MEM << 3) | 6:
      case (MISC_MEM << 3) | 7:
        pc = executeFence(hart, pc, insn);
        if (state.exit == EXIT_BUDGET) continue;
        break;
      case (AMO << 3) | 2:
      case (AMO << 3) | 3:
        pc = executeAmo(hart, pc, insn);
        break;
      case (OP_FP << 3) | 0:
      case (OP_FP << 3) | 1:
      case (OP_FP << 3) | 2:
      case (OP_FP << 3) | 3:
      case (OP_FP << 3) | 4:
      case (OP_FP << 3) | 5:
      case (OP_FP << 3) | 6:
      case (OP_FP << 3) | 7:
        pc = executeFloat(hart, pc, insn);
        break;
      case (MADD << 3) | 0:
      case (MADD << 3) | 1:
      case (MADD << 3) | 2:
      case (MADD << 3) | 3:
      case (MADD << 3) | 4:
      case (MADD << 3) | 5:
      case (MADD << 3) | 6:
      case (MADD << 3) | 7:
      case ((MADD + 1) << 3) | 0:
      case ((MADD + 1) << 3) | 1:
      case ((MADD + 1) << 3) | 2:
      case ((MADD + 1) << 3) | 3:
      case ((MADD + 1) << 3) | 4:
      case ((MADD + 1) << 3) | 5:
      case ((MADD + 1) << 3) | 6:
      case ((MADD + 1) << 3) | 7:
      case ((MADD + 2) << 3) | 0:
      case ((MADD + 2) << 3) | 1:
      case ((MADD + 2) << 3) | 2:
      case ((MADD + 2) << 3) | 3:
      case ((MADD + 2) << 3) | 4:
      case ((MADD + 2) << 3) | 5:
      case ((MADD + 2) << 3) | 6:
      case ((MADD + 2) << 3) | 7:
      case (NMADD << 3) | 0:
      case (NMADD << 3) | 1:
      case (NMADD << 3) | 2:
      case (NMADD << 3) | 3:
      case (NMADD << 3) | 4:
      case (NMADD << 3) | 5:
      case (NMADD << 3) | 6:
      case (NMADD << 3) | 7:
        pc = executeMultiplyAdd(hart, pc, insn);
        break;
      case (SYSTEM << 3) | 0:
      case (SYSTEM << 3) | 1:
      case (SYSTEM << 3) | 2:
      case (SYSTEM << 3) | 3:
      case (SYSTEM << 3) | 4:
      case (SYSTEM << 3) | 5:
      case (SYSTEM << 3) | 6:
      case (SYSTEM << 3) | 7:
        pc = executeSystem(hart, pc, insn, executed);
        break;
      default:
        pc = illegal(hart, pc, insn);
        break;
    }
    // The mode, the page tables or the layout may be others, or the machine is asked for something.
    inside = 0;
    if (state.exit != EXIT_BUDGET) break;
  }
  state.pc = pc;
  state.instret += executed;
  endSection(hart);
  return state.exit;
}
