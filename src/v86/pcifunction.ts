/**
 * PciFunction: the configuration space of one PCI function with memory BARs. It keeps the registers, and apart from
 * them the address at which each BAR is decoded.
 *
 * The two differ: sizing writes ones into a register, and a 64-bit BAR is written in two halves, so a register may hold
 * a value that is no address. A BAR moves
 *   - when memory decoding is enabled: to the address in its register, or nowhere if that is none;
 *   - while decoding is enabled, when its register is completed (the upper half of a 64-bit BAR): to the address in it;
 *     if that is none the BAR stays in its place.
 * A BAR is decoded nowhere while decoding is disabled. Mirrors pci_default_write_config and pci_bar_address of QEMU for
 * the registers, and Firecracker's rule that the mapped address is tracked apart from the register.
 */
import { show } from "../kvm/arguments.js";

const CONFIG_BYTES = 256;
const VENDOR_ID = 0x00;
const COMMAND = 0x04;
const REVISION = 0x08;
const FIRST_BAR = 0x10;
const SUBSYSTEM = 0x2c;
const INTERRUPT_LINE = 0x3c;
const BARS = 6;
const CLASS_UNASSIGNED = 0xff0000;

const COMMAND_MEMORY = 0x0002;
const COMMAND_MASTER = 0x0004;
const BAR_64 = 0x4;
const BAR_PREFETCH = 0x8;
/** Smallest memory BAR: the low four bits of its register are its type. */
const BAR_BYTES_MIN = 16;
const BAR_BYTES_MAX = 2 ** 31;
const ADDRESS_END = 2 ** 32;

/** A memory BAR. */
export interface PciBarOptions {
  /** Bytes, a power of two from 16 to 2^31. */
  readonly size: number;
  /** A 64-bit BAR takes two registers; its address is below 4 GiB all the same. */
  readonly is64?: boolean | undefined;
  /** Reads have no side effects; false if not given. */
  readonly prefetchable?: boolean | undefined;
}

/** The fields of a BAR that this file reads. */
export const BAR_OPTIONS = { size: true, is64: true, prefetchable: true } as const;

/** Identity of a function. Numbers as in its configuration space. */
export interface PciFunctionOptions {
  /** Vendor, 16 bits. */
  readonly vendorId: number;
  /** Device of that vendor, 16 bits. */
  readonly deviceId: number;
  /** Class, subclass and programming interface, 24 bits; 0xff0000 (unassigned) if not given. */
  readonly classCode?: number | undefined;
  /** Revision, 8 bits; 0 if not given. */
  readonly revision?: number | undefined;
  /** Vendor of the board, 16 bits; 0 if not given. */
  readonly subsystemVendorId?: number | undefined;
  /** Board of that vendor, 16 bits; 0 if not given. */
  readonly subsystemId?: number | undefined;
}

/** The fields of an identity. */
export const FUNCTION_OPTIONS = {
  vendorId: true,
  deviceId: true,
  classCode: true,
  revision: true,
  subsystemVendorId: true,
  subsystemId: true,
} as const;

/** The new address of a BAR; undefined: decoded nowhere. */
export interface BarMove {
  /** Number of the BAR, 0 to 5. */
  readonly bar: number;
  readonly base: number | undefined;
}

/** Saved state: registers, and addresses in the order of the BARs. Plain data. */
export interface PciFunctionState {
  readonly config: readonly number[];
  readonly bases: readonly (number | null)[];
}

interface Bar extends Required<Pick<PciBarOptions, "size" | "is64">> {
  readonly bar: number;
  /** Offset of its (lower) register. */
  readonly register: number;
  /** Offset after the register that completes an address. */
  readonly end: number;
}

/** A type 0 configuration space of 256 bytes. */
export class PciFunction {
  readonly #config = new DataView(new ArrayBuffer(CONFIG_BYTES));
  /** Bits that the guest may write. */
  readonly #writable = new DataView(new ArrayBuffer(CONFIG_BYTES));
  readonly #bars: readonly Bar[];
  /** Address of each BAR, by its number; undefined if it is decoded nowhere. */
  readonly #bases: (number | undefined)[] = [];

  /**
   * @param bars by number; undefined or the end follows a 64-bit BAR, whose second register it is
   * @throws TypeError or RangeError naming the field
   */
  constructor(options: PciFunctionOptions, bars: readonly (PciBarOptions | undefined)[]) {
    const config = this.#config;
    const u16 = (value: unknown, field: string) => unsigned(value, field, 0xffff);
    config.setUint16(VENDOR_ID, u16(options.vendorId, "vendorId"), true);
    config.setUint16(VENDOR_ID + 2, u16(options.deviceId, "deviceId"), true);
    const classCode = unsigned(options.classCode ?? CLASS_UNASSIGNED, "classCode", 0xffffff);
    config.setUint32(REVISION, classCode * 0x100 + unsigned(options.revision ?? 0, "revision", 0xff), true);
    config.setUint16(SUBSYSTEM, u16(options.subsystemVendorId ?? 0, "subsystemVendorId"), true);
    config.setUint16(SUBSYSTEM + 2, u16(options.subsystemId ?? 0, "subsystemId"), true);
    this.#writable.setUint16(COMMAND, COMMAND_MEMORY | COMMAND_MASTER, true);
    this.#writable.setUint8(INTERRUPT_LINE, 0xff);
    if (bars.length > BARS) throw new RangeError(`bars: a function has ${BARS}, not ${bars.length}`);
    this.#bars = bars.flatMap((bar, i) => (bar === undefined ? [] : [this.#addBar(bar, i, bars)]));
  }

