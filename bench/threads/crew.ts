/**
 * An engine, reader threads over it, and a writer: the calling thread, which splits a slot and merges it again.
 */
import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import type { Slot } from "memslots";
import { tsWorker } from "../../test/support/tsworker.js";
import { makeKeys } from "../data/keys.js";
import { deletionOf, regionOf, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import { WrongAnswer } from "../harness/case.js";
import { Board, boardBytes, IDLE, LOCKED, type Mode, QUIT, SECTIONS } from "./board.js";
import type { ReaderTask } from "./reader.js";

/** Lookups between two looks at the board: some tens of microseconds. */
const CHUNK = 1024;
/** Slots for lists of many updates, and where they begin. */
export const SPARE_SLOTS = 256;
const SPARE_GPA = 2 ** 44;
/** A reader that completes no chunk in this time is stuck. */
const STUCK_MS = 20_000;

/**
 * Ways in which a commit waits for the readers of the layout that it replaces; "apart": publication and grace period
 * are timed by themselves.
 */
export type Wait = "wait" | "spin" | "lock" | "apart";

/** One measurement: number and mode of the readers, and commits per second meanwhile. */
export interface Load {
  readonly readers: number;
  readonly mode: typeof SECTIONS | typeof LOCKED;
  readonly commits: number;
  readonly wait: Wait;
  /** Updates of a commit, which create or delete slots that no reader looks up; a split or merge if not given. */
  readonly updates?: number;
}

export interface Measurement {
  /** Nanoseconds per lookup, all readers together. */
  readonly lookupNs: number;
  /** Nanoseconds of each commit, its grace period included. */
  readonly commitNs: number[];
  /** Nanoseconds of each publication and of the grace period behind it, if they were timed apart. */
  readonly publishNs: number[];
  readonly graceNs: number[];
}

type Times = Omit<Measurement, "lookupNs">;

export class ThreadCrew {
  readonly #arena: Arena;
  readonly #workers: readonly Worker[];
  readonly #board: Board;
  readonly #lock: number;
  readonly #split: readonly Slot[];
  readonly #merge: readonly Slot[];
  /** Slots behind all others. */
  readonly #spare: readonly Slot[];
  #spareLive = 0;
  readonly #pace = new Int32Array(new SharedArrayBuffer(4));
  #isSplit = false;

  private constructor(arena: Arena, workers: readonly Worker[], board: Board, lock: number, slots: Slots) {
    this.#arena = arena;
    this.#workers = workers;
    this.#board = board;
    this.#lock = lock;
    const whole = regionOf(
      slots,
      slots.npages.findIndex((npages) => npages > 1),
    );
    const half = Math.floor(whole.memorySize / PAGE_BYTES / 2) * PAGE_BYTES;
    const upper = {
      ...whole,
      slot: slots.count,
      guestPhysAddr: whole.guestPhysAddr + half,
      memorySize: whole.memorySize - half,
      userspaceAddr: whole.userspaceAddr + half,
    };
    this.#split = [deletionOf(whole.slot), { ...whole, memorySize: half }, upper];
    this.#merge = [deletionOf(whole.slot), deletionOf(upper.slot), whole];
    this.#spare = Array.from({ length: SPARE_SLOTS }, (_, i) => ({
      slot: slots.count + 1 + i,
      flags: 0,
      guestPhysAddr: SPARE_GPA + 2 * i * PAGE_BYTES,
      memorySize: PAGE_BYTES,
      userspaceAddr: i * PAGE_BYTES,
    }));
  }

  static async start(n: number, readers: number): Promise<ThreadCrew> {
    const slots = makeSlots("dense", n);
    const arena = await Arena.create(CHUNK * 8 + boardBytes(readers) + 1024, {
      maxSlots: n + 1 + SPARE_SLOTS,
      maxVcpus: readers + 1,
    });
    arena.engine.setUserMemoryRegionList(shuffledRegions(slots));
    const board = arena.take(boardBytes(readers));
    const lock = arena.take(64);
    const keys = arena.putGpas(makeKeys(slots, "uniform", CHUNK)).byteOffset;
    const sum = arena.loops.translateInSections(arena.vcpu.reader, keys, CHUNK);
    const { handle } = arena.engine;
    const workers: Worker[] = [];
    for (let number = 0; number < readers; number++) {
      const worker = tsWorker(new URL("./reader.ts", import.meta.url));
      workers.push(worker);
      const task: ReaderTask = { handle, number, board, readers, lock, keys, count: CHUNK, sum };
      worker.postMessage(task);
      await once(worker, "message");
    }
    return new ThreadCrew(arena, workers, new Board(arena.memory.buffer, board, readers), lock, slots);
  }

  /** Run a load for `ms` milliseconds. @throws Error if a lookup missed, or a reader is stuck */
  measure({ readers, mode, commits, wait, updates }: Load, ms: number): Measurement {
    this.#setModes(readers, mode);
    const before = Array.from({ length: readers }, (_, reader) => this.#board.chunks(reader));
    const start = performance.now();
    const times: Times = { commitNs: [], publishNs: [], graceNs: [] };
    if (commits === 0) this.#sleepUntil(start + ms);
    else this.#commitPaced(start, ms, 1000 / commits, () => this.#commit(wait, updates, times));
    const took = performance.now() - start;
    let chunks = 0;
    for (let reader = 0; reader < readers; reader++) chunks += this.#board.chunks(reader) - before[reader]!;
    this.#setModes(readers, IDLE);
    for (let reader = 0; reader < readers; reader++) {
      const wrong = this.#board.wrong(reader);
      if (wrong > 0)
        throw new WrongAnswer(`reader ${reader}: ${wrong} chunks of lookups add up to something else`);
    }
    if (updates !== undefined && this.#spareLive > 0) this.#commit("wait", updates, times);
    return { lookupNs: (took * 1e6) / Math.max(1, chunks * CHUNK), ...times };
  }

  async end(): Promise<void> {
    const exits = this.#workers.map((worker) => once(worker, "exit"));
    this.#setModes(this.#workers.length, QUIT);
    await Promise.all(exits);
    this.#arena.engine.close();
  }

  /** Start readers, and wait until all of them run. */
  #setModes(readers: number, mode: Mode): void {
    for (let reader = 0; reader < readers; reader++) {
      const before = this.#board.chunks(reader);
      this.#board.setMode(reader, mode);
      if (mode === SECTIONS || mode === LOCKED) this.#board.awaitChunk(reader, before, STUCK_MS);
    }
  }

  #commitPaced(start: number, ms: number, every: number, commit: () => void): void {
    // Lost time is not made up for: a writer that hurries after a wait would find the readers where it left them.
    for (let due = start; due < start + ms; due = Math.max(due + every, performance.now() + every / 2)) {
      this.#sleepUntil(due);
      commit();
    }
  }

  /** The next list: of so many updates, or a split or merge. */
  #nextList(updates: number | undefined): readonly Slot[] {
    if (updates === undefined) {
      this.#isSplit = !this.#isSplit;
      return this.#isSplit ? this.#split : this.#merge;
    }
    const isLive = this.#spareLive > 0;
    this.#spareLive = isLive ? 0 : updates;
    const slots = this.#spare.slice(0, updates);
    return isLive ? slots.map(({ slot }) => deletionOf(slot)) : slots;
  }

  #commit(wait: Wait, updates: number | undefined, { commitNs, publishNs, graceNs }: Times): void {
    const list = this.#nextList(updates);
    const start = performance.now();
    if (wait === "apart") {
      this.#arena.engine.setUserMemoryRegionList(list, { wait: false });
      const published = performance.now();
      this.#arena.engine.synchronize();
      publishNs.push((published - start) * 1e6);
      graceNs.push((performance.now() - published) * 1e6);
    } else {
      this.#apply(list, wait);
    }
    commitNs.push((performance.now() - start) * 1e6);
  }

  #apply(list: readonly Slot[], wait: Exclude<Wait, "apart">): void {
    const { engine, loops } = this.#arena;
    if (wait === "wait") {
      engine.setUserMemoryRegionList(list);
      return;
    }
    if (wait === "lock") {
      while (loops.lockWriter(this.#lock) === 0);
      engine.setUserMemoryRegionList(list, { wait: false });
      loops.unlockWriter(this.#lock);
      return;
    }
    engine.setUserMemoryRegionList(list, { wait: false });
    const {
      raw,
      engine: { base, owner },
    } = this.#arena;
    while (raw.synchronizeReaders(base, owner, 0) !== 0);
  }

  /** Sleep if there is enough time, else spin: there is no timer of 100 microseconds. */
  #sleepUntil(due: number): void {
    const left = due - performance.now();
    if (left > 0.5) Atomics.wait(this.#pace, 0, 0, left);
    while (performance.now() < due);
  }
}
