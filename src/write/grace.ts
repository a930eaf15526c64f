/** Grace periods: wait until the last section with a replaced layout has ended. Mirrors synchronize_srcu. */
import { isWatched } from "../core/attached.js";
import type { EngineExports } from "../core/exports.js";
import {
  HEADER_READERS_OFFSET,
  READER_BYTES,
  READER_OWNER_OFFSET,
  READER_PIN_OFFSET,
} from "../core/layout.js";
import type { Place } from "../core/thread.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { EndedLog } from "../kvm/errordetails.js";
import { deadline } from "../runtime/waiting.js";
import { locked, retryAsync, turn } from "./lock.js";
import { publishedCommit, publishedRoot } from "./published.js";
import { goOn, type Wait } from "./wait.js";

/** Wait for the readers of all replaced layouts, and recycle the layouts. @throws KvmError ETIMEDOUT, EBUSY */
export function synchronize(thread: Place, op: string, timeout: number): void {
  const over = locked(thread, op, timeout, (wasm, _base, wait) => awaitGrace(thread, wasm, wait));
  if (!over) throw graceError(thread, op);
}

/** Under the lock: wait for the readers of all replaced layouts. @returns false if one is left */
export function awaitGrace(thread: Place, wasm: EngineExports, wait: Wait): boolean {
  const { base, owner } = thread;
  let result = wasm.synchronizeReaders(base, owner, wait.step);
  while (result < 0 && goOn(thread, wait)) result = wasm.synchronizeReaders(base, owner, wait.step);
  return result >= 0;
}

/**
 * The same without sleeping, for the layouts replaced so far.
 * @param before publication whose predecessors are waited for; the newest if not given
 * @throws KvmError ETIMEDOUT
 */
export async function synchronizeAsync(
  thread: Place,
  op: string,
  timeout: number,
  before?: number,
): Promise<void> {
  const { base, owner } = thread;
  const left = deadline(timeout);
  let commit = before;
  const over = (wasm: EngineExports) => {
    commit ??= publishedCommit(thread);
    return wasm.oldestCommit(base) >= commit || wasm.synchronizeReaders(base, owner, 0) === 0;
  };
  while (!(await retryAsync(thread, () => locked(thread, op, 0, over), left))) {
    if (left() === 0) throw graceError(thread, op);
    await turn(thread);
  }
}

/** The error of a grace period that did not end in time. The new layout is in force; `dirty`: the ended logs so far. */
export function graceError(thread: Place, op: string, dirty?: readonly EndedLog[]): KvmError {
  return new KvmError(-ERRNO.ETIMEDOUT, op, {
    dirty,
    published: true,
    reason: `the new layout is in force, but a reader has not left the old one${lateReader(thread)}`,
  });
}

/** Who it is, as far as it can be told. */
function lateReader(place: Place): string {
  const { base, views } = place;
  const words = views.words(base + HEADER_READERS_OFFSET + 4);
  const first = words[(base + HEADER_READERS_OFFSET) / 4]! / 4;
  const count = place.maxVcpus * 2;
  const root = publishedRoot(place);
  for (let i = 0; i < count; i++) {
    const line = first + (i * READER_BYTES) / 4;
    const pin = words[line + READER_PIN_OFFSET / 4]!;
    const owner = words[line + READER_OWNER_OFFSET / 4]!;
    if (pin === 0 || pin === root || owner === 0 || owner === place.owner) continue;
    const alive = isWatched(place, owner)
      ? "whose thread lives"
      : "of whose thread this runtime cannot tell whether it lives: call reap if it does not";
    return `: owner ${owner}, ${alive}`;
  }
  return "";
}
