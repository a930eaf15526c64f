/**
 * The linear memory of an engine: its own, or a part of the caller's; and views of it that are never stale.
 */
import { KvmError } from "./errno.js";
import { instantiateEngine } from "./instantiate.js";
import { type EngineExports, HEADER_BYTES } from "./layout.js";

const PAGE_BYTES = 65536;
/** Most pages of a memory that the engine makes itself: 1 GiB, dirty bitmaps of 16 TiB of guest memory. */
const OWN_PAGES_MAX = 16384;
/** Least maximum that is worth a try: 4 MiB. */
const OWN_PAGES_MIN = 64;
/** Address of the engine in a memory of its own; not 0, so that no structure is at the null pointer. */
const OWN_BASE = 64;
/** Alignment of `base`, a cache line. */
const BASE_ALIGN = 64;
/** Least heap: room for the heap's own end mark. */
const HEAP_BYTES_MIN = 64;

/** Limits that decide the size of an engine. */
export interface EngineLimits {
  addressSpaces: number;
  maxSlots: number;
  maxVcpus: number;
}

/** Where an engine will be. */
export interface Placement {
  exports: EngineExports;
  memory: WebAssembly.Memory;
  base: number;
  end: number;
  growable: boolean;
}

function growTo(memory: WebAssembly.Memory, bytes: number): void {
  const missing = bytes - memory.buffer.byteLength;
  if (missing <= 0) return;
  try {
    memory.grow(Math.ceil(missing / PAGE_BYTES));
  } catch {
    throw new KvmError(-12, "create", { reason: `the memory cannot grow to ${bytes} bytes` });
  }
}

/**
 * A memory of one page that can grow. A shared memory reserves its maximum: where the runtime has not that much, less
 * has to do, down to what an engine needs at least.
 */
function newMemory(shared: boolean): WebAssembly.Memory {
  for (let maximum = OWN_PAGES_MAX; ; maximum /= 4) {
    try {
      return new WebAssembly.Memory({ initial: 1, maximum, shared });
    } catch {
      if (maximum > OWN_PAGES_MIN) continue;
      const reason = `the runtime has no memory of ${maximum * PAGE_BYTES} bytes to reserve`;
      throw new KvmError(-12, "create", { reason });
    }
  }
}

/** A memory of the engine's own. */
export function placeOwn(module: WebAssembly.Module, shared: boolean, limits: EngineLimits): Placement {
  const memory = newMemory(shared);
  const exports = instantiateEngine(module, memory);
  const { addressSpaces, maxSlots, maxVcpus } = limits;
  const bytes = exports.engineBytes(OWN_BASE, addressSpaces, maxSlots, maxVcpus) >>> 0;
  growTo(memory, OWN_BASE + bytes + HEAP_BYTES_MIN);
  return { exports, memory, base: OWN_BASE, end: memory.buffer.byteLength, growable: true };
}

/**
 * A part of the caller's memory: [base, base + size). Without `size` the engine takes what it needs from
 * `base` on and later only pages that memory.grow hands to it; without `base` it starts at the present end of
 * the memory.
 */
export function placeInside(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  base: number | undefined,
  size: number | undefined,
  limits: EngineLimits,
): Placement {
  const start = base ?? memory.buffer.byteLength;
  if (start % BASE_ALIGN !== 0)
    throw new RangeError(`base must be a multiple of ${BASE_ALIGN}, not ${start}`);
  const before = memory.buffer.byteLength;
  if (size !== undefined && start + size > before) {
    throw new RangeError(
      `base + size must lie inside the memory of ${before} bytes, not end at ${start + size}`,
    );
  }
  if (size !== undefined && size < HEADER_BYTES)
    throw new RangeError(`size must be at least ${HEADER_BYTES}, not ${size}`);
  growTo(memory, start + HEADER_BYTES);
  const exports = instantiateEngine(module, memory);
  const { addressSpaces, maxSlots, maxVcpus } = limits;
  const need = (exports.engineBytes(start, addressSpaces, maxSlots, maxVcpus) >>> 0) + HEAP_BYTES_MIN;
  if (size !== undefined) {
    if (size < need) throw new RangeError(`size must be at least ${need} for these limits, not ${size}`);
    return { exports, memory, base: start, end: start + size, growable: false };
  }
  growTo(memory, start + need);
  const after = memory.buffer.byteLength;
  return { exports, memory, base: start, end: after > before ? after : start + need, growable: true };
}

/** Typed views of a memory that may grow. */
export class MemoryViews {
  readonly #memory: WebAssembly.Memory;
  #u8: Uint8Array;
  #u32: Uint32Array;
  #f64: Float64Array;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
    this.#u8 = new Uint8Array(memory.buffer);
    this.#u32 = new Uint32Array(memory.buffer);
    this.#f64 = new Float64Array(memory.buffer);
  }

  /**
   * A grown memory leaves old views short (shared) or empty (unshared): look at the length before each use.
   */
  #cover(end: number): void {
    if (end <= this.#u8.length) return;
    this.#u8 = new Uint8Array(this.#memory.buffer);
    this.#u32 = new Uint32Array(this.#memory.buffer);
    this.#f64 = new Float64Array(this.#memory.buffer);
  }

  /** Bytes up to address `end`. */
  bytes(end: number): Uint8Array {
    this.#cover(end);
    return this.#u8;
  }

  /** 32-bit words up to address `end`; index = address / 4. */
  words(end: number): Uint32Array {
    this.#cover(end);
    return this.#u32;
  }

  /** 64-bit floats up to address `end`; index = address / 8. */
  doubles(end: number): Float64Array {
    this.#cover(end);
    return this.#f64;
  }
}
