/** The place of an engine: a separate linear memory, or a part of the caller's. */
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { EngineExports } from "./exports.js";
import { instantiateEngine } from "./instantiate.js";
import { HEADER_BYTES, LAYOUT_HASH } from "./layout.js";
import { type CheckedOptions, isShared } from "./options.js";

const PAGE_BYTES = 65536;
/** Maximum of a separate memory in pages: 1 GiB, enough for the dirty bitmaps of 16 TiB of guest memory. */
const OWN_PAGES_MAX = 16384;
/** Smallest maximum to try, in pages: 4 MiB. */
const OWN_PAGES_MIN = 64;
/** Address of the engine in a separate memory; not 0, so that no structure is at the null pointer. */
const OWN_BASE = 64;
/** Alignment of `base`, a cache line. */
export const BASE_ALIGN = 64;
/** Smallest heap in bytes: room for the mark at its end. */
const HEAP_BYTES_MIN = 64;

/** A new engine, and the functions of the instance that made it. */
export interface PlacedEngine {
  readonly exports: EngineExports;
  readonly memory: WebAssembly.Memory;
  readonly base: number;
}

/** Make an engine in its place. @throws RangeError naming the option; KvmError ENOMEM if the memory cannot hold it */
export function placeEngine(module: WebAssembly.Module, options: CheckedOptions): PlacedEngine {
  const given = options.memory;
  const { memory, base, end, growable } =
    given === undefined ? placeOwn(module, options) : placeInside(module, given, options);
  const exports = instantiateEngine(module, memory);
  exports.createEngine(
    base,
    end,
    growable ? 1 : 0,
    LAYOUT_HASH,
    options.addressSpaces,
    options.maxSlots,
    options.maxVcpus,
    options.maxListEntries,
    options.pageShift,
    options.maxPhysAddrBits,
    options.maxUserAddrBits,
    options.processors,
  );
  return { exports, memory, base };
}

/** The limits that decide how many bytes an engine has before its heap. */
export type SizeLimits = Pick<CheckedOptions, "addressSpaces" | "maxSlots" | "maxVcpus" | "shared">;

/**
 * The header of an engine of these limits at address OWN_BASE of `memory`, which nobody uses yet, with its limits and
 * areas only, so that the core alone knows how they are laid out.
 * @returns its words, and the bytes of the engine before its heap
 */
export function modelHeader(
  module: WebAssembly.Module,
  limits: SizeLimits,
  memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: limits.shared }),
): { words: Uint32Array; base: number; bytes: number } {
  const { addressSpaces, maxSlots, maxVcpus } = limits;
  const exports = instantiateEngine(module, memory);
  const bytes = exports.engineBytes(OWN_BASE, addressSpaces, maxSlots, maxVcpus) >>> 0;
  return { words: new Uint32Array(memory.buffer, OWN_BASE, HEADER_BYTES / 4), base: OWN_BASE, bytes };
}

/** The bytes [base, end) of `memory` for an engine; `growable`: it may call memory.grow. */
interface Placement {
  memory: WebAssembly.Memory;
  base: number;
  end: number;
  growable: boolean;
}

/** A new memory. */
function placeOwn(module: WebAssembly.Module, options: CheckedOptions): Placement {
  const memory = newMemory(options.shared);
  const need = modelHeader(module, options, memory).bytes + HEAP_BYTES_MIN;
  const end = growBy(memory, OWN_BASE + need - memory.buffer.byteLength).end;
  return { memory, base: OWN_BASE, end, growable: true };
}

/**
 * A part of the caller's memory: [base, base + size). Without `size` the engine takes the bytes that it needs from
 * `base` on, and later only pages that memory.grow returns to it. Without `base` it starts at the end of the memory.
 */
function placeInside(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  options: CheckedOptions,
): Placement {
  const { base, size } = options;
  if (base !== undefined && base % BASE_ALIGN !== 0)
    throw new RangeError(`base must be a multiple of ${BASE_ALIGN}, not ${base}`);
  const need = modelHeader(module, options).bytes + HEAP_BYTES_MIN;
  if (size === undefined) return { ...placeGrowing(need, memory, base), growable: true };
  const bytes = bytesOf(memory);
  const start = base ?? bytes;
  if (start + size > bytes) {
    throw new RangeError(
      `base + size must lie inside the memory of ${bytes} bytes, not end at ${start + size}`,
    );
  }
  if (size < need) throw new RangeError(`size must be at least ${need} for these limits, not ${size}`);
  return { memory, base: start, end: start + size, growable: false };
}

/** Other threads may grow the memory at any time: pages are the engine's only if `grow` has returned them. */
function placeGrowing(
  need: number,
  memory: WebAssembly.Memory,
  base: number | undefined,
): Omit<Placement, "growable"> {
  if (base === undefined) {
    const grown = growBy(memory, need);
    return { memory, base: grown.start, end: grown.end };
  }
  const bytes = bytesOf(memory);
  if (base + need <= bytes) return { memory, base, end: base + need };
  const grown = growBy(memory, base + need - bytes);
  if (grown.start === bytes) return { memory, base, end: grown.end };
  const reason = `another thread has grown the memory from ${bytes} bytes on, where the engine was to be`;
  throw new KvmError(-ERRNO.ENOMEM, "create", { reason });
}

/** Present size: a thread may not have seen yet that another one has grown its memory. */
function bytesOf(memory: WebAssembly.Memory): number {
  return isShared(memory) ? memory.grow(0) * PAGE_BYTES : memory.buffer.byteLength;
}

/** Grow by `bytes` bytes at least, in whole pages. @returns the new bytes @throws KvmError ENOMEM */
function growBy(memory: WebAssembly.Memory, bytes: number): { start: number; end: number } {
  const pages = Math.max(0, Math.ceil(bytes / PAGE_BYTES));
  if (pages === 0) return { start: memory.buffer.byteLength, end: memory.buffer.byteLength };
  try {
    const start = memory.grow(pages) * PAGE_BYTES;
    return { start, end: start + pages * PAGE_BYTES };
  } catch {
    throw new KvmError(-ERRNO.ENOMEM, "create", { reason: `the memory cannot grow by ${bytes} bytes` });
  }
}

/**
 * A memory of one page that can grow. A shared memory reserves its maximum, so this tries smaller ones until the
 * runtime has enough address space.
 */
function newMemory(shared: boolean): WebAssembly.Memory {
  for (let maximum = OWN_PAGES_MAX; ; maximum /= 4) {
    try {
      return new WebAssembly.Memory({ initial: 1, maximum, shared });
    } catch {
      if (maximum > OWN_PAGES_MIN) continue;
      const reason = `the runtime has no memory of ${maximum * PAGE_BYTES} bytes to reserve`;
      throw new KvmError(-ERRNO.ENOMEM, "create", { reason });
    }
  }
}
