/**
 * The A20 gate: while it is shut, address line 20 is 0, and each odd MiB shows the even one below it. QEMU does
 * this in the CPU; a map does it by aliases, for the first `bytes` of guest memory.
 */
import { MemoryRegion } from "../memoryregion.js";

const MIB = 0x10_0000;

/** The A20 gate of a PC: while it is shut, each odd MiB shows the even one below it. */
export class A20Gate {
  /** Root of the address space behind the gate. */
  readonly root = MemoryRegion.container("a20", 2n ** 64n);
  readonly #odd: readonly MemoryRegion[];

  /**
   * A gate before `system`, shut, as at reset.
   * @param bytes how far the CPU reaches that finds it shut: 2 MiB if not given, all that real mode can name
   */
  constructor(system: MemoryRegion, bytes = 2 * MIB) {
    if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % (2 * MIB) !== 0) {
      throw new RangeError(`bytes must be a multiple of 2 MiB, not ${bytes}`);
    }
    this.root.addSubregion(0, MemoryRegion.alias("system", system, 0, 2n ** 64n));
    this.#odd = Array.from({ length: bytes / (2 * MIB) }, (_, i) => {
      const alias = MemoryRegion.alias("a20-wrap", system, 2 * i * MIB, MIB);
      this.root.addSubregion((2 * i + 1) * MIB, alias, 1);
      return alias;
    });
  }

  /** Open the gate, or shut it. */
  setOpen(open: boolean): void {
    for (const alias of this.#odd) alias.setEnabled(!open);
  }
}
