/** Rust sources as WebAssembly, for threads: without `std`, over a shared memory that the module imports. */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TARGET = "wasm32-unknown-unknown";
/** Bytes of the stack of the first instance; threads bring theirs. Rust's own 1 MiB is more than a vCPU has. */
const STACK_BYTES = 2 ** 14;

/**
 * The `core` of a distribution is built without atomics, which the linker refuses in a module of a shared memory.
 * Link-time optimization makes one unit of it and the program, with the program's features.
 */
const FLAGS = [
  ...["--edition", "2021", "--crate-type", "cdylib", "--target", TARGET, "-D", "warnings"],
  ...["-O", "-C", "lto=fat", "-C", "panic=abort", "-C", "strip=symbols"],
  ...["-C", "target-feature=+atomics,+bulk-memory,+mutable-globals"],
  ...[
    ...["--import-memory", "--shared-memory", "--max-memory=4294967296"],
    ...["--export=__stack_pointer", `-zstack-size=${STACK_BYTES}`],
  ].flatMap((argument) => ["-C", `link-arg=${argument}`]),
];

/** A Rust compiler that has `core` for WebAssembly; that of Debian may be behind another one in PATH. */
export function findRust(): string | undefined {
  return [process.env.RUSTC ?? "rustc", "/usr/bin/rustc"].find((rustc) => {
    const { status, stdout } = spawnSync(rustc, ["--target", TARGET, "--print", "target-libdir"], {
      encoding: "utf8",
    });
    if (status !== 0) return false;
    try {
      return readdirSync(stdout.trim()).some((name) => /^libcore-.*\.rlib$/.test(name));
    } catch {
      return false;
    }
  });
}

/**
 * A source as a module; `text` is one whose package `memslots` is in node_modules beside it.
 * @throws Error with what the compiler says
 */
export function buildRust(
  rustc: string,
  source: { path: string } | { text: string },
): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), "memslots-rust-"));
  try {
    const out = join(folder, "module.wasm");
    const path = "path" in source ? source.path : join(folder, "source.rs");
    if ("text" in source) {
      mkdirSync(join(folder, "node_modules"));
      symlinkSync(ROOT, join(folder, "node_modules/memslots"), "junction");
      writeFileSync(path, source.text);
    }
    const { status, stderr } = spawnSync(rustc, [...FLAGS, "-o", out, path], { encoding: "utf8" });
    if (status !== 0) throw new Error(`rustc: ${stderr}`);
    return new Uint8Array(readFileSync(out));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
