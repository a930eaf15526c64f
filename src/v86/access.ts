/**
 * The seven memory imports of v86's wasm, answered from the map: slots first, then MMIO windows, and what is
 * neither goes on to v86's own handlers.
 *
 *   guest access -> entry of its page: host address | chain of its windows, v86 at the end
 *
 * v86 itself never lets an access cross a page, splits 16-bit reads into bytes before they get here, and executes
 * no code from here.
 */
import type { MemslotEngine } from "../engine.js";
import { guestPageTable, type PagePart } from "../guest/pagetable.js";
import type { Vcpu } from "../read/vcpu.js";
import {
  hostDevices,
  type MmioDevice,
  PAGE_MASK,
  PAGE_SHIFT,
  type Reads,
  readsOf,
  type WindowPart,
  type Writes,
  windowPartsOf,
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
  /** In a section whenever the guest runs. */
  readonly vcpu: Vcpu;
  /** Host memory: host address i is its element i. */
  readonly memory: Uint8Array;
  /** By number. */
  readonly devices: readonly MmioDevice[];
}

/** All parts of a page with one handler need no chain: one call less. */
interface Page<Handlers> extends WindowPart {
  /** For what the part itself does not hold. */
  readonly handlers: Handlers;
}

/**
 * What takes the place of v86's handlers. Closures over constants, not methods that look their fields up: an access
 * costs little more than its call.
 * @param v86 v86's own handlers
 */
export function createAccess(target: AccessTarget, v86: MemoryImports): MemoryImports {
  const { engine, memory, devices } = target;
  const host = hostDevices(memory);
  const nothing: WindowPart = { start: 0, end: 0, device: host.readonly, origin: 0 };
  const windowsOf = (parts: readonly PagePart[]) => {
    // A write to a window of host memory that is READONLY is lost, one to a READONLY slot without a window is v86's.
    const isAnswered = ({ kind, gpa }: PagePart) =>
      kind !== "read-only" ||
      engine.windows().some((window) => gpa >= window.gpa && gpa < window.gpa + window.bytes);
    return windowPartsOf(parts.filter(isAnswered), devices, host);
  };
  const reads = createReads(target, nothing, (parts) => {
    const windows = windowsOf(parts);
    const handlers = windows.reduceRight<Reads>((next, part) => readsOf(part, next), v86);
    return { ...(windows[0] ?? nothing), handlers };
  });
  const writes = createWrites(target, nothing, (parts) => {
    const windows = windowsOf(parts);
    const handlers = windows.reduceRight<Writes>((next, part) => writesOf(part, next), v86);
    return { ...(windows[0] ?? nothing), handlers };
  });
  const { mmap_write32: write32 } = writes;
  return {
    ...reads,
    ...writes,
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

/** Finds out who answers for a page that is not all memory. */
type PageOf<Handlers> = (parts: readonly PagePart[]) => Page<Handlers>;

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function createReads(
  { engine, vcpu, memory: bytes }: AccessTarget,
  nothing: WindowPart,
  answerOf: PageOf<Reads>,
): Reads {
  const view = viewOf(bytes);
  const handlers: Reads = {
    mmap_read8: (addr) => {
      table.fill(addr);
      return imports.mmap_read8(addr);
    },
    mmap_read32: (addr) => {
      table.fill(addr);
      return imports.mmap_read32(addr);
    },
  };
  const unknown = { ...nothing, handlers };
  const table = guestPageTable(engine, { vcpu, access: "read", unknown, answerOf });
  const { entries, answers } = table;
  const imports: Reads = {
    mmap_read8: (addr) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) return bytes[(entry - 1) | (addr & PAGE_MASK)]!;
      const page = answers[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset < page.end) return page.device.read(page.origin + offset, 1) & 0xff;
      return page.handlers.mmap_read8(addr);
    },
    mmap_read32: (addr) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) return view.getInt32((entry - 1) | (addr & PAGE_MASK), true);
      const page = answers[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset + 4 <= page.end) return page.device.read(page.origin + offset, 4);
      return page.handlers.mmap_read32(addr);
    },
  };
  return imports;
}

function createWrites(
  { engine, vcpu, memory: bytes }: AccessTarget,
  nothing: WindowPart,
  answerOf: PageOf<Writes>,
): Writes {
  const view = viewOf(bytes);
  const handlers: Writes = {
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
  const unknown = { ...nothing, handlers };
  const table = guestPageTable(engine, { vcpu, access: "write", unknown, answerOf });
  const { entries, answers } = table;
  const imports: Writes = {
    mmap_write8: (addr, value) => {
      const entry = entries[addr >>> PAGE_SHIFT]!;
      if (entry > 0) {
        bytes[(entry - 1) | (addr & PAGE_MASK)] = value;
        return;
      }
      const page = answers[0 - entry]!;
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
      const page = answers[0 - entry]!;
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
      const page = answers[0 - entry]!;
      const offset = addr & PAGE_MASK;
      if (offset >= page.start && offset + 4 <= page.end)
        page.device.write(page.origin + offset, 4, value >>> 0);
      else page.handlers.mmap_write32(addr, value);
    },
  };
  return imports;
}
