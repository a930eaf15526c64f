/**
 * Whether a neighbour uses this process's core. A virtual processor is often one of two threads of a core, and what
 * runs on the other one takes up to half of its throughput: nearly all of that from code that waits for nothing, little
 * from code that waits for its branches or for memory. So a neighbour moves ratios, not only times.
 *
 * A short loop of independent integer operations tells: with a neighbour it takes half as long again as alone.
 */
import { clockTickMs } from "./clock.js";

/** Nothing is known, and nobody waits. */
export const NO_CORE: CoreState = { leastMs: Number.MAX_VALUE, patienceMs: 0 };

const OPERATIONS = 100_000;
/** Times its least one: alone the loop spreads by a tenth. */
const SHARED = 1.2;
/** A clock that ticks less often in a loop cannot tell. */
const TICKS_MIN = 20;
const WARMUP_LOOPS = 50;

/** What a process knows of its core, and how long it may wait for it. */
export interface CoreState {
  /** Least time of the loop so far, in milliseconds. */
  readonly leastMs: number;
  /** Milliseconds that are left for waiting. */
  readonly patienceMs: number;
}

export class Core {
  #leastMs: number;
  #patienceMs: number;
  /** Batches that count, and those of them that shared the core. */
  batches = 0;
  shared = 0;
  readonly #loop: () => number | undefined;

  /** @param loop milliseconds of one loop; undefined if it cannot tell */
  constructor({ leastMs, patienceMs }: CoreState, loop = timeLoop) {
    this.#leastMs = leastMs;
    this.#patienceMs = patienceMs;
    this.#loop = loop;
    for (let i = 0; i < WARMUP_LOOPS; i++) this.#isShared();
  }

  get state(): CoreState {
    return { leastMs: this.#leastMs, patienceMs: this.#patienceMs };
  }

  /** Look at the core for so long, so that its least time is one without a neighbour. */
  learn(ms: number): void {
    const start = performance.now();
    while (performance.now() - start < ms) this.#isShared();
  }

  /** Wait until no neighbour is there, or patience is at its end. */
  wait(): void {
    const start = performance.now();
    let waited = 0;
    while (waited < this.#patienceMs && this.#isShared()) waited = performance.now() - start;
    this.#patienceMs -= waited;
  }

  /** Behind a batch of `ms`. @returns false if it has to be done again, because a neighbour came */
  accepts(ms: number): boolean {
    const shared = this.#isShared();
    if (shared && this.#patienceMs > 0) {
      this.#patienceMs -= ms;
      return false;
    }
    this.batches++;
    if (shared) this.shared++;
    return true;
  }

  #isShared(): boolean {
    const ms = this.#loop();
    if (ms === undefined) return false;
    this.#leastMs = Math.min(this.#leastMs, ms);
    return ms > SHARED * this.#leastMs;
  }
}

/** One that was preempted cannot tell, nor can a clock that hardly ticks in it. */
function timeLoop(): number | undefined {
  const switches = preemptions();
  const start = performance.now();
  sink = spin();
  const ms = performance.now() - start;
  return ms < TICKS_MIN * clockTickMs() || preemptions() !== switches ? undefined : ms;
}

/** Times that the kernel took the processor away from this process; a page does not know. */
export function preemptions(): number {
  return globalThis.process?.resourceUsage().involuntaryContextSwitches ?? 0;
}

let sink = 0;

function spin(): number {
  let a = 1;
  let b = 2;
  let c = 3;
  let d = 4;
  let e = 5;
  let f = sink | 0;
  for (let i = 0; i < OPERATIONS; i++) {
    a = (a + i) | 0;
    b ^= i;
    c = (c + b) | 0;
    d = (d - i) | 0;
    e = (e + a) | 0;
    f ^= d;
  }
  return a + b + c + d + e + f;
}
