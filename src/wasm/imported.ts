/** The core as modules that the runtime has compiled; for workerd, which compiles nothing at run time. */
import unshared from "memslots/engine.unshared.wasm";
import shared from "memslots/engine.wasm";
import type { Build } from "../runtime/capabilities.js";
import { refuseSources, type WasmSources } from "../runtime/wasmsources.js";

/** The compiled build. @throws TypeError if `sources` are given */
export async function loadModule(build: Build, sources?: WasmSources): Promise<WebAssembly.Module> {
  refuseSources(sources);
  return build === "shared" ? shared : unshared;
}
