/**
 * `npm run bench [-- GROUP...] [OPTION...]`: measure, compare with the targets, report.
 *
 *   --cases TEXT   only cases whose name has TEXT
 *   --from FILE    results of an earlier run: what is measured now takes the place of the same cases there; with
 *                  --cases "" nothing is measured. May be repeated.
 *   --json FILE    write the results; bench/results/ keeps dated ones
 *   --svg DIR      draw the curves that the documentation shows
 *   --docs FILE    write the table of the results into a document, between its marks
 *   --smoke        tiny sizes: do all competitors answer the same?
 *
 * Every ratio has both sides measured in the same processes and in turns, on seeded data; every competitor's
 * answers are hashed and must agree. Absolute times move with the machine's clock and load, ratios hardly.
 */
import { parseArgs } from "node:util";
import { buildAll } from "./engine/build.js";
import { type Case, type CaseResult, type Group, NOT_RUN, Results } from "./harness/case.js";
import { writeDocument } from "./harness/document.js";
import { fullScale, groups } from "./harness/groups.js";
import { CASE_FLAG, measureIsolated } from "./harness/isolate.js";
import { measureCase } from "./harness/measure.js";
import { Progress } from "./harness/progress.js";
import { joinResults, readResult, resultOf, writeResult } from "./harness/result.js";
import { caseTable, rowTable, summary } from "./harness/table.js";
import { smoke } from "./smoke.js";

if (process.argv[2] === CASE_FLAG) await runCase(process.argv[3]!, Number(process.argv[4]));
else await main();

/** The child's side of measureIsolated. */
async function runCase(name: string, index: number): Promise<void> {
  const one = groups.find((group) => group.name === name)!.cases(fullScale)[index]!;
  process.send?.(await measureCase(one, { smoke: false }));
  process.disconnect?.();
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2).filter((argument) => argument !== "--"),
    options: {
      cases: { type: "string" },
      from: { type: "string", multiple: true, default: [] },
      json: { type: "string" },
      svg: { type: "string" },
      docs: { type: "string" },
      smoke: { type: "boolean" },
    },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !groups.some((group) => group.name === name));
  if (unknown !== undefined) {
    console.error(
      `bench: unknown group "${unknown}", there are ${groups.map((group) => group.name).join(", ")}`,
    );
    process.exitCode = 1;
    return;
  }
  if (values.smoke) {
    const { cases } = await smoke();
    console.log(`bench: ${cases.length} cases agree`);
    return;
  }
  const earlier = joinResults(values.from.map(readResult));
  const chosen =
    positionals.length === 0 ? groups : groups.filter((group) => positionals.includes(group.name));
  const result = joinResults([earlier, resultOf(await measureGroups(chosen, values.cases))]);
  const all = new Results(result.cases);
  const reported = groups.filter((group) =>
    group.cases(fullScale).some(({ name, n }) => all.case(name, n) !== undefined),
  );
  const rows = reported
    .flatMap((group) => group.rows(all, fullScale))
    // Where a part was asked for, the rest is no news; in a whole run it would be.
    .filter(
      ({ measured, skipped = NOT_RUN }) =>
        values.cases === undefined || measured !== undefined || skipped !== NOT_RUN,
    );
  console.log(rowTable(rows));
  console.log(summary(rows));
  if (values.json !== undefined) writeResult(values.json, result, rows);
  if (values.docs !== undefined) writeDocument(values.docs, result, rows);
  if (values.svg !== undefined) {
    const { drawCurves } = await import("./harness/curves.js");
    for (const file of drawCurves(values.svg, result.cases)) console.log(`drawn: ${file}`);
  }
}

/** Measure the cases of `chosen` whose name has `part`; none at all if that is empty. */
async function measureGroups(chosen: readonly Group[], part: string | undefined): Promise<CaseResult[]> {
  const wanted = ({ name }: Case): boolean => part === undefined || (part !== "" && name.includes(part));
  const total = chosen.reduce((sum, group) => sum + group.cases(fullScale).filter(wanted).length, 0);
  if (total === 0) return [];
  await buildAll();
  const results: CaseResult[] = [];
  const progress = new Progress(total);
  for (const group of chosen) {
    console.log(`== ${group.name}: ${group.about}\n`);
    for (const [index, one] of group.cases(fullScale).entries()) {
      if (!wanted(one)) continue;
      progress.step(`${one.name}, n = ${one.n}`);
      const result = await measureIsolated(group.name, index, one.processes);
      progress.clear();
      console.log(caseTable(result));
      results.push(result);
    }
    if (group.report !== undefined) console.log(group.report(new Results(results), fullScale));
  }
  return results;
}
