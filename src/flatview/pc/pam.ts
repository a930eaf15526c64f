/**
 * PAM: which parts of 0xC0000-0xFFFFF are RAM, read-only RAM, or the PCI bus. 13 pieces, two bits each: piece 0
 * is 0xF0000-0xFFFFF, the others 16 KiB each from 0xC0000 on.
 *
 *   register      0        1        2        3        4        5        6
 *   low nibble    -        C0000    C8000    D0000    D8000    E0000    E8000
 *   high nibble   F0000    C4000    CC000    D4000    DC000    E4000    EC000
 *   bit 0: reads go to RAM, bit 1: writes do
 *
 * A piece that only writes go to is RAM here as in QEMU: a range has one answer for reads and writes.
 * Mirrors init_pam and pam_update (QEMU hw/pci-host/pam.c).
 */
import { MemoryRegion } from "../memoryregion.js";

const BIOS_BASE = 0xf_0000;
const BIOS_BYTES = 0x1_0000;
const EXPANSION_BASE = 0xc_0000;
const EXPANSION_BYTES = 0x4000;
const PIECES = 13;
/** Registers of a PAM. */
export const PAM_REGISTERS = 7;

/** The four faces of a piece, by its two bits. */
function facesOf(ram: MemoryRegion, pci: MemoryRegion, start: number, bytes: number): MemoryRegion[] {
  const readonly = MemoryRegion.alias("pam-rom", ram, start, bytes);
  readonly.setReadonly(true);
  return [
    MemoryRegion.alias("pam-pci", pci, start, bytes),
    readonly,
    MemoryRegion.alias("pam-ram", ram, start, bytes),
    MemoryRegion.alias("pam-ram", ram, start, bytes),
  ];
}

/** The programmable attribute map of a PC: which parts of 0xC0000-0xFFFFF are RAM, read-only RAM, or the PCI bus. */
export class Pam {
  readonly #pieces: readonly (readonly MemoryRegion[])[];

  /** Lay the pieces over `system`. All registers are 0: the PCI bus everywhere. */
  constructor(system: MemoryRegion, ram: MemoryRegion, pci: MemoryRegion) {
    this.#pieces = Array.from({ length: PIECES }, (_, i) => {
      const start = i === 0 ? BIOS_BASE : EXPANSION_BASE + (i - 1) * EXPANSION_BYTES;
      const faces = facesOf(ram, pci, start, i === 0 ? BIOS_BYTES : EXPANSION_BYTES);
      faces.forEach((face, mode) => {
        face.setEnabled(mode === 0);
        system.addSubregion(start, face, 1);
      });
      return faces;
    });
  }

  /** Write register 0 to 6, a byte. @throws RangeError */
  write(register: number, value: number): void {
    if (!Number.isInteger(register) || register < 0 || register >= PAM_REGISTERS) {
      throw new RangeError(`register must be from 0 to ${PAM_REGISTERS - 1}, not ${register}`);
    }
    this.#pieces.forEach((faces, i) => {
      if (Math.ceil(i / 2) !== register) return;
      const mode = (value >> (i % 2 === 0 ? 4 : 0)) & 3;
      faces.forEach((face, of) => {
        face.setEnabled(of === mode);
      });
    });
  }
}
