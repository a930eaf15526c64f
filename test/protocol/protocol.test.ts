/**
 * The protocol, in all its interleavings: as it is written nothing ever goes wrong; without any one of its
 * rules something does.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CONFIGURATIONS, type Configuration } from "./configuration.js";
import { explore, type Result } from "./explore.js";
import { MUTATIONS } from "./mutations.js";
import { PROPERTIES } from "./properties.js";
import { RULES } from "./rules.js";

/**
 * Of all configurations together. It is what keeps the search under a minute, and unlike a time it is the same on every
 * computer, under every load and with coverage.
 */
const STATES_MAX = 16_000_000;
const RUN = fileURLToPath(new URL("./run.ts", import.meta.url));
const WORDS = fileURLToPath(new URL("../../assembly/atomic.ts", import.meta.url));

const results = new Map<string, Result>();

/** The protocol as it is written, in a configuration; searched once. */
function asWritten(configuration: Configuration): Result {
  const key = JSON.stringify({ ...configuration, name: "" });
  const result = results.get(key) ?? explore(configuration);
  results.set(key, result);
  return result;
}

function textOf({ violation, trace }: Result): string {
  return violation === undefined ? "no violation" : `${PROPERTIES[violation]}\n  ${trace!.join("\n  ")}`;
}

for (const configuration of CONFIGURATIONS) {
  test(`nothing goes wrong: ${configuration.name}`, () => {
    const result = asWritten(configuration);
    assert.is(result.violation, undefined, textOf(result));
    assert.ok(result.ends > 0);
  });
}

test(`the whole state space has at most ${STATES_MAX} states`, () => {
  const { user, system } = process.cpuUsage();
  const seconds = (user + system) / 1e6;
  const states = [...results.values()].reduce((sum, result) => sum + result.states, 0);
  console.log(`protocol: ${states} states, 0 violations, ${seconds.toFixed(1)} s of processor time`);
  assert.ok(states <= STATES_MAX, `${states} states`);
});

for (const { name, rule, configuration, finds, ignored = [] } of MUTATIONS) {
  test(`is found: ${name}`, () => {
    const result = explore(configuration, { missing: rule, unreduced: true, ignored });
    assert.is(result.violation, finds, textOf(result));
    assert.is(asWritten(configuration).violation, undefined, "it is the missing rule that does the harm");
  });
}

test("every rule has its mutation", () => {
  assert.equal(MUTATIONS.map(({ rule }) => rule).sort(), [...RULES].sort());
  assert.is(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length);
});

test("the words of the protocol and the mutations name each other", () => {
  const text = readFileSync(WORDS, "utf8");
  for (const { name, word } of MUTATIONS) assert.match(text, `export function ${word}(`, name);
  const checks = [
    ...text.matchAll(/protocol model "([^"]+)"(?:(?!\*\/)[\s\S])*\*\/\nexport function (\w+)/g),
  ];
  assert.ok(checks.length >= 10, `${checks.length} words name a mutation`);
  for (const [, name, word] of checks) {
    assert.is(MUTATIONS.find((mutation) => mutation.name === name)?.word, word, `"${name}" of ${word}`);
  }
});

test("what the search leaves out makes no difference to the end", () => {
  const small = { readers: 2, sections: 1, roots: 3, chunks: 4, kills: 0 } as const;
  const configurations: Configuration[] = [
    { ...small, name: "readers", writers: [["commit"]], kills: 1 },
    { ...small, name: "writers", readers: 1, writers: [["commit"], ["commit"]] },
    { ...small, name: "barrier", writers: [["commit, barrier: true"]], barrier: true },
  ];
  for (const configuration of configurations) {
    const reduced = explore(configuration);
    const whole = explore(configuration, { unreduced: true });
    assert.is(whole.violation, undefined, textOf(whole));
    assert.is(reduced.ends, whole.ends, configuration.name);
    assert.ok(reduced.states < whole.states, configuration.name);
  }
});

test("run.ts shows how a mutation comes about", () => {
  const { status, stdout } = spawnSync(process.execPath, ["--import", "tsx", RUN, "no grace period"], {
    encoding: "utf8",
  });
  assert.is(status, 0, stdout);
  assert.match(stdout, PROPERTIES.recycled);
  assert.match(stdout, "writer 0 recycles the chunk");
});

test.run();
