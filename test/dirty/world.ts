/**
 * What the threads of the property test share: host memory as one counter per page, and who runs.
 *
 * Host page h may be mapped in any of some windows, always at the frame window * HOSTS + h, so that slots with
 * different host pages never overlap.
 */
import type { EngineHandle } from "memslots";

export const PAGE = 4096;
/** Host pages. */
export const HOSTS = 700;
export const WINDOWS = 3;
/** Host page number of counter 0. */
export const HOME_HVA = 0x10_0000;

/** Words of `control`: what the workers are told, and from STATE on what each of them does. */
export const COMMAND = 0;
export const STATE = 1;
export const GO = 0;
export const PARK = 1;

export interface Orders {
  readonly handle: EngineHandle;
  readonly control: Int32Array;
  readonly ram: Int32Array;
  readonly line: number;
  readonly seed: number;
  /** Heed the soft limit of the ring. */
  readonly patient: boolean;
}
