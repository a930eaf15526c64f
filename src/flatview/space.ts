/**
 * One address space of an engine as a flat view: what is in force, and what a commit is to make of it. A commit
 * flattens and plans only what edits have touched; all of it after another view has been set, and plans all of it after
 * somebody else has changed the address space.
 *
 *   touched extents -> flattened -> ranges that differ                          -> listeners
 *                                -> pieces -> those that differ -> their slots   -> the shortest list
 *                                                               -> their windows
 *
 * Invariants
 *  - `plan` changes nothing that is in force, and forgets nothing that edits have touched; `settle` does.
 *  - A slot is ours while its number maps what we made it map. All other slots are the user's: their numbers are not
 *    used and they are not touched.
 *
 * Mirrors address_space_update_topology (QEMU system/memory.c).
 */
import { ERRNO, KvmError } from "../kvm/errno.js";
import { type Slot, USER_ADDR_BITS, userEnd } from "../kvm/region.js";
import type { MmioWindow } from "../kvm/window.js";
import { WindowTable } from "../write/windowtable.js";
import { FlatView } from "./flatview.js";
import type { ViewChange } from "./listeners.js";
import {
  addSlots,
  addWindows,
  devicePieces,
  type MappingOptions,
  memoryPieces,
  PIECES,
  type Piece,
  type SlotRange,
  windowsOf,
  withinReach,
} from "./mapping.js";
import { ADDRESS_SPACE_BYTES, type MemoryRegion, unwatch, watch } from "./memoryregion.js";
import { planList } from "./plan.js";
import { RangeList } from "./rangelist.js";
import { Difference, type Layer, replaceWithin } from "./rangepatch.js";
import { endOf, type FlatRange, partOf, renderWithin, sameRange, simplify } from "./render.js";
import { SlotNumbers } from "./slotnumbers.js";
import { type Extent, Touched } from "./touched.js";

/** A view, or the root of a tree. */
export type FlatViewSource = FlatView | MemoryRegion;

/** What a space needs of its engine. */
export interface SpaceEngine {
  readonly addressSpaces: number;
  readonly maxSlots: number;
  readonly pageShift: number;
  readonly maxPhysAddrBits: number;
  readonly maxUserAddrBits?: number | undefined;
  slots(asId: number): Slot[];
  generation(asId: number): number;
}

/** What is to be shown. */
export interface Shown {
  readonly source: FlatViewSource | undefined;
  readonly protectSections: boolean;
}

/** What is mapped. */
interface Layers {
  readonly ranges: RangeList<FlatRange, bigint>;
  readonly memory: RangeList<Piece, number>;
  readonly devices: RangeList<Piece, number>;
}

/** What the end of a transaction does to one address space. */
export interface SpacePlan {
  readonly list: readonly Slot[];
  /** Its windows, if they change or are not known. */
  readonly windows: WindowTable | undefined;
  readonly change: ViewChange;
  /** True if this certainly changes the engine. */
  readonly changes: boolean;
  /** Generation of the address space before. */
  readonly generation: number;
  readonly layers: Layers;
  readonly numbers: SlotNumbers;
  /** Slots afterwards, the user's included. */
  readonly count: number;
}

const RANGES: Layer<FlatRange, bigint> = {
  start: ({ start }) => start,
  end: endOf,
  part: partOf,
  join: simplify,
  equal: sameRange,
};
/** Of a view that somebody else has made: its ranges stay as they are. */
const GIVEN: Layer<FlatRange, bigint> = { ...RANGES, join: (ranges) => [...ranges] };
/** More windows than this are encoded anew, with all others. */
const EDITS_MAX = 16;
const EVERYTHING: readonly Extent[] = [{ start: 0n, end: ADDRESS_SPACE_BYTES }];

export class Space {
  readonly asId: number;
  readonly #engine: SpaceEngine;
  #shown: Shown = { source: undefined, protectSections: false };
  #layers: Layers;
  /** What edits have touched since the last commit that was planned, and before that one if it was refused. */
  #touched = new Touched();
  #planned: readonly Extent[] = [];
  /** Numbers that are in use, ours and the user's, and how many they are. */
  #numbers: SlotNumbers;
  #count = 0;
  #table: WindowTable | undefined;
  /** What takes back what a plan has edited in numbers and windows, until it is settled. */
  #undo: (() => void)[] = [];
  /** Another view is to be shown. */
  #anew = false;
  /** Generation of the address space when we knew all of its slots and windows; NaN if we do not. */
  #known = Number.NaN;

