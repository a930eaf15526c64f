/**
 * Competitors in turns. Each sample is a batch that times itself, because a single call is far below the resolution of
 * any clock.
 *
 * tinybench runs the rounds. With `concurrency: "bench"` its tasks advance by one iteration each, round after round, so
 * a change of clock or load meets all competitors alike. Nothing runs in parallel, because no batch awaits anything.
 */
import { Bench } from "tinybench";
import {
  type Case,
  type CaseResult,
  type Figure,
  type Measured,
  type Quantity,
  type Skipped,
  WrongAnswer,
} from "./case.js";
import { Core, NO_CORE } from "./core.js";
import { hashOf } from "./hash.js";
import { fitToClock, ONCE_MS, prepareRunner, type Runner, takeSample } from "./sample.js";
import { median, quartileSpread, quartilesOf } from "./statistics.js";

const ROUNDS = 21;
const WARMUP_ROUNDS = 6;
/**
 * A figure that spreads more than this was disturbed: the case runs again and the samples are merged.
 */
const SPREAD_MAX = 0.12;
const REPEATS_MAX = 1;
/** Rounds of a quick run. */
const ROUNDS_QUICK = 5;
const WARMUP_ROUNDS_QUICK = 2;
/** There a competitor that is so far behind is timed a few times only. */
const SLOW_MS_QUICK = 25;

export interface MeasureOptions {
  /** One round, without figures. */
  readonly smoke: boolean;
  /** Few rounds. */
  readonly quick?: boolean;
  /** What is known of the core so far; nothing, and no time to wait for it, if not given. */
  readonly core?: Core;
}

/** Run a case in this process. @throws WrongAnswer if two competitors disagree */
export async function measureCase(one: Case, options: MeasureOptions): Promise<CaseResult> {
  const { smoke, quick = false, core = new Core(NO_CORE) } = options;
  const entrants = await one.prepare();
  const skipped = entrants.filter((entrant): entrant is Skipped => "skipped" in entrant);
  const quantities = entrants.filter((entrant): entrant is Quantity => "bytes" in entrant);
  const measured = entrants.filter((entrant): entrant is Measured => "samples" in entrant);
  const runners: Runner[] = [];
  for (const entrant of entrants) {
    if ("build" in entrant) {
      runners.push(await prepareRunner(entrant, quick ? SLOW_MS_QUICK : ONCE_MS, core));
    }
  }
  const rounds = smoke ? 1 : quick ? ROUNDS_QUICK : (one.rounds ?? ROUNDS);
  const warmups = smoke ? 1 : quick ? WARMUP_ROUNDS_QUICK : WARMUP_ROUNDS;
  for (let repeat = 0; runners.length > 0 && repeat <= REPEATS_MAX; repeat++) {
    if (!smoke) await fitBatches(runners);
    for (const runner of runners) runner.answers = [];
    await runRounds(runners, rounds, warmups);
    checkAnswers(one, runners);
    if (repeat === 0) for (const runner of runners) runner.hash = hashOf(runner.answers.slice(0, 1));
    if (smoke || quick || runners.every(isCalm)) break;
  }
  const finished = runners.filter((runner) => runner.failure === undefined);
  const failed = runners.flatMap(({ name, failure }) =>
    failure === undefined ? [] : { name, skipped: failure },
  );
  return {
    name: one.name,
    n: one.n,
    unit: one.unit,
    figures: [...[...finished, ...measured].map(figureOf), ...quantities.map(figureOfBytes)],
    skipped: [...skipped, ...failed],
    batches: core.batches,
    shared: core.shared,
  };
}

function isCalm({ samples, failure }: Runner): boolean {
  return failure !== undefined || quartileSpread(samples) <= SPREAD_MAX;
}

async function runRounds(
  runners: readonly Runner[],
  rounds: number,
  warmups: number,
  keep = true,
): Promise<void> {
  const concurrent = runners.length > 1;
  const bench = new Bench({
    ...(concurrent ? { concurrency: "bench" as const } : {}),
    time: 0,
    iterations: rounds,
    warmupTime: 0,
    warmupIterations: warmups,
    retainSamples: true,
    throws: true,
  });
  for (const runner of runners) bench.add(runner.name, () => takeSample(runner, concurrent));
  await bench.run();
  for (const [i, task] of bench.tasks.entries()) {
    if (!("latency" in task.result)) throw new Error(`${task.name}: no result`);
    if (!keep) continue;
    runners[i]!.samples.push(...task.result.latency.samples!.map((ms) => ms * 1e6));
  }
}

/**
 * All competitors with one tag must give the same result in each round; slow ones take part in fewer rounds.
 */
function checkAnswers(one: Case, runners: readonly Runner[]): void {
  const first = new Map<string, Runner>();
  for (const runner of runners) {
    const other = first.get(runner.tag);
    first.set(runner.tag, other ?? runner);
    if (other === undefined || runner.failure !== undefined) continue;
    const round = runner.answers.findIndex(
      (answer, i) => i < other.answers.length && answer !== other.answers[i],
    );
    if (round < 0) continue;
    const wrong = `answers ${runner.answers[round]} in round ${round}, ${other.name} ${other.answers[round]}`;
    if (!runner.foreign) throw new WrongAnswer(`${one.name}, n = ${one.n}: ${runner.name} ${wrong}`);
    runner.failure = wrong;
  }
}

/** Some batches of each, so that its samples become as long as the clock needs. */
async function fitBatches(runners: readonly Runner[]): Promise<void> {
  await runRounds(runners, 1, WARMUP_ROUNDS_QUICK, false);
  for (const runner of runners) {
    if (runner.failure === undefined && !fitToClock(runner)) {
      runner.failure = `a batch takes ${runner.bestMs} ms, too short for this clock`;
    }
  }
}

function figureOf({
  name,
  samples,
  setupMs = 0,
  hash = "",
}: Measured & Partial<Pick<Runner, "setupMs" | "hash">>): Figure {
  return {
    name,
    in: "ns",
    min: Math.min(...samples),
    median: median(samples),
    quartiles: quartilesOf(samples),
    samples,
    setupMs,
    hash,
  };
}

function figureOfBytes({ name, bytes }: Quantity): Figure {
  const hash = hashOf([bytes]);
  return { name, in: "bytes", min: bytes, median: bytes, quartiles: [bytes, bytes, bytes], setupMs: 0, hash };
}
