/**
 * npm run fuzz -- --seconds S --seed X: hostile inputs for everything that takes any, in turns, until the time is over.
 * A finding is shrunk, printed with the line that replays it, and ends the run with exit code 1.
 *
 *   --only NAME   this target alone        --path P   this case alone, as a finding tells it
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { TARGETS } from "./targets.js";

/** Cases of a target's turn. */
const TURN = 50;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    only: { type: "string" },
    path: { type: "string" },
  },
});
const [seconds, first] = [Number(values.seconds), Number(values.seed)];
if (!(seconds > 0) || !Number.isInteger(first)) throw new Error("--seconds and --seed must be numbers");
const names = Object.keys(TARGETS).filter((name) => values.only === undefined || name === values.only);
if (names.length === 0) throw new Error(`--only must be one of ${Object.keys(TARGETS).join(", ")}`);
console.log(`seed ${first}`);

const end = performance.now() + seconds * 1000;
const runs = new Map(names.map((name) => [name, 0]));
let failed = false;
for (let seed = first; performance.now() < end && !failed; seed++) {
  for (const name of names) {
    if (performance.now() >= end) break;
    const { path } = values;
    const replayed = path === undefined ? { numRuns: TURN } : { path, numRuns: 1 };
    const details = await fc.check(TARGETS[name]!, { seed, ...replayed });
    runs.set(name, runs.get(name)! + details.numRuns);
    if (!details.failed) continue;
    failed = true;
    console.log(`${name}: after ${details.numRuns} cases, shrunk ${details.numShrinks} times`);
    console.log(fc.stringify(details.counterexample));
    console.log(details.errorInstance instanceof Error ? details.errorInstance.stack : details.errorInstance);
    console.log(`replay: npm run fuzz -- --only ${name} --seed ${seed} --path ${details.counterexamplePath}`);
    break;
  }
  if (values.path !== undefined) break;
}
for (const [name, count] of runs) console.log(`${name}: ${count.toLocaleString("en-US")} cases`);
console.log(failed ? "1 finding" : "0 findings");
process.exit(failed ? 1 : 0);
