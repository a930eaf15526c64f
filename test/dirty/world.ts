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
/** Host page number of counter 0: as far up as the entries of a page table go. */
export const HOME_HVA = 0x7_0000;

/**
 * Words of `control`: the command for all workers; writes that were marked ahead so far; from STATE on the state of
 * each, and behind them the host page, plus 1, that each writes and has not told yet.
 */
export const COMMAND = 0;
export const WRITES = 1;
export const STATE = 2;
export const GO = 0;
export const PARK = 1;

/** How a writer tells of its writes: each one; or a page once, before its writes, by a TLB's fill or a page table's. */
export type Way = "told" | "tlb" | "page table";
export const WAYS: readonly Way[] = ["tlb", "told", "page table"];

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
  readonly way: Way;
  /** A page table that keeps its entries over harvests: the check of the check. */
  readonly stale: boolean;
}
