/** What a reader of `info mtree` is told beside the text. */
import type { HostOf } from "./mtreeblocks.js";
import type { TextNote } from "./mtreescan.js";

/** Which dump is read, and where names lead. */
export interface MtreeOptions {
  /**
   * Host address of a block's first byte; if not given, the one that `info ramblock` tells beside the dump, which is
   * also the third argument, or else blocks are laid out one behind the other.
   */
  host?: HostOf | undefined;
  /** Number of a device; if not given, they are counted from 0 in the order of the text. */
  device?: ((name: string, instance: number) => number) | undefined;
  /** Which of several dumps in the text, counted from 1; needed if there are several. */
  dump?: number | undefined;
  /** Is called with what the text leaves open, or what was passed over; lines count from 1. */
  note?: TextNote | undefined;
}
