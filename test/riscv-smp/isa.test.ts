/** Every instruction of the interpreter, in both of its builds, against an oracle of unbounded integers. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { disassemble } from "../../examples/riscv-smp/asm/disassembler.js";
import { FIELDS, type FieldName } from "../../examples/riscv-smp/asm/fields.js";
import { encode, INSTRUCTIONS, type Instruction, instructionOf } from "../../examples/riscv-smp/asm/isa.js";
import type { HartBuild, Mutation } from "../../examples/riscv-smp/build.js";
import { EXIT } from "../../examples/riscv-smp/exports.js";
import { RAM, UART } from "../../examples/riscv-smp/map.js";
import { random } from "../support/random.js";
import { CSR, HANDLER, HartLab, ROM, ROM_BYTES } from "./lab.js";
import { type Before, expected } from "./oracle.js";

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 32);
const CODE = RAM + 0x100;
const DATA = RAM + 0x4000;
const DATA_BYTES = 0x1000;
const ILLEGAL = 2;

/** Where results, signs, shifts and carries change. */
const EDGES = [
  0, 1, 2, 3, 31, 32, 33, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000,
  0x8000_0001, 0xffff_8000, 0xffff_ff80, 0xffff_fffe, 0xffff_ffff,
];
/** Where regions and pages begin and end, aligned and not. */
const PLACES = [
  ...[0, 1, 2, 3, 4, 0xffc, 0xffd, 0xffe, 0xfff].map((offset) => DATA + offset),
  ...[-4, -2, -1, 0, 1, 2, 4].map((offset) => ROM + offset),
  ...[ROM + ROM_BYTES - 1, ROM + ROM_BYTES, RAM, RAM - 1, RAM - 4, UART, 0, 3, 0xffff_fffc, 0xffff_ffff],
];

interface Operands {
  readonly values: readonly number[];
  readonly x: number[];
}

/** Operands of an instruction by the dozen: the edges of each against those of the others. */
function* operandsOf({ fields }: Instruction): Generator<Operands> {
  const { int, pick } = random(SEED);
  const isMemory = fields.includes("offset") || (fields.includes("imm") && fields.length === 3);
  const seconds = fields.includes("rs2") ? EDGES : [0];
  for (const first of [...EDGES, ...PLACES]) {
    for (const second of seconds) {
      const x = Array.from({ length: 32 }, (_, i) => (i === 0 ? 0 : int(2 ** 32)));
      const values = fields.map((name) => operandOf(name, int, pick));
      const at = (name: FieldName) => values[fields.indexOf(name)] ?? 0;
      x[at("rs2")] = second;
      const offset = isMemory ? at(fields.includes("offset") ? "offset" : "imm") : 0;
      // A place is the address itself, whatever the offset.
      x[at("rs1")] = PLACES.includes(first) ? (first - offset) >>> 0 : first;
      x[0] = 0;
      yield { values, x };
    }
  }
}

function operandOf(name: FieldName, int: (n: number) => number, pick: <T>(of: readonly T[]) => T): number {
  const { min, max, step, notation } = FIELDS[name];
  if (notation === "csr") return CSR.mscratch;
  const any = min + int((max - min) / step + 1) * step;
  if (notation === "order") return Math.max(any, 1);
  // Registers are often the same, or x0.
  if (notation === "register") return pick([0, 1, 2, any]);
  return pick([min, max, 0, min + step, -step < min ? 1 : -step, any]);
}

