/**
 * An RV32I core in plain JavaScript: the base integer instructions of the RISC-V Instruction Set Manual, volume I,
 * chapter 2, without CSRs. Its memory is anything with these functions, so that the same core runs on guest memory and
 * on a flat array.
 */

/** What the core asks of its memory; addresses are unsigned 32-bit numbers. GuestMemory is one. */
export interface Memory {
  fetchUint32(gpa: number, littleEndian: boolean): number;
  getInt8(gpa: number): number;
  getInt16(gpa: number, littleEndian: boolean): number;
  getInt32(gpa: number, littleEndian: boolean): number;
  getUint8(gpa: number): number;
  getUint16(gpa: number, littleEndian: boolean): number;
  setUint8(gpa: number, value: number): void;
  setUint16(gpa: number, value: number, littleEndian: boolean): void;
  setUint32(gpa: number, value: number, littleEndian: boolean): void;
}

/** Registers and program counter. */
export interface Cpu {
  readonly x: Int32Array;
  pc: number;
}

/** An instruction that the core does not have; its address is still in `cpu.pc`. */
export class IllegalInstruction extends Error {}

/**
 * Run up to `count` instructions. The instruction behind a store may be the stored one: nothing is decoded ahead.
 * @returns instructions that were run; less than `count` at an ECALL or EBREAK, whose address is in `cpu.pc`
 * @throws IllegalInstruction; errors of the memory
 */
export function run(cpu: Cpu, memory: Memory, count: number): number {
  const { x } = cpu;
  let pc = cpu.pc;
  for (let done = 0; done < count; done++) {
    const word = memory.fetchUint32(pc, true) | 0;
    const rd = (word >>> 7) & 31;
    const a = x[(word >>> 15) & 31]!;
    const b = x[(word >>> 20) & 31]!;
    const f3 = (word >>> 12) & 7;
    const immI = word >> 20;
    let next = (pc + 4) >>> 0;
    cpu.pc = pc;
    switch (word & 0x7f) {
      case 0x13: // OP-IMM
        x[rd] = operate(f3, a, immI, f3 === 5 ? word & 0x4000_0000 : 0);
        break;
      case 0x33: // OP
        if (word >>> 25 !== 0 && word >>> 25 !== 32) throw new IllegalInstruction();
        x[rd] = operate(f3, a, b, word & 0x4000_0000);
        break;
      case 0x03: // LOAD
        x[rd] = load(memory, f3, (a + immI) >>> 0);
        break;
      case 0x23: // STORE
        store(memory, f3, (a + (((word >> 25) << 5) | rd)) >>> 0, b);
        break;
      case 0x63: // BRANCH
        if (branches(f3, a, b)) next = (pc + branchOffset(word)) >>> 0;
        break;
      case 0x6f: // JAL
        x[rd] = next;
        next = (pc + jumpOffset(word)) >>> 0;
        break;
      case 0x67: // JALR
        next = (a + immI) & ~1;
        x[rd] = pc + 4;
        next >>>= 0;
        break;
      case 0x37: // LUI
        x[rd] = word & ~0xfff;
        break;
      case 0x17: // AUIPC
        x[rd] = pc + (word & ~0xfff);
        break;
      case 0x0f: // FENCE
        break;
      case 0x73: // ECALL, EBREAK
        return done;
      default:
        throw new IllegalInstruction(`0x${(word >>> 0).toString(16)} at 0x${pc.toString(16)}`);
    }
    x[0] = 0;
    pc = next;
  }
  cpu.pc = pc;
  return count;
}

/** OP and OP-IMM; `other`, not 0, asks for SUB and SRA. */
function operate(f3: number, a: number, b: number, other: number): number {
  switch (f3) {
    case 0:
      return other === 0 ? a + b : a - b;
    case 1:
      return a << b;
    case 2:
      return a < b ? 1 : 0;
    case 3:
      return a >>> 0 < b >>> 0 ? 1 : 0;
    case 4:
      return a ^ b;
    case 5:
      return other === 0 ? a >>> b : a >> b;
    case 6:
      return a | b;
    default:
      return a & b;
  }
}

function load(memory: Memory, f3: number, gpa: number): number {
  switch (f3) {
    case 0:
      return memory.getInt8(gpa);
    case 1:
      return memory.getInt16(gpa, true);
    case 2:
      return memory.getInt32(gpa, true);
    case 4:
      return memory.getUint8(gpa);
    case 5:
      return memory.getUint16(gpa, true);
    default:
      throw new IllegalInstruction();
  }
}

function store(memory: Memory, f3: number, gpa: number, value: number): void {
  if (f3 === 2) memory.setUint32(gpa, value, true);
  else if (f3 === 0) memory.setUint8(gpa, value);
  else if (f3 === 1) memory.setUint16(gpa, value, true);
  else throw new IllegalInstruction();
}

function branches(f3: number, a: number, b: number): boolean {
  const holds = f3 < 2 ? a === b : f3 < 6 ? a < b : a >>> 0 < b >>> 0;
  return (f3 & 1) === 0 ? holds : !holds;
}

function branchOffset(word: number): number {
  return ((word >> 31) << 12) | ((word & 0x80) << 4) | ((word >>> 20) & 0x7e0) | ((word >>> 7) & 0x1e);
}

function jumpOffset(word: number): number {
  return ((word >> 31) << 20) | (word & 0xff000) | ((word >>> 9) & 0x800) | ((word >>> 20) & 0x7fe);
}
