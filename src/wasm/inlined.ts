/** The core inlined in this file: nothing to fetch, nothing for a bundler to copy; for `memslots`. */
import { shared, unsharedEdits } from "memslots:text";
import type { Build } from "../runtime/capabilities.js";
import { refuseSources, type WasmSources } from "../runtime/wasmsources.js";
import { applyEdits, decodeText } from "./text.js";

/** Compile a build. @throws CompileError; TypeError if `sources` are given */
export async function loadModule(build: Build, sources?: WasmSources): Promise<WebAssembly.Module> {
  refuseSources(sources);
  const bytes = decodeText(shared);
  return WebAssembly.compile(build === "shared" ? bytes : applyEdits(bytes, decodeText(unsharedEdits)));
}
