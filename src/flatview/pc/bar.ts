/**
 * A PCI base address register: one region that the guest maps, moves and takes away again. Mirrors
 * pci_update_mappings (QEMU hw/pci/pci.c).
 */
import type { MemoryRegion } from "../memoryregion.js";

/** A PCI base address register: a region that appears in its space while the guest maps it. */
export class Bar {
  /** What it shows. */
  readonly region: MemoryRegion;
  readonly #space: MemoryRegion;

  /** `region`, whose size is a power of two, is to appear in `space`. @throws RangeError */
  constructor(space: MemoryRegion, region: MemoryRegion) {
    if (region.size === 0n || (region.size & (region.size - 1n)) !== 0n) {
      throw new RangeError(`the size of "${region.name}" must be a power of two, not ${region.size}`);
    }
    this.region = region;
    this.#space = space;
  }

  /** Where it is mapped, or undefined. */
  get address(): bigint | undefined {
    return this.region.container === undefined ? undefined : this.region.address;
  }

  /** Map it at `address`, or move it there. @throws RangeError if that is no multiple of its size */
  map(address: number | bigint): void {
    if (BigInt(address) % this.region.size !== 0n) {
      throw new RangeError(`address must be a multiple of ${this.region.size}, not ${address}`);
    }
    if (this.region.container !== undefined) this.region.setAddress(address);
    else this.#space.addSubregion(address, this.region, 1);
  }

  /** Take it away. */
  unmap(): void {
    if (this.region.container !== undefined) this.#space.delSubregion(this.region);
  }
}
