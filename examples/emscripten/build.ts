/** The module of cpu.cpp and its script, by emscripten. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { CORE, coreModule } from "../native/machine.js";

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const BUILD = here("../../build");
const SOURCE = here("./cpu.cpp");
const PRE_JS = here("./core.js");
const HEADER = here("../../include/memslots.h");

/** Bytes of the module's memory, which does not grow. */
export const MEMORY_BYTES = 2 ** 24;
/** pthreads that are there before the program asks: it starts no more at once. */
const THREADS = 4;

const FLAGS = [
  ...["-std=c++17", "-O2", "-pthread", "-fno-exceptions", "-Wall", "-Wextra", "-Werror"],
  ...[`-I${here("../../include")}`, "--pre-js", PRE_JS],
  ...[
    ...["MODULARIZE=1", "EXPORT_NAME=createCpu", `INITIAL_MEMORY=${MEMORY_BYTES}`],
    `PTHREAD_POOL_SIZE=${THREADS}`,
    // The functions of the core, which emscripten does not know: `unknown` looks through what it says.
    "ERROR_ON_UNDEFINED_SYMBOLS=0",
  ].flatMap((setting) => ["-s", setting]),
];

/**
 * PATH without npm's entries, or emcc calls the wasm-opt there; and Debian's folder of node modules, where emcc's own
 * are, which a Node that is not Debian's does not look into.
 */
const ENV = {
  ...process.env,
  PATH: process.env.PATH?.split(delimiter)
    .filter((folder) => !folder.endsWith(".bin"))
    .join(delimiter),
  ...(existsSync("/usr/share/nodejs/acorn") && { NODE_PATH: "/usr/share/nodejs" }),
};

function emcc(...args: string[]) {
  return spawnSync("emcc", args, { encoding: "utf8", env: ENV });
}

/** True if there is an emscripten. */
export function hasEmscripten(): boolean {
  return emcc("--version").status === 0;
}

export interface Built {
  readonly script: string;
  readonly wasm: string;
}

/**
 * Build into a folder of build/ that is named by a hash of the sources, if it is not there. The module's files must lie
 * beside each other while it runs. @throws Error with what emcc says
 */
export function buildEmscripten(): Built {
  const hash = createHash("sha256").update(JSON.stringify(FLAGS));
  for (const path of [SOURCE, PRE_JS, HEADER, CORE]) hash.update(readFileSync(path));
  const folder = `${BUILD}/emscripten.${hash.digest("hex").slice(0, 12)}`;
  if (!existsSync(folder)) compile(folder);
  return { script: `${folder}/cpu.js`, wasm: `${folder}/cpu.wasm` };
}

function compile(folder: string): void {
  mkdirSync(BUILD, { recursive: true });
  const unfinished = mkdtempSync(`${folder}.`);
  try {
    // The scripts of emscripten are CommonJS.
    writeFileSync(`${unfinished}/package.json`, '{ "type": "commonjs" }\n');
    copyFileSync(CORE, `${unfinished}/engine.wasm`);
    const { status, stderr } = emcc(...FLAGS, "-o", `${unfinished}/cpu.js`, SOURCE);
    const missing = unknown(stderr);
    if (status !== 0 || missing.length > 0) throw new Error(`emcc: ${missing.join(", ")}\n${stderr}`);
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true });
    // Another process was faster.
    if (!existsSync(folder)) throw error;
  }
}

/** Undefined symbols that are no functions of the core. */
function unknown(stderr: string): string[] {
  const known = new Set(WebAssembly.Module.exports(coreModule()).map(({ name }) => name));
  return [...stderr.matchAll(/undefined symbol: (\w+)/g)]
    .map(([, name]) => name!)
    .filter((name) => !known.has(name));
}
