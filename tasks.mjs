/**
 * `npm run TASK -- ...`: every script of package.json is a task here. A task checks its arguments before it builds
 * anything: `--help` lists them, a wrong one is one line and exit code 2.
 */
import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { Argument, CommanderError, InvalidArgumentError, Option } from "commander";
import { BENCH_ABOUT, benchCommand, plainCommand } from "./bench/arguments.mjs";

const ROOT = fileURLToPath(new URL("./", import.meta.url));
const WRONG_USAGE = 2;

const MODULE = "node --import tsx";
/** Nothing, if the sources are those of the last build. */
const BUILD = ["node tools/built.mjs"];

/** An integer in a range, as text. */
function integer(min, max = Number.MAX_SAFE_INTEGER) {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`It must be an integer ${range}.`);
  };
}

function positive(text) {
  if (Number(text) > 0 && Number(text) < Number.POSITIVE_INFINITY) return Number(text);
  throw new InvalidArgumentError("It must be a number above 0.");
}

const option = (flags, about) => new Option(flags, about);
const number = (flags, about, min, max) => new Option(flags, about).argParser(integer(min, max));
const choice = (flags, about, choices) => new Option(flags, about).choices(choices);
const SEED_MAX = 2 ** 32 - 1;
const SEED = number("--seed <n>", "seed of all that is drawn; printed, drawn if not given", 0, SEED_MAX);
const NAMES = new Argument("[part...]", "only files whose path contains one of these");
const PORT = new Argument("[port]", "of the server").argParser(integer(0, 65535));

/**
 * about: one line of --help. tools: folders of tools/ whose packages the steps need. steps: commands, one after the
 * other; the last one gets the arguments. options, args: what the last command accepts; nothing if not given.
 */
