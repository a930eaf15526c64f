/**
 * The address spaces of an engine as flat views, and transactions that change them. The end of the outermost
 * transaction plans everything that changed, commits it as one list, and then calls the listeners.
 *
 * Invariants
 *  - Views change only with a publication: a refused list leaves views, slots, listeners and the regions as they were
 *    when the transaction began.
 *
 * Mirrors memory_region_transaction_begin and memory_region_transaction_commit (QEMU system/memory.c).
 */
import {
  checkFunction,
  checkObject,
  checkOptionNames,
  show,
  toBoolean,
  toInteger,
} from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { Slot } from "../kvm/region.js";
import type { MmioWindow } from "../kvm/window.js";
import type { CommitOptions, CommitResult } from "../write/commitoptions.js";
import { Edits } from "./edits.js";
import { FlatView } from "./flatview.js";
import { type ListenerOptions, Listeners, type MemoryListener } from "./listeners.js";
import { MemoryRegion } from "./memoryregion.js";
import { type FlatViewSource, type Shown, Space, type SpacePlan } from "./space.js";

export type { FlatViewSource } from "./space.js";

/** Options of the commit of a flat view: those of a list, but for those that the view determines. */
export type FlatViewCommitOptions = Omit<
  CommitOptions,
  "windows" | "windowChanges" | "attributes" | "publication"
>;

/** Options of `views.set`, and those of a commit if it is not inside a transaction. */
export interface FlatViewOptions extends FlatViewCommitOptions {
  /** Address space; 0 if not given. */
  asId?: number | undefined;
  /**
   * Make memory READONLY wherever the guest must not write it, as PAM says, not only where it is a ROM. Off by default,
   * as behind KVM: QEMU passes only a region's own protection on.
   */
  protectSections?: boolean | undefined;
}

/** What `FlatViews` needs of an engine: its limits, its slots, and lists. A `MemslotEngine` has all of it. */
export interface MappedEngine {
  /** Number of address spaces. */
  readonly addressSpaces: number;
  /** Most slots of an address space. */
  readonly maxSlots: number;
  /** Bytes of a page as a power of two. */
  readonly pageShift: number;
  /** Width of a guest-physical address in bits. */
  readonly maxPhysAddrBits: number;
  /** Width of a host address in bits; 47 if undefined. */
  readonly maxUserAddrBits?: number | undefined;
  /** All slots of an address space, ascending. */
  slots(asId: number): Slot[];
  /** Advances by `addressSpaces` with each change of an address space. */
  generation(asId: number): number;
  /** Publications so far; undefined if nobody else changes the map. */
  readonly publications?: number | undefined;
  /** Apply a list as one change. */
  setUserMemoryRegionList(list: readonly Slot[], options: CommitOptions): CommitResult;
  /** The same without sleeping. */
  setUserMemoryRegionListAsync(list: readonly Slot[], options: CommitOptions): Promise<CommitResult>;
}

/** Plans of one commit: another thread may publish between the look at the slots and the commit, again and again. */
const PLANS_MAX = 100;
const COMMIT_OPTIONS = { wait: true, barrier: true, changed: true, takeDirty: true, timeout: true } as const;
const VIEW_OPTIONS = { ...COMMIT_OPTIONS, asId: true, protectSections: true } as const;

/** Another thread has published since the plan was made. */
function hasMoved(error: unknown): boolean {
  return error instanceof KvmError && error.code === "EAGAIN";
}

/**
 * The flat views of an engine, one per address space. One object per engine: it knows the slots that it has made.
 *
 * @example
 * const views = new FlatViews(engine);
 * views.set(root); // flattened now, and again at every later commit
 * views.begin();
 * vga.setEnabled(true);
 * bar.map(0xe000_0000);
 * views.commit(); // both as one list
 */
export class FlatViews {
  readonly #engine: MappedEngine;
  readonly #listeners = new Listeners();
  readonly #spaces: readonly Space[];
  /** What the spaces were to show when the outermost transaction began. */
  #before: readonly Shown[] | undefined;
  /** What has changed in trees of regions since. */
  readonly #edits = new Edits();
  #depth = 0;
  #busy = false;

  /** The views of an engine, all of them empty. @throws TypeError */
  constructor(engine: MappedEngine) {
    if (typeof engine?.setUserMemoryRegionList !== "function") {
      throw new TypeError(`engine must be a MemslotEngine, not ${show(engine)}`);
    }
    this.#engine = engine;
    this.#spaces = Array.from({ length: engine.addressSpaces }, (_, asId) => new Space(engine, asId));
  }

