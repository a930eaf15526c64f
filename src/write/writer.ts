/**
 * The writer of commits: take the lock, copy the request to the staging area, make one call into the core, read its
 * results. One form may sleep, the other lets other tasks run.
 */
import { COMMIT_BARRIER, COMMIT_CHANGED, COMMIT_TAKE_DIRTY, COMMIT_WAIT } from "../core/layout.js";
import type { Place, Thread } from "../core/thread.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { EndedLog } from "../kvm/errordetails.js";
import { REGION_WORDS } from "../kvm/region.js";
import { deadline } from "../runtime/waiting.js";
import { type ChangedRange, readChanged } from "./changed.js";
import type { CheckedCommitOptions } from "./commitoptions.js";
import type { CommitRequest } from "./commitrequest.js";
import { readEndedLogs } from "./endedlogs.js";
import { awaitHeld, pauseAsync, resumeAsync } from "./gate.js";
import { awaitGrace, graceError, synchronizeAsync } from "./grace.js";
import { failureOf, releaseLock, retryAsync, takeLock, turn } from "./lock.js";
import { publishedCommit, publishedGeneration } from "./published.js";
import { isGateRefusal, refusal, structRefusal } from "./refusal.js";
import { beginWait, type Wait } from "./wait.js";
import type { EncodedWindows } from "./windows.js";

/** Result of commitList: published, but a reader has not left the old layout in time. */
const PUBLISHED_PENDING = 2;

const NO_RANGES: readonly ChangedRange[] = [];
const NO_LOGS: readonly EndedLog[] = [];

/** Result of a commit. */
export interface Outcome {
  published: boolean;
  /** Number of the publication that is in force. */
  commit: number;
  /** Generation of the address space of the first entry. */
  generation: number;
  changed: readonly ChangedRange[];
  dirty: readonly EndedLog[];
}

/** Commit, sleeping where needed and allowed, and then call the thread's observers. @throws KvmError */
export function commit(thread: Thread, request: CommitRequest, options: CheckedCommitOptions): Outcome {
  try {
    const outcome = commitQuietly(thread, request, options);
    if (outcome.published) thread.published();
    return outcome;
  } catch (error) {
    if (error instanceof KvmError && error.published === true) thread.published();
    throw error;
  }
}

/** As `locked` does it, but without a function of its own for each commit. */
function commitQuietly(thread: Thread, request: CommitRequest, options: CheckedCommitOptions): Outcome {
  const { op } = request;
  const wait = beginWait(thread, options.timeout);
  takeLock(thread, op, wait);
  try {
    return options.barrier
      ? commitHeld(thread, request, options, wait)
      : commitLocked(thread, request, options, wait, false);
  } catch (error) {
    throw failureOf(thread, op, error);
  } finally {
    releaseLock(thread);
  }
}

/** Hold the vCPUs meanwhile, unless this thread has paused them. */
function commitHeld(
  thread: Thread,
  request: CommitRequest,
  options: CheckedCommitOptions,
  wait: Wait,
): Outcome {
  const { wasm, base, owner } = thread;
  const held = wasm.beginPause(base, owner) >= 0;
  if (held) awaitHeld(thread, request.op, wasm, wait);
  try {
    return commitLocked(thread, request, options, wait, held);
  } finally {
    // The vCPUs wake one another: the commit has to return.
    if (held) wasm.resumeVcpus(base, owner, 1);
  }
}

/** @param held the gate was closed for this commit */
function commitLocked(
  thread: Thread,
  request: CommitRequest,
  options: CheckedCommitOptions,
  wait: Wait,
  held: boolean,
): Outcome {
  const staging = stage(thread, request, options);
  const result = publish(thread, request, options, wait, held);
  // Two numbers of 64 bits and an object take a tenth of a commit.
  if (!request.asList && options.wait && result !== PUBLISHED_PENDING) {
    return result > 0 ? APPLIED : UNCHANGED;
  }
  const late = result === PUBLISHED_PENDING && !awaitGrace(thread, thread.wasm, wait);
  const outcome = outcomeOf(thread, request, staging, result, options);
  if (!late) return outcome;
  throw graceError(thread, request.op, options.takeDirty ? outcome.dirty : undefined);
}

