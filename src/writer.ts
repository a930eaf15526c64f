/**
 * The writer's side of an engine in one thread: lock, stage, commit, unlock; grace periods; the gate. Each
 * call has a form that may sleep and one that gives other tasks their turn instead.
 */
import { type ChangedRange, readChanged } from "./changed.js";
import { type CommitOptions, TIMEOUT_MS } from "./commitoptions.js";
import { type EndedLog, readEndedLogs } from "./dirtylog.js";
import { ERRNO, KvmError } from "./errno.js";
import {
  COMMIT_BARRIER,
  COMMIT_CHANGED,
  COMMIT_TAKE_DIRTY,
  COMMIT_WAIT,
  type EngineExports,
  HEADER,
} from "./layout.js";
import type { MemoryViews } from "./memory.js";
import { REGION_WORDS } from "./region.js";
import { blockOnWord, canBlock, deadline, stepAsync } from "./waiting.js";
import type { EncodedWindows } from "./windows.js";

/** commitList: published, but a reader has not left the old layout in time. */
const PUBLISHED_PENDING = 2;
/** Longest time that wasm is asked to sleep; its clock counts milliseconds in 32 bits. */
const SLEEP_MS_MAX = 2 ** 30;

const NO_RANGES: readonly ChangedRange[] = [];
const NO_LOGS: readonly EndedLog[] = [];

/** Encoded regions, and how to commit them. */
export interface CommitRequest {
  /** The operation, for errors. */
  op: string;
  words: Uint32Array;
  count: number;
  /** Errors name the entry. */
  asList: boolean;
  /** One struct kvm_userspace_memory_region2. */
  version2: boolean;
  /** MMIO windows to publish with it. */
  windows: readonly EncodedWindows[];
  /** What is staged besides, by a struct at `staging`, under the lock; it throws what is refused. */
  stage?: (wasm: EngineExports, staging: number) => void;
}

/** What a commit did. */
export interface Outcome {
  published: boolean;
  changed: readonly ChangedRange[];
  dirty: readonly EndedLog[];
}

/** The engine that a writer writes to. */
export interface WriterTarget {
  wasm: EngineExports;
  memory: WebAssembly.Memory;
  views: MemoryViews;
  base: number;
  owner: number;
  pageShift: number;
  /** Number of publications so far. */
  publications: () => number;
  /** All guest memory, for commits that change more ranges than can be told. */
  everything: readonly ChangedRange[];
}

function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof KvmError && codes.includes(error.code) && error.published !== true;
}

/** One thread's writer. */
export class Writer {
  readonly #target: WriterTarget;
  readonly #blocks = canBlock();

  constructor(target: WriterTarget) {
    this.#target = target;
  }

