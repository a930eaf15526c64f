/**
 * Builds dist/: the entries of package.json's "exports", readable and with source maps; a file of declarations for
 * each; the wasm files beside them; and the command line. A new entry is a line in ENTRIES and one in "exports".
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import commonjs from "@rollup/plugin-commonjs";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import { dts } from "rollup-plugin-dts";
import esbuild from "rollup-plugin-esbuild";
import license from "rollup-plugin-license";
import { editsBetween, encodeText } from "./assembly/text.mjs";

/** Entries of the package: name in dist/, source. */
const ENTRIES = {
  index: "src/index.ts",
  flatview: "src/flatview/index.ts",
  uapi: "src/kvm/uapi.ts",
  v86: "src/v86/index.ts",
};
/** The command line, and its vCPU worker, which must be a separate file to be started. */
const PROGRAMS = {
  cli: "src/cli/main.ts",
  vcpuworker: "src/replay/vcpuworker.ts",
};
/** Variants of `memslots` that load the core differently: name in dist/, the module that replaces INLINED. */
const VARIANTS = {
  url: "src/wasm/fetched.ts",
  workerd: "src/wasm/imported.ts",
};
const INLINED = "src/wasm/inlined.ts";
/** The modules between an entry and INLINED: each variant has its own copy of these, and shares all others. */
const CARRIERS = ["src/index.ts", "src/save/save.ts", "src/engine.ts", "src/core/compile.ts"];
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

/**
 * A carrier of variant `url` is the module "src/engine.ts?url.ts". Everything else is shared, so `memslots/flatview`
 * accepts an engine of `memslots/url`: both use the same `core/thread.ts`.
 */
function variants() {
  const carriers = new Set(CARRIERS.map(sourceOf));
  const inlined = sourceOf(INLINED);
  const variantOf = (id) => /\?(\w+)\.ts$/.exec(id ?? "")?.[1];
  return {
    name: "variants",
    async resolveId(id, importer, options) {
      if (importer === undefined) return variantOf(id) === undefined ? null : sourceOf(id);
      const variant = variantOf(importer);
      if (variant === undefined) return null;
      const from = importer.replace(/\?.*/, "");
      const resolved = await this.resolve(id, from, { ...options, skipSelf: true });
      if (resolved?.id === inlined) return sourceOf(VARIANTS[variant]);
      return carriers.has(resolved?.id) ? `${resolved.id}?${variant}.ts` : resolved;
    },
    load: (id) => (variantOf(id) === undefined ? null : readFileSync(id.replace(/\?.*/, ""), "utf8")),
  };
}

/**
 * Entries share one file for each room of src/. The text of the core is a separate file, loaded only by programs that
 * run the core from there; so are the carriers that lead to it.
 */
function chunkOf(id) {
  if (id.includes("memslots:text")) return "wasm";
  if (CARRIERS.some((carrier) => id.startsWith(sourceOf(carrier)))) return undefined;
  if (id.includes("@assemblyscript/loader")) return "loader";
  return /\/src\/(kvm|runtime|core|read|write|dirty|guest|save|trace)\//.exec(id)?.[1];
}

/**
 * What the loader's `instantiateSync` does besides is for programs that the engine is not: functions to import for
 * aborts and traces, and wrappers of the exports that translate strings and objects. Their calls are taken out, so that
 * Rollup leaves out 2 kB gzipped; the core imports the memory alone, and the engine calls the exports themselves.
 */
const instanceOnly = () => ({
  name: "instance-only",
  transform(code, id) {
    if (!id.includes("@assemblyscript/loader")) return null;
    const extras = /^.*= (pre|post)Instantiate\(.*$/gm;
    const result = /return \{ module, instance, exports \}/g;
    if (!extras.test(code) || !result.test(code)) throw new Error("the loader has changed: see instanceOnly");
    return { code: code.replace(extras, "").replace(result, "return { module, instance }"), map: null };
  },
});

/** Where the text of a licence is that a package leaves out: in another of the same project. */
const LICENCE_FILES = { "@assemblyscript/loader": "node_modules/assemblyscript/LICENSE" };
/** Licences of the packages that are bundled, by name and version. */
const notices = new Map();

const noticesText = () =>
  [...notices]
    .sort()
    .map(([name, text]) => `${name}\n\n${text}\n`)
    .join(`\n${"-".repeat(80)}\n\n`);

/** They stand in dist/THIRD-PARTY-LICENSES.txt, and at the end of the command line, which may be copied by itself. */
function licences() {
  const collect = license({
    thirdParty(dependencies) {
      for (const { name, version, license: kind, licenseText } of dependencies) {
        const text = licenseText ?? readFileSync(LICENCE_FILES[name], "utf8");
        notices.set(`${name} ${version} (${kind})`, text.trim());
      }
      writeFileSync("dist/THIRD-PARTY-LICENSES.txt", noticesText());
    },
  });
  const append = {
    name: "append-licences",
    generateBundle(_options, bundle) {
      const program = bundle["cli.js"];
      if (program !== undefined) program.code += `/*\nWhat is bundled in this file:\n\n${noticesText()}*/\n`;
    },
  };
  return [collect, append];
}

/** Strips the types; `npm run types` checks them. */
const compile = () => esbuild({ target: "es2022", tsconfig: "tsconfig.build.json" });
const output = {
  dir: "dist",
  format: "es",
  chunkFileNames: "common-[name].js",
  hoistTransitiveImports: false,
};

const sourceOf = (path) => fileURLToPath(new URL(".", import.meta.url)) + path;
/** The programs import the files of the package, not second copies. */
const ownFiles = Object.fromEntries(
  Object.entries(ENTRIES).map(([name, path]) => [sourceOf(path), `./${name}.js`]),
);

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");

export default [
  {
    input: {
      ...ENTRIES,
      ...Object.fromEntries(Object.keys(VARIANTS).map((name) => [name, `${ENTRIES.index}?${name}.ts`])),
    },
    external: /^memslots\/.*\.wasm$/,
    treeshake: { moduleSideEffects: false },
    output: { ...output, sourcemap: true, manualChunks: chunkOf },
    plugins: [variants(), wasmAsText(), nodeResolve(), instanceOnly(), compile(), copyWasm(), licences()],
  },
  {
    input: PROGRAMS,
    external: [/^node:/, ...Object.keys(ownFiles)],
    // A map of the programs is for coverage only.
    output: { ...output, paths: ownFiles, sourcemap: process.env.COVERAGE === "1" },
    plugins: [nodeResolve({ exportConditions: ["node"] }), commonjs(), compile(), licences()],
  },
  {
    input: ENTRIES,
    output: { ...output, chunkFileNames: "common-[name].d.ts" },
    plugins: [dts({ tsconfig: "tsconfig.build.json" })],
  },
];
