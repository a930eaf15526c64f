/** The kernel's dirty_log_test in its three modes, with vCPUs in worker threads. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { breakMark } from "../stress/broken.js";
import { type DirtyLogOptions, type Mode, runDirtyLogTest } from "./dirtylog.js";

const SEED = Number(process.env.SEED ?? 74);
const ITERATIONS = 32;
const OPTIONS = { iterations: ITERATIONS, seed: SEED, vcpus: 2, writes: 10_000 };
console.log(`seed ${SEED}`);
/** A core that marks one page in 1021 never. */
const forgetful = breakMark();

async function passes(options: DirtyLogOptions): Promise<number> {
  const report = await runDirtyLogTest(options);
  assert.equal([report.lost, report.stale], [0, 0], JSON.stringify(report));
  // Two vCPUs seldom write the same page.
  const { iterations, vcpus, writes } = options;
  assert.ok(report.dirty > 0.9 * iterations * vcpus * writes, JSON.stringify(report));
  return report.ringFull;
}

for (const mode of ["dirty-log", "clear-log", "dirty-ring"] satisfies Mode[]) {
  test(`${mode}: in ${ITERATIONS} iterations dirty pages are new, and clean pages old`, async () => {
    await passes({ ...OPTIONS, mode });
  });

  test(`${mode}: the check finds pages that were not marked`, async () => {
    const report = await runDirtyLogTest({ ...OPTIONS, mode, iterations: 2, core: await forgetful });
    assert.ok(report.lost > 0 && report.stale === 0, JSON.stringify(report));
  });
}

test("dirty-ring of 256 entries: a vCPU with a full ring waits for the reset", async () => {
  const ringFull = await passes({ ...OPTIONS, mode: "dirty-ring", ringEntries: 256 });
  assert.ok(ringFull > ITERATIONS, `${ringFull} times full`);
});

test.run();
