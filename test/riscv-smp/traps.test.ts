/** Traps, interrupts and CSRs of a hart, and its accesses to devices. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EXIT } from "../../examples/riscv-smp/exports.js";
import { RAM, UART } from "../../examples/riscv-smp/map.js";
import { CSR, HANDLER, HartLab, ROM, ROM_BYTES } from "./lab.js";

const HOLE = ROM + ROM_BYTES;
const MIE = 1 << 3;
const MPIE = 1 << 7;
const MPP = 3 << 11;
const MSI = 1 << 3;
const MTI = 1 << 7;
const ILLEGAL = 2;

function trapOf(lab: HartLab): number[] {
  return [lab.csr(CSR.mcause), lab.csr(CSR.mtval), lab.csr(CSR.mepc)];
}

test("a fetch where nothing is: the address is cause, value and way back", async () => {
  const lab = await HartLab.create("engine");
  lab.run(HOLE);
  assert.is(lab.pc, HANDLER);
  assert.equal(trapOf(lab), [1, HOLE, HOLE]);
  assert.is(lab.exports.fetchFaults(lab.hart), 1);
  // Off the end of a slot, between two instructions of one section.
  lab.engine.setUserMemoryRegion(lab.slot(1, ROM, 0));
  lab.setWord(ROM - 4, 0x13);
  lab.run(ROM - 4, 2);
  assert.equal(trapOf(lab), [1, ROM, ROM]);
});

test("instructions are fetched as they were stored last, in the same page too", async () => {
  const lab = await HartLab.create("engine");
  // `addi a0, zero, 5` over the NOP behind the store.
  lab.execute("li t0, 0x00500513\nla t1, there\nsw t0, 0(t1)\nthere: nop");
  assert.is(lab.x(10), 5);
});

test("a device's load is what the instruction makes of it; nobody's is an access fault", async () => {
  const lab = await HartLab.create("engine");
  const loads: [name: string, value: number, wanted: number, bytes: number][] = [
    ["lb", 0x80, 0xffff_ff80, 1],
    ["lbu", 0x80, 0x80, 1],
    ["lh", 0x8001, 0xffff_8001, 2],
    ["lhu", 0x8001, 0x8001, 2],
    ["lw", 0x8000_0001, 0x8000_0001, 4],
  ];
  const { exports, hart } = lab;
  for (const [name, value, wanted, bytes] of loads) {
    assert.is(lab.execute(`li a0, ${UART}\n${name} a1, 4(a0)`), EXIT.load);
    assert.equal([exports.exitAddress(hart), exports.exitBytes(hart)], [UART + 4, bytes]);
    const before = exports.instructions(hart);
    const pc = lab.pc;
    exports.completeLoad(hart, value);
    assert.equal([lab.x(11), lab.pc, exports.instructions(hart) - before], [wanted, pc + 4, 1]);
  }
  assert.is(lab.execute(`li a0, ${UART}\nsb a0, 0(a0)`), EXIT.store);
  assert.equal([exports.exitBytes(hart), exports.exitValue(hart) >>> 0], [1, UART]);
  const before = exports.instructions(hart);
  const pc = lab.pc;
  exports.refuseAccess(hart);
  assert.equal(trapOf(lab), [7, UART, pc]);
  assert.equal([exports.instructions(hart) - before, exports.storeFaults(hart)], [0, 1]);
});

/** Pending and enabled interrupts, and the cause that is taken; 0 for none. */
const INTERRUPTS: readonly [mip: number, mie: number, mstatus: number, cause: number][] = [
  [0, MSI | MTI, MIE, 0],
  [MSI, MSI, MIE, 0x8000_0003],
  [MTI, MTI, MIE, 0x8000_0007],
  [MSI | MTI, MSI | MTI, MIE, 0x8000_0003],
  [MSI | MTI, MTI, MIE, 0x8000_0007],
  [MSI | MTI, MSI | MTI, 0, 0],
  [MSI | MTI, 0, MIE, 0],
];

