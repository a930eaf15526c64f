/**
 * Instruction words as text that the assembler takes back.
 */
import { CSRS, FIELDS, type FieldName, ORDER_LETTERS, REGISTERS } from "./fields.js";
import { instructionOf } from "./isa.js";

const CSR_NAMES = new Map(Object.entries(CSRS).map(([name, address]) => [address, name]));

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

function operand(name: FieldName, word: number, pc: number): string {
  const { notation, decode } = FIELDS[name];
  const value = decode(word);
  if (notation === "register") return REGISTERS[value]!;
  if (notation === "address") return hex(pc + value);
  if (notation === "csr") return CSR_NAMES.get(value) ?? hex(value);
  if (notation === "order") return [...ORDER_LETTERS].filter((_, i) => value & (8 >> i)).join("") || "0";
  return String(value);
}

/** The instruction at address `pc`; `.word` for what is none. */
export function disassemble(word: number, pc = 0): string {
  const instruction = instructionOf(word);
  if (instruction === undefined) return `.word ${hex(word)}`;
  const { name, syntax } = instruction;
  if (syntax === "") return name;
  return `${name} ${syntax.replace(/\w+/g, (field) => operand(field as FieldName, word, pc)).replaceAll(",", ", ")}`;
}
