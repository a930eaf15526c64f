/**
 * The engine as JavaScript sees it: each method checks types, makes its calls into wasm, and maps the result.
 */
import { capabilitiesOf, type EngineCapabilities, requireSharing } from "./capabilities.js";
import {
  type CommitOptions,
  type CommitResult,
  checkCommitOptions,
  checkTimeout,
  TIMEOUT_MS,
  type WaitOptions,
} from "./commitoptions.js";
import { type ConsumerOptions, DirtyConsumer } from "./dirtylog.js";
import { DirtyRing } from "./dirtyring.js";
import { ERRNO, KvmError } from "./errno.js";
import { AddressSpaces, type FlatViewOptions, type FlatViewSource } from "./flatview/addressspaces.js";
import type { ListenerOptions, MemoryListener } from "./flatview/listeners.js";
import { GuestMemory, type GuestMemoryOptions } from "./guestmemory.js";
import { HostMemories, type HostMemory, type HostRange } from "./hostmemory.js";
import { compileEngine, instantiateEngine } from "./instantiate.js";
import {
  DIRTY_GFN_BYTES,
  type EngineExports,
  HEADER,
  HEADER_BYTES,
  LAYOUT_HASH,
  MAGIC,
  RING_BYTES_MAX,
} from "./layout.js";
import { MemoryViews, placeInside, placeOwn } from "./memory.js";
import { checkOptions, type EngineOptions, isShared } from "./options.js";
import { encodeAttributes, encodeMemfd, type PrivateByte } from "./privatememory.js";
import { getReader, type ReaderState } from "./readers.js";
import { Recorder, type RecordOptions } from "./recorder.js";
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
import { type SupervisedWorker, supervise, takeLifeLock } from "./supervise.js";
import {
  HVA_BAD,
  HVA_MMIO,
  KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_GUEST_MEMFD,
  KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_CAP_MEMORY_ATTRIBUTES,
  KVM_CAP_MULTI_ADDRESS_SPACE,
  KVM_CAP_NR_MEMSLOTS,
  KVM_CAP_READONLY_MEM,
  KVM_CAP_USER_MEMORY,
  KVM_CAP_USER_MEMORY_REGION_LIST,
  KVM_CAP_USER_MEMORY2,
  KVM_DIRTY_LOG_INITIALLY_SET,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  type MemoryAttributes,
} from "./uapi.js";
import { createVcpu, Section, sectionOf, type Vcpu, type VcpuOptions } from "./vcpu.js";
import { encodeWindows, type MmioWindow, type Resolved, readWindows } from "./windows.js";
import { type CommitRequest, type Outcome, Writer } from "./writer.js";

/** Options of a commit that was not given any. */
const DEFAULTS = checkCommitOptions({});
/** Lists of up to so many entries have words of just their length at hand: whole arrays are copied fastest. */
const EXACT_MAX = 32;
/** Words of a commit that stages no region. */
const NO_WORDS = new Uint32Array(0);

/** What a thread needs to attach; structured-cloneable if the memory is shared. */
export interface EngineHandle {
  /** The core, compiled: one build for all threads. */
  readonly module: WebAssembly.Module;
  /** The linear memory that the engine is in. */
  readonly memory: WebAssembly.Memory;
  /** Byte of the memory where the engine begins, a multiple of 64. */
  readonly base: number;
  /** Owner token for the thread that attaches, from `superviseWorker`; a new one if not given. */
  readonly owner?: number;
  /** Web Lock that the thread holds as long as it lives, from `superviseWorker` in a page. */
  readonly lifeLock?: string;
}

/** Guest memory that a host range backs. Addresses and sizes in bytes. */
export interface GuestRange {
  /** Slot number, address space << 16 | id. */
  readonly slot: number;
  /** First guest address, in bytes. */
  readonly gpa: number;
  /** Size in bytes, above 0. */
  readonly bytes: number;
}

/** Told of guest memory that loses its host memory. */
export type HostNotifier = (range: GuestRange) => void;

/** struct kvm_enable_cap. */
export interface EnableCap {
  /** KVM_CAP_* number. */
  readonly cap: number;
  /** 0, as in KVM; all else is EINVAL. */
  readonly flags?: number;
  /** Arguments, each of 64 bits; the capabilities there are look at the first. 0 if not given. */
  readonly args?: readonly (number | bigint)[];
}

