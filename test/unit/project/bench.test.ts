/**
 * Every benchmark group with tiny sizes: all competitors of a case answer the same, each row of the report is there.
 * Times are not looked at. Without a C compiler or /dev/kvm the native competitors are skipped, as in the report.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseHTML } from "linkedom";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GROUP_NAMES } from "../../../bench/arguments.mjs";
import { FIGURES } from "../../../bench/boot/table.js";
import { WAYS } from "../../../bench/boot/ways.js";
import { buildAll } from "../../../bench/engine/build.js";
import {
  type Case,
  type CaseResult,
  type Figure,
  Results,
  type Row,
  ratioOf,
  verdictOf,
} from "../../../bench/harness/case.js";
import { changeOf, comparison } from "../../../bench/harness/compare.js";
import { Core, NO_CORE } from "../../../bench/harness/core.js";
import { drawCurves } from "../../../bench/harness/curves.js";
import { figuresText, withFigures } from "../../../bench/harness/document.js";
import { fullScale, loadGroups, smokeScale } from "../../../bench/harness/groups.js";
import { measureCase } from "../../../bench/harness/measure.js";
import {
  asStored,
  joinResults,
  type Result,
  readResult,
  rowKey,
  writeResult,
} from "../../../bench/harness/result.js";

const IMAGES = fileURLToPath(new URL("../../../docs/img/", import.meta.url));
const DOCUMENT = fileURLToPath(new URL("../../../docs/performance.md", import.meta.url));
const RESULTS = fileURLToPath(new URL("../../../bench/results/", import.meta.url));
const SMOKE = { smoke: true };
/** Why a competitor may be missing here. */
const MISSING = /^(no C compiler|no headers of Node|no usable \/dev\/kvm|no \w+ among the installed)/;
/** Peers that break by themselves: interval-tree-1d loses its root when it removes many of its intervals. */
const BROKEN = new Map([["interval-tree-1d", /^throws TypeError: Cannot read properties of null/]]);

const groups = await loadGroups();
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
      else assert.ok(row.measured[0] > 0, `${row.id} ${row.what}`);
    }
    all.push(...results);
  });
}

