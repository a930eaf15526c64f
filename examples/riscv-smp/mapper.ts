/**
 * A cartridge's mapper: a write to its register puts a bank into the window. The switch is a list of two MOVEs,
 * made by the hart that wrote, in its own thread: its section ended with the exit.
 */
import type { MemslotEngine } from "memslots";
import type { Device } from "./bus.js";
import { MAPPER } from "./map.js";

/** The banks of one hart: slots [slot, slot + banks), each parked at a place of its own while it is not seen. */
export interface MapperPlace {
  readonly slot: number;
  readonly banks: number;
  readonly bankBytes: number;
  readonly window: number;
  /** Guest address where bank 0 is parked, the others follow. */
  readonly parking: number;
  /** Linear address of bank 0. */
  readonly host: number;
}

/** All banks parked. */
export function parkBanks(engine: MemslotEngine, place: MapperPlace): void {
  const banks = Array.from({ length: place.banks }, (_, bank) => bankAt(place, bank, false));
  engine.setUserMemoryRegionList(banks);
}

function bankAt({ slot, bankBytes, window, parking, host }: MapperPlace, bank: number, isSeen: boolean) {
  return {
    slot: slot + bank,
    flags: 0,
    guestPhysAddr: isSeen ? window : parking + bank * bankBytes,
    memorySize: bankBytes,
    userspaceAddr: host + bank * bankBytes,
  };
}

export function createMapper(engine: MemslotEngine, place: MapperPlace): Device {
  let seen: number | undefined;
  return {
    base: MAPPER,
    bytes: 4,
    load: () => seen ?? 0,
    store(_offset, _bytes, value) {
      const bank = value % place.banks;
      if (bank === seen) return;
      // In either order: only the final layout must be free of overlaps.
      engine.setUserMemoryRegionList([
        bankAt(place, bank, true),
        ...(seen === undefined ? [] : [bankAt(place, seen, false)]),
      ]);
      seen = bank;
    },
  };
}
