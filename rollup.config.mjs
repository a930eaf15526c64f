/**
 * dist/: what package.json "exports" names, minified and with source maps, its declarations in one file each, the wasm
 * files beside them, and the command line. A new entry of the package is a line in ENTRIES and one in "exports".
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import commonjs from "@rollup/plugin-commonjs";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import terser from "@rollup/plugin-terser";
import { dts } from "rollup-plugin-dts";
import esbuild from "rollup-plugin-esbuild";
import { editsBetween, encodeText } from "./assembly/text.mjs";

/** Entries that share their modules: name in dist/, source. */
const ENTRIES = {
  index: "src/index.ts",
  flatview: "src/flatview/index.ts",
  uapi: "src/uapi.ts",
  v86: "src/v86/index.ts",
};
/** The command line, and its vCPU worker, which has to be a file of its own to be started. */
const PROGRAMS = {
  cli: "src/cli.ts",
  vcpuworker: "src/cli/vcpuworker.ts",
};
/** `memslots` once more with the core from elsewhere: name in dist/, what src/wasm/inlined.ts is replaced with. */
const VARIANTS = {
  url: "src/wasm/fetched.ts",
  workerd: "src/wasm/imported.ts",
};
const WASM_FILES = ["engine.wasm", "engine.unshared.wasm"];

/** `import { shared, unsharedEdits } from "memslots:text"` */
function wasmAsText() {
  const [shared, unshared] = WASM_FILES.map((file) => `build/${file}`);
  return {
    name: "wasm-as-text",
    resolveId: (id) => (id === "memslots:text" ? "\0memslots:text" : null),
    load(id) {
      if (id !== "\0memslots:text") return null;
      const bytes = readFileSync(shared);
      const edits = editsBetween(bytes, readFileSync(unshared));
      return [
        `export const shared = ${JSON.stringify(encodeText(bytes))};`,
        `export const unsharedEdits = ${JSON.stringify(encodeText(edits))};`,
      ].join("\n");
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

/** Another source of the core. */
function wasmFrom(source) {
  const [inlined, other] = ["src/wasm/inlined.ts", source].map(sourceOf);
  return {
    name: "wasm-from",
    async resolveId(id, importer, options) {
      const resolved = await this.resolve(id, importer, { ...options, skipSelf: true });
      return resolved?.id === inlined ? other : resolved;
    },
  };
}

/** Takes the types off; `npm run types` has checked them. */
const compile = () => esbuild({ target: "es2022", tsconfig: "tsconfig.build.json" });
const minify = () => terser({ module: true, ecma: 2022, compress: { passes: 3 } });
const output = { dir: "dist", format: "es", chunkFileNames: "common-[name].js" };

const sourceOf = (path) => fileURLToPath(new URL(path, import.meta.url));
/** What the programs import of the package is the package's own file, not a second copy. */
const ownFiles = Object.fromEntries(
  Object.entries(ENTRIES).map(([name, path]) => [sourceOf(path), `./${name}.js`]),
);

rmSync("dist", { recursive: true, force: true });

export default [
  {
    input: ENTRIES,
    // A file by itself: among the JavaScript the text would push one half of that out of gzip's 32 KiB of memory.
    output: { ...output, sourcemap: true, manualChunks: { core: ["memslots:text"] } },
    plugins: [wasmAsText(), compile(), minify(), copyWasm()],
  },
  ...Object.entries(VARIANTS).map(([name, source]) => ({
    input: { [name]: "src/index.ts" },
    external: /^memslots\/.*\.wasm$/,
    output: { ...output, sourcemap: true },
    plugins: [wasmFrom(source), compile(), minify()],
  })),
  {
    input: PROGRAMS,
    external: [/^node:/, ...Object.keys(ownFiles)],
    output: { ...output, paths: ownFiles },
    plugins: [nodeResolve({ exportConditions: ["node"] }), commonjs(), compile(), minify()],
  },
  {
    input: ENTRIES,
    output: { ...output, chunkFileNames: "common-[name].d.ts" },
    plugins: [dts({ tsconfig: "tsconfig.build.json" })],
  },
];
