/**
 * F and D: opcodes OP-FP, MADD, MSUB, NMSUB, NMADD. A float of 32 bits fills the upper half of its register with ones;
 * where they are missing it is NaN.
 */
import { CAUSE_ILLEGAL, getF, Hart, hasFloats, rs1, setF, setRd } from "./hart";
import { BOX } from "./memory";
import {
  add,
  canonicalNaN,
  classOf,
  compareFloats,
  DOUBLE,
  divide,
  extremeFloat,
  fromInteger,
  multiplyAdd,
  multiplyFloats,
  narrow,
  SINGLE,
  squareRoot,
  toInteger,
  widen,
} from "./softfloat";
import { raise } from "./trap";

const DYNAMIC: u32 = 7;
const RMM: u32 = 4;
/** No rounding mode. */
const NO_MODE: u32 = 8;

/** A float register as an operand of precision `p`. */
function operand(hart: usize, register: u32, p: u32): u64 {
  const value = getF(hart, register & 31);
  if (p == DOUBLE) return value;
  return (value & BOX) == BOX ? <u64>(<u32>value) : canonicalNaN(SINGLE);
}

function setResult(hart: usize, insn: u32, value: u64, p: u32): void {
  setF(hart, (insn >> 7) & 31, p == SINGLE ? value | BOX : value);
}

function roundingOf(hart: usize, insn: u32): u32 {
  const field = (insn >> 12) & 7;
  const mode = field == DYNAMIC ? changetype<Hart>(hart).frm : field;
  return mode > RMM ? NO_MODE : mode;
}

function signFlip(p: u32): u64 {
  return p == SINGLE ? 0x8000_0000 : (<u64>1) << 63;
}

/** MADD, MSUB, NMSUB, NMADD by bits 3 and 2 of the opcode. */
export function executeMultiplyAdd(hart: usize, pc: u64, insn: u32): u64 {
  const format = (insn >> 25) & 3;
  const mode = roundingOf(hart, insn);
  if (format > 1 || mode == NO_MODE || !hasFloats(hart)) return raise(hart, pc, CAUSE_ILLEGAL, insn);
  const p = format == 1 ? DOUBLE : SINGLE;
  const flip = signFlip(p);
  const kind = (insn >> 2) & 3;
  const a = operand(hart, insn >> 15, p) ^ (kind > 1 ? flip : 0);
  const b = operand(hart, insn >> 20, p);
  const c = operand(hart, insn >> 27, p) ^ (kind == 1 || kind == 3 ? flip : 0);
  setResult(hart, insn, multiplyAdd(hart, a, b, c, p, mode), p);
  return pc + 4;
}

/** FADD, FSUB, FMUL, FDIV, FSQRT by the upper five bits of funct7. */
function arithmetic(hart: usize, insn: u32, p: u32, mode: u32): u64 {
  const a = operand(hart, insn >> 15, p);
  const b = operand(hart, insn >> 20, p);
  switch (insn >> 27) {
    case 0:
      return add(hart, a, b, p, mode);
    case 1:
      return add(hart, a, b ^ signFlip(p), p, mode);
    case 2:
      return multiplyFloats(hart, a, b, p, mode);
    case 3:
      return divide(hart, a, b, p, mode);
    default:
      return squareRoot(hart, a, p, mode);
  }
}

/** FSGNJ, FSGNJN, FSGNJX by funct3. */
function injectSign(a: u64, b: u64, funct3: u32, p: u32): u64 {
  const flip = signFlip(p);
  const sign = funct3 == 0 ? b : funct3 == 1 ? ~b : a ^ b;
  return (a & ~flip) | (sign & flip);
}

/** FCVT from an integer; bits 20 and 21 say of which kind. */
function convertInteger(hart: usize, insn: u32, p: u32, mode: u32): u64 {
  const value = rs1(hart, insn);
  switch ((insn >> 20) & 31) {
    case 0: {
      const small = <i64>(<i32>value);
      return fromInteger(hart, small < 0, <u64>abs(small), p, mode);
    }
    case 1:
      return fromInteger(hart, false, <u64>(<u32>value), p, mode);
    case 2:
      return fromInteger(hart, <i64>value < 0, <i64>value < 0 ? 0 - value : value, p, mode);
    default:
      return fromInteger(hart, false, value, p, mode);
  }
}

