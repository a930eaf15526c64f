/**
 * Thread: one thread's use of an engine. It holds the functions of the core, views of its memory, its limits, and the
 * reader line of the thread's one-shot calls.
 *
 *  - Every room above works on this object, so one `close` ends them all.
 *  - `threadOf` is the only way from an engine to its inside.
 */
import { checkObject, show, toInteger } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import type { EngineHandle } from "../runtime/handle.js";
import { canBlock } from "../runtime/waiting.js";
import type { WasmMemory } from "../runtime/wasmtypes.js";
import { join, type Membership } from "./attached.js";
import type { EngineExports } from "./exports.js";
import {
  HEADER_ADDRESS_SPACES_OFFSET,
  HEADER_BYTES,
  HEADER_MAX_LIST_ENTRIES_OFFSET,
  HEADER_MAX_PHYS_ADDR_BITS_OFFSET,
  HEADER_MAX_SLOTS_OFFSET,
  HEADER_MAX_USER_ADDR_BITS_OFFSET,
  HEADER_MAX_VCPUS_OFFSET,
  HEADER_PAGE_SHIFT_OFFSET,
} from "./layout.js";
import { MemoryViews } from "./views.js";

/** The limits of an engine, chosen at its creation. */
export interface EngineLimits {
  /** Number of address spaces, 1 to 4. */
  readonly addressSpaces: number;
  /** Most slots of an address space, 1 to 32,764. */
  readonly maxSlots: number;
  /** Most vCPUs at a time, 1 to 1,024; as many threads may make one-shot calls. */
  readonly maxVcpus: number;
  /** Most entries of a list, 1 to 1,048,576. */
  readonly maxListEntries: number;
  /** Bytes of a page as a power of two, 8 to 30. */
  readonly pageShift: number;
  /** Width of a guest-physical address in bits, up to 52: addresses are below 2 to that power. */
  readonly maxPhysAddrBits: number;
  /** Width of a host address in bits, 32 to 52: host memory ends a page of 4 KiB below 2 to that power. */
  readonly maxUserAddrBits: number;
}

/** A `MemslotEngine`, as the functions that take an engine see it. */
export interface Engine extends EngineLimits {
  /** Post it to a worker and call `MemslotEngine.attach` there. */
  readonly handle: EngineHandle;
  /** The linear memory that holds the engine. */
  readonly memory: WasmMemory;
  /** Byte of the memory where the engine begins: the `engine` of the wasm ABI. */
  readonly base: number;
  /** Token under which this instance holds reader lines and the writer lock; pass it to `reap` after its death. */
  readonly owner: number;
}

const threads = /* @__PURE__ */ new WeakMap<object, Thread>();

/** The inside of an engine. @throws TypeError if `engine` is none */
export function threadOf(engine: Engine): Thread {
  const thread = typeof engine === "object" && engine !== null ? threads.get(engine) : undefined;
  if (thread === undefined) throw new TypeError(`engine must be a MemslotEngine, not ${show(engine)}`);
  return thread;
}

/** Replaces the functions of a closed engine: each of them throws. */
const CLOSED = /* @__PURE__ */ new Proxy({} as EngineExports, {
  get(): never {
    throw new Error("the engine is closed");
  },
});

/** What the write path needs of a thread. */
export interface Place extends EngineLimits {
  readonly wasm: EngineExports;
  readonly memory: WasmMemory;
  readonly base: number;
  readonly owner: number;
  readonly views: MemoryViews;
  /** The thread may sleep. */
  readonly blocks: boolean;
  /** This thread keeps the writer lock between calls: it has paused the writers. */
  readonly keepsLock: boolean;
}

export class Thread implements Place {
  /** The functions of the core; every one of them throws once the engine is closed. */
  wasm: EngineExports;
  readonly module: WebAssembly.Module;
  readonly memory: WasmMemory;
  readonly base: number;
  readonly owner: number;
  readonly views: MemoryViews;
  readonly addressSpaces: number;
  readonly maxSlots: number;
  readonly maxVcpus: number;
  readonly maxListEntries: number;
  readonly pageShift: number;
  readonly maxPhysAddrBits: number;
  readonly maxUserAddrBits: number;
  /** This thread may sleep. */
  readonly blocks = canBlock();
  /** This thread keeps the writer lock between calls: it has paused the writers. */
  keepsLock = false;
  /** Scratch area of the one-shot reader line, once there is one. */
  batch = 0;
  /** The vCPUs that it has; `close` releases them. */
  readonly vcpus = new Set<{ release(): void }>();
  readonly #membership: Membership;
  #reader = 0;
  #readerAsId = 0;
  readonly #observers = new Set<() => void>();

  /** @param engine the object that `threadOf` maps to this thread */
  constructor(engine: object, wasm: EngineExports, { module, memory, base, owner }: EngineHandle) {
    this.wasm = wasm;
    this.module = module;
    this.memory = memory;
    this.base = base;
    this.#membership = join(this, owner);
    this.owner = this.#membership.owner;
    this.views = new MemoryViews(memory);
    this.addressSpaces = this.header(HEADER_ADDRESS_SPACES_OFFSET);
    this.maxSlots = this.header(HEADER_MAX_SLOTS_OFFSET);
    this.maxVcpus = this.header(HEADER_MAX_VCPUS_OFFSET);
    this.maxListEntries = this.header(HEADER_MAX_LIST_ENTRIES_OFFSET);
    this.pageShift = this.header(HEADER_PAGE_SHIFT_OFFSET);
    this.maxPhysAddrBits = this.header(HEADER_MAX_PHYS_ADDR_BITS_OFFSET);
    this.maxUserAddrBits = this.header(HEADER_MAX_USER_ADDR_BITS_OFFSET);
    threads.set(engine, this);
  }

