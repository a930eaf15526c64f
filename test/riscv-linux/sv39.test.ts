/**
 * Sv39 and traps of the RV64 hart: every combination of a leaf's flags, access, mode, SUM and MXR against a model that
 * reads like the specification; tables that are wrong; fences; slots behind the tables.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Mutation } from "../../examples/riscv-linux/build.js";
import { EXIT } from "../../examples/riscv-linux/exports.js";
import { RAM } from "../../examples/riscv-linux/map.js";
import { CSR, HartLab, RAM_BYTES } from "./lab.js";

const PAGE = 0x1000;
/** Guest physical: code, handler, page tables by level, and two pages that are side by side only virtually. */
const CODE = RAM;
const HANDLER = RAM + PAGE;
const TABLES = [RAM + 4 * PAGE, RAM + 3 * PAGE, RAM + 2 * PAGE];
const ROOT = TABLES[2]!;
const FIRST = RAM + 0x10 * PAGE;
const SECOND = RAM + 0x20 * PAGE;
/** Virtual: RAM as U sees it, by one large page; the page of the tests and the one behind it. */
const USER_RAM = 0x4000_0000;
const VA = 5 * PAGE;

const FLAG = { v: 1, r: 2, w: 4, x: 8, u: 16, g: 32, a: 64, d: 128 } as const;
const KERNEL = FLAG.v | FLAG.r | FLAG.w | FLAG.x | FLAG.g | FLAG.a | FLAG.d;
const USER = FLAG.v | FLAG.r | FLAG.w | FLAG.x | FLAG.u | FLAG.a | FLAG.d;
const SUM = 1n << 18n;
const MXR = 1n << 19n;

/** No trap: nothing has this cause. */
const NONE = 63n;
const ACCESSES = ["load", "store", "fetch"] as const;
type Access = (typeof ACCESSES)[number];
const PAGE_FAULT = { load: 13n, store: 15n, fetch: 12n };
const ACCESS_FAULT = { load: 5n, store: 7n, fetch: 1n };
const ECALL_U = 8n;

/** Instructions: operands in a1 (address) and a0; t0 is overwritten. */
const LOAD = 0x0005b503; // ld a0, 0(a1)
const STORE = 0x00a5b023; // sd a0, 0(a1)
const JUMP = 0x00058067; // jr a1
const ECALL = 0x00000073;
const SRET = 0x10200073;
const SFENCE = 0x12000073;
const SFENCE_A1 = 0x12058073;
const NOP = 0x00000013;
const INSTRUCTION = { load: LOAD, store: STORE, fetch: JUMP };
const [A0, A1, A2, A3, A4, A5, T0] = [10, 11, 12, 13, 14, 15, 5];

function csrw(csr: number, register: number): number {
  return ((csr << 20) | (register << 15) | 0x1073) >>> 0;
}

function pte(gpa: number, flags: number): bigint {
  return BigInt(gpa / PAGE) * 1024n + BigInt(flags);
}

interface Run {
  readonly cause: bigint;
  readonly value: bigint;
  readonly exit: number;
}

class Lab {
  readonly hart: HartLab;

  private constructor(hart: HartLab) {
    this.hart = hart;
    hart.word(HANDLER, ECALL);
    hart.double(ROOT, pte(TABLES[1]!, FLAG.v));
    hart.double(ROOT + 8, pte(RAM, USER));
    hart.double(ROOT + 16, pte(RAM, KERNEL));
    hart.double(TABLES[1]!, pte(TABLES[0]!, FLAG.v));
  }

  static async create(build: "engine" | "flat", mutation?: Mutation): Promise<Lab> {
    return new Lab(await HartLab.create(build, mutation));
  }

  /** The leaf of virtual page `va`. */
  leaf(va: number): number {
    return TABLES[0]! + (va / PAGE) * 8;
  }

  map(va: number, gpa: number, flags: number): void {
    this.hart.double(this.leaf(va), pte(gpa, flags));
  }

  /** Run `program` with translation on, in S or U, to its end or a trap. It has `address` in a1. */
  run(program: readonly number[], address: number | bigint, user = false, status = 0n): Run {
    const { hart } = this;
    const setUp = [
      csrw(CSR.stvec, A2),
      csrw(CSR.scause, A3),
      csrw(CSR.sstatus, A4),
      csrw(CSR.satp, A5),
      SFENCE,
      csrw(CSR.sepc, T0),
      user ? SRET : NOP,
    ];
    const code = [...setUp, ...program, ECALL];
    for (const [i, insn] of code.entries()) hart.word(CODE + i * 4, insn);
    hart.reset(CODE);
    hart.setX(A0, 0x1234n);
    hart.setX(A1, BigInt(address));
    hart.setX(A2, BigInt(HANDLER));
    hart.setX(A3, NONE);
    hart.setX(A4, status);
    hart.setX(A5, (8n << 60n) | BigInt(ROOT / PAGE));
    hart.setX(T0, BigInt(USER_RAM + setUp.length * 4));
    let exit = hart.run(64);
    if (exit === EXIT.load || exit === EXIT.store) {
      hart.exports.refuseAccess(hart.hart);
      exit = hart.run(64);
    }
    return { cause: hart.csr(CSR.scause), value: hart.csr(CSR.stval), exit };
  }
}

