/**
 * DirtyConsumer: an independent, named view of the dirty host pages. Slots and lists are no part of it: a page is dirty
 * where its bytes are, whatever maps them now.
 */
import type { EngineExports } from "../core/exports.js";
import {
  CONSUMER_NAME_BYTES_MAX,
  CONSUMERS_MAX,
  HEADER_STAGING_OFFSET,
  VIEW_IN_FLIGHT,
  VIEW_PENDING,
} from "../core/layout.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { checkOptionNames, show, toAddress } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { TIMEOUT_MS } from "../write/commitoptions.js";
import { locked, lockedAsync } from "../write/lock.js";
import { type DirtyRange, dirtyRanges } from "./ranges.js";

/** Options of `DirtyConsumer`. */
export interface ConsumerOptions {
  /**
   * State of pages when the consumer first meets them: "clean" (default), or "dirty" for one that wants a copy of
   * everything. It meets the pages of existing logs when it is made, others when a log first covers them.
   */
  initially?: "clean" | "dirty" | undefined;
}

/** Host memory, in whole pages: those that it touches. In bytes. */
export interface HostPart {
  /** Host address of its first byte. */
  readonly hva: number;
  /** Size. */
  readonly bytes: number;
}

/** All host memory. */
const EVERYTHING: HostPart = { hva: 0, bytes: Number.MAX_SAFE_INTEGER };

/** Done under the writer lock. */
type Work<Result> = (wasm: EngineExports, base: number) => Result;

/**
 * An independent view of the dirty pages: its harvests take pages from no other consumer nor from KVM's log, and theirs
 * take none from it. The same name is the same consumer in every thread. Lists change nothing in it: a page that was
 * written is told, also if no slot maps it any more.
 *
 * A harvest is `begin` and then `done` or `abort`. Its pages are in flight until then; if the thread dies, the next
 * `begin` returns them again.
 *
 * @example
 * const backup = new DirtyConsumer(engine, "backup", { initially: "dirty" });
 * const ranges = backup.begin(); // [{ hva, bytes, guest }]
 * try {
 *   await send(ranges); // with the bytes of each
 *   backup.done();
 * } catch {
 *   backup.abort(); // the next begin returns them again
 * }
 */
export class DirtyConsumer {
  /** Name of the consumer. */
  readonly name: string;
  readonly #thread: Thread;
  readonly #consumer: number;

  // ---- opening ----

  /**
   * Open the consumer of this name; make it if there is none yet.
   * @throws TypeError naming the argument; KvmError E2BIG if 8 exist, ENOMEM, ENXIO with a dirty ring
   */
  constructor(engine: Engine, name: string, options: ConsumerOptions = {}) {
    const thread = threadOf(engine);
    this.#thread = thread;
    this.name = name;
    const op = "DirtyConsumer";
    // `openAsync` has opened it.
    const opened = opening.get(options);
    this.#consumer = opened ?? locked(thread, op, TIMEOUT_MS, openingWork(thread, op, name, options));
  }

  /** Open a consumer without sleeping, for a page. @throws as the constructor */
  static async openAsync(
    engine: Engine,
    name: string,
    options: ConsumerOptions = {},
  ): Promise<DirtyConsumer> {
    const op = "DirtyConsumer.openAsync";
    const thread = threadOf(engine);
    const work = openingWork(thread, op, name, options);
    const opened = {};
    opening.set(opened, await lockedAsync(thread, op, TIMEOUT_MS, work));
    return new DirtyConsumer(engine, name, opened);
  }

  // ---- harvests ----

  /**
   * Begin a harvest, of all memory or of a part.
   * @returns the pages that are dirty for this consumer, ascending, each with the guest memory that it is now
   * @throws KvmError EBADF for a closed consumer, ENXIO once there are dirty rings alone; TypeError naming the field
   */
  begin(part?: HostPart): DirtyRange[] {
    return this.#run("begin", this.#begin("begin", part));
  }

  /** The same without sleeping, for a page. @throws as begin */
  async beginAsync(part?: HostPart): Promise<DirtyRange[]> {
    return await this.#runAsync("beginAsync", this.#begin("beginAsync", part));
  }

  /** What `begin` would return; nothing is taken. @throws as begin */
  peek(part?: HostPart): DirtyRange[] {
    return this.#run("peek", this.#peek(part));
  }

  /** The same without sleeping, for a page. @throws as begin */
  async peekAsync(part?: HostPart): Promise<DirtyRange[]> {
    return await this.#runAsync("peekAsync", this.#peek(part));
  }

  /** The harvest, or a part of it, has arrived: its pages are clean until they are written again. @throws as begin */
  done(part?: HostPart): void {
    this.#run("done", this.#settle("done", 0, part));
  }

