/**
 * `npm run bench [-- GROUP...] [-- --json FILE] [--svg DIR] [--smoke]`: measure, compare with the targets,
 * report.
 *
 * Every ratio has both sides measured in one process and in turns, on seeded data; every competitor's answers
 * are hashed and must agree. Absolute times move with the machine's clock and load, ratios hardly.
 */
import { parseArgs } from "node:util";
import { buildAll } from "./engine/build.js";
import { type CaseResult, type Group, Results } from "./harness/case.js";
import { fullScale, groups } from "./harness/groups.js";
import { CASE_FLAG, measureIsolated } from "./harness/isolate.js";
import { measureCase } from "./harness/measure.js";
import { Progress } from "./harness/progress.js";
import { writeResult } from "./harness/result.js";
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
    options: { json: { type: "string" }, svg: { type: "string" }, smoke: { type: "boolean" } },
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
  const chosen =
    positionals.length === 0 ? groups : groups.filter((group) => positionals.includes(group.name));
  await buildAll();
  const cases = await measureGroups(chosen);
  const rows = chosen.flatMap((group) => group.rows(new Results(cases), fullScale));
  console.log(rowTable(rows));
  console.log(summary(rows));
  if (values.json !== undefined) writeResult(values.json, cases, rows);
  if (values.svg !== undefined) {
    const { drawCurves } = await import("./harness/curves.js");
    drawCurves(values.svg, cases);
  }
}

async function measureGroups(chosen: readonly Group[]): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const progress = new Progress(chosen.reduce((sum, group) => sum + group.cases(fullScale).length, 0));
  for (const group of chosen) {
    console.log(`== ${group.name}: ${group.about}\n`);
    for (const [index, one] of group.cases(fullScale).entries()) {
      progress.step(`${one.name}, n = ${one.n}`);
      const result = await measureIsolated(group.name, index);
      progress.clear();
      console.log(caseTable(result));
      results.push(result);
    }
    if (group.report !== undefined) console.log(group.report(new Results(results), fullScale));
  }
  return results;
}
