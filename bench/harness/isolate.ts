/**
 * A process per case. V8 specialises a function for all its callers, so in one process the competitors of a case would
 * be measured with the types and engines of the cases before it.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type CaseResult, type Figure, WrongAnswer } from "./case.js";
import type { CoreState } from "./core.js";
import { median, quartilesOf } from "./statistics.js";

const RUN = fileURLToPath(new URL("../run.ts", import.meta.url));
/** First argument of such a process. */
export const CASE_FLAG = "--case";
/** A case that takes longer is stuck. */
const WATCHDOG_MS = 900_000;

/** A case by its place, and how to run it. */
export interface CasePlace {
  readonly group: string;
  readonly index: number;
  readonly name: string;
  readonly n: number;
  readonly unit: string;
  readonly quick: boolean;
}

/** What the process of a case sends. */
export type CaseMessage =
  | { readonly result: CaseResult; readonly core: CoreState }
  | { readonly wrong: string };

/** The result of a case, and what is known of the core behind it. */
interface Outcome {
  readonly result: CaseResult;
  readonly core: CoreState;
}

/**
 * Run a case in its number of processes, and join their samples. A process that fails is a result without figures.
 * @throws WrongAnswer
 */
export async function measureIsolated(
  place: CasePlace,
  processes: number,
  core: CoreState,
): Promise<Outcome> {
  const results: CaseResult[] = [];
  let known = core;
  while (results.length < processes) {
    const outcome = await measureOnce(place, known);
    results.push(outcome.result);
    known = outcome.core;
  }
  const good = results.filter(({ failure }) => failure === undefined);
  const first = good[0] ?? results[0]!;
  const figures = first.figures.map(({ name }) =>
    joined(good.flatMap((result) => result.figures.filter((figure) => figure.name === name))),
  );
  const sum = (count: "batches" | "shared") => good.reduce((all, result) => all + (result[count] ?? 0), 0);
  return { result: { ...first, figures, batches: sum("batches"), shared: sum("shared") }, core: known };
}

function joined(figures: readonly Figure[]): Figure {
  const samples = figures.flatMap((figure) => figure.samples ?? [figure.median]);
  const min = Math.min(...figures.map((figure) => figure.min));
  return { ...figures[0]!, samples, min, median: median(samples), quartiles: quartilesOf(samples) };
}

function measureOnce({ group, index, name, n, unit, quick }: CasePlace, core: CoreState): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const args = [CASE_FLAG, group, String(index), quick ? "quick" : "full", JSON.stringify(core)];
    const child = fork(RUN, args, { silent: true, timeout: WATCHDOG_MS });
    let message: CaseMessage | undefined;
    let errors = "";
    child.stderr?.on("data", (chunk) => (errors += chunk));
    child.on("message", (sent) => (message = sent as CaseMessage));
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (message !== undefined && "result" in message) resolve(message);
      else if (message !== undefined) reject(new WrongAnswer(message.wrong));
      else {
        const why = /^\w*Error: .*/m.exec(errors)?.[0] ?? `exit ${signal ?? code}`;
        resolve({ result: { name, n, unit, figures: [], skipped: [], failure: why }, core });
      }
    });
  });
}
