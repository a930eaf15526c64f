/**
 * What is mapped where at one moment: the common form of a recorded layout, of a dump and of an engine's slots,
 * for those who draw and compare. Invariant: mappings of one address space are ascending and do not overlap.
 */
import type { BlockLayout } from "./blocks.js";
import type { Slot } from "./windows.js";

/** Bytes of the unit in which KVM maps. */
export const PAGE_BYTES = 0x1000;
/** Block of a dump that has host addresses and no names; the offset in it is the host address. */
export const HOST = "host";

/** Guest addresses [start, end) of one address space, in bytes, and what is behind them. */
export interface Mapping {
  readonly asId: number;
  readonly start: number;
  readonly end: number;
  /** mmio: a device answers, no host memory is behind it. */
  readonly kind: "ram" | "mmio";
  /** RAM block, or HOST, or the name of the device. */
  readonly block: string;
  /** Bytes from the start of the block to what `start` maps to. */
  readonly off: number;
  /** KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY. */
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
}

export function bytesOf({ start, end }: { readonly start: number; readonly end: number }): number {
  return end - start;
}

/** The mapping of a slot; `blocks` names what its host address lies in. */
export function mappingOf(slot: Slot, blocks?: BlockLayout): Mapping {
  const { name, off } = blocks?.at(slot.userspaceAddr) ?? { name: HOST, off: slot.userspaceAddr };
  return {
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
  return [...new Set([0, ...mappings.map(({ asId }) => asId)])].sort((a, b) => a - b);
}
