/** No dirty page is lost to a list, in bitmaps and in rings; without what carries them, pages are. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runProperty, type Tool } from "./property.js";

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

for (const tool of ["bitmap", "ring"] satisfies Tool[]) {
  test(`${tool}: the check finds lists that carry nothing`, async () => {
    const report = await runProperty({ tool, lists: 300, seed: SEED, vcpus: VCPUS, breakCarry: true });
    assert.ok(report.lost > 0, JSON.stringify(report));
  });
}

test("the check finds lists that fold nothing into the consumers", async () => {
  const report = await runProperty({ tool: "bitmap", lists: 300, seed: SEED, vcpus: VCPUS, breakFold: true });
  assert.ok(report.lost > 0, JSON.stringify(report));
});

for (const tool of ["bitmap", "ring"] satisfies Tool[]) {
  test(`${tool}: the check finds TLBs that trust a mark for ever`, async () => {
    const report = await runProperty({ tool, lists: 600, seed: SEED, vcpus: VCPUS, breakSettle: true });
    assert.ok(report.lost > 0, JSON.stringify(report));
  });
}

test.run();