  constructor(engine: SpaceEngine, asId: number) {
    this.#engine = engine;
    this.asId = asId;
    this.#layers = {
      ranges: RangeList.empty(RANGES),
      memory: RangeList.empty(PIECES),
      devices: RangeList.empty(PIECES),
    };
    this.#numbers = new SlotNumbers(engine.maxSlots);
  }

  get shown(): Shown {
    return this.#shown;
  }

  /** What is in force, ascending. */
  get ranges(): readonly FlatRange[] {
    return this.#layers.ranges.items();
  }

  /** A commit that changes nothing here. */
  stay(): ViewChange {
    const { ranges } = this.#layers;
    return { asId: this.asId, before: ranges, after: ranges, removed: [], added: [] };
  }

  /** Show something else from the next commit on. */
  show(shown: Shown): void {
    const { source } = this.#shown;
    if (shown === this.#shown) return;
    if (source !== shown.source) {
      if (source !== undefined && !(source instanceof FlatView)) unwatch(source, this.#touched);
      this.#touched = new Touched();
      if (shown.source !== undefined && !(shown.source instanceof FlatView)) {
        watch(shown.source, this.#touched);
      }
    }
    this.#shown = shown;
    this.#anew = true;
  }

  /** What the next commit does here. @throws KvmError EINVAL for too many slots; RangeError as mappingOf */
  plan(): SpacePlan | undefined {
    const { source } = this.#shown;
    if (source === undefined) return undefined;
    // Of a plan that was refused.
    for (let back = this.#undo.pop(); back !== undefined; back = this.#undo.pop()) back();
    for (const { start, end } of this.#planned) this.#touched.add(start, end);
    this.#planned = this.#touched.take();
    const generation = this.#engine.generation(this.asId);
    const known = generation === this.#known;
    if (known && !this.#anew && this.#planned.length === 0) return undefined;
    return this.#planLayers(generation, known, this.#options());
  }

  #options(): MappingOptions {
    const { pageShift, maxPhysAddrBits, maxUserAddrBits = USER_ADDR_BITS } = this.#engine;
    const { protectSections } = this.#shown;
    return { pageShift, maxPhysAddrBits, maxHost: userEnd(maxUserAddrBits), protectSections };
  }

  #planLayers(generation: number, known: boolean, options: MappingOptions): SpacePlan {
    const differences = {
      ranges: new Difference<FlatRange>(),
      memory: new Difference<Piece>(),
      devices: new Difference<Piece>(),
    };
    const before = this.#layers;
    let after = before;
    for (const extent of this.#anew ? EVERYTHING : this.#planned) {
      after = this.#flatten(extent, after, options, differences);
    }
    const { ranges, memory, devices } = differences;
    const { removed, added } = ranges;
    const change = { asId: this.asId, before: before.ranges, after: after.ranges, removed, added };
    if (!known) return this.#planAll(after, change, generation, options);
    const numbers = this.#numbers;
    let count = this.#count;
    let list: readonly Slot[] = [];
    if (memory.removed.length > 0 || memory.added.length > 0) {
      const mapped: Slot[] = [];
      for (const { slots } of memory.removed) for (const slot of slots) mapped.push(slot);
      for (const { slot } of mapped) numbers.delete(slot & 0xffff);
      this.#undo.push(() => {
        for (const { slots } of memory.added) for (const { slot } of slots) numbers.delete(slot & 0xffff);
        for (const { slot } of mapped) numbers.add(slot & 0xffff);
      });
      ({ list, count } = this.#planSlots(mapped, memory.added, numbers, count - mapped.length, options));
    }
    const windows = this.#planWindows(after, memory, devices, options);
    const changes = list.length > 0 || windows !== undefined;
    return { list, windows, change, changes, generation, layers: after, numbers, count };
  }

  /** Flatten one extent, and note what differs. */
  #flatten(
    extent: Extent,
    before: Layers,
    options: MappingOptions,
    differences: { ranges: Difference<FlatRange>; memory: Difference<Piece>; devices: Difference<Piece> },
  ): Layers {
    const source = this.#shown.source!;
    const given = source instanceof FlatView;
    const start = extent.start > 0n ? extent.start : 0n;
    const end = extent.end < ADDRESS_SPACE_BYTES ? extent.end : ADDRESS_SPACE_BYTES;
    if (start >= end) return before;
    const fresh = given ? source.ranges : renderWithin(source, { start, end });
    const step = replaceWithin(given ? GIVEN : RANGES, before.ranges, start, end, fresh);
    differences.ranges.note(step.removed, step.added);
    // Pieces may differ where ranges do not: they know whether the region itself is readonly.
    const limit = 2 ** options.maxPhysAddrBits;
    const [first, last] = [withinReach(start, limit), withinReach(end, limit)];
    const memory = replaceWithin(PIECES, before.memory, first, last, memoryPieces(fresh, options));
    const devices = replaceWithin(PIECES, before.devices, first, last, devicePieces(fresh, options));
    differences.memory.note(memory.removed, memory.added);
    differences.devices.note(devices.removed, devices.added);
    return { ranges: step.list, memory: memory.list, devices: devices.list };
  }

  /** Plan without knowing what is there: somebody else has changed the address space. */
  #planAll(after: Layers, change: ViewChange, generation: number, options: MappingOptions): SpacePlan {
    const owned = new Map<number, Slot>();
    for (const { slots } of this.#layers.memory.items()) for (const slot of slots) owned.set(slot.slot, slot);
    const mapped: Slot[] = [];
    const users: number[] = [];
    for (const slot of this.#engine.slots(this.asId)) {
      if (sameMemory(owned.get(slot.slot), slot)) mapped.push(slot);
      else users.push(slot.slot & 0xffff);
    }
    const numbers = new SlotNumbers(this.#engine.maxSlots, users);
    // Pieces in force keep their slots, should the list be refused.
    const memory = after.memory.map((piece) => piece.at(piece.start, piece.end));
    const made = memory.items();
    const { list, count } = this.#planSlots(mapped, made, numbers, users.length, options);
    const windows = this.#tableOf(made, after.devices.items(), options);
    const layers = { ranges: after.ranges, memory, devices: after.devices };
    return { list, windows, change, changes: list.length > 0, generation, layers, numbers, count };
  }

  /** Plan the slots of `made`, which get them. `numbers` are those of all other slots, `others` is how many. */
  #planSlots(
    mapped: readonly Slot[],
    made: readonly Piece[],
    numbers: SlotNumbers,
    others: number,
    options: MappingOptions,
  ): { list: readonly Slot[]; count: number } {
    const wanted: SlotRange[] = [];
    /** Where the slots of each piece end. */
    const ends: number[] = [];
    for (const piece of made) {
      addSlots(wanted, piece, options);
      ends.push(wanted.length);
    }
    const count = others + wanted.length;
    if (count > this.#engine.maxSlots) {
      const reason = `${count} slots in address space ${this.asId}, maxSlots is ${this.#engine.maxSlots}`;
      throw new KvmError(-ERRNO.EINVAL, "FlatViews", { reason });
    }
    const { list, slots } = planList(mapped, wanted, this.asId, numbers);
    let at = 0;
    for (let i = 0; i < made.length; i++) made[i]!.slots = slots.slice(at, (at = ends[i]!));
    return { list, count };
  }

  /** The table of windows after pieces went and came; undefined if it stays as it is. */
  #planWindows(
    after: Layers,
    memory: Difference<Piece>,
    devices: Difference<Piece>,
    options: MappingOptions,
  ): WindowTable | undefined {
    const gone: MmioWindow[] = [];
    const come: MmioWindow[] = [];
    for (const { removed, added } of [memory, devices]) {
      for (const piece of removed) addWindows(gone, piece, options);
      for (const piece of added) addWindows(come, piece, options);
    }
    if (gone.length === come.length) {
      const known = new Map(gone.map((window) => [window.gpa, window]));
      if (come.every((window) => sameWindow(known.get(window.gpa), window))) return undefined;
    }
    if (this.#table === undefined || gone.length + come.length > EDITS_MAX) {
      return this.#tableOf(after.memory.items(), after.devices.items(), options);
    }
    const table = this.#table;
    table.edit(gone, come);
    this.#undo.push(() => table.edit(come, gone));
    return table;
  }

  #tableOf(memory: readonly Piece[], devices: readonly Piece[], options: MappingOptions): WindowTable {
    const windows = windowsOf([...memory, ...devices], options);
    return new WindowTable(windows, 2 ** options.maxPhysAddrBits, "FlatViews");
  }

  /** The plan is in force. `alone`: nothing else was in the same commit, and it changed the engine or not. */
  settle(plan: SpacePlan, alone: boolean | undefined): void {
    const { changes, generation, windows } = plan;
    this.#layers = plan.layers;
    this.#numbers = plan.numbers;
    this.#count = plan.count;
    this.#table = windows ?? this.#table;
    if (this.#undo.length > 0) this.#undo = [];
    this.#planned = [];
    this.#anew = false;
    const now = this.#engine.generation(this.asId);
    const changed = changes || (windows === undefined ? false : alone);
    const expected = generation + (changed ? this.#engine.addressSpaces : 0);
    this.#known = changed !== undefined && now === expected ? now : Number.NaN;
  }
}

/** Equal but for flags, which the user may change. */
function sameMemory(made: Slot | undefined, slot: Slot): boolean {
  return (
    made !== undefined &&
    made.guestPhysAddr === slot.guestPhysAddr &&
    made.memorySize === slot.memorySize &&
    made.userspaceAddr === slot.userspaceAddr
  );
}

function sameWindow(a: MmioWindow | undefined, b: MmioWindow): boolean {
  if (a === undefined || a.bytes !== b.bytes) return false;
  if ("hva" in a) return "hva" in b && a.hva === b.hva && a.readonly === b.readonly && a.log === b.log;
  return "device" in a && "device" in b && a.device === b.device && a.offset === b.offset;
}
