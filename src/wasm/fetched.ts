/** The core as a file beside this one, compiled while it arrives. What `memslots/url` uses. */
import type { Build } from "../capabilities.js";

/** Where a bundler looks for files to take along: the address must be spelled out. */
const ADDRESS: Record<Build, URL> = {
  shared: new URL("./engine.wasm", import.meta.url),
  unshared: new URL("./engine.unshared.wasm", import.meta.url),
};

interface Process {
  getBuiltinModule?(name: "node:fs"): { readFileSync(path: URL): Uint8Array<ArrayBuffer> };
}

/** Compile a build. @throws CompileError; Error that names the address if nothing is there */
export async function loadModule(build: Build): Promise<WebAssembly.Module> {
  const url = ADDRESS[build];
  // fetch of Node knows no files.
  const { process } = globalThis as { process?: Process };
  const fs = url.protocol === "file:" ? process?.getBuiltinModule?.("node:fs") : undefined;
  if (fs !== undefined) return WebAssembly.compile(fs.readFileSync(url));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} cannot be fetched: HTTP ${response.status}`);
  const isWasm = response.headers.get("Content-Type")?.split(";")[0] === "application/wasm";
  return isWasm ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}
