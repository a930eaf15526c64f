/**
 * memslots/flatview: machines as trees of memory regions, flattened as QEMU does; recipes of PC chipsets; dumps
 * and logs of QEMU read and written. Knows no engine.
 *
 * @module memslots/flatview
 */

export {
  encodeKvmRegions,
  type FlatRangeJson,
  type FlatViewJson,
  flatViewFromJson,
  flatViewToJson,
  type KvmRegionsOptions,
  kvmRegions,
  type RegionJson,
} from "./export.js";
export { FlatView } from "./flatview.js";
export {
  type FlatViewCommitOptions,
  type FlatViewOptions,
  type FlatViewSource,
  FlatViews,
  type MappedEngine,
} from "./flatviews.js";
export {
  deliver,
  type ListenerMessage,
  type ListenerOptions,
  type MemoryListener,
  type MemorySection,
  postingListener,
  type RegionEvent,
} from "./listeners.js";
export { ADDRESS_SPACE_BYTES, MemoryRegion, type RegionKind } from "./memoryregion.js";
export { A20Gate } from "./pc/a20.js";
export { Bar } from "./pc/bar.js";
export { Pam } from "./pc/pam.js";
export { Pc, type PcOptions } from "./pc/pc.js";
export { Smram, type SmramParts } from "./pc/smram.js";
export { type VgaBank, VgaWindow } from "./pc/vga.js";
export { endOf, type FlatRange } from "./render.js";
export { isDeviceTree, parseDeviceTree } from "./text/devicetree.js";
export { isPhysical, type PhysicalMap, parsePhysical } from "./text/e820.js";
export { type IomemOptions, isIomem, parseIomem } from "./text/iomem.js";
export { isKvmTrace, parseKvmTrace, type TracedUpdate } from "./text/kvmtrace.js";
export { machinesOf, type TracedMachine } from "./text/machines.js";
export {
  formatMtree,
  listMtree,
  type MtreeEntry,
  type MtreeView,
  parseMtree,
} from "./text/mtree.js";
export type { HostOf } from "./text/mtreeblocks.js";
export type { MtreeOptions } from "./text/mtreeoptions.js";
export { isMtree, type MtreeSpace, type TextNote } from "./text/mtreescan.js";
export { ParseError } from "./text/parseerror.js";
export { PHYSICAL_HOST, type PhysicalRange, physicalTree } from "./text/physical.js";
export { isStrace, parseStrace } from "./text/strace.js";