  /**
   * Begin a transaction, or nest into the open one. Until it ends, each change of a region belongs to it: if it is
   * refused, or rolled back, all regions are as they are now.
   */
  begin(): void {
    this.#checkIdle("begin");
    if (this.#depth === 0) {
      this.#before = this.#spaces.map(({ shown }) => shown);
      this.#edits.begin();
    }
    this.#depth++;
  }

  /**
   * End the transaction, with all that are nested in it, and undo it: regions and sources of views are as at `begin`.
   * @throws KvmError EINVAL without a transaction
   */
  rollback(): void {
    this.#checkOpen("rollback");
    this.#depth = 0;
    this.#undo();
  }

  /**
   * Call `change` in a transaction and commit it; if it throws, roll back.
   * @returns as commit
   * @throws what `change` throws, or commit; TypeError if `change` is asynchronous
   *
   * @example
   * const views = new FlatViews(engine);
   * views.transaction(() => {
   *   vga.setEnabled(true);
   *   bar.map(0xe000_0000);
   * });
   */
  transaction(change: () => unknown, options: FlatViewCommitOptions = {}): CommitResult | undefined {
    checkFunction(change, "change");
    checkOptionNames<FlatViewCommitOptions>(options, COMMIT_OPTIONS);
    this.begin();
    try {
      const result = change();
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
        throw new TypeError(
          "change must be done when it returns: for what takes longer use begin and commitAsync",
        );
      }
    } catch (error) {
      // A transaction nested in this one may have rolled back all of it.
      if (this.#depth > 0) this.rollback();
      throw error;
    }
    return this.commit(options);
  }

  /**
   * Map what a flat view says, by the shortest list that leads there from what is mapped: memory becomes slots of the
   * library's own numbering, everything else windows. A root region is flattened now and again at every later commit.
   * Slots that are not the view's stay as they are.
   * @returns undefined inside a transaction, at whose end it takes effect
   * @throws as MemslotEngine.setUserMemoryRegionList; RangeError naming a region whose host memory is beyond the
   *   engine's; TypeError
   */
  set(source: FlatViewSource, options: FlatViewOptions = {}): CommitResult | undefined {
    if (!(source instanceof FlatView || source instanceof MemoryRegion)) {
      throw new TypeError(`view must be a FlatView or a MemoryRegion, not ${show(source)}`);
    }
    checkOptionNames<FlatViewOptions>(options, VIEW_OPTIONS);
    const { asId = 0, protectSections, ...commit } = options;
    this.#checkAsId(asId);
    const protects = toBoolean(protectSections, "protectSections", false);
    const [option] = Object.keys(commit);
    if (this.#depth > 0 && option !== undefined) {
      throw new TypeError(`${option} must be an option of the commit that ends the transaction`);
    }
    const alone = this.#depth === 0;
    this.begin();
    this.#spaces[asId]!.show({ source, protectSections: protects });
    return alone ? this.commit(commit) : this.#leave();
  }

