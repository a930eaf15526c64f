/**
 * Records what every instruction does on QEMU: `npm run record:isa`, with Debian's
 * gcc-riscv64-linux-gnu and qemu-user. Writes test/vectors/rv64gc.json.gz, which isa.test.ts runs on the hart.
 *
 * The program has a stub for each instruction. For each stub, and for floats in each rounding mode, it goes through the
 * operands and mixes all that the instruction may change into one number: a register, a float, flags, memory.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { random } from "../support/random.js";
import type { IsaVectors } from "./isavectors.js";

const OUT = fileURLToPath(new URL("../vectors/rv64gc.json.gz", import.meta.url));
/** Where the program is linked to, in RAM of the machine. */
const BASE = 0x8000_0000;
const TRIPLES = 4096;

/** A stub; operands are a0, a1 and fa0 to fa2, and 64 bytes at a2; results a0, fa0 and those bytes. */
interface Stub {
  readonly name: string;
  readonly code: string;
  /** Operands that it goes through, and whether rounding modes matter. */
  readonly operands:
    | "integers"
    | "doubles"
    | "singles"
    | "double values"
    | "single values"
    | "double triples"
    | "single triples";
  readonly rounds?: boolean;
}

function integers(): Stub[] {
  const stub = (code: string): Stub => ({ name: code, code, operands: "integers" });
  const three = [
    ..."add sub sll slt sltu xor srl sra or and addw subw sllw srlw sraw".split(" "),
    ..."mul mulh mulhsu mulhu div divu rem remu mulw divw divuw remw remuw".split(" "),
  ].map((name) => stub(`${name} a0, a0, a1`));
  const immediates = [-2048, -1, 0, 1, 2047, 0x555].flatMap((imm) =>
    "addi slti sltiu xori ori andi addiw".split(" ").map((name) => stub(`${name} a0, a0, ${imm}`)),
  );
  const shifts = [0, 1, 31, 32, 63].flatMap((shift) => [
    ..."slli srli srai".split(" ").map((name) => stub(`${name} a0, a1, ${shift}`)),
    ...(shift < 32 ? "slliw srliw sraiw".split(" ").map((name) => stub(`${name} a0, a1, ${shift}`)) : []),
  ]);
  const upper = [0, 1, 0x7ffff, 0x80000, 0xfffff].flatMap((imm) => [
    stub(`lui a0, ${imm}`),
    stub(`auipc a0, ${imm}`),
  ]);
  const branches = "beq bne blt bge bltu bgeu".split(" ").map((name): Stub => {
    const code = `li a3, 1\n ${name} a0, a1, 1f\n li a3, 0\n1: mv a0, a3`;
    return { name, code, operands: "integers" };
  });
  const jumps: Stub[] = [
    {
      name: "jal",
      code: "mv t1, ra\n jal ra, 1f\n li a0, 1\n1: mv a0, ra\n mv ra, t1",
      operands: "integers",
    },
    {
      name: "jalr",
      code: "mv t1, ra\n la t2, 1f\n jalr ra, 1(t2)\n li a0, 1\n1: mv a0, ra\n mv ra, t1",
      operands: "integers",
    },
    { name: "x0", code: "add zero, a0, a1\n ld zero, 0(a2)\n mv a0, zero", operands: "integers" },
  ];
  return [...three, ...immediates, ...shifts, ...upper, ...branches, ...jumps];
}

function memory(): Stub[] {
  const stub = (code: string): Stub => ({ name: code.replace(/\n /g, "; "), code, operands: "integers" });
  // Of each width, at each place in a double word and beyond it.
  const places = [0, 1, 2, 3, 4, 5, 6, 7, 13];
  const loads = "lb lbu lh lhu lw lwu ld"
    .split(" ")
    .flatMap((name) => places.map((place) => stub(`${name} a0, ${place}(a2)`)));
  const stores = "sb sh sw sd"
    .split(" ")
    .flatMap((name) => places.map((place) => stub(`${name} a1, ${place}(a2)`)));
  const amos = "amoswap amoadd amoxor amoand amoor amomin amomax amominu amomaxu"
    .split(" ")
    .flatMap((name) =>
      ["w", "d", "w.aq", "d.rl", "w.aqrl"].map((width) => stub(`${name}.${width} a0, a1, (a2)`)),
    );
  const reserved = ["w", "d"].flatMap((width) => [
    stub(`lr.${width} a0, (a2)`),
    stub(`lr.${width} a3, (a2)\n sc.${width} a0, a1, (a2)`),
    // Without a reservation, of another place, and twice.
    stub(`sc.${width} a0, a1, (a2)\n sc.${width} a0, a1, (a2)`),
    stub(`lr.${width} a3, (a2)\n addi a4, a2, 8\n sc.${width} a0, a1, (a4)`),
    stub(`lr.${width} a3, (a2)\n sc.${width} a0, a1, (a2)\n sc.${width} a0, a0, (a2)`),
  ]);
  const fences = ["fence", "fence rw, w", "fence.i", "fence.tso"].map(stub);
  return [...loads, ...stores, ...amos, ...reserved, ...fences];
}