  /** The same without sleeping, for a page. @throws as begin */
  async doneAsync(part?: HostPart): Promise<void> {
    await this.#runAsync("doneAsync", this.#settle("doneAsync", 0, part));
  }

  /** The harvest, or a part of it, has failed: its pages are dirty again. @throws as begin */
  abort(part?: HostPart): void {
    this.#run("abort", this.#settle("abort", 1, part));
  }

  /** The same without sleeping, for a page. @throws as begin */
  async abortAsync(part?: HostPart): Promise<void> {
    await this.#runAsync("abortAsync", this.#settle("abortAsync", 1, part));
  }

  // ---- the end ----

  /** Delete this consumer, in all threads. @throws KvmError EBADF if it is closed */
  close(): void {
    this.#run("close", this.#close("close"));
  }

  /** The same without sleeping, for a page. @throws as close */
  async closeAsync(): Promise<void> {
    await this.#runAsync("closeAsync", this.#close("closeAsync"));
  }

  #begin(op: string, part: HostPart | undefined): Work<DirtyRange[]> {
    const { hva, end } = spanOf(part);
    return (wasm, base) => {
      this.#check(op, wasm.beginHarvest(base, this.#consumer, hva, end));
      return dirtyRanges(this.#thread, this.#consumer, VIEW_IN_FLIGHT, hva, end);
    };
  }

  #peek(part: HostPart | undefined): Work<DirtyRange[]> {
    const { hva, end } = spanOf(part);
    return (wasm, base) => {
      wasm.foldDirtyLogs(base);
      return dirtyRanges(this.#thread, this.#consumer, VIEW_PENDING | VIEW_IN_FLIGHT, hva, end);
    };
  }

  #settle(op: string, abort: number, part: HostPart | undefined): Work<void> {
    const { hva, end } = spanOf(part);
    return (wasm, base) => this.#check(op, wasm.endHarvest(base, this.#consumer, hva, end, abort));
  }

  #close(op: string): Work<void> {
    return (wasm, base) => this.#check(op, wasm.closeConsumer(base, this.#consumer));
  }

  #check(op: string, result: number): void {
    if (result < 0) throw consumerError(result, `DirtyConsumer.${op}`);
  }

  #run<Result>(op: string, work: Work<Result>): Result {
    return locked(this.#thread, `DirtyConsumer.${op}`, TIMEOUT_MS, work);
  }

  #runAsync<Result>(op: string, work: Work<Result>): Promise<Result> {
    return lockedAsync(this.#thread, `DirtyConsumer.${op}`, TIMEOUT_MS, work);
  }
}

/** Numbers of consumers that openAsync has opened, by the options that it hands to the constructor. */
const opening = /* @__PURE__ */ new WeakMap<object, number>();

/** Check the arguments. @returns the opening, for the holder of the lock: number of the consumer */
function openingWork(thread: Thread, op: string, name: string, options: ConsumerOptions): Work<number> {
  if (typeof name !== "string" || name === "") {
    throw new TypeError(`name must be a string that is not empty, not ${show(name)}`);
  }
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > CONSUMER_NAME_BYTES_MAX) {
    throw new TypeError(`name must have ${CONSUMER_NAME_BYTES_MAX} bytes at most, not ${bytes.length}`);
  }
  checkOptionNames<ConsumerOptions>(options, { initially: true });
  const { initially = "clean" } = options;
  if (initially !== "clean" && initially !== "dirty") {
    throw new TypeError(`initially must be "clean" or "dirty", not ${show(initially)}`);
  }
  return (wasm, base) => {
    const staging = thread.header(HEADER_STAGING_OFFSET);
    thread.views.bytes(staging + bytes.length).set(bytes, staging);
    const result = wasm.openConsumer(base, bytes.length, initially === "dirty" ? 1 : 0);
    if (result < 0) throw consumerError(result, op);
    return result;
  };
}

function consumerError(errno: number, op: string): KvmError {
  if (errno === -ERRNO.E2BIG) return new KvmError(errno, op, { reason: `${CONSUMERS_MAX} consumers exist` });
  if (errno === -ERRNO.EBADF) return new KvmError(errno, op, { reason: "the consumer is closed" });
  if (errno === -ERRNO.ENXIO)
    return new KvmError(errno, op, { reason: "there are dirty rings, and no bitmaps" });
  return new KvmError(errno, op);
}

/** @throws TypeError naming the field */
function spanOf(part: HostPart = EVERYTHING): { hva: number; end: number } {
  // A range of a harvest is a part.
  checkOptionNames<HostPart & Partial<DirtyRange>>(part, { hva: true, bytes: true, guest: true }, "part");
  const hva = toAddress(part.hva, "part.hva");
  return { hva, end: Math.min(Number.MAX_SAFE_INTEGER, hva + toAddress(part.bytes, "part.bytes")) };
}
