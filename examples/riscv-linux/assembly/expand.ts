/**
 * Compressed instructions: each has an instruction of 32 bits that does the same. A table has it by the 16 bits of the
 * short one, ILLEGAL where there is none, so that there is one interpreter for both.
 */
export const EXPANSIONS: u32 = 0x10000;
/** An instruction that is none. */
export const ILLEGAL: u32 = 0x7f;

const SP: u32 = 2;
const RA: u32 = 1;

function bits(c: u32, from: u32, count: u32, to: u32): u32 {
  return ((c >> from) & ((1 << count) - 1)) << to;
}

/** Sign of an immediate whose top bit is bit `top`. */
function signed(value: u32, top: u32): u32 {
  const shift = 31 - top;
  return <u32>(<i32>(value << shift) >> shift);
}

function iType(opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: u32): u32 {
  return (imm << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function sType(opcode: u32, funct3: u32, rs1: u32, rs2: u32, imm: u32): u32 {
  return ((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | ((imm & 31) << 7) | opcode;
}

function rType(opcode: u32, funct3: u32, rd: u32, rs1: u32, rs2: u32, funct7: u32): u32 {
  return (funct7 << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function bType(funct3: u32, rs1: u32, imm: u32): u32 {
  const high = (bits(imm, 12, 1, 6) | bits(imm, 5, 6, 0)) << 25;
  return high | (rs1 << 15) | (funct3 << 12) | bits(imm, 1, 4, 8) | bits(imm, 11, 1, 7) | 0x63;
}

function jType(rd: u32, imm: u32): u32 {
  const high = bits(imm, 20, 1, 31) | bits(imm, 1, 10, 21) | bits(imm, 11, 1, 20);
  return high | bits(imm, 12, 8, 12) | (rd << 7) | 0x6f;
}

const LOAD: u32 = 0x03;
const LOAD_FP: u32 = 0x07;
const STORE: u32 = 0x23;
const STORE_FP: u32 = 0x27;
const OP_IMM: u32 = 0x13;
const OP_IMM_32: u32 = 0x1b;
const OP: u32 = 0x33;
const OP_32: u32 = 0x3b;
const LUI: u32 = 0x37;
const JALR: u32 = 0x67;
const EBREAK: u32 = 0x00100073;

/** Quadrant 0: registers x8 to x15. */
function expand0(c: u32): u32 {
  const rd = 8 + ((c >> 2) & 7);
  const rs1 = 8 + ((c >> 7) & 7);
  const word = bits(c, 10, 3, 3) | bits(c, 6, 1, 2) | bits(c, 5, 1, 6);
  const double = bits(c, 10, 3, 3) | bits(c, 5, 2, 6);
  switch (c >> 13) {
    case 0: {
      const imm = bits(c, 11, 2, 4) | bits(c, 7, 4, 6) | bits(c, 6, 1, 2) | bits(c, 5, 1, 3);
      return imm == 0 ? 0 : iType(OP_IMM, 0, rd, SP, imm);
    }
    case 1:
      return iType(LOAD_FP, 3, rd, rs1, double);
    case 2:
      return iType(LOAD, 2, rd, rs1, word);
    case 3:
      return iType(LOAD, 3, rd, rs1, double);
    case 5:
      return sType(STORE_FP, 3, rs1, rd, double);
    case 6:
      return sType(STORE, 2, rs1, rd, word);
    case 7:
      return sType(STORE, 3, rs1, rd, double);
    default:
      return 0;
  }
}

function expandArithmetic(c: u32): u32 {
  const rd = 8 + ((c >> 7) & 7);
  const rs2 = 8 + ((c >> 2) & 7);
  const shift = bits(c, 12, 1, 5) | bits(c, 2, 5, 0);
  switch ((c >> 10) & 3) {
    case 0:
      return iType(OP_IMM, 5, rd, rd, shift);
    case 1:
      return iType(OP_IMM, 5, rd, rd, shift | 0x400);
    case 2:
      return iType(OP_IMM, 7, rd, rd, signed(shift, 5));
  }
  switch (((c >> 5) & 3) | ((c >> 10) & 4)) {
    case 0:
      return rType(OP, 0, rd, rd, rs2, 0x20);
    case 1:
      return rType(OP, 4, rd, rd, rs2, 0);
    case 2:
      return rType(OP, 6, rd, rd, rs2, 0);
    case 3:
      return rType(OP, 7, rd, rd, rs2, 0);
    case 4:
      return rType(OP_32, 0, rd, rd, rs2, 0x20);
    case 5:
      return rType(OP_32, 0, rd, rd, rs2, 0);
    default:
      return 0;
  }
}

function expandUpper(c: u32, rd: u32): u32 {
  if (rd == SP) {
    const imm = bits(c, 12, 1, 9) | bits(c, 6, 1, 4) | bits(c, 5, 1, 6) | bits(c, 3, 2, 7) | bits(c, 2, 1, 5);
    return imm == 0 ? 0 : iType(OP_IMM, 0, SP, SP, signed(imm, 9));
  }
  const imm = signed(bits(c, 12, 1, 17) | bits(c, 2, 5, 12), 17);
  return imm == 0 ? 0 : imm | (rd << 7) | LUI;
}

/** Quadrant 1. */
function expand1(c: u32): u32 {
  const rd = (c >> 7) & 31;
  const rs1 = 8 + ((c >> 7) & 7);
  const imm = signed(bits(c, 12, 1, 5) | bits(c, 2, 5, 0), 5);
  const branch =
    bits(c, 12, 1, 8) | bits(c, 10, 2, 3) | bits(c, 5, 2, 6) | bits(c, 3, 2, 1) | bits(c, 2, 1, 5);
  switch (c >> 13) {
    case 0:
      return iType(OP_IMM, 0, rd, rd, imm);
    case 1:
      return rd == 0 ? 0 : iType(OP_IMM_32, 0, rd, rd, imm);
    case 2:
      return iType(OP_IMM, 0, rd, 0, imm);
    case 3:
      return expandUpper(c, rd);
    case 4:
      return expandArithmetic(c);
    case 5: {
      const high = bits(c, 12, 1, 11) | bits(c, 11, 1, 4) | bits(c, 9, 2, 8) | bits(c, 8, 1, 10);
      return jType(
        0,
        signed(high | bits(c, 7, 1, 6) | bits(c, 6, 1, 7) | bits(c, 3, 3, 1) | bits(c, 2, 1, 5), 11),
      );
    }
    case 6:
      return bType(0, rs1, signed(branch, 8));
    default:
      return bType(1, rs1, signed(branch, 8));
  }
}

function expandMove(c: u32): u32 {
  const rd = (c >> 7) & 31;
  const rs2 = (c >> 2) & 31;
  const isSecond = (c & 0x1000) != 0;
  if (rs2 != 0) return rType(OP, 0, rd, isSecond ? rd : 0, rs2, 0);
  if (rd == 0) return isSecond ? EBREAK : 0;
  return iType(JALR, 0, isSecond ? RA : 0, rd, 0);
}

/** Quadrant 2: any register, and the stack. */
function expand2(c: u32): u32 {
  const rd = (c >> 7) & 31;
  const rs2 = (c >> 2) & 31;
  const double = bits(c, 12, 1, 5) | bits(c, 5, 2, 3) | bits(c, 2, 3, 6);
  const storedDouble = bits(c, 10, 3, 3) | bits(c, 7, 3, 6);
  switch (c >> 13) {
    case 0:
      return iType(OP_IMM, 1, rd, rd, bits(c, 12, 1, 5) | bits(c, 2, 5, 0));
    case 1:
      return iType(LOAD_FP, 3, rd, SP, double);
    case 2:
      return rd == 0 ? 0 : iType(LOAD, 2, rd, SP, bits(c, 12, 1, 5) | bits(c, 4, 3, 2) | bits(c, 2, 2, 6));
    case 3:
      return rd == 0 ? 0 : iType(LOAD, 3, rd, SP, double);
    case 4:
      return expandMove(c);
    case 5:
      return sType(STORE_FP, 3, SP, rs2, storedDouble);
    case 6:
      return sType(STORE, 2, SP, rs2, bits(c, 9, 4, 2) | bits(c, 7, 2, 6));
    default:
      return sType(STORE, 3, SP, rs2, storedDouble);
  }
}

/** Fill the table at `table`: EXPANSIONS words. */
export function fillExpansions(table: usize): void {
  for (let c: u32 = 0; c < EXPANSIONS; c++) {
    const quadrant = c & 3;
    const insn = quadrant == 0 ? expand0(c) : quadrant == 1 ? expand1(c) : quadrant == 2 ? expand2(c) : 0;
    store<u32>(table + (c << 2), insn == 0 ? ILLEGAL : insn);
  }
}
