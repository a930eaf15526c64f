/** Options of an engine: defaults, ranges and checks. An unknown option is a TypeError. */
import { checkOptionNames, show, toBoolean, toInteger } from "../kvm/arguments.js";
import { USER_ADDR_BITS } from "../kvm/region.js";
import { availableProcessors, requireSharing, whyNotSharing } from "../runtime/capabilities.js";
import type { WasmSources } from "../runtime/wasmsources.js";
import type { WasmMemory } from "../runtime/wasmtypes.js";
import {
  ADDRESS_SPACES_MAX,
  LIST_ENTRIES_MAX,
  PAGE_SHIFT_MAX,
  PAGE_SHIFT_MIN,
  PHYS_ADDR_BITS_MAX,
  SLOTS_MAX,
  USER_ADDR_BITS_MAX,
  USER_ADDR_BITS_MIN,
  VCPUS_MAX,
} from "./layout.js";

/** Largest `processors`. */
export const PROCESSORS_MAX = 65536;

/** Options of `MemslotEngine.create`. */
export interface EngineOptions {
  /** Address spaces, 1 (default) to 4; x86 with SMM has 2. */
  addressSpaces?: number | undefined;
  /** Slots per address space, 1 to 32764, 512 if not given; KVM_CAP_NR_MEMSLOTS. */
  maxSlots?: number | undefined;
  /** Reader lines for vCPUs, 1 to 1024, 16 if not given; as many threads may make one-shot calls. */
  maxVcpus?: number | undefined;
  /** Longest list, 1 to 1048576, 4096 if not given; a longer one is E2BIG. */
  maxListEntries?: number | undefined;
  /** Bytes of a page as a power of two, 8 to 30, 12 if not given. */
  pageShift?: number | undefined;
  /** Width of a guest-physical address, pageShift + 1 to 52, 52 if not given. */
  maxPhysAddrBits?: number | undefined;
  /**
   * Width of a host address, 32 to 52, 47 if not given: host memory ends a page of 4 KiB below 2 to that power, which
   * is TASK_SIZE_MAX of x86 with 47. 48 is for hosts whose processes have addresses up to there (64-bit Arm).
   */
  maxUserAddrBits?: number | undefined;
  /** Place the engine inside this memory; by default it gets a separate one. */
  memory?: WasmMemory | undefined;
  /** First byte of the engine in `memory`, a multiple of 64; the present end of the memory if not given. */
  base?: number | undefined;
  /** Bytes from `base` on that the engine may use; it never leaves them. Without `size` it grows the memory. */
  size?: number | undefined;
  /**
   * Use memory that worker threads can share. Default: true where SharedArrayBuffer can be posted (Node, Bun, Deno, a
   * cross-origin isolated page). With `memory` it must equal the kind of that memory.
   */
  shared?: boolean | undefined;
  /**
   * Let a writer whose readers do not leave keep vCPUs from new sections until they have left: true (default). That
   * happens where more threads run than there are processors, or a section has not ended in a millisecond: a
   * vCPU that is preempted inside its section has a processor at once then. A section is held once and for 50 ms at
   * most; a vCPU of a thread that must not sleep never is. With `false` no commit holds a vCPU, except for `barrier`.
   */
  hurry?: boolean | undefined;
  /** Processors that the vCPUs share, 1 to 65536, for `hurry`; as many as the runtime tells if not given. */
  processors?: number | undefined;
  /**
   * In `memslots/url`: where the core comes from, for a page whose bundler has not copied it beside the module. The
   * engine takes the build that it needs; one that is left out comes from beside the module. The other entries have
   * the core within: there it is a TypeError.
   */
  wasm?: WasmSources | undefined;
}