function compressed(): Stub[] {
  const stub = (code: string): Stub => ({ name: code.replace(/\n /g, "; "), code, operands: "integers" });
  const two = "c.add c.mv c.sub c.xor c.or c.and c.subw c.addw"
    .split(" ")
    .map((name) => stub(`${name} a0, a1`));
  const one = [-32, -1, 1, 31].flatMap((imm) => [
    stub(`c.addi a0, ${imm}`),
    stub(`c.addiw a0, ${imm}`),
    stub(`c.li a0, ${imm}`),
    stub(`c.andi a0, ${imm}`),
  ]);
  const shifts = [1, 31, 32, 63].flatMap((shift) =>
    "c.slli c.srli c.srai".split(" ").map((name) => stub(`${name} a0, ${shift}`)),
  );
  const upper = [1, 31, 0xfffe0, 0xfffff].map((imm) => stub(`c.lui a0, ${imm}`));
  const stack = [-512, -16, 16, 496].map((imm) =>
    stub(`mv t1, sp\n mv sp, a1\n c.addi16sp sp, ${imm}\n mv a0, sp\n mv sp, t1`),
  );
  const frames = [4, 8, 64, 1020].map((imm) =>
    stub(`mv t1, sp\n mv sp, a1\n c.addi4spn a0, sp, ${imm}\n mv sp, t1`),
  );
  const onStack = (code: string) => stub(`mv t1, sp\n mv sp, a2\n ${code}\n mv sp, t1`);
  const memories = [
    ...[0, 4, 8, 64, 124].flatMap((at) => [
      stub(`addi a2, a2, -${at}\n c.lw a0, ${at}(a2)`),
      stub(`addi a2, a2, -${at}\n c.sw a1, ${at}(a2)`),
      stub(`mv t1, sp\n addi sp, a2, -${at}\n c.lwsp a0, ${at}(sp)\n mv sp, t1`),
      stub(`mv t1, sp\n addi sp, a2, -${at}\n c.swsp a1, ${at}(sp)\n mv sp, t1`),
    ]),
    ...[0, 8, 64, 248].flatMap((at) => [
      stub(`addi a2, a2, -${at}\n c.ld a0, ${at}(a2)`),
      stub(`addi a2, a2, -${at}\n c.sd a1, ${at}(a2)`),
      stub(`addi a2, a2, -${at}\n c.fld fa0, ${at}(a2)`),
      stub(`addi a2, a2, -${at}\n c.fsd fa1, ${at}(a2)`),
      stub(`mv t1, sp\n addi sp, a2, -${at}\n c.ldsp a0, ${at}(sp)\n mv sp, t1`),
      stub(`mv t1, sp\n addi sp, a2, -${at}\n c.sdsp a1, ${at}(sp)\n mv sp, t1`),
      stub(`mv t1, sp\n addi sp, a2, -${at}\n c.fldsp fa0, ${at}(sp)\n mv sp, t1`),
      stub(`mv t1, sp\n addi sp, a2, -${at}\n c.fsdsp fa1, ${at}(sp)\n mv sp, t1`),
    ]),
    onStack("c.lwsp a0, 12(sp)"),
    onStack("c.sdsp a1, 16(sp)"),
  ];
  const jumps = [
    stub("li a3, 1\n c.beqz a0, 1f\n li a3, 0\n1: mv a0, a3"),
    stub("li a3, 1\n c.bnez a0, 1f\n li a3, 0\n1: mv a0, a3"),
    stub("li a0, 1\n c.j 1f\n li a0, 0\n1:"),
    stub("la a0, 1f\n c.jr a0\n li a0, 0\n1:"),
    stub("mv t1, ra\n la a0, 1f\n c.jalr a0\n li a0, 0\n1: mv a0, ra\n mv ra, t1"),
    stub("c.nop"),
  ];
  return [...two, ...one, ...shifts, ...upper, ...stack, ...frames, ...memories, ...jumps];
}

