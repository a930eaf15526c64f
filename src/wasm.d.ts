/** The two builds of the core, inlined by rollup.config.mjs as base64. */
declare module "memslots:engine.wasm" {
  const base64: string;
  export default base64;
}
declare module "memslots:engine.unshared.wasm" {
  const base64: string;
  export default base64;
}
