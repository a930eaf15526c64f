/**
 * Timeline: layouts one after another, and the updates that lead from each to the next. A trace has the recorded
 * updates. Between dumps they are made as QEMU's listener makes them: delete all that is gone or different, then create
 * all that is new or different.
 */

import { layoutsOf, type SlotTable, withUpdate } from "../../src/map/layouts.js";
import {
  bytesOf,
  HOST,
  inOrder,
  type Mapping,
  type MemoryMap,
  mappingOf,
  PAGE_BYTES,
} from "../../src/map/memorymap.js";
import { regionOf } from "../../src/replay/commits.js";
import type { Slot } from "../../src/replay/gaps.js";
import { BlockLayout } from "../../src/trace/blocks.js";
import type { Trace } from "../../src/trace/trace.js";
import { type Hole, holesBetween } from "./holes.js";

/** A commit of the recorded machine, or the way from one dump to the next. */
export interface Step {
  readonly name: string;
  readonly cause: string;
  readonly updates: readonly Slot[];
  /** MMIO windows after it, which have no slot. */
  readonly windows: readonly Mapping[];
  /** The most bytes that are missing at once while its updates are made one by one. */
  readonly hole: Hole;
}

export interface Timeline {
  readonly title: string;
  readonly note: string;
  readonly steps: readonly Step[];
  /** The layout before the first step, and after each. */
  readonly layouts: readonly SlotTable[];
  /** Everything that is mapped at some time, for the scale of the drawing. */
  readonly extent: readonly Mapping[];
  mappingsOf(slots: Iterable<Slot>): Mapping[];
}

const NO_CAUSE = "cause not recorded";

export function timelineOfTrace(trace: Trace, note: string): Timeline {
  const steps = trace.commits.map(({ id, updates, phase }) => ({
    name: `commit ${id}`,
    cause:
      updates.find(({ cause }) => cause !== undefined)?.cause ??
      (phase === "init" ? "machine set-up" : NO_CAUSE),
    updates: updates.map(regionOf),
    windows: [],
  }));
  return timelineOf(trace.machine, note, steps, layoutsOf(trace.commits), trace.blocks);
}

/** One or more dumps, in this order. */
export function timelineOfMaps(maps: readonly MemoryMap[]): Timeline {
  const blocks = blocksOf(maps);
  const layouts: SlotTable[] = [new Map()];
  const steps = maps.map(({ title, mappings }) => {
    const before = layouts.at(-1)!;
    const updates = updatesBetween(before, wantedSlots(mappings, blocks));
    layouts.push(updates.reduce(withUpdate, before));
    const windows = mappings.filter(({ kind }) => kind === "mmio");
    return { name: title, cause: `${mappings.length} ranges`, updates, windows };
  });
  const title = maps.length === 1 ? maps[0]!.title : `${maps.length} dumps`;
  return timelineOf(title, "Loaded from a dump of yours.", steps, layouts, blocks);
}

function timelineOf(
  title: string,
  note: string,
  steps: readonly Omit<Step, "hole">[],
  layouts: readonly SlotTable[],
  blocks: BlockLayout | undefined,
): Timeline {
  const mappingsOf = (slots: Iterable<Slot>) => inOrder([...slots].map((slot) => mappingOf(slot, blocks)));
  const slots = layouts.flatMap((layout) => [...layout.values()]);
  const created = steps.flatMap(({ updates }) => updates.filter(({ memorySize }) => memorySize > 0));
  const distinct = new Map([...slots, ...created].map((slot) => [JSON.stringify(slot), slot]));
  const windows = new Map(
    steps.flatMap((step) => step.windows.map((mapping) => [`${mapping.start} ${mapping.end}`, mapping])),
  );
  return {
    title,
    note,
    layouts,
    mappingsOf,
    steps: steps.map((step, index) => ({
      ...step,
      hole: holesBetween(layouts[index]!, layouts[index + 1]!, step.updates),
    })),
    extent: inOrder([...mappingsOf(distinct.values()), ...windows.values()]),
  };
}

/** Host addresses for the blocks of dumps; none if the dumps have host addresses. */
function blocksOf(maps: readonly MemoryMap[]): BlockLayout | undefined {
  const ram = maps.flatMap(({ mappings }) => mappings.filter(({ kind }) => kind === "ram"));
  const own = ram.filter(({ block }) => block === HOST);
  if (own.length > 0 && own.length < ram.length) {
    throw new Error(
      "some of these dumps have host addresses, some name RAM blocks: they have no map in common",
    );
  }
  if (own.length > 0) return undefined;
  const ends = new Map<string, number>();
  for (const mapping of ram) {
    ends.set(mapping.block, Math.max(ends.get(mapping.block) ?? 0, mapping.off + bytesOf(mapping)));
  }
  const blocks = new BlockLayout();
  for (const [name, end] of ends) {
    if (!blocks.add(name, Math.ceil(end / PAGE_BYTES) * PAGE_BYTES))
      throw new Error(`no room for block ${name}`);
  }
  return blocks;
}

/** RAM of a dump as slots, in whole pages as QEMU's kvm_align_section; missing ids are assigned. */
function wantedSlots(mappings: readonly Mapping[], blocks: BlockLayout | undefined): Slot[] {
  const taken = new Set(mappings.flatMap(({ slot }) => (slot === undefined ? [] : [slot])));
  let id = 0;
  const free = (asId: number): number => {
    while (taken.has((asId << 16) | id)) id++;
    taken.add((asId << 16) | id);
    return (asId << 16) | id;
  };
  return mappings.flatMap(({ kind, asId, start, end, block, off, flags, slot }) => {
    const skipped = Math.ceil(start / PAGE_BYTES) * PAGE_BYTES - start;
    const bytes = Math.floor((end - start - skipped) / PAGE_BYTES) * PAGE_BYTES;
    if (kind === "mmio" || bytes <= 0) return [];
    return {
      slot: slot ?? free(asId),
      flags,
      guestPhysAddr: start + skipped,
      memorySize: bytes,
      userspaceAddr: (blocks?.hva(block, off) ?? off) + skipped,
    };
  });
}

/** Deletes first, then creates. */
export function updatesBetween(before: SlotTable, after: readonly Slot[]): Slot[] {
  const same = (a: Slot | undefined, b: Slot) => a !== undefined && JSON.stringify(a) === JSON.stringify(b);
  const kept = new Set(after.filter((slot) => same(before.get(slot.slot), slot)).map(({ slot }) => slot));
  return [
    ...[...before.values()]
      .filter(({ slot }) => !kept.has(slot))
      .map((slot) => ({ ...slot, flags: 0, memorySize: 0 })),
    ...after.filter(({ slot }) => !kept.has(slot)),
  ];
}
