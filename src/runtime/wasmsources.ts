/** The option `wasm`: where the core comes from in `memslots/url`. */
import type { WasmModule } from "./wasmtypes.js";

/**
 * A build of the core: its compiled module, or the address of its file. A relative address starts at that of the page,
 * in a worker at that of the worker.
 */
export type WasmSource = string | WasmAddress | (WasmModule & object);

/** A `URL`: what it has of one in a project without its type. */
export interface WasmAddress {
  /** The whole address. */
  readonly href: string;
}

/** The core, by build; see the option `wasm` of `MemslotEngine.create`. */
export interface WasmSources {
  /** `memslots/engine.wasm`, for memory that threads share. */
  shared?: WasmSource | undefined;
  /** `memslots/engine.unshared.wasm`, for an engine in one thread. */
  unshared?: WasmSource | undefined;
}

/** The other entries have the core within. @throws TypeError */
export function refuseSources(sources: WasmSources | undefined): void {
  if (sources !== undefined) throw new TypeError("wasm is an option of memslots/url");
}
