/**
 * The parts of a benchmark.
 *
 *   group   a subject: its cases, and the rows of the report with their figures
 *   case    one workload at one size; its competitors run in turns in one separate process
 *   row     one ratio (or absolute figure) against its target
 */

import { quartilesOf } from "./statistics.js";

/** One way to do a case's work. */
export interface Competitor {
  /** Operations in one batch (lookups, lists, sections ...), the divisor of a time. */
  readonly operations: number;
  /** Run one batch. Its result must be equal for every competitor of the round. */
  batch(round: number): number | Promise<number>;
  /** Untimed, after each batch; its result is a part of the batch's result. */
  after?(): number;
  /** Milliseconds of the last batch, if the competitor measures them itself inside native code. */
  elapsed?(): number;
}

/** A competitor by name, not built yet. */
export interface Entrant {
  readonly name: string;
  /** Not timed by the rounds; reported as set-up. */
  build(): Competitor | Promise<Competitor>;
  /** Only entrants with the same tag must agree. */
  readonly tag?: string;
  /** Foreign code: if it throws or disagrees, it drops out and the report says so. */
  readonly foreign?: boolean;
}

/** Reason why an entrant cannot take part here. */
export interface Skipped {
  readonly name: string;
  readonly skipped: string;
}

/** A quantity that needs no rounds: bytes. */
export interface Quantity {
  readonly name: string;
  readonly bytes: number;
}

/** A competitor with threads or a process of its own, which has measured itself: nanoseconds per operation. */
export interface Measured {
  readonly name: string;
  readonly samples: readonly number[];
  /** Hash of its results, if it has some. */
  readonly hash?: string;
}

export interface Case {
  /** Unique together with `n`. */
  readonly name: string;
  /** Size, mostly slots. */
  readonly n: number;
  /** Name of one operation, for the report. */
  readonly unit: string;
  readonly rounds?: number;
  /**
   * Processes that measure it, 1 if not given. The place where V8 puts a loop of a few nanoseconds decides up to a
   * third of its time, anew in each process.
   */
  readonly processes?: number;
  prepare(): Promise<readonly (Entrant | Measured | Quantity | Skipped)[]>;
}

/** Processes of the cases whose operation is a single access. */
export const ACCESS_PROCESSES = 3;

/** Lower quartile, median, upper quartile. */
export type Quartiles = readonly [number, number, number];

/** Times of one competitor in nanoseconds per operation, or bytes. */
export interface Figure {
  readonly name: string;
  readonly in: "ns" | "bytes";
  readonly min: number;
  readonly median: number;
  readonly quartiles: Quartiles;
  /** All samples, in the order of the rounds, which a ratio takes in pairs. A file of results has none. */
  readonly samples?: readonly number[];
  readonly setupMs: number;
  readonly hash: string;
}

export interface CaseResult {
  readonly name: string;
  readonly n: number;
  readonly unit: string;
  readonly figures: readonly Figure[];
  readonly skipped: readonly Skipped[];
  /** Batches that count, and how many of them shared the core with a neighbour; a file of results has neither. */
  readonly batches?: number;
  readonly shared?: number;
  /** Reason why nothing of it could be measured. */
  readonly failure?: string;
}

/** Two competitors do not agree: the only thing that ends a run. */
export class WrongAnswer extends Error {
  override readonly name = "WrongAnswer";
}

/** Reason why a row has no figure: its cases were not measured. */
export const NOT_RUN = "not run";

export interface Row {
  /** Name of the row: L1 .. S5 and so on. */
  readonly id: string;
  readonly what: string;
  readonly n: string;
  /** Unit of `measured` and `target`; a ratio if not given. */
  readonly unit?: string;
  readonly measured: Quartiles | undefined;
  readonly target: number;
  /** True if the value must be at least the target; by default at most. */
  readonly atLeast?: boolean;
  /** Reason why nothing was measured. */
  readonly skipped?: string;
}

/** What a row measures. */
export type Measurement = Pick<Row, "measured" | "skipped">;

