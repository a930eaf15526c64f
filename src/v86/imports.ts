/**
 * The imports of v86's wasm, which `wasm_fn` receives: handlers found by name, for replacement before the module is
 * instantiated.
 */
import type { MemoryImports } from "./access.js";
import type { PortImports } from "./pcihost.js";

/** The value of v86's option `wasm_fn`. */
export type WasmFunction = (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports>;

/** Handlers of v86 that the map replaces and calls. */
export type V86Handlers = MemoryImports & PortImports;

/** v86's handlers among the imports. @throws Error naming a missing one: the wasm is no v86 that this adapter knows */
export function handlersOf({ env }: WebAssembly.Imports): V86Handlers {
  const handler = (name: keyof V86Handlers): ((...words: number[]) => number) => {
    const found = env?.[name];
    if (typeof found !== "function") throw new Error(`wasm_fn was given no env.${name}: not a known v86`);
    return found as (...words: number[]) => number;
  };
  return {
    mmap_read8: handler("mmap_read8"),
    mmap_read32: handler("mmap_read32"),
    mmap_write8: handler("mmap_write8"),
    mmap_write16: handler("mmap_write16"),
    mmap_write32: handler("mmap_write32"),
    mmap_write64: handler("mmap_write64"),
    mmap_write128: handler("mmap_write128"),
    io_port_read8: handler("io_port_read8"),
    io_port_read16: handler("io_port_read16"),
    io_port_read32: handler("io_port_read32"),
    io_port_write8: handler("io_port_write8"),
    io_port_write16: handler("io_port_write16"),
    io_port_write32: handler("io_port_write32"),
  };
}

/** A wasm_fn that instantiates v86's wasm. */
export function instantiate(wasm: BufferSource | WebAssembly.Module): WasmFunction {
  return async (imports) => {
    if (wasm instanceof WebAssembly.Module) return (await WebAssembly.instantiate(wasm, imports)).exports;
    return (await WebAssembly.instantiate(wasm, imports)).instance.exports;
  };
}
