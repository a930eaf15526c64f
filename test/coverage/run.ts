/**
 * npm run coverage [-- FILES]: which lines and branches of src/ the tests reach. The tests run from source and from
 * dist/, in workers and child processes: V8 tells what ran, and source maps lead all of it to src/.
 *
 * Exits with 1 if a test fails, fewer than LINES or BRANCHES percent are reached, or a `throw` is not. Lines that are
 * not reached are listed, with their reason where test/coverage/reasons.ts has one; branches, in BRANCH_LIST.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { CoverageReport } from "monocart-coverage-reports";
import { branchesOf, type FileBranches } from "./branches.js";
import { REASONS } from "./reasons.js";

const LINES = 97;
const BRANCHES = 93;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FOLDER = `${ROOT}build/coverage/`;
const RAW = `${FOLDER}raw`;
const BRANCH_LIST = `${FOLDER}branches.txt`;

function run(command: string, args: readonly string[], env: Record<string, string>): boolean {
  return (
    spawnSync(command, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...env } }).status === 0
  );
}

interface Raw {
  result: { url: string }[];
  "source-map-cache"?: object;
}

/** Positions in a module of src/ are those in the code that the loader made of it: hooks.mjs has kept that. */
function readDirected(): void {
  const root = pathToFileURL(ROOT).href;
  for (const name of readdirSync(RAW)) {
    const raw = JSON.parse(readFileSync(`${RAW}/${name}`, "utf8")) as Raw;
    raw.result = raw.result.flatMap((entry) => {
      const path = entry.url.startsWith(root) ? entry.url.slice(root.length).replace(/\?.*/, "") : "";
      if (/^dist\/[^/]*\.js$/.test(path)) return [entry];
      const copy = `${FOLDER}js/${path}.js`;
      return path.startsWith("src/") && existsSync(copy) ? [{ ...entry, url: pathToFileURL(copy).href }] : [];
    });
    delete raw["source-map-cache"];
    if (raw.result.length === 0) rmSync(`${RAW}/${name}`);
    else writeFileSync(`${RAW}/${name}`, JSON.stringify(raw));
  }
}

rmSync(FOLDER, { recursive: true, force: true });
// The programs of dist/ have source maps only for this.
if (!run(process.execPath, ["tasks.mjs", "build:js"], { COVERAGE: "1" })) process.exit(1);
const register = new URL("register.mjs", import.meta.url).href;
const passed = run(process.execPath, ["--import", "tsx", "test/run.ts", ...process.argv.slice(2)], {
  NODE_V8_COVERAGE: RAW,
  TEST_IMPORT: register,
});
readDirected();
const report = new CoverageReport({
  outputDir: `${FOLDER}report`,
  logging: "error",
  // What dist/ bundles of other packages has paths that are not there. Variants are "src/engine.ts?url.ts", which the
  // report takes for "src/engine.tsurl.ts".
  sourcePath: (path: string) => /(?:^|\/)(src\/.*?\.ts)(?:\w+\.ts)?$/.exec(path)?.[1] ?? path,
  sourceFilter: (path: string) => path.startsWith("src/") && existsSync(ROOT + path),
  reports: ["json"],
});
await report.cleanCache();
await report.addFromDir(RAW);
const { files = [], summary } = (await report.generate())!;
const istanbul: Record<string, FileBranches> = JSON.parse(
  readFileSync(`${FOLDER}report/coverage-final.json`, "utf8"),
);

/** Ways of all branches, and those that were taken. */
let [ways, taken] = [0, 0];
const missed: string[] = [];
for (const { sourcePath, source = "" } of files) {
  for (const { line, type, counts } of branchesOf(istanbul[sourcePath]!, source)) {
    ways += counts.length;
    taken += counts.filter((count) => count > 0).length;
    if (counts.includes(0)) missed.push(`${sourcePath}:${line}: ${type} ${counts.join(", ")}`);
  }
}
writeFileSync(BRANCH_LIST, `${missed.join("\n")}\n`);

let gaps = 0;
/** Errors that no test has seen. */
let throws = 0;
for (const { sourcePath, source = "", data } of files) {
  const text = source.split("\n");
  /** The last line that is not reached, and its reason: an end of a block has that, too. */
  let last: { line: number; reason: (typeof REASONS)[number] | undefined } = { line: 0, reason: undefined };
  for (const [line, count] of Object.entries(data!.lines ?? {})) {
    if (count !== 0) continue;
    const code = text[Number(line) - 1]?.trim() ?? "";
    const isTold = (lines: readonly string[]) => lines.some((known) => code.includes(known));
    const isEnd = /^[)\]};]+$/.test(code) && last.line === Number(line) - 1;
    const reason = isEnd
      ? last.reason
      : REASONS.find(({ file, lines }) => file === sourcePath && isTold(lines));
    last = { line: Number(line), reason };
    if (reason === undefined) gaps++;
    if (reason === undefined && /\bthrow\b/.test(code)) throws++;
    console.log(`${sourcePath}:${line}: ${code}${reason === undefined ? "" : `  <- ${reason.why}`}`);
  }
}
const lines = Number(summary.lines!.pct);
const branches = Math.floor((10_000 * taken) / ways) / 100;
console.log(`${gaps} lines of src/ are not reached and have no reason; ${throws} of them throw`);
console.log(`${ways - taken} of ${ways} ways of branches are not taken: ${BRANCH_LIST}`);
console.log(`lines ${lines} % (at least ${LINES}), branches ${branches} % (at least ${BRANCHES})`);
process.exit(passed && throws === 0 && lines >= LINES && branches >= BRANCHES ? 0 : 1);
