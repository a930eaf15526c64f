/** The condition "workerd": the two wasm files are modules that the runtime has compiled. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

const WASM = ["memslots/engine.wasm", "memslots/engine.unshared.wasm"];
const { outputFiles } = await build({
  entryPoints: ["worker.js"],
  bundle: true,
  format: "esm",
  conditions: ["workerd"],
  external: WASM,
  write: false,
});
const flare = new Miniflare({
  compatibilityDate: "2026-01-01",
  modulesRoot: "/",
  modules: [
    { type: "ESModule", path: "/worker.js", contents: outputFiles[0].text },
    ...WASM.map((name) => ({
      type: "CompiledWasm",
      path: `/${name}`,
      contents: readFileSync(fileURLToPath(import.meta.resolve(name))),
    })),
  ],
});
const { hva, capabilities } = await (await flare.dispatchFetch("http://localhost/")).json();
await flare.dispose();
assert.equal(hva, 0x7000_1234);
assert.equal(capabilities.sharing, false);
assert.equal(capabilities.build, "unshared");
assert.ok(capabilities.reason.length > 0);
console.log(capabilities.reason);
