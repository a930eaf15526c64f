/**
 * npm run history -- --seconds S --vcpus N --seed X [--break split|grace]
 *
 * Exits with 1 if a history is not linearizable.
 */
import { parseArgs } from "node:util";
import { type Breakage, runHistories } from "./history.js";

/** Violations that are told in words. */
const TOLD_MAX = 10;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    vcpus: { type: "string", default: "3" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    break: { type: "string" },
  },
});
const breakage = values.break;
if (breakage !== undefined && breakage !== "split" && breakage !== "grace") {
  throw new Error(`--break can be split or grace, not ${breakage}`);
}
const [seconds, vcpus, seed] = [values.seconds, values.vcpus, values.seed].map(Number) as [
  number,
  number,
  number,
];
if (!(seconds > 0 && vcpus >= 1 && seed >= 0))
  throw new Error("--seconds, --vcpus and --seed must be numbers");
console.log(`seed ${seed}`);
const report = await runHistories({ seconds, vcpus, seed, breakage: breakage as Breakage | undefined });
for (const text of report.violations.slice(0, TOLD_MAX)) console.log(`violation: ${text}`);
const { rounds, commits, sections, lookups, violations } = report;
const counts = [rounds, commits, sections, lookups].map((n) => n.toLocaleString("en"));
console.log(`${counts[0]} histories: ${counts[1]} commits, ${counts[2]} sections with ${counts[3]} lookups`);
console.log(`violations ${violations.length}`);
process.exit(violations.length > 0 ? 1 : 0);
