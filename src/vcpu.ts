/**
 * A vCPU: one reader line, and the raw calls bound to it. The functions are closures over constants, not
 * methods that look their fields up: a translation is one call into wasm.
 */
import { ERRNO, KvmError } from "./errno.js";
import { BATCH_ENTRIES, type EngineExports, HEADER, READER_BYTES } from "./layout.js";
import type { MemoryViews } from "./memory.js";
import { show } from "./region.js";

/** Options of `engine.vcpu`. */
export interface VcpuOptions {
  /** Address space of its lookups; 0 if not given. */
  asId?: number;
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
  /** Number of the vCPU from 0 on, what `engine.dirtyRing` wants; one that is released frees its number. */
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
  /**
   * The page of `gpa` was written: if its slot keeps a log, the page goes into the vCPU's dirty ring if there are
   * rings, else into the slot's bitmap. Mirrors kvm_vcpu_mark_page_dirty.
   */
  markDirty(gpa: number): void;
  /** Sections entered and lookups that found no slot, since the vCPU was made. */
  stats(): VcpuStats;
  /** End any section and give the reader line back. The vCPU must not be used any more. */
  release(): void;
}

/** A layout as one address space sees it; the same object as long as it is the same. */
export interface Layout {
  /** Number of the publication. */
  readonly commit: number;
}

/** Section.layout outside of sections, and in one whose layout nobody has asked for yet. */
export const UNKNOWN: Layout = { commit: -1 };

/**
 * What a vCPU's section answers from, for those who derive something from it in JavaScript. Where nobody does, a
 * section costs nothing here.
 */
export class Section {
  asId: number;
  layout = UNKNOWN;
  /** Something was derived from the layout since the section began, or went on with another. */
  derived = false;
  /** The vCPU has given its reader line back, which another one may have by now. */
  released = false;
  /** Newest known layout by address space. */
  readonly #known: Layout[] = [];
  readonly #leavers: (() => void)[] = [];

  /** True while a section is open that the vCPU's `enter` has begun and its `exit` will end. */
  readonly inside: () => boolean;

  constructor(asId: number, inside: () => boolean) {
    this.asId = asId;
    this.inside = inside;
  }

  /** Call `leave` whenever what was derived from the layout must not be used any more. */
  onLeave(leave: () => void): void {
    this.#leavers.push(leave);
  }