/** The same without sleeping. The observers are called once it is published. @throws KvmError */
export async function commitAsync(
  thread: Thread,
  request: CommitRequest,
  options: CheckedCommitOptions,
): Promise<Outcome> {
  const { op } = request;
  const { wait, barrier, takeDirty, timeout } = options;
  // A commit that is published goes on to its end, whether the engine is closed meanwhile or not.
  const place = thread.place();
  const left = deadline(timeout);
  const attempt = { ...options, wait: false, barrier: false, timeout: 0 };
  if (barrier) await pauseAsync(thread, op, { timeout, writers: false });
  let outcome: Outcome;
  try {
    if (takeDirty) return await commitAndTakeAsync(thread, place, request, attempt, left);
    outcome = await retryAsync(thread, () => commitQuietly(thread, request, attempt), left);
    if (outcome.published) thread.published();
  } finally {
    if (barrier) await resumeAsync(thread, op);
  }
  if (wait && outcome.published) await synchronizeAsync(place, op, left(), outcome.commit);
  return outcome;
}

/**
 * Commit, and keep the lock from turn to turn until the last section with a replaced layout has ended, also in this
 * thread, so that the logs are complete. The form that sleeps keeps the lock meanwhile too.
 */
async function commitAndTakeAsync(
  thread: Thread,
  place: Place,
  request: CommitRequest,
  options: CheckedCommitOptions,
  left: () => number,
): Promise<Outcome> {
  const { wasm, base, owner } = place;
  const [staging, result] = await retryAsync(place, () => publishAndHold(thread, request, options), left);
  try {
    if (result > 0) thread.published();
    const commit = publishedCommit(place);
    const outcome = () => outcomeOf(place, request, staging, result, options);
    while (result > 0 && wasm.oldestCommit(base) < commit) {
      if (left() === 0) throw graceError(place, request.op, outcome().dirty);
      // Asks the readers to leave.
      wasm.synchronizeReaders(base, owner, 0);
      await turn(place);
    }
    return outcome();
  } finally {
    releaseLock(thread);
  }
}

/** Commit under the lock, and keep the lock unless that fails. @returns address of the staging area, and the result */
function publishAndHold(
  thread: Thread,
  request: CommitRequest,
  options: CheckedCommitOptions,
): [staging: number, result: number] {
  const wait = beginWait(thread, 0);
  takeLock(thread, request.op, wait);
  try {
    return [stage(thread, request, options), publish(thread, request, options, wait, false)];
  } catch (error) {
    const failure = failureOf(thread, request.op, error);
    releaseLock(thread);
    throw failure;
  }
}

function editError(errno: number, op: string): KvmError {
  const missing = "windowChanges removes a window that is not there";
  const meets = "a window that windowChanges adds meets another one";
  const reason = errno === -ERRNO.ENOENT ? missing : errno === -ERRNO.EEXIST ? meets : undefined;
  return new KvmError(errno, op, { reason });
}

/** Copy the request to the staging area. @returns its address */
function stage(thread: Thread, request: CommitRequest, { publication }: CheckedCommitOptions): number {
  const { op, words, count, version2, edits, attributes } = request;
  const { wasm, base, views } = thread;
  if (publication !== undefined && publication !== publishedCommit(thread)) {
    const reason = `publication ${publishedCommit(thread)} is in force, and the list was made for ${publication}`;
    throw new KvmError(-ERRNO.EAGAIN, op, { reason });
  }
  const staging = wasm.stageList(base, edits === undefined ? count : mostOf(edits, count));
  if (staging < 0) throw new KvmError(staging, op);
  // They use the staging area before the list does.
  if (edits !== undefined) stageEdits(thread, op, staging, edits);
  if (attributes !== undefined) stageAttributes(thread, op, staging, attributes);
  const used = (version2 ? 2 : count) * REGION_WORDS;
  copyWords(words, used, views.words(staging + used * 4), staging / 4);
  if (request.windows.length > 0) stageWindows(thread, request);
  request.stage?.(thread, staging);
  return staging;
}

/** Entries that the staging area needs room for. */
function mostOf(edits: readonly EncodedWindows[], count: number): number {
  return edits.reduce((most, edit) => Math.max(most, edit.count), count);
}

function stageEdits(
  { wasm, base, views }: Thread,
  op: string,
  staging: number,
  edits: readonly EncodedWindows[],
): void {
  for (const { asId, count, words } of edits) {
    views.words(staging + words.byteLength).set(words, staging / 4);
    const result = wasm.editWindows(base, asId, count);
    if (result < 0) throw editError(result, op);
  }
}

