/**
 * Instances of the core. @assemblyscript/loader makes them. The engine calls the exports of the instance, not the
 * loader's wrappers: these translate strings and objects, and would double the time of a lookup.
 */
import { instantiateSync } from "@assemblyscript/loader";
import type { EngineExports } from "./exports.js";

/**
 * Instantiate the core over `memory`. The module has no start function and no data, so this runs nothing and does not
 * disturb an engine that is already in the memory.
 * @returns the functions of the instance
 * @throws Error if `module` is not the core, or is the build for the other kind of memory
 */
export function instantiateEngine(module: WebAssembly.Module, memory: WebAssembly.Memory): EngineExports {
  const exports = instantiate(module, memory);
  if (!("engineBytes" in exports)) throw new Error("the module is not the engine: it exports no engineBytes");
  return exports as unknown as EngineExports;
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Exports {
  try {
    return instantiateSync(module, { env: { memory } }).instance.exports;
  } catch (cause) {
    throw new Error(`the module is no engine for this memory: ${(cause as Error).message}`, { cause });
  }
}
