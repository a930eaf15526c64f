/** No dirty page is lost to a list, in bitmaps and in rings; without what carries them, pages are. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type PropertyOptions, runProperty, type Tool } from "./property.js";

const SEED = Number(process.env.SEED ?? 41);
const LISTS = 1500;
const VCPUS = 3;
console.log(`seed ${SEED}`);

for (const tool of ["bitmap", "ring", "ring and bitmap"] satisfies Tool[]) {
  test(`${tool}: every page written is harvested, whatever lists do meanwhile`, async () => {
    const report = await runProperty({ tool, lists: LISTS, seed: SEED, vcpus: VCPUS });
    assert.is(report.lost, 0, JSON.stringify(report));
    assert.ok(report.writes > LISTS && report.copied > LISTS, JSON.stringify(report));
  });
}

/** On a busy machine rings overflow, and then all pages are copied, whatever is broken: runs until one finds it. */
const RUNS_MAX = 8;

async function findsLosses(tool: Tool, lists: number, broken: Partial<PropertyOptions>): Promise<void> {
  const reports = [];
  for (let run = 0; run < RUNS_MAX; run++) {
    const report = await runProperty({ tool, lists, seed: SEED + run, vcpus: VCPUS, ...broken });
    if (report.lost > 0) return;
    reports.push(report);
  }
  assert.unreachable(JSON.stringify(reports));
}

for (const tool of ["bitmap", "ring"] satisfies Tool[]) {
  test(`${tool}: the check finds lists that carry nothing`, () =>
    findsLosses(tool, 300, { breakCarry: true }));
}

test("the check finds lists that fold nothing into the consumers", () =>
  findsLosses("bitmap", 300, { breakFold: true }));

for (const tool of ["bitmap", "ring"] satisfies Tool[]) {
  test(`${tool}: the check finds TLBs that trust a mark for ever`, () =>
    findsLosses(tool, 600, { breakSettle: true }));
}

test.run();
