/**
 * dist/: the package as one module with both wasm builds inlined, the command line, its vCPU worker, which
 * has to be a file of its own to be started, and the wasm files beside them.
 */
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import commonjs from "@rollup/plugin-commonjs";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import typescript from "@rollup/plugin-typescript";

const WASM_FILES = ["engine.wasm", "engine.unshared.wasm"];

/** `import base64 from "memslots:engine.wasm"` */
function inlineWasm() {
  return {
    name: "inline-wasm",
    resolveId: (id) => (id.startsWith("memslots:") ? `\0${id}` : null),
    load(id) {
      if (!id.startsWith("\0memslots:")) return null;
      const file = `build/${id.slice("\0memslots:".length)}`;
      this.addWatchFile(file);
      return `export default ${JSON.stringify(readFileSync(file).toString("base64"))};`;
    },
  };
}

function copyWasm() {
  return {
    name: "copy-wasm",
    writeBundle() {
      mkdirSync("dist", { recursive: true });
      for (const file of WASM_FILES) copyFileSync(`build/${file}`, `dist/${file}`);
    },
  };
}

export default {
  input: {
    index: "src/index.ts",
    flatview: "src/flatview/index.ts",
    cli: "src/cli.ts",
    vcpuworker: "src/cli/vcpuworker.ts",
  },
  external: /^node:/,
  output: { dir: "dist", format: "es", chunkFileNames: "[name].js", sourcemap: true },
  plugins: [
    inlineWasm(),
    nodeResolve({ exportConditions: ["node"] }),
    commonjs(),
    typescript({ tsconfig: "tsconfig.build.json" }),
    copyWasm(),
  ],
};
