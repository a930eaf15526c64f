/** The differential and the exhaustive run must find each known defect, or their silence means nothing. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ModelEngine } from "../../model/memslots.js";
import { LIST_MUTANTS, MUTANTS } from "../../model/mutants.js";
import { Divergence, runDifferential, type Tally } from "../../support/differential.js";
import type { Create } from "../../support/implementation.js";
import { CaseError, Lockstep } from "../../support/lockstep.js";
import { ENTRIES, FEW_LAYOUTS } from "../../support/smallworld.js";

const RUNS_MAX = 150;
const STEPS = 60;

const model: Create = async (options) => new ModelEngine(options);

const test = suite("canary");

for (const Mutant of MUTANTS) {
  test(`the differential run finds ${Mutant.name}`, async () => {
    const mutant: Create = async (options) => new Mutant(options);
    for (let seed = 1; seed <= RUNS_MAX; seed++) {
      try {
        await runDifferential({ seed, steps: STEPS, subject: mutant, oracle: model });
      } catch (error) {
        if (!(error instanceof Divergence)) throw error;
        assert.match(error.message, `SEED=${seed} RUNS=1`);
        return;
      }
    }
    assert.unreachable(`${Mutant.name} went through ${RUNS_MAX} runs`);
  });
}

for (const Mutant of LIST_MUTANTS) {
  test(`the exhaustive run finds ${Mutant.name}`, async () => {
    const lockstep = await Lockstep.create(async (options) => new Mutant(options), model);
    const runAll = () => {
      for (const layout of FEW_LAYOUTS) {
        for (const first of ENTRIES) for (const second of ENTRIES) lockstep.run(layout, [first, second]);
      }
    };
    assert.throws(runAll, (error: Error) => error instanceof CaseError);
  });
}

test("the model equals itself, and each kind of operation is accepted often enough", async () => {
  const tally: Tally = new Map();
  for (let seed = 1; seed <= 30; seed++) {
    await runDifferential({ seed, steps: STEPS, subject: model, oracle: model }, tally);
  }
  assert.is(tally.size, 8, "every kind of operation is drawn");
  for (const [op, { done, accepted }] of tally) {
    assert.ok(accepted / done > 0.15, `${op}: ${accepted} of ${done} accepted`);
  }
});

test.run();
