/**
 * What is behind the BARs of a PCI device: host memory, which becomes a slot, or registers, which become an
 * MMIO window. Tells what to commit so that BARs move.
 */
import { show, toU32 } from "../region.js";
import type { MemoryRegion } from "../uapi.js";
import type { DeviceWindow } from "../windows.js";
import { PAGE_BYTES } from "./parts.js";
import { type BarMove, type PciBarOptions, PciFunction, type PciFunctionOptions } from "./pcifunction.js";

/** A BAR of host memory: a slot wherever the guest puts it. */
export interface MemoryBar extends PciBarOptions {
  /** Slot number, of no other use. */
  readonly slot: number;
  /** Host address. */
  readonly userspaceAddr: number;
  /** As of a region. */
  readonly flags?: number;
}

/** A BAR of registers. */
export interface DeviceBar extends PciBarOptions {
  /** Number of a device, from `addDevice`. */
  readonly device: number;
}

/** A PCI device with function 0 only. */
export interface PciDeviceOptions extends PciFunctionOptions {
  /** By number of the BAR; behind a 64-bit one comes undefined. */
  readonly bars: readonly (MemoryBar | DeviceBar | undefined)[];
}

/** A function and what is behind its BARs. */
export class PciDevice {
  readonly function: PciFunction;
  readonly #bars: PciDeviceOptions["bars"];

  /** @throws TypeError or RangeError naming the field */
  constructor(options: PciDeviceOptions) {
    const { bars } = options;
    if (!Array.isArray(bars)) throw new TypeError(`bars must be an array, not ${show(bars)}`);
    for (const [i, bar] of bars.entries()) {
      if (bar === undefined) continue;
      if ("device" in bar) {
        toU32(bar.device, `bars[${i}].device`);
        continue;
      }
      toU32(bar.slot, `bars[${i}].slot`);
      toU32(bar.userspaceAddr, `bars[${i}].userspaceAddr`);
      if (bar.size < PAGE_BYTES) {
        throw new RangeError(`bars[${i}].size must be a page at least for a slot, not ${show(bar.size)}`);
      }
    }
    this.function = new PciFunction(options, bars);
    this.#bars = bars;
  }

  /** Updates of the slots behind the BARs that move. */
  regions(moves: readonly BarMove[]): MemoryRegion[] {
    return moves.flatMap(({ bar, base }) => {
      const behind = this.#bars[bar]!;
      if ("device" in behind) return [];
      const { slot, userspaceAddr, size, flags = 0 } = behind;
      const memorySize = base === undefined ? 0 : size;
      return [{ slot, flags, guestPhysAddr: base ?? 0, memorySize, userspaceAddr }];
    });
  }

  /** Windows of the BARs with registers behind them, after these moves. */
  windows(moves: readonly BarMove[]): DeviceWindow[] {
    return this.#bars.flatMap((behind, bar) => {
      if (behind === undefined || !("device" in behind)) return [];
      const move = moves.find((candidate) => candidate.bar === bar);
      const base = move === undefined ? this.function.base(bar) : move.base;
      return base === undefined ? [] : [{ gpa: base, bytes: behind.size, device: behind.device }];
    });
  }
}
