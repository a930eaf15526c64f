/**
 * Harts in threads, without Linux: HSM starts one, each fences the other all the time, an IPI wakes one that sleeps,
 * DBCN is a console, SRST ends the machine. Two harts that wait for each other's fences must not wait for ever.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compileHart } from "../../examples/riscv-linux/build.js";
import { Machine } from "../../examples/riscv-linux/machine.js";
import { KERNEL_OFFSET } from "../../examples/riscv-linux/map.js";
import { startNodeThread } from "../../examples/riscv-linux/nodethread.js";
import { assemble } from "../../examples/riscv-smp/asm/assembler.js";

const RAM_BYTES = 8 << 20;
/** What harts count together: 500 fences each, and the one that was woken once more. */
const COUNT_OFFSET = KERNEL_OFFSET + 0xd8;
const COUNT = 1001n;

/** Linked to the kernel's address; a0 is the hart. */
const CODE = [
  0x00050413, // 0000: mv s0,a0
  0x02051263, // 0004: bnez a0,0028
  0x004858b7, // 0008: lui a7,0x485
  0x34d8889b, // 000c: addw a7,a7,845
  0x00000813, // 0010: li a6,0
  0x00100513, // 0014: li a0,1
  0x00000597, // 0018: auipc a1,0x0
  0xfe858593, // 001c: add a1,a1,-24
  0x00000613, // 0020: li a2,0
  0x00000073, // 0024: ecall
  0x00000497, // 0028: auipc s1,0x0
  0x0b048493, // 002c: add s1,s1,176
  0x1f400913, // 0030: li s2,500
  0x00300513, // 0034: li a0,3
  0x00000593, // 0038: li a1,0
  0x00000613, // 003c: li a2,0
  0xfff00693, // 0040: li a3,-1
  0x524658b7, // 0044: lui a7,0x52465
  0xe438889b, // 0048: addw a7,a7,-445
  0x00100813, // 004c: li a6,1
  0x00000073, // 0050: ecall
  0x02051a63, // 0054: bnez a0,0088
  0x00100293, // 0058: li t0,1
  0x0054b32f, // 005c: amoadd.d t1,t0,(s1)
  0xfff90913, // 0060: add s2,s2,-1
  0xfc0918e3, // 0064: bnez s2,0034
  0x02040263, // 0068: beqz s0,008c
  0x10415073, // 006c: csrw sie,2
  0x10500073, // 0070: wfi
  0x144022f3, // 0074: csrr t0,sip
  0x0022f293, // 0078: and t0,t0,2
  0xfe028ae3, // 007c: beqz t0,0070
  0x00100293, // 0080: li t0,1
  0x0054b32f, // 0084: amoadd.d t1,t0,(s1)
  0x0000006f, // 0088: j 0088
  0x3e800313, // 008c: li t1,1000
  0x0004b283, // 0090: ld t0,0(s1)
  0xfe62eee3, // 0094: bltu t0,t1,0090
  0x007358b7, // 0098: lui a7,0x735
  0x0498889b, // 009c: addw a7,a7,73
  0x00000813, // 00a0: li a6,0
  0x00200513, // 00a4: li a0,2
  0x00000593, // 00a8: li a1,0
  0x00000073, // 00ac: ecall
  0x3e900313, // 00b0: li t1,1001
  0x0004b283, // 00b4: ld t0,0(s1)
  0xfe62eee3, // 00b8: bltu t0,t1,00b4
  0x535258b7, // 00bc: lui a7,0x53525
  0x3548889b, // 00c0: addw a7,a7,852
  0x00000813, // 00c4: li a6,0
  0x00000513, // 00c8: li a0,0
  0x00000593, // 00cc: li a1,0
  0x00000073, // 00d0: ecall
  0x0000006f, // 00d4: j 00d4
];

test("two harts fence each other, one sleeps and is woken, and the machine is switched off", async () => {
  const module = await compileHart("engine");
  const machine = await Machine.create({
    harts: 2,
    ramBytes: RAM_BYTES,
    module,
    start: startNodeThread,
    print: () => {},
  });
  try {
    machine.engine.setUserMemoryRegion(machine.ram(0, 0, RAM_BYTES));
    const kernel = new Uint8Array(Uint32Array.from([...CODE, 0, 0]).buffer);
    await machine.boot({ kernel, initrd: new Uint8Array(0), commandLine: "" });
    machine.go();
    assert.is(await machine.ended, "off");
    const view = new DataView(machine.memory.buffer);
    assert.is(view.getBigUint64(machine.ramHva + COUNT_OFFSET, true), COUNT);
    const { fences, fetchFaults, loadFaults, storeFaults } = machine.counts();
    assert.ok(fences >= 1000, `${fences} fences`);
    assert.equal([fetchFaults, loadFaults, storeFaults], [0, 0, 0]);
  } finally {
    await machine.end();
  }
});

/**
 * By DBCN: write the text, read what was typed behind it, write that, and a byte; then a call for no memory, whose
 * error is the byte that is written last. s0 is the text's address.
 */
const CONSOLE = `
        auipc   s0, 0
        addi    s0, s0, 256
        li      a7, 0x4442434e
        li      a0, 6
        mv      a1, s0
        li      a2, 0
        li      a6, 0
        ecall
typed:  li      a0, 16
        addi    a1, s0, 16
        li      a6, 1
        ecall
        beqz    a1, typed
        mv      a0, a1
        addi    a1, s0, 16
        li      a6, 0
        ecall
        li      a0, 33
        li      a6, 2
        ecall
        li      a0, 1
        li      a1, 64
        li      a6, 0
        ecall
        neg     a0, a0
        addi    a0, a0, 48
        li      a6, 2
        ecall
end:    li      a7, 0x53525354
        li      a6, 0
        li      a0, 0
        li      a1, 0
        ecall
        .org    256
        .asciz  "hello "
`;

test("DBCN writes and reads at guest addresses; where no memory is, the parameter is invalid", async () => {
  let text = "";
  const machine = await Machine.create({
    harts: 1,
    ramBytes: RAM_BYTES,
    module: await compileHart("engine"),
    start: startNodeThread,
    print: (bytes) => {
      text += new TextDecoder().decode(bytes);
    },
  });
  try {
    machine.engine.setUserMemoryRegion(machine.ram(0, 0, RAM_BYTES));
    const { bytes } = assemble(CONSOLE, 0);
    await machine.boot({ kernel: bytes, initrd: new Uint8Array(0), commandLine: "" });
    machine.type("guest");
    machine.go();
    assert.is(await machine.ended, "off");
    // 3 is -SBI_ERR_INVALID_PARAM.
    assert.is(text, "hello guest!3");
  } finally {
    await machine.end();
  }
});

test.run();
