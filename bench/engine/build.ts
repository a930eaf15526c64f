/**
 * Builds the programs of a benchmark into build/bench/: the AssemblyScript loops of bench/assembly and, if there are a
 * C compiler and the headers of Node, the native yardsticks of bench/native. File names have a hash of the sources and
 * the flags, so nothing is built twice.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** In bench/native. */
const NATIVE = ["addon.c", "arrays.c", "kvm.c", "rbtree.c", "readers.c"].map(
  (name) => `bench/native/${name}`,
);
const OUT = join(ROOT, "build/bench");
/** As the core itself is compiled. */
const TRANSFORM = "./assembly/noinline.mjs";

/**
 * Modules built: loops compiled together with the engine, loops that import it, and why there is no addon.
 */
export interface Built {
  readonly together: string;
  readonly apart: string;
  readonly addon: string | undefined;
  readonly noAddon: string | undefined;
}

let built: Promise<Built> | undefined;

/** Build the files that are missing. Safe to call repeatedly; the work is done once. */
export function buildAll(): Promise<Built> {
  built ??= build();
  return built;
}

async function build(): Promise<Built> {
  mkdirSync(OUT, { recursive: true });
  const json = (name: string) => JSON.parse(readFileSync(join(ROOT, name), "utf8"));
  const { options, targets } = json("asconfig.json");
  const files = { outFile: undefined, textFile: undefined };
  const flags = flagsOf({ ...options, ...targets.shared, ...files, transform: TRANSFORM });
  const sources = [...sourcesIn("assembly", ".ts"), ...sourcesIn("bench/assembly", ".ts"), TRANSFORM];
  const together = await compileAssembly("bench/assembly/index.ts", "together", flags, sources);
  const apart = await compileAssembly("bench/assembly/calls.ts", "apart", flags, sources);
  return { together, apart, ...compileAddon() };
}

/** An asconfig target as command line flags. */
function flagsOf(options: Record<string, unknown>): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    if (value === true) return [`--${name}`];
    return [`--${name}`, Array.isArray(value) ? value.join(",") : String(value)];
  });
}

function sourcesIn(folder: string, end: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(end))
    .sort()
    .map((name) => join(folder, name));
}

function stampedName(name: string, end: string, flags: string[], sources: string[]): string {
  const hash = createHash("sha256").update(JSON.stringify([process.version, process.arch, flags]));
  for (const source of sources) hash.update(readFileSync(join(ROOT, source)));
  return join(OUT, `${name}.${hash.digest("hex").slice(0, 12)}${end}`);
}

async function compileAssembly(
  entry: string,
  name: string,
  flags: string[],
  sources: string[],
): Promise<string> {
  const file = stampedName(name, ".wasm", flags, sources);
  if (existsSync(file)) return file;
  const { default: asc } = await import("assemblyscript/asc");
  // Another process may build the same file: each writes a temporary one and renames it.
  const own = join(OUT, `${name}.${process.pid}.wasm`);
  const text = own.replace(/wasm$/, "wat");
  const files = ["--outFile", relative(ROOT, own), "--textFile", relative(ROOT, text)];
  const { error, stderr } = await asc.main([
    entry,
    "--config",
    "none",
    "--baseDir",
    ROOT,
    ...flags,
    ...files,
  ]);
  if (error) throw new Error(`asc ${entry}: ${error.message}\n${stderr.toString()}`);
  renameSync(text, file.replace(/wasm$/, "wat"));
  renameSync(own, file);
  return file;
}

function compileAddon(): { addon: string | undefined; noAddon: string | undefined } {
  const none = (reason: string) => ({ addon: undefined, noAddon: reason });
  const include = [
    join(dirname(process.execPath), "../include/node"),
    join(process.config.variables.node_prefix ?? "", "include/node"),
    "/usr/include/node",
  ].find((folder) => existsSync(join(folder, "node_api.h")));
  const compiler = [process.env.CC, "cc", "gcc", "clang"].find(
    (name) => name !== undefined && spawnSync(name, ["--version"]).status === 0,
  );
  if (compiler === undefined) return none("no C compiler");
  if (include === undefined) return none("no headers of Node");
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", `-I${include}`];
  if (process.platform === "darwin") flags.push("-undefined", "dynamic_lookup");
  const file = stampedName(
    "yardsticks",
    ".node",
    [compiler, ...flags],
    [...NATIVE, "bench/native/yardsticks.h"],
  );
  if (existsSync(file)) return { addon: file, noAddon: undefined };
  const own = `${file}.${process.pid}`;
  const run = spawnSync(compiler, [...flags, ...NATIVE, "-o", own], { cwd: ROOT, encoding: "utf8" });
  if (run.status !== 0) return none(`${compiler} failed: ${run.stderr}`);
  renameSync(own, file);
  return { addon: file, noAddon: undefined };
}
