/**
 * `npm run test:package`: packs a fresh copy of the sources, in which nothing is built, and checks the package: its
 * contents, exports and types, and README's programs in every version of Node. Closes with "N passed, N failed".
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { blocksOf, ROOT } from "../docs/blocks.js";
import { NODE_VERSIONS } from "../runtimes/runtimes.js";
import { packageProblems } from "./contents.js";

const ENTRIES_WITHOUT_TYPES = ["engine.wasm", "engine.unshared.wasm"];

function run(folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  assert.is(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}${error ?? ""}`);
  return stdout;
}

const folder = mkdtempSync(join(tmpdir(), "memslots-package-"));
const sources = join(folder, "sources");
const project = join(folder, "project");
const installed = join(project, "node_modules/memslots");
let tarball = "";

/** What git knows, without build/ and dist/, as after a clone. */
function pack(): void {
  const files = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z");
  const removed = run(ROOT, "git", "ls-files", "--deleted", "-z").split("\0");
  for (const file of files.split("\0").filter((name) => name !== "" && !removed.includes(name))) {
    mkdirSync(join(sources, dirname(file)), { recursive: true });
    cpSync(join(ROOT, file), join(sources, file));
  }
  symlinkSync(join(ROOT, "node_modules"), join(sources, "node_modules"));
  const output = run(sources, "npm", "pack", "--silent", "--pack-destination", folder);
  tarball = join(folder, output.trim().split("\n").at(-1)!);
}

function install(): void {
  mkdirSync(project);
  run(project, "npm", "install", "--no-audit", "--no-fund", tarball);
}

function contents(): void {
  assert.is(packageProblems(installed).join("\n"), "");
}

/** A package that was damaged on purpose: the check above is one. */
function contentsOfDamaged(): void {
  const readme = join(installed, "README.md");
  const text = readFileSync(readme, "utf8");
  writeFileSync(readme, `${text}\n[gone](docs/gone.md) [anchor](docs/abi.md#gone)\n`);
  rmSync(join(installed, "dist/url.js"));
  const problems = packageProblems(installed);
  for (const part of ["docs/gone.md", "#gone", "dist/url.js"]) {
    assert.ok(
      problems.some((problem) => problem.includes(part)),
      part,
    );
  }
}

function lints(): void {
  run(ROOT, "publint", "run", tarball, "--strict");
}

function types(): void {
  run(ROOT, "attw", tarball, "--profile", "esm-only", "--exclude-entrypoints", ...ENTRIES_WITHOUT_TYPES);
}

/** README's programs print the block behind them, in each Node; "main" leads there, too. */
function programs(): void {
  const blocks = blocksOf("README.md");
  const shown = blocks.flatMap(({ language, file, text }, i) => {
    const next = blocks[i + 1];
    return language === "js" && file === undefined && next?.language === "text"
      ? [{ text, output: next.text }]
      : [];
  });
  assert.ok(shown.length > 0);
  const nodes = [{ name: "this Node", program: process.execPath }, ...NODE_VERSIONS];
  for (const { name, program } of nodes) {
    for (const { text, output } of shown) {
      writeFileSync(join(project, "example.mjs"), text);
      assert.is(run(project, program!, "example.mjs"), output, name);
    }
    const old = 'import("./node_modules/memslots/" + require("memslots/package.json").main)';
    const print = ".then(({ MemslotEngine }) => console.log(typeof MemslotEngine.create))";
    assert.is(run(project, program!, "--eval", old + print), "function\n", name);
    const required = 'console.log(typeof require("memslots").MemslotEngine.create)';
    assert.is(run(project, program!, "--eval", required), "function\n", name);
  }
  console.log(`README's programs: ${nodes.map(({ name }) => name).join(", ")}`);
}

let passed = 0;
let failed = 0;
for (const work of [pack, install, contents, lints, types, programs, contentsOfDamaged]) {
  const start = performance.now();
  let problem: unknown;
  try {
    work();
    passed++;
  } catch (error) {
    problem = error;
    failed++;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${work.name}: ${problem === undefined ? "passed" : "FAILED"}, ${seconds} s`);
  if (problem !== undefined) console.log(problem instanceof Error ? problem.message : problem);
}
rmSync(folder, { recursive: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
