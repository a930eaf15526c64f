/**
 * Every benchmark group with tiny sizes: all competitors of a case answer the same, each row of the report is there.
 * Times are not looked at. Without a C compiler or /dev/kvm the native competitors are skipped, as in the report.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseHTML } from "linkedom";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { WAYS } from "../../bench/boot/ways.js";
import { buildAll } from "../../bench/engine/build.js";
import { type Case, type CaseResult, type Figure, Results, verdictOf } from "../../bench/harness/case.js";
import { drawCurves } from "../../bench/harness/curves.js";
import { figuresText, withFigures } from "../../bench/harness/document.js";
import { fullScale, groups, smokeScale } from "../../bench/harness/groups.js";
import { measureCase } from "../../bench/harness/measure.js";
import { joinResults } from "../../bench/harness/result.js";

const IMAGES = fileURLToPath(new URL("../../docs/img/", import.meta.url));
const DOCUMENT = fileURLToPath(new URL("../../docs/performance.md", import.meta.url));
const RESULTS = fileURLToPath(new URL("../../bench/results/", import.meta.url));
const SMOKE = { smoke: true };
/** Why a competitor may be missing here. */
const MISSING = /^(no C compiler|no headers of Node|no usable \/dev\/kvm|no \w+ among the installed)/;
/** Peers that break by themselves: interval-tree-1d loses its root when it removes many of its intervals. */
const BROKEN = new Map([["interval-tree-1d", /^throws TypeError: Cannot read properties of null/]]);

const all: CaseResult[] = [];
const missing = new Set<string>();
const { noAddon } = await buildAll();
if (noAddon !== undefined) console.log(`skipped: native competitors: ${noAddon}`);

for (const group of groups) {
  test(`${group.name}: ${group.about}`, async () => {
    const results: CaseResult[] = [];
    for (const one of group.cases(smokeScale)) results.push(await measureCase(one, SMOKE));
    assert.ok(results.length > 0);
    for (const { name, figures, skipped } of results) {
      assert.ok(figures.length > 0, name);
      for (const figure of figures) assert.ok(figure.median > 0, `${name}: ${figure.name}`);
      for (const { name: who, skipped: reason } of skipped) {
        if (BROKEN.get(who)?.test(reason)) continue;
        assert.match(reason, MISSING, `${name}: ${who}: ${reason}`);
        missing.add(reason);
      }
    }
    const own = group.rows(new Results(results), smokeScale);
    for (const row of own) {
      if (row.measured === undefined) assert.match(row.skipped ?? "", MISSING, `${row.id} ${row.what}`);
      else assert.ok(row.measured > 0, `${row.id} ${row.what}`);
    }
    all.push(...results);
  });
}

const IDS = [
  ...["L1", "L2", "L3", "L4", "L5", "L6", "J1", "J2", "J3", "J4", "B1", "B2"],
  ...["C1", "C2", "C3", "C4", "C5", "C6", "H1", "S1", "S2", "S3", "S4", "S5"],
  ...["T1", "T2", "T3", "T4", "T5", "T6", "T7", "M1", "M2", "K1", "K2", "K3"],
];

/** Every case at every size, as if it had been run. */
class Everything extends Results {
  static readonly FIGURE: Figure = {
    ...{ name: "any", in: "ns", min: 1, median: 1, spread: 0 },
    ...{ rounds: 1, setupMs: 0, hash: "" },
  };

  override case(name: string, n: number): CaseResult {
    return { name, n, unit: "any", figures: [Everything.FIGURE], skipped: [] };
  }

  override figure(): Figure {
    return Everything.FIGURE;
  }
}

test("the report of a full run has each row of the design, with a target", () => {
  for (const reason of missing) console.log(`skipped: ${reason}`);
  const rows = groups.flatMap((group) => group.rows(new Everything([]), fullScale));
  for (const id of IDS) {
    const own = rows.filter((row) => row.id === id);
    assert.ok(own.length > 0, id);
    if (!["K2", "K3"].includes(id))
      assert.ok(
        own.every(({ target }) => target !== undefined),
        id,
      );
  }
});

test("the boot benchmark: a figure for each number of vCPUs and way, and a table of them", () => {
  const boot = groups.find(({ name }) => name === "boot")!;
  const results = all.filter(({ name }) => name.startsWith("boot "));
  assert.equal(
    results.map(({ n, figures }) => [n, figures.map(({ name }) => name)]),
    [1, 2].map((n) => [n, WAYS]),
  );
  const report = boot.report!(new Results(results), smokeScale).split("\n");
  assert.match(report[0] ?? "", /^microvm-1g: ms of all commits; vCPUs on \d+ processors +1 +2$/);
  for (const [i, way] of WAYS.entries())
    assert.match(report[i + 1] ?? "", new RegExp(`^ {2}${way}( +[\\d.e+]+){2}$`));
});

