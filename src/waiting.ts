/**
 * Waiting in JavaScript: whether this thread may sleep, and how one that may not waits for a word to change.
 */

/** Longest single wait; bounded, so that a lost wake-up costs this much and no more. */
const STEP_MS = 5;

interface AsyncAtomics {
  waitAsync?(array: Int32Array, index: number, value: number, ms: number): { async: boolean; value: unknown };
}

let blocking: boolean | undefined;

/** False on a browser's page, where Atomics.wait throws and a sleeping wasm would freeze the tab. */
export function canBlock(): boolean {
  if (blocking === undefined) {
    try {
      // The value differs, so that this returns at once where it is allowed.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
      blocking = true;
    } catch {
      blocking = false;
    }
  }
  return blocking;
}

/** Sleep until the word at `index` is no longer `value`, is notified, or `ms` are over; where canBlock. */
export function blockOnWord(memory: WebAssembly.Memory, index: number, value: number, ms: number): void {
  Atomics.wait(new Int32Array(memory.buffer), index, value, ms);
}

/** Time left until a deadline of `ms` from now on. */
export function deadline(ms: number): () => number {
  const end = performance.now() + ms;
  return () => Math.max(0, end - performance.now());
}

/**
 * Let other tasks run until the word at `index` is no longer `value`, or a few milliseconds are over. The
 * timer is also what keeps Node, Bun and Deno alive: a pending Atomics.waitAsync does not.
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
