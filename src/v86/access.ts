/**
 * The seven memory imports of v86's wasm, answered from the map: slots first, then MMIO windows, and what is
 * neither goes on to v86's own handlers.
 *
 *   guest access -> entry of its page: host address | windows that touch the page | nothing of ours
 *
 * An access that is not wholly in one window is split into bytes. v86 itself never lets an access cross a
 * page, splits 16-bit reads into bytes before they get here, and executes no code from here.
 *
 * A write entry of a page is made by marking the page dirty, and dropped when a log is harvested: so a page is
 * marked at its first write after a harvest, as KVM does by write protection, and further writes cost nothing.
 */
import type { MemslotEngine } from "../engine.js";
import { PAGE_MASK, PAGE_SHIFT, PageTable, SPLIT } from "./pages.js";

/** Registers of a device. `offset` is in bytes, `size` 1, 2 or 4; values are unsigned. */
export interface MmioDevice {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/** What v86's wasm imports for memory that is not its RAM. All numbers are 32 bits, of any sign. */
export interface MemoryImports {
  mmap_read8(addr: number): number;
  mmap_read32(addr: number): number;
  mmap_write8(addr: number, value: number): void;
  mmap_write16(addr: number, value: number): void;
  mmap_write32(addr: number, value: number): void;
  mmap_write64(addr: number, low: number, high: number): void;
  mmap_write128(addr: number, d0: number, d1: number, d2: number, d3: number): void;
}

/** What an access may meet. */
export interface AccessTarget {
  readonly engine: MemslotEngine;
  /** Host memory: host address i is its element i. */
  readonly memory: Uint8Array;
  /** By number. */
  readonly devices: readonly MmioDevice[];
}

/** Guest accesses to the map. */
export interface Access {
  /** What takes the place of v86's handlers. */
  readonly imports: MemoryImports;
  /** The map has changed. */
  flush(): void;
  /** A dirty log is about to be harvested: the next write to each page marks it again. */
  protect(): void;
}

/**
 * Closures over constants, not methods that look their fields up: an access costs little more than its call.
 * @param v86 v86's own handlers
 */
export function createAccess({ engine, memory, devices }: AccessTarget, v86: MemoryImports): Access {
  const reads = new PageTable(engine, false);
  const writes = new PageTable(engine, true);
  const imports = {
    ...readImports(reads, memory, devices, v86),
    ...writeImports(writes, memory, devices, v86),
  };
  return {
    imports,
    flush: () => {
      reads.flush();
      writes.flush();
    },
    protect: () => writes.flush(),
  };
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function readImports(
  table: PageTable,
  bytes: Uint8Array,
  devices: readonly MmioDevice[],
  v86: MemoryImports,
): Pick<MemoryImports, "mmap_read8" | "mmap_read32"> {
  const { entries } = table;
  const view = viewOf(bytes);

  const read8 = (addr: number): number => {
    const entry = entries[addr >>> PAGE_SHIFT]!;
    return entry > 0 ? bytes[entry - 1 + (addr & PAGE_MASK)]! : elsewhere(entry, addr, 1);
  };
  const read32 = (addr: number): number => {
    const entry = entries[addr >>> PAGE_SHIFT]!;
    return entry > 0 ? view.getInt32(entry - 1 + (addr & PAGE_MASK), true) : elsewhere(entry, addr, 4);
  };

  /** A read of what is no slot, or not known yet. */
  function elsewhere(entry: number, addr: number, size: 1 | 4): number {
    if (entry === 0) {
      table.fill(addr);
      return size === 1 ? read8(addr) : read32(addr);
    }
    const gpa = addr >>> 0;
    const window = table.window(entry, gpa, size);
    if (window === undefined) return size === 1 ? v86.mmap_read8(addr) : v86.mmap_read32(addr);
    if (window === SPLIT) {
      let value = 0;
      for (let i = 0; i < size; i++) value |= read8(addr + i) << (8 * i);
      return value;
    }
    const offset = gpa - window.gpa;
    if ("hva" in window) {
      const hva = window.hva + offset;
      return size === 1 ? bytes[hva]! : view.getInt32(hva, true);
    }
    const value = devices[window.device]!.read((window.offset ?? 0) + offset, size);
    return size === 1 ? value & 0xff : value;
  }

  return { mmap_read8: read8, mmap_read32: read32 };
}

function writeImports(
  table: PageTable,
  bytes: Uint8Array,
  devices: readonly MmioDevice[],
  v86: MemoryImports,
): Omit<MemoryImports, "mmap_read8" | "mmap_read32"> {
  const { entries } = table;
  const view = viewOf(bytes);

  const write8 = (addr: number, value: number): void => {
    const entry = entries[addr >>> PAGE_SHIFT]!;
    if (entry > 0) bytes[entry - 1 + (addr & PAGE_MASK)] = value;
    else elsewhere(entry, addr, 1, value & 0xff);
  };
  const write16 = (addr: number, value: number): void => {
    const entry = entries[addr >>> PAGE_SHIFT]!;
    if (entry > 0) view.setUint16(entry - 1 + (addr & PAGE_MASK), value, true);
    else elsewhere(entry, addr, 2, value & 0xffff);
  };
  const write32 = (addr: number, value: number): void => {
    const entry = entries[addr >>> PAGE_SHIFT]!;
    if (entry > 0) view.setInt32(entry - 1 + (addr & PAGE_MASK), value, true);
    else elsewhere(entry, addr, 4, value >>> 0);
  };

  /** A write to what is no slot, a READONLY one, or not known yet. */
  function elsewhere(entry: number, addr: number, size: 1 | 2 | 4, value: number): void {
    if (entry === 0) {
      table.fill(addr);
      put(addr, size, value, write8, write16, write32);
      return;
    }
    const gpa = addr >>> 0;
    const window = table.window(entry, gpa, size);
    if (window === undefined) {
      put(addr, size, value, v86.mmap_write8, v86.mmap_write16, v86.mmap_write32);
    } else if (window === SPLIT) {
      for (let i = 0; i < size; i++) write8(addr + i, value >>> (8 * i));
    } else if (!("hva" in window)) {
      devices[window.device]!.write((window.offset ?? 0) + gpa - window.gpa, size, value);
    } else if (!window.readonly) {
      for (let i = 0; i < size; i++) bytes[window.hva + gpa - window.gpa + i] = value >>> (8 * i);
    }
  }

  return {
    mmap_write8: write8,
    mmap_write16: write16,
    mmap_write32: write32,
    mmap_write64: (addr, low, high) => {
      write32(addr, low);
      write32(addr + 4, high);
    },
    mmap_write128: (addr, d0, d1, d2, d3) => {
      write32(addr, d0);
      write32(addr + 4, d1);
      write32(addr + 8, d2);
      write32(addr + 12, d3);
    },
  };
}

type Write = (addr: number, value: number) => void;

/** Write `size` bytes with the function for them. */
function put(
  addr: number,
  size: 1 | 2 | 4,
  value: number,
  write8: Write,
  write16: Write,
  write32: Write,
): void {
  if (size === 1) write8(addr, value);
  else if (size === 2) write16(addr, value);
  else write32(addr, value);
}
