/**
 * One batch of one competitor, timed; and what is remembered of them.
 */
import type { Competitor, Entrant } from "./case.js";

/** Longer batches are warm by themselves, and rarely free of preemption. */
const LONG_MS = 8;
/**
 * A batch that takes this long is made once: its figure is that one sample, and its competitors are far
 * ahead.
 */
const ONCE_MS = 600;
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
  /** One answer per round of the present repetition. */
  answers: number[];
  /** Shortest batch so far, 0 before the first. */
  bestMs: number;
  /** Answer of the first round. */
  hash: string;
  /** Why a foreign competitor dropped out. */
  failure: string | undefined;
}

/** What tinybench is told. */
export interface Sample {
  /** Milliseconds per operation. */
  overriddenDuration: number;
}

export async function prepareRunner({ name, tag = "", foreign = false, build }: Entrant): Promise<Runner> {
  const start = performance.now();
  const competitor = await build();
  const setupMs = performance.now() - start;
  const none = { samples: [], answers: [], bestMs: 0, hash: "", failure: undefined };
  return { name, tag, foreign, competitor, setupMs, ...none };
}

/** A batch; one of somebody else's code may throw, which ends its part. */
export function takeSample(runner: Runner, concurrent: boolean): Sample | Promise<Sample> {
  if (runner.bestMs > ONCE_MS) return { overriddenDuration: runner.bestMs / runner.competitor.operations };
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

/** Short batches in which the kernel gave the processor to somebody else are made again. */
function timeBatch(runner: Runner, concurrent: boolean): Sample | Promise<Sample> {
  const { competitor, answers } = runner;
  const round = answers.length;
  for (let left = PREEMPTED_MAX; ; left--) {
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
      return answer.then((value) => finish(runner, value, performance.now() - start));
    }
    const ms = competitor.elapsed?.() ?? performance.now() - start;
    if (left === 0 || runner.bestMs >= LONG_MS || preemptions() === switches)
      return finish(runner, answer, ms);
    noteBest(runner, ms);
    competitor.after?.();
  }
}

function finish(runner: Runner, answer: number, ms: number): Sample {
  noteBest(runner, ms);
  runner.answers.push(answer + (runner.competitor.after?.() ?? 0));
  return { overriddenDuration: ms / runner.competitor.operations };
}

function noteBest(runner: Runner, ms: number): void {
  runner.bestMs = runner.bestMs === 0 ? ms : Math.min(ms, runner.bestMs);
}

/** Times that the kernel took the processor away from this process. */
function preemptions(): number {
  return process.resourceUsage().involuntaryContextSwitches;
}
