/*
 * For emcc's --pre-js: gives the module the functions of the core as imports, from an instance of the core in each
 * thread. The program passes both compiled modules, `wasmModule` and `coreModule`; a pthread, which gets its own module
 * from emscripten, reads engine.wasm, which lies beside its script.
 */
{
  const ofPthread = Module.instantiateWasm;
  Module.instantiateWasm = (imports, receive) => {
    const beside = () => readBinary(self.location.href.replace(/[^/]*$/, "engine.wasm"));
    const core = Module.coreModule ?? new WebAssembly.Module(beside());
    imports.memslots = new WebAssembly.Instance(core, { env: { memory: wasmMemory } }).exports;
    if (ofPthread !== undefined) return ofPthread(imports, receive);
    const { wasmModule: module } = Module;
    WebAssembly.instantiate(module, imports).then((instance) => receive(instance, module));
    return {};
  };
}