const STATIC_MODES = ["rne", "rtz", "rdn", "rup", "rmm"];

function floats(): Stub[] {
  const stubs: Stub[] = [];
  for (const [f, operands, triples, other] of [
    ["d", "doubles", "double triples", "s"],
    ["s", "singles", "single triples", "d"],
  ] as const) {
    const alone = f === "d" ? "double values" : "single values";
    const add = (code: string, rounds = false, of: Stub["operands"] = operands) =>
      stubs.push({ name: code.replace(/\n /g, "; "), code, operands: of, rounds });
    for (const name of ["fadd", "fsub", "fmul", "fdiv"]) add(`${name}.${f} fa0, fa0, fa1`, true);
    for (const mode of STATIC_MODES) add(`fadd.${f} fa0, fa0, fa1, ${mode}`);
    add(`fsqrt.${f} fa0, fa0`, true, alone);
    for (const name of ["fmadd", "fmsub", "fnmsub", "fnmadd"])
      add(`${name}.${f} fa0, fa0, fa1, fa2`, true, triples);
    for (const name of ["fsgnj", "fsgnjn", "fsgnjx", "fmin", "fmax"]) add(`${name}.${f} fa0, fa0, fa1`);
    for (const name of ["feq", "flt", "fle"]) add(`${name}.${f} a0, fa0, fa1`);
    add(`fclass.${f} a0, fa0`, false, alone);
    for (const kind of ["w", "wu", "l", "lu"]) {
      add(`fcvt.${kind}.${f} a0, fa0`, true, alone);
      for (const mode of STATIC_MODES) add(`fcvt.${kind}.${f} a0, fa0, ${mode}`, false, alone);
      add(`fcvt.${f}.${kind} fa0, a1${f === "d" && kind.startsWith("w") ? "" : ", dyn"}`, true, "integers");
    }
    add(`fcvt.${f}.${other} fa0, fa1`, f === "s", "double values");
    add(`fcvt.${f}.${other} fa0, fa1`, f === "s", "single values");
    add(f === "d" ? "fmv.x.d a0, fa0" : "fmv.x.w a0, fa0");
    add(f === "d" ? "fmv.d.x fa0, a1" : "fmv.w.x fa0, a1", false, "integers");
    const [load, store] = f === "d" ? ["fld", "fsd"] : ["flw", "fsw"];
    for (const place of [0, 4, 5, 8]) {
      add(`${load} fa0, ${place}(a2)`, false, "integers");
      add(`${store} fa1, ${place}(a2)`);
    }
  }
  // A float of 32 bits whose register is not filled with ones is NaN.
  for (const code of [
    "fadd.s fa0, fa0, fa1",
    "fsgnj.s fa0, fa0, fa1",
    "fclass.s a0, fa0",
    "fmv.x.w a0, fa0",
  ]) {
    stubs.push({ name: `${code}, not boxed`, code, operands: "doubles" });
  }
  for (const code of [
    "csrrw a0, fcsr, a1",
    "csrrs a0, fflags, a1",
    "csrrc a0, frm, a1",
    "csrrwi a0, fflags, 21",
  ]) {
    const read = `${code}\n frcsr a3\n slli a3, a3, 8\n xor a0, a0, a3\n fscsr zero`;
    stubs.push({ name: code, code: read, operands: "integers" });
  }
  return stubs;
}

const INTEGERS = [
  0n,
  1n,
  2n,
  3n,
  31n,
  32n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0xffffffff80000000n,
  0xffffffff7fffffffn,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
  0x0123456789abcdefn,
  0xfedcba9876543210n,
  0x5555555555555555n,
  0x20000000000001n,
  0x7ffffffffffffc00n,
  0xfffffffffffff800n,
];

