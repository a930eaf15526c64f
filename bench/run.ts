/**
 * `npm run bench`: measure, compare with the targets, report. `npm run bench -- --help` lists the arguments.
 *
 * Every ratio has both sides measured in the same processes and in turns, on seeded data; every competitor's results
 * are hashed and must agree: only if they do not, a run ends early. Absolute times move with the machine's clock and
 * load, ratios hardly.
 */
import { benchCommand } from "./arguments.mjs";
import {
  type Case,
  type CaseResult,
  type Group,
  NOT_RUN,
  Results,
  type Scale,
  WrongAnswer,
} from "./harness/case.js";
import { comparison } from "./harness/compare.js";
import { Core, type CoreState, NO_CORE } from "./harness/core.js";
import { writeDocument } from "./harness/document.js";
import { fullScale, loadGroups, quickScale } from "./harness/groups.js";
import { CASE_FLAG, type CaseMessage, measureIsolated } from "./harness/isolate.js";
import { measureCase } from "./harness/measure.js";
import { Progress } from "./harness/progress.js";
import { asStored, joinResults, type Result, readResult, resultOf, writeResult } from "./harness/result.js";
import { caseTable, percent, rowTable, summary } from "./harness/table.js";

interface Options {
  readonly quick?: boolean;
  readonly cases?: string;
  readonly from?: readonly string[];
  readonly json?: string;
  readonly svg?: string;
  readonly docs?: string;
  readonly smoke?: boolean;
}

/** Milliseconds that a run waits for its core to be its own, in all. */
const PATIENCE_MS = 600_000;
const PATIENCE_MS_QUICK = 15_000;
/** Why a quick run lacks a row. */
const FULL_ONLY = "in a full run only";
/** How long it looks at the core before. */
const LEARN_MS = 500;

const [flag, group, index, extent, core] = process.argv.slice(2);
if (flag === CASE_FLAG) await runCase(group!, Number(index), extent === "quick", JSON.parse(core!));
else {
  const page = async (port?: string) => (await import("./page/serve.js")).servePage(Number(port ?? 0));
  const compare = (before: string, after: string) =>
    console.log(comparison(readResult(before), readResult(after)));
  await benchCommand("npm run bench --", { measure, compare, page }).parseAsync();
}

/** The child's side of measureIsolated. */
async function runCase(name: string, index: number, quick: boolean, state: CoreState): Promise<void> {
  const core = new Core(state);
  const scale = quick ? quickScale : fullScale;
  const [group] = await loadGroups([name]);
  const one = group!.cases(scale)[index]!;
  let message: CaseMessage;
  try {
    message = { result: await measureCase(one, { smoke: false, quick, core }), core: core.state };
  } catch (error) {
    if (!(error instanceof WrongAnswer)) throw error;
    message = { wrong: error.message };
  }
  process.send?.(message);
  process.disconnect?.();
}

async function measure(names: readonly string[], options: Options): Promise<void> {
  if (options.smoke) {
    const { smoke } = await import("./smoke.js");
    const { cases } = await smoke();
    console.log(`bench: ${cases.length} cases agree`);
    return;
  }
  const scale = options.quick ? quickScale : fullScale;
  const chosen = await loadGroups(names);
  const earlier = (options.from ?? []).map(readResult);
  const result = asStored(joinResults([...earlier, await measureGroups(chosen, scale, options.cases)]));
  console.log(rowTable(result.rows));
  console.log(summary(result.rows));
  const { shared } = result.runs.at(-1) ?? {};
  if (shared !== undefined)
    console.log(`${percent(shared)} of the batches shared their core with a neighbour`);
  if (options.json !== undefined) writeResult(options.json, result);
  if (options.docs !== undefined) writeDocument(options.docs, result);
  if (options.svg !== undefined) {
    const { drawCurves } = await import("./harness/curves.js");
    for (const file of drawCurves(options.svg, result.cases)) console.log(`drawn: ${file}`);
  }
}

/** Measure the cases of `chosen` whose name has `part`; none at all if that is empty. */
async function measureGroups(
  chosen: readonly Group[],
  scale: Scale,
  part: string | undefined,
): Promise<Result> {
  const wanted = ({ name }: Case): boolean => part === undefined || (part !== "" && name.includes(part));
  const total = chosen.reduce((sum, group) => sum + group.cases(scale).filter(wanted).length, 0);
  if (total === 0) return resultOf([], []);
  const { buildAll } = await import("./engine/build.js");
  await buildAll();
  const results: CaseResult[] = [];
  const progress = new Progress(total);
  const { quick } = scale;
  const first = new Core({ ...NO_CORE, patienceMs: quick ? PATIENCE_MS_QUICK : PATIENCE_MS });
  first.learn(LEARN_MS);
  let core = first.state;
  for (const group of chosen) {
    const start = performance.now();
    console.log(`== ${group.name}: ${group.about}\n`);
    for (const [index, one] of group.cases(scale).entries()) {
      if (!wanted(one)) continue;
      const { name, n, unit } = one;
      progress.step(`${name}, n = ${n}`);
      const place = { group: group.name, index, name, n, unit, quick };
      const processes = quick ? 1 : (one.processes ?? 1);
      const { result, core: known } = await measureIsolated(place, processes, core);
      core = known;
      progress.clear();
      console.log(caseTable(result));
      results.push(result);
    }
    if (group.report !== undefined) console.log(group.report(new Results(results), scale));
    console.log(`== ${group.name}: ${((performance.now() - start) / 1000).toFixed(0)} s\n`);
  }
  const all = new Results(results);
  const rows = chosen
    .flatMap((group) => group.rows(all, scale))
    // The missing rows are reported in a whole run only.
    .filter(
      ({ measured, skipped = NOT_RUN }) =>
        part === undefined || measured !== undefined || skipped !== NOT_RUN,
    )
    .map((row) =>
      quick && row.measured === undefined && (row.skipped ?? NOT_RUN) === NOT_RUN
        ? { ...row, skipped: FULL_ONLY }
        : row,
    );
  return resultOf(results, rows);
}
