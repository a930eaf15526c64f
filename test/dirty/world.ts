/**
 * State that the threads of the property test share: host memory as one counter per page, and who runs.
 *
 * Host page h may be mapped in any of some windows, always at the frame window * HOSTS + h, so that slots with
 * different host pages never overlap.
 */
import type { EngineHandle } from "memslots";

/** Host pages. */
export const HOSTS = 700;
export const WINDOWS = 3;
/** Host page number of counter 0. */
export const HOME_HVA = 0x10_0000;

/**
 * Words of `control`: the command for all workers; writes through TLBs so far; from STATE on the state of each, and
 * behind them the host page, plus 1, that each writes and has not told yet.
 */
export const COMMAND = 0;
export const WRITES = 1;
export const STATE = 2;
export const GO = 0;
export const PARK = 1;

export interface Orders {
  readonly handle: EngineHandle;
  readonly control: Int32Array;
  readonly ram: Int32Array;
  readonly line: number;
  /** Workers. */
  readonly vcpus: number;
  readonly seed: number;
  /** Heed the soft limit of the ring. */
  readonly patient: boolean;
  /** Write through a TLB, which marks a page before the writes; else each write is told. */
  readonly tlb: boolean;
}