/** What the specification says of a leaf: the cause of the trap, NONE if there is none. */
function expected(flags: number, access: Access, user: boolean, status: bigint): bigint {
  const has = (flag: number) => (flags & flag) !== 0;
  const fault = PAGE_FAULT[access];
  if (!has(FLAG.v) || (!has(FLAG.r) && has(FLAG.w))) return fault;
  // A pointer, on the last level.
  if (!has(FLAG.r) && !has(FLAG.x)) return fault;
  if (user && !has(FLAG.u)) return fault;
  if (!user && has(FLAG.u) && (access === "fetch" || (status & SUM) === 0n)) return fault;
  const readable = has(FLAG.r) || (has(FLAG.x) && (status & MXR) !== 0n);
  const holds = { load: readable, store: has(FLAG.w), fetch: has(FLAG.x) }[access];
  return holds ? NONE : fault;
}

for (const build of ["engine", "flat"] as const) {
  test(`${build}: each combination of a leaf's flags traps, or sets A and D, as it should`, async () => {
    const lab = await Lab.create(build);
    lab.hart.word(FIRST, ECALL);
    for (let flags = 0; flags < 256; flags++) {
      for (const access of ACCESSES) {
        for (const user of [false, true]) {
          for (const status of [0n, SUM, MXR, SUM | MXR]) {
            lab.map(VA, FIRST, flags);
            lab.hart.word(FIRST, ECALL);
            const { cause, value, exit } = lab.run([INSTRUCTION[access]], VA, user, status);
            const wanted = expected(flags, access, user, status);
            const what = `flags ${flags.toString(2)}, ${access}, ${user ? "U" : "S"}, status ${status.toString(16)}`;
            assert.is(exit, EXIT.sbi, what);
            assert.is(cause, wanted === NONE && user ? ECALL_U : wanted, what);
            if (wanted !== NONE) assert.is(value, BigInt(VA), what);
            const set = access === "store" ? FLAG.a | FLAG.d : FLAG.a;
            assert.is(lab.hart.double(lab.leaf(VA)), pte(FIRST, wanted === NONE ? flags | set : flags), what);
          }
        }
      }
    }
    lab.hart.close();
  });
}

test("tables that are wrong fault on the page, and tables that are nowhere on the access", async () => {
  const lab = await Lab.create("engine");
  const { hart } = lab;
  const entries = [TABLES[1]!, ROOT] as const;
  const good = entries.map((at) => hart.double(at));
  const cases: [what: string, at: number, entry: bigint, causes: typeof PAGE_FAULT][] = [
    ["a reserved bit", lab.leaf(VA), pte(FIRST, KERNEL) | (1n << 54n), PAGE_FAULT],
    ["the N bit", lab.leaf(VA), pte(FIRST, KERNEL) | (1n << 63n), PAGE_FAULT],
    ["a large page that is not aligned", TABLES[1]!, pte(RAM + PAGE, KERNEL), PAGE_FAULT],
    ["a pointer with A", TABLES[1]!, pte(TABLES[0]!, FLAG.v | FLAG.a), PAGE_FAULT],
    ["a pointer with D", TABLES[1]!, pte(TABLES[0]!, FLAG.v | FLAG.d), PAGE_FAULT],
    ["a pointer with U", ROOT, pte(TABLES[1]!, FLAG.v | FLAG.u), PAGE_FAULT],
    ["no entry", ROOT, 0n, PAGE_FAULT],
    ["a table where no RAM is", TABLES[1]!, pte(RAM + RAM_BYTES, FLAG.v), ACCESS_FAULT],
    ["a page where no RAM is", lab.leaf(VA), pte(RAM + RAM_BYTES, KERNEL), ACCESS_FAULT],
  ];
  for (const [what, at, entry, causes] of cases) {
    for (const access of ACCESSES) {
      hart.double(at, entry);
      const { cause, value } = lab.run([INSTRUCTION[access]], VA);
      assert.is(cause, causes[access], `${what}, ${access}`);
      assert.is(value, BigInt(VA), `${what}, ${access}`);
      for (const [i, address] of entries.entries()) hart.double(address, good[i]!);
    }
  }
  for (const address of [1n << 38n, 1n << 63n, 0x7f_ffff_f000n]) {
    assert.is(lab.run([LOAD], address).cause, PAGE_FAULT.load, address.toString(16));
  }
  hart.close();
});

test("a large page is a page: of all its parts, and gone with a fence of any", async () => {
  const lab = await Lab.create("engine");
  const { hart } = lab;
  hart.double(TABLES[1]! + 8, pte(RAM, KERNEL));
  const large = 1 << 21;
  hart.double(SECOND, 77n);
  assert.is(lab.run([LOAD], large + SECOND - RAM).cause, NONE);
  assert.is(hart.x(A0), 77n);
  // Load by the entry, clear it, and load again: with a fence of another address in the page it is gone.
  const clear = [0x000032b7, 0x00b282b3, 0x0002b423]; // lui t0, 3; add t0, t0, a1; sd zero, 8(t0)
  const other = [0x000032b7, 0x005585b3]; // lui t0, 3; add a1, a1, t0
  const back = 0x405585b3; // sub a1, a1, t0
  const { cause } = lab.run([LOAD, ...clear, ...other, SFENCE_A1, back, LOAD], large);
  assert.is(cause, PAGE_FAULT.load);
  hart.close();
});

