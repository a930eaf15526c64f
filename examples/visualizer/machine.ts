/**
 * The writer: an engine, and the vCPUs that read it. It makes two kinds of calls, each complete before the next: give
 * the vCPUs the pages to look up, and commit updates.
 */
import type { MemslotEngine } from "memslots";
import type { Slot } from "../../src/replay/gaps.js";
import type { Probe } from "../../src/replay/probes.js";
import type { Board, Mode } from "./board.js";

/** State of the engine after a commit. */
export interface MachineState {
  readonly slots: readonly Slot[];
  /** Generation of address space 0. */
  readonly generation: number;
  readonly publications: number;
  /** Milliseconds that the last call took, grace period included. */
  readonly took: number;
}

export interface DirtyLog {
  readonly slot: number;
  readonly log: Uint8Array;
}

/** The machine, in the page or in a worker. */
export interface Machine {
  watch(probes: readonly Probe[], mode: Mode): Promise<void>;
  /** Commit the updates as one list; a list of one behaves as the ioctl. */
  commit(updates: readonly Slot[]): Promise<MachineState>;
  /** Pages of these slots that were written since the last call. */
  dirtyLogs(slots: readonly number[]): Promise<DirtyLog[]>;
}

export class EngineMachine implements Machine {
  readonly #engine: MemslotEngine;
  readonly #board: Board | undefined;
  readonly #now: () => number;

  /** Without a board there are no vCPUs. */
  constructor(engine: MemslotEngine, board: Board | undefined, now: () => number) {
    this.#engine = engine;
    this.#board = board;
    this.#now = now;
  }

  async watch(probes: readonly Probe[], mode: Mode): Promise<void> {
    this.#board?.watch(probes, mode);
  }

  async commit(updates: readonly Slot[]): Promise<MachineState> {
    const engine = this.#engine;
    const start = this.#now();
    await engine.setUserMemoryRegionListAsync(updates);
    const took = this.#now() - start;
    const asIds = Array.from({ length: engine.addressSpaces }, (_, asId) => asId);
    return {
      slots: asIds.flatMap((asId) => engine.slots(asId)),
      generation: engine.generation(),
      publications: engine.publications,
      took,
    };
  }

  async dirtyLogs(slots: readonly number[]): Promise<DirtyLog[]> {
    return slots
      .filter((slot) => (this.#engine.slot(slot)?.flags ?? 0) & 1)
      .map((slot) => ({ slot, log: this.#engine.getDirtyLog(slot) }));
  }
}
