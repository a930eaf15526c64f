/** The core as modules that the runtime has compiled: workerd compiles nothing at run time. */
import unshared from "memslots/engine.unshared.wasm";
import shared from "memslots/engine.wasm";
import type { Build } from "../capabilities.js";

/** The compiled build. */
export async function loadModule(build: Build): Promise<WebAssembly.Module> {
  return build === "shared" ? shared : unshared;
}
