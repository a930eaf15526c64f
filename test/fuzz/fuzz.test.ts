/** The fuzzers in short, and that they see: each finds a defect that is put in, and shrinks it to a small case. */
import fc from "fast-check";
import type { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ParseError, parseMtree } from "../../src/flatview/index.js";
import { LIST_MUTANTS } from "../model/mutants.js";
import { apiOf, modelledCall } from "./api.js";
import { hostileText } from "./mutations.js";
import { TARGETS } from "./targets.js";

const SEED = Number(process.env.SEED ?? 20261);
const CASES = 60;
console.log(`seed ${SEED}`);

for (const name of Object.keys(TARGETS)) {
  test(`${name}: nothing is found`, async () => {
    const details = await fc.check(TARGETS[name]!, { seed: SEED, numRuns: CASES });
    assert.not(
      details.failed,
      `npm run fuzz -- --only ${name} --seed ${SEED} --path ${details.counterexamplePath}`,
    );
  });
}

test("a reader that takes one line for another is found, shrunk, and replayed", async () => {
  const broken = fc.property(hostileText, (text) => {
    try {
      for (const { view } of parseMtree(text)) {
        if (view.ranges.some(({ readonly }) => readonly)) throw new Error("a defect that is put in");
      }
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
    }
  });
  const found = await fc.check(broken, { seed: SEED, numRuns: 2000 });
  assert.ok(found.failed && found.counterexamplePath !== null);
  assert.ok(found.counterexample![0].length < 7000);
  const again = await fc.check(broken, { seed: SEED, path: found.counterexamplePath!, numRuns: 1 });
  assert.equal(again.counterexample, found.counterexample);
});

for (const Mutant of LIST_MUTANTS.slice(0, 2)) {
  test(`calls that differ from the model's are found: ${Mutant.name}`, async () => {
    const property = apiOf(async (options) => new Mutant(options) as unknown as MemslotEngine, modelledCall);
    const found = await fc.check(property, { seed: SEED, numRuns: 3000 });
    assert.ok(found.failed, `${found.numRuns} cases`);
    const [calls] = found.counterexample!;
    assert.ok(calls.length <= 6, `${calls.length} calls`);
  });
}

test.run();