test("accesses and instructions over the end of a page use both, and trap at the one that is not there", async () => {
  const lab = await Lab.create("engine");
  const { hart } = lab;
  lab.map(VA, FIRST, KERNEL);
  lab.map(VA + PAGE, SECOND, KERNEL);
  hart.at(FIRST + PAGE - 3, 3).set([1, 2, 3]);
  hart.at(SECOND, 5).set([4, 5, 6, 7, 8]);
  assert.is(lab.run([LOAD], VA + PAGE - 3).cause, NONE);
  assert.is(hart.x(A0), 0x0807060504030201n);
  assert.is(lab.run([STORE], VA + PAGE - 1).cause, NONE);
  assert.equal([hart.at(FIRST + PAGE - 1, 1)[0], hart.at(SECOND, 1)[0]], [0x34, 0x12]);
  // An instruction of four bytes, half of it in the next page.
  hart.at(FIRST + PAGE - 2, 2).set([0x73, 0]);
  hart.at(SECOND, 2).set([0, 0]);
  assert.is(lab.run([JUMP], VA + PAGE - 2).cause, NONE);
  lab.map(VA + PAGE, SECOND, 0);
  for (const [access, from] of [
    ["load", 3],
    ["store", 1],
    ["fetch", 2],
  ] as const) {
    const before = hart.at(FIRST + PAGE - 8, 8).slice();
    const { cause, value } = lab.run([INSTRUCTION[access]], VA + PAGE - from);
    assert.is(cause, PAGE_FAULT[access]);
    assert.is(value, BigInt(VA + PAGE), access);
    assert.equal(hart.at(FIRST + PAGE - 8, 8).slice(), before);
  }
  hart.close();
});

test("slots behind the tables: READONLY refuses stores and the A bit; a list moves a page under the hart", async () => {
  const lab = await Lab.create("engine");
  const { hart } = lab;
  const { engine } = hart;
  lab.map(VA, FIRST, KERNEL);
  const rest = FIRST + PAGE - RAM;
  const split = (flags: number) => [
    { ...hart.slot(0, 0, 0) },
    hart.slot(0, 0, FIRST - RAM),
    hart.slot(1, FIRST - RAM, PAGE, flags),
    hart.slot(2, rest, RAM_BYTES - rest),
  ];
  engine.setUserMemoryRegionList(split(KVM_MEM_READONLY));
  assert.is(lab.run([STORE], VA).cause, ACCESS_FAULT.store);
  assert.is(lab.run([LOAD], VA).cause, NONE);
  // Tables in a READONLY slot: the walk has to set A there.
  hart.double(FIRST, pte(SECOND, KERNEL & ~FLAG.a));
  hart.double(TABLES[1]!, pte(FIRST, FLAG.v));
  assert.is(lab.run([LOAD], 0).cause, ACCESS_FAULT.load);
  hart.double(TABLES[1]!, pte(TABLES[0]!, FLAG.v));
  // The same page from other host memory.
  hart.double(SECOND, 88n);
  engine.setUserMemoryRegionList([
    hart.slot(1, 0, 0),
    { ...hart.slot(1, FIRST - RAM, PAGE), userspaceAddr: hart.slot(1, SECOND - RAM, PAGE).userspaceAddr },
  ]);
  assert.is(lab.run([LOAD], VA).cause, NONE);
  assert.is(hart.x(A0), 88n);
  hart.close();
});

/** Is page FIRST in the log after a store that the hart's own table knows, in a section after a harvest? */
async function isLoggedAgain(mutation?: Mutation): Promise<boolean> {
  const lab = await Lab.create("engine", mutation);
  const { hart } = lab;
  lab.map(VA, FIRST, KERNEL);
  hart.engine.setUserMemoryRegion(hart.slot(0, 0, RAM_BYTES, KVM_MEM_LOG_DIRTY_PAGES));
  const page = (FIRST - RAM) / PAGE;
  const isLogged = () => ((hart.engine.getDirtyLog(0)[page >> 3]! >> (page & 7)) & 1) === 1;
  lab.run([STORE], VA);
  assert.ok(isLogged());
  assert.not.ok(isLogged());
  // The same store once more, and no fence before it: its page is in the table.
  hart.word(CODE, STORE);
  hart.word(CODE + 4, ECALL);
  hart.exports.setPc(hart.hart, BigInt(CODE));
  hart.run(64);
  const again = isLogged();
  hart.close();
  return again;
}

test("a page is logged again after a harvest, though the hart's own table knows it", async () => {
  assert.ok(await isLoggedAgain());
  const from = "if (dirtyEpochOf(state.reader) == state.epoch) return;";
  assert.not.ok(await isLoggedAgain({ file: "mmu.ts", from, to: "return;" }));
});

test.run();
