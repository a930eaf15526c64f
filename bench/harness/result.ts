/** The dated result of a run: every figure, and the machine that it was measured on. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type CaseResult, type Figure, NOT_RUN, type Quartiles, type Row } from "./case.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A run: date, versions and machine, and its cases. */
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
  /** Of this package and its competitors. */
  readonly versions: Readonly<Record<string, string>>;
  /** Which part of the batches shared the core with a neighbour, 0 to 1; undefined where nothing is known of it. */
  readonly shared?: number;
}

/** Cases and rows, and the runs that they come from. */
export interface Result {
  readonly runs: readonly Run[];
  readonly rows: readonly Row[];
  readonly cases: readonly CaseResult[];
}

/** Digits of a number in a file. */
const DIGITS = 4;

/** Of this process, now. */
export function resultOf(cases: readonly CaseResult[], rows: readonly Row[]): Result {
  if (cases.length === 0) return { runs: [], rows, cases };
  const sum = (count: "batches" | "shared") => cases.reduce((all, one) => all + (one[count] ?? 0), 0);
  const batches = sum("batches");
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
    ...(batches === 0 ? {} : { shared: Number((sum("shared") / batches).toPrecision(DIGITS)) }),
  };
  return { runs: [run], rows, cases };
}

/** The same row of another run. */
export function rowKey({ id, what, n }: Row): string {
  return [id, what, n].join("|");
}

/** Merge results; of a case or row that several have measured, the last one stays. */
export function joinResults(results: readonly Result[]): Result {
  const cases = new Map(
    results.flatMap((result) => result.cases.map((one) => [`${one.name} @${one.n}`, one] as const)),
  );
  const rows = new Map<string, Row>();
  for (const row of results.flatMap((result) => result.rows)) {
    if (row.measured !== undefined || !rows.has(rowKey(row))) rows.set(rowKey(row), row);
  }
  return { runs: results.flatMap(({ runs }) => runs), rows: [...rows.values()], cases: [...cases.values()] };
}

/** A row of a file: id, what, n, unit, quartiles or the reason why there are none, target, at least. */
type StoredRow = [string, string, string, string | null, Quartiles | string, number, boolean];
/** A figure of a file: name, unit, least, quartiles, set-up in ms, hash. */
type StoredFigure = [string, "ns" | "bytes", number, Quartiles, number, string];
/** A case of a file: name, n, unit, figures, what was skipped and why. */
type StoredCase = [string, number, string, StoredFigure[], [string, string][]];

/** Read a file of `writeResult`. @throws Error if it cannot be read or is none */
export function readResult(file: string): Result {
  return parse(readFileSync(file, "utf8"), file);
}

/** Write a result as data: a line for each run, row and case. */
export function writeResult(file: string, result: Result): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, textOf(result));
}

/**
 * The result as its file gives it back. A table of it has the digits that a table of the file has; rounded once
 * more, the others may differ in the last one.
 */
export function asStored(result: Result): Result {
  return parse(textOf(result), "the text");
}

function parse(text: string, name: string): Result {
  const result = JSON.parse(text) as { runs: Run[]; rows: StoredRow[]; cases: StoredCase[] };
  const isResult = [result?.runs, result?.rows, result?.cases].every(Array.isArray);
  if (!isResult) throw new Error(`${name} has no results of npm run bench`);
  return {
    runs: result.runs,
    rows: result.rows.map(([id, what, n, unit, measured, target, atLeast]) => ({
      ...{ id, what, n, target, atLeast },
      ...(unit === null ? {} : { unit }),
      ...(typeof measured === "string" ? { measured: undefined, skipped: measured } : { measured }),
    })),
    cases: result.cases.map(([name, n, unit, figures, skipped]) => ({
      ...{ name, n, unit },
      figures: figures.map(([name, unit, min, quartiles, setupMs, hash]) => {
        return { name, in: unit, min, median: quartiles[1], quartiles, setupMs, hash };
      }),
      skipped: skipped.map(([name, reason]) => ({ name, skipped: reason })),
    })),
  };
}

function textOf({ runs, rows, cases }: Result): string {
  const lines = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).join(",\n");
  const parts = Object.entries({ runs, rows: rows.map(storedRow), cases: cases.map(storedCase) });
  const text = parts.map(([name, values]) => `"${name}":[\n${lines(values)}\n]`).join(",\n");
  return `{\n${text}\n}\n`;
}

function storedRow({ id, what, n, unit, measured, skipped, target, atLeast }: Row): StoredRow {
  const value = measured === undefined ? (skipped ?? NOT_RUN) : rounded(measured);
  return [id, what, n, unit ?? null, value, target, atLeast ?? false];
}

function storedCase({ name, n, unit, figures, skipped }: CaseResult): StoredCase {
  const stored = figures.map((figure): StoredFigure => {
    const { name, in: unit, min, quartiles, setupMs, hash } = figure satisfies Figure;
    return [name, unit, shorter(min), rounded(quartiles), shorter(setupMs), hash];
  });
  return [name, n, unit, stored, skipped.map(({ name, skipped: reason }) => [name, reason])];
}

function rounded([low, middle, high]: Quartiles): Quartiles {
  return [shorter(low), shorter(middle), shorter(high)];
}

function shorter(value: number): number {
  return Number(value.toPrecision(DIGITS));
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

/** Versions of this package, its competitors and its build tools. */
function packageVersions(): Record<string, string> {
  const manifest = (path: string) => JSON.parse(readFileSync(`${ROOT}${path}`, "utf8"));
  const own = manifest("package.json");
  const versions: Record<string, string> = { [own.name]: own.version };
  for (const name of Object.keys(own.devDependencies)) {
    versions[name] = manifest(`node_modules/${name}/package.json`).version;
  }
  return versions;
}