function stageAttributes(thread: Thread, op: string, staging: number, structs: readonly Uint32Array[]): void {
  const { wasm, base, views } = thread;
  for (const [i, struct] of structs.entries()) {
    views.words(staging + struct.byteLength).set(struct, staging / 4);
    const result = wasm.stageAttributes(base);
    if (result < 0) throw structRefusal(thread, op, result, struct, `attributes[${i}].`);
  }
}

function stageWindows({ wasm, base, views }: Thread, { op, windows }: CommitRequest): void {
  for (const { asId, count, words } of windows) {
    const at = wasm.stageWindows(base, asId, count);
    if (at < 0) throw new KvmError(at, op, { reason: `${count} windows in address space ${asId}` });
    views.words(at + words.byteLength).set(words, at / 4);
  }
}

/**
 * Commit the staged request; once more if the spare layouts were in use and their readers leave in time.
 * @param held the gate was closed for this commit
 * @returns 0, 1 if published, or PUBLISHED_PENDING
 * @throws KvmError
 */
function publish(
  thread: Thread,
  request: CommitRequest,
  options: CheckedCommitOptions,
  wait: Wait,
  held: boolean,
): number {
  const mode = modeOf(options);
  let result = attempt(thread, request, mode, wait);
  if (result >= 0) return result;
  // A vCPU that meets the closed gate takes its pin back a moment later.
  while (held && result === -ERRNO.EBUSY && isGateRefusal(thread)) {
    awaitHeld(thread, request.op, thread.wasm, wait);
    stage(thread, request, options);
    result = attempt(thread, request, mode, wait);
  }
  if (result === -ERRNO.EAGAIN && awaitGrace(thread, thread.wasm, wait)) {
    result = attempt(thread, request, mode, wait);
  }
  if (result >= 0) return result;
  throw refusal(thread, request, result);
}

function attempt(
  { wasm, base, owner }: Thread,
  { count, version2 }: CommitRequest,
  mode: number,
  { step }: Wait,
): number {
  if (version2) return wasm.commitRegion2(base, owner, mode, step);
  return wasm.commitList(base, owner, count, mode, step);
}

/** Results of an update of one slot by a caller that waits: it asks for nothing but whether it was published. */
const APPLIED: Outcome = { published: true, commit: 0, generation: 0, changed: NO_RANGES, dirty: NO_LOGS };
const UNCHANGED: Outcome = { ...APPLIED, published: false };

/** The results of the last commit in the staging area; the lock must be held since. */
function outcomeOf(
  thread: Place,
  { words, count }: CommitRequest,
  staging: number,
  result: number,
  { changed, takeDirty }: CheckedCommitOptions,
): Outcome {
  const published = result > 0;
  const logs = takeDirty && published ? thread.wasm.endedLogs(thread.base) : 0;
  const asId = count === 0 ? 0 : words[0]! >>> 16;
  return {
    published,
    commit: publishedCommit(thread),
    generation: publishedGeneration(thread, asId < thread.addressSpaces ? asId : 0),
    changed: changed && published ? changedRanges(thread, staging / 4 + logs * REGION_WORDS) : NO_RANGES,
    dirty: logs > 0 ? readEndedLogs(thread, staging, logs) : NO_LOGS,
  };
}

/** The changed ranges, at word `first`; all guest memory if there are more than the staging area holds. */
function changedRanges(thread: Place, first: number): readonly ChangedRange[] {
  const { wasm, base, views, addressSpaces, maxPhysAddrBits } = thread;
  const count = wasm.changedCount(base);
  if (count >= 0) return readChanged(views.words((first + count * REGION_WORDS) * 4), first, count);
  const bytes = 2 ** maxPhysAddrBits;
  return Array.from({ length: addressSpaces }, (_, asId) => ({ asId, gpa: 0, bytes }));
}

/** Up to so many words are copied faster one by one than by a call. */
const COPIED_ONE_BY_ONE_MAX = 16;

function copyWords(from: Uint32Array, count: number, to: Uint32Array, at: number): void {
  if (count > COPIED_ONE_BY_ONE_MAX) to.set(count === from.length ? from : from.subarray(0, count), at);
  else for (let i = 0; i < count; i++) to[at + i] = from[i]!;
}

/** COMMIT_* bits of the options. */
function modeOf({ wait, barrier, changed, takeDirty }: CheckedCommitOptions): number {
  const waits = (wait ? COMMIT_WAIT : 0) | (barrier ? COMMIT_BARRIER : 0);
  return waits | (changed ? COMMIT_CHANGED : 0) | (takeDirty ? COMMIT_TAKE_DIRTY : 0);
}
