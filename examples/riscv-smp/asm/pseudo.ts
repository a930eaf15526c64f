/**
 * Pseudo-instructions: other spellings of one or two instructions, as the RISC-V assembly manual has them.
 */

export interface Spelled {
  readonly name: string;
  readonly operands: readonly string[];
}

type Expansion = (...operands: string[]) => [name: string, ...operands: string[]][];

const BRANCH_ZERO: Readonly<Record<string, [name: string, zeroFirst: boolean]>> = {
  beqz: ["beq", false],
  bnez: ["bne", false],
  bltz: ["blt", false],
  bgez: ["bge", false],
  blez: ["bge", true],
  bgtz: ["blt", true],
};
const BRANCH_SWAPPED: Readonly<Record<string, string>> = {
  bgt: "blt",
  ble: "bge",
  bgtu: "bltu",
  bleu: "bgeu",
};
const CSR_WITHOUT_RD: Readonly<Record<string, string>> = {
  csrw: "csrrw",
  csrs: "csrrs",
  csrc: "csrrc",
  csrwi: "csrrwi",
  csrsi: "csrrsi",
  csrci: "csrrci",
};

const fits12 = (value: number) => value >= -0x800 && value < 0x800;

/** A constant that needs no symbol. */
function constantOf(text: string): number | undefined {
  return /^\s*[+-]?\s*(0x[0-9a-f]+|\d+)\s*$/i.test(text) ? Number(text.replaceAll(/\s/g, "")) : undefined;
}

const EXPANSIONS: Readonly<Record<string, Expansion>> = {
  nop: () => [["addi", "zero", "zero", "0"]],
  // Two instructions unless the value is known now and small: addresses must not depend on symbols.
  li: (rd, value) => {
    const constant = constantOf(value!);
    if (constant !== undefined && fits12(constant)) return [["addi", rd!, "zero", value!]];
    return [
      ["lui", rd!, `%hi(${value})`],
      ["addi", rd!, rd!, `%lo(${value})`],
    ];
  },
  la: (rd, symbol) => [
    ["lui", rd!, `%hi(${symbol})`],
    ["addi", rd!, rd!, `%lo(${symbol})`],
  ],
  mv: (rd, rs) => [["addi", rd!, rs!, "0"]],
  not: (rd, rs) => [["xori", rd!, rs!, "-1"]],
  neg: (rd, rs) => [["sub", rd!, "zero", rs!]],
  seqz: (rd, rs) => [["sltiu", rd!, rs!, "1"]],
  snez: (rd, rs) => [["sltu", rd!, "zero", rs!]],
  j: (target) => [["jal", "zero", target!]],
  jr: (rs) => [["jalr", "zero", `0(${rs})`]],
  call: (target) => [["jal", "ra", target!]],
  ret: () => [["jalr", "zero", "0(ra)"]],
  csrr: (rd, csr) => [["csrrs", rd!, csr!, "zero"]],
  unimp: () => [["csrrw", "zero", "cycle", "zero"]],
};

/** The instructions that a line stands for; itself if it is one. */
export function expand(name: string, operands: readonly string[]): Spelled[] {
  const zero = BRANCH_ZERO[name];
  if (zero !== undefined) {
    const [rs, target] = operands as [string, string];
    return [{ name: zero[0], operands: zero[1] ? ["zero", rs, target] : [rs, "zero", target] }];
  }
  const swapped = BRANCH_SWAPPED[name];
  if (swapped !== undefined) {
    const [rs1, rs2, target] = operands as [string, string, string];
    return [{ name: swapped, operands: [rs2, rs1, target] }];
  }
  const csr = CSR_WITHOUT_RD[name];
  if (csr !== undefined) return [{ name: csr, operands: ["zero", ...operands] }];
  if (name === "jal" && operands.length === 1) return [{ name, operands: ["ra", ...operands] }];
  if (name === "fence" && operands.length === 0) return [{ name, operands: ["iorw", "iorw"] }];
  const expansion = Object.hasOwn(EXPANSIONS, name) ? EXPANSIONS[name] : undefined;
  if (expansion === undefined) return [{ name, operands }];
  return expansion(...operands).map(([to, ...rest]) => ({ name: to, operands: rest }));
}
