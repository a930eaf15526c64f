/**
 * The engine as JavaScript sees it: each method checks types, makes its calls into wasm, and maps the result.
 */
import { ERRNO, KvmError } from "./errno.js";
import { compileEngine, instantiateEngine } from "./instantiate.js";
import { type EngineExports, HEADER, HEADER_BYTES, LAYOUT_HASH } from "./layout.js";
import { MemoryViews, placeInside, placeOwn } from "./memory.js";
import { checkOptions, type EngineOptions } from "./options.js";
import {
  getRegion,
  type MappedRegion,
  putRegion,
  putRegion2,
  putRegions,
  putU64,
  REGION_WORDS,
  type Region2Like,
  type RegionLike,
  show,
  toU32,
} from "./region.js";
import {
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_CAP_MULTI_ADDRESS_SPACE,
  KVM_CAP_NR_MEMSLOTS,
  KVM_CAP_READONLY_MEM,
  KVM_CAP_USER_MEMORY,
  KVM_CAP_USER_MEMORY_REGION_LIST,
  KVM_CAP_USER_MEMORY2,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
} from "./uapi.js";
import { createVcpu, type Vcpu, type VcpuOptions } from "./vcpu.js";

/** Milliseconds that a commit waits for readers of the replaced layout. */
const GRACE_MS = 10_000;
/** Bytes of the largest dirty ring, KVM's answer for KVM_CAP_DIRTY_LOG_RING. */
const DIRTY_RING_BYTES_MAX = 1 << 20;

/** What a thread needs to attach; structured-cloneable if the memory is shared. */
export interface EngineHandle {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly base: number;
}

/** Answer of a commit. */
export interface CommitResult {
  /** Generation of the first entry's address space after the call. */
  readonly generation: number;
  /** False if the list had no net effect: then no generation advanced. */
  readonly published: boolean;
}

/** Guest memory that a host range backs. Addresses and sizes in bytes. */
export interface GuestRange {
  /** Slot number, address space << 16 | id. */
  readonly slot: number;
  readonly gpa: number;
  readonly bytes: number;
}

/** struct kvm_enable_cap. */
export interface EnableCap {
  readonly cap: number;
  readonly flags?: number;
  readonly args?: readonly (number | bigint)[];
}

/** Stands in for the exports of a closed engine. */
const CLOSED = new Proxy({} as EngineExports, {
  get(): never {
    throw new Error("the engine is closed");
  },
});

/** A guest memory map. One instance per thread; all instances of one memory are one engine. */
export class MemslotEngine {
  /** Post it to a worker and `attach` there. */
  readonly handle: EngineHandle;
  /** The linear memory, and the address of the engine in it. */
  readonly memory: WebAssembly.Memory;
  readonly base: number;
  readonly addressSpaces: number;
  readonly maxSlots: number;
  readonly maxVcpus: number;
  readonly maxListEntries: number;
  readonly pageShift: number;

  readonly #views: MemoryViews;
  readonly #owner: number;
  #wasm: EngineExports;
  #reader = 0;
  #readerAsId = 0;
  #batch = 0;
  #words: Uint32Array = new Uint32Array(0);

  private constructor(wasm: EngineExports, handle: EngineHandle) {
    this.handle = handle;
    this.memory = handle.memory;
    this.base = handle.base;
    this.#wasm = wasm;
    this.#views = new MemoryViews(handle.memory);
    this.#owner = wasm.attachOwner(handle.base);
    const header = this.#views.words(handle.base + HEADER_BYTES);
    const field = (offset: number) => header[(handle.base + offset) / 4]!;
    this.addressSpaces = field(HEADER.addressSpaces);
    this.maxSlots = field(HEADER.maxSlots);
    this.maxVcpus = field(HEADER.maxVcpus);
    this.maxListEntries = field(HEADER.maxListEntries);
    this.pageShift = field(HEADER.pageShift);
  }

