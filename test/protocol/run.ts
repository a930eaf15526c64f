/**
 * The checker by itself: states, time and violations of every configuration, and for every mutation the
 * shortest way in which it goes wrong. Arguments choose those whose name contains one of them.
 */
import { CONFIGURATIONS } from "./configuration.js";
import { explore, type Result } from "./explore.js";
import { MUTATIONS } from "./mutations.js";
import { PROPERTIES } from "./properties.js";

const NAME_COLUMNS = 44;

const wanted = process.argv.slice(2);

function isWanted({ name }: { name: string }): boolean {
  return wanted.length === 0 || wanted.some((part) => name.includes(part));
}

function secondsOf(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function traceOf({ violation, trace }: Result): string {
  const steps = trace!.map((step, i) => `  ${String(i + 1).padStart(3)}  ${step}`);
  return `${steps.join("\n")}\n       ${PROPERTIES[violation!]}`;
}

function runConfigurations(): number {
  let [states, milliseconds, violations] = [0, 0, 0];
  for (const configuration of CONFIGURATIONS.filter(isWanted)) {
    const result = explore(configuration);
    states += result.states;
    milliseconds += result.milliseconds;
    const count = `${result.states} states`.padStart(16);
    console.log(configuration.name.padEnd(NAME_COLUMNS) + count + secondsOf(result.milliseconds).padStart(8));
    if (result.violation === undefined) continue;
    violations++;
    console.log(traceOf(explore(configuration, { unreduced: true })));
  }
  console.log(`${states} states, ${secondsOf(milliseconds)}, ${violations} violations`);
  return violations;
}

function runMutations(): number {
  let missed = 0;
  for (const { name, rule, word, configuration, finds, ignored = [] } of MUTATIONS.filter(isWanted)) {
    const result = explore(configuration, { missing: rule, unreduced: true, ignored });
    console.log(`\n"${name}" (${word}, without "${rule}")`);
    if (result.violation !== undefined) console.log(traceOf(result));
    if (result.violation === finds) continue;
    missed++;
    console.log(`  not found: ${PROPERTIES[finds]}`);
  }
  console.log(`\n${MUTATIONS.filter(isWanted).length} mutations, ${missed} not found`);
  return missed;
}

if (![...CONFIGURATIONS, ...MUTATIONS].some(isWanted)) {
  const names = [...CONFIGURATIONS, ...MUTATIONS].map(({ name }) => `"${name}"`);
  console.error(`protocol: no name contains ${wanted.join(" or ")}, there are ${names.join(", ")}`);
  process.exitCode = 2;
} else {
  process.exitCode = runConfigurations() + runMutations() === 0 ? 0 : 1;
}
