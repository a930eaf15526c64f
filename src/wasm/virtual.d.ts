/** Modules that rollup.config.mjs supplies. */
declare module "memslots:text" {
  /** build/engine.wasm as text, see assembly/text.mjs. */
  export const shared: string;
  /** Edits that make build/engine.unshared.wasm of it. */
  export const unsharedEdits: string;
}
declare module "memslots/engine.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
declare module "memslots/engine.unshared.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