  /** A word of the engine's header; `field` is its offset in bytes. */
  header(field: number): number {
    return this.views.words(this.base + HEADER_BYTES)[(this.base + field) / 4]!;
  }

  /** The reader line of this thread's one-shot calls, set to an address space. @throws RangeError; KvmError EAGAIN */
  reader(asId: number): number {
    if (this.#reader !== 0 && asId === this.#readerAsId) return this.#reader;
    return this.#claimReader(asId);
  }

  #claimReader(asId: number): number {
    this.checkAsId(asId);
    if (this.#reader === 0) {
      this.#reader = this.wasm.claimThread(this.base, this.owner) >>> 0;
      if (this.#reader === 0) {
        throw new KvmError(-ERRNO.EAGAIN, "lookup", {
          reason: `${this.maxVcpus} threads (maxVcpus) make one-shot calls already`,
        });
      }
      this.batch = this.wasm.batchOf(this.#reader) >>> 0;
    }
    if (asId !== this.#readerAsId) {
      this.wasm.setAddressSpace(this.#reader, asId);
      this.#readerAsId = asId;
    }
    return this.#reader;
  }

  /** @throws TypeError, RangeError */
  checkAsId(asId: number): void {
    toInteger(asId, "asId", 0, this.addressSpaces - 1);
  }

  /** A copy of its parts, for what goes on after `close`: a commit that is published and waits. */
  place(): Place {
    return { ...this };
  }

  /** Publications so far, of all address spaces together. */
  publications(): number {
    return this.wasm.commitNumber(this.reader(0));
  }

  /** Generation of an address space. @throws RangeError */
  generation(asId: number): number {
    this.checkAsId(asId);
    return this.wasm.generation(this.reader(0), asId);
  }

  /** Call `observer` after each publication by this thread. @returns a function that removes it */
  onPublication(observer: () => void): () => void {
    this.#observers.add(observer);
    return () => {
      this.#observers.delete(observer);
    };
  }

  /** Call the observers; none of them throws. */
  published(): void {
    if (this.#observers.size > 0) for (const observer of this.#observers) observer();
  }

  /** End this thread's use of the engine: give back what it holds, refuse every later call. */
  close(): void {
    if (this.wasm === CLOSED) return;
    for (const vcpu of [...this.vcpus]) vcpu.release();
    if (this.keepsLock) this.wasm.unlockEngine(this.base);
    this.keepsLock = false;
    if (this.#reader !== 0) this.wasm.releaseReader(this.#reader);
    this.#reader = 0;
    // Refused if the gate is not this instance's.
    this.wasm.resumeVcpus(this.base, this.owner, 0);
    this.#membership.leave();
    this.wasm = CLOSED;
  }
}

/** What an engine shows of itself. */
export class EngineFields implements Engine {
  readonly handle: EngineHandle;
  readonly memory: WasmMemory;
  readonly base: number;
  readonly owner: number;
  readonly addressSpaces: number;
  readonly maxSlots: number;
  readonly maxVcpus: number;
  readonly maxListEntries: number;
  readonly pageShift: number;
  readonly maxPhysAddrBits: number;
  readonly maxUserAddrBits: number;

  /** A new thread's use of the engine of a handle; `threadOf` finds it. */
  protected constructor(wasm: EngineExports, handle: EngineHandle) {
    const thread = new Thread(this, wasm, handle);
    const { module, memory, base } = handle;
    // Without the owner token and the life lock, which belong to this thread.
    this.handle = { module, memory, base };
    this.memory = memory;
    this.base = base;
    this.owner = thread.owner;
    this.addressSpaces = thread.addressSpaces;
    this.maxSlots = thread.maxSlots;
    this.maxVcpus = thread.maxVcpus;
    this.maxListEntries = thread.maxListEntries;
    this.pageShift = thread.pageShift;
    this.maxPhysAddrBits = thread.maxPhysAddrBits;
    this.maxUserAddrBits = thread.maxUserAddrBits;
  }
}

/** Check the handle that a caller passes in. @throws TypeError naming the field */
export function checkHandle(handle: EngineHandle): EngineHandle {
  checkObject(handle, "handle");
  // Once: what is checked is what is used.
  const { module, memory, base, owner, lifeLock } = handle;
  if (!(module instanceof WebAssembly.Module)) {
    throw new TypeError(`handle.module must be a WebAssembly.Module, not ${show(module)}`);
  }
  if (!(memory instanceof WebAssembly.Memory)) {
    throw new TypeError(`handle.memory must be a WebAssembly.Memory, not ${show(memory)}`);
  }
  toInteger(base, "handle.base", 0, 2 ** 32 - 1);
  if (owner !== undefined) toInteger(owner, "handle.owner", 1, 2 ** 32 - 1);
  if (lifeLock !== undefined && typeof lifeLock !== "string") {
    throw new TypeError(`handle.lifeLock must be a string, not ${show(lifeLock)}`);
  }
  return { module, memory, base, owner, lifeLock };
}