  /** Milliseconds that wasm may sleep: none on a thread that must not. */
  #sleepMs(timeout: number): number {
    return this.#blocks ? Math.ceil(Math.min(timeout, SLEEP_MS_MAX)) : 0;
  }

  /** Take the writer lock. @throws KvmError EBUSY while another thread keeps it */
  #lock(op: string, ms: number): void {
    const { wasm, base, owner } = this.#target;
    const result = wasm.lockEngine(base, owner, ms);
    if (result >= 0) return;
    throw new KvmError(result, op, {
      reason: "a change of the map is not over, or readers keep a dead writer's",
    });
  }

  /** Run `work` under the writer lock. @throws KvmError EBUSY while another thread keeps it */
  locked<T>(op: string, timeout: number, work: (wasm: EngineExports, base: number, ms: number) => T): T {
    const { wasm, base } = this.#target;
    const ms = this.#sleepMs(timeout);
    this.#lock(op, ms);
    try {
      return work(wasm, base, ms);
    } finally {
      wasm.unlockEngine(base);
    }
  }

  /** Commit, sleeping where that is needed and allowed. */
  commit(request: CommitRequest, options: Required<CommitOptions>): Outcome {
    const { op } = request;
    return this.locked(op, options.timeout, (_wasm, _base, ms) => {
      const staging = this.#stage(request);
      const result = this.#publish(request, options, ms);
      const outcome = this.#outcome(staging, result, options);
      if (result === PUBLISHED_PENDING) throw graceError(op, options.takeDirty ? outcome.dirty : undefined);
      return outcome;
    });
  }

  /** Put the regions, the windows and what else there is where the commit reads them; their address. */
  #stage(request: CommitRequest): number {
    const { op, words, count, version2 } = request;
    const { wasm, base, views } = this.#target;
    const staging = wasm.stageList(base, count);
    if (staging < 0) throw new KvmError(staging, op);
    const used = (version2 ? 2 : count) * REGION_WORDS;
    copyWords(words, used, views.words(staging + used * 4), staging / 4);
    this.#stageWindows(request);
    request.stage?.(wasm, staging);
    return staging;
  }

  #stageWindows({ op, windows }: CommitRequest): void {
    const { wasm, base, views } = this.#target;
    for (const { asId, count, words } of windows) {
      const at = wasm.stageWindows(base, asId, count);
      if (at < 0) throw new KvmError(at, op, { reason: `${count} windows in address space ${asId}` });
      views.words(at + words.byteLength).set(words, at / 4);
    }
  }

  /** Commit what is staged: 0, 1 for published, or PUBLISHED_PENDING. @throws KvmError */
  #publish(request: CommitRequest, options: Required<CommitOptions>, ms: number): number {
    const { op, count, asList, version2 } = request;
    const { wasm, base, owner } = this.#target;
    const mode = modeOf(options);
    const result = version2
      ? wasm.commitRegion2(base, owner, mode, ms)
      : wasm.commitList(base, owner, count, mode, ms);
    if (result >= 0) return result;
    const entry = wasm.errorEntry(base);
    throw new KvmError(result, op, asList && entry >= 0 ? { index: entry } : {});
  }

  /** What the last commit has left in the staging area; under the lock since. */
  #outcome(staging: number, result: number, { changed, takeDirty }: Required<CommitOptions>): Outcome {
    const { wasm, base, views, pageShift } = this.#target;
    const published = result > 0;
    const logs = takeDirty && published ? wasm.endedLogs(base) : 0;
    return {
      published,
      changed: changed && published ? this.#changed(staging / 4 + logs * REGION_WORDS) : NO_RANGES,
      dirty: logs > 0 ? readEndedLogs(views, staging, logs, pageShift) : NO_LOGS,
    };
  }

  /** The changed ranges, from word `first` on. */
  #changed(first: number): readonly ChangedRange[] {
    const { wasm, base, views, everything } = this.#target;
    const count = wasm.changedCount(base);
    if (count < 0) return everything;
    return readChanged(views.words((first + count * REGION_WORDS) * 4), first, count);
  }

  /** Commit without sleeping. */
  async commitAsync(request: CommitRequest, options: Required<CommitOptions>): Promise<Outcome> {
    const { op } = request;
    const { wait, barrier, takeDirty, timeout } = options;
    const left = deadline(timeout);
    const attempt = { ...options, wait: false, barrier: false, timeout: 0 };
    if (barrier) await this.pauseAsync(op, timeout);
    let outcome: Outcome;
    try {
      if (takeDirty) return await this.#takeAsync(request, attempt, left);
      outcome = await this.#retry(() => this.commit(request, attempt), left, "EBUSY");
    } finally {
      if (barrier) await this.resumeAsync(op);
    }
    if (wait && outcome.published) await this.synchronizeAsync(op, left());
    return outcome;
  }

  /**
   * Commit, and keep the lock from turn to turn until the last section of the replaced layouts has ended, this
   * thread's own among them: so does a commit that sleeps, and the logs are as it finds them.
   */
  async #takeAsync(
    request: CommitRequest,
    options: Required<CommitOptions>,
    left: () => number,
  ): Promise<Outcome> {
    const { wasm, base, owner, publications } = this.#target;
    const [staging, result] = await this.#retry(() => this.#publishAndHold(request, options), left, "EBUSY");
    try {
      const commit = publications();
      while (result > 0 && wasm.oldestCommit(base) < commit) {
        if (left() === 0) throw graceError(request.op, this.#outcome(staging, result, options).dirty);
        // Asks a reader to leave.
        wasm.synchronizeReaders(base, owner, 0);
        await this.#turn();
      }
      return this.#outcome(staging, result, options);
    } finally {
      wasm.unlockEngine(base);
    }
  }

  /** Commit under the lock, and keep it unless that fails; where the list was staged, and the result. */
  #publishAndHold(request: CommitRequest, options: Required<CommitOptions>): [number, number] {
    const { wasm, base } = this.#target;
    this.#lock(request.op, 0);
    try {
      return [this.#stage(request), this.#publish(request, options, 0)];
    } catch (error) {
      wasm.unlockEngine(base);
      throw error;
    }
  }

  /** Repeat `attempt`, which does not sleep, until it is not refused with one of `codes`, or time is up. */
  async #retry<T>(attempt: () => T, left: () => number, ...codes: string[]): Promise<T> {
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (!isErrno(error, ...codes) || left() === 0) throw error;
      }
      await this.#turn();
    }
  }

  /** Other tasks' turn, until the lock changes hands or a few milliseconds are over. */
  #turn(): Promise<void> {
    const { memory, views, base } = this.#target;
    const lock = (base + HEADER.lock) / 4;
    return stepAsync(memory, lock, views.words(lock * 4 + 4)[lock]! | 0);
  }

  /** Wait for the readers of replaced layouts. @throws KvmError ETIMEDOUT, EBUSY */
  synchronize(op: string, timeout: number): void {
    const { owner } = this.#target;
    const result = this.locked(op, timeout, (wasm, base, ms) => wasm.synchronizeReaders(base, owner, ms));
    if (result < 0) throw graceError(op);
  }

  /** The same without sleeping, for the layouts replaced so far. @throws KvmError ETIMEDOUT */
  async synchronizeAsync(op: string, timeout: number): Promise<void> {
    const { wasm, base, owner } = this.#target;
    const left = deadline(timeout);
    const commit = this.#target.publications();
    const over = () => wasm.oldestCommit(base) >= commit || wasm.synchronizeReaders(base, owner, 0) === 0;
    while (!(await this.#retry(() => this.locked(op, 0, over), left, "EBUSY"))) {
      if (left() === 0) throw graceError(op);
      await this.#turn();
    }
  }

  /** Hold all vCPUs. @throws KvmError EBUSY, ETIMEDOUT */
  pause(op: string, timeout: number): void {
    const { owner } = this.#target;
    const result = this.locked(op, timeout, (wasm, base, ms) => wasm.pauseVcpus(base, owner, ms));
    if (result < 0) throw pauseError(result, op);
  }

  /** The same without sleeping. */
  async pauseAsync(op: string, timeout: number): Promise<void> {
    const { wasm, base, owner } = this.#target;
    const left = deadline(timeout);
    const close = () => {
      const result = this.locked(op, 0, () => wasm.beginPause(base, owner));
      if (result < 0) throw pauseError(result, op);
    };
    await this.#retry(close, left, "EBUSY");
    while (wasm.vcpusInside(base, owner) !== 0) {
      if (left() === 0) {
        await this.resumeAsync(op);
        throw pauseError(-ERRNO.ETIMEDOUT, op);
      }
      wasm.kickVcpus(base);
      await this.#turn();
    }
  }

  /** Let the vCPUs go. @throws KvmError EINVAL if this writer does not hold them */
  resume(op: string, timeout: number): void {
    const { owner } = this.#target;
    const result = this.locked(op, timeout, (wasm, base) => wasm.resumeVcpus(base, owner));
    if (result < 0) throw new KvmError(result, op, { reason: "this engine does not hold the vCPUs" });
  }

  /** The same without sleeping. */
  async resumeAsync(op: string): Promise<void> {
    await this.#retry(() => this.resume(op, 0), deadline(TIMEOUT_MS), "EBUSY");
  }

  /** Wait until `reached`; looked at after each publication. @throws KvmError ETIMEDOUT */
  observe(op: string, timeout: number, reached: () => boolean): void {
    const { memory } = this.#target;
    const left = deadline(timeout);
    this.#observing((root, word) => {
      for (;;) {
        const seen = word();
        if (reached()) return;
        if (left() === 0 || !this.#blocks) throw observeError(op);
        blockOnWord(memory, root, seen, left());
      }
    });
  }

  /** The same without sleeping. @throws KvmError ETIMEDOUT */
  async observeAsync(op: string, timeout: number, reached: () => boolean): Promise<void> {
    const { memory } = this.#target;
    const left = deadline(timeout);
    await this.#observing(async (root, word) => {
      for (;;) {
        const seen = word();
        if (reached()) return;
        if (left() === 0) throw observeError(op);
        await stepAsync(memory, root, seen);
      }
    });
  }

  /** Run `wait` while this thread is counted among those that publications wake. */
  #observing<T>(wait: (root: number, word: () => number) => T): T {
    const { wasm, base, views } = this.#target;
    const root = (base + HEADER.root) / 4;
    wasm.observe(base, 1);
    const done = () => wasm.observe(base, -1);
    let result: T;
    try {
      result = wait(root, () => views.words(root * 4 + 4)[root]! | 0);
    } catch (error) {
      done();
      throw error;
    }
    if (result instanceof Promise) return result.finally(done) as T;
    done();
    return result;
  }
}

