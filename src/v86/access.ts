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
import { PAGE_MASK, Pages, SPLIT } from "./pages.js";

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
export class Access {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #devices: readonly MmioDevice[];
  readonly #reads: Pages;
  readonly #writes: Pages;
  readonly #v86: MemoryImports;

  /** @param v86 v86's own handlers */
  constructor({ engine, memory, devices }: AccessTarget, v86: MemoryImports) {
    this.#bytes = memory;
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    this.#devices = devices;
    this.#reads = new Pages(engine, false);
    this.#writes = new Pages(engine, true);
    this.#v86 = v86;
  }

  /** The map has changed. */
  flush(): void {
    this.#reads.flush();
    this.#writes.flush();
  }

  /** A dirty log is about to be harvested: the next write to each page marks it again. */
  protect(): void {
    this.#writes.flush();
  }

  /** What takes the place of v86's handlers. */
  imports(): MemoryImports {
    return {
      mmap_read8: (addr) => this.#read8(addr),
      mmap_read32: (addr) => this.#read32(addr),
      mmap_write8: (addr, value) => this.#write8(addr, value),
      mmap_write16: (addr, value) => this.#write16(addr, value),
      mmap_write32: (addr, value) => this.#write32(addr, value),
      mmap_write64: (addr, low, high) => {
        this.#write32(addr, low);
        this.#write32(addr + 4, high);
      },
      mmap_write128: (addr, ...dwords) => {
        for (const [i, dword] of dwords.entries()) this.#write32(addr + 4 * i, dword);
      },
    };
  }

  #read8(addr: number): number {
    const host = this.#reads.host(addr >>> 0);
    return host < 0 ? this.#readElsewhere(addr, 1) : this.#bytes[host + (addr & PAGE_MASK)]!;
  }

  #read32(addr: number): number {
    const host = this.#reads.host(addr >>> 0);
    return host < 0 ? this.#readElsewhere(addr, 4) : this.#view.getInt32(host + (addr & PAGE_MASK), true);
  }

  #write8(addr: number, value: number): void {
    const host = this.#writes.host(addr >>> 0);
    if (host < 0) this.#writeElsewhere(addr, 1, value & 0xff);
    else this.#bytes[host + (addr & PAGE_MASK)] = value;
  }

  #write16(addr: number, value: number): void {
    const host = this.#writes.host(addr >>> 0);
    if (host < 0) this.#writeElsewhere(addr, 2, value & 0xffff);
    else this.#view.setUint16(host + (addr & PAGE_MASK), value, true);
  }

  #write32(addr: number, value: number): void {
    const host = this.#writes.host(addr >>> 0);
    if (host < 0) this.#writeElsewhere(addr, 4, value >>> 0);
    else this.#view.setInt32(host + (addr & PAGE_MASK), value, true);
  }

  /** A read of what is no slot. */
  #readElsewhere(addr: number, size: 1 | 4): number {
    const gpa = addr >>> 0;
    const window = this.#reads.window(gpa, size);
    if (window === undefined) return size === 1 ? this.#v86.mmap_read8(addr) : this.#v86.mmap_read32(addr);
    if (window === SPLIT) {
      let value = 0;
      for (let i = 0; i < size; i++) value |= this.#read8(addr + i) << (8 * i);
      return value;
    }
    const offset = gpa - window.gpa;
    if ("hva" in window) {
      const hva = window.hva + offset;
      return size === 1 ? this.#bytes[hva]! : this.#view.getInt32(hva, true);
    }
    const value = this.#devices[window.device]!.read((window.offset ?? 0) + offset, size);
    return size === 1 ? value & 0xff : value;
  }

  /** A write to what is no slot, or to a READONLY one. */
  #writeElsewhere(addr: number, size: 1 | 2 | 4, value: number): void {
    const gpa = addr >>> 0;
    const window = this.#writes.window(gpa, size);
    if (window === undefined) this.#forward(addr, size, value);
    else if (window === SPLIT) {
      for (let i = 0; i < size; i++) this.#write8(addr + i, value >>> (8 * i));
    } else if (!("hva" in window)) {
      this.#devices[window.device]!.write((window.offset ?? 0) + gpa - window.gpa, size, value);
    } else if (!window.readonly) {
      for (let i = 0; i < size; i++) this.#bytes[window.hva + gpa - window.gpa + i] = value >>> (8 * i);
    }
  }

  #forward(addr: number, size: 1 | 2 | 4, value: number): void {
    if (size === 1) this.#v86.mmap_write8(addr, value);
    else if (size === 2) this.#v86.mmap_write16(addr, value);
    else this.#v86.mmap_write32(addr, value);
  }
}
