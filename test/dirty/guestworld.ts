/** State that the threads of the dirty log test share. */
import type { EngineHandle } from "memslots";

/** 1 GiB and three pages: no multiple of 64. */
export const PAGES = 2 ** 18 + 3;
/** The slot ends where guest memory of 52 bits does. */
export const FIRST_GFN = 2 ** 40 - PAGES;
export const SLOT = 1;

/** Words of `control`: the iteration that runs, -1 at the end; resets of the rings; iteration done, by vCPU. */
export const ITERATION = 0;
export const RESETS = 1;
export const DONE = 2;
export const WORDS = DONE;

export interface Orders {
  readonly handle: EngineHandle;
  readonly control: Int32Array;
  /** The number at the start of each page. */
  readonly ram: Int32Array;
  readonly line: number;
  readonly seed: number;
  readonly writes: number;
}
