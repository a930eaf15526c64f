/**
 * `npm run demo:linux [-- --short | --bench | --page] [--harts N] [--commits N] [--seed N]`: Debian's kernel on harts
 * in threads, while the map changes under it. Exit code 1 if a list harms the guest, if one by one does not, or if a
 * speed misses its target; 2 for wrong usage. Without the guest it says so.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { median } from "../../bench/harness/statistics.js";
import { bootLinux } from "./booted.js";
import { compileHart } from "./build.js";
import { WAYS } from "./changes.js";
import { GUEST, hasGuest, type LinuxGuest, linuxGuest, MISSING } from "./guest.js";
import { servePage } from "./page/serve.js";
import { runBank } from "./scenarios/bank.js";
import { type CommitsResult, runCommits } from "./scenarios/commits.js";
import { runMigration } from "./scenarios/migration.js";
import { compareWithQemu } from "./scenarios/qemu.js";
import { runShell } from "./scenarios/shell.js";
import { runSnapshot } from "./scenarios/snapshot.js";
import { hartTimesOf, type LinuxSpeed, MODES, type Mode, ratiosOf, runSpeed } from "./scenarios/speed.js";
import { table } from "./table.js";

const USAGE = `usage: npm run demo:linux -- [--short | --bench | --page] [--harts N] [--commits N] [--seed N]
  --short    boot, commits as lists, sums; 1,000 commits if not given
  --bench    only measure: speeds against the interpreter on flat memory, and of two harts
  --page     serve a page with the machine in it
  --harts    1 to 4; first 1, then 2 if not given, of the short form 2
  --commits  changes of the map, each way; 10000 if not given
  --rounds   of the measurement; 15 if not given
  --seed     of the changes
  --help     this`;

/** Of the speeds. */
const SAMPLE_MS = 400;

interface Options {
  readonly harts: readonly number[];
  readonly commits: number;
  readonly rounds: number;
  readonly seed: number;
  readonly short: boolean;
  readonly bench: boolean;
  readonly page: boolean;
  readonly help: boolean;
}

/** @throws Error with what is wrong with the command line */
function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: args.filter((argument) => argument !== "--"),
    options: {
      harts: { type: "string" },
      commits: { type: "string" },
      rounds: { type: "string", default: "15" },
      seed: { type: "string", default: String(Date.now() % 2 ** 32) },
      short: { type: "boolean", default: false },
      bench: { type: "boolean", default: false },
      page: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const integer = (
    name: "harts" | "commits" | "rounds" | "seed",
    value: string,
    min: number,
    max: number,
  ) => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < min || number > max) {
      throw new Error(`--${name} must be an integer from ${min} to ${max}, not ${value}`);
    }
    return number;
  };
  if (Number(values.short) + Number(values.bench) + Number(values.page) > 1) {
    throw new Error("--short, --bench and --page exclude each other");
  }
  const every = values.short ? [2] : [1, 2];
  return {
    harts: values.harts === undefined ? every : [integer("harts", values.harts, 1, 4)],
    commits: integer("commits", values.commits ?? (values.short ? "1000" : "10000"), 1, 1e9),
    rounds: integer("rounds", values.rounds, 1, 1000),
    seed: integer("seed", values.seed, 0, 2 ** 32 - 1),
    short: values.short,
    bench: values.bench,
    page: values.page,
    help: values.help,
  };
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** What of a result must not be. */
function failuresOf({ way, harts, faults, wrong, death, sums }: CommitsResult): string[] {
  const where = `${way}, harts: ${harts}`;
  const total = faults.reduce((sum, fault) => sum + fault, 0);
  if (way === "one by one") {
    return [
      ...(total > 0 ? [] : [`${where}: no access found no memory, the defect was not reproduced`]),
      ...(death.length > 0 ? [] : [`${where}: the kernel has not said what it met`]),
    ];
  }
  return [
    ...(total === 0 ? [] : [`${where}: ${total} accesses found no memory`]),
    ...(sums > 0 ? [] : [`${where}: no program has done anything`]),
    ...wrong.map((what) => `${where}: ${what}`),
  ];
}

function commitsTable(results: readonly CommitsResult[]): string {
  const head = [
    "way",
    "harts",
    "commits",
    "split",
    "toggle",
    "move",
    "merge",
    "/s",
    "MIPS",
    "faults",
    "dirty pages",
  ];
  const rows = results.map(
    ({ way, harts, commits, kinds, seconds, instructions, faults, dirtyPages, sums, wrong }) => [
      way,
      String(harts),
      ...[commits, kinds.split, kinds.toggle, kinds.move, kinds.merge].map(count),
      count(Math.round(commits / seconds)),
      (instructions / seconds / 1e6).toFixed(0),
      count(faults.reduce((sum, fault) => sum + fault, 0)),
      count(dirtyPages),
      way === "list" ? `${sums} sums ${wrong.length === 0 ? "right" : "WRONG"}` : "dead",
    ],
  );
  return table([[...head, "guest"], ...rows]);
}

async function runWays(module: WebAssembly.Module, guest: LinuxGuest, options: Options): Promise<string[]> {
  const results: CommitsResult[] = [];
  for (const harts of options.harts) {
    for (const way of options.short ? (["list"] as const) : WAYS) {
      results.push(
        await runCommits(module, guest, way, { harts, commits: options.commits, seed: options.seed }),
      );
    }
  }
  console.log(`\nRHBZ 1979276: RAM is split, merged, moved, toggled under Linux; seed ${options.seed}`);
  console.log(commitsTable(results));
  for (const { way, harts, death } of results.filter(({ death }) => death.length > 0)) {
    console.log(
      `${way}, harts: ${harts}: the kernel's own words\n${death.map((line) => `  ${line}\n`).join("")}`,
    );
  }
  return results.flatMap(failuresOf);
}

