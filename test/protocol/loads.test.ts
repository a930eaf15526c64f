/** Loads without a section, in all interleavings: each that counts is the guest's; without any one rule one is not. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { exploreLoads, LOADS_RULES, type LoadsRule } from "./loadsmodel.js";

/** The function that keeps each rule, and its file. */
const WORDS: Record<LoadsRule, readonly [file: string, word: string]> = {
  "loads before the look": ["assembly/atomic.ts", "function observeRootAfterLoads("],
  "the look": ["src/guest/access.ts", "  isNewest("],
  "numbers, not roots": ["assembly/readers.ts", "function commitAfterLoads("],
  "number before publication": ["assembly/atomic.ts", "function publishRoot("],
};

test("loads that count are the guest's: the page moves, and its old place has a new use at once", () => {
  const result = exploreLoads();
  console.log(`loads: ${result.states} states, ${result.counted} times one counted`);
  assert.not(result.wrong);
  assert.ok(result.counted > 0);
});

for (const rule of LOADS_RULES) {
  test(`is found: no ${rule}`, () => {
    assert.ok(exploreLoads(rule).wrong);
  });
}

test("the rules name what keeps them", () => {
  for (const rule of LOADS_RULES) {
    const [file, word] = WORDS[rule];
    assert.match(readFileSync(new URL(`../../${file}`, import.meta.url), "utf8"), word, rule);
  }
});

test.run();
