/** The dirty ring, in all its interleavings: no told page is lost; without any one of its rules one is. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { exploreRing, RING_RULES, type RingRule, type RingViolation } from "./ringmodel.js";

/** What goes wrong without a rule, and the word of the protocol that keeps it. */
const MUTATIONS: Record<RingRule, { finds: RingViolation; word: string }> = {
  "write before mark": { finds: "lost", word: "publishDirtyGfn" },
  "entry before its state": { finds: "lost", word: "publishDirtyGfn" },
  "state before the count": { finds: "lost", word: "advanceDirty" },
  "keep by read-modify-write": { finds: "lost", word: "keepDirtyGfn" },
  "full ring keeps its entries": { finds: "lost", word: "observeReset" },
  "overflow is noted": { finds: "lost", word: "noteOverflow" },
  "overflow is cleared by compare": { finds: "lost", word: "clearOverflow" },
  "reset looks at the count before the entries": { finds: "lost", word: "observeDirty" },
  "reset stops at what is not harvested": { finds: "lost", word: "observeDirtyGfn" },
  "free before the advance": { finds: "lost", word: "freeDirtyGfn" },
  "repair of a push": { finds: "lost", word: "observeDirty" },
};

test("nothing goes wrong: pushes, harvests, resets, and a death", () => {
  const result = exploreRing();
  console.log(`ring: ${result.states} states, ${result.ends} ends`);
  assert.is(result.violation, undefined);
  assert.ok(result.ends > 0);
});

for (const rule of RING_RULES) {
  test(`is found: no ${rule}`, () => {
    assert.is(exploreRing(rule).violation, MUTATIONS[rule].finds);
  });
}

test("the words of the ring and the rules name each other", () => {
  const text = readFileSync(new URL("../../assembly/atomic.ts", import.meta.url), "utf8");
  for (const rule of RING_RULES) assert.match(text, `export function ${MUTATIONS[rule].word}(`, rule);
  const checks = [...text.matchAll(/ring model ("[^*]+")(?:(?!\*\/)[\s\S])*\*\/\nexport function (\w+)/g)];
  assert.is(checks.length, 6);
  for (const [, names, word] of checks) {
    for (const [, rule] of names!.matchAll(/"([^"]+)"/g))
      assert.is(MUTATIONS[rule as RingRule]?.word, word, rule);
  }
});

test.run();