/** Run one instruction on the hart and on the oracle. What differs, if anything. */
function difference(lab: HartLab, instruction: Instruction, { values, x }: Operands): string | undefined {
  const word = encode(instruction, values);
  const { hart, exports } = lab;
  for (const [register, value] of x.entries()) lab.setX(register, value);
  lab.setWord(CODE, word);
  const data = lab.bytes(RAM, 0x1_0000 + ROM_BYTES).slice();
  const before: Before = {
    ...held,
    pc: CODE,
    x,
    mtvec: HANDLER,
    mepc: lab.csr(CSR.mepc),
    scratch: lab.csr(CSR.mscratch),
  };
  const instructions = exports.instructions(hart);
  const want = expected(instruction, values, before, {
    regionOf: (address) => lab.regionOf(address),
    byte: (address) => data[address - RAM]!,
  });
  held.reservation = before.reservation;

  const exit = lab.run(CODE);
  const isDone = want.trap === undefined && exit !== EXIT.load && exit !== EXIT.store;
  if (want.store !== undefined) {
    const { address, bytes, value } = want.store;
    for (let i = 0; i < bytes; i++) data[address - RAM + i] = value / 256 ** i;
  }
  const checks: [what: string, found: number, wanted: number][] = [
    ["exit", exit, want.exit],
    ["pc", lab.pc, want.pc],
    ...want.x.map((value, i): [string, number, number] => [`x${i}`, lab.x(i), value]),
    ["mscratch", lab.csr(CSR.mscratch), before.scratch],
    ["retired", exports.instructions(hart) - instructions, Number(isDone)],
    ["memory", Buffer.compare(lab.bytes(RAM, data.length), data), 0],
  ];
  if (want.trap !== undefined) {
    const [cause, value] = want.trap;
    checks.push(["mcause", lab.csr(CSR.mcause), cause], ["mtval", lab.csr(CSR.mtval), value]);
    checks.push(["mepc", lab.csr(CSR.mepc), CODE]);
  }
  const wrong = checks.find(([, found, wanted]) => found !== wanted);
  if (wrong === undefined) return undefined;
  const [what, found, wanted] = wrong;
  return `${disassemble(word, CODE)}: ${what} is ${found}, not ${wanted}`;
}

/** The oracle's reservation lives from one instruction to the next, as the hart's does. */
const held: Pick<Before, "reservation"> = { reservation: null };

function firstDifference(lab: HartLab, instructions: readonly Instruction[]): string | undefined {
  const { int } = random(SEED);
  for (const page of [DATA, ROM - DATA_BYTES, ROM]) {
    lab.bytes(page, DATA_BYTES).set(Array.from({ length: DATA_BYTES }, () => int(256)));
  }
  for (const instruction of instructions) {
    for (const operands of operandsOf(instruction)) {
      const wrong = difference(lab, instruction, operands);
      if (wrong !== undefined) return `${wrong}, SEED=${SEED}`;
    }
  }
  return undefined;
}

function named(...names: readonly string[]): Instruction[] {
  return INSTRUCTIONS.filter(({ name }) => names.includes(name));
}

for (const build of ["engine", "flat"] as const satisfies HartBuild[]) {
  test(`${build}: every instruction with edge operands`, async () => {
    const lab = await HartLab.create(build);
    held.reservation = null;
    assert.is(firstDifference(lab, INSTRUCTIONS), undefined);
  });
}

/** What LR gives, what SC gives, and the word in the end, by what comes between the two. */
function pairs(lab: HartLab): Record<string, number[]> {
  const pair = (between: string) => {
    for (const offset of [0, 4, 64]) lab.setWord(DATA + offset, 7);
    lab.execute(`li a0, ${DATA}\nlr.w a1, (a0)\n${between}\nli a2, 9\nsc.w a3, a2, (a0)`);
    return [lab.x(11), lab.x(13), lab.word(DATA)];
  };
  const result = {
    nothing: pair("nop"),
    "a store": pair("li t0, 8\nsw t0, 0(a0)"),
    "another SC": pair("sc.w t1, zero, (a0)\nsw a1, 0(a0)"),
    "another LR": pair("addi t1, a0, 64\nlr.w t0, (t1)"),
    "another address": pair("addi a0, a0, 4"),
  };
  // The layout changes between the sections: the word may be another one.
  lab.setWord(DATA, 7);
  lab.execute(`li a0, ${DATA}\nlr.w a1, (a0)`);
  lab.engine.setUserMemoryRegion(lab.slot(2, RAM, 0x1000, 0, 0x9000_0000));
  lab.execute("sc.w a3, zero, (a0)");
  return { ...result, "another layout": [lab.x(11), lab.x(13), lab.word(DATA)] };
}

const PAIRS = {
  nothing: [7, 0, 9],
  "a store": [7, 1, 8],
  "another SC": [7, 1, 7],
  "another LR": [7, 1, 7],
  "another address": [7, 1, 7],
  "another layout": [7, 1, 7],
};

test("LR and SC: the pair, and all that comes between them", async () => {
  assert.equal(pairs(await HartLab.create("engine")), PAIRS);
});