  /**
   * Make an engine.
   * @throws TypeError or RangeError naming the option; KvmError ENOMEM if the memory cannot hold it
   */
  static async create(options: EngineOptions = {}): Promise<MemslotEngine> {
    const checked = checkOptions(options);
    const module = await compileEngine(checked.shared);
    const { memory: given, base: givenBase, size } = checked;
    const { exports, memory, base, end, growable } =
      given === undefined
        ? placeOwn(module, checked.shared, checked)
        : placeInside(module, given, givenBase, size, checked);
    exports.createEngine(
      base,
      end,
      growable ? 1 : 0,
      LAYOUT_HASH,
      checked.addressSpaces,
      checked.maxSlots,
      checked.maxVcpus,
      checked.maxListEntries,
      checked.pageShift,
      checked.maxPhysAddrBits,
    );
    return new MemslotEngine(exports, { module, memory, base });
  }

  /**
   * The engine of a handle, in this or another thread.
   * @throws TypeError if it is no handle, Error if the memory is not an engine of this build
   */
  static async attach(handle: EngineHandle): Promise<MemslotEngine> {
    const { module, memory, base } = handle ?? {};
    if (!(module instanceof WebAssembly.Module))
      throw new TypeError("handle.module must be a WebAssembly.Module");
    if (!(memory instanceof WebAssembly.Memory))
      throw new TypeError("handle.memory must be a WebAssembly.Memory");
    toU32(base, "handle.base");
    const bytes = memory.buffer.byteLength;
    if (base % 4 !== 0 || base + HEADER_BYTES > bytes) {
      throw new RangeError(`handle.base must lie inside the memory of ${bytes} bytes, not at ${base}`);
    }
    const wasm = instantiateEngine(module, memory);
    if (wasm.checkEngine(base, LAYOUT_HASH) !== 0) {
      const stamp = new Uint32Array(memory.buffer, base, 2);
      const found = `magic 0x${stamp[0]!.toString(16)}, layout 0x${stamp[1]!.toString(16)}`;
      throw new Error(
        `no engine of this build at ${base}: ${found}, but layout 0x${LAYOUT_HASH.toString(16)} is needed`,
      );
    }
    return new MemslotEngine(wasm, { module, memory, base });
  }

  /** End this thread's use of the engine; its vCPUs are released one by one with `vcpu.release`. */
  close(): void {
    if (this.#reader !== 0) this.#wasm.releaseReader(this.#reader);
    this.#reader = 0;
    this.#wasm = CLOSED;
  }

  // ---- write: lists of updates ----

  /**
   * KVM_SET_USER_MEMORY_REGION: create, delete (size 0), move, or change flags of one slot.
   * @throws KvmError EINVAL, EEXIST, ENOMEM in KVM's order of checks; EFAULT for bytes that are too few; EBUSY
   * @throws TypeError naming the field
   */
  setUserMemoryRegion(region: RegionLike): void {
    const op = "setUserMemoryRegion";
    const words = this.#takeWords(1);
    putRegion(words, 0, region, "region", op);
    this.#commit(words, 1, op, false, false);
  }

  /** KVM_SET_USER_MEMORY_REGION2. @throws as setUserMemoryRegion; EBADF for a guest_memfd that is none */
  setUserMemoryRegion2(region: Region2Like): void {
    const op = "setUserMemoryRegion2";
    if (typeof region !== "object" || region === null) {
      throw new TypeError(`region must be an object, not ${show(region)}`);
    }
    const words = this.#takeWords(2);
    putRegion2(words, region, "region", op);
    this.#commit(words, 1, op, true, false);
  }

  /**
   * Apply a list of regions as one atomic change: no reader sees a state between two entries. Entries are checked in
   * order, the overlap in the final layout. An error leaves everything as it was and names the entry (`index`).
   * @throws KvmError EINVAL, EEXIST, ENOMEM; E2BIG beyond maxListEntries; EBUSY
   * @throws TypeError naming entry and field
   */
  setUserMemoryRegionList(regions: readonly RegionLike[]): CommitResult {
    const op = "setUserMemoryRegionList";
    if (!Array.isArray(regions)) throw new TypeError(`regions must be an array, not ${show(regions)}`);
    const count = regions.length;
    if (count > this.maxListEntries) {
      throw new KvmError(-ERRNO.E2BIG, op, {
        reason: `${count} entries, maxListEntries is ${this.maxListEntries}`,
      });
    }
    const words = this.#takeWords(count);
    putRegions(words, regions, op);
    const published = this.#commit(words, count, op, false, true);
    const asId = count === 0 ? 0 : words[0]! >>> 16;
    return { generation: this.generation(asId < this.addressSpaces ? asId : 0), published };
  }

  /** Words to encode into. Taken away while in use: a getter of a region could call the engine again. */
  #takeWords(regions: number): Uint32Array {
    const words =
      this.#words.length >= regions * REGION_WORDS ? this.#words : new Uint32Array(regions * REGION_WORDS);
    this.#words = new Uint32Array(0);
    return words;
  }

