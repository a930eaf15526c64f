/**
 * The address spaces of one engine as flat views, and the transactions that change them: at the end of the
 * outermost one, all that changed is planned and committed as one list, and then the listeners are told.
 *
 * Invariants
 *  - A slot is ours while its number maps what we made it map; whatever else is mapped is the user's, its
 *    numbers are not used and its slots not touched.
 *  - What is in force changes only with a publication: a refused list leaves views, slots and listeners as they
 *    were.
 *
 * Mirrors memory_region_transaction_begin and memory_region_transaction_commit (QEMU system/memory.c).
 */
import type { CommitOptions, CommitResult } from "../commitoptions.js";
import { ERRNO, KvmError } from "../errno.js";
import { show } from "../region.js";
import type { MmioWindow } from "../windows.js";
import { FlatView } from "./flatview.js";
import { type ListenerOptions, Listeners, type MemoryListener } from "./listeners.js";
import { mappingOf } from "./mapping.js";
import { MemoryRegion } from "./memoryregion.js";
import { type NumberedSlot, planList } from "./plan.js";

/** A view, or the root of a tree, which is flattened anew at each commit. */
export type FlatViewSource = FlatView | MemoryRegion;

/** Options of `engine.setFlatView`, and those of a commit if it is not inside a transaction. */
export interface FlatViewOptions extends Omit<CommitOptions, "windows"> {
  /** Address space; 0 if not given. */
  addressSpace?: number;
  /**
   * Make memory READONLY where the guest is not to write it, as PAM tells, not only where it is a ROM. Off by
   * default, as behind KVM: QEMU hands only a region's own protection on.
   */
  protectSections?: boolean;
}

/** What is needed of a MemslotEngine. */
export interface MappedEngine {
  readonly addressSpaces: number;
  readonly maxSlots: number;
  readonly pageShift: number;
  readonly maxPhysAddrBits: number;
  slots(asId: number): NumberedSlot[];
  setUserMemoryRegionList(list: readonly NumberedSlot[], options: CommitOptions): CommitResult;
  setUserMemoryRegionListAsync(list: readonly NumberedSlot[], options: CommitOptions): Promise<CommitResult>;
}

interface Space {
  source: FlatViewSource | undefined;
  protectSections: boolean;
  /** What is in force. */
  view: FlatView;
  owned: Map<number, NumberedSlot>;
}

/** What a commit is about to do. */
interface Change {
  readonly list: readonly NumberedSlot[];
  readonly windows: (readonly MmioWindow[] | undefined)[];
  readonly after: readonly (Space | undefined)[];
}

const EMPTY = FlatView.from([]);

function isOurs({ owned }: Space, slot: NumberedSlot): boolean {
  const made = owned.get(slot.slot);
  return (
    made !== undefined &&
    made.guestPhysAddr === slot.guestPhysAddr &&
    made.memorySize === slot.memorySize &&
    made.userspaceAddr === slot.userspaceAddr
  );
}

export class AddressSpaces {
  readonly #engine: MappedEngine;
  readonly #listeners = new Listeners();
  #spaces: Space[];
  /** Spaces as they were when the outermost transaction began. */
  #before: Space[] | undefined;
  #depth = 0;
  #busy = false;

