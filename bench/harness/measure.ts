/**
 * Competitors in turns. Each sample is a batch that times itself: a single call is far below the grain of any
 * clock.
 *
 * tinybench runs the rounds. With `concurrency: "bench"` its tasks advance one iteration each, round after
 * round, so that a change of clock or load meets all competitors alike; nothing runs at the same time,
 * because no batch awaits anything.
 */
import { Bench } from "tinybench";
import type { Case, CaseResult, Figure, Measured, Quantity, Skipped } from "./case.js";
import { hashOf } from "./hash.js";
import { prepareRunner, type Runner, takeSample } from "./sample.js";
import { median, quartileSpread } from "./statistics.js";

const ROUNDS = 21;
const WARMUP_ROUNDS = 6;
/**
 * A figure that spreads more than this was disturbed: the case is run again and the samples are put together.
 */
const SPREAD_MAX = 0.12;
const REPEATS_MAX = 1;
/** Shorter batches would measure the clock. */
const BATCH_MS_MIN = 0.02;

export interface MeasureOptions {
  /** One round, no claim about time. */
  readonly smoke: boolean;
}

/**
 * Run a case in this process. @throws Error if two competitors disagree, or if batches are too short to time
 */
export async function measureCase(one: Case, { smoke }: MeasureOptions): Promise<CaseResult> {
  const entrants = await one.prepare();
  const skipped = entrants.filter((entrant): entrant is Skipped => "skipped" in entrant);
  const quantities = entrants.filter((entrant): entrant is Quantity => "bytes" in entrant);
  const measured = entrants.filter((entrant): entrant is Measured => "samples" in entrant);
  const runners: Runner[] = [];
  for (const entrant of entrants) if ("build" in entrant) runners.push(await prepareRunner(entrant));
  for (let repeat = 0; runners.length > 0 && repeat <= REPEATS_MAX; repeat++) {
    for (const runner of runners) runner.answers = [];
    await runRounds(runners, smoke ? 1 : (one.rounds ?? ROUNDS), smoke ? 1 : WARMUP_ROUNDS);
    checkAnswers(one, runners);
    if (repeat === 0) for (const runner of runners) runner.hash = hashOf(runner.answers.slice(0, 1));
    if (smoke || runners.every(isCalm)) break;
  }
  const finished = runners.filter((runner) => runner.failure === undefined);
  if (!smoke) checkBatches(one, finished);
  const failed = runners.flatMap(({ name, failure }) =>
    failure === undefined ? [] : { name, skipped: failure },
  );
  return {
    name: one.name,
    n: one.n,
    unit: one.unit,
    figures: [...[...finished, ...measured].map(figureOf), ...quantities.map(figureOfBytes)],
    skipped: [...skipped, ...failed],
  };
}

function isCalm({ samples, failure }: Runner): boolean {
  return failure !== undefined || quartileSpread(samples) <= SPREAD_MAX;
}

async function runRounds(runners: readonly Runner[], rounds: number, warmups: number): Promise<void> {
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
    runners[i]!.samples.push(...task.result.latency.samples!.map((ms) => ms * 1e6));
  }
}

/**
 * All competitors with one tag must give the same answer in each round; slow ones take part in fewer rounds.
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
    if (!runner.foreign) throw new Error(`${one.name}, n = ${one.n}: ${runner.name} ${wrong}`);
    runner.failure = wrong;
  }
}

function checkBatches(one: Case, runners: readonly Runner[]): void {
  for (const { name, samples, competitor } of runners) {
    const ms = (median(samples) * competitor.operations) / 1e6;
    if (ms < BATCH_MS_MIN)
      throw new Error(`${one.name}, n = ${one.n}: a batch of ${name} takes ${ms} ms only`);
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
    spread: quartileSpread(samples),
    rounds: new Set(samples).size === 1 ? 1 : samples.length,
    setupMs,
    hash,
  };
}

function figureOfBytes({ name, bytes }: Quantity): Figure {
  const hash = hashOf([bytes]);
  return { name, in: "bytes", min: bytes, median: bytes, spread: 0, rounds: 1, setupMs: 0, hash };
}
