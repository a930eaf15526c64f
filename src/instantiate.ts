/**
 * From the inlined wasm to the raw exports. @assemblyscript/loader makes the instance; the exports are taken
 * from the instance itself, because the loader's wrapper would double the price of a lookup.
 */

import unsharedBase64 from "memslots:engine.unshared.wasm";
import sharedBase64 from "memslots:engine.wasm";
import { instantiateSync } from "@assemblyscript/loader";
import type { EngineExports } from "./layout.js";

const modules = new Map<boolean, Promise<WebAssembly.Module>>();

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The compiled core for shared or unshared memory, compiled once per realm. */
export function compileEngine(shared: boolean): Promise<WebAssembly.Module> {
  let module = modules.get(shared);
  if (module === undefined) {
    module = WebAssembly.compile(decode(shared ? sharedBase64 : unsharedBase64));
    modules.set(shared, module);
  }
  return module;
}

/**
 * The raw functions of a new instance over `memory`. The module has no start function and no data: nothing
 * runs.
 */
export function instantiateEngine(module: WebAssembly.Module, memory: WebAssembly.Memory): EngineExports {
  const { instance } = instantiateSync<Record<string, unknown>>(module, { env: { memory } });
  return instance.exports as unknown as EngineExports;
}
