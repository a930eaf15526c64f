/**
 * What a benchmark is made of.
 *
 *   group   a subject: its cases, and the rows of the report that are drawn from their figures
 *   case    one workload at one size; its competitors run in turns in one process of their own
 *   row     one ratio (or absolute figure) against its target
 */

/** One way to do a case's work. */
export interface Competitor {
  /** What a time is divided by: lookups, lists, sections ... in one batch. */
  readonly operations: number;
  /** One batch. Its answer must be the same in every competitor of the round. */
  batch(round: number): number | Promise<number>;
  /** Untimed, after each batch: what it answers counts as part of the batch's answer. */
  after?(): number;
  /** Milliseconds of the last batch where the competitor measures them itself, inside native code. */
  elapsed?(): number;
}

/** A competitor by name, not built yet. */
export interface Entrant {
  readonly name: string;
  /** Untimed by the rounds; reported as set-up. */
  build(): Competitor | Promise<Competitor>;
  /** Entrants with different tags answer different questions and need not agree. */
  readonly tag?: string;
  /** Somebody else's code: if it throws or answers wrong, it drops out and the report says so. */
  readonly foreign?: boolean;
}

/** Why an entrant cannot take part here. */
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
  /** Of its answers, where it has some. */
  readonly hash?: string;
}

export interface Case {
  /** Unique together with `n`. */
  readonly name: string;
  /** Size, mostly slots. */
  readonly n: number;
  /** What one operation is, for the report. */
  readonly unit: string;
  readonly rounds?: number;
  /**
   * Processes that measure it, 1 if not given: where V8 puts the code of a few nanoseconds decides up to a third of
   * their time, anew in each process.
   */
  readonly processes?: number;
  prepare(): Promise<readonly (Entrant | Measured | Quantity | Skipped)[]>;
}

/** Times of one competitor in nanoseconds per operation, or bytes. */
export interface Figure {
  readonly name: string;
  readonly in: "ns" | "bytes";
  readonly min: number;
  readonly median: number;
  /** Distance of the quartiles as a share of the median. */
  readonly spread: number;
  readonly rounds: number;
  readonly setupMs: number;
  readonly hash: string;
}

export interface CaseResult {
  readonly name: string;
  readonly n: number;
  readonly unit: string;
  readonly figures: readonly Figure[];
  readonly skipped: readonly Skipped[];
}

/** Why a row has no figure whose cases were not measured. */
export const NOT_RUN = "not run";

export interface Row {
  /** L1 .. S5 of the design, or a name of our own. */
  readonly id: string;
  readonly what: string;
  readonly n: string;
  /** Unit of `measured` and `target`; a ratio if not given. */
  readonly unit?: string;
  readonly measured: number | undefined;
  /** Without a target the row is there to be known. */
  readonly target?: number;
  /** The measured value must be at least, not at most, the target. */
  readonly atLeast?: boolean;
  /** Why nothing was measured. */
  readonly skipped?: string;
}

/** Sizes of everything; smoke runs use small ones. */
export interface Scale {
  readonly smoke: boolean;
  /** Numbers of slots. */
  readonly sizes: readonly number[];
  readonly largest: number;
  /** Keys of a batch in wasm or native code, and in JavaScript. */
  readonly keys: number;
  readonly jsKeys: number;
  /**
   * Key streams that rounds take in turns: so many that a page-table array does not fit the caches by them
   * alone.
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
  /** What the group shows besides, at the end of its cases. */
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

  /** Median of one competitor over that of another, of the same case unless told. */
  ratio(name: string, n: number, ours: string, theirs: string): Pick<Row, "measured" | "skipped"> {
    const over = this.figure(name, n, ours);
    const under = this.figure(name, n, theirs);
    if (over !== undefined && under !== undefined) return { measured: over.median / under.median };
    const skipped = this.case(name, n)?.skipped.find((s) => s.name === ours || s.name === theirs);
    return { measured: undefined, skipped: skipped?.skipped ?? NOT_RUN };
  }
}

/** Target by size; undefined for a row that is there to be known. */
export type Targets = Readonly<Record<number, number | undefined>>;

/** The same target for all sizes. */
export function atEach(sizes: readonly number[], target: number | undefined): Targets {
  return Object.fromEntries(sizes.map((n) => [n, target]));
}

/** A row for each size that was run. */
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
      ...(target === undefined ? {} : { target }),
      ...results.ratio(name, Number(n), ours, theirs),
    }));
}

export type Verdict = "ok" | "MISSED" | "skipped" | "";

export function verdictOf({ measured, target, atLeast }: Row): Verdict {
  if (measured === undefined) return "skipped";
  if (target === undefined) return "";
  return (atLeast ? measured >= target : measured <= target) ? "ok" : "MISSED";
}
