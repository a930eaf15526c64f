/** The differential run must find each known defect, or its silence about the engine means nothing. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ModelEngine } from "../model/memslots.js";
import { MUTANTS } from "../model/mutants.js";
import { Divergence, runDifferential, type Tally } from "../support/differential.js";
import type { Create } from "../support/implementation.js";

const RUNS_MAX = 150;
const STEPS = 60;

const model: Create = async (options) => new ModelEngine(options);

for (const Mutant of MUTANTS) {
  test(`${Mutant.name} is found`, async () => {
    const mutant: Create = async (options) => new Mutant(options);
    for (let seed = 1; seed <= RUNS_MAX; seed++) {
      try {
        await runDifferential({ seed, steps: STEPS, subject: mutant, oracle: model });
      } catch (error) {
        assert.instance(error, Divergence);
        return;
      }
    }
    assert.unreachable(`${Mutant.name} went through ${RUNS_MAX} runs`);
  });
}

test("the model is found to equal itself, and most kinds of operation succeed often", async () => {
  const tally: Tally = new Map();
  for (let seed = 1; seed <= 40; seed++) {
    await runDifferential({ seed, steps: STEPS, subject: model, oracle: model }, tally);
  }
  assert.is(tally.size, 8, "every kind of operation is drawn");
  for (const [op, { done, accepted }] of tally) {
    assert.ok(accepted / done > 0.2, `${op}: ${accepted} of ${done} accepted`);
  }
});

test.run();
