/**
 * A vCPU: one reader line, and the raw calls bound to it. The functions are closures over constants, not
 * methods that look their fields up: a translation is one call into wasm.
 */

import type { EngineExports } from "../core/exports.js";
import {
  BATCH_ENTRIES,
  HEADER_READERS_OFFSET,
  READER_BYTES,
  TLB_ENTRIES_MAX,
  TLB_ENTRIES_MIN,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { checkOptionNames, show, toGpa, toInteger } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { armSection, NO_TABLES, Section, setSection } from "./section.js";

/** Options of `engine.vcpu`. */
export interface VcpuOptions {
  /** Address space of its lookups; 0 if not given. */
  asId?: number | undefined;
  /**
   * Entries of a TLB in the engine's memory, a power of two from 64 to 65536, 32 bytes each: for an emulator in
   * WebAssembly that inlines its probe (docs/abi.md). None if not given.
   */
  tlbEntries?: number | undefined;
}

/** Counters of a vCPU. */
export interface VcpuStats {
  /** Sections entered since the vCPU was made; nested ones are one. */
  readonly sections: number;
  /** Lookups that found no slot since then. */
  readonly misses: number;
}

/** A vCPU. All addresses are in bytes; none of its functions waits. */
export interface Vcpu {
  /** Address of its reader line, the `reader` of the wasm ABI. */
  readonly reader: number;
  /** Owner token, as its engine's; what `engine.reap` wants. */
  readonly owner: number;
  /** Number of the vCPU from 0 on, the index of its `DirtyRing`; one that is released frees its number. */
  readonly index: number;
  /**
   * True if the vCPU was asked to leave its section since it entered: by `engine.kick`, or a writer that
   * waits.
   */
  readonly kicked: boolean;
  /**
   * True if its dirty ring has come to the soft limit, 64 entries before its end: run on when it was harvested and
   * reset. KVM_RUN ends with KVM_EXIT_DIRTY_RING_FULL then. False without a ring.
   */
  readonly dirtyRingFull: boolean;
  /** Address space of its lookups; may be changed at any time (SMM). @throws RangeError */
  asId: number;

  // ---- sections ----

  /**
   * Begin a read section: until `exit` every lookup answers from one layout. Sections nest, up to 1,048,575 deep.
   * Mirrors srcu_read_lock.
   * @returns true if the layout is another than in the vCPU's last section: flush what was derived from it.
   */
  enter(): boolean;
  /** End the section, or its innermost nesting. */
  exit(): void;
  /** Inside a section, move on to the newest layout. @returns true if it is another one. */
  refresh(): boolean;

  // ---- lookups ----

  /**
   * Host address for a write to `gpa`, HVA_BAD, or HVA_RO_BAD in a READONLY slot. Mirrors
   * kvm_vcpu_gfn_to_hva.
   */
  gpaToHva(gpa: number): number;
  /** Host address for a read of `gpa`, or HVA_BAD. Mirrors kvm_vcpu_gfn_to_hva_prot. */
  gpaToHvaRead(gpa: number): number;
  /**
   * Where the byte `gpa` is, for a write (the default) or a read, in one call: its host address, or HVA_MMIO
   * with `device` and `offset` telling which register of which device; HVA_RO_BAD, HVA_BAD.
   */
  resolve(gpa: number, write?: boolean): number;
  /** KVM_MEMORY_ATTRIBUTE_* bits of guest byte `gpa`. Mirrors kvm_mem_is_private. */
  memoryAttributes(gpa: number): number;
  /**
   * Byte of the guest_memfd that backs the private memory of `gpa`, with `device` its descriptor; HVA_BAD if there is
   * none. Mirrors kvm_gmem_get_pfn.
   */
  resolvePrivate(gpa: number): number;
  /** Device that the last `resolve` with HVA_MMIO found, or descriptor that the last `resolvePrivate` found. */
  readonly device: number;
  /** Byte of its registers. */
  readonly offset: number;
  /**
   * Number (address space << 16 | id) of the slot that maps frame `gfn`, or -1. Mirrors kvm_vcpu_gfn_to_memslot.
   */
  gfnToSlot(gfn: number): number;
  /**
   * Translate gpas[i] to hvas[i] for all i, from one layout. Arrays over the engine's own memory are not
   * copied.
   * @param write write translations (the default), or read translations
   * @throws RangeError if hvas is shorter than gpas
   */
  translate(gpas: Float64Array, hvas: Float64Array, write?: boolean): void;

  // ---- dirty pages, counters, end ----

  /**
   * The page of `gpa` was written: if its slot keeps a log, the page goes into the vCPU's dirty ring if there are
   * rings, else into the slot's bitmap. Mirrors kvm_vcpu_mark_page_dirty.
   */
  markDirty(gpa: number): void;
  /** Sections entered and lookups that found no slot, since the vCPU was made. */
  stats(): VcpuStats;
  /** End any section and give the reader line back. Every later call but this one throws an Error. */
  release(): void;
}

/** Runs a function under the writer lock. */
export type Locked = (work: () => number) => number;
/** The same without sleeping. */
export type LockedAsync = (work: () => number) => Promise<number>;

/**
 * Claim a reader line, with a dirty ring if the engine has them, and set it to an address space.
 * @throws as MemslotEngine.vcpu
 */
export function createVcpu(thread: Thread, options: VcpuOptions, locked: Locked): Vcpu {
  const claim = claimLine(thread, options, "vcpu");
  try {
    for (const { attach, part } of claim.parts) checkAttached(locked(attach), "vcpu", part);
  } catch (error) {
    claim.cancel();
    throw error;
  }
  return claim.made();
}

/** The same without sleeping. */
export async function createVcpuAsync(
  thread: Thread,
  options: VcpuOptions,
  locked: LockedAsync,
): Promise<Vcpu> {
  const claim = claimLine(thread, options, "vcpuAsync");
  try {
    for (const { attach, part } of claim.parts) checkAttached(await locked(attach), "vcpuAsync", part);
    // The engine may have been closed meanwhile.
    return claim.made();
  } catch (error) {
    claim.cancel();
    throw error;
  }
}

function checkAttached(result: number, op: string, part: string): void {
  if (result < 0) throw new KvmError(result, op, { reason: `no memory for its ${part}` });
}

/** 0 for none. @throws TypeError, RangeError */
function checkEntries(wanted: number | undefined): number {
  if (wanted === undefined) return 0;
  const entries = toInteger(wanted, "tlbEntries", TLB_ENTRIES_MIN, TLB_ENTRIES_MAX);
  if (entries & (entries - 1)) throw new RangeError(`tlbEntries must be a power of two, not ${entries}`);
  return entries;
}

/** `vcpu.translate` of one reader line. */
function batchTranslation({ wasm, memory, views }: Thread, reader: number): Vcpu["translate"] {
  const { openSection, exitSection, translateBatch, translateMany } = wasm;
  const batch = wasm.batchOf(reader) >>> 0;
  const first = batch / 8;
  let seen: Float64Array | undefined;
  let answers: Float64Array;
  return (gpas, hvas, write = true) => {
    checkDoubles(gpas, "gpas");
    checkDoubles(hvas, "hvas");
    const count = lengthOf.call(gpas);
    const room = lengthOf.call(hvas);
    if (room < count) throw new RangeError(`hvas must have ${count} elements, not ${room}`);
    const { buffer } = memory;
    if (bufferOf.call(gpas) === buffer && bufferOf.call(hvas) === buffer) {
      translateMany(reader, offsetOf.call(gpas), offsetOf.call(hvas), count, write ? 1 : 0);
      return;
    }
    openSection(reader);
    try {
      const scratch = views.doubles(batch + BATCH_ENTRIES * 8);
      if (scratch !== seen) {
        seen = scratch;
        answers = scratch.subarray(first, first + BATCH_ENTRIES);
      }
      for (let done = 0; done < count; done += BATCH_ENTRIES) {
        const n = Math.min(BATCH_ENTRIES, count - done);
        answers.set(n === count ? gpas : gpas.subarray(done, done + n));
        translateBatch(reader, n, write ? 1 : 0);
        hvas.set(n === BATCH_ENTRIES ? answers : answers.subarray(0, n), done);
      }
    } finally {
      exitSection(reader);
    }
  };
}

/**
 * What an array is, of whatever realm, as the language itself sees it: properties of the object could say anything, and
 * the core writes where they say.
 */
const ARRAY = /* @__PURE__ */ Object.getPrototypeOf(Float64Array.prototype) as object;
const getterOf = <T>(name: string | symbol) =>
  Object.getOwnPropertyDescriptor(ARRAY, name)!.get as (this: unknown) => T;
const kindOf = /* @__PURE__ */ getterOf<string | undefined>(Symbol.toStringTag);
const lengthOf = /* @__PURE__ */ getterOf<number>("length");
const offsetOf = /* @__PURE__ */ getterOf<number>("byteOffset");
const bufferOf = /* @__PURE__ */ getterOf<ArrayBufferLike>("buffer");

function checkDoubles(value: unknown, name: string): void {
  if (kindOf.call(value) !== "Float64Array") {
    throw new TypeError(`${name} must be a Float64Array, not ${show(value)}`);
  }
}

/** A reader line on its way to a vCPU. */
interface Claim {
  /** What it needs memory for, one after the other under the writer lock. */
  readonly parts: readonly { readonly part: string; readonly attach: () => number }[];
  /** The vCPU; its parts are attached. */
  made(): Vcpu;
  /** Give the line back. */
  cancel(): void;
}

/** @throws KvmError EAGAIN; TypeError, RangeError naming the option */
function claimLine(thread: Thread, options: VcpuOptions, op: string): Claim {
  checkOptionNames<VcpuOptions>(options, { asId: true, tlbEntries: true });
  const { asId = 0, tlbEntries } = options;
  thread.checkAsId(asId);
  const entries = checkEntries(tlbEntries);
  const { wasm, base, owner, maxVcpus, blocks } = thread;
  const reader = wasm.claimVcpu(base, owner, blocks ? 1 : 0) >>> 0;
  if (reader === 0) {
    throw new KvmError(-ERRNO.EAGAIN, op, { reason: `all ${maxVcpus} vCPUs (maxVcpus) are in use` });
  }
  const parts = [];
  if (wasm.dirtyRingBytes(base) !== 0) {
    parts.push({ part: "dirty ring", attach: () => wasm.attachDirtyRing(reader) });
  }
  if (entries !== 0) parts.push({ part: "TLB", attach: () => wasm.attachTlb(reader, entries) });
  return {
    parts,
    made: () => {
      thread.wasm.setAddressSpace(reader, asId);
      const index = (reader - thread.header(HEADER_READERS_OFFSET)) / READER_BYTES;
      return new ReaderLine(thread, reader, index, asId);
    },
    cancel: () => wasm.releaseReader(reader),
  };
}

/** Stands in for the functions of the core when the line is given back. */
const RELEASED = /* @__PURE__ */ new Proxy({} as EngineExports, { get: refuse });

function refuse(): never {
  throw new Error("the vCPU is released");
}

/**
 * A class only for its accessors: in an object literal they would turn the object into a dictionary, whose
 * functions the compiler cannot inline, at 4 ns a call.
 */
class ReaderLine implements Vcpu {
  readonly reader: number;
  readonly owner: number;
  readonly index: number;
  // Replaced by `release`.
  enter: Vcpu["enter"];
  exit: Vcpu["exit"];
  refresh: Vcpu["refresh"];
  gpaToHva: Vcpu["gpaToHva"];
  gpaToHvaRead: Vcpu["gpaToHvaRead"];
  resolve: Vcpu["resolve"];
  gfnToSlot: Vcpu["gfnToSlot"];
  translate: Vcpu["translate"];
  markDirty: Vcpu["markDirty"];
  #wasm: EngineExports;
  readonly #thread: Thread;
  readonly #section: Section;

  constructor(thread: Thread, reader: number, index: number, asId: number) {
    const { wasm, owner } = thread;
    const { enterVcpu, exitVcpu, refreshSection, gpaToHva, gpaToHvaRead, gfnToSlot, markDirty } = wasm;
    const { resolve } = wasm;
    this.#wasm = wasm;
    const section = new Section(asId, { wasm, reader });
    setSection(this, section);
    this.#section = section;
    this.reader = reader;
    this.owner = owner;
    this.index = index;
    this.enter = () => {
      // Before the call: loads behind the core's atomic store wait for that.
      const { recent } = section;
      const told = enterVcpu(reader);
      // Of another layout, and in a nested section, it is another number.
      if (recent !== undefined && told === recent.commit + 1) armSection(section, recent);
      if (section.tables !== NO_TABLES && told !== 0) section.show(Math.abs(told) - 1);
      // A fraction, or V8 would take both for integers, and convert a float there and back.
      return told < -0.5;
    };
    this.exit = () => {
      if (section.derived) {
        section.settle();
        if (exitVcpu(reader) === 0) section.forget();
      } else {
        exitVcpu(reader);
      }
    };
    this.refresh = () => {
      const { derived } = section;
      if (derived) section.leave();
      const moved = refreshSection(reader) !== 0;
      if (section.tables !== NO_TABLES) {
        if (moved) section.flush();
        // Entries for stores stay, and so does the duty to settle their marks.
        else if (derived) armSection(section, section.recent!);
      }
      return moved;
    };
    this.gpaToHva = (gpa) => gpaToHva(reader, toGpa(gpa));
    this.gpaToHvaRead = (gpa) => gpaToHvaRead(reader, toGpa(gpa));
    this.resolve = (gpa, write = true) => resolve(reader, toGpa(gpa), write ? 1 : 0);
    this.gfnToSlot = (gfn) => gfnToSlot(reader, toGpa(gfn, "gfn"));
    this.translate = batchTranslation(thread, reader);
    this.markDirty = (gpa) => markDirty(reader, toGpa(gpa));
    this.#thread = thread;
    thread.vcpus.add(this);
  }

  get kicked(): boolean {
    return this.#wasm.vcpuKicked(this.reader) !== 0;
  }

  get dirtyRingFull(): boolean {
    return this.#wasm.dirtyRingFull(this.reader) !== 0;
  }

  get device(): number {
    return this.#wasm.deviceOf(this.reader) >>> 0;
  }

  get offset(): number {
    return this.#wasm.deviceOffsetOf(this.reader);
  }

  get asId(): number {
    return this.#section.asId;
  }

  set asId(wanted: number) {
    if (wanted === this.#section.asId && !this.#section.released) return;
    // Pages are marked in the address space in which they were written.
    if (this.#section.derived) this.#section.leave();
    if (!Number.isInteger(wanted) || wanted < 0 || this.#wasm.setAddressSpace(this.reader, wanted) === 0) {
      throw new RangeError(`asId must be an address space of the engine, not ${show(wanted)}`);
    }
    this.#section.asId = wanted;
    this.#section.recent = undefined;
    this.#section.flush();
  }

  memoryAttributes(gpa: number): number {
    return this.#wasm.attributesAt(this.reader, toGpa(gpa));
  }

  resolvePrivate(gpa: number): number {
    return this.#wasm.resolvePrivate(this.reader, toGpa(gpa));
  }

  stats(): VcpuStats {
    return { sections: this.#wasm.sectionCount(this.reader), misses: this.#wasm.missCount(this.reader) };
  }

  release(): void {
    if (this.#section.released) return;
    this.#section.released = true;
    this.#thread.vcpus.delete(this);
    this.#section.leave();
    this.#section.flush();
    this.#wasm.releaseReader(this.reader);
    this.#wasm = RELEASED;
    this.enter = refuse;
    this.exit = refuse;
    this.refresh = refuse;
    this.gpaToHva = refuse;
    this.gpaToHvaRead = refuse;
    this.resolve = refuse;
    this.gfnToSlot = refuse;
    this.translate = refuse;
    this.markDirty = refuse;
  }
}