/** Values of a format of `bits` bits where results change: limits, ties, NaNs, and some at random. */
function floatValues(bits: 32 | 64): bigint[] {
  const fraction = bits === 64 ? 52n : 23n;
  const bias = bits === 64 ? 1023n : 127n;
  const one = bias << fraction;
  const ulp = 1n;
  const infinity = (2n * bias + 1n) << fraction;
  const at = (exponent: bigint) => (bias + exponent) << fraction;
  const positive = [
    0n,
    ulp,
    2n,
    3n,
    (1n << fraction) - 1n,
    1n << fraction,
    (1n << fraction) + 1n,
    one >> 1n,
    one - 2n,
    one - 1n,
    one,
    one + 1n,
    one + 2n,
    one | (1n << (fraction - 1n)),
    at(1n),
    at(1n) | (1n << (fraction - 2n)),
    at(-1n),
    at(-1n) - 1n,
    at(-1n) + 1n,
    at(fraction),
    at(fraction) + 1n,
    at(fraction + 1n),
    at(fraction + 1n) + 1n,
    at(30n),
    at(31n),
    at(31n) - 1n,
    at(32n),
    at(32n) - 1n,
    at(62n),
    at(63n),
    at(63n) - 1n,
    at(64n),
    at(64n) - 1n,
    at(-fraction),
    at(-fraction - 1n),
    infinity - 1n,
    infinity - 2n,
    infinity,
    infinity | (1n << (fraction - 1n)),
    infinity | 1n,
    infinity | (1n << (fraction - 1n)) | 5n,
  ];
  const { int } = random(bits);
  const any = Array.from({ length: 12 }, () => {
    const raw = (BigInt(int(2 ** 32)) << 32n) | BigInt(int(2 ** 32));
    return BigInt.asUintN(bits, raw);
  });
  // Near one, where sums cancel.
  const near = Array.from({ length: 8 }, () => one + BigInt(int(2 ** 23)) - (1n << 22n));
  const sign = 1n << BigInt(bits - 1);
  return [...positive, ...near, ...any].flatMap((value) => (value & sign ? [value] : [value, value | sign]));
}

function boxed(value: bigint): bigint {
  return value | 0xffff_ffff_0000_0000n;
}

function data(label: string, values: readonly bigint[]): string {
  return `${label}:\n${values.map((value) => ` .dword 0x${value.toString(16)}\n`).join("")}${label}_end:\n`;
}

/** Triples at random, of values as they are: a third of them of the same size as the product, so that they cancel. */
function triplesOf(values: readonly bigint[], seed: number): bigint[] {
  const { pick } = random(seed);
  return Array.from({ length: 3 * TRIPLES }, () => pick(values));
}

const MIX = 0x9e37_79b9_7f4a_7c15n;

/** Mix a register into s3. */
function mixed(from: string): string {
  return ` xor s3, s3, ${from}\n mul s3, s3, s6\n srli t6, s3, 29\n xor s3, s3, t6\n`;
}

function stubText({ code }: Stub, i: number): string {
  const option = /(^| )c\./.test(code) ? "rvc" : "norvc";
  return ` .balign 4\nstub_${i}:\n .option push\n .option ${option}\n ${code}\n .option pop\n ret\n`;
}