/** @throws TypeError naming the argument */
function checkHostRange(start: number, end: number): void {
  for (const [name, value] of Object.entries({ start, end })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new TypeError(`${name} must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
    }
  }
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, "0")}`;
}

/** Stands in for the exports of a closed engine. */
const CLOSED = new Proxy({} as EngineExports, {
  get(): never {
    throw new Error("the engine is closed");
  },
});

/**
 * Before any function of the handle's module runs: another version may have other functions.
 * @throws Error if there is no engine in `memory` at `base`, or one of another version
 */
function checkStamp(memory: WebAssembly.Memory, base: number): void {
  const words = new Uint32Array(memory.buffer, base, HEADER_BYTES / 4);
  const magic = words[HEADER.magic / 4]!;
  const layout = words[HEADER.layoutHash / 4]!;
  if (magic !== MAGIC)
    throw new Error(`no engine at ${base}: the magic number is ${hex(magic)}, not ${hex(MAGIC)}`);
  if (layout === LAYOUT_HASH) return;
  throw new Error(
    `the engine at ${base} is of another version of memslots: its layout is ${hex(layout)}, ` +
      `that of this version ${hex(LAYOUT_HASH)}; all threads must load the same version`,
  );
}

/** A guest memory map. One instance per thread; all instances of one memory are one engine. */
export class MemslotEngine {
  /** Post it to a worker and `attach` there. */
  readonly handle: EngineHandle;
  /** The linear memory that holds the engine. */
  readonly memory: WebAssembly.Memory;
  /** Byte of the memory where the engine begins: the `engine` of the wasm ABI. */
  readonly base: number;
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
  /**
   * Token under which this instance holds reader lines and the writer lock; what `reap` wants after its
   * death.
   */
  readonly owner: number;

  readonly #views: MemoryViews;
  #wasm: EngineExports;
  #writer: Writer;
  #reader = 0;
  #readerAsId = 0;
  #batch = 0;
  /** Words to encode into, by the number of regions; those of longer lists under EXACT_MAX + 1. */
  readonly #words: (Uint32Array | undefined)[] = [];
  readonly #flatViews: AddressSpaces;
  readonly #records = new Set<() => void>();
  readonly #hostNotifiers = new Set<HostNotifier>();

  private constructor(wasm: EngineExports, { module, memory, base, owner }: EngineHandle) {
    // Without owner and lock, which are this thread's and not those of whom it posts the handle to.
    this.handle = { module, memory, base };
    this.memory = memory;
    this.base = base;
    this.#wasm = wasm;
    this.#views = new MemoryViews(memory);
    this.owner = owner ?? wasm.attachOwner(base);
    const header = this.#views.words(base + HEADER_BYTES);
    const field = (offset: number) => header[(base + offset) / 4]!;
    this.addressSpaces = field(HEADER.addressSpaces);
    this.maxSlots = field(HEADER.maxSlots);
    this.maxVcpus = field(HEADER.maxVcpus);
    this.maxListEntries = field(HEADER.maxListEntries);
    this.pageShift = field(HEADER.pageShift);
    this.maxPhysAddrBits = field(HEADER.maxPhysAddrBits);
    const bytes = 2 ** this.maxPhysAddrBits;
    const everything = Array.from({ length: this.addressSpaces }, (_, asId) => ({ asId, gpa: 0, bytes }));
    this.#writer = new Writer({
      wasm,
      memory,
      base,
      owner: this.owner,
      views: this.#views,
      pageShift: this.pageShift,
      everything,
      publications: () => this.publications,
    });
    this.#flatViews = new AddressSpaces(this);
  }

  /**
   * Make an engine.
   * @throws TypeError or RangeError naming the option; KvmError ENOMEM if the memory cannot hold it
   */
  static async create(options: EngineOptions = {}): Promise<MemslotEngine> {
    const checked = checkOptions(options);
    // A shared memory of the caller's in a page that cannot post it has the build of its kind all the same.
    const module = await compileEngine(checked.shared ? "shared" : "unshared");
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
    const { module, memory, base, owner } = handle ?? {};
    if (!(module instanceof WebAssembly.Module))
      throw new TypeError("handle.module must be a WebAssembly.Module");
    if (!(memory instanceof WebAssembly.Memory))
      throw new TypeError("handle.memory must be a WebAssembly.Memory");
    toU32(base, "handle.base");
    if (owner !== undefined) toU32(owner, "handle.owner");
    const bytes = memory.buffer.byteLength;
    if (base % 4 !== 0 || base + HEADER_BYTES > bytes) {
      throw new RangeError(`handle.base must lie inside the memory of ${bytes} bytes, not at ${base}`);
    }
    checkStamp(memory, base);
    const wasm = instantiateEngine(module, memory);
    await takeLifeLock(handle);
    return new MemslotEngine(wasm, handle);
  }

  /** End this thread's use of the engine; its vCPUs are released one by one with `vcpu.release`. */
  close(): void {
    if (this.#reader !== 0) this.#wasm.releaseReader(this.#reader);
    this.#reader = 0;
    this.#wasm = CLOSED;
    this.#writer = new Writer({
      ...this,
      wasm: CLOSED,
      views: this.#views,
      everything: [],
      publications: () => 0,
    });
  }

  // ---- write: lists of updates ----

  /**
   * KVM_SET_USER_MEMORY_REGION: create, delete (size 0), move, or change flags of one slot.
   * @throws KvmError EINVAL, EEXIST, ENOMEM in KVM's order of checks; EFAULT for bytes that are too few;
   *   EBUSY and ETIMEDOUT as setUserMemoryRegionList
   * @throws TypeError naming the field
   */
  setUserMemoryRegion(region: RegionLike): void {
    const op = "setUserMemoryRegion";
    const words = this.#takeWords(1);
    putRegion(words, 0, region, () => "region", op);
    this.#commit({ op, words, count: 1, asList: false, version2: false, windows: [] }, DEFAULTS);
  }

  /**
   * KVM_SET_USER_MEMORY_REGION2: the same, and with KVM_MEM_GUEST_MEMFD create a slot that is bound to a file.
   * @throws as setUserMemoryRegion; EBADF for a descriptor of no file, EINVAL for bytes that it does not have or that
   *   another slot is bound to
   */
  setUserMemoryRegion2(region: Region2Like): void {
    const op = "setUserMemoryRegion2";
    if (typeof region !== "object" || region === null) {
      throw new TypeError(`region must be an object, not ${show(region)}`);
    }
    const words = this.#takeWords(2);
    putRegion2(words, region, "region", op);
    this.#commit({ op, words, count: 1, asList: false, version2: true, windows: [] }, DEFAULTS);
  }

  /**
   * KVM_CREATE_GUEST_MEMFD: a file of `size` bytes for private memory. It is a number with a size: what stands for its
   * bytes is the caller's.
   * @returns its descriptor, for `setUserMemoryRegion2`
   * @throws KvmError EINVAL for flags, or a size that is 0, no multiple of the page size, or above 2^53; ENOMEM; EBUSY
   *   and ETIMEDOUT as setUserMemoryRegionList; TypeError naming the argument
   */
  createGuestMemfd(size: number | bigint, flags: number | bigint = 0): number {
    const words = encodeMemfd(size, flags);
    return this.#stageAndCommit("createGuestMemfd", words, (wasm) => wasm.stageMemfd(this.base));
  }

  /**
   * Close a guest_memfd. Slots that are bound to it stay, but have no private memory any more.
   * @throws KvmError EBADF; as createGuestMemfd
   */
  closeGuestMemfd(descriptor: number): void {
    const fd = toU32(descriptor, "descriptor");
    this.#stageAndCommit("closeGuestMemfd", NO_WORDS, (wasm) => wasm.stageMemfdClose(this.base, fd));
  }

  /**
   * KVM_SET_MEMORY_ATTRIBUTES: have guest memory be private, or not, in all address spaces. It needs no slot, and
   * outlives slots. A change is a publication, so that vCPUs are told of it as of any other.
   * @throws KvmError EINVAL for flags, unknown attributes, no bytes, what is no whole page, or the end of 64 bits;
   *   as createGuestMemfd; TypeError naming the field
   */
  setMemoryAttributes(attributes: MemoryAttributes): void {
    const words = encodeAttributes(attributes);
    this.#stageAndCommit("setMemoryAttributes", words, (wasm) => wasm.stageAttributes(this.base));
  }

  /** Put `words` where `stage` reads them, and publish what that stages. @returns what it returns */
  #stageAndCommit(op: string, words: Uint32Array, stage: (wasm: EngineExports) => number): number {
    let result = 0;
    const request: CommitRequest = {
      op,
      words: NO_WORDS,
      count: 0,
      asList: false,
      version2: false,
      windows: [],
      stage: (wasm, staging) => {
        this.#views.words(staging + words.byteLength).set(words, staging / 4);
        result = stage(wasm);
        if (result < 0) throw new KvmError(result, op);
      },
    };
    this.#commit(request, DEFAULTS);
    return result;
  }

  /**
   * Apply a list of regions as one atomic change: no reader sees a state between two entries. Entries are
   * checked in order, the overlap in the final layout. An error leaves everything as it was and names the
   * entry (`index`). Sections that the calling thread itself has open are not waited for. On a thread that
   * must not sleep (a browser's page) it spins for some microseconds only: use setUserMemoryRegionListAsync
   * there.
   * @throws KvmError EINVAL, EEXIST, ENOMEM; E2BIG beyond maxListEntries; EBUSY while another thread keeps
   *   the writer lock, or readers keep every spare layout; ETIMEDOUT if a section does not end: with
   *   `published` true the new layout is in force and only the old one is not recycled yet
   * @throws TypeError naming entry and field, or option
   */
  setUserMemoryRegionList(regions: readonly RegionLike[], options?: CommitOptions): CommitResult {
    const checked = options === undefined ? DEFAULTS : checkCommitOptions(options);
    const request = this.#request(regions, checked.windows, "setUserMemoryRegionList");
    return this.#result(request, this.#commit(request, checked), checked);
  }

  /**
   * The same for threads that must not sleep: waits by giving other tasks their turn. @throws as the other
   */
  async setUserMemoryRegionListAsync(
    regions: readonly RegionLike[],
    options?: CommitOptions,
  ): Promise<CommitResult> {
    const checked = options === undefined ? DEFAULTS : checkCommitOptions(options);
    const request = this.#request(regions, checked.windows, "setUserMemoryRegionListAsync");
    return this.#result(request, await this.#commitAsync(request, checked), checked);
  }

  /**
   * Map what a flat view tells, by the shortest list that leads there from what is mapped: slots of the library's
   * own numbering for memory, windows for the rest. A root region is flattened now and again at every later
   * commit. Slots that are not the view's stay as they are.
   * @returns undefined inside a transaction, at whose end it takes effect
   * @throws as setUserMemoryRegionList; RangeError naming a region beyond the engine's addresses; TypeError
   */
  setFlatView(view: FlatViewSource, options: FlatViewOptions = {}): CommitResult | undefined {
    return this.#flatViews.setFlatView(view, options);
  }

  /**
   * Tell `listener` of every range of the flat views there is, and from then on of every commit that changes them,
   * in the order of QEMU's MemoryListener. The map is in force when it is told.
   * @returns takes the listener away again
   * @throws TypeError, RangeError naming the argument
   */
  addListener(listener: MemoryListener, options: ListenerOptions = {}): () => void {
    return this.#flatViews.addListener(listener, options);
  }

  /** Begin a transaction of flat views, or nest into the open one. */
  begin(): void {
    this.#flatViews.begin();
  }

  /**
   * End a transaction; the outermost one commits the flat views of all address spaces as one list.
   * @returns undefined inside another transaction
   * @throws as setFlatView, and then nothing has changed; KvmError EINVAL without a transaction
   */
  commit(options?: Omit<CommitOptions, "windows">): CommitResult | undefined {
    return this.#flatViews.commit(options);
  }

  /** The same without sleeping; no other transaction may begin until it is done. @throws as commit, EBUSY */
  commitAsync(options?: Omit<CommitOptions, "windows">): Promise<CommitResult | undefined> {
    return this.#flatViews.commitAsync(options);
  }

  #request(
    regions: readonly RegionLike[],
    windows: Required<CommitOptions>["windows"],
    op: string,
  ): CommitRequest {
    if (!Array.isArray(regions)) throw new TypeError(`regions must be an array, not ${show(regions)}`);
    const count = regions.length;
    if (count > this.maxListEntries) {
      const reason = `${count} entries, maxListEntries is ${this.maxListEntries}`;
      throw new KvmError(-ERRNO.E2BIG, op, { reason });
    }
    const limit = 2 ** this.maxPhysAddrBits;
    const encoded = windows.length === 0 ? [] : encodeWindows(windows, this.addressSpaces, limit, op);
    const words = this.#takeWords(count);
    putRegions(words, regions, op);
    return { op, words, count, asList: true, version2: false, windows: encoded };
  }

  #commit(request: CommitRequest, options: Required<CommitOptions>): Outcome {
    try {
      const outcome = this.#writer.commit(request, options);
      if (outcome.published) this.#record();
      this.#words[Math.min(request.words.length / REGION_WORDS, EXACT_MAX + 1)] = request.words;
      return outcome;
    } catch (error) {
      if (error instanceof KvmError && error.published === true) this.#record();
      throw error;
    }
  }

  async #commitAsync(request: CommitRequest, options: Required<CommitOptions>): Promise<Outcome> {
    try {
      const outcome = await this.#writer.commitAsync(request, options);
      if (outcome.published) this.#record();
      return outcome;
    } catch (error) {
      if (error instanceof KvmError && error.published === true) this.#record();
      throw error;
    }
  }

  #result({ words, count }: CommitRequest, outcome: Outcome, options: Required<CommitOptions>): CommitResult {
    const asId = count === 0 ? 0 : words[0]! >>> 16;
    const { published, changed, dirty } = outcome;
    const generation = this.generation(asId < this.addressSpaces ? asId : 0);
    if (options.changed)
      return options.takeDirty
        ? { generation, published, changed, dirty }
        : { generation, published, changed };
    return options.takeDirty ? { generation, published, dirty } : { generation, published };
  }

  /**
   * Write what is mapped now, and then every commit of this instance, as JSON lines that `memslots replay` reads.
   * What other threads commit is part of this instance's next commit.
   * @param sink gets each line, its end included
   * @returns ends the record; throws what it has ended with if the sink threw, or a host address is in no block
   * @throws TypeError, RangeError naming the option
   */
  record(sink: (line: string) => void, options: RecordOptions = {}): () => void {
    const recorder = new Recorder(this, sink, options);
    let failure: { error: unknown } | undefined;
    const take = () => {
      // The commit is in force, whatever becomes of its record.
      try {
        recorder.take();
      } catch (error) {
        failure = { error };
        this.#records.delete(take);
      }
    };
    this.#records.add(take);
    return () => {
      this.#records.delete(take);
      if (failure !== undefined) throw failure.error;
    };
  }

  #record(): void {
    for (const take of this.#records) take();
  }

  /** Words to encode into. Taken away while in use: a getter of a region could call the engine again. */
  #takeWords(regions: number): Uint32Array {
    const place = Math.min(regions, EXACT_MAX + 1);
    const known = this.#words[place];
    this.#words[place] = undefined;
    const need = regions * REGION_WORDS;
    return known !== undefined && known.length >= need ? known : new Uint32Array(need);
  }

  // ---- grace periods, the gate, observers, death ----

  /**
   * Wait until no section is left that uses a replaced layout, and recycle those layouts. Mirrors
   * synchronize_srcu.
   * @throws KvmError ETIMEDOUT, EBUSY
   */
  synchronize(options: WaitOptions = {}): void {
    this.#writer.synchronize("synchronize", checkTimeout(options.timeout));
  }

  /** The same without sleeping, for the layouts replaced so far. @throws KvmError ETIMEDOUT */
  synchronizeAsync(options: WaitOptions = {}): Promise<void> {
    return this.#writer.synchronizeAsync("synchronizeAsync", checkTimeout(options.timeout));
  }

  /**
   * Hold all vCPUs of other threads between two sections, until resumeVcpus. Mirrors QEMU's pause_all_vcpus.
   * Commits and one-shot translations go on meanwhile.
   * @throws KvmError EBUSY if they are held already, ETIMEDOUT if one does not leave its section: then all
   *   run on
   */
  pauseVcpus(options: WaitOptions = {}): void {
    this.#writer.pause("pauseVcpus", checkTimeout(options.timeout));
  }

  /** The same without sleeping. @throws as pauseVcpus */
  pauseVcpusAsync(options: WaitOptions = {}): Promise<void> {
    return this.#writer.pauseAsync("pauseVcpusAsync", checkTimeout(options.timeout));
  }

  /** Let the vCPUs go. @throws KvmError EINVAL if this engine does not hold them, EBUSY */
  resumeVcpus(): void {
    this.#writer.resume("resumeVcpus", TIMEOUT_MS);
  }

  /** The same without sleeping. @throws KvmError EINVAL */
  resumeVcpusAsync(): Promise<void> {
    return this.#writer.resumeAsync("resumeVcpusAsync");
  }

  /** Ask all vCPUs to leave their sections: their `kicked` is true until they enter again. */
  kick(): void {
    this.#wasm.kickVcpus(this.base);
  }

  /**
   * Sleep until the generation of an address space is at least `generation`.
   * @throws KvmError ETIMEDOUT; at once on a thread that must not sleep
   */
  waitGeneration(generation: number, options: WaitOptions & { asId?: number } = {}): void {
    const reached = () => this.generation(options.asId) >= generation;
    this.#writer.observe("waitGeneration", checkTimeout(options.timeout), reached);
  }

  /** The same without sleeping. @throws KvmError ETIMEDOUT */
  waitGenerationAsync(generation: number, options: WaitOptions & { asId?: number } = {}): Promise<void> {
    const reached = () => this.generation(options.asId) >= generation;
    return this.#writer.observeAsync("waitGenerationAsync", checkTimeout(options.timeout), reached);
  }

  /**
   * A thread that used this engine is dead: free its vCPUs, open the gate if it held it, and have the next
   * writer repair what it may have left half-done. The caller has proof of death: a worker's 'exit' event, a
   * released lock.
   * @param dead owner token of its engine (`engine.owner` there, or `handle.owner`), or one of its vCPUs
   * @returns number of vCPUs and one-shot readers that were freed
   */
  reap(dead: number | { readonly owner: number }): number {
    const owner = typeof dead === "object" && dead !== null ? dead.owner : dead;
    return this.#wasm.reapOwner(this.base, this.owner, toU32(owner, "owner"));
  }

  /**
   * A handle for one worker, under a token of its own, that is reaped by itself when the worker is gone.
   * Node, Bun, Deno: at its 'exit' event. In a page: when the Web Lock is released that `attach` takes in the
   * worker.
   */
  superviseWorker(worker: SupervisedWorker): EngineHandle {
    requireSharing("superviseWorker");
    const { base } = this;
    const wasm = this.#wasm;
    const owner = wasm.attachOwner(base);
    // Not through this.reap: threads that outlive `close` must not wait for the dead.
    return supervise(worker, { ...this.handle, owner }, () => wasm.reapOwner(base, this.owner, owner));
  }

  // ---- read: one-shot translations and snapshots ----

  /**
   * Claim a vCPU; with dirty rings, under the writer lock, one with a ring.
   * @throws KvmError EAGAIN if all maxVcpus are in use, with dirty rings ENOMEM, and EBUSY while another thread
   *   keeps the lock; RangeError for an unknown address space
   */
  vcpu(options: VcpuOptions = {}): Vcpu {
    if (typeof options !== "object" || options === null) {
      throw new TypeError(`options must be an object, not ${show(options)}`);
    }
    const asId = options.asId ?? 0;
    this.#checkAsId(asId);
    const { memory, base, owner, maxVcpus } = this;
    const locked = (work: () => number) => this.#writer.locked("vcpu", TIMEOUT_MS, work);
    const target = { wasm: this.#wasm, views: this.#views, memory, base, owner, maxVcpus, locked };
    return createVcpu(target, asId);
  }

  /** Host address for a write to `gpa`, HVA_BAD, or HVA_RO_BAD in a READONLY slot. Mirrors gfn_to_hva. */
  gpaToHva(gpa: number, asId = 0): number {
    return this.#wasm.gpaToHva(this.#readerOf(asId), gpa);
  }

  /** Host address for a read of `gpa`, or HVA_BAD. Mirrors gfn_to_hva_prot. */
  gpaToHvaRead(gpa: number, asId = 0): number {
    return this.#wasm.gpaToHvaRead(this.#readerOf(asId), gpa);
  }

  /**
   * Where the byte `gpa` is, for a write or a read: host memory, or a device and the byte of its registers;
   * undefined if the layout has nothing there, or host memory that refuses the write. Mirrors QEMU's
   * address_space_translate.
   */
  resolve(gpa: number, write = true, asId = 0): Resolved {
    const wasm = this.#wasm;
    const reader = this.#readerOf(asId);
    const hva = wasm.resolve(reader, gpa, write ? 1 : 0);
    if (hva >= 0) return { hva };
    if (hva !== HVA_MMIO) return undefined;
    return { device: wasm.deviceOf(reader) >>> 0, offset: wasm.deviceOffsetOf(reader) };
  }

  /** KVM_MEMORY_ATTRIBUTE_* bits of guest byte `gpa`. Mirrors kvm_get_memory_attributes. */
  memoryAttributes(gpa: number): number {
    return this.#wasm.attributesAt(this.#readerOf(0), gpa);
  }

  /**
   * Where the private memory of guest byte `gpa` is; undefined if its slot has no guest_memfd, or a closed one. What
   * decides whether it is meant are the attributes. Mirrors kvm_gmem_get_pfn.
   */
  resolvePrivate(gpa: number, asId = 0): PrivateByte | undefined {
    const reader = this.#readerOf(asId);
    const offset = this.#wasm.resolvePrivate(reader, gpa);
    return offset === HVA_BAD ? undefined : { guestMemfd: this.#wasm.deviceOf(reader) >>> 0, offset };
  }

  /** The page of `gpa` was written: set its dirty bit if its slot keeps a log. Mirrors mark_page_dirty. */
  markDirty(gpa: number, asId = 0): void {
    this.#wasm.markDirty(this.#readerOf(asId), gpa);
  }

  /**
   * The slot with number `slot` (address space << 16 | id), or undefined. @throws KvmError EINVAL for a bad number
   */
  slot(slot: number): MappedRegion | undefined {
    const reader = this.#readerOf(0);
    const number = toU32(slot, "slot");
    this.#wasm.enterSection(reader);
    const found = this.#wasm.slotByNumber(reader, number);
    const regions = found > 0 ? this.#batchOf(1, getRegion) : [];
    this.#wasm.exitSection(reader);
    if (found < 0) throw new KvmError(found, "slot");
    return regions[0];
  }

  /** All slots of an address space, ascending by guest address, from one layout. */
  slots(asId = 0): MappedRegion[] {
    const reader = this.#readerOf(asId);
    return this.#collect(reader, () => this.#wasm.nextSlots(reader), getRegion);
  }

  /** All MMIO windows of an address space, ascending by guest address, from one layout. */
  windows(asId = 0): MmioWindow[] {
    const reader = this.#readerOf(asId);
    this.#wasm.enterSection(reader);
    const windows = readWindows(this.#views, this.#wasm.windowTable(reader));
    this.#wasm.exitSection(reader);
    return windows;
  }

  /**
   * Guest memory backed by host bytes [start, end), in whole pages: by address space, then host address, then
   * slot id. Host ranges may be mapped any number of times. Mirrors kvm_for_each_memslot_in_hva_range.
   */
  hvaToGpas(start: number, end: number): GuestRange[] {
    checkHostRange(start, end);
    const ranges: GuestRange[] = [];
    // One section around all address spaces, so that the answer comes from one layout.
    const line = this.#readerOf(0);
    this.#wasm.enterSection(line);
    for (let asId = 0; asId < this.addressSpaces && start < end; asId++) {
      const reader = this.#readerOf(asId);
      const next = () => this.#wasm.nextHostSlots(reader, start, end);
      for (const region of this.#collect(reader, next, getRegion)) {
        ranges.push({ slot: region.slot, gpa: region.guestPhysAddr, bytes: region.memorySize });
      }
    }
    this.#wasm.exitSection(line);
    return ranges;
  }

  /**
   * Be told of guest memory whose host memory is given back, replaced or moved, when this instance invalidates its
   * host range: for those who keep something that they derived from it. Mirrors struct mmu_notifier_ops.
   * @returns takes the notifier away again
   * @throws TypeError
   */
  addHostNotifier(notify: HostNotifier): () => void {
    if (typeof notify !== "function") throw new TypeError(`notify must be a function, not ${show(notify)}`);
    const own: HostNotifier = (range) => notify(range);
    this.#hostNotifiers.add(own);
    return () => {
      this.#hostNotifiers.delete(own);
    };
  }

  /**
   * Tell all notifiers of the guest memory that host bytes [start, end) back, once for each alias, in the order and
   * in the whole pages of `hvaToGpas`. It is one section: a commit of another thread does not return before the
   * last notifier has. Mirrors kvm_mmu_notifier_invalidate_range_start.
   * @returns number of ranges
   * @throws TypeError naming the argument; what a notifier throws, and then the others are not told
   */
  invalidateHostRange(start: number, end: number): number {
    checkHostRange(start, end);
    const wasm = this.#wasm;
    const line = this.#readerOf(0);
    wasm.enterSection(line);
    try {
      const ranges = this.hvaToGpas(start, end);
      for (const range of ranges) {
        for (const notify of this.#hostNotifiers) notify(range);
      }
      return ranges.length;
    } finally {
      wasm.exitSection(line);
    }
  }

  /**
   * Host bytes [start, end) were written by no guest address: every page of a logged slot that they back is dirty,
   * in all address spaces, as `markDirty` makes it. Call it when the bytes are there.
   * @returns number of guest pages
   * @throws TypeError naming the argument
   */
  markHostRangeDirty(start: number, end: number): number {
    checkHostRange(start, end);
    return start < end ? this.#wasm.markHostRange(this.#readerOf(0), start, end) : 0;
  }

  /**
   * The vCPUs and one-shot readers of all threads, as they are at the moment: to be looked at, not to be decided
   * by.
   */
  readers(): ReaderState[] {
    const reader = this.#readerOf(0);
    return this.#collect(reader, () => this.#wasm.nextReaders(reader), getReader);
  }

  /**
   * Access to the bytes of guest memory: through a vCPU, from the layout of its section, or without one, each
   * access being a section by itself.
   * @param host the memory whose byte 0 is host address 0, or several with the host address of their first byte
   * @throws TypeError naming the field; RangeError for host ranges that overlap, or an unknown address space
   */
  guestMemory(host: HostMemory | readonly HostRange[], options: GuestMemoryOptions = {}): GuestMemory {
    if (typeof options !== "object" || options === null) {
      throw new TypeError(`options must be an object, not ${show(options)}`);
    }
    const { vcpu, asId = 0, onHole } = options;
    if (onHole !== undefined && typeof onHole !== "function") {
      throw new TypeError(`onHole must be a function, not ${show(onHole)}`);
    }
    this.#checkAsId(asId);
    if (vcpu !== undefined && options.asId !== undefined) throw new TypeError("asId is the vCPU's own");
    const section = vcpu === undefined ? new Section(asId, () => false) : sectionOf(vcpu, this.#wasm);
    if (section === undefined) throw new TypeError(`vcpu must be a vCPU of this engine, not ${show(vcpu)}`);
    const { pageShift } = this;
    return new GuestMemory({
      wasm: this.#wasm,
      views: this.#views,
      host: new HostMemories(host),
      pageShift,
      section,
      onHole,
      reader: vcpu === undefined ? () => this.#readerOf(asId) : () => vcpu.reader,
      markDirty: vcpu === undefined ? (gpa) => this.markDirty(gpa, asId) : vcpu.markDirty,
    });
  }

  /** Generation of an address space: starts at its number, advances by the number of address spaces. */
  generation(asId = 0): number {
    this.#checkAsId(asId);
    return this.#wasm.generation(this.#readerOf(0), asId);
  }

  /** Publications so far, of all address spaces together. */
  get publications(): number {
    return this.#wasm.commitNumber(this.#readerOf(0));
  }

  #checkAsId(asId: number): void {
    if (!Number.isInteger(asId) || asId < 0 || asId >= this.addressSpaces) {
      throw new RangeError(`asId must be from 0 to ${this.addressSpaces - 1}, not ${show(asId)}`);
    }
  }

  /** This thread's reader line, set to an address space. */
  #readerOf(asId: number): number {
    if (this.#reader === 0) {
      this.#reader = this.#wasm.claimThread(this.base, this.owner) >>> 0;
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

  /** What a walk left in the scratch area, pieces of REGION_WORDS each. */
  #batchOf<Piece>(count: number, get: (words: Uint32Array, at: number) => Piece): Piece[] {
    const words = this.#views.words(this.#batch + count * REGION_WORDS * 4);
    return Array.from({ length: count }, (_, i) => get(words, this.#batch / 4 + i * REGION_WORDS));
  }

  /** All pieces of a walk, from one layout. */
  #collect<Piece>(
    reader: number,
    next: () => number,
    get: (words: Uint32Array, at: number) => Piece,
  ): Piece[] {
    const pieces: Piece[] = [];
    this.#wasm.enterSection(reader);
    this.#wasm.rewind(reader);
    for (let count = next(); count > 0; count = next()) pieces.push(...this.#batchOf(count, get));
    this.#wasm.exitSection(reader);
    return pieces;
  }

  // ---- dirty log ----

  /**
   * KVM_GET_DIRTY_LOG: ALIGN(npages, 64) / 8 bytes, bit i of byte b is page 8 b + i. The bits are taken,
   * unless manual protection is on. @throws KvmError ENXIO with a dirty ring, EINVAL for a bad number, ENOENT
   * without a log
   */
  getDirtyLog(slot: number): Uint8Array {
    const wasm = this.#wasm;
    toU32(slot, "slot");
    return this.#writer.locked("getDirtyLog", TIMEOUT_MS, () => {
      const log = wasm.getDirtyLog(this.base, slot);
      if (log < 0) throw new KvmError(log, "getDirtyLog");
      const bytes = wasm.dirtyLogBytes(this.base, slot);
      return this.#views.bytes(log + bytes).slice(log, log + bytes);
    });
  }

  /**
   * KVM_CLEAR_DIRTY_LOG: clear the pages whose bit is set in `bitmap`, bit 0 being page `firstPage`.
   * `firstPage` is a multiple of 64, `numPages` too unless it reaches the end of the slot.
   * @throws KvmError ENXIO, EINVAL, ENOENT as KVM; EFAULT if `bitmap` is shorter than ALIGN(numPages, 64) / 8
   *   bytes
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
    this.#writer.locked(op, TIMEOUT_MS, () => {
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
    });
  }

  /**
   * Take the first dirty pages of a slot, as many as `pages` holds: their numbers in the slot, ascending, for who
   * wants pages and no bitmap. They are clean from now on, whether or not manual protection is on; the others
   * stay.
   * @returns how many were written into `pages`
   * @throws as getDirtyLog
   */
  takeDirtyPages(slot: number, pages: Uint32Array): number {
    const op = "takeDirtyPages";
    toU32(slot, "slot");
    if (!(pages instanceof Uint32Array))
      throw new TypeError(`pages must be a Uint32Array, not ${show(pages)}`);
    return this.#writer.locked(op, TIMEOUT_MS, (wasm, base) => {
      const staging = this.#views.words(base + HEADER_BYTES)[(base + HEADER.staging) / 4]! / 4;
      let taken = 0;
      for (;;) {
        const from = taken === 0 ? 0 : pages[taken - 1]! + 1;
        const count = wasm.takeDirtyPages(base, slot, from, pages.length - taken);
        if (count < 0) throw new KvmError(count, op);
        if (count === 0) return taken;
        const words = this.#views.words((staging + count) * 4);
        pages.set(words.subarray(staging, staging + count), taken);
        taken += count;
      }
    });
  }

  /**
   * A dirty consumer by name, which is made if there is none yet: a view of the dirty pages of its own.
   * @throws KvmError E2BIG if 8 exist, ENOMEM, ENXIO with a dirty ring; TypeError
   */
  dirtyConsumer(name: string, options: ConsumerOptions = {}): DirtyConsumer {
    const target = {
      wasm: this.#wasm,
      writer: this.#writer,
      views: this.#views,
      base: this.base,
      timeout: TIMEOUT_MS,
    };
    return new DirtyConsumer(target, name, options);
  }

  /**
   * The dirty ring of vCPU number `vcpu`, whether the vCPU is there yet, in another thread, or gone.
   * @throws KvmError EINVAL without KVM_CAP_DIRTY_LOG_RING; RangeError if it is not from 0 to maxVcpus - 1
   */
  dirtyRing(vcpu: number): DirtyRing {
    const op = "dirtyRing";
    if (!Number.isInteger(vcpu) || vcpu < 0 || vcpu >= this.maxVcpus) {
      throw new RangeError(`vcpu must be from 0 to ${this.maxVcpus - 1}, not ${show(vcpu)}`);
    }
    const { memory, base, pageShift } = this;
    const wasm = this.#wasm;
    const bytes = wasm.dirtyRingBytes(base);
    if (bytes === 0) throw new KvmError(-ERRNO.EINVAL, op, { reason: "the engine has no dirty rings" });
    const find = () => this.#writer.locked(op, TIMEOUT_MS, () => wasm.dirtyRingOf(base, vcpu) >>> 0);
    return new DirtyRing(
      { wasm, views: this.#views, memory, base, pageShift, find },
      vcpu,
      bytes / DIRTY_GFN_BYTES,
    );
  }

  /**
   * KVM_RESET_DIRTY_RINGS: the harvested entries of all rings are free, up to the first of each ring that was not
   * harvested.
   * @returns number of entries
   * @throws KvmError EINVAL without KVM_CAP_DIRTY_LOG_RING, EBUSY
   */
  resetDirtyRings(): number {
    const op = "resetDirtyRings";
    const count = this.#writer.locked(op, TIMEOUT_MS, (wasm, base) => wasm.resetDirtyRings(base));
    if (count < 0) throw new KvmError(count, op, { reason: "the engine has no dirty rings" });
    return count;
  }

  // ---- capabilities ----

  /** What the engine can do in this runtime, and what it lacks. */
  get capabilities(): EngineCapabilities {
    return capabilitiesOf(isShared(this.memory) ? "shared" : "unshared");
  }

  /** KVM_CHECK_EXTENSION: the value of a capability, 0 if it is unknown. */
  checkExtension(cap: number): number {
    switch (toU32(cap, "cap")) {
      case KVM_CAP_NR_MEMSLOTS:
        return this.maxSlots;
      case KVM_CAP_MULTI_ADDRESS_SPACE:
        return this.addressSpaces;
      case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
      case KVM_CAP_DIRTY_LOG_RING:
      case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
        return RING_BYTES_MAX;
      case KVM_CAP_USER_MEMORY_REGION_LIST:
        return this.maxListEntries;
      case KVM_CAP_MEMORY_ATTRIBUTES:
        return KVM_MEMORY_ATTRIBUTE_PRIVATE;
      case KVM_CAP_USER_MEMORY:
      case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
      case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
      case KVM_CAP_USER_MEMORY2:
      case KVM_CAP_GUEST_MEMFD:
      case KVM_CAP_READONLY_MEM:
      case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
        return 1;
      default:
        return 0;
    }
  }

  /**
   * KVM_ENABLE_CAP: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (bits), KVM_CAP_DIRTY_LOG_RING or its twin
   * KVM_CAP_DIRTY_LOG_RING_ACQ_REL (bytes per vCPU; before the first vCPU), KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
   * (after one of these, before the first slot).
   * @throws KvmError EINVAL for an unknown capability, flags, a bad argument or a bad moment; E2BIG for too large
   *   a ring
   */
  enableCap(cap: number | EnableCap, ...args: (number | bigint)[]): void {
    const op = "enableCap";
    const request = typeof cap === "object" && cap !== null ? cap : { cap, args };
    toU32(request.cap, "cap");
    const words = new Uint32Array(2);
    putU64(words, 0, request.args?.[0] ?? 0, "args[0]");
    const [low, high] = [words[0]!, words[1]!];
    let result: number = -ERRNO.EINVAL;
    if (toU32(request.flags ?? 0, "flags") === 0) {
      result = this.#writer.locked(op, TIMEOUT_MS, (wasm, base) => {
        switch (request.cap) {
          case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
            return wasm.setManualDirtyLog(base, high === 0 ? low : 0xffff_ffff);
          case KVM_CAP_DIRTY_LOG_RING:
          case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
            // KVM takes the size as a u32 out of the u64 argument, upper half unseen.
            return wasm.enableDirtyRing(base, low);
          case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
            return wasm.enableRingBitmap(base);
          default:
            return -ERRNO.EINVAL;
        }
      });
    }
    if (result < 0) throw new KvmError(result, op);
  }
}
