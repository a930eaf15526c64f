/** The dirty log of a slot: KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, and dirty pages by number. */
import type { EngineExports } from "../core/exports.js";
import { HEADER_STAGING_OFFSET } from "../core/layout.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { putU64, show, toU32 } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { badSlot } from "../kvm/region.js";
import { TIMEOUT_MS } from "../write/commitoptions.js";
import { logBytes } from "../write/endedlogs.js";
import { locked, lockedAsync } from "../write/lock.js";

/** What is done under the writer lock. */
type Work<Result> = (wasm: EngineExports, base: number) => Result;

/** @throws as MemslotEngine.getDirtyLog */
export function getLog(thread: Thread, slot: number): Uint8Array {
  const op = "getDirtyLog";
  return locked(thread, op, TIMEOUT_MS, getting(thread, op, slot));
}

/** @throws as MemslotEngine.getDirtyLog */
export async function getLogAsync(thread: Thread, slot: number): Promise<Uint8Array> {
  const op = "getDirtyLogAsync";
  return await lockedAsync(thread, op, TIMEOUT_MS, getting(thread, op, slot));
}

function getting(thread: Thread, op: string, slot: number): Work<Uint8Array> {
  const { views } = thread;
  toU32(slot, "slot");
  return (wasm, base) => {
    const log = wasm.getDirtyLog(base, slot);
    if (log < 0) throw logError(thread, op, log, slot);
    const bytes = wasm.dirtyLogBytes(base, slot);
    return views.bytes(log + bytes).slice(log, log + bytes);
  };
}

/** Arguments of `clearDirtyLog`. */
export type ClearArguments = [slot: number, firstPage: number | bigint, numPages: number, bitmap: Uint8Array];

/** @throws as MemslotEngine.clearDirtyLog */
export function clearLog(thread: Thread, ...args: ClearArguments): void {
  const op = "clearDirtyLog";
  locked(thread, op, TIMEOUT_MS, clearing(thread, op, args));
}

/** @throws as MemslotEngine.clearDirtyLog */
export async function clearLogAsync(thread: Thread, ...args: ClearArguments): Promise<void> {
  const op = "clearDirtyLogAsync";
  await lockedAsync(thread, op, TIMEOUT_MS, clearing(thread, op, args));
}

function clearing(
  thread: Thread,
  op: string,
  [slot, firstPage, numPages, bitmap]: ClearArguments,
): Work<void> {
  toU32(slot, "slot");
  toU32(numPages, "numPages");
  const first = new Uint32Array(2);
  putU64(first, 0, firstPage, "firstPage");
  if (!(bitmap instanceof Uint8Array)) {
    throw new TypeError(`bitmap must be a Uint8Array, not ${show(bitmap)}`);
  }
  return (wasm, base) => {
    const { views } = thread;
    const scratch = wasm.beginClearDirtyLog(base, slot, first[0]!, first[1]!, numPages);
    if (scratch < 0) {
      const from = `firstPage ${firstPage} must be a multiple of 64 inside of slot ${slot}`;
      const count = `numPages ${numPages} a multiple of 64, or all that is left of the slot`;
      throw logError(thread, op, scratch, slot, `${from}, and ${count}`);
    }
    const bytes = logBytes(numPages);
    if (bitmap.length < bytes) {
      throw new KvmError(-ERRNO.EFAULT, op, {
        reason: `bitmap has ${bitmap.length} bytes, ${bytes} are needed`,
      });
    }
    views.bytes(scratch + bytes).set(bitmap.subarray(0, bytes), scratch);
    wasm.endClearDirtyLog(base, slot, first[0]!, numPages);
  };
}

/**
 * Take the first dirty pages of a slot, at most `pages.length`, and write their numbers in the slot to `pages`,
 * ascending. They are clean from now on, even with manual protection; the other pages stay dirty.
 * @returns how many were taken
 * @throws as MemslotEngine.getDirtyLog; TypeError naming the argument
 */
export function takeDirtyPages(engine: Engine, slot: number, pages: Uint32Array): number {
  const op = "takeDirtyPages";
  const thread = threadOf(engine);
  return locked(thread, op, TIMEOUT_MS, taking(thread, op, slot, pages));
}

/** The same without sleeping, for a page. @throws as takeDirtyPages */
export async function takeDirtyPagesAsync(engine: Engine, slot: number, pages: Uint32Array): Promise<number> {
  const op = "takeDirtyPagesAsync";
  const thread = threadOf(engine);
  return await lockedAsync(thread, op, TIMEOUT_MS, taking(thread, op, slot, pages));
}

function taking(thread: Thread, op: string, slot: number, pages: Uint32Array): Work<number> {
  toU32(slot, "slot");
  if (!(pages instanceof Uint32Array)) {
    throw new TypeError(`pages must be a Uint32Array, not ${show(pages)}`);
  }
  return (wasm, base) => {
    const staging = thread.header(HEADER_STAGING_OFFSET) / 4;
    let taken = 0;
    for (;;) {
      const from = taken === 0 ? 0 : pages[taken - 1]! + 1;
      const count = wasm.takeDirtyPages(base, slot, from, pages.length - taken);
      if (count < 0) throw logError(thread, op, count, slot);
      if (count === 0) return taken;
      const words = thread.views.words((staging + count) * 4);
      pages.set(words.subarray(staging, staging + count), taken);
      taken += count;
    }
  };
}

/**
 * The error for `errno`, which the core has returned for the log of `slot`.
 * @param otherwise reason of EINVAL if the slot number is none
 */
function logError(thread: Thread, op: string, errno: number, slot: number, otherwise?: string): KvmError {
  if (errno !== -ERRNO.EINVAL) return new KvmError(errno, op);
  return new KvmError(errno, op, { reason: badSlot(thread, slot) ?? otherwise });
}