/** Options with their defaults; `memory`, `base`, `size` and `wasm` as given. */
export interface CheckedOptions {
  addressSpaces: number;
  maxSlots: number;
  maxVcpus: number;
  maxListEntries: number;
  pageShift: number;
  maxPhysAddrBits: number;
  maxUserAddrBits: number;
  memory: WebAssembly.Memory | undefined;
  base: number | undefined;
  size: number | undefined;
  shared: boolean;
  /** 0 with `hurry: false`. */
  processors: number;
  wasm: WasmSources | undefined;
}

const OPTIONS = {
  addressSpaces: true,
  maxSlots: true,
  maxVcpus: true,
  maxListEntries: true,
  pageShift: true,
  maxPhysAddrBits: true,
  maxUserAddrBits: true,
  memory: true,
  base: true,
  size: true,
  shared: true,
  hurry: true,
  processors: true,
  wasm: true,
} as const;

/** @throws TypeError or RangeError naming the option */
export function checkOptions(options: EngineOptions): CheckedOptions {
  checkOptionNames<EngineOptions>(options, OPTIONS);
  // Once: a getter could answer otherwise the next time.
  const { memory, base, size, shared, hurry, processors = availableProcessors() } = options;
  const { addressSpaces = 1, maxSlots = 512, maxVcpus = 16, maxListEntries = 4096 } = options;
  const { pageShift: shift = 12, maxPhysAddrBits = PHYS_ADDR_BITS_MAX } = options;
  const { maxUserAddrBits = USER_ADDR_BITS, wasm } = options;
  if (memory !== undefined && !(memory instanceof WebAssembly.Memory)) {
    throw new TypeError(`memory must be a WebAssembly.Memory, not ${show(memory)}`);
  }
  if (memory === undefined && (base !== undefined || size !== undefined)) {
    throw new TypeError("base and size need memory");
  }
  toBoolean(shared, "shared", false);
  if (memory !== undefined && shared !== undefined && shared !== isShared(memory)) {
    throw new TypeError(`shared is ${shared}, but memory is ${isShared(memory) ? "" : "not "}shared`);
  }
  if (shared === true) requireSharing("shared: true");
  const pageShift = toInteger(shift, "pageShift", PAGE_SHIFT_MIN, PAGE_SHIFT_MAX);
  return {
    addressSpaces: toInteger(addressSpaces, "addressSpaces", 1, ADDRESS_SPACES_MAX),
    maxSlots: toInteger(maxSlots, "maxSlots", 1, SLOTS_MAX),
    maxVcpus: toInteger(maxVcpus, "maxVcpus", 1, VCPUS_MAX),
    maxListEntries: toInteger(maxListEntries, "maxListEntries", 1, LIST_ENTRIES_MAX),
    pageShift,
    maxPhysAddrBits: toInteger(maxPhysAddrBits, "maxPhysAddrBits", pageShift + 1, PHYS_ADDR_BITS_MAX),
    maxUserAddrBits: toInteger(maxUserAddrBits, "maxUserAddrBits", USER_ADDR_BITS_MIN, USER_ADDR_BITS_MAX),
    memory,
    base: optional(base, "base"),
    size: optional(size, "size"),
    processors: checkHurry(hurry, processors),
    wasm,
    shared: memory !== undefined ? isShared(memory) : (shared ?? whyNotSharing() === undefined),
  };
}

/**
 * Whether a memory is shared; by name, because a page that is not isolated has no SharedArrayBuffer to compare with.
 */
export function isShared(memory: WebAssembly.Memory): boolean {
  return Object.prototype.toString.call(memory.buffer) === "[object SharedArrayBuffer]";
}

function optional(value: unknown, name: string): number | undefined {
  return value === undefined ? undefined : toInteger(value, name, 0, 2 ** 32);
}

/** Processors that the engine assumes, 0 if no writer may hurry. */
function checkHurry(hurry: unknown, processors: unknown): number {
  const count = toInteger(processors, "processors", 1, PROCESSORS_MAX);
  return toBoolean(hurry, "hurry", true) ? count : 0;
}
