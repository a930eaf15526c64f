/**
 * The instructions of RV32IMA with Zicsr, Zifencei, SRET, WFI and PAUSE, all of which RV64 has, too: one line per
 * instruction, as in the tables of "Instruction Set Listings" in the RISC-V manual. Assembler and disassembler read it.
 */
import { FIELDS, type FieldName } from "./fields.js";

export interface Instruction {
  readonly name: string;
  /** Operands as they are written: fields, commas and parentheses. */
  readonly syntax: string;
  /** The bits of `mask` are those of `match`. */
  readonly match: number;
  readonly mask: number;
  /** Fields in the order of the syntax. */
  readonly fields: readonly FieldName[];
}

const OPCODE = 0x7f;
const FUNCT3 = 0x7000;
const FUNCT5 = 0xf800_0000;
const FUNCT7 = 0xfe00_0000;
const ALL = 0xffff_ffff;

function fieldsOf(syntax: string): FieldName[] {
  return [...syntax.matchAll(/\w+/g)].map(([name]) => name as FieldName);
}

function row(name: string, syntax: string, match: number, mask: number): Instruction {
  return { name, syntax, match: match >>> 0, mask: mask >>> 0, fields: fieldsOf(syntax) };
}

/** Instructions that differ in funct3, in its order; an empty name is a gap. */
function byFunct3(names: string, syntax: string, opcode: number, funct7?: number): Instruction[] {
  return names.split(" ").flatMap((name, funct3) => {
    if (name === "-") return [];
    const match = opcode | (funct3 << 12) | ((funct7 ?? 0) << 25);
    return row(name, syntax, match, OPCODE | FUNCT3 | (funct7 === undefined ? 0 : FUNCT7));
  });
}

const AMO = 0x202f;
/** By funct5; aq and rl are bits 26 and 25. */
const AMOS: readonly [name: string, funct5: number][] = [
  ["amoadd.w", 0x00],
  ["amoswap.w", 0x01],
  ["sc.w", 0x03],
  ["amoxor.w", 0x04],
  ["amoor.w", 0x08],
  ["amoand.w", 0x0c],
  ["amomin.w", 0x10],
  ["amomax.w", 0x14],
  ["amominu.w", 0x18],
  ["amomaxu.w", 0x1c],
];

/** An atomic instruction with each of its orderings. */
function ordered(name: string, syntax: string, match: number, mask: number): Instruction[] {
  return ["", ".rl", ".aq", ".aqrl"].map((suffix, order) =>
    row(name + suffix, syntax, match | (order << 25), mask | (3 << 25)),
  );
}

export const INSTRUCTIONS: readonly Instruction[] = [
  row("lui", "rd,upper", 0x37, OPCODE),
  row("auipc", "rd,upper", 0x17, OPCODE),
  row("jal", "rd,jump", 0x6f, OPCODE),
  ...byFunct3("jalr", "rd,imm(rs1)", 0x67),
  ...byFunct3("beq bne - - blt bge bltu bgeu", "rs1,rs2,branch", 0x63),
  ...byFunct3("lb lh lw - lbu lhu", "rd,imm(rs1)", 0x03),
  ...byFunct3("sb sh sw", "rs2,offset(rs1)", 0x23),
  ...byFunct3("addi - slti sltiu xori - ori andi", "rd,rs1,imm", 0x13),
  ...byFunct3("- slli - - - srli", "rd,rs1,shamt", 0x13, 0x00),
  ...byFunct3("- - - - - srai", "rd,rs1,shamt", 0x13, 0x20),
  ...byFunct3("add sll slt sltu xor srl or and", "rd,rs1,rs2", 0x33, 0x00),
  ...byFunct3("sub - - - - sra", "rd,rs1,rs2", 0x33, 0x20),
  ...byFunct3("mul mulh mulhsu mulhu div divu rem remu", "rd,rs1,rs2", 0x33, 0x01),
  ...ordered("lr.w", "rd,(rs1)", AMO | (0x02 << 27), OPCODE | FUNCT3 | FUNCT5 | (31 << 20)),
  ...AMOS.flatMap(([name, funct5]) =>
    ordered(name, "rd,rs2,(rs1)", AMO | (funct5 << 27), OPCODE | FUNCT3 | FUNCT5),
  ),
  // Before `fence`, of which it is a case without effect.
  row("pause", "", 0x0100_000f, ALL),
  row("fence", "pred,succ", 0x0f, 0xf00f_ffff),
  row("fence.i", "", 0x100f, ALL),
  row("ecall", "", 0x73, ALL),
  row("ebreak", "", 0x0010_0073, ALL),
  row("sret", "", 0x1020_0073, ALL),
  row("wfi", "", 0x1050_0073, ALL),
  ...byFunct3("- csrrw csrrs csrrc", "rd,csr,rs1", 0x73),
  ...byFunct3("- - - - - csrrwi csrrsi csrrci", "rd,csr,uimm", 0x73),
];

const BY_NAME = new Map(INSTRUCTIONS.map((instruction) => [instruction.name, instruction]));

export function instructionNamed(name: string): Instruction | undefined {
  return BY_NAME.get(name);
}

/** The instruction of a word, if it is one. */
export function instructionOf(word: number): Instruction | undefined {
  return INSTRUCTIONS.find(({ match, mask }) => (word & mask) >>> 0 === match);
}

/** The word of an instruction. Values are in the order of its fields and in range. */
export function encode({ match, fields }: Instruction, values: readonly number[]): number {
  return fields.reduce((word, field, i) => word | FIELDS[field].encode(values[i]!), match) >>> 0;
}
