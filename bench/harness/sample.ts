/** One timed batch of one competitor, and the samples of all its batches. */
import type { Competitor, Entrant } from "./case.js";
import { clockTickMs } from "./clock.js";
import { type Core, preemptions } from "./core.js";

/** A sample lasts at least so many ticks of the clock, and so long: the clock then adds some tenths of a percent. */
const TICKS_MIN = 500;
const SAMPLE_MS_MIN = 0.05;
/** Batches of a sample. What is too short even then cannot be measured here. */
const BATCHES_MAX = 256;
/** Longer batches are warm by themselves, and rarely free of preemption. */
const LONG_MS = 8;
/** A batch that takes this long is made once: its figure is that one sample, and the competitors are far ahead. */
export const ONCE_MS = 600;
/** A shorter one is made a few times before it counts as so slow: the first ones are the compiler's. */
const FEW_BATCHES = 3;
const PREEMPTED_MAX = 10;
/** Rounds between a key stream's use as a warm-up and as a sample: caches must not remember its very keys. */
const WARM_AHEAD = 4;

/** A competitor that takes part. */
export interface Runner {
  readonly name: string;
  readonly tag: string;
  readonly foreign: boolean;
  readonly competitor: Competitor;
  readonly setupMs: number;
  /** Nanoseconds per operation. */
  readonly samples: number[];
  /** One result per round of the present repetition. */
  answers: number[];
  /** Shortest batch so far, 0 before the first. */
  bestMs: number;
  /** All batches so far. */
  count: number;
  /** A batch that takes longer is made no more than a few times. */
  readonly slowMs: number;
  readonly core: Core;
  /** Batches of a sample, as many as the clock needs. */
  batches: number;
  /** Result of the first round. */
  hash: string;
  /** Reason why a foreign competitor dropped out. */
  failure: string | undefined;
}

/** The return value for tinybench. */
export interface Sample {
  /** Milliseconds per operation. */
  overriddenDuration: number;
}

export async function prepareRunner(
  { name, tag = "", foreign = false, build }: Entrant,
  slowMs: number,
  core: Core,
): Promise<Runner> {
  const start = performance.now();
  const competitor = await build();
  const setupMs = performance.now() - start;
  const none = { samples: [], answers: [], bestMs: 0, count: 0, batches: 1, hash: "", failure: undefined };
  return { name, tag, foreign, competitor, setupMs, slowMs, core, ...none };
}

/** Run a batch; a foreign competitor that throws drops out. */
export function takeSample(runner: Runner, concurrent: boolean): Sample | Promise<Sample> {
  if (isSlow(runner)) return { overriddenDuration: runner.bestMs / runner.competitor.operations };
  if (!runner.foreign) return timeBatch(runner, concurrent);
  if (runner.failure === undefined) {
    try {
      return timeBatch(runner, concurrent);
    } catch (error) {
      runner.failure = `throws ${error}`;
    }
  }
  return { overriddenDuration: 0 };
}

function isSlow({ bestMs, slowMs, count }: Runner): boolean {
  return bestMs > ONCE_MS || (bestMs > slowMs && count >= FEW_BATCHES);
}

/** Choose the number of batches of a sample by the shortest batch so far. @returns false if the clock is too coarse */
export function fitToClock(runner: Runner): boolean {
  const least = Math.max(SAMPLE_MS_MIN, TICKS_MIN * clockTickMs());
  runner.batches = Math.min(BATCHES_MAX, Math.ceil(least / Math.max(runner.bestMs, least / BATCHES_MAX)));
  return runner.bestMs * runner.batches >= least / 2;
}

/** A sample: the first batch is this round's, whose result counts; those behind it only fill up the time. */
function timeBatch(runner: Runner, concurrent: boolean): Sample | Promise<Sample> {
  const { competitor, answers, batches } = runner;
  const round = answers.length;
  const first = timeOne(runner, round, concurrent);
  if (first instanceof Promise) return first.then(({ answer, ms }) => finish(runner, answer, ms));
  let ms = first.ms;
  answers.push(first.answer + (competitor.after?.() ?? 0));
  for (let i = 1; i < batches; i++) {
    const more = timeOne(runner, round + i, false);
    if (more instanceof Promise) throw new Error(`${runner.name}: a batch that awaits is too short to time`);
    ms += more.ms;
    competitor.after?.();
  }
  return { overriddenDuration: ms / batches / competitor.operations };
}

interface Timed {
  readonly answer: number;
  readonly ms: number;
}

/** Repeat a short batch in which the kernel took the processor away, or a neighbour a part of its core. */
function timeOne(runner: Runner, round: number, concurrent: boolean): Timed | Promise<Timed> {
  const { competitor, core } = runner;
  for (let left = PREEMPTED_MAX; ; ) {
    core.wait();
    const switches = preemptions();
    // Once untimed, with other keys: the others have emptied the caches since this competitor's last turn.
    if (concurrent && runner.bestMs < LONG_MS) {
      competitor.batch(round + WARM_AHEAD);
      competitor.after?.();
    }
    const start = performance.now();
    const answer = competitor.batch(round);
    if (answer instanceof Promise) {
      if (concurrent) throw new Error(`${runner.name}: a batch that awaits cannot take turns`);
      return answer.then((value) => ({ answer: value, ms: performance.now() - start }));
    }
    const ms = competitor.elapsed?.() ?? performance.now() - start;
    noteBest(runner, ms);
    const preempted = preemptions() !== switches;
    if (runner.bestMs >= LONG_MS || ((!preempted || left <= 0) && core.accepts(ms))) return { answer, ms };
    if (preempted) left--;
    competitor.after?.();
  }
}

function finish(runner: Runner, answer: number, ms: number): Sample {
  noteBest(runner, ms);
  runner.answers.push(answer + (runner.competitor.after?.() ?? 0));
  return { overriddenDuration: ms / runner.competitor.operations };
}

function noteBest(runner: Runner, ms: number): void {
  runner.count++;
  runner.bestMs = runner.bestMs === 0 ? ms : Math.min(ms, runner.bestMs);
}
