/** The RV32I cores of examples/rust and examples/emscripten against the one of examples/interpreter. */
import { setImmediate } from "node:timers/promises";
import { MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { buildEmscripten, hasEmscripten } from "../../examples/emscripten/build.js";
import { emscriptenEmulator } from "../../examples/emscripten/emulator.js";
import { type Memory, run } from "../../examples/interpreter/rv32i.js";
import type { Emulator } from "../../examples/native/machine.js";
import { findRust } from "../../examples/rust/build.js";
import { compileRust, rustEmulator } from "../../examples/rust/emulator.js";
import { type Random, random } from "../support/random.js";

const RAM = 0x8000_0000;
/** Offset of the data in the RAM; loads and stores go to the bytes around it. */
const DATA = 0x20000;
const INSTRUCTIONS = 4000;
const ENDED = 2;

/** Registers: 1 to 29 are drawn, 31 is the address of the data. */
const BASE = 31;
const ECALL = 0x73;
const sw = (value: number, offset: number) =>
  ((offset >> 5) << 25) | (value << 20) | (BASE << 15) | (2 << 12) | ((offset & 31) << 7) | 0x23;

/** A program that ends: instructions drawn at random, jumps forwards only, then all registers into the data. */
function program({ int, pick }: Random): Uint32Array {
  const register = () => int(30);
  const imm = () => int(4096);
  const words = [((RAM + DATA) & ~0xfff) | (BASE << 7) | 0x37];
  for (let rd = 1; rd < 30; rd++) words.push((int(2 ** 20) << 12) | (rd << 7) | 0x37);
  const kinds = [
    () => (imm() << 20) | (register() << 15) | (pick([0, 2, 3, 4, 6, 7]) << 12) | (register() << 7) | 0x13,
    () => (int(32) << 20) | (register() << 15) | (1 << 12) | (register() << 7) | 0x13,
    () => shiftRight(int(32)) | (register() << 15) | (5 << 12) | (register() << 7) | 0x13,
    () => operation(int(8)) | (register() << 20) | (register() << 15) | (register() << 7) | 0x33,
    () => (int(2 ** 20) << 12) | (register() << 7) | pick([0x37, 0x17]),
    () => {
      const f3 = pick([0, 1, 2, 4, 5]);
      return (offset(f3 & 3) << 20) | (BASE << 15) | (f3 << 12) | (register() << 7) | 0x03;
    },
    () => {
      const f3 = int(3);
      const at = offset(f3);
      return ((at >> 5) << 25) | (register() << 20) | (BASE << 15) | (f3 << 12) | ((at & 31) << 7) | 0x23;
    },
    // Over the next instruction.
    () => (register() << 20) | (register() << 15) | (pick([0, 1, 4, 5, 6, 7]) << 12) | (8 << 7) | 0x63,
    () => (8 << 20) | (register() << 7) | 0x6f,
  ];
  while (words.length < INSTRUCTIONS) words.push(pick(kinds)());
  words.push(0x0f, 0x13);
  for (let value = 1; value < 30; value++) words.push(sw(value, value * 4));
  return Uint32Array.from([...words, ECALL]);

  function offset(shift: number): number {
    return ((int(512) - 256) << shift) & 0xfff;
  }
  function shiftRight(bits: number): number {
    return (bits << 20) | pick([0, 1 << 30]);
  }
  function operation(f3: number): number {
    return (f3 << 12) | (f3 === 0 || f3 === 5 ? pick([0, 1 << 30]) : 0);
  }
}

/** The RAM behind the program, by the interpreter. */
function expected(words: Uint32Array, bytes: number): Uint8Array {
  const ram = new DataView(new ArrayBuffer(bytes));
  new Uint32Array(ram.buffer).set(words);
  const memory: Memory = {
    fetchUint32: (gpa, little) => ram.getUint32(gpa - RAM, little),
    getInt8: (gpa) => ram.getInt8(gpa - RAM),
    getInt16: (gpa, little) => ram.getInt16(gpa - RAM, little),
    getInt32: (gpa, little) => ram.getInt32(gpa - RAM, little),
    getUint8: (gpa) => ram.getUint8(gpa - RAM),
    getUint16: (gpa, little) => ram.getUint16(gpa - RAM, little),
    setUint8: (gpa, value) => ram.setUint8(gpa - RAM, value),
    setUint16: (gpa, value, little) => ram.setUint16(gpa - RAM, value, little),
    setUint32: (gpa, value, little) => ram.setUint32(gpa - RAM, value, little),
  };
  const cpu = { x: new Int32Array(32), pc: RAM };
  const done = run(cpu, memory, 2 * INSTRUCTIONS);
  assert.is(cpu.pc, RAM + (words.length - 1) * 4, "the program comes to its end");
  assert.ok(done > INSTRUCTIONS / 2);
  return new Uint8Array(ram.buffer);
}

/** The same by a hart of a module. */
async function found({ memory, cpu, start, end }: Emulator, words: Uint32Array): Promise<Uint8Array> {
  const [base, size] = [cpu.engine_base(), cpu.engine_bytes()];
  const engine = await MemslotEngine.create({ memory, base, size, maxSlots: 8, maxVcpus: 1 });
  const [userspaceAddr, memorySize] = [cpu.ram_base(), cpu.ram_bytes()];
  engine.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: RAM, memorySize, userspaceAddr });
  new Uint32Array(memory.buffer, userspaceAddr).set(words);
  const status = new Uint32Array(memory.buffer, cpu.status_of(0), 2);
  try {
    start(0, engine.base, RAM);
    while (Atomics.load(status, 0) < ENDED) await setImmediate();
    assert.equal([...status], [ENDED, 0]);
    return new Uint8Array(memory.buffer, userspaceAddr, memorySize).slice();
  } finally {
    await end();
  }
}

const test = suite("isa of the modules");

const EMULATORS: Record<string, () => (() => Emulator | Promise<Emulator>) | undefined> = {
  Rust: () => {
    const rustc = findRust();
    if (rustc === undefined) return undefined;
    const module = compileRust(rustc);
    return () => rustEmulator(module);
  },
  "C++": () => {
    if (!hasEmscripten()) return undefined;
    const built = buildEmscripten();
    return () => emscriptenEmulator(built);
  },
};

for (const [language, prepare] of Object.entries(EMULATORS)) {
  test(`${language}: programs at random leave the same memory as in the interpreter`, async () => {
    const create = prepare();
    if (create === undefined) {
      console.log(`\nskipped: no compiler for ${language}`);
      return;
    }
    for (let seed = 1; seed <= 5; seed++) {
      const words = program(random(seed));
      const bytes = await found(await create(), words);
      const wanted = expected(words, bytes.length);
      const differs = bytes.findIndex((byte, i) => byte !== wanted[i]);
      assert.is(differs, -1, `seed ${seed}, byte ${differs} of the RAM`);
    }
  });
}

test.run();
