/**
 * memslots/flatview: machines as trees of memory regions, flattened as QEMU does; recipes of PC chipsets; dumps
 * and logs of QEMU read and written. Knows no engine.
 *
 * @module memslots/flatview
 */

export { A20Gate } from "./a20.js";
export { Bar } from "./bar.js";
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
export { type IomemOptions, parseIomem } from "./iomem.js";
export { parseKvmTrace, type TracedUpdate } from "./kvmtrace.js";
export {
  deliver,
  type ListenerMessage,
  type MemoryListener,
  type MemorySection,
  postingListener,
  type RegionEvent,
} from "./listeners.js";
export { ADDRESS_SPACE_BYTES, MemoryRegion, type RegionKind } from "./memoryregion.js";
export { formatMtree, type MtreeOptions, type MtreeSpace, type MtreeView, parseMtree } from "./mtree.js";
export { Pam } from "./pam.js";
export { ParseError } from "./parseerror.js";
export { Pc, type PcOptions } from "./pc.js";
export type { NumberedSlot } from "./plan.js";
export { endOf, type FlatRange } from "./render.js";
export { Smram, type SmramParts } from "./smram.js";
export { type VgaBank, VgaWindow } from "./vga.js";
