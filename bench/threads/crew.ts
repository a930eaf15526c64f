/**
 * An engine, reader threads over it, and a writer: the calling thread, which splits a slot and merges it again.
 */
import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import type { MappedRegion } from "memslots";
import { tsWorker } from "../../test/support/tsworker.js";
import { makeKeys } from "../data/keys.js";
import { deletionOf, regionOf, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import { Board, boardBytes, IDLE, LOCKED, type Mode, QUIT, SECTIONS } from "./board.js";
import type { ReaderTask } from "./reader.js";

/** Lookups between two looks at the board: some tens of microseconds. */
const CHUNK = 1024;
/** A reader that does no chunk for so long is stuck. */
const STUCK_MS = 20_000;

/** How a commit waits for the readers of the layout that it replaces. */
export type Wait = "wait" | "spin" | "lock";

/** One measurement: readers that run, how, and commits per second meanwhile. */
export interface Load {
  readonly readers: number;
  readonly mode: typeof SECTIONS | typeof LOCKED;
  readonly commits: number;
  readonly wait: Wait;
}

export interface Measurement {
  /** Nanoseconds per lookup, all readers together. */
  readonly lookupNs: number;
  /** Nanoseconds of each commit, its grace period included. */
  readonly commitNs: number[];
}

export class ThreadCrew {
  readonly #arena: Arena;
  readonly #workers: readonly Worker[];
  readonly #board: Board;
  readonly #lock: number;
  readonly #split: readonly MappedRegion[];
  readonly #merge: readonly MappedRegion[];
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
  }

  static async start(n: number, readers: number): Promise<ThreadCrew> {
    const slots = makeSlots("dense", n);
    const arena = await Arena.create(CHUNK * 8 + boardBytes(readers) + 1024, {
      maxSlots: n + 1,
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
  measure({ readers, mode, commits, wait }: Load, ms: number): Measurement {
    this.#setModes(readers, mode);
    const before = Array.from({ length: readers }, (_, reader) => this.#board.chunks(reader));
    const start = performance.now();
    const commitNs: number[] = [];
    if (commits === 0) this.#sleepUntil(start + ms);
    else this.#commitPaced(start, ms, 1000 / commits, wait, commitNs);
    const took = performance.now() - start;
    let chunks = 0;
    for (let reader = 0; reader < readers; reader++) chunks += this.#board.chunks(reader) - before[reader]!;
    this.#setModes(readers, IDLE);
    for (let reader = 0; reader < readers; reader++) {
      const wrong = this.#board.wrong(reader);
      if (wrong > 0) throw new Error(`reader ${reader}: ${wrong} chunks of lookups add up to something else`);
    }
    return { lookupNs: (took * 1e6) / Math.max(1, chunks * CHUNK), commitNs };
  }

  async end(): Promise<void> {
    const exits = this.#workers.map((worker) => once(worker, "exit"));
    this.#setModes(this.#workers.length, QUIT);
    await Promise.all(exits);
    this.#arena.engine.close();
  }

  /** Readers that begin are awaited: what follows finds all of them running. */
  #setModes(readers: number, mode: Mode): void {
    for (let reader = 0; reader < readers; reader++) {
      const before = this.#board.chunks(reader);
      this.#board.setMode(reader, mode);
      if (mode === SECTIONS || mode === LOCKED) this.#board.awaitChunk(reader, before, STUCK_MS);
    }
  }

  #commitPaced(start: number, ms: number, every: number, wait: Wait, commitNs: number[]): void {
    // What was late is not made up for: a writer that hurries after a wait finds the readers where it left them.
    for (let due = start; due < start + ms; due = Math.max(due + every, performance.now() + every / 2)) {
      this.#sleepUntil(due);
      const from = performance.now();
      this.#commit(wait);
      commitNs.push((performance.now() - from) * 1e6);
    }
  }

  #commit(wait: Wait): void {
    const { engine, loops } = this.#arena;
    const list = this.#isSplit ? this.#merge : this.#split;
    this.#isSplit = !this.#isSplit;
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

  /** Sleeps if there is time to; a timer of 100 microseconds does not exist. */
  #sleepUntil(due: number): void {
    const left = due - performance.now();
    if (left > 0.5) Atomics.wait(this.#pace, 0, 0, left);
    while (performance.now() < due);
  }
}
