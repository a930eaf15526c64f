/** The core as a file beside this one or where the caller says, compiled while it arrives; for `memslots/url`. */
import { checkOptionNames, show } from "../kvm/arguments.js";
import type { Build } from "../runtime/capabilities.js";
import type { WasmSource, WasmSources } from "../runtime/wasmsources.js";

/** Spelled out, because a bundler finds the files to copy by these expressions. */
const ADDRESS: Record<Build, URL> = {
  shared: new URL("./engine.wasm", import.meta.url),
  unshared: new URL("./engine.unshared.wasm", import.meta.url),
};

const NOT_COPIED =
  "the bundler has not copied engine.wasm beside its output; with Vite 7 exclude memslots from optimizeDeps, " +
  "or pass its address as the option wasm";

interface Runtime {
  process?: { getBuiltinModule?(name: "node:fs"): { readFileSync(path: URL): Uint8Array<ArrayBuffer> } };
  location?: { href: string };
}

/**
 * Compile a build, or take the module of the caller.
 * @throws TypeError naming the option; CompileError; Error that names the address if no wasm is there
 */
export async function loadModule(build: Build, sources: WasmSources = {}): Promise<WebAssembly.Module> {
  checkOptionNames<WasmSources>(sources, { shared: true, unshared: true }, "wasm");
  const source = sources[build] ?? ADDRESS[build];
  if (source instanceof WebAssembly.Module) return source;
  const url = addressOf(source, `wasm.${build}`);
  try {
    return await compileFrom(url);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new WebAssembly.CompileError(`${url}: ${error.message}`);
  }
}

async function compileFrom(url: URL): Promise<WebAssembly.Module> {
  // Node's fetch does not read files.
  const { process } = globalThis as Runtime;
  const fs = url.protocol === "file:" ? process?.getBuiltinModule?.("node:fs") : undefined;
  if (fs !== undefined) return WebAssembly.compile(fs.readFileSync(url));
  const response = await fetch(url).catch((cause: Error) => {
    throw new Error(`${url} cannot be fetched: ${cause.message}`, { cause });
  });
  if (!response.ok) throw new Error(`${url} cannot be fetched: HTTP ${response.status}`);
  const type = response.headers.get("Content-Type")?.split(";")[0];
  // The page that a dev server or a host sends for every address that it does not know.
  if (type === "text/html") throw new Error(`${url} is a page (text/html), not the core: ${NOT_COPIED}`);
  const isWasm = type === "application/wasm";
  return isWasm ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

/** @throws TypeError naming the option if it is no address */
function addressOf(source: WasmSource, name: string): URL {
  const address = typeof source === "string" ? source : (source as { href?: unknown }).href;
  try {
    if (typeof address === "string") return new URL(address, (globalThis as Runtime).location?.href);
  } catch {}
  throw new TypeError(`${name} must be a WebAssembly.Module or an address, not ${show(address ?? source)}`);
}
