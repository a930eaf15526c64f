/**
 * The handlers of a page with MMIO windows: a chain with one link for each window that touches the page, ascending, and
 * v86's handlers at the end.
 *
 *   access -> first window -> second window -> v86
 *
 * A link handles an access that lies inside its window, passes on one outside, and splits one that crosses into bytes.
 * The bytes start at that link, because the windows before it hold none of them. Host memory is a device whose
 * registers are the memory's bytes.
 */
import type { PagePart } from "../guest/pagetable.js";

export const PAGE_SHIFT = 12;
export const PAGE_BYTES = 1 << PAGE_SHIFT;
export const PAGE_MASK = PAGE_BYTES - 1;

/** Registers of a device. `offset` is in bytes, `size` 1, 2 or 4; values are unsigned. */
export interface MmioDevice {
  /** The guest reads `size` bytes at `offset`. v86 reads two bytes one by one. */
  read(offset: number, size: number): number;
  /** The guest writes `size` bytes at `offset`. */
  write(offset: number, size: number, value: number): void;
}

/** Imports of v86's wasm for reads of memory that is not its RAM. Numbers are 32 bits, of any sign. */
export interface Reads {
  mmap_read8(addr: number): number;
  mmap_read32(addr: number): number;
}

/** The same for writes. */
export interface Writes {
  mmap_write8(addr: number, value: number): void;
  mmap_write16(addr: number, value: number): void;
  mmap_write32(addr: number, value: number): void;
}

/** Host memory as devices: one that accepts writes, and one that ignores them. */
export interface HostDevices {
  readonly writable: MmioDevice;
  readonly readonly: MmioDevice;
}

/** The part of a window in one page. Offsets are from the start of the page. */
export interface WindowPart {
  /** Bytes [start, end). */
  readonly start: number;
  readonly end: number;
  readonly device: MmioDevice;
  /** Register of the device at offset 0 of the page; negative if the window begins later. */
  readonly origin: number;
}

/** Host memory as devices; registers are host addresses. */
export function hostDevices(memory: Uint8Array): HostDevices {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const read = (hva: number, size: number): number => (size === 1 ? memory[hva]! : view.getUint32(hva, true));
  const write = (hva: number, size: number, value: number): void => {
    for (let i = 0; i < size; i++) memory[hva + i] = value >>> (8 * i);
  };
  return { writable: { read, write }, readonly: { read, write: () => {} } };
}

/** The parts of a page that windows answer for. */
export function windowPartsOf(
  parts: readonly PagePart[],
  devices: readonly MmioDevice[],
  host: HostDevices,
): WindowPart[] {
  return parts.flatMap((part): WindowPart[] => {
    const start = part.gpa & PAGE_MASK;
    const place = { start, end: start + part.bytes };
    if (part.kind === "memory") return [{ ...place, device: host.writable, origin: part.hva - start }];
    if (part.kind === "read-only") return [{ ...place, device: host.readonly, origin: 0 }];
    if (part.kind !== "device") return [];
    return [{ ...place, device: devices[part.device]!, origin: part.offset - start }];
  });
}

/** A link for reads. */
export function readsOf({ start, end, device, origin }: WindowPart, next: Reads): Reads {
  const read8 = (addr: number): number => {
    const offset = addr & PAGE_MASK;
    return offset >= start && offset < end ? device.read(origin + offset, 1) & 0xff : next.mmap_read8(addr);
  };
  const read32 = (addr: number): number => {
    const offset = addr & PAGE_MASK;
    if (offset >= start && offset + 4 <= end) return device.read(origin + offset, 4);
    if (offset >= end || offset + 4 <= start) return next.mmap_read32(addr);
    let value = 0;
    for (let i = 0; i < 4; i++) value |= read8(addr + i) << (8 * i);
    return value;
  };
  return { mmap_read8: read8, mmap_read32: read32 };
}

/** A link for writes. */
export function writesOf({ start, end, device, origin }: WindowPart, next: Writes): Writes {
  const write8 = (addr: number, value: number): void => {
    const offset = addr & PAGE_MASK;
    if (offset >= start && offset < end) device.write(origin + offset, 1, value & 0xff);
    else next.mmap_write8(addr, value);
  };
  const write = (addr: number, size: 2 | 4, value: number): void => {
    const offset = addr & PAGE_MASK;
    if (offset >= start && offset + size <= end) {
      device.write(origin + offset, size, value);
    } else if (offset < end && offset + size > start) {
      for (let i = 0; i < size; i++) write8(addr + i, value >>> (8 * i));
    } else if (size === 2) {
      next.mmap_write16(addr, value);
    } else {
      next.mmap_write32(addr, value);
    }
  };
  return {
    mmap_write8: write8,
    mmap_write16: (addr, value) => write(addr, 2, value & 0xffff),
    mmap_write32: (addr, value) => write(addr, 4, value >>> 0),
  };
}
