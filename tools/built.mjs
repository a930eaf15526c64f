/**
 * `node tools/built.mjs`: build the package, unless dist/ is what the sources make of it. A stamp in build/ has what
 * went in and what came out, as hashes: a source that was edited, and a file of dist/ that was, both count.
 * `--always` builds in any case.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const STAMP = "build/built.json";
const TASKS = ["build:layout", "build:wasm", "build:js"];
/** What the tasks read, packages apart: those are what package-lock.json says. */
const SOURCES = [
  "assembly",
  "src",
  "include",
  "tools/man.ts",
  "asconfig.json",
  "rollup.config.mjs",
  "tsconfig.json",
  "tsconfig.build.json",
  "package.json",
  "package-lock.json",
];
const RESULTS = ["dist", "build/engine.wasm", "build/engine.unshared.wasm"];

/** Names and bytes of files and folders below `root`, as one hash; what is not there counts as such. */
export function hashOf(root, paths) {
  const hash = createHash("sha256");
  const add = (path) => {
    const status = statSync(join(root, path), { throwIfNoEntry: false });
    if (status?.isDirectory()) {
      for (const name of readdirSync(join(root, path)).sort()) add(`${path}/${name}`);
      return;
    }
    hash.update(`${path}\0${status === undefined ? "none" : status.size}\0`);
    if (status !== undefined) hash.update(readFileSync(join(root, path)));
  };
  for (const path of paths) add(path);
  return hash.digest("hex");
}

function stampOf(root) {
  try {
    return JSON.parse(readFileSync(join(root, STAMP), "utf8"));
  } catch {
    return {};
  }
}

/** What a build of now would be made of. */
export function sourcesOf(root) {
  return hashOf(root, SOURCES);
}

/** Whether the last build below `root` was of these sources, and what it made is still there. */
export function isBuilt(root) {
  const { sources, results } = stampOf(root);
  return sources === sourcesOf(root) && results === hashOf(root, RESULTS);
}

/** A build of these sources, as `sourcesOf` tells them, has just ended. */
export function noteBuilt(root, sources) {
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(join(root, STAMP), `${JSON.stringify({ sources, results: hashOf(root, RESULTS) })}\n`);
}

/** @returns the exit code */
function build() {
  // Before the tasks: what is edited while they run is built the next time.
  const sources = sourcesOf(ROOT);
  for (const task of TASKS) {
    const { status } = spawnSync(process.execPath, ["tasks.mjs", task], { cwd: ROOT, stdio: "inherit" });
    if (status !== 0) return status ?? 1;
  }
  noteBuilt(ROOT, sources);
  return 0;
}

if (
  realpathSync(process.argv[1]) === fileURLToPath(import.meta.url) &&
  (process.argv[2] === "--always" || !isBuilt(ROOT))
) {
  process.exitCode = build();
}
