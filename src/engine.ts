/**
 * MemslotEngine: KVM's ioctls and kernel functions for memory slots. Each method checks its arguments, works on this
 * thread's `Thread`, and returns a plain result. Features that KVM lacks are functions that take the engine.
 */
import { reapThread } from "./core/attached.js";
import { compileEngine } from "./core/compile.js";
import type { EngineExports } from "./core/exports.js";
import { instantiateEngine } from "./core/instantiate.js";
import { checkOptions, type EngineOptions, isShared } from "./core/options.js";
import { placeEngine } from "./core/placement.js";
import { checkHeader, checkStamp } from "./core/stamp.js";
import { checkHandle, type Thread, threadOf } from "./core/thread.js";
import { type ClearArguments, clearLog, clearLogAsync, getLog, getLogAsync } from "./dirty/log.js";
import { resetRings, resetRingsAsync } from "./dirty/ring.js";
import { toGpa, toInteger } from "./kvm/arguments.js";
import type { Region2Like, RegionLike, RegionListLike } from "./kvm/region.js";
import type { MemoryAttributes } from "./kvm/uapi.js";
import { EngineLookups } from "./read/lookups.js";
import { createVcpu, createVcpuAsync, type Vcpu, type VcpuOptions } from "./read/vcpu.js";
import { capabilitiesOf, type EngineCapabilities } from "./runtime/capabilities.js";
import { takeLifeLock } from "./runtime/death.js";
import type { EngineHandle } from "./runtime/handle.js";
import {
  type CommitOptions,
  type CommitResult,
  checkWaitOptions,
  TIMEOUT_MS,
  type WaitOptions,
} from "./write/commitoptions.js";
import {
  checkExtension,
  type EnableCap,
  type EnableCapArguments,
  enableCap,
  enableCapAsync,
} from "./write/extensions.js";
import {
  checkPauseOptions,
  type PauseOptions,
  pause,
  pauseAsync,
  resume,
  resumeAsync,
} from "./write/gate.js";
import { awaitGeneration, awaitGenerationAsync, type GenerationOptions } from "./write/generation.js";
import { synchronize, synchronizeAsync } from "./write/grace.js";
import { setList, setListAsync, setRegion, setRegion2, setRegion2Async } from "./write/list.js";
import { locked, lockedAsync } from "./write/lock.js";
import {
  closeMemfd,
  closeMemfdAsync,
  createMemfd,
  createMemfdAsync,
  setAttributes,
  setAttributesAsync,
} from "./write/privatememory.js";

/** A guest memory map. Each thread has its own instance; all instances over one memory are one engine. */
export class MemslotEngine extends EngineLookups {
  readonly #thread: Thread;

  private constructor(wasm: EngineExports, handle: EngineHandle) {
    super(wasm, handle);
    this.#thread = threadOf(this);
  }

  // ---- creating, opening, closing ----

  /**
   * Create an engine without slots.
   * @throws TypeError or RangeError naming the option; KvmError ENOMEM if the memory cannot hold it; Error if the core
   *   cannot be compiled, or in `memslots/url` not be fetched, with the address
   *
   * @example
   * const engine = await MemslotEngine.create({ maxSlots: 1024 });
   * const host = { memorySize: 0x100_0000, userspaceAddr: 0x7000_0000 };
   * engine.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 0, ...host });
   */
  static async create(options: EngineOptions = {}): Promise<MemslotEngine> {
    const checked = checkOptions(options);
    // The build follows the memory: a page that cannot post a shared memory may still have one.
    const module = await compileEngine(checked.shared ? "shared" : "unshared", checked.wasm);
    const { exports, memory, base } = placeEngine(module, checked);
    return new MemslotEngine(exports, { module, memory, base });
  }

  /**
   * Open the engine of a handle, in this or another thread.
   * @throws TypeError naming the field of the handle; Error if the memory holds no engine of this version
   *
   * @example
   * // in a worker that was sent superviseWorker(engine, worker)
   * self.onmessage = async ({ data: handle }) => {
   *   const engine = await MemslotEngine.attach(handle);
   *   const vcpu = engine.vcpu();
   * };
   */
  static async attach(handle: EngineHandle): Promise<MemslotEngine> {
    const checked = checkHandle(handle);
    const { module, memory, base } = checked;
    checkStamp(memory, base);
    const wasm = instantiateEngine(module, memory);
    checkHeader(module, memory, base);
    await takeLifeLock(checked);
    return new MemslotEngine(wasm, checked);
  }

