/**
 * Workers as plain JavaScript: the loader that lets the main thread run TypeScript is not there in a worker,
 * and a worker of one file is there in a tenth of the time, which is what so many deaths need.
 */

import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Plugin, rollup } from "rollup";
import ts from "typescript";

/** Takes the types off. */
const strip: Plugin = {
  name: "strip",
  resolveId(id, importer) {
    if (!id.startsWith(".") || importer === undefined) return null;
    return fileURLToPath(new URL(id.replace(/\.js$/, ".ts"), pathToFileURL(importer)));
  },
  load(id) {
    const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
    return ts.transpileModule(readFileSync(id, "utf8"), { compilerOptions: options }).outputText;
  },
};

/** Files of a bundle, and the end of them. */
export interface Bundle {
  /** The worker that was made of `name`. */
  url(name: string): URL;
  remove(): Promise<void>;
}

/** Bundle `names`, modules beside this one. */
export async function bundle(...names: string[]): Promise<Bundle> {
  const directory = await mkdtemp(join(tmpdir(), "memslots-stress-"));
  const product = new URL("../../dist/index.js", import.meta.url).href;
  const build = await rollup({
    input: names.map((name) => fileURLToPath(new URL(name, import.meta.url))),
    external: [/^node:/, "memslots"],
    plugins: [strip],
  });
  await build.write({
    dir: directory,
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name].mjs",
    paths: { memslots: product },
  });
  await build.close();
  return {
    url: (name) => pathToFileURL(join(directory, name.replace(/\.ts$/, ".mjs"))),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
