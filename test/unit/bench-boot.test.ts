/** The boot benchmark with a tiny boot: every way, every number of vCPUs, and the table of them. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { WAYS } from "../../bench/boot/ways.js";
import { boot } from "../../bench/groups/boot.js";
import { type CaseResult, Results } from "../../bench/harness/case.js";
import { smokeScale } from "../../bench/harness/groups.js";
import { measureCase } from "../../bench/harness/measure.js";

test("a figure for each number of vCPUs and way, and a table of them", async () => {
  const results: CaseResult[] = [];
  for (const one of boot.cases(smokeScale)) results.push(await measureCase(one, { smoke: true }));
  assert.equal(
    results.map(({ n, figures }) => [n, figures.map(({ name }) => name)]),
    [1, 2].map((n) => [n, WAYS]),
  );
  for (const { figures } of results) {
    for (const { median, min, rounds } of figures) assert.ok(median > 0 && median === min && rounds === 1);
  }
  const report = boot.report!(new Results(results), smokeScale).split("\n");
  assert.match(report[0] ?? "", /^microvm-1g: ms of all commits; vCPUs on \d+ processors +1 +2$/);
  for (const [i, way] of WAYS.entries())
    assert.match(report[i + 1] ?? "", new RegExp(`^ {2}${way}( +[\\d.e+]+){2}$`));
  assert.is(boot.rows(new Results(results), smokeScale).length, 2);
});

test.run();
