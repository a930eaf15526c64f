/**
 * SMRAM: memory that only a CPU in system management mode sees, in the second address space; the guest opens it
 * to all to fill it, then closes and locks it.
 *
 *   address space 0   system: the PCI bus at 0xA0000, or RAM while SMRAM is open; a hole where TSEG is
 *   address space 1   smm: the system, and over it SMRAM at 0xA0000 or 0xFEDA0000, and TSEG below the top of RAM
 *
 * Mirrors i440fx_update_memory_mappings and mch_update_smram (QEMU hw/pci-host/i440fx.c, q35.c).
 */
import { noteEdit } from "../edits.js";
import { MemoryRegion } from "../memoryregion.js";

const SMRAM_BASE = 0xa_0000;
const HIGH_SMRAM_BASE = 0xfeda_0000;
const SMRAM_BYTES = 0x2_0000;
const MIB = 0x10_0000;

/** Bits of the SMRAM register. */
const D_OPEN = 0x40;
const D_LCK = 0x10;
const G_SMRAME = 0x08;
/** Bits of ESMRAMC, q35 only. */
const H_SMRAME = 0x80;
const TSEG_SIZE_SHIFT = 1;
const T_EN = 0x01;

/** What SMRAM is laid over. */
export interface SmramParts {
  /** Root of address space 0. */
  readonly system: MemoryRegion;
  /** All RAM, as one block. */
  readonly ram: MemoryRegion;
  /** The PCI bus, which answers at 0xA0000 while SMRAM is closed. */
  readonly pci: MemoryRegion;
  /** Bytes of RAM below 4 GiB; TSEG ends there. */
  readonly lowBytes: number;
  /** Number of the device that answers where TSEG is, outside of SMM. */
  readonly holeDevice: number;
  /** MiB of TSEG for size 3. */
  readonly extendedTsegMib: number;
}

/** System management RAM of a PC: seen in system management mode alone, or by all while the guest fills it. */
export class Smram {
  /** Root of the address space of a CPU in SMM. */
  readonly smm = MemoryRegion.container("memory", 2n ** 64n);
  readonly #lowBytes: number;
  readonly #tsegMib: readonly number[];
  /** Over RAM: what those outside of SMM see. */
  readonly #closed: MemoryRegion;
  readonly #openHigh: MemoryRegion;
  readonly #low: MemoryRegion;
  readonly #high: MemoryRegion;
  readonly #tseg: MemoryRegion;
  readonly #hole: MemoryRegion;
  #smram = 0;
  #esmramc = 0;

  /** Lay it over `system`: closed, unlocked, no TSEG. */
  constructor({ system, ram, pci, lowBytes, holeDevice, extendedTsegMib }: SmramParts) {
    const window = (name: string, of: MemoryRegion) => MemoryRegion.alias(name, of, SMRAM_BASE, SMRAM_BYTES);
    this.#lowBytes = lowBytes;
    this.#tsegMib = [1, 2, 8, extendedTsegMib];
    this.#closed = window("smram-region", pci);
    this.#openHigh = window("smram-open-high", ram);
    this.#low = window("smram-low", ram);
    this.#high = window("smram-high", ram);
    this.#tseg = MemoryRegion.alias("tseg-window", ram, lowBytes, 0);
    this.#hole = MemoryRegion.io("tseg-blackhole", 0, holeDevice);
    system.addSubregion(SMRAM_BASE, this.#closed, 1);
    system.addSubregion(HIGH_SMRAM_BASE, this.#openHigh, 1);
    system.addSubregion(lowBytes, this.#hole, 1);
    const smram = MemoryRegion.container("smram", 2n ** 32n);
    smram.addSubregion(SMRAM_BASE, this.#low);
    smram.addSubregion(HIGH_SMRAM_BASE, this.#high);
    smram.addSubregion(lowBytes, this.#tseg);
    this.smm.addSubregion(0, MemoryRegion.alias("memory", system, 0, 2n ** 64n));
    this.smm.addSubregion(0, smram, 1);
    this.#update();
  }

  /** Write the SMRAM register, a byte. Once locked it, and ESMRAMC, stay as they are, closed. */
  writeSmram(value: number): void {
    if (this.#smram & D_LCK) return;
    this.#keep();
    this.#smram = value & D_LCK ? value & ~D_OPEN : value;
    this.#update();
  }

  /** Write ESMRAMC of q35, a byte. */
  writeEsmramc(value: number): void {
    if (this.#smram & D_LCK) return;
    this.#keep();
    this.#esmramc = value;
    this.#update();
  }

  /** As after a machine reset: closed, unlocked, no TSEG. */
  reset(): void {
    this.#keep();
    this.#smram = 0;
    this.#esmramc = 0;
    this.#update();
  }

  /** A register is about to be written: a transaction that is undone takes it back, too. */
  #keep(): void {
    const [smram, esmramc] = [this.#smram, this.#esmramc];
    noteEdit(() => {
      this.#smram = smram;
      this.#esmramc = esmramc;
    });
  }

  #update(): void {
    const open = (this.#smram & D_OPEN) !== 0;
    const on = (this.#smram & G_SMRAME) !== 0;
    const high = (this.#esmramc & H_SMRAME) !== 0;
    this.#closed.setEnabled(!open || high);
    this.#openHigh.setEnabled(open && high);
    this.#low.setEnabled(on && !high);
    this.#high.setEnabled(on && high);
    const size =
      this.#esmramc & T_EN && on ? this.#tsegMib[(this.#esmramc >> TSEG_SIZE_SHIFT) & 3]! * MIB : 0;
    for (const region of [this.#hole, this.#tseg]) {
      region.setEnabled(size > 0);
      region.setSize(size);
      region.setAddress(this.#lowBytes - size);
    }
    this.#tseg.setTargetOffset(this.#lowBytes - size);
  }
}
