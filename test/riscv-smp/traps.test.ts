/** Traps, interrupts and CSRs of a hart without page tables, and its accesses to devices. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EXIT } from "../../examples/riscv-linux/exports.js";
import { RAM, UART } from "../../examples/riscv-smp/map.js";
import { HANDLER, HartLab, ROM, ROM_BYTES } from "./lab.js";

const HOLE = ROM + ROM_BYTES;
const SIE = 1 << 1;
const SPIE = 1 << 5;
const SPP = 1 << 8;
/** UXL: 64 bits. */
const UXL = 2n << 32n;
const SSI = 1 << 1;
const STI = 1 << 5;
const SEI = 1 << 9;
const INTERRUPT = 1n << 63n;
const ILLEGAL = 2n;

function trapOf(lab: HartLab): bigint[] {
  return [lab.csr("scause"), lab.csr("stval"), lab.csr("sepc")];
}

function big(...values: number[]): bigint[] {
  return values.map(BigInt);
}

test("a fetch where nothing is: the address is cause, value and way back", async () => {
  const lab = await HartLab.create();
  lab.run(HOLE);
  assert.is(lab.pc, HANDLER);
  assert.equal(trapOf(lab), big(1, HOLE, HOLE));
  assert.is(lab.exports.fetchFaults(lab.hart), 1);
  // Off the end of a slot, between two instructions of one section.
  lab.engine.setUserMemoryRegion(lab.slot(1, ROM, 0));
  lab.setWord(ROM - 4, 0x13);
  lab.run(ROM - 4, 2);
  assert.equal(trapOf(lab), big(1, ROM, ROM));
});

test("instructions are fetched as they were stored last, in the same page too", async () => {
  const lab = await HartLab.create();
  // `addi a0, zero, 5` over the NOP behind the store.
  lab.execute("li t0, 0x00500513\nla t1, there\nsw t0, 0(t1)\nthere: nop");
  assert.is(lab.x(10), 5);
});

test("a device's load is what the instruction makes of it; nobody's is an access fault", async () => {
  const lab = await HartLab.create();
  const loads: [name: string, value: number, wanted: number, bytes: number][] = [
    ["lb", 0x80, -0x80, 1],
    ["lbu", 0x80, 0x80, 1],
    ["lh", 0x8001, -0x7fff, 2],
    ["lhu", 0x8001, 0x8001, 2],
    ["lw", 0x8000_0001, 0x8000_0001 - 2 ** 32, 4],
  ];
  const { exports, hart } = lab;
  for (const [name, value, wanted, bytes] of loads) {
    assert.is(lab.execute(`li a0, ${UART}\n${name} a1, 4(a0)`), EXIT.load);
    assert.equal([exports.exitAddress(hart), exports.exitBytes(hart)], [UART + 4, bytes]);
    const before = exports.instructions(hart);
    const pc = lab.pc;
    exports.completeLoad(hart, BigInt(value));
    assert.is(exports.getRegister(hart, 11), BigInt(wanted));
    assert.equal([lab.pc, exports.instructions(hart) - before], [pc + 4, 1]);
  }
  assert.is(lab.execute(`li a0, ${UART}\nsb a0, 0(a0)`), EXIT.store);
  assert.equal([exports.exitBytes(hart), exports.exitValue(hart)], [1, BigInt(UART)]);
  const before = exports.instructions(hart);
  const pc = lab.pc;
  exports.refuseAccess(hart);
  assert.equal(trapOf(lab), big(7, UART, pc));
  assert.equal([exports.instructions(hart) - before, exports.storeFaults(hart)], [0, 1]);
});

/** Pending and enabled interrupts, and the number of the one that is taken; 0 for none. */
const INTERRUPTS: readonly [sip: number, sie: number, sstatus: number, number: number][] = [
  [0, SSI | SEI, SIE, 0],
  [SSI, SSI, SIE, 1],
  [SEI, SEI, SIE, 9],
  [SSI | SEI, SSI | SEI, SIE, 9],
  [SSI | SEI, SSI, SIE, 1],
  [SSI | SEI, SSI | SEI, 0, 0],
  [SSI | SEI, 0, SIE, 0],
];

