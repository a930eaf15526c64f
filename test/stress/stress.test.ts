/** The stress run in short: nothing is found in the engine, and much in one without a grace period. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runStress } from "./stress.js";

const SEED = Number(process.env.SEED ?? 20261);
/** Far more than the broken engine needs: a fraction of a second. */
const BROKEN_SECONDS_MAX = 60;
console.log(`seed ${SEED}`);

test("no answer of a layout that was never published, whoever dies", async () => {
  const report = await runStress({ seconds: 4, vcpus: 2, seed: SEED });
  assert.equal(report.told, []);
  assert.is(report.violations, 0);
  const { counts, deaths } = report;
  for (const counter of ["accesses", "sections", "commits", "async"] as const) {
    assert.ok(counts[counter] > 0, counter);
  }
  assert.ok(deaths.readers + deaths.writers > 0, "deaths");
});

test("without a grace period readers get answers of no layout, and are heard", async () => {
  const report = await runStress({
    seconds: BROKEN_SECONDS_MAX,
    vcpus: 2,
    seed: SEED,
    breakGrace: true,
    untilWrong: true,
  });
  assert.ok(report.counts.wrong > 0, `${report.violations} violations in ${report.seconds} s`);
});

test.run();
