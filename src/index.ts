/**
 * memslots: KVM memory slots for emulators and VMMs, plus what KVM lacks: a list of updates applied as one atomic
 * change. KVM's calls are methods of `MemslotEngine`; every other feature takes the engine as its first argument.
 *
 * @module memslots
 */
export type { EngineOptions } from "./core/options.js";
export { superviseWorker } from "./core/supervise.js";
export type { Engine, EngineLimits } from "./core/thread.js";
export { type ConsumerOptions, DirtyConsumer, type HostPart } from "./dirty/consumer.js";
export { type ConsumerInfo, consumersOf, consumersOfAsync } from "./dirty/consumers.js";
export { type ClearArguments, takeDirtyPages, takeDirtyPagesAsync } from "./dirty/log.js";
export type { DirtyRange } from "./dirty/ranges.js";
export { type DirtyGfn, DirtyRing, type RingHarvest } from "./dirty/ring.js";
export { MemslotEngine } from "./engine.js";
export type { AtomicBits, AtomicValue, GuestAtomics } from "./guest/atomics.js";
export type { GuestCache } from "./guest/cache.js";
export { type GuestMemoryOptions, guestMemory } from "./guest/create.js";
export type { AccessSizes, Device, Devices } from "./guest/devices.js";
export type { HostMemory, HostRange } from "./guest/host.js";
export type { GuestMemory } from "./guest/memory.js";
export {
  type GuestPageTable,
  guestPageTable,
  type PagePart,
  type PageTableOptions,
} from "./guest/pagetable.js";
export { containsGuest, copyGuest, guestPieces, type PieceOptions } from "./guest/pieces.js";
export type { HoleHandler } from "./guest/target.js";
export { type WatchedAccess, type WatchOptions, watchGuest } from "./guest/watch.js";
export { ERRNO, type ErrnoCode, KvmError } from "./kvm/errno.js";
export type { EndedLog, GuestHole, GuestHoleKind, KvmErrorDetails } from "./kvm/errordetails.js";
export type { Region2Like, RegionLike, RegionListLike, Slot } from "./kvm/region.js";
export {
  decodeUserspaceMemoryRegionList,
  encodeUserspaceMemoryRegionList,
  KVM_USERSPACE_MEMORY_REGION_ENTRY_BYTES,
  KVM_USERSPACE_MEMORY_REGION_LIST_BYTES,
} from "./kvm/regionlist.js";
export * from "./kvm/uapi.js";
export type {
  DeviceByte,
  DeviceWindow,
  GuestBytePlace,
  HoleWindow,
  HostByte,
  HostWindow,
  MirrorWindow,
  MmioWindow,
  Stripe,
  WindowChange,
} from "./kvm/window.js";
export { freeSlotNumbers } from "./read/freeslots.js";
export {
  addHostNotifier,
  type GuestRange,
  type HostNotifier,
  invalidateHostRange,
  markHostRangeDirty,
} from "./read/hostranges.js";
export type { PrivateByte } from "./read/oneshot.js";
export { attributesOf, type GuestMemfd, memfdsOf } from "./read/privatelists.js";
export { type ReaderState, readersOf } from "./read/readers.js";
export type { Vcpu, VcpuOptions, VcpuStats } from "./read/vcpu.js";
export type { Build, EngineCapabilities } from "./runtime/capabilities.js";
export type { ExitingWorker, PostedWorker, SupervisedWorker } from "./runtime/death.js";
export type { EngineHandle } from "./runtime/handle.js";
export type { WasmAddress, WasmSource, WasmSources } from "./runtime/wasmsources.js";
export type { WasmMemory, WasmModule } from "./runtime/wasmtypes.js";
export { cloneEngine, type RestoreOptions, restoreEngine, saveEngine, saveEngineAsync } from "./save/save.js";
export { type RecordedBlock, type RecordOptions, record } from "./trace/recorder.js";
export type { ChangedRange } from "./write/changed.js";
export type { CommitOptions, CommitResult, WaitOptions } from "./write/commitoptions.js";
export type { EnableCap, EnableCapArguments } from "./write/extensions.js";
export type { PauseOptions } from "./write/gate.js";
export type { GenerationOptions } from "./write/generation.js";
export { checkEngine, checkEngineAsync } from "./write/integrity.js";
export {
  deleteSlot,
  mergeSlots,
  protectRange,
  resizeSlot,
  type SlotBounds,
  setReadonly,
  splitSlot,
} from "./write/slotedits.js";