  /** Lock, stage, commit, unlock. @returns true if a layout was published */
  #commit(words: Uint32Array, count: number, op: string, version2: boolean, isList: boolean): boolean {
    const wasm = this.#wasm;
    const locked = wasm.lockEngine(this.base, this.#owner);
    if (locked < 0) throw new KvmError(locked, op, { reason: "another thread is changing the map" });
    let result: number;
    let entry = -1;
    try {
      const staging = wasm.stageList(this.base, count);
      if (staging < 0) throw new KvmError(staging, op);
      const used = version2 ? 2 * REGION_WORDS : count * REGION_WORDS;
      this.#views
        .words(staging + used * 4)
        .set(used === words.length ? words : words.subarray(0, used), staging / 4);
      result = version2
        ? wasm.commitRegion2(this.base, this.#owner, GRACE_MS)
        : wasm.commitList(this.base, this.#owner, count, GRACE_MS);
      if (result < 0) entry = wasm.errorEntry(this.base);
    } finally {
      wasm.unlockEngine(this.base);
    }
    this.#words = words;
    if (result < 0) throw new KvmError(result, op, isList && entry >= 0 ? { index: entry } : {});
    return result === 1;
  }

  // ---- read: one-shot translations and snapshots ----

  /** Claim a vCPU. @throws KvmError EAGAIN if all maxVcpus are in use, RangeError for an unknown address space */
  vcpu(options: VcpuOptions = {}): Vcpu {
    const claim = { engine: this.base, owner: this.#owner, maxVcpus: this.maxVcpus };
    return createVcpu(this.#wasm, this.#views, this.memory, claim, options);
  }

  /** Host address for a write to `gpa`, HVA_BAD, or HVA_RO_BAD in a READONLY slot. Mirrors gfn_to_hva. */
  gpaToHva(gpa: number, asId = 0): number {
    return this.#wasm.gpaToHva(this.#readerOf(asId), gpa);
  }

  /** Host address for a read of `gpa`, or HVA_BAD. Mirrors gfn_to_hva_prot. */
  gpaToHvaRead(gpa: number, asId = 0): number {
    return this.#wasm.gpaToHvaRead(this.#readerOf(asId), gpa);
  }

  /** The page of `gpa` was written: set its dirty bit if its slot keeps a log. Mirrors mark_page_dirty. */
  markDirty(gpa: number, asId = 0): void {
    this.#wasm.markDirty(this.#readerOf(asId), gpa);
  }

  /** The slot with number `slot` (address space << 16 | id), or undefined. @throws KvmError EINVAL for a bad number */
  slot(slot: number): MappedRegion | undefined {
    const reader = this.#readerOf(0);
    const found = this.#wasm.slotByNumber(reader, toU32(slot, "slot"));
    if (found < 0) throw new KvmError(found, "slot");
    return found === 0 ? undefined : this.#batchRegions(1)[0];
  }

  /** All slots of an address space, ascending by guest address, from one layout. */
  slots(asId = 0): MappedRegion[] {
    const reader = this.#readerOf(asId);
    return this.#collect(reader, () => this.#wasm.nextSlots(reader));
  }

  /**
   * Guest memory backed by host bytes [start, end), in whole pages: by address space, then host address, then slot id.
   * Host ranges may be mapped any number of times. Mirrors kvm_for_each_memslot_in_hva_range.
   */
  hvaToGpas(start: number, end: number): GuestRange[] {
    for (const [name, value] of [
      ["start", start],
      ["end", end],
    ] as const) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new TypeError(`${name} must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
      }
    }
    const ranges: GuestRange[] = [];
    for (let asId = 0; asId < this.addressSpaces && start < end; asId++) {
      const reader = this.#readerOf(asId);
      for (const region of this.#collect(reader, () => this.#wasm.nextHostSlots(reader, start, end))) {
        ranges.push({ slot: region.slot, gpa: region.guestPhysAddr, bytes: region.memorySize });
      }
    }
    return ranges;
  }

  /** Generation of an address space: starts at its number, advances by the number of address spaces. */
  generation(asId = 0): number {
    this.#checkAsId(asId);
    return this.#wasm.generation(this.base, asId);
  }

  /** Publications so far, of all address spaces together. */
  get publications(): number {
    return this.#wasm.commitNumber(this.base);
  }

  #checkAsId(asId: number): void {
    if (!Number.isInteger(asId) || asId < 0 || asId >= this.addressSpaces) {
      throw new RangeError(`asId must be from 0 to ${this.addressSpaces - 1}, not ${show(asId)}`);
    }
  }

  /** This thread's reader line, set to an address space. */
  #readerOf(asId: number): number {
    if (this.#reader === 0) {
      this.#reader = this.#wasm.claimThread(this.base, this.#owner) >>> 0;
      if (this.#reader === 0) {
        throw new KvmError(-ERRNO.EAGAIN, "lookup", {
          reason: `${this.maxVcpus} threads (maxVcpus) make one-shot calls already`,
        });
      }
      this.#batch = this.#wasm.batchOf(this.#reader) >>> 0;
    }
    if (asId !== this.#readerAsId) {
      this.#checkAsId(asId);
      this.#wasm.setAddressSpace(this.#reader, asId);
      this.#readerAsId = asId;
    }
    return this.#reader;
  }

  #batchRegions(count: number): MappedRegion[] {
    const words = this.#views.words(this.#batch + count * REGION_WORDS * 4);
    return Array.from({ length: count }, (_, i) => getRegion(words, this.#batch / 4 + i * REGION_WORDS));
  }

  /** All pieces of a walk, from one layout. */
  #collect(reader: number, next: () => number): MappedRegion[] {
    const regions: MappedRegion[] = [];
    this.#wasm.enterSection(reader);
    this.#wasm.rewind(reader);
    for (let count = next(); count > 0; count = next()) regions.push(...this.#batchRegions(count));
    this.#wasm.exitSection(reader);
    return regions;
  }

  // ---- dirty log ----

  /**
   * KVM_GET_DIRTY_LOG: ALIGN(npages, 64) / 8 bytes, bit i of byte b is page 8 b + i. The bits are taken, unless manual
   * protection is on. @throws KvmError ENXIO with a dirty ring, EINVAL for a bad number, ENOENT without a log
   */
  getDirtyLog(slot: number): Uint8Array {
    const wasm = this.#wasm;
    toU32(slot, "slot");
    this.#lock("getDirtyLog");
    try {
      const log = wasm.getDirtyLog(this.base, slot);
      if (log < 0) throw new KvmError(log, "getDirtyLog");
      const bytes = wasm.dirtyLogBytes(this.base, slot);
      return this.#views.bytes(log + bytes).slice(log, log + bytes);
    } finally {
      wasm.unlockEngine(this.base);
    }
  }

  /**
   * KVM_CLEAR_DIRTY_LOG: clear the pages whose bit is set in `bitmap`, bit 0 being page `firstPage`. `firstPage` is a
   * multiple of 64, `numPages` too unless it reaches the end of the slot.
   * @throws KvmError ENXIO, EINVAL, ENOENT as KVM; EFAULT if `bitmap` is shorter than ALIGN(numPages, 64) / 8 bytes
   */
  clearDirtyLog(slot: number, firstPage: number | bigint, numPages: number, bitmap: Uint8Array): void {
    const op = "clearDirtyLog";
    const wasm = this.#wasm;
    toU32(slot, "slot");
    toU32(numPages, "numPages");
    const first = new Uint32Array(2);
    putU64(first, 0, firstPage, "firstPage");
    if (!(bitmap instanceof Uint8Array))
      throw new TypeError(`bitmap must be a Uint8Array, not ${show(bitmap)}`);
    this.#lock(op);
    try {
      const scratch = wasm.beginClearDirtyLog(this.base, slot, first[0]!, first[1]!, numPages);
      if (scratch < 0) throw new KvmError(scratch, op);
      const bytes = Math.ceil(numPages / 64) * 8;
      if (bitmap.length < bytes) {
        throw new KvmError(-ERRNO.EFAULT, op, {
          reason: `bitmap has ${bitmap.length} bytes, ${bytes} are needed`,
        });
      }
      this.#views.bytes(scratch + bytes).set(bitmap.subarray(0, bytes), scratch);
      wasm.endClearDirtyLog(this.base, slot, first[0]!, numPages);
    } finally {
      wasm.unlockEngine(this.base);
    }
  }

  #lock(op: string): void {
    const locked = this.#wasm.lockEngine(this.base, this.#owner);
    if (locked < 0) throw new KvmError(locked, op, { reason: "another thread is changing the map" });
  }

  // ---- capabilities ----

  /** KVM_CHECK_EXTENSION: the value of a capability, 0 if it is unknown. */
  checkExtension(cap: number): number {
    switch (cap) {
      case KVM_CAP_NR_MEMSLOTS:
        return this.maxSlots;
      case KVM_CAP_MULTI_ADDRESS_SPACE:
        return this.addressSpaces;
      case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
      case KVM_CAP_DIRTY_LOG_RING:
        return DIRTY_RING_BYTES_MAX;
      case KVM_CAP_USER_MEMORY_REGION_LIST:
        return this.maxListEntries;
      case KVM_CAP_USER_MEMORY:
      case KVM_CAP_USER_MEMORY2:
      case KVM_CAP_READONLY_MEM:
        return 1;
      default:
        return 0;
    }
  }

  /**
   * KVM_ENABLE_CAP: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (bits) or KVM_CAP_DIRTY_LOG_RING (bytes per vCPU).
   * @throws KvmError EINVAL for an unknown capability, flags, or a bad argument; E2BIG for too large a ring
   */
  enableCap(cap: number | EnableCap, ...args: (number | bigint)[]): void {
    const op = "enableCap";
    const request = typeof cap === "object" && cap !== null ? cap : { cap, args };
    toU32(request.cap, "cap");
    const words = new Uint32Array(2);
    putU64(words, 0, request.args?.[0] ?? 0, "args[0]");
    let result: number = -ERRNO.EINVAL;
    if (toU32(request.flags ?? 0, "flags") === 0) {
      this.#lock(op);
      if (request.cap === KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) {
        result = this.#wasm.setManualDirtyLog(this.base, words[1] === 0 ? words[0]! : 0xffff_ffff);
      } else if (request.cap === KVM_CAP_DIRTY_LOG_RING) {
        // KVM takes the size as a u32 out of the u64 argument, upper half unseen.
        result = this.#wasm.enableDirtyRing(this.base, words[0]!);
      }
      this.#wasm.unlockEngine(this.base);
    }
    if (result < 0) throw new KvmError(result, op);
  }
}
