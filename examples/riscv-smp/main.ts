/**
 * `npm run demo:smp [-- --harts N] [--commits N] [--instructions N] [--bench] [--monitor]`: guests on real harts,
 * while the map changes under them. Exit code 1 if a list makes a guest fault, if one by one does not, if
 * anything does not add up, or if a speed misses its target; 2 for wrong usage.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { compileHart } from "../riscv-linux/build.js";
import { monitorSplit } from "./monitored.js";
import { runBanks } from "./scenarios/banks.js";
import { runHello } from "./scenarios/hello.js";
import { runLocks } from "./scenarios/locks.js";
import { runSpeed } from "./scenarios/speed.js";
import { runSplit, type SplitResult, WAYS } from "./scenarios/split.js";
import { ratiosOf, speedTable } from "./speedtable.js";
import { failuresOf, splitTable } from "./table.js";

/** Of the speeds: long enough for hundreds of commits, short enough that neighbours are comparable. */
const BENCH_MS = 200;

const USAGE = `usage: npm run demo:smp -- [--harts N] [--commits N] [--instructions N] [--bench | --monitor]
  --harts         of the split, 1 to 4; 2 if not given
  --commits       changes of the map, at least, each way; 10000 if not given
  --instructions  of all harts together, at least, each way; 100000000 if not given
  --bench         only measure: speeds against the interpreter on flat memory, and of two harts
  --rounds        of the measurement; 15 if not given
  --monitor       run the split without end, commands from standard input
  --help          this`;

interface Options {
  readonly harts: number;
  readonly commits: number;
  readonly instructions: number;
  readonly rounds: number;
  readonly bench: boolean;
  readonly monitor: boolean;
  readonly help: boolean;
}

/** @throws Error with what is wrong with the command line */
function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: args.filter((argument) => argument !== "--"),
    options: {
      harts: { type: "string", default: "2" },
      commits: { type: "string", default: "10000" },
      instructions: { type: "string", default: "100000000" },
      rounds: { type: "string", default: "15" },
      bench: { type: "boolean", default: false },
      monitor: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const integer = (name: "harts" | "commits" | "instructions" | "rounds", max: number) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1 || value > max) {
      throw new Error(`--${name} must be an integer from 1 to ${max}, not ${values[name]}`);
    }
    return value;
  };
  if (values.bench && values.monitor) throw new Error("--bench and --monitor exclude each other");
  return {
    harts: integer("harts", 4),
    commits: integer("commits", 1e9),
    instructions: integer("instructions", 1e12),
    rounds: integer("rounds", 1000),
    bench: values.bench,
    monitor: values.monitor,
    help: values.help,
  };
}

async function bench(module: WebAssembly.Module, rounds: number): Promise<void> {
  console.log(
    `guest instructions per second, on ${availableParallelism()} processors, Node ${process.version}`,
  );
  console.log("medians; time in which a hart waits for a processor is left out");
  const result = await runSpeed({ engine: module, flat: await compileHart("flat") }, rounds, BENCH_MS);
  console.log(speedTable(result));
  if (!ratiosOf(result).every(({ holds }) => holds)) process.exitCode = 1;
}

async function demo(module: WebAssembly.Module, { harts, commits, instructions }: Options): Promise<void> {
  console.log(`RV64 harts in threads, on ${availableParallelism()} processors, Node ${process.version}\n`);
  console.log("RHBZ 1979276: harts run inside the range that is split, merged, moved, toggled, resized");
  const splits: SplitResult[] = [];
  for (const way of WAYS) splits.push(await runSplit(module, way, { commits, instructions }, harts));
  console.log(splitTable(splits));

  const banks = await runBanks(module);
  console.log(
    `banks: ${count(banks.switches)} switches of a 4 KiB bank, each a list of two moves, by two harts`,
  );
  const locks = await runLocks(module);
  console.log(
    `locks: spinlocks, a queue and Peterson's lock of two harts, over ${count(locks.commits)} commits`,
  );
  const hello = await runHello(module, harts);
  for (const line of hello.lines) console.log(`uart: ${line}`);

  const failures = failuresOf(splits, { banks, locks, hello });
  console.log(
    failures.length === 0 ? "\nall counters add up; as lists: no fault" : `\n${failures.join("\n")}`,
  );
  process.exitCode = failures.length === 0 ? 0 : 1;
}

async function main(options: Options): Promise<void> {
  const module = await compileHart("engine");
  if (options.monitor) await monitorSplit(module, options.harts);
  else if (options.bench) await bench(module, options.rounds);
  else await demo(module, options);
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

let options: Options | undefined;
try {
  options = optionsOf(process.argv.slice(2));
} catch (error) {
  console.error(`demo:smp: ${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (options?.help) console.log(USAGE);
else if (options !== undefined) await main(options);