/** So many words are copied faster one by one than by a call. */
const COPIED_ONE_BY_ONE_MAX = 16;

function copyWords(from: Uint32Array, count: number, to: Uint32Array, at: number): void {
  if (count > COPIED_ONE_BY_ONE_MAX) to.set(count === from.length ? from : from.subarray(0, count), at);
  else for (let i = 0; i < count; i++) to[at + i] = from[i]!;
}

/** COMMIT_* bits of the options. */
function modeOf({ wait, barrier, changed, takeDirty }: Required<CommitOptions>): number {
  const waits = (wait ? COMMIT_WAIT : 0) | (barrier ? COMMIT_BARRIER : 0);
  return waits | (changed ? COMMIT_CHANGED : 0) | (takeDirty ? COMMIT_TAKE_DIRTY : 0);
}

function graceError(op: string, dirty?: readonly EndedLog[]): KvmError {
  return new KvmError(-ERRNO.ETIMEDOUT, op, {
    ...(dirty === undefined ? {} : { dirty }),
    published: true,
    reason: "the new layout is in force, but a reader has not left the old one",
  });
}

function pauseError(errno: number, op: string): KvmError {
  const held = errno === -ERRNO.EBUSY;
  const reason = held ? "the vCPUs are held already" : "a vCPU did not leave its section in time";
  return new KvmError(errno, op, { reason });
}

function observeError(op: string): KvmError {
  return new KvmError(-ERRNO.ETIMEDOUT, op, { reason: "the generation was not reached in time" });
}