const TASKS = {
  start: {
    about: "replay a recorded boot of QEMU, update by update and as lists",
    steps: [...BUILD, "node dist/cli.js replay test/traces/qemu/pc-1g-reset.jsonl.gz"],
  },
  build: {
    about: "make build/ and dist/: the memory map, the core in WebAssembly, the package",
    steps: ["node tools/built.mjs --always"],
  },
  "build:layout": {
    about: "make src/core/layout.ts and exports.ts, and include/, of assembly/layout.ts",
    steps: ["node assembly/layout.gen.mjs"],
  },
  "build:wasm": {
    about: "make build/*.wasm of assembly/",
    steps: [
      "asc --target shared --transform ./assembly/noinline.mjs",
      "node assembly/stamp.mjs build/engine.wasm",
      "node assembly/unshared.mjs",
    ],
  },
  "build:js": {
    about: "make dist/ of src/ and build/*.wasm, and the manual page",
    steps: ["rollup -c --silent", `${MODULE} tools/man.ts`],
  },
  "build:page": {
    about: "make the page of examples/visualizer, in build/",
    steps: ["rollup -c examples/visualizer/rollup.config.mjs --silent"],
  },
  types: { about: "check all types", steps: ["tsc --noEmit"] },
  lint: {
    about: "check style, dependencies and regular expressions, and print the graph of imports between rooms",
    tools: ["patterns"],
    steps: [
      "biome check .",
      "knip --no-progress",
      "node tools/patterns/check.mjs",
      `${MODULE} test/tidy/graph.ts`,
    ],
  },
  format: { about: "format all files, and apply the safe fixes", steps: ["biome check --write ."] },
  docs: { about: "make the reference and the documents, in site/", steps: ["typedoc"] },
  site: {
    about: "make site/: the documents, the reference, the demo and the benchmark, for a host without headers",
    steps: [...BUILD, "node tasks.mjs build:page", `${MODULE} tools/site.ts`],
  },
  "test:site": {
    about:
      "make the site, and visit it in Chromium and Firefox: the demo's vCPUs, the benchmark, the width of a phone",
    steps: ["node tasks.mjs site", `${MODULE} test/site/run.ts`],
  },
  test: {
    about: "build, and run every *.test.ts below test/",
    steps: [...BUILD, `${MODULE} test/run.ts`],
    args: [NAMES],
  },
  "test:all": {
    about: "npm test with all browsers required, and npm run test:runtimes",
    tools: ["runtimes"],
    steps: [...BUILD, `${MODULE} test/run.ts`, `${MODULE} test/runtimes/run.ts`],
    env: { REQUIRED_BROWSERS: "chromium,firefox,webkit" },
  },
  "test:kvm": {
    about: "random operations on the KVM of this machine and on the engine",
    steps: [...BUILD, `${MODULE} test/kvm/differential.ts`],
    options: [
      SEED,
      number("--sequences <n>", "sequences of operations, 20 if not given", 1, 1e6),
      number("--ops <n>", "operations of a sequence", 1, 1e6),
      option("--check-driver", "compare recorded vectors with this KVM instead"),
    ],
    args: [new Argument("[file...]", "vectors of --check-driver; all of test/vectors if not given")],
  },
  "test:package": {
    about:
      "pack a fresh copy of the sources: contents, exports, types, sizes, README's programs in Node 20 to 26",
    tools: ["package", "runtimes"],
    steps: [...BUILD, `${MODULE} test/package/run.ts`, "size-limit"],
  },
  "test:bundlers": {
    about: "the packed package in projects of bundlers, test runners and TypeScript",
    tools: ["runtimes"],
    steps: [...BUILD, `${MODULE} test/bundlers/run.ts`],
    args: [new Argument("[project...]", "only these")],
  },
  "test:newuser": {
    about: "README's program and the page of docs/browser.md in an empty folder",
    steps: [...BUILD, `${MODULE} test/docs/newuser.ts`],
  },
  "test:runtimes": {
    about: "the behaviour suites in Node 20 to 26, Bun and Deno, which it installs",
    tools: ["runtimes"],
    steps: [...BUILD, `${MODULE} test/runtimes/run.ts`],
  },
  changeset: {
    about: "write the changeset of a change: one sentence for a user of the package",
    tools: ["release"],
    steps: ["changeset"],
    args: [new Argument("[command]", "of changesets").choices(["add", "status", "version", "publish"])],
  },
  conformance: {
    about: "recorded answers of a real KVM against the engine's",
    steps: [...BUILD, `${MODULE} test/conformance.ts`],
    options: [
      option("--via-list", "send each update through a list of one entry"),
      number("--save-every <n>", "save and restore the engine after so many operations", 1),
    ],
    args: [new Argument("[file...]", "vectors; all of test/vectors if not given")],
  },
  repro: {
    about: "Red Hat bug 1979276 with vCPUs in worker threads, one by one and as lists",
    steps: [...BUILD, `${MODULE} test/repro/run.ts`],
    options: [
      option("--scenario <ids...>", "R1 and so on, also with commas; all if not given"),
      option("--seconds <s>", "time for each scenario and way, 1 if not given").argParser(positive),
      number("--vcpus <n>", "worker threads, 2 if not given", 1, 1000),
      option("--json", "one JSON object with all figures"),
    ],
  },
  protocol: {
    about: "explore all interleavings of a model of readers and writers, and its mutations",
    steps: [`${MODULE} test/protocol/run.ts`],
    args: [new Argument("[part...]", "only configurations and mutations whose name contains one of these")],
  },
  stress: {
    about: "readers and writers that die at any instruction, for a time",
    steps: [...BUILD, `${MODULE} test/stress/run.ts`],
    options: [
      number("--seconds <s>", "duration, 20 if not given", 1),
      number("--vcpus <n>", "threads, 4 if not given", 1),
      SEED,
      choice("--break <what>", "switch a protection off: violations must be found", ["grace"]),
      option("--checked", "a core that checks every index into its structures"),
    ],
  },
  fuzz: {
    about: "hostile input for the readers, the command line, the API against its model, placements",
    steps: [...BUILD, `${MODULE} test/fuzz/run.ts`],
    options: [
      number("--seconds <s>", "duration, 60 if not given", 1),
      SEED,
      option("--only <target>", "one target, by its name in test/fuzz/targets.ts"),
      option("--path <path>", "one case, as a finding tells it"),
    ],
  },
  history: {
    about: "histories of threads that look and commit, judged for linearizability",
    steps: [...BUILD, `${MODULE} test/history/run.ts`],
    options: [
      number("--seconds <s>", "duration, 60 if not given", 1),
      number("--vcpus <n>", "threads that look, 3 if not given", 1),
      SEED,
      choice("--break <what>", "switch a protection off: violations must be found", ["split", "grace"]),
    ],
  },
  coverage: {
    about: "what the tests reach of src/, from source and from dist/",
    steps: [...BUILD, `${MODULE} test/coverage/run.ts`],
    args: [NAMES],
  },
  "stress:crowd": {
    about: "more vCPUs than processors under a writer without a pause",
    steps: [...BUILD, `${MODULE} test/stress/crowd.ts`],
    options: [
      number("--vcpus <n>", "threads, 16 if not given", 1),
      number("--sections <n>", "sections that each vCPU must end, 2000 if not given", 1),
      option("--no-hurry", "without the writer's hurry"),
    ],
  },
  "stress:dirty": {
    about: "no dirty page is lost while lists change the slots",
    steps: [...BUILD, `${MODULE} test/dirty/run.ts`],
    options: [
      number("--lists <n>", "lists, 12000 if not given", 1),
      number("--vcpus <n>", "threads, 3 if not given", 1),
      SEED,
      choice("--tool <name>", "all if not given", ["bitmap", "ring", "ring and bitmap"]),
      choice("--break <what>", "switch a protection off: losses must be found", ["carry", "settle"]),
    ],
  },
  bench: { about: BENCH_ABOUT, steps: [...BUILD, `${MODULE} bench/run.ts`], command: benchCommand },
  demo: {
    about: "serve the page that plays a recorded boot under running vCPUs",
    steps: [...BUILD, "node tasks.mjs build:page", "node examples/visualizer/serve.mjs"],
    args: [PORT],
  },
  "demo:v86": {
    about: "a guest of v86 that moves BARs and slots while it runs",
    steps: [...BUILD, `${MODULE} examples/v86/main.ts`],
    options: [
      option("--bench", "only the speeds; fails for slow reads"),
      number("--rounds <n>", "of the measurement, 201 if not given", 1),
    ],
  },
  "demo:smp": {
    about: "RISC-V harts in workers, with code and data inside the range that changes",
    steps: [...BUILD, `${MODULE} examples/riscv-smp/main.ts`],
    options: [
      number("--harts <n>", "of the split, 2 if not given", 1, 4),
      number("--commits <n>", "changes of the map, at least, each way; 10000 if not given", 1, 1e9),
      number("--instructions <n>", "of all harts, at least, each way; 100000000 if not given", 1, 1e12),
      number("--rounds <n>", "of the measurement, 15 if not given", 1, 1000),
      option("--bench", "only measure").conflicts("monitor"),
      option("--monitor", "run the split without end, commands from standard input"),
    ],
  },
  "demo:linux": {
    about: "Debian's kernel on RISC-V harts in workers, while its slots change; npm run fetch:linux first",
    steps: [...BUILD, `${MODULE} examples/riscv-linux/main.ts`],
    options: [
      number("--harts <n>", "first 1, then 2 if not given, of the short form 2", 1, 4),
      number(
        "--commits <n>",
        "changes of the map, each way; 10000, of the short form 1000, if not given",
        1,
        1e9,
      ),
      number("--rounds <n>", "of the measurement, 15 if not given", 1, 1000),
      SEED,
      option("--bench", "only measure").conflicts("short"),
      option("--short", "boot, commits as lists, sums"),
      option("--page", "serve a page with the machine in it").conflicts(["short", "bench"]),
    ],
  },
  "fetch:linux": {
    about: "the kernel and the programs of demo:linux from this computer's Debian mirror, into build/",
    steps: [`${MODULE} examples/riscv-linux/fetch.ts`],
  },
  "record:isa": {
    about: "record what QEMU does with each RISC-V instruction; needs gcc-riscv64-linux-gnu and qemu-user",
    steps: [`${MODULE} test/riscv-linux/record.ts`],
  },
  "demo:migrate": {
    about: "live migration of a guest with two vCPUs at full speed, to another process",
    steps: [...BUILD, "node examples/migrate/main.mjs"],
    options: [
      number("--runs <n>", "migrations, 5 if not given", 1),
      option("--post-copy", "the machine first, its memory when it is needed"),
    ],
  },
  "demo:gameboy": {
    about: "check the map of a Game Boy, whose banks are lists of slots",
    steps: [...BUILD, "node examples/gameboy/main.mjs"],
  },
  "stress:bus": {
    about: "guest accesses against a naive model, for long",
    env: { BUS_ACCESSES: "1000000", BUS_LISTS: "10000" },
    steps: [...BUILD, `${MODULE} test/unit/guest/bus-model.test.ts`],
  },
  "demo:interpreter": {
    about: "an RV32I core in JavaScript on guest memory and on a flat array",
    steps: [...BUILD, `${MODULE} examples/interpreter/main.ts`],
  },
  "demo:mappers": {
    about: "bank switching of a console, and a microcontroller's bus, as lists of slots",
    steps: [...BUILD, `${MODULE} examples/mappers/main.ts`],
  },
  "demo:workers": {
    about: "the holes that vCPUs in worker threads meet, one by one and as lists",
    steps: [...BUILD, "node examples/workers.mjs"],
  },
  "demo:page": {
    about: "serve a page with a vCPU in a worker",
    steps: [...BUILD, "node examples/page/serve.mjs"],
    args: [PORT],
  },
  "demo:wasm": {
    about: "a vCPU in WebAssembly that calls the core without JavaScript in between",
    steps: [...BUILD, "node examples/wasm-vcpu/main.mjs"],
    args: [new Argument("[language]", "of the vCPU, wat if not given").choices(["wat", "c"])],
  },
  "demo:rust": {
    about: "RISC-V harts in Rust, with the engine in their module's memory, under lists of slots",
    steps: [...BUILD, `${MODULE} examples/rust/main.ts`],
  },
  "demo:emscripten": {
    about: "the same harts in C++ and pthreads, by emscripten",
    steps: [...BUILD, `${MODULE} examples/emscripten/main.ts`],
  },
  "demo:memory": {
    about: "the engine inside an emulator's own memory",
    steps: [...BUILD, "node examples/own-memory.mjs"],
  },
};

