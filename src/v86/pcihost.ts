/**
 * PciHost: PCI configuration mechanism 1, the ports 0xcf8 (address) and 0xcfc (data), in front of v86's. Writes to the
 * address go to both. Data accesses to a function of the map stay here; all others go to v86.
 */
import type { PciDevice } from "./bars.js";
import type { BarMove } from "./pcifunction.js";

const ADDRESS_PORT = 0xcf8;
const DATA_PORT = 0xcfc;
const DATA_END = 0xd00;
const ENABLED = 0x8000_0000;
const OFFSET_MASK = 0xfc;
const FUNCTIONS = 0x10000;

type Size = 1 | 2 | 4;

/** Imports of v86's wasm for ports. */
export interface PortImports {
  io_port_read8(port: number): number;
  io_port_read16(port: number): number;
  io_port_read32(port: number): number;
  io_port_write8(port: number, value: number): void;
  io_port_write16(port: number, value: number): void;
  io_port_write32(port: number, value: number): void;
}

/** Called when BARs of a device must move. */
export type Relocate = (device: PciDevice, moves: readonly BarMove[]) => void;

/** The PCI devices of the map, and the address register. */
export class PciHost {
  /** Last address the guest has written, CONFIG_ADDRESS. */
  address = 0;
  /** By bus/device/function number. */
  readonly devices = new Map<number, PciDevice>();
  readonly #relocate: Relocate;

  constructor(relocate: Relocate) {
    this.#relocate = relocate;
  }

  /** The handlers that replace v86's. */
  imports(v86: PortImports): PortImports {
    const read = (port: number, size: Size, theirs: (port: number) => number): number => {
      const selected = this.#selected(port, size);
      return selected === undefined ? theirs(port) : selected.function.read(this.#offset(port), size);
    };
    const write = (port: number, value: number, size: Size, theirs: PortImports["io_port_write8"]): void => {
      const selected = this.#selected(port, size);
      if (selected !== undefined) {
        const moves = selected.function.write(this.#offset(port), size, value);
        if (moves.length > 0) this.#relocate(selected, moves);
        return;
      }
      if (port >= ADDRESS_PORT && port < DATA_PORT) this.#writeAddress(port - ADDRESS_PORT, size, value);
      theirs(port, value);
    };
    return {
      io_port_read8: (port) => read(port, 1, v86.io_port_read8),
      io_port_read16: (port) => read(port, 2, v86.io_port_read16),
      io_port_read32: (port) => read(port, 4, v86.io_port_read32),
      io_port_write8: (port, value) => write(port, value, 1, v86.io_port_write8),
      io_port_write16: (port, value) => write(port, value, 2, v86.io_port_write16),
      io_port_write32: (port, value) => write(port, value, 4, v86.io_port_write32),
    };
  }

  /** The device of the map whose configuration an access to `port` selects. */
  #selected(port: number, size: Size): PciDevice | undefined {
    if (port < DATA_PORT || port + size > DATA_END || this.address < ENABLED) return undefined;
    return this.devices.get((this.address >>> 8) % FUNCTIONS);
  }

  #offset(port: number): number {
    return (this.address & OFFSET_MASK) + (port - DATA_PORT);
  }

  #writeAddress(byte: number, size: Size, value: number): void {
    for (let i = 0; i < size && byte + i < 4; i++) {
      const shift = 8 * (byte + i);
      const kept = this.address & ~(0xff << shift);
      this.address = (kept | (((value >>> (8 * i)) & 0xff) << shift)) >>> 0;
    }
  }
}