for (const [mip, mie, mstatus, cause] of INTERRUPTS) {
  test(`interrupts: mip ${mip}, mie ${mie}, MIE ${mstatus} gives ${cause.toString(16)}`, async () => {
    const lab = await HartLab.create("engine");
    for (const vectored of [0, 1]) {
      lab.reset();
      lab.execute(`li t0, ${HANDLER + vectored}\ncsrw mtvec, t0`);
      lab.execute(`li t0, ${mie}\ncsrw mie, t0\ncsrsi mstatus, ${mstatus}`);
      new Uint32Array(lab.memory.buffer)[lab.exports.mipAddress(lab.hart) / 4] = mip;
      lab.setWord(RAM, 0x13);
      lab.setWord(HANDLER + (vectored ? (cause & 31) * 4 : 0), 0x13);
      lab.run(RAM);
      if (cause === 0) {
        assert.is(lab.pc, RAM + 4);
        continue;
      }
      assert.is(lab.pc, HANDLER + (vectored ? (cause & 31) * 4 : 0) + 4);
      assert.equal(trapOf(lab), [cause, 0, RAM]);
      assert.is(lab.csr(CSR.mstatus), MPP | MPIE);
      lab.execute("mret", RAM + 0x80);
      assert.equal([lab.pc, lab.csr(CSR.mstatus)], [RAM, MPP | MPIE | MIE]);
    }
  });
}

test("WFI comes back at once if an interrupt is pending, enabled in mstatus or not", async () => {
  const lab = await HartLab.create("engine");
  lab.execute(`li t0, ${MSI}\ncsrw mie, t0`);
  assert.is(lab.execute("wfi"), EXIT.wfi);
  new Uint32Array(lab.memory.buffer)[lab.exports.mipAddress(lab.hart) / 4] = MSI;
  assert.is(lab.execute("wfi"), EXIT.budget);
});

/** What is read back of a CSR after a write of all ones; read-only ones are not written. */
const WRITTEN: readonly [name: string, readBack: number][] = [
  ["mstatus", MPP | MPIE | MIE],
  ["misa", 0x4000_1101],
  ["mie", MSI | MTI],
  ["mtvec", 0xffff_fffd],
  ["mscratch", 0xffff_ffff],
  ["mepc", 0xffff_fffc],
  ["mcause", 0xffff_ffff],
  ["mtval", 0xffff_ffff],
  ["mip", 0],
];

for (const [name, readBack] of WRITTEN) {
  test(`${name} keeps its legal bits`, async () => {
    const lab = await HartLab.create("engine");
    lab.execute(`li t0, -1\ncsrrw t1, ${name}, t0\ncsrr a0, ${name}`);
    assert.is(lab.x(10), readBack >>> 0);
  });
}

test("CSRs that are not there, or not writable, are illegal; reading with x0 writes nothing", async () => {
  const lab = await HartLab.create("engine");
  const isIllegal = (text: string) => {
    lab.reset();
    lab.execute(`${text}`);
    return lab.pc === HANDLER && lab.csr(CSR.mcause) === ILLEGAL;
  };
  for (const name of [
    "cycle",
    "instret",
    "cycleh",
    "instreth",
    "mvendorid",
    "marchid",
    "mimpid",
    "mhartid",
  ]) {
    assert.not.ok(isIllegal(`csrrs a0, ${name}, zero`), name);
    assert.not.ok(isIllegal(`csrrc a0, ${name}, zero`), name);
    assert.not.ok(isIllegal(`csrrsi a0, ${name}, 0`), name);
    assert.ok(isIllegal(`csrrw a0, ${name}, zero`), name);
    assert.ok(isIllegal(`csrrsi a0, ${name}, 1`), name);
  }
  for (const csr of [0x000, 0x105, 0x180, 0x302, 0x3a0, 0x7c0, 0xc01, 0xfff]) {
    assert.ok(isIllegal(`csrrs a0, ${csr}, zero`), String(csr));
  }
});

test("minstret counts what retires, and goes on from what is written", async () => {
  const lab = await HartLab.create("engine");
  lab.execute("csrr a0, minstret\nnop\nnop\ncsrr a1, minstret");
  assert.is(lab.x(11) - lab.x(10), 3);
  lab.execute("li t0, 100\ncsrw minstret, t0\ncsrr a0, minstret\nnop\ncsrr a1, instret");
  assert.equal([lab.x(10), lab.x(11)], [100, 102]);
  lab.execute(
    "li t0, 7\ncsrw minstreth, t0\nli t0, -1\ncsrw minstret, t0\nnop\ncsrr a0, instreth\ncsrr a1, instret",
  );
  assert.equal([lab.x(10), lab.x(11)], [8, 1]);
});

test.run();
