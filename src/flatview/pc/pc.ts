/**
 * The memory of a PC: RAM around the hole below 4 GiB, firmware, PAM, SMRAM, and the PCI bus with what lies on
 * it, moved about by the chipset's configuration registers as the guest writes them.
 *
 *   system   RAM (0), PAM and SMRAM over it (1), and below all the PCI bus (-1)
 *   pci      firmware, option ROMs, VGA window, BARs
 *
 * Mirrors pc_memory_init, i440fx_init and mch_realize (QEMU hw/i386/pc.c, hw/pci-host).
 */
import { checkOptionNames, show } from "../../kvm/arguments.js";
import { MemoryRegion } from "../memoryregion.js";
import { PAM_REGISTERS, Pam } from "./pam.js";
import { Smram } from "./smram.js";

const FOUR_GIB = 2 ** 32;
const ISA_BIOS_BYTES_MAX = 0x2_0000;
const ONE_MIB = 0x10_0000;
const OPTION_ROM_BASE = 0xc_0000;
/** MiB of the largest TSEG: QEMU's extended-tseg-mbytes. */
const EXTENDED_TSEG_MIB = 16;

/** Registers of the host bridge; RAM from `split` on leaves only `low` bytes below 4 GiB. */
const CHIPSETS = {
  i440fx: { pam: 0x59, smram: 0x72, esmramc: undefined, split: 0xe000_0000, low: 0xc000_0000 },
  q35: { pam: 0x90, smram: 0x9d, esmramc: 0x9e, split: 0xb000_0000, low: 0x8000_0000 },
} as const;

/** What a PC is made of. */
export interface PcOptions {
  /** Host bridge: PAM and SMRAM registers, and how much RAM fits below 4 GiB. */
  readonly chipset: keyof typeof CHIPSETS;
  /** All of its RAM, as one block. */
  readonly ram: MemoryRegion;
  /** Firmware; its end is at 4 GiB, its last 128 KiB are below 1 MiB too. */
  readonly bios: MemoryRegion;
  /** 128 KiB for option ROMs at 0xC0000. */
  readonly optionRom?: MemoryRegion | undefined;
  /** Number of the device that answers for TSEG outside of SMM; 2^32 - 1 if not given. */
  readonly holeDevice?: number | undefined;
}

/** The memory of a PC, moved about by the configuration registers of its chipset as the guest writes them. */
export class Pc {
  /** Root of address space 0. */
  readonly system = MemoryRegion.container("system", 2n ** 64n);
  /** Where BARs and windows lie. */
  readonly pci = MemoryRegion.container("pci", 2n ** 64n);
  /** Bytes of RAM below 4 GiB. */
  readonly lowBytes: number;
  readonly #chipset: (typeof CHIPSETS)[keyof typeof CHIPSETS];
  readonly #pam: Pam;
  readonly #smram: Smram;

  /** @throws TypeError, RangeError naming the option */
  constructor(options: PcOptions) {
    const known = { chipset: true, ram: true, bios: true, optionRom: true, holeDevice: true } as const;
    checkOptionNames<PcOptions>(options, known);
    const { chipset, ram, bios, optionRom, holeDevice = FOUR_GIB - 1 } = options;
    if (!Object.hasOwn(CHIPSETS, chipset)) {
      throw new RangeError(
        `chipset must be one of ${Object.keys(CHIPSETS).join(", ")}, not ${show(chipset)}`,
      );
    }
    this.#chipset = CHIPSETS[chipset];
    const { split, low } = this.#chipset;
    const { system, pci } = this;
    const bytes = Number(ram.size);
    this.lowBytes = bytes >= split ? low : bytes;
    system.addSubregion(0, pci, -1);
    system.addSubregion(0, MemoryRegion.alias("ram-below-4g", ram, 0, this.lowBytes));
    if (bytes > this.lowBytes) {
      const above = MemoryRegion.alias("ram-above-4g", ram, this.lowBytes, bytes - this.lowBytes);
      system.addSubregion(FOUR_GIB, above);
    }
    const firmware = Number(bios.size);
    const isa = Math.min(firmware, ISA_BIOS_BYTES_MAX);
    pci.addSubregion(FOUR_GIB - firmware, bios);
    pci.addSubregion(ONE_MIB - isa, MemoryRegion.alias("isa-bios", bios, firmware - isa, isa), 1);
    if (optionRom !== undefined) pci.addSubregion(OPTION_ROM_BASE, optionRom, 1);
    this.#pam = new Pam(system, ram, pci);
    const { lowBytes } = this;
    this.#smram = new Smram({ system, ram, pci, lowBytes, holeDevice, extendedTsegMib: EXTENDED_TSEG_MIB });
  }

  /** Root of address space 1: what a CPU in system management mode sees. */
  get smm(): MemoryRegion {
    return this.#smram.smm;
  }

  /**
   * The guest writes `bytes` bytes, little-endian, to the host bridge's configuration space; only PAM and SMRAM
   * registers are of interest here. @throws RangeError
   */
  writeConfig(offset: number, value: number, bytes: 1 | 2 | 4): void {
    if (![1, 2, 4].includes(bytes)) throw new RangeError(`bytes must be 1, 2 or 4, not ${show(bytes)}`);
    const { pam, smram, esmramc } = this.#chipset;
    for (let i = 0; i < bytes; i++) {
      const register = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      if (register >= pam && register < pam + PAM_REGISTERS) this.#pam.write(register - pam, byte);
      else if (register === smram) this.#smram.writeSmram(byte);
      else if (register === esmramc) this.#smram.writeEsmramc(byte);
    }
  }

  /** The SMRAM registers as after a machine reset. PAM is left as it is, as QEMU's i440fx leaves it. */
  resetSmram(): void {
    this.#smram.reset();
  }
}