/** FMV to an integer register, and FCLASS. */
function moveOrClass(hart: usize, insn: u32, p: u32): u64 {
  const register = (insn >> 15) & 31;
  if (insn & 0x1000) return classOf(operand(hart, register, p), p);
  const raw = getF(hart, register);
  return p == DOUBLE ? raw : <u64>(<i64>(<i32>raw));
}

function illegal(hart: usize, pc: u64, insn: u32): u64 {
  return raise(hart, pc, CAUSE_ILLEGAL, insn);
}

/** Opcode OP-FP. Returns where to go on. */
export function executeFloat(hart: usize, pc: u64, insn: u32): u64 {
  const format = (insn >> 25) & 3;
  if (format > 1 || !hasFloats(hart)) return illegal(hart, pc, insn);
  const p = format == 1 ? DOUBLE : SINGLE;
  const funct3 = (insn >> 12) & 7;
  const second = (insn >> 20) & 31;
  const mode = roundingOf(hart, insn);
  switch (insn >> 27) {
    case 0x00:
    case 0x01:
    case 0x02:
    case 0x03:
      if (mode == NO_MODE) return illegal(hart, pc, insn);
      setResult(hart, insn, arithmetic(hart, insn, p, mode), p);
      return pc + 4;
    case 0x0b:
      if (mode == NO_MODE || second != 0) return illegal(hart, pc, insn);
      setResult(hart, insn, arithmetic(hart, insn, p, mode), p);
      return pc + 4;
    case 0x04:
      if (funct3 > 2) return illegal(hart, pc, insn);
      setResult(hart, insn, injectSign(operand(hart, insn >> 15, p), operand(hart, second, p), funct3, p), p);
      return pc + 4;
    case 0x05:
      if (funct3 > 1) return illegal(hart, pc, insn);
      setResult(
        hart,
        insn,
        extremeFloat(hart, funct3 == 1, operand(hart, insn >> 15, p), operand(hart, second, p), p),
        p,
      );
      return pc + 4;
    case 0x08:
      // FCVT.S.D and FCVT.D.S: the second register's number names the other format.
      if (mode == NO_MODE || second != (format ^ 1)) return illegal(hart, pc, insn);
      if (p == DOUBLE) setResult(hart, insn, widen(hart, operand(hart, insn >> 15, SINGLE)), DOUBLE);
      else setResult(hart, insn, narrow(hart, operand(hart, insn >> 15, DOUBLE), mode), SINGLE);
      return pc + 4;
    case 0x14: {
      if (funct3 > 2) return illegal(hart, pc, insn);
      const holds = compareFloats(hart, funct3, operand(hart, insn >> 15, p), operand(hart, second, p), p);
      setRd(hart, insn, <u64>holds);
      return pc + 4;
    }
    case 0x18:
      if (mode == NO_MODE || second > 3) return illegal(hart, pc, insn);
      setRd(hart, insn, toInteger(hart, operand(hart, insn >> 15, p), second, p, mode));
      return pc + 4;
    case 0x1a:
      if (mode == NO_MODE || second > 3) return illegal(hart, pc, insn);
      setResult(hart, insn, convertInteger(hart, insn, p, mode), p);
      return pc + 4;
    case 0x1c:
      if (funct3 > 1 || second != 0) return illegal(hart, pc, insn);
      setRd(hart, insn, moveOrClass(hart, insn, p));
      return pc + 4;
    case 0x1e:
      if (funct3 != 0 || second != 0) return illegal(hart, pc, insn);
      setF(hart, (insn >> 7) & 31, p == SINGLE ? rs1(hart, insn) | BOX : rs1(hart, insn));
      return pc + 4;
    default:
      return illegal(hart, pc, insn);
  }
}
