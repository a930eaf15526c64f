/**
 * What one instruction of RV32IMA does, written from the RISC-V manual in unbounded integers and by the name of
 * the instruction. It has nothing in common with the interpreter: no decoder, no 32-bit arithmetic, no switch.
 */
import type { FieldName } from "../../examples/riscv-smp/asm/fields.js";
import type { Instruction } from "../../examples/riscv-smp/asm/isa.js";
import { EXIT } from "../../examples/riscv-smp/exports.js";

export type Region = "ram" | "rom" | "none";

/** What the instruction finds. */
export interface World {
  regionOf(address: number): Region;
  /** Byte of RAM or ROM. */
  byte(address: number): number;
}

export interface Outcome {
  readonly pc: number;
  readonly x: readonly number[];
  readonly exit: number;
  /** Cause and value of the trap. */
  readonly trap?: readonly [cause: number, value: number];
  readonly store?: { readonly address: number; readonly bytes: number; readonly value: number };
}

/** All of a hart that an instruction may change, as it is before. `scratch` is mscratch. */
export interface Before {
  pc: number;
  x: number[];
  mtvec: number;
  mepc: number;
  scratch: number;
  reservation: { address: number; value: number } | null;
}

const u = (value: bigint): bigint => BigInt.asUintN(32, value);
const bit = (condition: boolean): bigint => (condition ? 1n : 0n);
const low5 = (value: bigint): bigint => value & 31n;

/** Operands are signed; of the result the low 32 bits count. */
type Binary = (a: bigint, b: bigint) => bigint;

const COMPUTE: Readonly<Record<string, Binary>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  sll: (a, b) => a * 2n ** low5(b),
  slt: (a, b) => bit(a < b),
  sltu: (a, b) => bit(u(a) < u(b)),
  xor: (a, b) => a ^ b,
  srl: (a, b) => u(a) / 2n ** low5(b),
  sra: (a, b) => a >> low5(b),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  mul: (a, b) => a * b,
  mulh: (a, b) => (a * b) >> 32n,
  mulhsu: (a, b) => (a * u(b)) >> 32n,
  mulhu: (a, b) => (u(a) * u(b)) >> 32n,
  div: (a, b) => (b === 0n ? -1n : a / b),
  divu: (a, b) => (b === 0n ? -1n : u(a) / u(b)),
  rem: (a, b) => (b === 0n ? a : a % b),
  remu: (a, b) => (b === 0n ? a : u(a) % u(b)),
};

const TAKEN: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  beq: (a, b) => a === b,
  bne: (a, b) => a !== b,
  blt: (a, b) => a < b,
  bge: (a, b) => a >= b,
  bltu: (a, b) => u(a) < u(b),
  bgeu: (a, b) => u(a) >= u(b),
};

const AMO: Readonly<Record<string, Binary>> = {
  amoswap: (_, b) => b,
  amoadd: COMPUTE.add!,
  amoxor: COMPUTE.xor!,
  amoor: COMPUTE.or!,
  amoand: COMPUTE.and!,
  amomin: (a, b) => (a < b ? a : b),
  amomax: (a, b) => (a > b ? a : b),
  amominu: (a, b) => (u(a) < u(b) ? a : b),
  amomaxu: (a, b) => (u(a) > u(b) ? a : b),
};

/** Bytes, and whether the load extends the sign. */
const LOADS: Readonly<Record<string, [bytes: number, signed: boolean]>> = {
  lb: [1, true],
  lh: [2, true],
  lw: [4, true],
  lbu: [1, false],
  lhu: [2, false],
};
const STORES: Readonly<Record<string, number>> = { sb: 1, sh: 2, sw: 4 };

const MISALIGNED = { fetch: 0, load: 4, store: 6 };
const ACCESS = { load: 5, store: 7 };

