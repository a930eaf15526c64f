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

/** When, of what and on what some cases were measured. */
export interface Run {
  readonly date: string;
  readonly commit: string | null;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly system: string;
  };
  readonly runtime: string;
  readonly engine: string | undefined;
  readonly versions: Readonly<Record<string, string>>;
  /** Names of its cases. */
  readonly measured: readonly string[];
}

/** Cases, and the runs that they come from. */
export interface Result {
  readonly runs: readonly Run[];
  readonly cases: readonly CaseResult[];
}

/** Of this process, now. */
export function resultOf(cases: readonly CaseResult[]): Result {
  if (cases.length === 0) return { runs: [], cases };
  const run: Run = {
    date: new Date().toISOString(),
    commit: commitOf(),
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      system: `${process.platform} ${release().replace(/-.*/, "")} ${process.arch}`,
    },
    runtime: process.versions.bun === undefined ? `node ${process.version}` : `bun ${process.versions.bun}`,
    engine: process.versions.v8,
    versions: packageVersions(),
    measured: [...new Set(cases.map(({ name }) => name))],
  };
  return { runs: [run], cases };
}

/** All of them; of a case that several have, the last. */
export function joinResults(results: readonly Result[]): Result {
  const cases = new Map(
    results.flatMap((result) => result.cases.map((one) => [`${one.name} @${one.n}`, one] as const)),
  );
  return { runs: results.flatMap(({ runs }) => runs), cases: [...cases.values()] };
}

/** What writeResult has written. @throws Error if the file cannot be read or is none */
export function readResult(file: string): Result {
  const result = JSON.parse(readFileSync(file, "utf8"));
  if (!Array.isArray(result?.runs) || !Array.isArray(result.cases)) {
    throw new Error(`${file} has no results of npm run bench`);
  }
  return result;
}

export function writeResult(file: string, { runs, cases }: Result, rows: readonly Row[]): void {
  const result = { runs, rows: rows.map((row) => ({ ...row, verdict: verdictOf(row) })), cases };
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
