/**
 * WebAssembly's classes in the public declarations. The global namespace `WebAssembly` comes with the types of a page
 * or of Node; a project that has neither compiles against the shapes behind the colon.
 */

type Instances = typeof globalThis extends {
  WebAssembly: { Memory: { prototype: infer Memory }; Module: { prototype: infer Module } };
}
  ? { Memory: Memory; Module: Module }
  : {
      Memory: { readonly buffer: ArrayBuffer | SharedArrayBuffer; grow(pages: number): number };
      Module: object;
    };

/** `WebAssembly.Memory` */
export type WasmMemory = Instances["Memory"];

/** `WebAssembly.Module` */
export type WasmModule = Instances["Module"];