test("curves of what was measured, one for each picture of the documentation", () => {
  const folder = mkdtempSync(join(tmpdir(), "memslots-bench-"));
  try {
    const files = drawCurves(folder, all);
    assert.equal(
      files.map((file) => basename(file)).sort(),
      readdirSync(IMAGES).filter((name) => name.startsWith("bench-")),
    );
    for (const file of files) {
      const { document } = parseHTML(readFileSync(file, "utf8"));
      const curves = document.querySelectorAll('g[aria-label="line"] path').length;
      assert.ok(curves >= 3, `${file}: ${curves} curves`);
      const names = [...document.querySelectorAll('g[aria-label="text"] text')].map(
        (text) => text.textContent,
      );
      assert.is(names.length, curves, file);
      assert.is(document.querySelectorAll('g[font-weight="bold"] text').length, 1, file);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const RUN = {
  ...{ date: "2026-11-25T10:00:00.000Z", commit: "0123456789abcdef", runtime: "node v20", engine: undefined },
  machine: { cpu: "a processor", cores: 2, memoryBytes: 1, system: "linux 6 x64" },
  ...{ versions: {}, measured: ["a"] },
};

test("results of several runs are joined, the last of each case; a document takes their rows between its marks", () => {
  const one = (name: string, median: number): CaseResult => ({
    ...{ name, n: 8, unit: "op", skipped: [] },
    figures: [{ ...Everything.FIGURE, median }],
  });
  const earlier = { runs: [RUN], cases: [one("a", 1), one("b", 2)] };
  const { runs, cases } = joinResults([earlier, { runs: [RUN], cases: [one("a", 3)] }]);
  assert.is(runs.length, 2);
  assert.equal(
    cases.map(({ name, figures }) => [name, figures[0]!.median]),
    [
      ["a", 3],
      ["b", 2],
    ],
  );
  const text = figuresText({ runs, cases }, [
    { id: "X1", what: "ours / theirs", n: "8", measured: 0.5, target: 1 },
    { id: "X2", what: "theirs / ours", n: "8", unit: "us", measured: 0.5, target: 1, atLeast: true },
    { id: "X3", what: "no", n: "", measured: undefined, skipped: "no C compiler" },
  ]);
  assert.is(
    text,
    `
Measured 2026-11-25, commit 0123456789, on 2 processors (a processor), linux 6 x64, node v20.

| row | what | n | measured | target | |
|---|---|---:|---:|---:|---|
| X1 | ours / theirs | 8 | 0.500 | ≤ 1 | ok |
| X2 | theirs / ours | 8 | 0.500 us | ≥ 1 | MISSED |
| X3 | no |  |  |  | skipped: no C compiler |

`,
  );
  const document = "a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nb\n";
  assert.is(withFigures(document, "new\n"), "a\n<!-- figures: begin -->\nnew\n<!-- figures: end -->\nb\n");
  assert.throws(() => withFigures("a\n", "new\n"), /the document must have/);
});

test("docs/performance.md shows the newest result of bench/results", () => {
  const newest = readdirSync(RESULTS).sort().at(-1)!;
  const { rows, ...result } = JSON.parse(readFileSync(join(RESULTS, newest), "utf8"));
  const document = readFileSync(DOCUMENT, "utf8");
  assert.is(withFigures(document, figuresText(result, rows)), document, newest);
});

/** A case whose competitors answer as given; names beginning with "their" are foreign. */
function answering(answers: Record<string, () => number>): Case {
  return {
    name: "made up",
    n: 1,
    unit: "answer",
    prepare: async () =>
      Object.entries(answers).map(([name, batch]) => ({
        name,
        foreign: name.startsWith("their"),
        build: () => ({ operations: 1, batch }),
      })),
  };
}

test("a competitor that answers something else is found out", async () => {
  const agreed = await measureCase(answering({ a: () => 7, b: () => 7 }), SMOKE);
  assert.is(agreed.figures[0]!.hash, agreed.figures[1]!.hash);
  try {
    await measureCase(answering({ a: () => 7, b: () => 8 }), SMOKE);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /b answers 8 in round 0, a 7/);
  }
  const theirs = await measureCase(answering({ a: () => 7, "their b": () => 8 }), SMOKE);
  assert.equal(
    theirs.figures.map(({ name }) => name),
    ["a"],
  );
  assert.match(theirs.skipped[0]!.skipped, /^answers 8 in round 0/);
});

test("a row holds or misses its target, at most or at least", () => {
  const row = { id: "X", what: "", n: "" };
  assert.is(verdictOf({ ...row, measured: 2, target: 2 }), "ok");
  assert.is(verdictOf({ ...row, measured: 2.1, target: 2 }), "MISSED");
  assert.is(verdictOf({ ...row, measured: 2, target: 2, atLeast: true }), "ok");
  assert.is(verdictOf({ ...row, measured: 1.9, target: 2, atLeast: true }), "MISSED");
  assert.is(verdictOf({ ...row, measured: undefined, target: 2 }), "skipped");
  assert.is(verdictOf({ ...row, measured: 1 }), "");
});

test.run();
