/**
 * The seven memory imports of v86's wasm, answered from the map: slots first, then MMIO windows, and what is
 * neither goes on to v86's own handlers.
 *
 *   guest access -> entry of its page: host address | chain of its windows, v86 at the end
 *
 * v86 itself never lets an access cross a page, splits 16-bit reads into bytes before they get here, and executes
 * no code from here.
 *
 * A write entry of a page is made by marking the page dirty, and dropped when a log is harvested: so a page is
 * marked at its first write after a harvest, as KVM does by write protection, and further writes cost nothing.
 */
import type { MemslotEngine } from "../engine.js";
import { type PageOf, PageTable } from "./pages.js";
import {
  hostDevices,
  type MmioDevice,
  PAGE_MASK,
  PAGE_SHIFT,
  partsOf,
  type Reads,
  readsOf,
  type WindowPart,
  type Writes,
  writesOf,
} from "./parts.js";

/** What v86's wasm imports for memory that is not its RAM. */
export interface MemoryImports extends Reads, Writes {
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

/** One direction: its imports, and `flush` to forget its translations. */
interface Direction<Imports> {
  readonly imports: Imports;
  flush(): void;
}

/**
 * Closures over constants, not methods that look their fields up: an access costs little more than its call.
 * @param v86 v86's own handlers
 */
export function createAccess({ engine, memory, devices }: AccessTarget, v86: MemoryImports): Access {
  const host = hostDevices(memory);
  const nothing: WindowPart = { start: 0, end: 0, device: host.readonly, origin: 0 };
  const reads = createReads(engine, memory, nothing, (windows, pageStart) => {
    const parts = partsOf(windows, pageStart, devices, host);
    const handlers = parts.reduceRight<Reads>((next, part) => readsOf(part, next), v86);
    return { ...(parts[0] ?? nothing), handlers };
  });
  const writes = createWrites(engine, memory, nothing, (windows, pageStart) => {
    const parts = partsOf(windows, pageStart, devices, host);
    const handlers = parts.reduceRight<Writes>((next, part) => writesOf(part, next), v86);
    return { ...(parts[0] ?? nothing), handlers };
  });
  const { mmap_write32: write32 } = writes.imports;
  return {
    imports: {
      ...reads.imports,
      ...writes.imports,
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
    },
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

function createReads(
  engine: MemslotEngine,
  bytes: Uint8Array,
  nothing: WindowPart,
  pageOf: PageOf<Reads>,
): Direction<Reads> {
  const view = viewOf(bytes);
  const unknown: Reads = {
    mmap_read8: (addr) => {
      table.fill(addr);
      return imports.mmap_read8(addr);
    },
    mmap_read32: (addr) => {
      table.fill(addr);
      return imports.mmap_read32(addr);
    },
  };
  const table = new PageTable(engine, false, { ...nothing, handlers: unknown }, pageOf);
  const { entries, pages } = table;
  const imports: Reads = {
    mmap_read8: (addr) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) return bytes[(entry - 1) | (addr & PAGE_MASK)]!;
      const page = pages[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset < page.end) return page.device.read(page.origin + offset, 1) & 0xff;
      return page.handlers.mmap_read8(addr);
    },
    mmap_read32: (addr) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) return view.getInt32((entry - 1) | (addr & PAGE_MASK), true);
      const page = pages[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset + 4 <= page.end) return page.device.read(page.origin + offset, 4);
      return page.handlers.mmap_read32(addr);
    },
  };
  return { imports, flush: () => table.flush() };
}

function createWrites(
  engine: MemslotEngine,
  bytes: Uint8Array,
  nothing: WindowPart,
  pageOf: PageOf<Writes>,
): Direction<Writes> {
  const view = viewOf(bytes);
  const unknown: Writes = {
    mmap_write8: (addr, value) => {
      table.fill(addr);
      imports.mmap_write8(addr, value);
    },
    mmap_write16: (addr, value) => {
      table.fill(addr);
      imports.mmap_write16(addr, value);
    },
    mmap_write32: (addr, value) => {
      table.fill(addr);
      imports.mmap_write32(addr, value);
    },
  };
  const table = new PageTable(engine, true, { ...nothing, handlers: unknown }, pageOf);
  const { entries, pages } = table;
  const imports: Writes = {
    mmap_write8: (addr, value) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) {
        bytes[(entry - 1) | (addr & PAGE_MASK)] = value;
        return;
      }
      const page = pages[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset + 1 <= page.end)
        page.device.write(page.origin + offset, 1, value & 0xff);
      else page.handlers.mmap_write8(addr, value);
    },
    mmap_write16: (addr, value) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) {
        view.setUint16((entry - 1) | (addr & PAGE_MASK), value, true);
        return;
      }
      const page = pages[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset + 2 <= page.end)
        page.device.write(page.origin + offset, 2, value & 0xffff);
      else page.handlers.mmap_write16(addr, value);
    },
    mmap_write32: (addr, value) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) {
        view.setInt32((entry - 1) | (addr & PAGE_MASK), value, true);
        return;
      }
      const page = pages[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset + 4 <= page.end)
        page.device.write(page.origin + offset, 4, value >>> 0);
      else page.handlers.mmap_write32(addr, value);
    },
  };
  return { imports, flush: () => table.flush() };
}
