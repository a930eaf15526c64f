/**
 * The gate before read sections. While it is closed, the vCPUs of other threads wait between two sections. Mirrors
 * QEMU's pause_all_vcpus and resume_all_vcpus.
 */

import type { EngineExports } from "../core/exports.js";
import {
  HEADER_READERS_OFFSET,
  READER_BYTES,
  READER_OWNER_OFFSET,
  READER_PIN_OFFSET,
} from "../core/layout.js";
import type { Place, Thread } from "../core/thread.js";
import { checkOptionNames, toBoolean } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { blockOnWord, deadline } from "../runtime/waiting.js";
import { checkTimeout, TIMEOUT_MS, type WaitOptions } from "./commitoptions.js";
import { locked, releaseLock, retryAsync, turn } from "./lock.js";
import { goOn, type Wait } from "./wait.js";

/** Options of `pauseVcpus`. */
export interface PauseOptions extends WaitOptions {
  /**
   * Hold the writers of other threads too, up to their timeout: until resumeVcpus nobody else changes the map or takes
   * dirty pages, and this engine instance may. Default false.
   */
  writers?: boolean | undefined;
}

/** Options of a pause, with their defaults filled in. */
export interface CheckedPauseOptions {
  readonly timeout: number;
  readonly writers: boolean;
}

/** @throws TypeError naming the option */
export function checkPauseOptions(options: PauseOptions): CheckedPauseOptions {
  checkOptionNames<PauseOptions>(options, { timeout: true, writers: true });
  return {
    timeout: checkTimeout(options.timeout),
    writers: toBoolean(options.writers, "writers", false),
  };
}

/** Close the gate and wait until no vCPU is inside. @throws KvmError EBUSY, ETIMEDOUT */
export function pause(thread: Thread, op: string, { timeout, writers }: CheckedPauseOptions): void {
  const left = deadline(timeout);
  locked(thread, op, timeout, (wasm, base, wait) => {
    if (wasm.beginPause(base, thread.owner) < 0) throw pauseError(-ERRNO.EBUSY, op);
    awaitHeld(thread, op, wasm, wait);
    if (writers) thread.keepsLock = true;
  });
  if (!writers) return;
  // One-shot calls pass the gate; each is over in some microseconds.
  for (let pin = pinOfOthers(thread); pin !== 0; pin = pinOfOthers(thread)) {
    if (left() === 0 || !thread.blocks) {
      resume(thread, op, timeout);
      throw pauseError(-ERRNO.ETIMEDOUT, op);
    }
    blockOnWord(thread.memory, pin / 4, thread.views.words(pin + 4)[pin / 4]! | 0, ONE_SHOT_MS);
  }
}

/**
 * Under the lock, behind the closed gate: wait until no vCPU is inside.
 * @throws KvmError ETIMEDOUT, and then the gate is open
 */
export function awaitHeld(thread: Place, op: string, wasm: EngineExports, wait: Wait): void {
  const { base, owner } = thread;
  let result = wasm.awaitVcpus(base, owner, wait.step);
  while (result < 0 && goOn(thread, wait)) result = wasm.awaitVcpus(base, owner, wait.step);
  if (result >= 0) return;
  wasm.resumeVcpus(base, owner, 0);
  throw pauseError(result, op);
}

/** Longest sleep until a one-shot call is over; nobody is told of its end. */
const ONE_SHOT_MS = 1;

/** Address of the pin of a reader of another thread that is inside a section, 0 if there is none. */
function pinOfOthers(thread: Thread): number {
  const first = thread.header(HEADER_READERS_OFFSET);
  const end = first + 2 * thread.maxVcpus * READER_BYTES;
  const words = thread.views.words(end);
  for (let line = first; line < end; line += READER_BYTES) {
    const pin = line + READER_PIN_OFFSET;
    if (words[pin / 4] === 0) continue;
    if (words[(line + READER_OWNER_OFFSET) / 4] !== thread.owner) return pin;
  }
  return 0;
}

/** The same without sleeping. */
export async function pauseAsync(
  thread: Thread,
  op: string,
  { timeout, writers }: CheckedPauseOptions,
): Promise<void> {
  const { base, owner } = thread;
  const left = deadline(timeout);
  const close = () => {
    const result = locked(thread, op, 0, (wasm) => {
      const begun = wasm.beginPause(base, owner);
      if (writers && begun >= 0) thread.keepsLock = true;
      return begun;
    });
    if (result < 0) throw pauseError(result, op);
  };
  await retryAsync(thread, close, left);
  // Not a copy of the functions: `close` of the engine opens the gate, and then this must not say that it is closed.
  while (thread.wasm.awaitVcpus(base, owner, 0) < 0 || (writers && pinOfOthers(thread) !== 0)) {
    if (left() === 0) {
      await resumeAsync(thread, op);
      throw pauseError(-ERRNO.ETIMEDOUT, op);
    }
    thread.wasm.kickVcpus(base);
    await turn(thread);
  }
}

/** Open the gate. @throws KvmError EINVAL if this thread did not close it */
export function resume(thread: Thread, op: string, timeout: number): void {
  const { owner } = thread;
  const result = locked(thread, op, timeout, (wasm, base) => wasm.resumeVcpus(base, owner, 0));
  if (result < 0) throw new KvmError(result, op, { reason: "this engine does not hold the vCPUs" });
  if (!thread.keepsLock) return;
  thread.keepsLock = false;
  releaseLock(thread);
}

/** The same without sleeping. */
export async function resumeAsync(thread: Thread, op: string): Promise<void> {
  await retryAsync(thread, () => resume(thread, op, 0), deadline(TIMEOUT_MS));
}

function pauseError(errno: number, op: string): KvmError {
  const held = errno === -ERRNO.EBUSY;
  const reason = held ? "the vCPUs are held already" : "a vCPU did not leave its section in time";
  return new KvmError(errno, op, { reason });
}
