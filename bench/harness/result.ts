/**
 * The dated result of a run: every figure, and what it was measured on.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type CaseResult, type Row, verdictOf } from "./case.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export function writeResult(file: string, cases: readonly CaseResult[], rows: readonly Row[]): void {
  const result = {
    date: new Date().toISOString(),
    commit: commitOf(),
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      system: `${process.platform} ${release()} ${process.arch}`,
    },
    runtime: process.versions.bun === undefined ? `node ${process.version}` : `bun ${process.versions.bun}`,
    engine: process.versions.v8,
    versions: packageVersions(),
    rows: rows.map((row) => ({ ...row, verdict: verdictOf(row) })),
    cases,
  };
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
}

/** Commit of the sources, marked if the work tree differs from it; null outside of a clone. */
function commitOf(): string | null {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: ROOT, encoding: "utf8", stdio: "pipe" }).trim();
  try {
    return git("rev-parse", "HEAD") + (git("status", "--porcelain") === "" ? "" : " and changes");
  } catch {
    return null;
  }
}

/** This package and all that it was compared with or built by. */
function packageVersions(): Record<string, string> {
  const manifest = (path: string) => JSON.parse(readFileSync(`${ROOT}${path}`, "utf8"));
  const own = manifest("package.json");
  const versions: Record<string, string> = { [own.name]: own.version };
  for (const name of Object.keys(own.devDependencies)) {
    versions[name] = manifest(`node_modules/${name}/package.json`).version;
  }
  return versions;
}