async function runShells(module: WebAssembly.Module, guest: LinuxGuest, options: Options): Promise<string[]> {
  const failures: string[] = [];
  for (const harts of options.harts) {
    const booted = await bootLinux(module, guest, harts);
    const { initSeconds, shellSeconds } = booted;
    const { kernel, processors, wrong } = await runShell(booted, guest);
    const times = `init after ${initSeconds.toFixed(1)} s, shell after ${shellSeconds.toFixed(1)} s`;
    console.log(`harts: ${harts}: Linux ${kernel} with ${processors} processors, ${times}`);
    const { mebibytes, savedMs, ...saved } = await runSnapshot(booted, guest);
    console.log(
      `  saved at work, ${mebibytes.toFixed(0)} MiB in ${savedMs.toFixed(0)} ms, restored by another process`,
    );
    const { rounds, downMs, ...migrated } = await runMigration(await bootLinux(module, guest, harts), guest);
    const pages = rounds.map(count).join(" + ");
    console.log(`  migrated at work to another process, ${pages} pages, down for ${downMs.toFixed(0)} ms`);
    const bank = await runBank(module, guest, harts);
    console.log(`  a bank taken away and given back: a program reads ${bank.read.join(", then ")}`);
    const all = [...wrong, ...saved.wrong, ...migrated.wrong, ...bank.wrong];
    failures.push(...all.map((what) => `harts: ${harts}: ${what}`));
  }
  return failures;
}

async function demo(module: WebAssembly.Module, guest: LinuxGuest, options: Options): Promise<void> {
  const packages = readFileSync(`${GUEST}/packages.txt`, "utf8").trim().split("\n");
  console.log(`RV64GC harts in threads, on ${availableParallelism()} processors, Node ${process.version}`);
  for (const name of packages) console.log(`  ${name}`);
  const failures = options.short ? [] : await runShells(module, guest, options);
  failures.push(...(await runWays(module, guest, options)));
  console.log(failures.length === 0 ? "as lists the guest has noticed nothing" : failures.join("\n"));
  process.exitCode = failures.length === 0 ? 0 : 1;
}

/** Where the harts' time went, all rounds together. */
function hartRows(result: LinuxSpeed): string[][] {
  return (["idle", "two harts"] as const).flatMap((mode) =>
    hartTimesOf(result, mode).map(({ instructions, runningMs, waitingMs, sleepingMs }, hart) => {
      const share = (ms: number) => `${((ms / (runningMs + waitingMs + sleepingMs)) * 100).toFixed(1)} %`;
      return [
        `${mode}, hart ${hart}`,
        (instructions / runningMs / 1000).toFixed(1),
        share(runningMs),
        share(waitingMs),
        share(sleepingMs),
      ];
    }),
  );
}

async function bench(module: WebAssembly.Module, guest: LinuxGuest, { rounds }: Options): Promise<void> {
  console.log(`Linux, on ${availableParallelism()} processors, Node ${process.version}, medians`);
  const flat = await compileHart("flat");
  const result = await runSpeed({ engine: module, flat }, guest, rounds, SAMPLE_MS);
  const of = (figure: "wall" | "processor" | "unhindered", mode: Mode) => {
    const value = median(result.rounds.map((round) => round[mode][figure]));
    return Number.isNaN(value) ? "-" : value.toFixed(1);
  };
  const figures = MODES.map((mode) => [
    mode,
    of("wall", mode),
    of("processor", mode),
    of("unhindered", mode),
  ]);
  const head = ["MIPS per second", "on the wall", "of processor time", "with a processor for each hart"];
  console.log(table([head, ...figures]));
  console.log(
    table([
      ["hart", "MIPS of its processor time", "runs", "waits for a processor", "sleeps"],
      ...hartRows(result),
    ]),
  );
  const boots = Object.entries(result.initSeconds).map(
    ([what, seconds]) => `${what} ${seconds.toFixed(1)} s`,
  );
  console.log(`to init: ${boots.join(", ")}`);
  const commits = median(result.rounds.map((round) => round.commits.commitsPerSecond));
  console.log(`${commits.toFixed(0)} commits/s\n`);
  const yardsticks = await compareWithQemu(module, guest);
  if (yardsticks === undefined) console.log("beside QEMU: skipped, no qemu-system-riscv64\n");
  else {
    const rows = yardsticks.map(({ name, initSeconds, workSeconds }) => [
      name,
      `${initSeconds.toFixed(1)} s`,
      `${workSeconds.toFixed(1)} s`,
    ]);
    console.log(
      table([["beside QEMU, 1 hart", "to init", "processor time of sums and compression"], ...rows]),
    );
  }
  const ratios = ratiosOf(result);
  console.log(
    table(
      ratios.map(({ what, measured, least, holds }) => [
        what,
        measured?.toFixed(3) ?? "-",
        `>= ${least}`,
        holds === undefined
          ? "not judged: this system does not tell for how long threads wait"
          : holds
            ? "ok"
            : "MISSED",
      ]),
    ),
  );
  if (ratios.some(({ holds }) => holds === false)) process.exitCode = 1;
}

async function main(options: Options): Promise<void> {
  if (!hasGuest()) {
    console.log(`skipped: ${MISSING}`);
    return;
  }
  if (options.page) {
    console.log((await servePage()).url);
    return;
  }
  const guest = linuxGuest();
  const module = await compileHart("engine");
  if (options.bench) await bench(module, guest, options);
  else await demo(module, guest, options);
}

let options: Options | undefined;
try {
  options = optionsOf(process.argv.slice(2));
} catch (error) {
  console.error(`demo:linux: ${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
if (options?.help) console.log(USAGE);
else if (options !== undefined) await main(options);
