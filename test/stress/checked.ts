/** The core with assertions: every index into its structures is checked, and a wrong one traps. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = new URL("../../", import.meta.url);

/** Compile the target `checked`. */
export async function compileChecked(): Promise<WebAssembly.Module> {
  const compiler = fileURLToPath(new URL("node_modules/assemblyscript/bin/asc.js", ROOT));
  const options = ["--target", "checked", "--transform", "./assembly/noinline.mjs"];
  await promisify(execFile)(process.execPath, [compiler, ...options], { cwd: fileURLToPath(ROOT) });
  return WebAssembly.compile(await readFile(new URL("build/engine.checked.wasm", ROOT)));
}
