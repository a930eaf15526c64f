/**
 * A process per case. V8 specialises a function for all that ever called it, so that competitors of one case
 * would otherwise be measured with the types and engines of the cases before it.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { CaseResult, Figure } from "./case.js";

const RUN = fileURLToPath(new URL("../run.ts", import.meta.url));
/** First argument of such a process. */
export const CASE_FLAG = "--case";

/**
 * Run case number `index` of a group in as many processes as it wants: of each competitor the median one.
 * @throws Error with what a process wrote to its standard error
 */
export async function measureIsolated(group: string, index: number, processes = 1): Promise<CaseResult> {
  const results: CaseResult[] = [];
  while (results.length < processes) results.push(await measureOnce(group, index));
  const first = results[0]!;
  const figures = first.figures.map(({ name }) =>
    medianOf(results.flatMap((result) => result.figures.filter((figure) => figure.name === name))),
  );
  return { ...first, figures };
}

function medianOf(figures: readonly Figure[]): Figure {
  return [...figures].sort((a, b) => a.median - b.median)[(figures.length - 1) >> 1]!;
}

function measureOnce(group: string, index: number): Promise<CaseResult> {
  return new Promise((resolve, reject) => {
    const child = fork(RUN, [CASE_FLAG, group, String(index)], { silent: true });
    let result: CaseResult | undefined;
    let errors = "";
    child.stderr?.on("data", (chunk) => (errors += chunk));
    child.on("message", (message) => (result = message as CaseResult));
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0 && result !== undefined) resolve(result);
      else reject(new Error(`a case of ${group} failed (exit ${code})\n${errors}`));
    });
  });
}