const BROKEN_PAIRS: readonly [what: keyof typeof PAIRS, mutation: Mutation][] = [
  ["another address", { file: "amo.ts", from: "state.reservation == address &&", to: "" }],
  ["another SC", { file: "amo.ts", from: "state.reservation = NO_RESERVATION;", to: "" }],
  [
    "another layout",
    { file: "run.ts", from: "state.reservation = NO_RESERVATION;", to: "state.reservation += 0;" },
  ],
];

for (const [what, mutation] of BROKEN_PAIRS) {
  test(`an SC that does not notice ${what} is noticed`, async () => {
    const found = pairs(await HartLab.create("engine", mutation));
    assert.not.equal(found[what], PAIRS[what]);
  });
}

test("every word that is no instruction is illegal, and no other", async () => {
  const lab = await HartLab.create("flat");
  const MISC_MEM = 0x0f;
  const SYSTEM = 0x73;
  let illegal = 0;
  for (let high = 0; high < 2 ** 7; high++) {
    for (let low = 0; low < 2 ** 10; low++) {
      const opcode = low & 0x7f;
      // FENCE has to ignore what is in its reserved fields. CSRs have a test of their own.
      if ((opcode === MISC_MEM && low >> 7 < 2) || (opcode === SYSTEM && (low >> 7) & 3)) continue;
      for (const middle of [0, 1, 2, 5]) {
        const word = ((high << 25) | (middle << 20) | ((low >> 7) << 12) | opcode) >>> 0;
        lab.setWord(CODE, word);
        lab.run(CODE);
        const isIllegal = lab.pc === HANDLER && lab.csr(CSR.mcause) === ILLEGAL;
        assert.is(isIllegal, instructionOf(word) === undefined, disassemble(word));
        if (isIllegal) assert.equal([lab.csr(CSR.mtval), lab.csr(CSR.mepc)], [word, CODE]);
        illegal += Number(isIllegal);
      }
    }
  }
  assert.ok(illegal > 400_000);
});

/** Each breaks the interpreter in one place; the oracle must notice in one of the instructions. */
const BROKEN: readonly [what: string, mutation: Mutation, instructions: readonly string[]][] = [
  [
    "SRA without sign",
    { file: "compute.ts", from: "<u32>(<i32>a >> (b & 31))", to: "(a >> (b & 31))" },
    ["sra"],
  ],
  ["SLTU signed", { file: "compute.ts", from: "<u32>(a < b)", to: "<u32>(<i32>a < <i32>b)" }, ["sltiu"]],
  ["MULHSU as MULH", { file: "compute.ts", from: "* <i64>b)", to: "* <i64>(<i32>b))" }, ["mulhsu"]],
  ["REM by 0", { file: "compute.ts", from: "if (b == 0) return a;", to: "if (b == 0) return 0;" }, ["rem"]],
  ["BGEU signed", { file: "compute.ts", from: "return a >= b;", to: "return <i32>a >= <i32>b;" }, ["bgeu"]],
  ["x0 keeps values", { file: "hart.ts", from: "store<u32>(hart, 0, REGISTERS);", to: "" }, ["addi"]],
  [
    "LB without sign",
    { file: "memory.ts", from: "<u32>(<i32>load<i8>(host))", to: "load<u8>(host)" },
    ["lb"],
  ],
  [
    "misaligned LH",
    {
      file: "tlb.ts",
      from: "(address & (PAGE_MASK | align)) == entry.read",
      to: "(address & PAGE_MASK) == entry.read",
    },
    ["lh"],
  ],
  ["ROM written", { file: "tlb.ts", from: "const hva = gpaToHva(", to: "const hva = gpaToHvaRead(" }, ["sw"]],
  ["AMOMIN unsigned", { file: "amo.ts", from: "<i32>a < <i32>b ? a : b", to: "a < b ? a : b" }, ["amomin.w"]],
  ["JALR keeps bit 0", { file: "run.ts", from: "& ~1;", to: ";" }, ["jalr"]],
  ["no misaligned fetch", { file: "run.ts", from: "if (target & 2)", to: "if (target & 0)" }, ["jal"]],
  ["traps retire", { file: "trap.ts", from: "state.instret -= 1;", to: "" }, ["ecall"]],
];

for (const [what, mutation, instructions] of BROKEN) {
  test(`the oracle notices: ${what}`, async () => {
    const lab = await HartLab.create("engine", mutation);
    held.reservation = null;
    assert.type(firstDifference(lab, named(...instructions)), "string");
  });
}

test.run();