const IDS = [
  ...["L1", "L2", "L3", "L4", "L5", "L6", "J1", "J2", "J3", "J4", "B1", "B2"],
  ...["C1", "C2", "C3", "C4", "C5", "C6", "H1", "S1", "S2", "S3", "S4", "S5"],
  ...["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "M1", "W1", "W2", "W3", "M2", "K1", "K2", "K3"],
];

/** Every case at every size, as if it had been run. */
class Everything extends Results {
  static readonly FIGURE: Figure = {
    ...{ name: "any", in: "ns", min: 1, median: 1, quartiles: [1, 1, 1] },
    ...{ setupMs: 0, hash: "" },
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
  for (const id of IDS) assert.ok(rows.filter((row) => row.id === id).length > 0, id);
  // Bytes are the same on every machine; everything else is a ratio to a competitor.
  for (const { id, what, target, unit } of rows) {
    assert.ok(target > 0, what);
    assert.is(unit, /^M[23]$/.test(id) ? "bytes" : undefined, what);
  }
  assert.is(new Set(rows.map(rowKey)).size, rows.length, "a row twice");
});

/** Linux tells how long a thread waits for a processor. */
function ownSum(way: string): string[] {
  return existsSync("/proc/self/schedstat") ? [`${way}, own`] : [];
}

test("the boot benchmark: a figure for each number of vCPUs and way, and a table of them", () => {
  const boot = groups.find(({ name }) => name === "boot")!;
  const results = all.filter(({ name }) => name.startsWith("boot "));
  assert.equal(
    results.map(({ n, figures }) => [n, figures.map(({ name }) => name)]),
    [1, 2].map((n) => [n, WAYS.flatMap((way) => [way, `${way}, sum`, ...ownSum(way), `${way}, section`])]),
  );
  const report = boot.report!(new Results(results), smokeScale).split("\n");
  assert.match(report[0] ?? "", /^microvm-1g: vCPUs on \d+ processors +1 +2$/);
  for (const [f, figure] of Object.values(FIGURES).entries()) {
    const part = report.slice(1 + f * (1 + WAYS.length));
    assert.is(part[0], `  ${figure}`);
    for (const [i, way] of WAYS.entries())
      assert.match(part[i + 1] ?? "", new RegExp(`^ {4}${way}( +([\\d.e+-]+|-)){2}$`));
  }
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
  versions: {},
};

test("results of several runs are joined, the last of each case; a document takes their rows between its marks", () => {
  const one = (name: string, median: number): CaseResult => ({
    ...{ name, n: 8, unit: "op", skipped: [] },
    figures: [{ ...Everything.FIGURE, median }],
  });
  const row = (id: string, measured: Row["measured"], more: Partial<Row> = {}): Row => ({
    ...{ id, what: "ours / theirs", n: "8", measured, target: 1 },
    ...more,
  });
  const none = { runs: [RUN], rows: [], cases: [] };
  const earlier: Result = {
    ...none,
    rows: [row("X1", [1, 1, 1]), row("X3", undefined, { n: "", skipped: "no C compiler" })],
    cases: [one("a", 1), one("b", 2)],
  };
  const later: Result = {
    ...none,
    rows: [row("X1", [0.4, 0.5, 0.6]), row("X2", [0.4, 0.5, 0.6], { unit: "bytes", atLeast: true })],
    cases: [one("a", 3)],
  };
  const { runs, rows, cases } = joinResults([earlier, later]);
  assert.is(runs.length, 2);
  assert.equal(
    cases.map(({ name, figures }) => [name, figures[0]!.median]),
    [
      ["a", 3],
      ["b", 2],
    ],
  );
  assert.is(
    figuresText({ runs, rows }),
    `
Measured 2026-11-25, commit 0123456789, on 2 processors (a processor), linux 6 x64, node v20.

| row | what | n | measured | quartiles | target | |
|---|---|---:|---:|---:|---:|---|
| X1 | ours / theirs | 8 | 0.500 | 0.400 to 0.600 | ≤ 1 | ok |
| X3 | ours / theirs |  |  |  | ≤ 1 | not measured: no C compiler |
| X2 | ours / theirs | 8 | 0.500 bytes | 0.400 to 0.600 | ≥ 1 | MISSED |

`,
  );
  const document = "a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nb\n";
  assert.is(withFigures(document, "new\n"), "a\n<!-- figures: begin -->\nnew\n<!-- figures: end -->\nb\n");
  assert.throws(() => withFigures("a\n", "new\n"), /the document must have/);
});

test("a result is written and read again; two are compared by their quartiles", () => {
  const folder = mkdtempSync(join(tmpdir(), "memslots-bench-"));
  try {
    const row = (id: string, measured: Row["measured"], atLeast = false): Row => ({
      ...{ id, what: "ours / theirs", n: "8", measured, target: 1, atLeast },
      ...(measured === undefined ? { skipped: "no C compiler" } : {}),
    });
    const figure: Figure = { ...Everything.FIGURE, quartiles: [1, 2, 3.125], median: 2 };
    const one: CaseResult = { name: "a", n: 8, unit: "op", figures: [figure], skipped: [] };
    const before: Result = {
      runs: [RUN],
      rows: [row("A", [1, 2, 3]), row("B", [1, 2, 3]), row("C", [1, 2, 3], true), row("D", [1, 2, 3])],
      cases: [one],
    };
    const file = join(folder, "result.json");
    writeResult(file, before);
    const { runs: _, ...read } = readResult(file);
    assert.equal(read, { rows: before.rows, cases: before.cases });
    const after = { ...before, rows: [row("A", [3, 4, 5]), row("B", [4, 5, 6]), row("C", [4, 5, 6], true)] };
    const lines = comparison(before, after).split("\n");
    assert.is(lines.at(-1), "1 better, 1 worse, 1 same; 1 only before, 0 only after");
    assert.match(lines[2]!, /^B +8 +2\.00 +1\.00 to 3\.00 +5\.00 +4\.00 to 6\.00 +2\.50 +worse +ours/);
    assert.is(changeOf([1, 2, 3], [0.1, 0.2, 0.3]), "better");
    const exact = { ...before, rows: [row("A", [0.63249, 0.44649, 0.79149])] };
    writeResult(file, exact);
    assert.is(figuresText(asStored(exact)), figuresText(readResult(file)), "no digit is rounded twice");
    assert.is.not(figuresText(exact), figuresText(readResult(file)), "this one would be");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/performance.md shows the newest result of bench/results", () => {
  const newest = readdirSync(RESULTS).sort().at(-1)!;
  const document = readFileSync(DOCUMENT, "utf8");
  assert.is(withFigures(document, figuresText(readResult(join(RESULTS, newest)))), document, newest);
});

/** A case whose competitors return the given results; names that begin with "their" are foreign. */
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

test("a competitor with other results is detected", async () => {
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

test("a row holds or misses its target with its quartiles, or comes close; at most or at least", () => {
  const verdict = (measured: Row["measured"], atLeast = false) => verdictOf({ measured, target: 2, atLeast });
  assert.is(verdict([1, 1.5, 2]), "ok");
  assert.is(verdict([1, 1.5, 2.1]), "close");
  assert.is(verdict([2, 2.5, 3]), "close");
  assert.is(verdict([2.1, 2.5, 3]), "MISSED");
  assert.is(verdict([2, 2.5, 3], true), "ok");
  assert.is(verdict([1.9, 2.5, 3], true), "close");
  assert.is(verdict([1, 1.5, 1.9], true), "MISSED");
  assert.is(verdict(undefined), "not measured");
});

test("a ratio is taken round by round; without rounds it has the widest quartiles", () => {
  const figure = (...samples: number[]): Figure => ({
    ...{ ...Everything.FIGURE, samples },
    quartiles: [samples[0]!, samples[1]!, samples[2]!],
  });
  assert.equal(ratioOf(figure(1, 2, 4), figure(2, 4, 8)), [0.5, 0.5, 0.5]);
  const { samples: _, ...alone } = figure(1, 2, 4);
  assert.equal(ratioOf(alone, figure(2, 4, 8)), [0.125, 0.5, 2]);
});

/** A competitor whose batch is shorter than a clock can tell. */
function counting(calls: { batches: number }): Case {
  return {
    ...{ name: "made up", n: 1, unit: "answer" },
    prepare: async () => [
      {
        name: "short",
        build: () => ({
          operations: 1,
          batch() {
            calls.batches++;
            return 7;
          },
        }),
      },
    ],
  };
}

test("a batch that is too short for the clock is repeated, or not measured; the run goes on", async () => {
  const calls = { batches: 0 };
  const { figures, skipped } = await measureCase(counting(calls), { smoke: false, quick: true });
  assert.ok(calls.batches > 100, "a sample takes several batches");
  if (figures.length === 0) assert.match(skipped[0]!.skipped, /too short for this clock/);
  else assert.ok(figures[0]!.median > 0);
});

test("a neighbour on the core: a batch counts when it is gone, or when nobody has time to wait any more", () => {
  const alone = new Core(NO_CORE, () => 2);
  assert.equal(alone.state, { leastMs: 2, patienceMs: 0 });
  assert.ok(alone.accepts(1));
  assert.equal([alone.batches, alone.shared], [1, 0]);
  // Slower by more than a neighbour takes.
  const known = { leastMs: 2, patienceMs: 0 };
  const hasty = new Core(known, () => 3);
  hasty.wait();
  assert.ok(hasty.accepts(1));
  assert.equal([hasty.batches, hasty.shared, hasty.state], [1, 1, known]);
  const patient = new Core({ ...known, patienceMs: 5 }, () => 3);
  assert.not(patient.accepts(1));
  assert.is(patient.batches, 0);
  assert.is(patient.state.patienceMs, 4, "a batch in vain counts");
  patient.wait();
  assert.ok(patient.state.patienceMs <= 0);
  assert.ok(patient.accepts(1));
  const preempted = new Core({ ...known, patienceMs: 5 }, () => undefined);
  preempted.wait();
  assert.ok(preempted.accepts(1), "nothing was seen of a neighbour");
  assert.equal([preempted.shared, preempted.state.leastMs], [0, known.leastMs]);
  const wide = new Core({ leastMs: 2e6, patienceMs: 1e9 }, () => 2);
  wide.wait();
  assert.is(wide.state.leastMs, 2, "it learns");
});

test("the loop that looks at the core takes some time, or says that it cannot tell", () => {
  const core = new Core(NO_CORE);
  core.learn(20);
  const { leastMs } = core.state;
  assert.ok(leastMs > 0 && (leastMs < 1000 || leastMs === NO_CORE.leastMs), String(leastMs));
});

test("a group's name is an argument, in the order of the report", () => {
  assert.equal(
    groups.map(({ name }) => name),
    GROUP_NAMES,
  );
});

test.run();
