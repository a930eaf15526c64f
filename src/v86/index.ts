/**
 * memslots/v86: a memory map for v86 (npm v86, unpatched). Its slots, MMIO windows and PCI BARs can be created, moved
 * and removed while the guest runs.
 *
 * @module memslots/v86
 */

export type { DeviceBar, MemoryBar, PciDeviceOptions } from "./bars.js";
export type { WasmFunction } from "./imports.js";
export { type Machine, type MapCommitOptions, type MapConsumer, V86Map, type V86MapOptions } from "./map.js";
export type { MmioDevice } from "./parts.js";
export type { PciBarOptions, PciFunctionOptions } from "./pcifunction.js";
export type { V86MemoryOptions } from "./reach.js";
