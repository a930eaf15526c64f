/** What accesses to guest memory work on, and whom they tell. */
import { TLB_CODE, TLB_READ, TLB_WRITE } from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import type { GuestHole } from "../kvm/errordetails.js";
import type { Section } from "../read/section.js";
import type { Devices } from "./devices.js";
import type { HostMemories } from "./host.js";
import type { Run } from "./runs.js";

/** Called with each hole. Its result is the value that a load reads, 0 if it returns nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that only takes note returns nothing
export type HoleHandler = (hole: GuestHole) => number | bigint | void;

/** Copies `count` bytes at `at` of a run's bytes, `done` bytes behind the first of the access. */
export type CopyPiece = (run: Run, at: number, count: number, done: number) => void;

/** What an access is for; the same numbers as in the core. */
export const READ = TLB_READ;
export const WRITE = TLB_WRITE;
export const FETCH = TLB_CODE;

/** Watches of a guest memory, as its accesses see them. */
export interface WatchList {
  /**
   * Cut a piece of guest memory around byte `gpa` to the page that is watched for a kind of access, or to what is not
   * watched: as it is, and as the original `distance` bytes further. @returns true if it is watched
   */
  cut(piece: Piece, gpa: number, kind: number, distance: number): boolean;
  /** An access was done. Its watches are called by `tell`. */
  note(
    gpa: number,
    bytes: number,
    kind: number,
    value: number | bigint,
    originals: readonly Original[],
  ): void;
  /** Call the handlers of what was noted, outside of all sections. */
  tell(section: Section): void;
}

/** Guest bytes [start, end), to which one thing responds. */
export interface Piece {
  start: number;
  end: number;
}

/** Guest bytes that a mirror shows, in the address space of the access. */
export interface Original {
  gpa: number;
  bytes: number;
}

/** What an access works on. */
export interface AccessTarget {
  thread: Thread;
  host: HostMemories;
  section: Section;
  /** Reader line of the vCPU; 0: that of the thread. */
  vcpu: number;
  onHole: HoleHandler | undefined;
  devices: Devices | undefined;
  watches: WatchList | undefined;
  /** Called when the watches change: forget what was found. */
  readonly forget: (() => void)[];
}