  /** End a nested transaction. */
  #leave(): undefined {
    this.#depth--;
    return undefined;
  }

  /**
   * End a transaction. The outermost one commits all address spaces as one list.
   * @returns undefined inside another transaction
   * @throws KvmError EINVAL without a transaction; as MemslotEngine.setUserMemoryRegionList, and then nothing has
   *   changed
   */
  commit(options: FlatViewCommitOptions = {}): CommitResult | undefined {
    checkOptionNames<FlatViewCommitOptions>(options, COMMIT_OPTIONS);
    // Now: a getter may change the map.
    const given = { ...options };
    this.#checkOpen("commit");
    if (this.#depth > 1) return this.#leave();
    this.#end();
    for (let attempts = 1; ; attempts++) {
      const { plans, request } = this.#plan(given);
      let result: CommitResult;
      try {
        result = this.#engine.setUserMemoryRegionList(listOf(plans), request);
      } catch (error) {
        if (hasMoved(error) && attempts < PLANS_MAX) continue;
        throw this.#refused(plans, error);
      }
      this.#settle(plans, result.published);
      return result;
    }
  }

  /** The same for threads that must not sleep. Until it is done no other transaction may begin. */
  async commitAsync(options: FlatViewCommitOptions = {}): Promise<CommitResult | undefined> {
    checkOptionNames<FlatViewCommitOptions>(options, COMMIT_OPTIONS);
    const given = { ...options };
    this.#checkOpen("commitAsync");
    if (this.#depth > 1) return this.#leave();
    this.#end();
    for (let attempts = 1; ; attempts++) {
      const { plans, request } = this.#plan(given);
      let result: CommitResult;
      try {
        this.#busy = true;
        result = await this.#engine.setUserMemoryRegionListAsync(listOf(plans), request);
      } catch (error) {
        if (hasMoved(error) && attempts < PLANS_MAX) continue;
        throw this.#refused(plans, error);
      } finally {
        this.#busy = false;
      }
      this.#settle(plans, result.published);
      return result;
    }
  }

  #checkIdle(op: string): void {
    if (this.#busy) throw new KvmError(-ERRNO.EBUSY, op, { reason: "a transaction is being committed" });
  }

  #checkOpen(op: string): void {
    this.#checkIdle(op);
    if (this.#depth === 0) throw new KvmError(-ERRNO.EINVAL, op, { reason: "there is no transaction" });
  }

  /** The outermost transaction ends: what changes from now on is not part of it. */
  #end(): void {
    this.#depth = 0;
    this.#edits.end();
  }

  /** What is to be committed, and with which options. @throws as set, and then the transaction is undone */
  #plan(options: FlatViewCommitOptions): { plans: readonly SpacePlan[]; request: CommitOptions } {
    // Before the slots: what is published in between is another publication.
    const { publications: publication } = this.#engine;
    try {
      const plans = this.#spaces.map((space) => space.plan()).filter((plan) => plan !== undefined);
      return { plans, request: { ...options, windows: windowsOf(plans), publication } };
    } catch (error) {
      this.#undo();
      throw error;
    }
  }

  /** Sources of views, and regions, as they were when the transaction began. */
  #undo(): void {
    this.#spaces.forEach((space, asId) => {
      space.show(this.#before![asId]!);
    });
    this.#edits.undo();
  }

  /** The list was refused, or is in force all the same. @returns the error */
  #refused(plans: readonly SpacePlan[], error: unknown): unknown {
    if (!(error instanceof KvmError) || error.published !== true) {
      this.#undo();
      return error;
    }
    try {
      this.#settle(plans, true);
    } catch {
      // An error of a listener; that of the commit comes first.
    }
    return error;
  }

  /** The plans are in force. `published`: the engine has changed. */
  #settle(plans: readonly SpacePlan[], published: boolean): void {
    const alone = plans.length === 1 ? published : undefined;
    for (const plan of plans) this.#spaces[plan.change.asId]!.settle(plan, alone);
    if (this.#listeners.empty) return;
    const changes = new Map(plans.map(({ change }) => [change.asId, change]));
    this.#listeners.tell(this.#spaces.map((space, asId) => changes.get(asId) ?? space.stay()));
  }

  /**
   * Call `listener` for every range that the flat views have now, and from then on at every commit that changes them,
   * in the order of QEMU's MemoryListener. The map is in force when it is called.
   * @returns takes the listener away again
   * @throws TypeError, RangeError naming the argument
   */
  addListener(listener: MemoryListener, options: ListenerOptions = {}): () => void {
    checkObject(listener, "listener");
    checkOptionNames<ListenerOptions>(options, { asId: true, priority: true });
    const { asId, priority = 0 } = options;
    if (asId !== undefined) this.#checkAsId(asId);
    if (!Number.isFinite(priority)) throw new TypeError(`priority must be a number, not ${show(priority)}`);
    const views = this.#spaces.map(({ ranges }) => ranges);
    return this.#listeners.add(listener, options, views);
  }

  #checkAsId(asId: number): void {
    toInteger(asId, "asId", 0, this.#engine.addressSpaces - 1);
  }
}

function listOf(plans: readonly SpacePlan[]): readonly Slot[] {
  return plans.length === 1 ? plans[0]!.list : plans.flatMap(({ list }) => list);
}

/** By address space. */
function windowsOf(plans: readonly SpacePlan[]): (readonly MmioWindow[] | undefined)[] {
  const windows: (readonly MmioWindow[] | undefined)[] = [];
  for (const plan of plans) if (plan.windows !== undefined) windows[plan.change.asId] = plan.windows.handle;
  return windows;
}
