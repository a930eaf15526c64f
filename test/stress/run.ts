/**
 * npm run stress -- --seconds S --vcpus N --seed X [--break grace | --checked]
 *
 * --checked: a core with assertions: every index into its structures is checked.
 *
 * Exits with 1 if there were violations, and is killed by its watchdog if nothing moves for 20 seconds.
 */
import { parseArgs } from "node:util";
import { type Report, runStress } from "./stress.js";

function integer(text: string, name: string, min: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min) {
    throw new Error(`--${name} must be an integer from ${min} on, not ${text}`);
  }
  return value;
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count.toLocaleString("en")}`)
    .join(", ");
}

function print({ seconds, layouts, counts, deaths, looks, violations, told }: Report): void {
  for (const text of told) console.log(`violation: ${text}`);
  const { readers, writers, withLock, withGate, inSection } = deaths;
  console.log(`${seconds.toFixed(1)} s, ${layouts.toLocaleString("en")} layouts, ${looks} looks at rest`);
  console.log(list(counts));
  console.log(
    `kills ${readers + writers}: ${readers} readers, ${writers} writers; ${inSection} inside a section`,
  );
  console.log(`recoveries ${withLock} of a dead writer's lock, ${withGate} of its gate`);
  console.log(`violations ${violations}`);
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    vcpus: { type: "string", default: "4" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    break: { type: "string" },
    checked: { type: "boolean", default: false },
  },
});
if (values.break !== undefined && values.break !== "grace") {
  throw new Error(`--break can be grace, not ${values.break}`);
}
const seed = integer(values.seed, "seed", 0);
console.log(`seed ${seed}`);
const report = await runStress({
  seconds: integer(values.seconds, "seconds", 1),
  vcpus: integer(values.vcpus, "vcpus", 1),
  seed,
  breakGrace: values.break === "grace",
  checked: values.checked,
});
print(report);
process.exitCode = report.violations > 0 ? 1 : 0;