/** Changes `before.scratch`, `before.reservation` where the instruction does. */
export function expected(
  { name, fields }: Instruction,
  values: readonly number[],
  before: Before,
  world: World,
): Outcome {
  const field = (wanted: FieldName): bigint => BigInt(values[fields.indexOf(wanted)] ?? 0);
  const register = (wanted: FieldName): bigint => BigInt.asIntN(32, BigInt(before.x[Number(field(wanted))]!));
  const pc = BigInt(before.pc);
  const [rs1, rs2] = [register("rs1"), register("rs2")];

  const go = (to: bigint, more: Partial<Outcome> = {}): Outcome => ({
    pc: Number(u(to)),
    x: before.x,
    exit: EXIT.budget,
    ...more,
  });
  const trap = (cause: number, value: bigint): Outcome =>
    go(BigInt(before.mtvec), { trap: [cause, Number(u(value))] });
  const set = (value: bigint, to = pc + 4n, more: Partial<Outcome> = {}): Outcome => {
    const rd = Number(field("rd"));
    return go(to, { x: before.x.map((old, i) => (i === rd && i !== 0 ? Number(u(value)) : old)), ...more });
  };
  const jump = (to: bigint): Outcome => (to % 4n === 0n ? set(pc + 4n, to) : trap(MISALIGNED.fetch, to));
  const valueAt = (address: number, bytes: number): bigint => {
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256n + BigInt(world.byte(address + i));
    return value;
  };

  const computed = COMPUTE[name] ?? COMPUTE[name.replace("i", "")];
  if (computed !== undefined) {
    const second = fields.includes("rs2") ? rs2 : fields.includes("shamt") ? field("shamt") : field("imm");
    return set(computed(rs1, second));
  }
  if (name === "lui") return set(field("upper") * 4096n);
  if (name === "auipc") return set(pc + field("upper") * 4096n);
  if (name === "jal") return jump(pc + field("jump"));
  if (name === "jalr") return jump(u(rs1 + field("imm")) & ~1n);
  if (TAKEN[name] !== undefined) {
    if (!TAKEN[name](rs1, rs2)) return go(pc + 4n);
    const to = pc + field("branch");
    return to % 4n === 0n ? go(to) : trap(MISALIGNED.fetch, to);
  }
  if (LOADS[name] !== undefined) {
    const [bytes, signed] = LOADS[name];
    const address = Number(u(rs1 + field("imm")));
    if (address % bytes !== 0) return trap(MISALIGNED.load, BigInt(address));
    if (world.regionOf(address) === "none") return go(pc, { exit: EXIT.load });
    const value = valueAt(address, bytes);
    return set(signed ? BigInt.asIntN(bytes * 8, value) : value);
  }
  if (STORES[name] !== undefined) {
    const bytes = STORES[name];
    const address = Number(u(rs1 + field("offset")));
    if (address % bytes !== 0) return trap(MISALIGNED.store, BigInt(address));
    if (world.regionOf(address) !== "ram") return go(pc, { exit: EXIT.store });
    return go(pc + 4n, { store: { address, bytes, value: Number(BigInt.asUintN(bytes * 8, rs2)) } });
  }

  const address = Number(u(rs1));
  const [base] = name.split(".") as [string];
  if (base === "lr") {
    if (address % 4 !== 0) return trap(MISALIGNED.load, rs1);
    if (world.regionOf(address) === "none") return trap(ACCESS.load, rs1);
    before.reservation = { address, value: Number(valueAt(address, 4)) };
    return set(valueAt(address, 4));
  }
  if (base === "sc" || AMO[base] !== undefined) {
    if (address % 4 !== 0) return trap(MISALIGNED.store, rs1);
    if (world.regionOf(address) !== "ram") return trap(ACCESS.store, rs1);
    const old = valueAt(address, 4);
    const store = (value: bigint) => ({ store: { address, bytes: 4, value: Number(u(value)) } });
    if (base !== "sc") return set(old, pc + 4n, store(AMO[base]!(BigInt.asIntN(32, old), rs2)));
    const held = before.reservation?.address === address && before.reservation.value === Number(old);
    before.reservation = null;
    return held ? set(0n, pc + 4n, store(rs2)) : set(1n);
  }

  if (name.startsWith("csr")) {
    const operand = name.endsWith("i") ? field("uimm") : rs1;
    const old = BigInt(before.scratch);
    const written = { csrrw: operand, csrrs: old | operand, csrrc: old & ~operand }[name.replace(/i$/, "")]!;
    before.scratch = Number(u(written));
    return set(old);
  }
  if (name === "ecall") return trap(11, 0n);
  if (name === "ebreak") return trap(3, pc);
  if (name === "mret") return go(BigInt(before.mepc));
  if (name === "wfi") return go(pc + 4n, { exit: EXIT.wfi });
  if (name === "pause") return go(pc + 4n, { exit: EXIT.pause });
  if (name.startsWith("fence")) return go(pc + 4n);
  throw new Error(`the oracle does not know ${name}`);
}
