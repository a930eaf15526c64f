/** Options and result of a commit. An unknown option is a TypeError. */
import { checkArray, checkOptionNames, show, toAddress, toBoolean } from "../kvm/arguments.js";
import type { EndedLog } from "../kvm/errordetails.js";
import type { MemoryAttributes } from "../kvm/uapi.js";
import type { MmioWindow, WindowChange } from "../kvm/window.js";
import type { ChangedRange } from "./changed.js";

/** Default of `timeout`: milliseconds to wait for the writer lock and for readers. */
export const TIMEOUT_MS = 10_000;

/** Options of calls that wait. */
export interface WaitOptions {
  /**
   * Milliseconds to wait in all, for the lock and for readers: 10,000 if not given. The call then throws EBUSY or
   * ETIMEDOUT. 0: look once, and do not sleep.
   */
  timeout?: number | undefined;
}

/** Options of a commit. */
export interface CommitOptions extends WaitOptions {
  /**
   * Default true: return when every section that began before the publication has ended. With `false` return after the
   * publication; `synchronize`, or a later commit, recycles the old layout.
   */
  wait?: boolean | undefined;
  /**
   * Hold all vCPUs of other threads between two sections, publish, let them go: no two of them are ever in sections
   * with different layouts. Default false: readers keep running.
   */
  barrier?: boolean | undefined;
  /** Return the changed guest ranges. Default false. */
  changed?: boolean | undefined;
  /**
   * Return the final dirty log of every slot whose log the list ends, by deleting or replacing the slot: "get dirty log
   * and delete" in one. Needs `wait`. Inside a section of the calling thread, which could write on, the form that
   * sleeps throws EBUSY; the other waits for that section too, and other writers get EBUSY meanwhile. Default false.
   */
  takeDirty?: boolean | undefined;
  /**
   * MMIO windows after the commit: element i has all windows of address space i, in any order; undefined leaves them
   * unchanged. They change with the slots in one publication.
   */
  windows?: readonly (readonly MmioWindow[] | undefined)[] | undefined;
  /**
   * Windows that come and go, while all others stay: at a cost that hardly depends on their number. Of an address space
   * that `windows` does not state.
   */
  windowChanges?: readonly WindowChange[] | undefined;
  /**
   * Attributes of guest memory that change with the list, in one publication: as setMemoryAttributes, in their order.
   */
  attributes?: readonly MemoryAttributes[] | undefined;
  /**
   * Number of the publication (`engine.publications`) that the list was made for: if another one is in force when the
   * commit has the lock, it is refused with EAGAIN. Not checked if not given.
   */
  publication?: number | undefined;
}

/** Result of a commit. */
export interface CommitResult {
  /** Generation of the first entry's address space after the call. */
  readonly generation: number;
  /** False if the list had no net effect; then no generation has advanced. */
  readonly published: boolean;
  /**
   * With the option `changed`: the pages that have another host page, or none, or other flags than before, as ascending
   * ranges that do not touch. Pages that a split or a merge leaves in place are not among them. If there are more
   * ranges than the list had entries (at least 128): one range for each whole address space.
   */
  readonly changed?: readonly ChangedRange[];
  /** With the option `takeDirty`: the logs that the list has ended. */
  readonly dirty?: readonly EndedLog[];
}

const COMMIT_OPTIONS = {
  wait: true,
  barrier: true,
  changed: true,
  takeDirty: true,
  windows: true,
  windowChanges: true,
  attributes: true,
  publication: true,
  timeout: true,
} as const;

const NONE: readonly never[] = [];

/** Options with their defaults filled in. */
export interface CheckedCommitOptions {
  readonly wait: boolean;
  readonly barrier: boolean;
  readonly changed: boolean;
  readonly takeDirty: boolean;
  readonly windows: readonly (readonly MmioWindow[] | undefined)[];
  readonly windowChanges: readonly WindowChange[];
  readonly attributes: readonly MemoryAttributes[];
  readonly publication: number | undefined;
  readonly timeout: number;
}

/** Check the options of a commit and fill in the defaults. @throws TypeError naming the option */
export function checkCommitOptions(options: CommitOptions): CheckedCommitOptions {
  checkOptionNames<CommitOptions>(options, COMMIT_OPTIONS);
  const wait = toBoolean(options.wait, "wait", true);
  const takeDirty = toBoolean(options.takeDirty, "takeDirty", false);
  if (takeDirty && !wait)
    throw new TypeError("takeDirty needs wait: a log is final when its last reader has left");
  const windows = toList(options.windows, "windows");
  const windowChanges = toList(options.windowChanges, "windowChanges");
  const attributes = toList(options.attributes, "attributes");
  return {
    wait,
    takeDirty,
    barrier: toBoolean(options.barrier, "barrier", false),
    changed: toBoolean(options.changed, "changed", false),
    timeout: checkTimeout(options.timeout),
    publication: checkPublication(options.publication),
    windows,
    windowChanges,
    attributes,
  };
}

/** A list, or an empty one. @throws TypeError naming the option */
function toList<T>(list: readonly T[] | undefined, name: string): readonly T[] {
  if (list === undefined) return NONE;
  checkArray(list, name);
  return list;
}

function checkPublication(publication: unknown): number | undefined {
  return publication === undefined ? undefined : toAddress(publication, "publication");
}

/** `timeout` or its default. @throws TypeError naming the option */
export function checkTimeout(timeout: unknown): number {
  if (timeout === undefined) return TIMEOUT_MS;
  if (typeof timeout !== "number" || !(timeout >= 0)) {
    throw new TypeError(`timeout must be a number of milliseconds from 0 on, not ${show(timeout)}`);
  }
  return timeout;
}

/** The timeout of a call that has no other option. @throws TypeError naming the option */
export function checkWaitOptions(options: WaitOptions): number {
  checkOptionNames<WaitOptions>(options, { timeout: true });
  return checkTimeout(options.timeout);
}
