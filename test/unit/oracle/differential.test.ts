/**
 * The engine against the model. SEED=n starts at that seed, RUNS=n makes so many runs; without SEED the usual
 * seeds are run, and one that nobody has seen before.
 */
import { MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ModelEngine } from "../../model/memslots.js";
import { runDifferential, type Tally } from "../../support/differential.js";
import type { Create } from "../../support/implementation.js";

const DEFAULT_RUNS = 100;
const STEPS = 60;

function numberFrom(variable: string, fallback: number): number {
  const text = process.env[variable];
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${variable} must be a number, not ${text}`);
  return value;
}

const test = suite("differential");

const oracle: Create = async (options) => new ModelEngine(options);

/** The build goes by the seed, so that a replay has the same one. */
async function run(seed: number, tally: Tally): Promise<void> {
  const subject: Create = (options) => MemslotEngine.create({ ...options, shared: seed % 2 === 0 });
  await runDifferential({ seed, steps: STEPS, subject, oracle }, tally);
}

test("the engine answers like the model", async () => {
  const first = numberFrom("SEED", 1);
  const runs = numberFrom("RUNS", DEFAULT_RUNS);
  const tally: Tally = new Map();
  for (let seed = first; seed < first + runs; seed++) await run(seed, tally);
  const lists = tally.get("list");
  if (runs >= DEFAULT_RUNS)
    assert.ok(lists && lists.accepted > lists.done / 4, "lists are accepted often enough");
});

if (process.env.SEED === undefined) {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const replay = `SEED=${seed} RUNS=1 node --import tsx test/unit/oracle/differential.test.ts`;
  // A line of its own, at the very beginning, so that the runner of all tests can pick it up.
  console.log(`seed ${seed} is the fresh one; replay: ${replay}`);
  test("the engine answers like the model from a seed nobody has seen", () => run(seed, new Map()));
}

test.run();
