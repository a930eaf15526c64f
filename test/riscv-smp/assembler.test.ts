/** The assembler of examples/riscv-smp against GNU's, and against its own disassembler. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { assemble } from "../../examples/riscv-smp/asm/assembler.js";
import { disassemble } from "../../examples/riscv-smp/asm/disassembler.js";
import { FIELDS } from "../../examples/riscv-smp/asm/fields.js";
import { encode, INSTRUCTIONS, instructionOf } from "../../examples/riscv-smp/asm/isa.js";
import { random } from "../support/random.js";

const BASE = 0x8000_0000;

/**
 * Words with the text that GNU's disassembler (binutils 2.40, riscv:rv32, no-aliases) has for them, one behind
 * the other from BASE on: every instruction but PAUSE, which it does not know, with least, largest and random
 * operands.
 */
const GOLDEN = readFileSync(new URL("./golden.txt", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => ({ word: Number.parseInt(line.slice(0, 8), 16), text: line.slice(9) }));

function wordOf(text: string, pc = BASE): number {
  return new DataView(assemble(text, pc).bytes.buffer).getUint32(0, true);
}

/** Blanks, and 0x10 or 16, are matters of taste. */
function plain(text: string): string {
  return text.replaceAll(", ", ",").replace(/0x[0-9a-f]+|-?\b\d+/g, (number) => String(Number(number)));
}

/** The error that `work` throws. */
function messageOf(work: () => void): string {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

test("GNU's text of every instruction gives GNU's word", () => {
  for (const { word, text, pc } of placed()) assert.is(wordOf(text, pc), word, text);
});

test("GNU's word of every instruction gives GNU's text", () => {
  for (const { word, text, pc } of placed()) assert.is(plain(disassemble(word, pc)), plain(text));
});

test("the golden words have every instruction", () => {
  const seen = new Set(GOLDEN.map(({ word }) => instructionOf(word)?.name));
  assert.equal(
    INSTRUCTIONS.filter(({ name }) => !seen.has(name)).map(({ name }) => name),
    ["pause"],
  );
});

/** Golden words with the address that GNU's text is for; words that were left out leave no gap. */
function placed() {
  return GOLDEN.map(({ word, text }) => {
    const target = /0x([89][0-9a-f]{7}|7f[0-9a-f]{6})$/.exec(text);
    const instruction = instructionOf(word)!;
    const field = instruction.fields.find((name) => FIELDS[name].notation === "address");
    const pc = field === undefined ? BASE : Number.parseInt(target![1]!, 16) - FIELDS[field].decode(word);
    return { word, text, pc };
  });
}

test("round trip: random operands of every instruction", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  const { int } = random(seed);
  for (const instruction of INSTRUCTIONS) {
    for (let i = 0; i < 50; i++) {
      const values = instruction.fields.map((name) => {
        const { min, max, step, notation } = FIELDS[name];
        // FENCE with an empty set has no letters.
        const least = notation === "order" ? 1 : min;
        return least + int((max - least) / step + 1) * step;
      });
      const word = encode(instruction, values);
      const text = disassemble(word, BASE);
      assert.is(wordOf(text), word, `${text}, SEED=${seed}`);
      // FENCE with the operands of PAUSE is PAUSE.
      if (instruction.name !== "fence") assert.is(instructionOf(word), instruction, text);
      instruction.fields.forEach((name, at) => {
        assert.is(FIELDS[name].decode(word), values[at], `${name} of ${text}`);
      });
    }
  }
});

test("labels, local labels, data and pseudo-instructions", () => {
  const { bytes, symbols } = assemble(
    `
    .equ  ONE, 1
start:
1:  li    a0, ONE          # two words: the value is a symbol
    beqz  a0, 1f
    j     1b
1:  bgt   a0, a1, start
    la    a1, data
    .align 4
data: .word 0xdeadbeef, start, data - start
    .asciz "ab\\n"
    .org  0x80000050
    ret
`,
    BASE,
  );
  const view = new DataView(bytes.buffer);
  const words = Array.from({ length: 7 }, (_, i) => disassemble(view.getUint32(i * 4, true), BASE + i * 4));
  assert.equal(words, [
    "lui a0, 0",
    "addi a0, a0, 1",
    "beq a0, zero, 0x80000010",
    "jal zero, 0x80000000",
    "blt a1, a0, 0x80000000",
    "lui a1, 524288",
    "addi a1, a1, 32",
  ]);
  assert.is(symbols.get("data"), BASE + 32);
  assert.equal(
    [0, 1, 2].map((i) => view.getUint32(32 + i * 4, true)),
    [0xdeadbeef, BASE, 32],
  );
  assert.is(new TextDecoder().decode(bytes.subarray(44, 48)), "ab\n\0");
  assert.is(disassemble(view.getUint32(0x50, true)), "jalr zero, 0(ra)");
});

test("%hi and %lo make up every address", () => {
  for (const value of [
    0, 1, 0x7ff, 0x800, 0xfff, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_f800, 0xffff_ffff,
  ]) {
    const view = new DataView(assemble(`la a0, ${value}`, BASE).bytes.buffer);
    const [upper, lower] = [view.getUint32(0, true), view.getUint32(4, true)];
    const sum = (FIELDS.upper.decode(upper) << 12) + FIELDS.imm.decode(lower);
    assert.is(sum >>> 0, value);
  }
});

test("errors name the line and what is wrong", () => {
  const cases: [text: string, message: string][] = [
    ["nop\nfoo a0", "line 2: unknown instruction foo"],
    ["addi a0, a1, 2048", "line 1: imm is 2048, not a multiple of 1 from -2048 to 2047"],
    ["addi a0, a1", "line 1: operands of addi are rd,rs1,imm"],
    ["add a0, a1, q7", 'line 1: "q7" is no register'],
    ["j nowhere", 'line 1: unknown symbol "nowhere"'],
    ["a: nop\na: nop", 'line 2: "a" is there already'],
    ["beq a0, a1, 0x80000003", "line 1: branch is 3, not a multiple of 2 from -4096 to 4094"],
    ["nop\n.org 0x80000000", "line 2: .org goes back from 0x80000004"],
    [".word 1 2", 'line 1: "1 2" is no expression'],
    [".wort 1", "line 1: unknown directive .wort"],
  ];
  for (const [text, message] of cases)
    assert.is(
      messageOf(() => assemble(text, BASE)),
      message,
    );
});

test.run();
