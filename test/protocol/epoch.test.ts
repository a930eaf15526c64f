/** The dirty epoch, in all its interleavings: no write is in no harvest; without any one of its rules one is. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { EPOCH_RULES, type EpochRule, exploreEpoch } from "./epochmodel.js";

/** The function that keeps each rule, and its file in assembly/. */
const WORDS: Record<EpochRule, readonly [file: string, word: string]> = {
  "epoch after taking": ["atomic.ts", "advanceDirtyEpoch"],
  "epoch before the look at the page": ["atomic.ts", "advanceDirtyEpoch"],
  "store before the look": ["atomic.ts", "observeDirtyEpoch"],
  "writes before the look": ["atomic.ts", "observeDirtyEpoch"],
  "look before the first mark": ["atomic.ts", "observeDirtyEpoch"],
  "marks again when the epoch has moved": ["tlb.ts", "settleMarks"],
  "settled before an entry is forgotten": ["tlb.ts", "enterPage"],
  "settled for the dead": ["tlb.ts", "releaseTlb"],
};

test("nothing is lost: marks ahead of writes, entries kept and forgotten, harvests, and a death", () => {
  const result = exploreEpoch();
  console.log(`epoch: ${result.states} states, ${result.ends} ends`);
  assert.not(result.lost);
  assert.ok(result.ends > 0);
});

for (const rule of EPOCH_RULES) {
  test(`is found: no ${rule}`, () => {
    assert.ok(exploreEpoch(rule).lost);
  });
}

test("the words of the epoch and the rules name each other", () => {
  const textOf = (file: string) => readFileSync(new URL(`../../assembly/${file}`, import.meta.url), "utf8");
  for (const rule of EPOCH_RULES) {
    const [file, word] = WORDS[rule];
    assert.match(textOf(file), `export function ${word}(`, rule);
  }
  const checks = [
    ...textOf("atomic.ts").matchAll(/epoch model ("[^*]+")(?:(?!\*\/)[\s\S])*\*\/\nexport function (\w+)/g),
  ];
  assert.is(checks.length, 2);
  for (const [, names, word] of checks) {
    for (const [, rule] of names!.matchAll(/"([^"]+)"/g))
      assert.is(WORDS[rule as EpochRule]?.[1], word, rule);
  }
});

test.run();