  constructor(engine: MappedEngine) {
    this.#engine = engine;
    this.#spaces = Array.from({ length: engine.addressSpaces }, () => ({
      source: undefined,
      protectSections: false,
      view: EMPTY,
      owned: new Map(),
    }));
  }

  /** Begin a transaction, or nest into the open one. */
  begin(): void {
    this.#checkIdle("begin");
    if (this.#depth === 0) this.#before = this.#spaces.map((space) => ({ ...space }));
    this.#depth++;
  }

  /**
   * Give an address space a view. Outside of a transaction it is one by itself, and its result is returned.
   * @throws TypeError, RangeError naming the argument; as commit
   */
  setFlatView(source: FlatViewSource, options: FlatViewOptions): CommitResult | undefined {
    if (!(source instanceof FlatView || source instanceof MemoryRegion)) {
      throw new TypeError(`view must be a FlatView or a MemoryRegion, not ${show(source)}`);
    }
    if (typeof options !== "object" || options === null) {
      throw new TypeError(`options must be an object, not ${show(options)}`);
    }
    const { addressSpace = 0, protectSections = false, ...commit } = options;
    this.#checkAddressSpace(addressSpace);
    if (typeof protectSections !== "boolean") {
      throw new TypeError(`protectSections must be a boolean, not ${show(protectSections)}`);
    }
    const [option] = Object.keys(commit);
    if (this.#depth > 0 && option !== undefined) {
      throw new TypeError(`${option} is an option of the commit that ends the transaction`);
    }
    const alone = this.#depth === 0;
    this.begin();
    Object.assign(this.#spaces[addressSpace]!, { source, protectSections });
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
   * @throws KvmError EINVAL without a transaction; as setUserMemoryRegionList, and then nothing has changed
   */
  commit(options: Omit<CommitOptions, "windows"> = {}): CommitResult | undefined {
    this.#checkOpen("commit");
    if (this.#depth > 1) return this.#leave();
    return this.#finish((change) => {
      let result: CommitResult;
      try {
        result = this.#engine.setUserMemoryRegionList(change.list, { ...options, windows: change.windows });
      } catch (error) {
        this.#settle(change, error instanceof KvmError && error.published === true);
        throw error;
      }
      this.#settle(change, true);
      return result;
    });
  }

  /** The same for threads that must not sleep. Until it is done no other transaction may begin. */
  async commitAsync(options: Omit<CommitOptions, "windows"> = {}): Promise<CommitResult | undefined> {
    this.#checkOpen("commitAsync");
    if (this.#depth > 1) return this.#leave();
    return this.#finish(async (change) => {
      this.#busy = true;
      let result: CommitResult;
      try {
        const { list, windows } = change;
        result = await this.#engine.setUserMemoryRegionListAsync(list, { ...options, windows });
      } catch (error) {
        this.#settle(change, error instanceof KvmError && error.published === true);
        throw error;
      } finally {
        this.#busy = false;
      }
      this.#settle(change, true);
      return result;
    });
  }

  #checkIdle(op: string): void {
    if (this.#busy) throw new KvmError(-ERRNO.EBUSY, op, { reason: "a transaction is being committed" });
  }

  #checkOpen(op: string): void {
    this.#checkIdle(op);
    if (this.#depth === 0) throw new KvmError(-ERRNO.EINVAL, op, { reason: "there is no transaction" });
  }

  /** Plan the outermost transaction, which ends here, and let `apply` commit it. */
  #finish<T>(apply: (change: Change) => T): T {
    this.#depth = 0;
    let change: Change;
    try {
      change = this.#plan();
    } catch (error) {
      this.#spaces = this.#before!;
      throw error;
    }
    return apply(change);
  }

  #plan(): Change {
    const list: NumberedSlot[] = [];
    const windows: (readonly MmioWindow[] | undefined)[] = [];
    const after = this.#spaces.map((space, asId) => {
      if (space.source === undefined) return undefined;
      const view = space.source instanceof FlatView ? space.source : FlatView.of(space.source);
      const { pageShift, maxPhysAddrBits } = this.#engine;
      const { protectSections } = space;
      const mapping = mappingOf(view, { pageShift, maxPhysAddrBits, protectSections });
      const slots = this.#engine.slots(asId);
      const ours = slots.filter((slot) => isOurs(space, slot));
      const taken = new Set(slots.filter((slot) => !isOurs(space, slot)).map(({ slot }) => slot & 0xffff));
      const need = mapping.slots.length + taken.size;
      if (need > this.#engine.maxSlots) {
        const reason = `${need} slots in address space ${asId}, maxSlots is ${this.#engine.maxSlots}`;
        throw new KvmError(-ERRNO.EINVAL, "setFlatView", { reason });
      }
      const plan = planList(ours, mapping.slots, asId, taken);
      list.push(...plan.list);
      windows[asId] = mapping.windows;
      return { ...space, view, owned: new Map(plan.slots.map((slot) => [slot.slot, slot])) };
    });
    return { list, windows, after };
  }

  /** The list is in force, or refused. */
  #settle({ after }: Change, published: boolean): void {
    if (!published) {
      this.#spaces = this.#before!;
      return;
    }
    const before = this.#spaces;
    this.#spaces = before.map((space, asId) => after[asId] ?? space);
    const changes = this.#spaces.map(({ view }, asId) => ({ asId, before: before[asId]!.view, after: view }));
    this.#listeners.tell(changes.filter((change) => change.before !== change.after));
  }

  /**
   * Tell `listener` of every range there is, and from then on of every commit.
   * @returns takes it away again
   * @throws TypeError, RangeError naming the argument
   */
  addListener(listener: MemoryListener, options: ListenerOptions): () => void {
    if (typeof listener !== "object" || listener === null) {
      throw new TypeError(`listener must be an object, not ${show(listener)}`);
    }
    const { addressSpace, priority = 0 } = options;
    if (addressSpace !== undefined) this.#checkAddressSpace(addressSpace);
    if (!Number.isFinite(priority)) throw new TypeError(`priority must be a number, not ${show(priority)}`);
    const views = this.#spaces.map(({ view }) => view);
    return this.#listeners.add(listener, options, views);
  }

  #checkAddressSpace(addressSpace: number): void {
    const last = this.#engine.addressSpaces - 1;
    if (!Number.isInteger(addressSpace) || addressSpace < 0 || addressSpace > last) {
      throw new RangeError(`addressSpace must be from 0 to ${last}, not ${show(addressSpace)}`);
    }
  }
}
