/**
 * The operand fields of instruction words: where their bits are, and what values they take. Both
 * directions are here, so that assembler and disassembler cannot differ.
 */

/** How an operand is written. */
export type Notation = "register" | "number" | "address" | "csr" | "order";

export interface Field {
  readonly notation: Notation;
  /** Smallest and largest value; for an address they count from the instruction. */
  readonly min: number;
  readonly max: number;
  /** The value must be a multiple of this. */
  readonly step: number;
  /** Bits of the word for a value in range. */
  encode(value: number): number;
  /** Value of the field of a word. */
  decode(word: number): number;
}

function unsigned(notation: Notation, low: number, width: number): Field {
  const max = 2 ** width - 1;
  return {
    notation,
    min: 0,
    max,
    step: 1,
    encode: (value) => value << low,
    decode: (word) => (word >>> low) & max,
  };
}

function signed(
  notation: Notation,
  width: number,
  step: number,
  codec: Pick<Field, "encode" | "decode">,
): Field {
  return { notation, min: -(2 ** (width - 1)), max: 2 ** (width - 1) - step, step, ...codec };
}

/** Bits [high:low] of a value, moved to bit `to`. */
function bits(value: number, high: number, low: number, to: number): number {
  return ((value >>> low) & (2 ** (high - low + 1) - 1)) << to;
}

/** By the names of the specification; `offset`, `branch` and `jump` are its S, B and J immediates. */
export const FIELDS = {
  rd: unsigned("register", 7, 5),
  rs1: unsigned("register", 15, 5),
  rs2: unsigned("register", 20, 5),
  shamt: unsigned("number", 20, 5),
  uimm: unsigned("number", 15, 5),
  csr: unsigned("csr", 20, 12),
  pred: unsigned("order", 24, 4),
  succ: unsigned("order", 20, 4),
  upper: unsigned("number", 12, 20),
  imm: signed("number", 12, 1, { encode: (value) => value << 20, decode: (word) => word >> 20 }),
  offset: signed("number", 12, 1, {
    encode: (value) => bits(value, 11, 5, 25) | bits(value, 4, 0, 7),
    decode: (word) => ((word >> 25) << 5) | bits(word, 11, 7, 0),
  }),
  branch: signed("address", 13, 2, {
    encode: (value) =>
      bits(value, 12, 12, 31) | bits(value, 10, 5, 25) | bits(value, 4, 1, 8) | bits(value, 11, 11, 7),
    decode: (word) =>
      ((word >> 31) << 12) | bits(word, 30, 25, 5) | bits(word, 11, 8, 1) | bits(word, 7, 7, 11),
  }),
  jump: signed("address", 21, 2, {
    encode: (value) =>
      bits(value, 20, 20, 31) | bits(value, 10, 1, 21) | bits(value, 11, 11, 20) | bits(value, 19, 12, 12),
    decode: (word) =>
      ((word >> 31) << 20) | bits(word, 30, 21, 1) | bits(word, 20, 20, 11) | bits(word, 19, 12, 12),
  }),
} satisfies Record<string, Field>;

export type FieldName = keyof typeof FIELDS;

/** ABI names of x0 to x31. */
export const REGISTERS: readonly string[] = (
  "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 " + "s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
).split(" ");

/** CSRs that a guest in S-mode has, by address. */
export const CSRS: Readonly<Record<string, number>> = {
  sstatus: 0x100,
  sie: 0x104,
  stvec: 0x105,
  scounteren: 0x106,
  senvcfg: 0x10a,
  sscratch: 0x140,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  sip: 0x144,
  stimecmp: 0x14d,
  satp: 0x180,
  cycle: 0xc00,
  time: 0xc01,
  instret: 0xc02,
};

/** Letters of the sets that FENCE orders, from its highest bit down. */
export const ORDER_LETTERS = "iorw";
