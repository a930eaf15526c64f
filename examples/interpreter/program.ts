/** A guest program, as words of RV32I: it sorts an array by insertion again and again, and sums it up. */

const [ZERO, BASE, COUNT, I, J, KEY, SEEN, AT, SUM, SEED] = [0, 5, 6, 7, 28, 29, 30, 31, 10, 11] as const;

const addi = (rd: number, rs: number, imm: number) => (imm << 20) | (rs << 15) | (rd << 7) | 0x13;
const slli = (rd: number, rs: number, shift: number) =>
  (shift << 20) | (rs << 15) | (1 << 12) | (rd << 7) | 0x13;
const srli = (rd: number, rs: number, shift: number) =>
  (shift << 20) | (rs << 15) | (5 << 12) | (rd << 7) | 0x13;
const add = (rd: number, a: number, b: number) => (b << 20) | (a << 15) | (rd << 7) | 0x33;
const xor = (rd: number, a: number, b: number) => (b << 20) | (a << 15) | (4 << 12) | (rd << 7) | 0x33;
const lui = (rd: number, upper: number) => (upper << 12) | (rd << 7) | 0x37;
const lw = (rd: number, rs: number, imm: number) => (imm << 20) | (rs << 15) | (2 << 12) | (rd << 7) | 0x03;
const sw = (value: number, rs: number, imm: number) =>
  ((imm >> 5) << 25) | (value << 20) | (rs << 15) | (2 << 12) | ((imm & 31) << 7) | 0x23;
const jal = (words: number) => {
  const offset = words * 4;
  const low = ((offset & 0x7fe) << 20) | ((offset & 0x800) << 9) | (offset & 0xff000);
  return (offset < 0 ? 1 << 31 : 0) | low | 0x6f;
};
const branch = (f3: number, a: number, b: number, words: number) => {
  const offset = words * 4;
  const high = ((offset < 0 ? 1 : 0) << 31) | ((offset & 0x7e0) << 20);
  const low = ((offset & 0x1e) << 7) | ((offset & 0x800) >> 4);
  return high | (b << 20) | (a << 15) | (f3 << 12) | low | 0x63;
};
const [BEQ, BLT, BGE] = [0, 4, 5] as const;

/** Elements, one in each 256 bytes: the array is as large as the guest's RAM behind the code. */
const SPREAD_SHIFT = 8;
const ELEMENTS = 224;

/** The program; it never ends. Its array begins at 0x2000 and ends at 0x10000. */
export const PROGRAM: readonly number[] = [
  /* 0 */ lui(BASE, 2),
  /* 1 */ addi(COUNT, ZERO, ELEMENTS),
  /* 2 */ addi(SEED, ZERO, 1234),
  // Fill the array with numbers at random.
  /* 3 */ addi(I, ZERO, 0),
  /* 4 */ slli(SEEN, SEED, 13),
  /* 5 */ xor(SEED, SEED, SEEN),
  /* 6 */ srli(SEEN, SEED, 17),
  /* 7 */ xor(SEED, SEED, SEEN),
  /* 8 */ slli(SEEN, SEED, 5),
  /* 9 */ xor(SEED, SEED, SEEN),
  /* 10 */ slli(AT, I, SPREAD_SHIFT),
  /* 11 */ add(AT, AT, BASE),
  /* 12 */ sw(SEED, AT, 0),
  /* 13 */ addi(I, I, 1),
  /* 14 */ branch(BLT, I, COUNT, 4 - 14),
  // Sort it.
  /* 15 */ addi(I, ZERO, 1),
  /* 16 */ slli(AT, I, SPREAD_SHIFT),
  /* 17 */ add(AT, AT, BASE),
  /* 18 */ lw(KEY, AT, 0),
  /* 19 */ addi(J, I, 0),
  /* 20 */ branch(BEQ, J, ZERO, 27 - 20),
  /* 21 */ lw(SEEN, AT, -256),
  /* 22 */ branch(BGE, KEY, SEEN, 27 - 22),
  /* 23 */ sw(SEEN, AT, 0),
  /* 24 */ addi(AT, AT, -256),
  /* 25 */ addi(J, J, -1),
  /* 26 */ jal(20 - 26),
  /* 27 */ sw(KEY, AT, 0),
  /* 28 */ add(SUM, SUM, KEY),
  /* 29 */ addi(I, I, 1),
  /* 30 */ branch(BLT, I, COUNT, 16 - 30),
  /* 31 */ jal(3 - 31),
];

/** Bytes of the guest's RAM; the code begins at 0. */
export const RAM_BYTES = 0x10000;
