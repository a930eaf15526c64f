/** The writer lock of an engine: one thread at a time changes the map, or takes dirty bits. */
import { damageOf, isTrap } from "../core/damage.js";
import type { EngineExports } from "../core/exports.js";
import { HEADER_LOCK_OFFSET, HEADER_ORPHANED_OFFSET } from "../core/layout.js";
import type { Place } from "../core/thread.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { deadline, stepAsync } from "../runtime/waiting.js";
import { beginWait, goOn, type Wait } from "./wait.js";

/**
 * Run `work` under the writer lock; it may sleep as long as `wait` says, which began before the lock was taken.
 * @throws KvmError EBUSY while another thread holds the lock; EIO if the engine's memory is damaged
 */
export function locked<T>(
  thread: Place,
  op: string,
  timeout: number,
  work: (wasm: EngineExports, base: number, wait: Wait) => T,
): T {
  const { wasm, base } = thread;
  const wait = beginWait(thread, timeout);
  takeLock(thread, op, wait);
  try {
    return work(wasm, base, wait);
  } catch (error) {
    throw failureOf(thread, op, error);
  } finally {
    releaseLock(thread);
  }
}

/** What is thrown for an error under the lock, which the caller releases. */
export function failureOf(place: Place, op: string, error: unknown): unknown {
  if (isTrap(error)) orphan(place);
  return damageOf(error, op);
}

/** The same without sleeping: other tasks run while another thread holds the lock. */
export function lockedAsync<T>(
  thread: Place,
  op: string,
  timeout: number,
  work: (wasm: EngineExports, base: number, wait: Wait) => T,
): Promise<T> {
  return retryAsync(thread, () => locked(thread, op, 0, work), deadline(timeout));
}

/**
 * Take the lock, unless this thread keeps it over its calls.
 * @throws KvmError EBUSY while another thread holds it; EIO if the engine's memory is damaged
 */
export function takeLock(thread: Place, op: string, wait: Wait): void {
  if (thread.keepsLock) return;
  const { wasm, base, owner } = thread;
  try {
    let result = wasm.lockEngine(base, owner, wait.step);
    if (result >= 0) return;
    while (result === -ERRNO.EAGAIN && goOn(thread, wait)) result = wasm.lockEngine(base, owner, wait.step);
    if (result < 0) throw lockError(op, result);
  } catch (error) {
    // A trap in the repair of a dead writer's notebook: the lock is held.
    if (isTrap(error)) wasm.unlockEngine(base);
    throw damageOf(error, op);
  }
}

function lockError(op: string, result: number): KvmError {
  const reason =
    result === -ERRNO.EAGAIN
      ? "another thread's change of the map is not over, or readers keep a dead writer's"
      : "a change of the map by this thread is not over, or waits for a section that this thread has open";
  return new KvmError(-ERRNO.EBUSY, op, { reason });
}

/** The core has trapped in the middle of its work: the next writer rebuilds the notebook, as after a death. */
function orphan({ views, base }: Place): void {
  // The lock is held, and its release orders this before the next holder's look.
  views.words(base + HEADER_ORPHANED_OFFSET + 4)[(base + HEADER_ORPHANED_OFFSET) / 4] = 1;
}

/** Give the lock back, unless this thread keeps it over its calls. */
export function releaseLock(thread: Place): void {
  if (!thread.keepsLock) thread.wasm.unlockEngine(thread.base);
}

/** Repeat `attempt`, which does not sleep, while it fails with EBUSY and time is left. */
export async function retryAsync<T>(thread: Place, attempt: () => T, left: () => number): Promise<T> {
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || left() === 0) throw error;
    }
    await turn(thread);
  }
}

/** Let other tasks run until the lock changes hands, at most a few milliseconds. */
export function turn({ memory, base, views }: Place): Promise<void> {
  const word = (base + HEADER_LOCK_OFFSET) / 4;
  return stepAsync(memory, word, views.words(base + HEADER_LOCK_OFFSET + 4)[word]! | 0);
}

function isBusy(error: unknown): boolean {
  return error instanceof KvmError && error.code === "EBUSY" && error.published !== true;
}