  /** The section is over, or goes on with another layout or address space. */
  leave(): void {
    this.derived = false;
    this.layout = UNKNOWN;
    for (const leave of this.#leavers) leave();
  }

  /** The layout of publication `commit` in an address space. */
  layoutOf(commit: number, asId: number): Layout {
    const known = this.#known[asId];
    if (known !== undefined && known.commit === commit) return known;
    const layout = { commit };
    this.#known[asId] = layout;
    return layout;
  }
}

const sections = new WeakMap<Vcpu, { section: Section; wasm: EngineExports }>();

/** The section of a vCPU that was made on `wasm`; undefined if it is none of those. */
export function sectionOf(vcpu: Vcpu, wasm: EngineExports): Section | undefined {
  const known = sections.get(vcpu);
  return known?.wasm === wasm ? known.section : undefined;
}

/** What a vCPU works on. */
export interface VcpuTarget {
  wasm: EngineExports;
  memory: WebAssembly.Memory;
  views: MemoryViews;
  base: number;
  owner: number;
  maxVcpus: number;
  /** Run under the writer lock. */
  locked: (work: () => number) => number;
}

/** `vcpu.translate` of one reader line. */
function batchTranslation({ wasm, memory, views }: VcpuTarget, reader: number): Vcpu["translate"] {
  const { openSection, exitSection, translateBatch, translateMany } = wasm;
  const batch = wasm.batchOf(reader) >>> 0;
  const first = batch / 8;
  let seen: Float64Array | undefined;
  let answers: Float64Array;
  return (gpas, hvas, write = true) => {
    const count = gpas.length;
    if (hvas.length < count) throw new RangeError(`hvas must have ${count} elements, not ${hvas.length}`);
    if (gpas.buffer === memory.buffer && hvas.buffer === memory.buffer) {
      translateMany(reader, gpas.byteOffset, hvas.byteOffset, count, write ? 1 : 0);
      return;
    }
    openSection(reader);
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
    exitSection(reader);
  };
}

/** Claim a reader line, with a dirty ring if the engine has them. @throws KvmError EAGAIN, ENOMEM, EBUSY */
function claimLine({ wasm, base, owner, maxVcpus, locked }: VcpuTarget): number {
  const reader = wasm.claimVcpu(base, owner) >>> 0;
  if (reader === 0) {
    throw new KvmError(-ERRNO.EAGAIN, "vcpu", { reason: `all ${maxVcpus} vCPUs (maxVcpus) are in use` });
  }
  if (wasm.dirtyRingBytes(base) === 0) return reader;
  try {
    const result = locked(() => wasm.attachDirtyRing(reader));
    if (result < 0) throw new KvmError(result, "vcpu", { reason: "no memory for its dirty ring" });
  } catch (error) {
    wasm.releaseReader(reader);
    throw error;
  }
  return reader;
}

/** A vCPU, set to an address space of the engine. @throws as claimLine */
export function createVcpu(target: VcpuTarget, asId: number): Vcpu {
  const { wasm, base, views } = target;
  const reader = claimLine(target);
  const readers = views.words(base + HEADER.readers + 4)[(base + HEADER.readers) / 4]!;
  wasm.setAddressSpace(reader, asId);
  return new ReaderLine(target, reader, (reader - readers) / READER_BYTES, asId);
}

/**
 * A class only for its accessors: in an object literal they would turn the object into a dictionary, whose
 * functions the compiler cannot inline, at 4 ns a call.
 */
class ReaderLine implements Vcpu {
  readonly reader: number;
  readonly owner: number;
  readonly index: number;
  readonly enter: Vcpu["enter"];
  readonly exit: Vcpu["exit"];
  readonly refresh: Vcpu["refresh"];
  readonly gpaToHva: Vcpu["gpaToHva"];
  readonly gpaToHvaRead: Vcpu["gpaToHvaRead"];
  readonly resolve: Vcpu["resolve"];
  readonly gfnToSlot: Vcpu["gfnToSlot"];
  readonly translate: Vcpu["translate"];
  readonly markDirty: Vcpu["markDirty"];
  readonly #wasm: EngineExports;
  readonly #section: Section;

  constructor(target: VcpuTarget, reader: number, index: number, asId: number) {
    const { wasm, owner } = target;
    const { enterVcpu, exitVcpu, refreshSection, gpaToHva, gpaToHvaRead, gfnToSlot, markDirty } = wasm;
    const { resolve, insideVcpu } = wasm;
    this.#wasm = wasm;
    const section = new Section(asId, () => insideVcpu(reader) !== 0);
    sections.set(this, { section, wasm });
    this.#section = section;
    this.reader = reader;
    this.owner = owner;
    this.index = index;
    this.enter = () => enterVcpu(reader) !== 0;
    this.exit = () => {
      if (exitVcpu(reader) === 0 && section.derived) section.leave();
    };
    this.refresh = () => {
      if (section.derived) section.leave();
      return refreshSection(reader) !== 0;
    };
    this.gpaToHva = (gpa) => gpaToHva(reader, gpa);
    this.gpaToHvaRead = (gpa) => gpaToHvaRead(reader, gpa);
    this.resolve = (gpa, write = true) => resolve(reader, gpa, write ? 1 : 0);
    this.gfnToSlot = (gfn) => gfnToSlot(reader, gfn);
    this.translate = batchTranslation(target, reader);
    this.markDirty = (gpa) => markDirty(reader, gpa);
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
    if (!Number.isInteger(wanted) || wanted < 0 || this.#wasm.setAddressSpace(this.reader, wanted) === 0) {
      throw new RangeError(`asId must be an address space of the engine, not ${show(wanted)}`);
    }
    this.#section.asId = wanted;
    if (this.#section.derived) this.#section.leave();
  }

  memoryAttributes(gpa: number): number {
    return this.#wasm.attributesAt(this.reader, gpa);
  }

  resolvePrivate(gpa: number): number {
    return this.#wasm.resolvePrivate(this.reader, gpa);
  }

  stats(): VcpuStats {
    return { sections: this.#wasm.sectionCount(this.reader), misses: this.#wasm.missCount(this.reader) };
  }

  release(): void {
    if (this.#section.released) return;
    this.#section.released = true;
    this.#section.leave();
    this.#wasm.releaseReader(this.reader);
  }
}
