/**
 * Maps of physical memory that firmware or a kernel tells: ranges with names, of which some are RAM.
 */
import { MemoryRegion } from "../memoryregion.js";

/** Host address of physical address 0, where the caller names none. */
export const PHYSICAL_HOST = 0x1000_0000_0000;

/** A range of physical memory. Bytes. */
export interface PhysicalRange {
  /** Counted from 1; of a binary file 1. */
  readonly line: number;
  /** First physical address. */
  readonly start: bigint;
  /** Its size. */
  readonly size: bigint;
  /** As the text calls it; "System RAM" for all RAM. */
  readonly name: string;
  /** An operating system may use it as memory. */
  readonly ram: boolean;
}

/** The ranges as regions, RAM at its physical address behind PHYSICAL_HOST; what is no RAM covers what is. */
export function physicalTree(ranges: readonly PhysicalRange[]): MemoryRegion {
  const root = MemoryRegion.container("physical", 2n ** 64n);
  let devices = 0;
  for (const { start, size, name, ram } of ranges) {
    const host = PHYSICAL_HOST + Number(start);
    const isExact = ram && Number.isSafeInteger(host);
    const region = isExact ? MemoryRegion.ram(name, size, host) : MemoryRegion.io(name, size, devices++);
    root.addSubregion(start, region, ram ? 0 : 1);
  }
  return root;
}
