/**
 * Words that all threads of a run share, beside the engine's memory: what the crew is told to do, how far the
 * map is known to be, which layout each vCPU is in, and the counters, which outlive the workers that counted.
 */
import { CHANGES } from "./cells.js";

/** What is counted per worker. */
export const COUNTERS = [
  "accesses",
  "wrong",
  "sections",
  "refreshes",
  "oneShots",
  "snapshots",
  "commits",
  "listed",
  "wait",
  "noWait",
  "barrier",
  "async",
  "hasty",
  "changes told",
  "logs taken",
  "raced",
  "refused",
  "nothing",
  "busy",
  "overdue",
  "pauses",
  "synchronized",
  "logs",
  ...CHANGES,
] as const;
export type Counter = (typeof COUNTERS)[number];

/** What the workers are to do. */
export const COMMAND = { run: 0, park: 1 } as const;
export const STATE = { none: 0, starting: 1, running: 2, parked: 3 } as const;

/** vCPUs of one worker. */
export const VCPUS_PER_LINE = 2;
/** Words before the lines: command, floor, bell, violations, stop. */
const GLOBAL_WORDS = 16;
/** Words of a line: state, and the layout that each vCPU is in. A cache line. */
const LINE_WORDS = 16;
const WORD = { command: 0, floor: 1, bell: 2, violations: 3, over: 4 } as const;

/** The type library of this target has no such function yet. */
interface AsyncAtomics {
  waitAsync(words: Int32Array, index: number, value: number): { value: unknown };
}

/** Structured-cloneable form. */
export interface BoardHandle {
  readonly words: Int32Array;
  readonly counts: Float64Array;
}

export class Board {
  readonly handle: BoardHandle;
  readonly lines: number;
  readonly #words: Int32Array;
  readonly #counts: Float64Array;

  constructor(handle: BoardHandle) {
    this.handle = handle;
    this.#words = handle.words;
    this.#counts = handle.counts;
    this.lines = handle.counts.length / COUNTERS.length;
  }

  static create(lines: number): Board {
    const words = new Int32Array(new SharedArrayBuffer((GLOBAL_WORDS + lines * LINE_WORDS) * 4));
    const counts = new Float64Array(new SharedArrayBuffer(lines * COUNTERS.length * 8));
    return new Board({ words, counts });
  }

  // ---- the crew ----

  get command(): number {
    return Atomics.load(this.#words, WORD.command);
  }

  set command(command: number) {
    Atomics.store(this.#words, WORD.command, command);
    Atomics.notify(this.#words, WORD.command);
  }

  state(line: number): number {
    return Atomics.load(this.#words, GLOBAL_WORDS + line * LINE_WORDS);
  }

  setState(line: number, state: number): void {
    Atomics.store(this.#words, GLOBAL_WORDS + line * LINE_WORDS, state);
    Atomics.add(this.#words, WORD.bell, 1);
    Atomics.notify(this.#words, WORD.bell);
  }

  /** In a worker, between two turns: stand still while that is the command. */
  parkIfTold(line: number): void {
    while (this.command === COMMAND.park) {
      this.setState(line, STATE.parked);
      Atomics.wait(this.#words, WORD.command, COMMAND.park);
      this.setState(line, STATE.running);
    }
  }

  /** Wait, without sleeping, until `reached`; looked at after each change of a state. */
  async awaitStates(reached: () => boolean): Promise<void> {
    for (;;) {
      const bell = Atomics.load(this.#words, WORD.bell);
      if (reached()) return;
      await (Atomics as Atomics & AsyncAtomics).waitAsync(this.#words, WORD.bell, bell).value;
    }
  }

  /** The run is over: what waits for that is woken. */
  end(): void {
    Atomics.store(this.#words, WORD.over, 1);
    Atomics.notify(this.#words, WORD.over);
  }

  /** Wait for the end of the run, for `ms` at most. True if it is there. */
  awaitEnd(ms: number): boolean {
    return Atomics.wait(this.#words, WORD.over, 0, ms) !== "timed-out";
  }

  // ---- the map ----

  /** A layout that is certainly published: whoever looks afterwards must not see an older one. */
  get floor(): number {
    return Atomics.load(this.#words, WORD.floor);
  }

  raiseFloor(layout: number): void {
    for (let floor = this.floor; floor < layout; ) {
      const seen = Atomics.compareExchange(this.#words, WORD.floor, floor, layout);
      if (seen === floor) return;
      floor = seen;
    }
  }

  #section(line: number, vcpu: number): number {
    return GLOBAL_WORDS + line * LINE_WORDS + 1 + vcpu;
  }

  /**
   * Inside a section: its layout. Withdrawn before the section ends, so that a number found here is in use.
   */
  announce(line: number, vcpu: number, layout: number): void {
    Atomics.store(this.#words, this.#section(line, vcpu), layout);
  }

  /** A vCPU outside of line `line` that is in a layout before `layout`: that layout, or 0. */
  olderSection(line: number, layout: number): number {
    for (let other = 0; other < this.lines; other++) {
      // A writer that waits may find out by itself that a killed worker is gone.
      if (other === line || (other !== 0 && this.state(other) === STATE.none)) continue;
      for (let vcpu = 0; vcpu < VCPUS_PER_LINE; vcpu++) {
        const found = Atomics.load(this.#words, this.#section(other, vcpu));
        if (found !== 0 && found < layout) return found;
      }
    }
    return 0;
  }

  isInSection(line: number): boolean {
    const first = this.#section(line, 0);
    return this.#words.subarray(first, first + VCPUS_PER_LINE).some((layout) => layout !== 0);
  }

  /** The worker of a line is dead, and is in no section any more. */
  clearLine(line: number): void {
    for (let vcpu = 0; vcpu < VCPUS_PER_LINE; vcpu++) this.announce(line, vcpu, 0);
    this.setState(line, STATE.none);
  }

  // ---- counting ----

  /** Only the thread that owns the line counts in it. */
  count(line: number, counter: Counter, by = 1): void {
    const at = line * COUNTERS.length + COUNTERS.indexOf(counter);
    this.#counts[at] = this.#counts[at]! + by;
  }

  total(counter: Counter): number {
    let sum = 0;
    for (let line = 0; line < this.lines; line++) {
      sum += this.#counts[line * COUNTERS.length + COUNTERS.indexOf(counter)]!;
    }
    return sum;
  }

  countViolation(): void {
    Atomics.add(this.#words, WORD.violations, 1);
  }

  get violations(): number {
    return Atomics.load(this.#words, WORD.violations);
  }

  lineText(line: number): string {
    const at = GLOBAL_WORDS + line * LINE_WORDS;
    const sections = this.#words.subarray(at + 1, at + 1 + VCPUS_PER_LINE);
    return `state ${this.state(line)}, sections in layouts ${[...sections].join(" and ")}`;
  }
}
