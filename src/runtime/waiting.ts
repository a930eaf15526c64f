/**
 * Waiting in JavaScript for a word to change: by sleeping where this thread may, otherwise by letting other tasks run.
 */

/** Longest single wait. The bound limits the cost of a lost wake-up. */
const STEP_MS = 5;

interface AsyncAtomics {
  waitAsync?(array: Int32Array, index: number, value: number, ms: number): { async: boolean; value: unknown };
}

let blocking: boolean | undefined;

/** Whether this thread may sleep. False on a browser's page, where Atomics.wait throws. */
export function canBlock(): boolean {
  if (blocking === undefined) {
    try {
      // The value differs, so this returns at once where it is allowed.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
      blocking = true;
    } catch {
      blocking = false;
    }
  }
  return blocking;
}

/** Sleep until the word at `index` differs from `value` or is notified, at most `ms`. Needs `canBlock`. */
export function blockOnWord(memory: WebAssembly.Memory, index: number, value: number, ms: number): void {
  Atomics.wait(new Int32Array(memory.buffer), index, value, ms);
}

/** A deadline in `ms` from now on. @returns a function that returns the milliseconds left */
export function deadline(ms: number): () => number {
  const end = performance.now() + ms;
  return () => Math.max(0, end - performance.now());
}

/**
 * Let other tasks run until the word at `index` differs from `value`, at most a few milliseconds. The timer also keeps
 * Node, Bun and Deno alive: a pending Atomics.waitAsync does not.
 */
export async function stepAsync(memory: WebAssembly.Memory, index: number, value: number): Promise<void> {
  const { buffer } = memory;
  const { waitAsync } = Atomics as AsyncAtomics;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, STEP_MS);
  });
  if (
    waitAsync !== undefined &&
    typeof SharedArrayBuffer !== "undefined" &&
    buffer instanceof SharedArrayBuffer
  ) {
    const change = waitAsync.call(Atomics, new Int32Array(buffer), index, value, STEP_MS);
    if (change.async) await Promise.race([change.value, timeout]);
  } else {
    await timeout;
  }
  clearTimeout(timer);
}