/** Install the packages of a folder of tools/, unless its lock file is older. @returns the exit code */
async function install(folder) {
  const lock = `${ROOT}tools/${folder}/package-lock.json`;
  const installed = `${ROOT}tools/${folder}/node_modules/.package-lock.json`;
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return 0;
  console.log(`installing tools/${folder}`);
  return await run(`npm ci --silent --no-audit --no-fund --prefix tools/${folder}`, [], process.env);
}

/** Run a command of a step. @returns its exit code */
function run(command, args, env) {
  const [program, ...words] = command.split(" ");
  return new Promise((resolve, reject) => {
    const isNode = program === "node";
    const child = spawn(isNode ? process.execPath : program, [...words, ...args], {
      cwd: ROOT,
      stdio: "inherit",
      env,
      // The programs of packages are .cmd files on Windows.
      shell: !isNode && process.platform === "win32",
    });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

async function perform({ steps, tools = [], env = {} }, args) {
  for (const folder of tools) {
    const code = await install(folder);
    if (code !== 0) return code;
  }
  const programs = tools.map((folder) => `${ROOT}tools/${folder}/node_modules/.bin`);
  const PATH = [...programs, `${ROOT}node_modules/.bin`, process.env.PATH].join(delimiter);
  for (const [i, step] of steps.entries()) {
    const code = await run(step, i === steps.length - 1 ? args : [], { ...process.env, PATH, ...env });
    if (code !== 0) return code;
  }
  return 0;
}

/** @returns the exit code if the arguments are wrong, or ask for help; undefined if they are right */
function refusal(name, { about, options = [], args = [], command: make = plainCommand }, given) {
  const command = make(`npm run ${name} --`).description(about);
  for (const one of options) command.addOption(one);
  for (const one of args) command.addArgument(one);
  try {
    command.parse(given, { from: "user" });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : WRONG_USAGE;
  }
}

const [name = "", ...rest] = process.argv.slice(2);
const given = rest.filter((argument) => argument !== "--");
const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
if (task === undefined) {
  console.error(`tasks: there is no task "${name}", there are ${Object.keys(TASKS).join(", ")}`);
  process.exitCode = WRONG_USAGE;
} else {
  // The child gets the interrupt, too; its exit code is the answer.
  process.on("SIGINT", () => {});
  process.exitCode = refusal(name, task, given) ?? (await perform(task, given));
}