function program(stubs: readonly Stub[]): string {
  const doubles = floatValues(64);
  const singles = floatValues(32).map(boxed);
  const entries = stubs.map(
    ({ operands, rounds }, i) => ` .dword stub_${i}, run_${operands.replace(" ", "_")}, ${rounds ? 5 : 1}`,
  );
  const pairs = (name: string, first: string, second: string) => `
run_${name}:
 la s4, ${name}
1: la s5, ${name}
2: ${first}
 ${second}
 call once
 addi s5, s5, 8
 la t0, ${name}_end
 bne s5, t0, 2b
 addi s4, s4, 8
 bne s4, t0, 1b
 j next
`;
  const values = (name: string, from: string) => `
run_${name}:
 la s4, ${from}
1: fld fs0, 0(s4)
 fmv.d fs1, fs0
 call once
 addi s4, s4, 8
 la t0, ${from}_end
 bne s4, t0, 1b
 j next
`;
  const triples = (name: string) => `
run_${name}:
 la s4, ${name}
1: fld fs0, 0(s4)
 fld fs1, 8(s4)
 fld fs2, 16(s4)
 call once
 addi s4, s4, 24
 la t0, ${name}_end
 bne s4, t0, 1b
 j next
`;
  return `
 .option norelax
 .option nopic
 .globl _start
 .section .all, "awx"
_start:
 la s0, entries
 la s1, results
 li s6, 0x${MIX.toString(16)}
 li s10, 0
 li s11, 0
 fmv.d.x fs0, zero
 fmv.d.x fs1, zero
 fmv.d.x fs2, zero
entry:
 li s2, 0
mode:
 li s3, 0
 ld t0, 8(s0)
 jr t0
next:
 sd s3, 0(s1)
 addi s1, s1, 8
 addi s2, s2, 1
 ld t0, 16(s0)
 blt s2, t0, mode
 addi s0, s0, 24
 la t0, entries_end
 bne s0, t0, entry
 li a0, 1
 la a1, results
 sub a2, s1, a1
 li a7, 64
 ecall
 li a0, 0
 li a7, 93
 ecall

# One case: operands s10, s11, fs0 to fs2, rounding mode s2; what comes out is mixed into s3.
once:
 mv s7, ra
 la a2, scratch
 sd s10, 0(a2)
 sd s11, 8(a2)
 sd s6, 16(a2)
 mv a0, s10
 mv a1, s11
 fmv.d fa0, fs0
 fmv.d fa1, fs1
 fmv.d fa2, fs2
 fsrm s2
 fsflags zero
 ld t0, 0(s0)
 jalr t0
 frflags t1
 fsrm zero
 fmv.x.d t2, fa0
 la a2, scratch
 ld t3, 0(a2)
 ld t4, 8(a2)
 ld t5, 16(a2)
${["a0", "t1", "t2", "t3", "t4", "t5"].map(mixed).join("")}
 mv ra, s7
 ret
${pairs("integers", "ld s10, 0(s4)", "ld s11, 0(s5)")}
${pairs("doubles", "fld fs0, 0(s4)", "fld fs1, 0(s5)")}
${pairs("singles", "fld fs0, 0(s4)", "fld fs1, 0(s5)")}
${values("double_values", "doubles")}
${values("single_values", "singles")}
${triples("double_triples")}
${triples("single_triples")}
${stubs.map(stubText).join("")}
 .balign 8
entries:
${entries.join("\n")}
entries_end:
${data("integers", INTEGERS)}
${data("doubles", doubles)}
${data("singles", singles)}
${data("double_triples", triplesOf(doubles, 3))}
${data("single_triples", triplesOf(singles, 4))}
 .balign 64
 .space 1024
scratch:
 .space 1024
results:
 .space ${8 * 5 * stubs.length}
`;
}

function record(): IsaVectors {
  const stubs = [...integers(), ...memory(), ...compressed(), ...floats()];
  const folder = mkdtempSync(`${tmpdir()}/rv64gc-`);
  try {
    writeFileSync(`${folder}/program.S`, program(stubs));
    const gcc = [
      "-march=rv64gc",
      "-mabi=lp64d",
      "-nostdlib",
      "-static",
      "-no-pie",
      `-Wl,--section-start=.all=0x${BASE.toString(16)}`,
    ];
    execFileSync("riscv64-linux-gnu-gcc", [
      ...gcc,
      "-Wl,--build-id=none,--no-warn-rwx-segments",
      "-o",
      `${folder}/program`,
      `${folder}/program.S`,
    ]);
    execFileSync("riscv64-linux-gnu-objcopy", [
      "-O",
      "binary",
      "-j",
      ".all",
      `${folder}/program`,
      `${folder}/image`,
    ]);
    const output = execFileSync("qemu-riscv64", [`${folder}/program`], { maxBuffer: 1 << 26 });
    const results = new BigUint64Array(
      output.buffer.slice(output.byteOffset, output.byteOffset + output.length),
    );
    const image = readFileSync(`${folder}/image`);
    // The place of the results is behind all that the image has.
    const symbols = execFileSync("riscv64-linux-gnu-nm", [`${folder}/program`], { encoding: "utf8" });
    const at = (symbol: string) =>
      Number.parseInt(new RegExp(`^(\\w+) \\w ${symbol}$`, "m").exec(symbols)![1]!, 16);
    let next = 0;
    return {
      oracle: execFileSync("qemu-riscv64", ["--version"], { encoding: "utf8" }).split("\n")[0]!,
      base: BASE,
      entry: at("_start"),
      results: at("results"),
      image: Buffer.from(image.subarray(0, at("scratch") - BASE)).toString("base64"),
      stubs: stubs.map(({ name, rounds }) => ({
        name,
        sums: Array.from({ length: rounds ? 5 : 1 }, () => results[next++]!.toString(16)),
      })),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const vectors = record();
writeFileSync(OUT, gzipSync(JSON.stringify(vectors), { level: 9 }));
console.log(`${vectors.stubs.length} instructions, recorded with ${vectors.oracle}`);
