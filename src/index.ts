/**
 * memslots: guest memory maps for emulators and VMMs, after Linux KVM's memslots, whose list of updates is
 * one atomic change.
 *
 * @module memslots
 */
export type { Build, EngineCapabilities } from "./capabilities.js";
export type { ChangedRange } from "./changed.js";
export type { CommitOptions, CommitResult, WaitOptions } from "./commitoptions.js";
export { type ConsumerOptions, DirtyConsumer, type EndedLog } from "./dirtylog.js";
export { type DirtyGfn, DirtyRing, type RingHarvest } from "./dirtyring.js";
export {
  type EnableCap,
  type EngineHandle,
  type GuestRange,
  type HostNotifier,
  MemslotEngine,
} from "./engine.js";
export { ERRNO, type ErrnoCode, KvmError, type KvmErrorDetails } from "./errno.js";
export type { FlatViewOptions, FlatViewSource } from "./flatview/addressspaces.js";
export type { ListenerOptions, MemoryListener, MemorySection } from "./flatview/listeners.js";
export type { GuestHole, GuestHoleKind, HoleHandler } from "./guestaccess.js";
export type { AtomicBits, AtomicValue, GuestAtomics } from "./guestatomics.js";
export type { GuestCache } from "./guestcache.js";
export type { GuestMemory, GuestMemoryOptions } from "./guestmemory.js";
export type { HostMemory, HostRange } from "./hostmemory.js";
export type { EngineOptions } from "./options.js";
export type { PrivateByte } from "./privatememory.js";
export type { ReaderState } from "./readers.js";
export type { RecordedBlock, RecordOptions } from "./recorder.js";
export type { MappedRegion, Region2Like, RegionLike } from "./region.js";
export { mergeSlots, resizeSlot, type Slot, type SlotBounds, setReadonly, splitSlot } from "./slots.js";
export type { ExitingWorker, PostedWorker, SupervisedWorker } from "./supervise.js";
export * from "./uapi.js";
export type { Vcpu, VcpuOptions, VcpuStats } from "./vcpu.js";
export type { DeviceByte, DeviceWindow, HostByte, HostWindow, MmioWindow, Resolved } from "./windows.js";
