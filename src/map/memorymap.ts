/**
 * What is mapped where at one moment: the common form of a recorded layout, of a dump and of an engine's slots,
 * for those who draw and compare. Invariant: mappings of one address space are ascending and do not overlap.
 */

import type { Slot } from "../replay/gaps.js";
import type { BlockLayout } from "../trace/blocks.js";

/** Bytes of the unit in which KVM maps. */
export const PAGE_BYTES = 0x1000;
/** Block of a dump that has host addresses and no names; the offset in it is the host address. No file names it. */
export const HOST = "\0host";
/** Block of a record that names none (src/trace/recorder.ts): all of the host from address 0 on. */
const RECORDED_HOST = { name: "host", bytes: 0x6000_0000_0000 };

/** Guest addresses [start, end) of one address space, in bytes, and what is behind them. */
export interface Mapping {
  readonly asId: number;
  readonly start: number;
  readonly end: number;
  /** mmio: a device answers, no host memory is behind it. */
  readonly kind: "ram" | "mmio";
  /** Its guest_memfd, with KVM_MEM_GUEST_MEMFD. */
  readonly guestMemfd?: number;
  /** Byte of the guest_memfd that `start` maps to. */
  readonly guestMemfdOffset?: number;
  /** RAM block, or HOST, or the name of the device. */
  readonly block: string;
  /** Bytes from the start of the block to what `start` maps to. */
  readonly off: number;
  /** KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEM_GUEST_MEMFD. */
  readonly flags: number;
  /** Number of the slot, address space << 16 | id, where slots are known. */
  readonly slot?: number;
  /** Its dirty log, a bit per page, where that is known. */
  readonly dirty?: Uint8Array;
}

export interface MemoryMap {
  /** What it is a map of, for a heading. */
  readonly title: string;
  readonly mappings: readonly Mapping[];
  /** What its file was taken for. */
  readonly source?: string;
  /** What the file leaves open, or what was passed over. */
  readonly notes?: readonly MapNote[];
  /** Host addresses of the blocks that the file tells. */
  readonly hosts?: ReadonlyMap<string, number>;
}

/** Lines count from 1. */
export interface MapNote {
  readonly line: number | undefined;
  readonly text: string;
}

export function bytesOf({ start, end }: { readonly start: number; readonly end: number }): number {
  return end - start;
}

/** The mapping of a slot; `blocks` names what its host address lies in. */
export function mappingOf(slot: Slot, blocks?: BlockLayout): Mapping {
  const { name, off } = placeOf(slot.userspaceAddr, blocks);
  const { guestMemfd, guestMemfdOffset } = slot;
  return {
    ...(guestMemfd !== undefined && { guestMemfd, guestMemfdOffset: guestMemfdOffset ?? 0 }),
    asId: slot.slot >>> 16,
    start: slot.guestPhysAddr,
    end: slot.guestPhysAddr + slot.memorySize,
    kind: "ram",
    block: name,
    off,
    flags: slot.flags,
    slot: slot.slot,
  };
}

function placeOf(hva: number, blocks: BlockLayout | undefined): { name: string; off: number } {
  const place = blocks?.at(hva);
  if (place === undefined) return { name: HOST, off: hva };
  const { name, bytes } = RECORDED_HOST;
  return place.name === name && blocks?.bytes(name) === bytes ? { name: HOST, off: place.off } : place;
}

export function inOrder(mappings: readonly Mapping[]): Mapping[] {
  return [...mappings].sort((a, b) => a.asId - b.asId || a.start - b.start);
}

/** Two neighbours that overlap, or undefined. `mappings` are in order. */
export function overlapIn(mappings: readonly Mapping[]): readonly [Mapping, Mapping] | undefined {
  for (let i = 1; i < mappings.length; i++) {
    const [a, b] = [mappings[i - 1]!, mappings[i]!];
    if (a.asId === b.asId && b.start < a.end) return [a, b];
  }
  return undefined;
}

/** Address spaces that have mappings, ascending; 0 in any case. */
export function asIdsOf(mappings: readonly Mapping[]): number[] {
  return spacesOf(mappings).map(([asId]) => asId);
}

/** The mappings of each of these address spaces. */
export function spacesOf(mappings: readonly Mapping[]): [number, Mapping[]][] {
  const spaces = new Map<number, Mapping[]>([[0, []]]);
  for (const mapping of mappings) {
    const own = spaces.get(mapping.asId);
    if (own === undefined) spaces.set(mapping.asId, [mapping]);
    else own.push(mapping);
  }
  return [...spaces].sort(([a], [b]) => a - b);
}

/** What is mapped of each RAM block, in the order in which blocks first appear. Bytes from the start of the block. */
export function blockRanges(mappings: readonly Mapping[]): Map<string, { start: number; end: number }[]> {
  const blocks = new Map<string, { start: number; end: number }[]>();
  for (const mapping of mappings) {
    if (mapping.kind !== "ram") continue;
    const range = { start: mapping.off, end: mapping.off + bytesOf(mapping) };
    const known = blocks.get(mapping.block);
    if (known === undefined) blocks.set(mapping.block, [range]);
    else known.push(range);
  }
  return blocks;
}
