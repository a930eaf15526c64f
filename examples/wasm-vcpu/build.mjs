/** The vCPU's two sources as WebAssembly. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Arguments for clang: a module without a C library, over a shared memory that it imports. */
const CLANG_FLAGS = [
  ...["--target=wasm32", "-nostdlib", "-O2", "-Wall", "-Werror", "-matomics", "-mbulk-memory"],
  ...["-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--shared-memory", "-Wl,--max-memory=4294967296"],
];

/** PATH without npm's entries: clang would call the wasm-opt there, which drops unused imports. */
const PATH = process.env.PATH?.split(delimiter)
  .filter((folder) => !folder.endsWith(".bin"))
  .join(delimiter);

/** @param text a module in the text format */
export function buildWat(text) {
  const module = binaryen.parseText(text);
  try {
    module.setFeatures(binaryen.Features.All);
    if (!module.validate()) throw new Error("the text is no valid module");
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

/** True if there is a clang that makes WebAssembly. */
export function hasClang() {
  const { status, stdout } = spawnSync("clang", ["--print-targets"], { encoding: "utf8" });
  return status === 0 && stdout.includes("wasm32") && spawnSync("wasm-ld", ["--version"]).status === 0;
}

/** @param path a C source, or a name for `text` */
export function buildC(path, text = undefined) {
  const folder = mkdtempSync(join(tmpdir(), "memslots-c-"));
  try {
    const out = join(folder, "module.wasm");
    const source = text === undefined ? path : join(folder, path);
    if (text !== undefined) writeFileSync(source, text);
    const args = [...CLANG_FLAGS, `-I${here("../../include")}`, "-o", out, source];
    const { status, stderr } = spawnSync("clang", args, { encoding: "utf8", env: { ...process.env, PATH } });
    if (status !== 0) throw new Error(`clang: ${stderr}`);
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The vCPU: "wat" or "c". */
export function buildVcpu(source) {
  return source === "c" ? buildC(here("vcpu.c")) : buildWat(readFileSync(here("vcpu.wat"), "utf8"));
}
