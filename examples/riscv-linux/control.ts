/**
 * The words by which the machine's thread and a hart's thread talk, one line of linear memory per hart:
 *
 *   command   what the hart is to do: hold, go, end
 *   state     what it does
 */
export const CONTROL_BYTES = 64;
const COMMAND = 0;
const STATE = 1;

const HOLD = 0;
const GO = 1;
const END = 2;

const HELD = 1;
const RUNNING = 2;

/** A hart that does not answer for so long is stuck. */
const WATCHDOG_MS = 60_000;
/** So often looks who may not sleep. */
const POLL_MS = 1;

export class Control {
  readonly #words: Int32Array;

  /** Over the line at `address`. */
  constructor(memory: WebAssembly.Memory, address: number) {
    this.#words = new Int32Array(memory.buffer, address, CONTROL_BYTES / 4);
  }

  /** A new line: held. */
  reset(): void {
    this.#words.fill(0);
  }

  #command(command: number): void {
    Atomics.store(this.#words, COMMAND, command);
    Atomics.notify(this.#words, COMMAND);
  }

  go(): void {
    this.#command(GO);
  }

  end(): void {
    this.#command(END);
  }

  /** Returns when the hart stands still. @throws Error if it does not */
  hold(): void {
    this.#command(HOLD);
    this.#awaitState(HELD);
  }

  /** The same for a page's own thread, which may not sleep. @throws Error if it does not */
  async holdAsync(): Promise<void> {
    this.#command(HOLD);
    const end = performance.now() + WATCHDOG_MS;
    while (Atomics.load(this.#words, STATE) !== HELD) {
      if (performance.now() > end) throw new Error("a hart does not hold");
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Returns when the hart's thread runs. @throws Error if it does not */
  awaitRunning(): void {
    this.#awaitState(RUNNING);
  }

  #awaitState(wanted: number): void {
    const end = performance.now() + WATCHDOG_MS;
    for (let state = Atomics.load(this.#words, STATE); state !== wanted; ) {
      if (performance.now() > end) throw new Error(`a hart is stuck in state ${state}`);
      Atomics.wait(this.#words, STATE, state, WATCHDOG_MS);
      state = Atomics.load(this.#words, STATE);
    }
  }

  // ---- the hart's side ----

  #enter(state: number): void {
    if (Atomics.exchange(this.#words, STATE, state) !== state) Atomics.notify(this.#words, STATE);
  }

  /** Is the hart to run? One load, for each of its slices. */
  get goes(): boolean {
    return this.#words[COMMAND] === GO;
  }

  /** False when the hart is to end; sleeps while it is to hold. */
  mayRun(): boolean {
    for (;;) {
      const command = Atomics.load(this.#words, COMMAND);
      if (command === HOLD) {
        this.#enter(HELD);
        Atomics.wait(this.#words, COMMAND, HOLD);
        continue;
      }
      this.#enter(command === GO ? RUNNING : HELD);
      return command === GO;
    }
  }

  /** Give the processor to another thread, for a moment or until the next command. */
  yieldFor(ms: number): void {
    Atomics.wait(this.#words, COMMAND, GO, ms);
  }
}
