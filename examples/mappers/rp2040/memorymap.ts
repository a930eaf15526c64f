/**
 * The address map of the RP2040 (datasheet, section 2.2) as slots and windows: what rp2040js has as a chain of
 * comparisons.
 *
 *   slots     boot ROM, flash and its three mirrors, SRAM, the USB controller's RAM
 *   windows   each peripheral's 16 KiB, SIO, the core's own registers
 *
 * The mirrors are READONLY: rp2040js takes writes to the flash at its first address only. The USB controller's
 * RAM is READONLY, too, for another reason: it reads as memory, and the controller is told of each write. That
 * is KVM's way to have a ROM that is a device: a write to a READONLY slot is MMIO.
 */
import { type DeviceWindow, KVM_MEM_READONLY, type Slot } from "memslots";
import type { RP2040 } from "rp2040js";

/** Bytes of a page, as a power of two: the smallest piece of the map. */
export const PAGE_SHIFT = 12;
export const ADDRESS_BITS = 32;

/** Where the memories are in the host's memory, behind the engine. */
export const ENGINE_BASE = 64;
const BOOTROM = 0x20000;
const BOOTROM_BYTES = 0x4000;
const SRAM = BOOTROM + BOOTROM_BYTES;
const SRAM_BYTES = 264 * 1024;
const DPRAM = SRAM + SRAM_BYTES;
const DPRAM_BYTES = 0x1000;
const FLASH = DPRAM + DPRAM_BYTES;
const FLASH_BYTES = 0x1000000;
export const ENGINE_END = BOOTROM;
export const HOST_BYTES = FLASH + FLASH_BYTES;

const FLASH_GPA = 0x10000000;
const FLASH_MIRRORS = 4;
const DPRAM_GPA = 0x50100000;
const SIO_GPA = 0xd0000000;
const SIO_BYTES = 0x10000000;
const PPB_GPA = 0xe000e000;
const PPB_BYTES = 0x1000;
const PERIPHERAL_BYTES = 0x4000;
/** rp2040js numbers its peripherals by their addresses in units of 4 KiB. */
const PERIPHERAL_UNIT = 0x1000;

const DPRAM_SLOT = 6;

/** What takes the writes to a window, or to a READONLY slot. */
export interface Sink {
  /** Write the word at byte `offset`, a multiple of 4. */
  write(offset: number, value: number): void;
  /** Narrow writes reach all lanes of the word, as on the chip's APB. Otherwise: read, merge, write. */
  readonly replicates: boolean;
}

/** What is behind a window. */
export interface Device extends Sink {
  /** The part of rp2040js that has the registers. */
  readonly registers: { readUint32(offset: number): number };
}

function slot(id: number, guestPhysAddr: number, memorySize: number, userspaceAddr: number, flags = 0) {
  return { slot: id, guestPhysAddr, memorySize, userspaceAddr, flags };
}

export function slots(): Slot[] {
  const mirrors = Array.from({ length: FLASH_MIRRORS }, (_, i) =>
    slot(1 + i, FLASH_GPA + i * FLASH_BYTES, FLASH_BYTES, FLASH, i === 0 ? 0 : KVM_MEM_READONLY),
  );
  return [
    slot(0, 0, BOOTROM_BYTES, BOOTROM),
    ...mirrors,
    slot(5, 0x20000000, SRAM_BYTES, SRAM),
    slot(DPRAM_SLOT, DPRAM_GPA, DPRAM_BYTES, DPRAM, KVM_MEM_READONLY),
  ];
}

/** Let the chip's memories be the host's. */
export function placeMemories(chip: RP2040, host: ArrayBufferLike): void {
  Object.assign(chip, {
    bootrom: new Uint32Array(host, BOOTROM, BOOTROM_BYTES / 4),
    sram: new Uint8Array(host, SRAM, SRAM_BYTES),
    sramView: new DataView(host, SRAM, SRAM_BYTES),
    flash: new Uint8Array(host, FLASH, FLASH_BYTES),
    flash16: new Uint16Array(host, FLASH, FLASH_BYTES / 2),
    flashView: new DataView(host, FLASH, FLASH_BYTES),
    usbDPRAM: new Uint8Array(host, DPRAM, DPRAM_BYTES),
    usbDPRAMView: new DataView(host, DPRAM, DPRAM_BYTES),
  });
}

export interface Devices {
  readonly windows: DeviceWindow[];
  /** By the number in their windows. */
  readonly devices: Device[];
  /** What takes the writes to READONLY slots, by slot. */
  readonly sinks: ReadonlyMap<number, Sink>;
}

export function devicesOf(chip: RP2040): Devices {
  const windows: DeviceWindow[] = [];
  const devices: Device[] = [];
  const add = (gpa: number, bytes: number, device: Device) => {
    windows.push({ gpa, bytes, device: devices.length });
    devices.push(device);
  };
  for (const [number, registers] of Object.entries(chip.peripherals)) {
    // The registers are there four times: plain, and for writes that flip, set and clear bits.
    const write = (offset: number, value: number) =>
      registers.writeUint32Atomic(offset & 0xfff, value, offset >> 12);
    add(Number(number) * PERIPHERAL_UNIT, PERIPHERAL_BYTES, { registers, write, replicates: true });
  }
  for (const [gpa, bytes, registers] of [
    [SIO_GPA, SIO_BYTES, chip.sio],
    [PPB_GPA, PPB_BYTES, chip.ppb],
  ] as const) {
    const write = (offset: number, value: number) => registers.writeUint32(offset, value);
    add(gpa, bytes, { registers, write, replicates: false });
  }
  const write = (offset: number, value: number) => {
    chip.usbDPRAMView.setUint32(offset, value, true);
    chip.usbCtrl.DPRAMUpdated(offset, value);
  };
  return { windows, devices, sinks: new Map([[DPRAM_SLOT, { write, replicates: false }]]) };
}
