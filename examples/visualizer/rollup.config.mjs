/** build/visualizer: the page and its workers, with fonts and recorded boots beside them, on the built package. */
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import typescript from "@rollup/plugin-typescript";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const OUT = here("../../build/visualizer/");
const TRACES = here("../../test/traces/qemu/");
const FONTS = ["ibm-plex-sans", "ibm-plex-mono"].flatMap((name) =>
  [400, 600].map((weight) => `@fontsource/${name}/files/${name}-latin-${weight}-normal.woff2`),
);

/** The package by its name, as a user imports it. */
function self() {
  return {
    name: "self",
    resolveId: (id) => (id === "memslots" ? fileURLToPath(import.meta.resolve("memslots")) : null),
  };
}

function assets() {
  return {
    name: "assets",
    writeBundle() {
      for (const folder of ["fonts", "traces"]) mkdirSync(OUT + folder, { recursive: true });
      for (const file of ["index.html", "style.css", "icon.svg"]) copyFileSync(here(file), OUT + file);
      for (const font of FONTS) {
        copyFileSync(fileURLToPath(import.meta.resolve(font)), `${OUT}fonts/${font.split("/").at(-1)}`);
      }
      // Traces recorded without KVM have no slots to play.
      const traces = readdirSync(TRACES).filter((name) => !name.startsWith("tcg-"));
      for (const name of traces) copyFileSync(TRACES + name, `${OUT}traces/${name}`);
      const names = traces.map((name) => name.replace(/\.jsonl\.gz$/, ""));
      writeFileSync(`${OUT}traces/index.json`, JSON.stringify(names));
    },
  };
}

export default {
  input: {
    page: here("page.tsx"),
    machineworker: here("machineworker.ts"),
    vcpuworker: here("vcpuworker.ts"),
  },
  output: { dir: OUT, format: "es", chunkFileNames: "[name].js", sourcemap: true },
  plugins: [
    self(),
    nodeResolve({ browser: true }),
    typescript({ tsconfig: here("tsconfig.json") }),
    assets(),
  ],
  onLog(level, log, handler) {
    if (level === "warn") throw new Error(log.message);
    handler(level, log);
  },
};
