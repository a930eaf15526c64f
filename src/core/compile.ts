/**
 * The compiled core: one module per build and realm. If it cannot be compiled, the error names the remedy.
 */
import { type Build, canCompile } from "../runtime/capabilities.js";
import type { WasmSources } from "../runtime/wasmsources.js";
import { loadModule } from "../wasm/inlined.js";
import { checkModule } from "./stamp.js";

const modules = new Map<Build, Promise<WebAssembly.Module>>();

/**
 * The module of a build, compiled once; anew if the caller says where it comes from.
 * @throws Error if the page's policy forbids it, or the bytes are damaged, with the runtime's own error as its `cause`;
 * or if they are of another version
 */
export function compileEngine(build: Build, sources?: WasmSources): Promise<WebAssembly.Module> {
  if (sources !== undefined) return load(build, sources);
  let module = modules.get(build);
  if (module === undefined) {
    module = load(build);
    modules.set(build, module);
    // A failure is not kept: the next call tries again, and a network may be back by then.
    module.catch(() => modules.delete(build));
  }
  return module;
}

async function load(build: Build, sources?: WasmSources): Promise<WebAssembly.Module> {
  if (typeof WebAssembly === "undefined") throw new Error("this runtime has no WebAssembly");
  try {
    const module = await loadModule(build, sources);
    checkModule(module, build);
    return module;
  } catch (error) {
    throw await explain(build, error);
  }
}

/** The error for a build that was not compiled: a policy, or damaged bytes. */
async function explain(build: Build, cause: unknown): Promise<Error> {
  if (!(await canCompile())) {
    const policy = "add 'wasm-unsafe-eval' to script-src of the Content-Security-Policy";
    return new Error(`this page may not compile WebAssembly: ${policy}`, { cause });
  }
  if (!(cause instanceof WebAssembly.CompileError)) return cause as Error;
  return new Error(`the ${build} build of the engine is damaged: ${cause.message}`, { cause });
}
