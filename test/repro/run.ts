/**
 * `npm run repro`: RHBZ 1979276 with vCPUs in worker threads. Each scenario one by one, as list, and as list
 * behind a barrier; exit code 1 if a list loses an access, or if one by one does not where it has to; 2 for
 * wrong usage.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Crew } from "../../src/replay/crew.js";
import { tsWorker } from "../support/tsworker.js";
import { type Measured, measure } from "./measure.js";
import { RAM_VCPUS_MAX, Ram } from "./ram.js";
import { NOT_APPLICABLE, SCENARIOS } from "./scenarios.js";
import { tableOf } from "./table.js";
import { failuresOf } from "./verdict.js";
import { WAYS } from "./ways.js";

const USAGE = `usage: npm run repro -- [--scenario R1[,R2...]] [--seconds S] [--vcpus N] [--json]
  --scenario  ${SCENARIOS.map(({ id }) => id).join(", ")}; all if not given
  --seconds   time for each scenario and way, 1 if not given
  --vcpus     worker threads, 1 to ${RAM_VCPUS_MAX}, 2 if not given
  --json      one JSON object with all figures`;

interface Options {
  scenarios: typeof SCENARIOS;
  seconds: number;
  vcpus: number;
  json: boolean;
}

/** @throws Error with what is wrong with the command line */
function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: args.filter((argument) => argument !== "--"),
    options: {
      scenario: { type: "string", multiple: true },
      seconds: { type: "string", default: "1" },
      vcpus: { type: "string", default: "2" },
      json: { type: "boolean", default: false },
    },
  });
  const ids = values.scenario?.flatMap((list) => list.toUpperCase().split(","));
  for (const id of ids ?? []) {
    const why = NOT_APPLICABLE[id];
    if (why !== undefined) throw new Error(`${id} does not apply: ${why}`);
    if (!SCENARIOS.some((scenario) => scenario.id === id)) throw new Error(`there is no scenario ${id}`);
  }
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) throw new Error(`--seconds must be a number above 0, not ${values.seconds}`);
  const vcpus = Number(values.vcpus);
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > RAM_VCPUS_MAX) {
    throw new Error(`--vcpus must be from 1 to ${RAM_VCPUS_MAX}, not ${values.vcpus}`);
  }
  const scenarios = SCENARIOS.filter(({ id }) => ids === undefined || ids.includes(id));
  return { scenarios, seconds, vcpus, json: values.json };
}

function startCrew(size: number): Promise<Crew> {
  return Crew.of(Array.from({ length: size }, () => tsWorker(new URL("./worker.ts", import.meta.url))));
}

async function main({ scenarios, seconds, vcpus, json }: Options): Promise<void> {
  const ram = new Ram(vcpus);
  const results: Measured[] = [];
  const print = (text: string) => json || console.log(text);
  const threads = `${vcpus} vCPU${vcpus === 1 ? "" : "s"} and a writer`;
  print(`RHBZ 1979276: ${threads} on ${availableParallelism()} processors, Node ${process.version}`);
  print("no memory = accesses to pages that are mapped in every layout, and found no slot\n");
  for (const scenario of scenarios) {
    const crew = await startCrew(vcpus + (scenario.secondWriter ? 1 : 0));
    try {
      for (const way of WAYS) results.push(await measure(scenario, way, seconds, crew, ram));
    } finally {
      await crew.end();
    }
    print(tableOf(results.slice(-WAYS.length)));
  }
  for (const [id, why] of Object.entries(NOT_APPLICABLE)) print(`${id} does not apply: ${why}`);
  const failures = failuresOf(scenarios, results);
  if (json) console.log(JSON.stringify({ vcpus, seconds, results, notApplicable: NOT_APPLICABLE, failures }));
  print(failures.length === 0 ? "\nas lists: nothing lost" : `\n${failures.join("\n")}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

let options: Options | undefined;
try {
  options = optionsOf(process.argv.slice(2));
} catch (error) {
  console.error(`repro: ${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (options !== undefined) await main(options);
