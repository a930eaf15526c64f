/**
 * Every instruction of RV64IMAFDC over operands at its limits, floats in every rounding mode: the program that QEMU has
 * run, on the hart, with the same sums.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { HartBuild, Mutation } from "../../examples/riscv-linux/build.js";
import { EXIT } from "../../examples/riscv-linux/exports.js";
import { RAM } from "../../examples/riscv-linux/map.js";
import type { IsaVectors } from "./isavectors.js";
import { HartLab, RAM_BYTES } from "./lab.js";

const FILE = new URL("../vectors/rv64gc.json.gz", import.meta.url);
const vectors = JSON.parse(gunzipSync(readFileSync(FILE)).toString()) as IsaVectors;

const MODES = ["rne", "rtz", "rdn", "rup", "rmm"];
/** The program takes less; one that has gone astray is stopped. */
const INSTRUCTIONS_MAX = 2e9;
const SLICE = 10_000_000;

/** Behind all that the program uses: switch the float unit on, and go to the program, whose address is in a1. */
const START = RAM + RAM_BYTES - 64;
const START_CODE = [
  0x000062b7, // lui t0, 6
  0x1002a073, // csrs sstatus, t0
  0x00058067, // jr a1
];

/** Names of the instructions, and their rounding modes, whose sums differ from the oracle's. */
async function differences(build: HartBuild, mutation?: Mutation): Promise<string[]> {
  const lab = await HartLab.create(build, mutation);
  try {
    const image = Buffer.from(vectors.image, "base64");
    lab.at(vectors.base, image.length).set(image);
    for (const [i, insn] of START_CODE.entries()) lab.word(START + i * 4, insn);
    lab.exports.startHart(lab.hart, START, vectors.entry);
    let exit: number = EXIT.budget;
    for (let done = 0; exit === EXIT.budget && done < INSTRUCTIONS_MAX; done += SLICE) exit = lab.run(SLICE);
    // It ends with a call, write(2) of the results.
    assert.is(exit, EXIT.sbi, `ended with ${exit} at ${lab.exports.getPc(lab.hart).toString(16)}`);
    let at = vectors.results;
    return vectors.stubs.flatMap(({ name, sums }) =>
      sums.flatMap((sum, mode) => {
        const found = lab.double(at).toString(16);
        at += 8;
        return found === sum ? [] : [sums.length > 1 ? `${name}, ${MODES[mode]}` : name];
      }),
    );
  } finally {
    lab.close();
  }
}

test(`${vectors.stubs.length} instructions give what ${vectors.oracle} gives`, async () => {
  assert.equal(await differences("engine"), []);
});

test("the sums notice a result that is tiny where it is not, and nothing else", async () => {
  const from = "const isTiny = below > 1 || !up || whole + 1 != (<u64>1) << p;";
  const found = await differences("engine", { file: "softfloat.ts", from, to: "const isTiny = true;" });
  assert.ok(found.includes("fmul.d fa0, fa0, fa1, rne"), found.join("; "));
  assert.ok(
    found.every((name) => /^f(mul|div|n?madd|n?msub|cvt\.s\.d)/.test(name)),
    found.join("; "),
  );
});

test.run();
