/**
 * memslots/flatview: machines as trees of memory regions, flattened as QEMU does; recipes of PC chipsets; dumps
 * and logs of QEMU read and written. Knows no engine.
 */
export { FlatView } from "./flatview.js";
export { ADDRESS_SPACE_BYTES, MemoryRegion, type RegionKind } from "./memoryregion.js";
export { formatMtree, type MtreeOptions, type MtreeSpace, type MtreeView, parseMtree } from "./mtree.js";
export { ParseError } from "./parseerror.js";
export { endOf, type FlatRange } from "./render.js";
