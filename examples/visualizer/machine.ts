/**
 * The writer: an engine, and the vCPUs that look at it. It does two things, each from beginning to end before the
 * next: tell the vCPUs where to look, and commit updates.
 */
import type { MemslotEngine } from "memslots";
import type { Probe } from "../../src/cli/probes.js";
import type { Slot } from "../../src/cli/windows.js";
import type { Board, Mode } from "./board.js";

/** What the engine says of itself after a commit. */
export interface MachineState {
  readonly slots: readonly Slot[];
  /** Of address space 0. */
  readonly generation: number;
  readonly publications: number;
  /** Milliseconds that the last call took, grace period included. */
  readonly took: number;
}

export interface DirtyLog {
  readonly slot: number;
  readonly log: Uint8Array;
}

/** The machine, wherever it runs. */
export interface Machine {
  watch(probes: readonly Probe[], mode: Mode): Promise<void>;
  /** As one list; a single update is a list of one, which answers as the ioctl. */
  commit(updates: readonly Slot[]): Promise<MachineState>;
  /** Pages that were written since the last time, of these slots. */
  dirtyLogs(slots: readonly number[]): Promise<DirtyLog[]>;
}

export class EngineMachine implements Machine {
  readonly #engine: MemslotEngine;
  readonly #board: Board | undefined;
  readonly #now: () => number;

  /** Without a board nobody looks. */
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
