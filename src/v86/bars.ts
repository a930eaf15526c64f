/**
 * PciDevice: a PCI function and the targets of its BARs. A target is host memory, which becomes a slot, or registers,
 * which become an MMIO window. It computes the regions and windows of a commit that moves BARs.
 */
import { checkArray, checkObject, checkOptionNames, show, toU32 } from "../kvm/arguments.js";
import type { UserspaceMemoryRegion } from "../kvm/uapi.js";
import type { DeviceWindow } from "../kvm/window.js";
import { PAGE_BYTES } from "./parts.js";
import {
  BAR_OPTIONS,
  type BarMove,
  FUNCTION_OPTIONS,
  type PciBarOptions,
  PciFunction,
  type PciFunctionOptions,
} from "./pcifunction.js";

/** A BAR of host memory: a slot at the address that the guest assigns. */
export interface MemoryBar extends PciBarOptions {
  /** Slot number, used by this BAR alone. */
  readonly slot: number;
  /** Host address of its first byte. */
  readonly userspaceAddr: number;
  /** KVM_MEM_* bits; 0 if not given. */
  readonly flags?: number | undefined;
}

/** A BAR of registers. */
export interface DeviceBar extends PciBarOptions {
  /** Number of a device, from `addDevice`. */
  readonly device: number;
}

/** A PCI device with function 0 only. */
export interface PciDeviceOptions extends PciFunctionOptions {
  /** By number of the BAR; undefined follows a 64-bit one, whose second register it is. */
  readonly bars: readonly (MemoryBar | DeviceBar | undefined)[];
}

/** A function and the targets of its BARs. */
export class PciDevice {
  readonly function: PciFunction;
  readonly #bars: PciDeviceOptions["bars"];

  /** @throws TypeError or RangeError naming the field */
  constructor(options: PciDeviceOptions) {
    checkOptionNames<PciDeviceOptions>(options, { ...FUNCTION_OPTIONS, bars: true });
    const { bars } = options;
    checkArray(bars, "bars");
    for (const [i, bar] of bars.entries()) {
      if (bar === undefined) continue;
      checkObject(bar, `bars[${i}]`);
      if ("device" in bar) {
        checkOptionNames<DeviceBar>(bar, { ...BAR_OPTIONS, device: true }, `bars[${i}]`);
        toU32(bar.device, `bars[${i}].device`);
        continue;
      }
      const known = { ...BAR_OPTIONS, slot: true, userspaceAddr: true, flags: true } as const;
      checkOptionNames<MemoryBar>(bar, known, `bars[${i}]`);
      toU32(bar.slot, `bars[${i}].slot`);
      toU32(bar.userspaceAddr, `bars[${i}].userspaceAddr`);
      if (bar.size < PAGE_BYTES) {
        throw new RangeError(`bars[${i}].size must be a page at least for a slot, not ${show(bar.size)}`);
      }
    }
    this.function = new PciFunction(options, bars);
    this.#bars = bars;
  }

  /** Updates of the slots of these moving BARs. */
  regions(moves: readonly BarMove[]): UserspaceMemoryRegion[] {
    return moves.flatMap(({ bar, base }) => {
      const behind = this.#bars[bar]!;
      if ("device" in behind) return [];
      const { slot, userspaceAddr, size, flags = 0 } = behind;
      const memorySize = base === undefined ? 0 : size;
      return [{ slot, flags, guestPhysAddr: base ?? 0, memorySize, userspaceAddr }];
    });
  }

  /** Windows of the BARs with a device, after these moves. */
  windows(moves: readonly BarMove[]): DeviceWindow[] {
    return this.#bars.flatMap((behind, bar) => {
      if (behind === undefined || !("device" in behind)) return [];
      const move = moves.find((candidate) => candidate.bar === bar);
      const base = move === undefined ? this.function.base(bar) : move.base;
      return base === undefined ? [] : [{ gpa: base, bytes: behind.size, device: behind.device }];
    });
  }
}
