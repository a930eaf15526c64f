/**
 * What a thread of the run has at hand.
 */
import type { EngineHandle, MemslotEngine } from "memslots";
import type { Random } from "../support/random.js";
import type { Board, BoardHandle } from "./board.js";
import type { Layouts } from "./layouts.js";

/** What a worker does all its life. */
export type Role = "reader" | "writer";

export interface Station {
  readonly engine: MemslotEngine;
  readonly board: Board;
  /** The thread's line of the board. */
  readonly line: number;
  readonly layouts: Layouts;
  readonly rng: Random;
  /** Something is as it must never be. */
  violation(text: string): void;
}

/** What a worker is born with. */
export interface Orders {
  readonly role: Role;
  readonly board: BoardHandle;
  readonly line: number;
  /** Of the layouts, the same in all threads. */
  readonly seed: number;
  /** Of what this worker does. */
  readonly ownSeed: number;
}

/** Sent when the worker is there: a supervised handle needs the worker first. */
export interface Start {
  readonly handle: EngineHandle;
}

/** Sent by a worker. */
export interface Violation {
  readonly violation: string;
}