  /**
   * End this thread's use of the engine: its vCPUs are released, a gate that it holds is opened, and every later call
   * throws an Error. A commit without sleeping that is published goes on to its end; another rejects.
   */
  close(): void {
    this.#thread.close();
  }

  // ---- changing the map ----

  /**
   * KVM_SET_USER_MEMORY_REGION: create, delete (size 0), move, or change flags of one slot.
   * @throws KvmError EINVAL, EEXIST, ENOMEM in KVM's order of checks; EFAULT for a struct with too few bytes; EBUSY and
   *   ETIMEDOUT as setUserMemoryRegionList
   * @throws TypeError naming the field
   */
  setUserMemoryRegion(region: RegionLike): void {
    setRegion(this.#thread, region);
  }

  /**
   * KVM_SET_USER_MEMORY_REGION2: the same; with KVM_MEM_GUEST_MEMFD it creates a slot bound to a guest_memfd.
   * @throws as setUserMemoryRegion; EBADF for an unknown descriptor; EINVAL for bytes beyond the file, or bytes that
   *   another slot is bound to
   */
  setUserMemoryRegion2(region: Region2Like): void {
    setRegion2(this.#thread, region);
  }
  /** The same without sleeping. */
  setUserMemoryRegion2Async(region: Region2Like): Promise<void> {
    return setRegion2Async(this.#thread, region);
  }

  /**
   * Apply a list of regions as one atomic change: no reader sees a state between two entries. Entries are checked in
   * order, overlap in the final layout. A refused entry leaves everything unchanged; `error.index` names it. The call
   * waits for sections that other threads began before the publication. In a thread that must not sleep (a browser's
   * page) it waits for some microseconds only: use setUserMemoryRegionListAsync there.
   * @throws KvmError EINVAL, EEXIST, ENOMEM; E2BIG beyond maxListEntries; EBUSY while another thread keeps the writer
   *   lock, or readers keep every spare layout; ETIMEDOUT if a section does not end: `published` is then true, the new
   *   layout is in force, and only the old one is not recycled yet
   *   The bytes of struct kvm_userspace_memory_region_list: EFAULT if they are too few, EINVAL for flags
   * @throws TypeError naming entry and field, or option
   *
   * @example
   * const ram = engine.slot(1);
   * engine.setUserMemoryRegionList(splitSlot(ram, 0xf0000, 2)); // slot 1 below 0xf0000, slot 2 from there on
   */
  setUserMemoryRegionList(regions: RegionListLike, options?: CommitOptions): CommitResult {
    return setList(this.#thread, regions, options);
  }

  /** The same for threads that must not sleep: other tasks run while it waits. */
  setUserMemoryRegionListAsync(regions: RegionListLike, options?: CommitOptions): Promise<CommitResult> {
    return setListAsync(this.#thread, regions, options);
  }

  /**
   * KVM_CREATE_GUEST_MEMFD: create a file of `size` bytes for private memory. The engine keeps its number and its size;
   * the caller supplies its bytes.
   * @param flags GUEST_MEMFD_FLAG_* bits, which change nothing here
   * @returns the descriptor, for `setUserMemoryRegion2`
   * @throws KvmError EINVAL for other flags, or a size that is 0, no multiple of the page size, or above 2^53; ENOMEM;
   *   EBUSY and ETIMEDOUT as setUserMemoryRegionList; TypeError naming the argument
   */
  createGuestMemfd(size: number | bigint, flags: number | bigint = 0): number {
    return createMemfd(this.#thread, size, flags);
  }
  /** The same without sleeping. */
  createGuestMemfdAsync(size: number | bigint, flags: number | bigint = 0): Promise<number> {
    return createMemfdAsync(this.#thread, size, flags);
  }

  /** Close a guest_memfd. Slots bound to it stay, without private memory. @throws KvmError EBADF, EBUSY */
  closeGuestMemfd(descriptor: number): void {
    closeMemfd(this.#thread, descriptor);
  }
  /** The same without sleeping. */
  closeGuestMemfdAsync(descriptor: number): Promise<void> {
    return closeMemfdAsync(this.#thread, descriptor);
  }

  /**
   * KVM_SET_MEMORY_ATTRIBUTES: make guest memory private, or not, in all address spaces. Attributes need no slot and
   * outlive slots. A change is a publication, so vCPUs notice it as any other.
   * @throws KvmError EINVAL for flags, unknown attributes, no bytes, part of a page, or the end of 64 bits; as
   *   createGuestMemfd; TypeError naming the field
   */
  setMemoryAttributes(attributes: MemoryAttributes): void {
    setAttributes(this.#thread, attributes);
  }
  /** The same without sleeping. */
  setMemoryAttributesAsync(attributes: MemoryAttributes): Promise<void> {
    return setAttributesAsync(this.#thread, attributes);
  }

  /** KVM_CHECK_EXTENSION. @returns the value of a capability, 0 if it is unknown */
  checkExtension(cap: number): number {
    return checkExtension(this.#thread, cap);
  }

  /**
   * KVM_ENABLE_CAP: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (bits), KVM_CAP_DIRTY_LOG_RING or its twin
   * KVM_CAP_DIRTY_LOG_RING_ACQ_REL (bytes per vCPU; before the first vCPU), KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP (after
   * one of these, before the first slot).
   * @throws KvmError EINVAL for an unknown capability, flags, a bad argument or a bad moment; E2BIG for too large a
   *   ring
   */
  enableCap(cap: number | EnableCap, ...args: (number | bigint)[]): void {
    enableCap(this.#thread, cap, ...args);
  }
  /** The same without sleeping. */
  enableCapAsync(...args: EnableCapArguments): Promise<void> {
    return enableCapAsync(this.#thread, ...args);
  }

  // ---- dirty pages ----

  /**
   * KVM_GET_DIRTY_LOG. Takes the bits, unless manual protection is on.
   * @returns ALIGN(npages, 64) / 8 bytes; bit i of byte b is page 8 b + i of the slot
   * @throws KvmError ENXIO with a dirty ring, EINVAL for a bad number, ENOENT without a log
   */
  getDirtyLog(slot: number): Uint8Array {
    return getLog(this.#thread, slot);
  }
  /** The same without sleeping. */
  getDirtyLogAsync(slot: number): Promise<Uint8Array> {
    return getLogAsync(this.#thread, slot);
  }

  /**
   * KVM_CLEAR_DIRTY_LOG: clear the pages whose bit is set in `bitmap`, bit 0 being page `firstPage`. `firstPage` is a
   * multiple of 64, `numPages` too unless it reaches the end of the slot.
   * @throws KvmError ENXIO, EINVAL, ENOENT as KVM; EFAULT if `bitmap` is shorter than ALIGN(numPages, 64) / 8 bytes
   */
  clearDirtyLog(slot: number, firstPage: number | bigint, numPages: number, bitmap: Uint8Array): void {
    clearLog(this.#thread, slot, firstPage, numPages, bitmap);
  }
  /** The same without sleeping. */
  clearDirtyLogAsync(...args: ClearArguments): Promise<void> {
    return clearLogAsync(this.#thread, ...args);
  }

  /**
   * KVM_RESET_DIRTY_RINGS: free the entries of each ring up to the first that is not harvested.
   * @returns number of entries
   * @throws KvmError EINVAL without KVM_CAP_DIRTY_LOG_RING, EBUSY
   */
  resetDirtyRings(): number {
    return resetRings(this.#thread);
  }
  /** The same without sleeping. */
  resetDirtyRingsAsync(): Promise<number> {
    return resetRingsAsync(this.#thread);
  }

  /** Report a write to the page of `gpa`: set its dirty bit if its slot keeps a log. Mirrors mark_page_dirty. */
  markDirty(gpa: number, asId = 0): void {
    this.#thread.wasm.markDirty(this.#thread.reader(asId), toGpa(gpa));
  }

  // ---- vCPUs ----

  /**
   * Claim a vCPU: a reader line for this thread, with a dirty ring if these are enabled. Release it by `vcpu.release`.
   * @throws KvmError EAGAIN if all maxVcpus are in use; with dirty rings ENOMEM, and EBUSY while another thread keeps
   *   the lock; TypeError, RangeError naming the option
   *
   * @example
   * const vcpu = engine.vcpu();
   * if (vcpu.enter()) tlb.clear(); // true: the layout is another than in the last section
   * const hva = vcpu.gpaToHva(0x1000); // every lookup until exit uses one layout
   * vcpu.exit();
   */
  vcpu(options: VcpuOptions = {}): Vcpu {
    const thread = this.#thread;
    return createVcpu(thread, options, (work) => locked(thread, "vcpu", TIMEOUT_MS, work));
  }

  /** The same without sleeping: a dirty ring and a TLB are made under the writer lock. */
  vcpuAsync(options: VcpuOptions = {}): Promise<Vcpu> {
    const thread = this.#thread;
    return createVcpuAsync(thread, options, (work) => lockedAsync(thread, "vcpuAsync", TIMEOUT_MS, work));
  }

  /** Capabilities of the engine in this runtime, and the reason if it cannot be shared. */
  get capabilities(): EngineCapabilities {
    return capabilitiesOf(isShared(this.memory) ? "shared" : "unshared");
  }

  // ---- threads: grace periods, the gate, death ----

  /**
   * Wait until the last section with a replaced layout has ended, and recycle those layouts. Mirrors synchronize_srcu.
   * @throws KvmError ETIMEDOUT, EBUSY; TypeError naming the option
   */
  synchronize(options: WaitOptions = {}): void {
    synchronize(this.#thread, "synchronize", checkWaitOptions(options));
  }

  /** The same without sleeping, for the layouts replaced so far. @throws KvmError ETIMEDOUT */
  async synchronizeAsync(options: WaitOptions = {}): Promise<void> {
    await synchronizeAsync(this.#thread, "synchronizeAsync", checkWaitOptions(options));
  }

  /**
   * Hold all vCPUs of other threads between two sections, until resumeVcpus. Mirrors QEMU's pause_all_vcpus. Commits
   * and one-shot translations go on meanwhile; with `writers` other threads' commits and harvests wait, too.
   * @throws KvmError EBUSY if they are held already; ETIMEDOUT if one does not leave its section, and then none is held
   */
  pauseVcpus(options: PauseOptions = {}): void {
    pause(this.#thread, "pauseVcpus", checkPauseOptions(options));
  }

  /** The same without sleeping. @throws as pauseVcpus */
  async pauseVcpusAsync(options: PauseOptions = {}): Promise<void> {
    await pauseAsync(this.#thread, "pauseVcpusAsync", checkPauseOptions(options));
  }

  /** Let the vCPUs go. @throws KvmError EINVAL if this engine instance does not hold them, EBUSY */
  resumeVcpus(): void {
    resume(this.#thread, "resumeVcpus", TIMEOUT_MS);
  }

  /** The same without sleeping. @throws KvmError EINVAL */
  async resumeVcpusAsync(): Promise<void> {
    await resumeAsync(this.#thread, "resumeVcpusAsync");
  }

  /** Ask all vCPUs to leave their sections: their `kicked` is true until they enter again. */
  kick(): void {
    this.#thread.wasm.kickVcpus(this.base);
  }

  /**
   * Sleep until the generation of an address space is at least `generation`.
   * @throws KvmError ETIMEDOUT; at once on a thread that must not sleep; TypeError naming the argument
   */
  waitGeneration(generation: number, options: GenerationOptions = {}): void {
    awaitGeneration(this.#thread, generation, options);
  }

  /** The same without sleeping. @throws KvmError ETIMEDOUT */
  async waitGenerationAsync(generation: number, options: GenerationOptions = {}): Promise<void> {
    await awaitGenerationAsync(this.#thread, generation, options);
  }

  /**
   * Clean up after a dead thread: free its vCPUs, open the gate if it had closed it, and let the next writer repair a
   * commit that it left half done. The caller has proof of the death: a worker's 'exit' event, a released Web Lock.
   * @param dead owner token of the thread (its `engine.owner`, or `handle.owner`), or one of its vCPUs
   * @returns number of freed vCPUs and one-shot readers
   */
  reap(dead: number | { readonly owner: number }): number {
    const owner = typeof dead === "object" && dead !== null ? dead.owner : dead;
    return reapThread(this.#thread, this.owner, toInteger(owner, "owner", 1, 2 ** 32 - 1));
  }
}
