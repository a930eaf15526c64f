/**
 * How a list is committed, and what the commit answers.
 */
import type { ChangedRange } from "./changed.js";
import type { EndedLog } from "./dirtylog.js";
import { show } from "./region.js";
import type { MmioWindow } from "./windows.js";

/** Milliseconds to wait for the writer lock, and again for readers, if not told otherwise. */
export const TIMEOUT_MS = 10_000;

/** Options of calls that wait. */
export interface WaitOptions {
  /** Milliseconds; 10,000 if not given. */
  timeout?: number;
}

/** Options of a commit. */
export interface CommitOptions extends WaitOptions {
  /**
   * Return only when no section is left that began before the publication (the default). With `false` return
   * after the publication; `synchronize`, or a later commit, recycles the old layout.
   */
  wait?: boolean;
  /**
   * Hold all vCPUs of other threads between two sections, publish, let them go: no two of them are ever in
   * sections of different layouts. Off by default: readers keep running.
   */
  barrier?: boolean;
  /** Tell the changed guest ranges in the result. Off by default. */
  changed?: boolean;
  /**
   * Give the final dirty log of every slot whose log the list ends, by deleting or replacing the slot: "get
   * dirty log and delete" in one. Needs `wait`. EBUSY in a section of the calling thread, which could write on;
   * the form that does not sleep waits for that section, too, and has EBUSY answered to others until it is done.
   * Off by default.
   */
  takeDirty?: boolean;
  /**
   * MMIO windows after the commit, by address space: element i is all of address space i's, in any order;
   * undefined leaves them as they are. They change with the slots in one publication.
   */
  windows?: readonly (readonly MmioWindow[] | undefined)[];
}

/** Answer of a commit. */
export interface CommitResult {
  /** Generation of the first entry's address space after the call. */
  readonly generation: number;
  /** False if the list had no net effect: then no generation advanced. */
  readonly published: boolean;
  /**
   * With the option `changed`: the pages that have another host page, or none, or other flags than before,
   * ascending and apart. Pages that a split or a merge leaves where they were are not among them. If there
   * are more ranges than the list had entries (128 at least): all of every address space.
   */
  readonly changed?: readonly ChangedRange[];
  /** With the option `takeDirty`: the logs that ended. */
  readonly dirty?: readonly EndedLog[];
}

/** @throws TypeError naming the option */
export function checkTimeout(timeout: unknown): number {
  if (timeout === undefined) return TIMEOUT_MS;
  if (typeof timeout !== "number" || !(timeout >= 0)) {
    throw new TypeError(`timeout must be a number of milliseconds from 0 on, not ${show(timeout)}`);
  }
  return timeout;
}

function checkSwitch(value: unknown, name: string, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== "boolean") throw new TypeError(`${name} must be a boolean, not ${show(value)}`);
  return value;
}

/** All options, with their defaults. @throws TypeError naming the option */
export function checkCommitOptions(options: CommitOptions): Required<CommitOptions> {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`options must be an object, not ${show(options)}`);
  }
  const wait = checkSwitch(options.wait, "wait", true);
  const takeDirty = checkSwitch(options.takeDirty, "takeDirty", false);
  if (takeDirty && !wait)
    throw new TypeError("takeDirty needs wait: a log is final when its last reader has left");
  const windows = options.windows ?? [];
  if (!Array.isArray(windows)) throw new TypeError(`windows must be an array, not ${show(windows)}`);
  return {
    wait,
    takeDirty,
    barrier: checkSwitch(options.barrier, "barrier", false),
    changed: checkSwitch(options.changed, "changed", false),
    timeout: checkTimeout(options.timeout),
    windows,
  };
}