/** Sizes of everything; smoke runs use small ones. */
export interface Scale {
  readonly smoke: boolean;
  /** A whole table in a few minutes: fewer rounds, one process for each case. */
  readonly quick: boolean;
  /** Numbers of slots. */
  readonly sizes: readonly number[];
  readonly largest: number;
  /** Keys of a batch in wasm or native code, and in JavaScript. */
  readonly keys: number;
  readonly jsKeys: number;
  /**
   * Key streams that rounds take in turns: so many that they do not keep a page-table array in the caches.
   */
  readonly streams: number;
  readonly jsStreams: number;
  /** Updates of a batch. */
  readonly updates: number;
}

export interface Group {
  readonly name: string;
  /** One line for the report. */
  readonly about: string;
  cases(scale: Scale): readonly Case[];
  rows(results: Results, scale: Scale): readonly Row[];
  /** Further output of the group, after its cases. */
  report?(results: Results, scale: Scale): string;
}

/** Figures by case, size and competitor. */
export class Results {
  readonly #cases = new Map<string, CaseResult>();

  constructor(cases: readonly CaseResult[]) {
    for (const result of cases) this.#cases.set(`${result.name} @${result.n}`, result);
  }

  case(name: string, n: number): CaseResult | undefined {
    return this.#cases.get(`${name} @${n}`);
  }

  figure(name: string, n: number, competitor: string): Figure | undefined {
    return this.case(name, n)?.figures.find((figure) => figure.name === competitor);
  }

  /** One competitor over another of the same case, round by round. */
  ratio(name: string, n: number, ours: string, theirs: string): Measurement {
    return this.ratioOf([name, n, ours], [name, n, theirs]);
  }

  /** One figure over another, each named by case, size and competitor. */
  ratioOf(over: readonly [string, number, string], under: readonly [string, number, string]): Measurement {
    const figures = [over, under].map((named) => this.figure(...named));
    const [above, below] = figures;
    if (above !== undefined && below !== undefined) return { measured: ratioOf(above, below) };
    const [name, n, who] = above === undefined ? over : under;
    const found = this.case(name, n);
    const skipped = found?.skipped.find((s) => s.name === who)?.skipped;
    return { measured: undefined, skipped: found?.failure ?? skipped ?? NOT_RUN };
  }
}

/**
 * Quartiles of a ratio: of the ratios of single rounds, if the two took turns; else the widest that the quartiles of
 * both allow.
 */
export function ratioOf(over: Figure, under: Figure): Quartiles {
  const [above, below] = [over.samples, under.samples];
  const inTurns = above !== undefined && below !== undefined && above.length === below.length;
  if (inTurns && above.length > 1) return quartilesOf(above.map((sample, i) => sample / below[i]!));
  const [low, middle, high] = over.quartiles;
  const [least, median, most] = under.quartiles;
  return [low / most, middle / median, high / least];
}

/** Target by size. */
export type Targets = Readonly<Record<number, number>>;

/** The same target for all sizes. */
export function atEach(sizes: readonly number[], target: number): Targets {
  return Object.fromEntries(sizes.map((n) => [n, target]));
}

/** One row for each measured size. */
export function ratios(
  results: Results,
  id: string,
  name: string,
  ours: string,
  theirs: string,
  targets: Targets,
): Row[] {
  return Object.entries(targets)
    .filter(([n]) => results.case(name, Number(n)) !== undefined)
    .map(([n, target]) => ({
      id,
      what: `${name}: ${ours} / ${theirs}`,
      n,
      target,
      ...results.ratio(name, Number(n), ours, theirs),
    }));
}

export type Verdict = "ok" | "MISSED" | "close" | "not measured";

/** Of the quartiles: all within the target, all beyond it, or some of both. */
export function verdictOf({
  measured,
  target,
  atLeast,
}: Pick<Row, "measured" | "target" | "atLeast">): Verdict {
  if (measured === undefined) return "not measured";
  const [low, , high] = measured;
  const [best, worst] = atLeast ? [high, low] : [low, high];
  const holds = (value: number) => (atLeast ? value >= target : value <= target);
  if (holds(worst)) return "ok";
  return holds(best) ? "close" : "MISSED";
}