for (const [sip, sie, sstatus, number] of INTERRUPTS) {
  test(`interrupts: sip ${sip}, sie ${sie}, SIE ${sstatus} gives ${number}`, async () => {
    const lab = await HartLab.create();
    for (const vectored of [0, 1]) {
      lab.reset();
      lab.execute(`li t0, ${HANDLER + vectored}\ncsrw stvec, t0`);
      lab.execute(`li t0, ${sie}\ncsrw sie, t0\ncsrsi sstatus, ${sstatus}`);
      lab.setPending(sip);
      lab.setWord(RAM, 0x13);
      const handler = HANDLER + (vectored ? number * 4 : 0);
      lab.setWord(handler, 0x13);
      lab.run(RAM);
      if (number === 0) {
        assert.is(lab.pc, RAM + 4);
        continue;
      }
      assert.is(lab.pc, handler + 4);
      assert.equal(trapOf(lab), [INTERRUPT | BigInt(number), 0n, BigInt(RAM)]);
      assert.is(lab.csr("sstatus"), UXL | BigInt(SPP | SPIE));
      lab.setPending(0);
      lab.execute("sret", RAM + 0x80);
      assert.is(lab.pc, RAM);
      assert.is(lab.csr("sstatus"), UXL | BigInt(SPIE | SIE));
    }
  });
}

test("the timer is pending from its time on, and no longer when that is put off", async () => {
  const lab = await HartLab.create();
  assert.is(lab.csr("sip"), 0n);
  lab.execute("csrw stimecmp, zero");
  assert.is(lab.csr("sip"), BigInt(STI));
  lab.execute("li t0, 1\ncsrw stimecmp, t0");
  assert.is(lab.csr("sip"), 0n);
});

test("WFI comes back at once if an interrupt is pending, enabled in sstatus or not", async () => {
  const lab = await HartLab.create();
  lab.execute(`li t0, ${SSI}\ncsrw sie, t0`);
  assert.is(lab.execute("wfi"), EXIT.wfi);
  lab.setPending(SSI);
  assert.is(lab.execute("wfi"), EXIT.budget);
});

/** Value read from a CSR after a write of all ones. */
const ALL = 2n ** 64n - 1n;
const WRITTEN: readonly [name: string, readBack: bigint][] = [
  ["sie", BigInt(SSI | STI | SEI)],
  ["stvec", ALL - 2n],
  ["scounteren", 7n],
  ["senvcfg", 1n],
  ["sscratch", ALL],
  ["sepc", ALL - 1n],
  ["scause", ALL],
  ["stval", ALL],
  ["sip", BigInt(SSI)],
  ["stimecmp", ALL],
  // A mode that is not there: nothing is written.
  ["satp", 0n],
];

for (const [name, readBack] of WRITTEN) {
  test(`${name} keeps its legal bits`, async () => {
    const lab = await HartLab.create();
    lab.execute(`li t0, -1\ncsrrw t1, ${name}, t0\ncsrr a0, ${name}`);
    assert.is(BigInt.asUintN(64, lab.exports.getRegister(lab.hart, 10)), readBack);
  });
}

test("CSRs that are not there, or not writable, are illegal; reading with x0 writes nothing", async () => {
  const lab = await HartLab.create();
  const isIllegal = (text: string) => {
    lab.reset();
    lab.execute(text);
    return lab.pc === HANDLER && lab.csr("scause") === ILLEGAL;
  };
  for (const name of ["cycle", "time", "instret"]) {
    assert.not.ok(isIllegal(`csrrs a0, ${name}, zero`), name);
    assert.not.ok(isIllegal(`csrrc a0, ${name}, zero`), name);
    assert.not.ok(isIllegal(`csrrsi a0, ${name}, 0`), name);
    assert.ok(isIllegal(`csrrw a0, ${name}, zero`), name);
    assert.ok(isIllegal(`csrrsi a0, ${name}, 1`), name);
  }
  // None; those of M-mode, of a debugger, of counters that there are not; those of floats, whose unit is off.
  for (const csr of [0x000, 0x300, 0x342, 0x3a0, 0x7c0, 0xc03, 0xc80, 0xf14, 0xfff, 0x001, 0x003]) {
    assert.ok(isIllegal(`csrrs a0, ${csr}, zero`), String(csr));
  }
});

test("instret counts what retires", async () => {
  const lab = await HartLab.create();
  lab.execute("csrr a0, instret\nnop\nnop\ncsrr a1, instret");
  assert.is(lab.x(11) - lab.x(10), 3);
});

test.run();
