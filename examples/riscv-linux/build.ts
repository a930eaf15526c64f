/**
 * The interpreter as a wasm module, compiled when it is first asked for, into build/. A file's name carries a hash of
 * the sources, so that nothing is compiled twice.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HERE = "examples/riscv-linux";
const OUT = "build/riscv-linux";

/** With translation through the engine, or of flat memory: targets of asconfig.json. */
export type HartBuild = "engine" | "flat";

/** Puts another text in the place of one source; of its own, to see that a test notices. */
export interface Mutation {
  /** Name in assembly/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

function sourcesOf(mutation?: Mutation): Map<string, string> {
  const names = readdirSync(`${ROOT}${HERE}/assembly`).filter((name) => name.endsWith(".ts"));
  const sources = new Map(
    names.sort().map((name) => [name, readFileSync(`${ROOT}${HERE}/assembly/${name}`, "utf8")]),
  );
  if (mutation === undefined) return sources;
  const text = sources.get(mutation.file);
  if (text?.includes(mutation.from) !== true) throw new Error(`${mutation.file} has no "${mutation.from}"`);
  return sources.set(mutation.file, text.replace(mutation.from, mutation.to));
}

/** @throws Error with what the compiler says */
export async function compileHart(build: HartBuild, mutation?: Mutation): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await hartBytes(build, mutation));
}

/** The same as bytes, for a page. @throws Error with what the compiler says */
export async function hartBytes(build: HartBuild, mutation?: Mutation): Promise<Uint8Array<ArrayBuffer>> {
  const sources = sourcesOf(mutation);
  const config = readFileSync(`${ROOT}${HERE}/asconfig.json`, "utf8");
  const hash = createHash("sha256").update(JSON.stringify([build, config, ...sources]));
  const file = `${OUT}/${build}.${hash.digest("hex").slice(0, 12)}.wasm`;
  if (!existsSync(`${ROOT}${file}`)) await compile(build, sources, file);
  return new Uint8Array(readFileSync(`${ROOT}${file}`));
}

async function compile(build: HartBuild, sources: ReadonlyMap<string, string>, file: string): Promise<void> {
  mkdirSync(`${ROOT}${OUT}`, { recursive: true });
  // Another process may compile the same: each writes its own and puts it in place at once.
  const own = `${OUT}/${build}.${process.pid}.wasm`;
  const args = ["--config", `${HERE}/asconfig.json`, "--target", build, "--baseDir", ROOT, "--outFile", own];
  const { error, stderr } = await asc.main(args, {
    readFile: (name, base) => {
      const source = /\/assembly\/(\w+\.ts)$/.exec(`/${name}`)?.[1];
      const text = source === undefined ? undefined : sources.get(source);
      if (text !== undefined) return text;
      const path = name.startsWith("/") ? name : `${base}/${name}`;
      return existsSync(path) ? readFileSync(path, "utf8") : null;
    },
  });
  if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
  renameSync(`${ROOT}${own}`, `${ROOT}${file}`);
}
