/** Words that a page shares with its workers, and how each side waits for one without sleeping by the clock. */

/** Index of each word. */
export const WORD = {
  /** Workers that are inside a section, or past their first commit. */
  begun: 0,
  /** Not 0: leave the section, end the loop. */
  leave: 1,
  /** Passes over all pages, counted before their section ends. */
  passes: 2,
  /** Commits of workers. */
  commits: 3,
} as const;

/**
 * Options of a wait for the death of a worker: a browser that has much to do takes longer than a wait's usual 10 s to
 * end a busy one. The scenario's watchdog is the limit.
 */
export const PATIENT = { timeout: 100_000 } as const;

export function newWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Object.keys(WORD).length * 4));
}

/** Count one more and wake who waits for it. */
export function count(words: Int32Array, index: number): void {
  Atomics.add(words, index, 1);
  Atomics.notify(words, index);
}

export function set(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value);
  Atomics.notify(words, index);
}

/** In a worker: sleep until the word is not 0. */
export function sleepUntilSet(words: Int32Array, index: number): void {
  while (Atomics.load(words, index) === 0) Atomics.wait(words, index, 0);
}

/** Let other tasks of this thread run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Give other tasks their turn until `reached`. The scenario's watchdog is the only limit. */
export async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await turn();
}

/** Wait until the word is at least `least`. */
export function awaitWord(words: Int32Array, index: number, least: number): Promise<void> {
  return until(() => Atomics.load(words, index) >= least);
}