  #addBar(options: PciBarOptions, bar: number, bars: readonly unknown[]): Bar {
    const { size, is64 = false, prefetchable = false } = options;
    if (!Number.isInteger(Math.log2(size)) || size < BAR_BYTES_MIN || size > BAR_BYTES_MAX) {
      throw new RangeError(`bars[${bar}].size must be a power of two from 16 to 2^31, not ${show(size)}`);
    }
    if (is64 && (bar + 1 === BARS || bars[bar + 1] !== undefined)) {
      throw new RangeError(`bars[${bar}].is64: BAR ${bar + 1} must be free for its upper half`);
    }
    const register = FIRST_BAR + 4 * bar;
    this.#config.setUint32(register, (is64 ? BAR_64 : 0) | (prefetchable ? BAR_PREFETCH : 0), true);
    this.#writable.setUint32(register, ADDRESS_END - size, true);
    if (is64) this.#writable.setUint32(register + 4, 0xffff_ffff, true);
    return { bar, size, is64, register, end: register + (is64 ? 8 : 4) };
  }

  /** Address of BAR number `bar`; undefined if it is decoded nowhere. */
  base(bar: number): number | undefined {
    return this.#bases[bar];
  }

  /** A configuration read of 1, 2 or 4 bytes, unsigned; `offset` is a multiple of `size`. */
  read(offset: number, size: number): number {
    if (size === 4) return this.#config.getUint32(offset, true);
    return size === 2 ? this.#config.getUint16(offset, true) : this.#config.getUint8(offset);
  }

  /**
   * A configuration write of 1, 2 or 4 bytes; `offset` is a multiple of `size`.
   * @returns the BARs that must move; call `settle` once they have
   */
  write(offset: number, size: number, value: number): BarMove[] {
    const didDecode = this.#decodes;
    for (let i = 0; i < size; i++) {
      const mask = this.#writable.getUint8(offset + i);
      const kept = this.#config.getUint8(offset + i) & ~mask;
      this.#config.setUint8(offset + i, kept | ((value >>> (8 * i)) & mask));
    }
    const decodes = this.#decodes;
    const toBase = (bar: Bar): number | undefined => {
      const mapped = this.#bases[bar.bar];
      if (!decodes) return undefined;
      if (!didDecode) return this.#addressOf(bar);
      return offset + size === bar.end ? (this.#addressOf(bar) ?? mapped) : mapped;
    };
    return this.#bars
      .map((bar) => ({ bar: bar.bar, base: toBase(bar) }))
      .filter(({ bar, base }) => base !== this.#bases[bar]);
  }

  /** The map has moved these BARs. */
  settle(moves: readonly BarMove[]): void {
    for (const { bar, base } of moves) this.#bases[bar] = base;
  }

  /** The state for a saved machine. */
  state(): PciFunctionState {
    const config = Array.from({ length: CONFIG_BYTES }, (_, i) => this.#config.getUint8(i));
    return { config, bases: this.#bars.map(({ bar }) => this.#bases[bar] ?? null) };
  }

  /** Restore a state of a function with the same options. */
  restore({ config, bases }: PciFunctionState): void {
    for (const [i, byte] of config.entries()) this.#config.setUint8(i, byte);
    for (const [i, { bar }] of this.#bars.entries()) this.#bases[bar] = bases[i] ?? undefined;
  }

  get #decodes(): boolean {
    return (this.#config.getUint16(COMMAND, true) & COMMAND_MEMORY) !== 0;
  }

  /**
   * The address in the registers of a BAR; undefined for 0, for the ones of sizing, and for an address not below 4 GiB.
   * Mirrors pci_bar_address.
   */
  #addressOf({ register, size, is64 }: Bar): number | undefined {
    const high = is64 ? this.#config.getUint32(register + 4, true) : 0;
    const low = (this.#config.getUint32(register, true) & -BAR_BYTES_MIN) >>> 0;
    const isAddress = high === 0 && low !== 0 && low + size < ADDRESS_END;
    return isAddress ? low : undefined;
  }
}

function unsigned(value: unknown, name: string, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${name} must be an integer from 0 to ${max}, not ${show(value)}`);
  }
  return value;
}
