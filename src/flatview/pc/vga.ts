/**
 * The VGA window 0xA0000-0xBFFFF: registers and planes of the device, and over them banks, pieces of the video
 * memory that the guest reads and writes directly. Mirrors vga_update_memory_access and
 * cirrus_update_memory_access (QEMU hw/display).
 */
import { noteEdit } from "../edits.js";
import { MemoryRegion } from "../memoryregion.js";

const WINDOW_BASE = 0xa_0000;
const WINDOW_BYTES = 0x2_0000;

/** A part of the video memory inside the window. Bytes. */
export interface VgaBank {
  /** Guest address. */
  readonly address: number;
  /** Byte of the video memory there. */
  readonly offset: number;
  /** Bytes. */
  readonly bytes: number;
}

/** The VGA window 0xA0000-0xBFFFF of a device, and the banks of video memory shown in it. */
export class VgaWindow {
  /** The device's part. */
  readonly region: MemoryRegion;
  readonly #space: MemoryRegion;
  readonly #vram: MemoryRegion;
  #banks: MemoryRegion[] = [];

  /** The window of device number `device`, with video memory `vram`, in `space`. */
  constructor(space: MemoryRegion, vram: MemoryRegion, device: number) {
    this.region = MemoryRegion.io("vga-lowmem", WINDOW_BYTES, device);
    this.#space = space;
    this.#vram = vram;
    space.addSubregion(WINDOW_BASE, this.region, 1);
  }

  /** Show these banks and no others. @throws RangeError if one leaves the window; then nothing has changed */
  setBanks(banks: readonly VgaBank[]): void {
    for (const { address, bytes } of banks) {
      if (address < WINDOW_BASE || address + bytes > WINDOW_BASE + WINDOW_BYTES) {
        throw new RangeError(`a bank must lie in the window, not at 0x${address.toString(16)}`);
      }
    }
    const aliases = banks.map(({ offset, bytes }) =>
      MemoryRegion.alias("vga.bank", this.#vram, offset, bytes),
    );
    const before = this.#banks;
    noteEdit(() => {
      this.#banks = before;
    });
    for (const old of this.#banks) this.#space.delSubregion(old);
    aliases.forEach((alias, i) => {
      this.#space.addSubregion(banks[i]!.address, alias, 2);
    });
    this.#banks = aliases;
  }
}
