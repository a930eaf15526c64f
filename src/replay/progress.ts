/**
 * Progress: the words that a writer shares with its vCPU workers. They hold the writer's step, the number of sections
 * that each vCPU has ended, and the stop flag. A writer waits for sections of its vCPUs, never for time.
 *
 *   line 0    step, stop, number of a failed vCPU + 1
 *   line 1..  of one vCPU each: sections ended, the count at which to wake the writer (0: it does not wait), those of
 *             the sections that had something to do
 *
 * Both sides store before they load. The writer stores the count that it waits for and then loads the sections; a vCPU
 * stores its sections and then loads that count. So one of them sees the other, and no wake-up is lost.
 */

/** Words of a line: 128 bytes, so that no vCPU's store touches the line of another. */
const LINE_WORDS = 32;
const STEP = 0;
const STOP = 1;
const FAILED = 2;
const DONE = 0;
const WAKE_AT = 1;
const BUSY = 2;

/** A vCPU that ends no section in this time is stuck. */
const WATCHDOG_MS = 60_000;
/** Longest sleep between two looks at the watchdog and at the failure of another vCPU. */
const LOOK_MS = 200;

/** Each thread has an instance over the same buffer. */
export class Progress {
  readonly buffer: SharedArrayBuffer;
  readonly #vcpus: number;
  readonly #words: Int32Array;

  constructor(vcpus: number, buffer?: SharedArrayBuffer) {
    this.#vcpus = vcpus;
    this.buffer = buffer ?? new SharedArrayBuffer((vcpus + 1) * LINE_WORDS * 4);
    this.#words = new Int32Array(this.buffer);
  }

  /** The writer's step. Its meaning is up to writer and vCPUs. */
  get step(): number {
    return Atomics.load(this.#words, STEP);
  }

  set step(step: number) {
    Atomics.store(this.#words, STEP, step);
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }

  stop(): void {
    Atomics.store(this.#words, STOP, 1);
  }

  /** Sections ended so far that had something to do, of all vCPUs. */
  get busySections(): number {
    let sections = 0;
    for (let vcpu = 1; vcpu <= this.#vcpus; vcpu++)
      sections += Atomics.load(this.#words, vcpu * LINE_WORDS + BUSY);
    return sections;
  }

  /** Called by a vCPU: it has ended one more section, in which it had something to do, or had not. */
  note(vcpu: number, busy = true): void {
    const line = (vcpu + 1) * LINE_WORDS;
    if (busy) Atomics.add(this.#words, line + BUSY, 1);
    const done = Atomics.add(this.#words, line + DONE, 1) + 1;
    const wakeAt = Atomics.load(this.#words, line + WAKE_AT);
    if (wakeAt !== 0 && ((done - wakeAt) | 0) >= 0) this.#wake(line);
  }

  /** Called by a vCPU: it has failed. Its error reaches the writer by message; this ends the writer's wait. */
  fail(vcpu: number): void {
    Atomics.store(this.#words, FAILED, vcpu + 1);
    for (let line = LINE_WORDS; line < this.#words.length; line += LINE_WORDS) this.#wake(line);
  }

  #wake(line: number): void {
    Atomics.store(this.#words, line + WAKE_AT, 0);
    Atomics.notify(this.#words, line + WAKE_AT);
  }

  /**
   * Called by the writer: sleep until every vCPU has ended `sections` more sections. Of two or more, the last has begun
   * after the call.
   * @throws Error if a vCPU failed, or is stuck
   */
  awaitSections(sections: number): void {
    const targets = Array.from(
      { length: this.#vcpus },
      // 0 means "does not wait": wait for 1 instead.
      (_, vcpu) => (Atomics.load(this.#words, (vcpu + 1) * LINE_WORDS + DONE) + sections) | 0 || 1,
    );
    targets.forEach((target, vcpu) => {
      this.#awaitTarget(vcpu, target);
    });
  }

  #awaitTarget(vcpu: number, target: number): void {
    const words = this.#words;
    const line = (vcpu + 1) * LINE_WORDS;
    const end = performance.now() + WATCHDOG_MS;
    Atomics.store(words, line + WAKE_AT, target);
    while (((Atomics.load(words, line + DONE) - target) | 0) < 0) {
      const failed = Atomics.load(words, FAILED);
      if (failed !== 0) throw new Error(`vCPU ${failed - 1} failed`);
      if (performance.now() > end) throw new Error(`vCPU ${vcpu} ended no section for ${WATCHDOG_MS} ms`);
      Atomics.wait(words, line + WAKE_AT, target, LOOK_MS);
    }
    Atomics.store(words, line + WAKE_AT, 0);
  }
}
