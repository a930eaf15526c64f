/**
 * From the wasm to the raw exports, and what to say when that fails. The instance is made by WebAssembly itself:
 * @assemblyscript/loader would wrap every function, which doubles the price of a lookup, and is for strings and
 * objects, which this core does not have.
 */
import { type Build, canCompile } from "./capabilities.js";
import type { EngineExports } from "./layout.js";
import { loadModule } from "./wasm/inlined.js";

const modules = new Map<Build, Promise<WebAssembly.Module>>();

/** A sentence on why a build was not compiled. */
async function explain(build: Build, cause: unknown): Promise<Error> {
  if (!(await canCompile())) {
    const policy = "add 'wasm-unsafe-eval' to script-src of the Content-Security-Policy";
    return new Error(`this page may not compile WebAssembly: ${policy}`, { cause });
  }
  if (!(cause instanceof WebAssembly.CompileError)) return cause as Error;
  return new Error(`the ${build} build of the engine is damaged: ${cause.message}`, { cause });
}

async function load(build: Build): Promise<WebAssembly.Module> {
  if (typeof WebAssembly === "undefined") throw new Error("this runtime has no WebAssembly");
  try {
    return await loadModule(build);
  } catch (error) {
    throw await explain(build, error);
  }
}

/**
 * The compiled core, compiled once per realm.
 * @throws Error if the page's policy forbids it, or the bytes are damaged; its `cause` is the runtime's own
 */
export function compileEngine(build: Build): Promise<WebAssembly.Module> {
  let module = modules.get(build);
  if (module === undefined) {
    module = load(build);
    modules.set(build, module);
    // A failure may pass, such as that of a network.
    module.catch(() => modules.delete(build));
  }
  return module;
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Exports {
  try {
    return new WebAssembly.Instance(module, { env: { memory } }).exports;
  } catch (cause) {
    throw new Error(`the module is no engine for this memory: ${(cause as Error).message}`, { cause });
  }
}

/**
 * The raw functions of a new instance over `memory`. The module has no start function and no data: nothing
 * runs.
 * @throws Error if `module` is not the core, or that for memory of the other kind
 */
export function instantiateEngine(module: WebAssembly.Module, memory: WebAssembly.Memory): EngineExports {
  const exports = instantiate(module, memory);
  if (!("engineBytes" in exports)) throw new Error("the module is not the engine: it exports no engineBytes");
  return exports as unknown as EngineExports;
}
