/**
 * Options of an engine: defaults and checks.
 */
import { requireSharing, whyNotSharing } from "./capabilities.js";
import {
  ADDRESS_SPACES_MAX,
  LIST_ENTRIES_MAX,
  PAGE_SHIFT_MAX,
  PAGE_SHIFT_MIN,
  PHYS_ADDR_BITS_MAX,
  SLOTS_MAX,
  VCPUS_MAX,
} from "./layout.js";
import { show } from "./region.js";

/** Options of `MemslotEngine.create`. */
export interface EngineOptions {
  /** Address spaces, 1 (default) to 4; x86 with SMM has 2. */
  addressSpaces?: number;
  /** Slots per address space, 1 to 32764, 512 if not given; KVM_CAP_NR_MEMSLOTS. */
  maxSlots?: number;
  /** Reader lines for vCPUs, 1 to 1024, 16 if not given; as many threads may make one-shot calls. */
  maxVcpus?: number;
  /** Longest list, 1 to 1048576, 4096 if not given; a longer one is E2BIG. */
  maxListEntries?: number;
  /** Bytes of a page as a power of two, 8 to 30, 12 if not given. */
  pageShift?: number;
  /** Width of a guest-physical address, pageShift + 1 to 52, 52 if not given. */
  maxPhysAddrBits?: number;
  /** Place the engine inside this memory instead of one of its own. */
  memory?: WebAssembly.Memory;
  /** First byte of the engine in `memory`, a multiple of 64; the present end of the memory if not given. */
  base?: number;
  /** Bytes from `base` that the engine may use and never leaves; without it more comes from memory.grow. */
  size?: number;
  /**
   * Memory that worker threads can share. If not given: yes where SharedArrayBuffer can be posted (Node, Bun,
   * Deno, a cross-origin isolated page); with `memory`: as that memory is.
   */
  shared?: boolean;
}

/** Checked options; `memory`, `base` and `size` as given. */
export interface CheckedOptions {
  addressSpaces: number;
  maxSlots: number;
  maxVcpus: number;
  maxListEntries: number;
  pageShift: number;
  maxPhysAddrBits: number;
  memory: WebAssembly.Memory | undefined;
  base: number | undefined;
  size: number | undefined;
  shared: boolean;
}

function integer(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new TypeError(`${name} must be an integer, not ${show(value)}`);
  }
  if (value < min || value > max) throw new RangeError(`${name} must be from ${min} to ${max}, not ${value}`);
  return value;
}

function optional(value: unknown, name: string): number | undefined {
  return value === undefined ? undefined : integer(value, name, 0, 2 ** 32);
}

/**
 * By name, because a page that is not isolated has shared memories but no SharedArrayBuffer to compare with.
 */
export function isShared(memory: WebAssembly.Memory): boolean {
  return Object.prototype.toString.call(memory.buffer) === "[object SharedArrayBuffer]";
}

/** @throws TypeError or RangeError naming the option */
export function checkOptions(options: EngineOptions): CheckedOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`options must be an object, not ${show(options)}`);
  }
  const { memory } = options;
  if (memory !== undefined && !(memory instanceof WebAssembly.Memory)) {
    throw new TypeError(`memory must be a WebAssembly.Memory, not ${show(memory)}`);
  }
  if (memory === undefined && (options.base !== undefined || options.size !== undefined)) {
    throw new TypeError("base and size need memory");
  }
  if (options.shared !== undefined && typeof options.shared !== "boolean") {
    throw new TypeError(`shared must be a boolean, not ${show(options.shared)}`);
  }
  if (memory !== undefined && options.shared !== undefined && options.shared !== isShared(memory)) {
    throw new TypeError(`shared is ${options.shared}, but memory is ${isShared(memory) ? "" : "not "}shared`);
  }
  if (options.shared === true) requireSharing("shared: true");
  const pageShift = integer(options.pageShift ?? 12, "pageShift", PAGE_SHIFT_MIN, PAGE_SHIFT_MAX);
  return {
    addressSpaces: integer(options.addressSpaces ?? 1, "addressSpaces", 1, ADDRESS_SPACES_MAX),
    maxSlots: integer(options.maxSlots ?? 512, "maxSlots", 1, SLOTS_MAX),
    maxVcpus: integer(options.maxVcpus ?? 16, "maxVcpus", 1, VCPUS_MAX),
    maxListEntries: integer(options.maxListEntries ?? 4096, "maxListEntries", 1, LIST_ENTRIES_MAX),
    pageShift,
    maxPhysAddrBits: integer(
      options.maxPhysAddrBits ?? PHYS_ADDR_BITS_MAX,
      "maxPhysAddrBits",
      pageShift + 1,
      PHYS_ADDR_BITS_MAX,
    ),
    memory,
    base: optional(options.base, "base"),
    size: optional(options.size, "size"),
    shared: memory !== undefined ? isShared(memory) : (options.shared ?? whyNotSharing() === undefined),
  };
}
