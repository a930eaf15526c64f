/**
 * A memory map for one v86 machine: what the guest sees at the addresses that are not v86's own RAM.
 *
 *   v86's wasm -> its imports, as `wasmFunction` fills them in -> Access, PciHost -> engine, devices
 *                                                                               -> v86's own handlers
 * Invariants
 *  - The engine is private: the map changes, and its logs are harvested, by the methods here, which drop the
 *    translations that `Access` has made.
 *  - The windows of a layout are those of the caller, and those of the BARs with a device behind them.
 *  - A change is refused as a whole, with the layout as it was: a BAR whose move is refused stays where it is.
 */
import type { CommitResult } from "../commitoptions.js";
import type { ConsumerOptions, DirtyConsumer } from "../dirtylog.js";
import { MemslotEngine } from "../engine.js";
import { type MappedRegion, show } from "../region.js";
import { KVM_MEM_LOG_DIRTY_PAGES, type MemoryRegion } from "../uapi.js";
import type { MmioWindow } from "../windows.js";
import { type Access, createAccess } from "./access.js";
import { PciDevice, type PciDeviceOptions } from "./bars.js";
import { handlersOf, instantiate, type WasmFunction } from "./imports.js";
import { type MmioDevice, PAGE_BYTES } from "./parts.js";
import type { BarMove } from "./pcifunction.js";
import { PciHost } from "./pcihost.js";
import { type OwnRange, ownRanges, requireReach, type V86MemoryOptions } from "./reach.js";
import { decodeState, encodeState, type MapState } from "./state.js";

const PHYS_ADDR_BITS = 32;
const MAX_SLOTS = 512;
const MEMORY_BYTES_MAX = 2 ** 31 - 1;
const PCI_DEVICES = 32;

/** Options of `V86Map.create`. */
export interface V86MapOptions {
  /** The options that V86 is made with; those that size its RAM and frame buffer are looked at. */
  readonly v86: V86MemoryOptions;
  /** Host memory of the slots: a slot's `userspaceAddr` is an index into it. Less than 2 GiB. */
  readonly memory: Uint8Array;
  /** Slots at most, 512 if not given. */
  readonly maxSlots?: number;
  /** A BAR was not moved to where the guest has put it, and stays where it was: why. */
  readonly onRefused?: (error: Error) => void;
}

/** What `save` and `restore` need of a V86. */
export interface Machine {
  /** The machine's state as bytes. */
  save_state(): Promise<ArrayBuffer>;
  /** Go on from such bytes. */
  restore_state(state: ArrayBuffer): Promise<void>;
}

/** What a commit of the map may do besides. */
export interface MapCommitOptions {
  /** All MMIO windows after the commit; as they are if not given. Those of BARs are not among them. */
  readonly windows?: readonly MmioWindow[];
  /** Tell the changed guest ranges in the result, as for the engine's lists. */
  readonly changed?: boolean;
  /** Give the last dirty log of each slot that goes, as for the engine's lists. */
  readonly takeDirty?: boolean;
}

/** A dirty consumer of a map: as the engine's. */
export type MapConsumer = Pick<DirtyConsumer, "name" | "begin" | "commit" | "abort" | "close">;

/** The memory map of one V86. */
export class V86Map {
  /** Host memory of the slots. */
  readonly memory: Uint8Array;
  readonly #engine: MemslotEngine;
  readonly #own: readonly OwnRange[];
  readonly #devices: MmioDevice[] = [];
  readonly #pci: PciHost;
  readonly #onRefused: (error: Error) => void;
  /** The caller's windows. */
  #windows: readonly MmioWindow[] = [];
  #access: Access | undefined;

  private constructor(engine: MemslotEngine, options: V86MapOptions) {
    this.memory = options.memory;
    this.#engine = engine;
    this.#own = ownRanges(options.v86);
    this.#onRefused = options.onRefused ?? (() => {});
    this.#pci = new PciHost((device, moves) => this.#relocate(device, moves));
  }

  /** @throws TypeError or RangeError naming the option */
  static async create(options: V86MapOptions): Promise<V86Map> {
    const { v86, memory, maxSlots = MAX_SLOTS } = options;
    if (typeof v86 !== "object" || v86 === null) {
      throw new TypeError(`v86 must be the options of V86, not ${show(v86)}`);
    }
    if (!(memory instanceof Uint8Array))
      throw new TypeError(`memory must be a Uint8Array, not ${show(memory)}`);
    if (memory.length > MEMORY_BYTES_MAX) {
      throw new RangeError(`memory must have less than 2 GiB, not ${memory.length} bytes`);
    }
    // A restored map is one list that deletes and creates every slot.
    const limits = { maxSlots, maxListEntries: 2 * maxSlots, maxVcpus: 1 };
    const engine = await MemslotEngine.create({ ...limits, maxPhysAddrBits: PHYS_ADDR_BITS, shared: false });
    return new V86Map(engine, options);
  }

  /**
   * The value of V86's option `wasm_fn`, for one V86.
   * @param wasm v86.wasm, or a wasm_fn of the caller's own that instantiates it
   */
  wasmFunction(wasm: BufferSource | WebAssembly.Module | WasmFunction): WasmFunction {
    const inner = typeof wasm === "function" ? wasm : instantiate(wasm);
    return async (imports) => {
      if (this.#access !== undefined) throw new Error("this map has a V86 already");
      const handlers = handlersOf(imports);
      const target = { engine: this.#engine, memory: this.memory, devices: this.#devices };
      const access = createAccess(target, handlers);
      Object.assign(imports.env!, access.imports, this.#pci.imports(handlers));
      this.#access = access;
      return inner(imports);
    };
  }

  /** Registers that windows and BARs may show. @returns the number of the device: 0, 1, ... */
  addDevice(device: MmioDevice): number {
    if (typeof device?.read !== "function" || typeof device.write !== "function") {
      throw new TypeError(`device must have read and write, not be ${show(device)}`);
    }
    return this.#devices.push(device) - 1;
  }

  /**
   * A PCI device on bus 0, function 0, in front of one of v86's that may have this number. Its BARs are mapped
   * where, and when, the guest has them decoded.
   * @param number of the device, 1 to 31
   * @throws TypeError or RangeError naming the field
   */
  addPciDevice(number: number, options: PciDeviceOptions): void {
    if (!Number.isInteger(number) || number < 1 || number >= PCI_DEVICES) {
      throw new RangeError(`number must be from 1 to ${PCI_DEVICES - 1}, not ${show(number)}`);
    }
    if (this.#pci.devices.has(number << 3)) throw new RangeError(`PCI device ${number} exists`);
    const device = new PciDevice(options);
    for (const [i, bar] of options.bars.entries()) {
      if (bar === undefined) continue;
      if ("device" in bar) this.#requireDevice(bar.device, `bars[${i}].device`);
      else this.#requireHost(bar.userspaceAddr, bar.size, `bars[${i}].userspaceAddr`);
    }
    this.#pci.devices.set(number << 3, device);
  }

  // ---- write ----

  /**
   * Apply a list of regions, and of windows, as one atomic change: as the engine's setUserMemoryRegionList.
   * May be called while the guest runs, by a device's `read` and `write` too: its next access sees the new map.
   * @throws RangeError for what v86 answers itself, or host memory that is not there; KvmError as the engine
   */
  commit(regions: readonly MemoryRegion[], options: MapCommitOptions = {}): CommitResult {
    const { windows = this.#windows, ...others } = options;
    return this.#commit(regions, windows, this.#barWindows(), others);
  }

  #commit(
    regions: readonly MemoryRegion[],
    windows: readonly MmioWindow[],
    barWindows: readonly MmioWindow[],
    options: Omit<MapCommitOptions, "windows">,
  ): CommitResult {
    for (const [i, region] of regions.entries()) this.#checkRegion(region, `regions[${i}]`);
    for (const [i, window] of windows.entries()) this.#checkWindow(window, `windows[${i}]`);
    for (const { gpa, bytes } of barWindows) requireReach(this.#own, gpa, bytes, "the BAR at");
    const all = [...windows, ...barWindows];
    const result = this.#engine.setUserMemoryRegionList(regions, { ...options, windows: [all] });
    this.#windows = windows;
    this.#access?.flush();
    return result;
  }

  /** Wrong types are for the engine to refuse: what is compared with them here is false. */
  #checkRegion(region: MemoryRegion, name: string): void {
    const bytes = Number(region?.memorySize);
    if (!(bytes > 0)) return;
    requireReach(this.#own, Number(region.guestPhysAddr), bytes, `${name}:`);
    this.#requireHost(Number(region.userspaceAddr), bytes, `${name}.userspaceAddr`);
  }

  #checkWindow(window: MmioWindow, name: string): void {
    requireReach(this.#own, window?.gpa, window?.bytes, `${name}:`);
    if ("hva" in window) this.#requireHost(window.hva, window.bytes, `${name}.hva`);
    else this.#requireDevice(window.device, `${name}.device`);
  }

  #requireHost(start: number, bytes: number, name: string): void {
    if (start + bytes <= this.memory.length || Number.isNaN(start + bytes)) return;
    const end = `0x${(start + bytes).toString(16)}`;
    throw new RangeError(`${name}: memory ends at 0x${this.memory.length.toString(16)}, not behind ${end}`);
  }

  #requireDevice(device: number, name: string): void {
    if (this.#devices[device] === undefined)
      throw new RangeError(`${name}: there is no device ${show(device)}`);
  }

  #relocate(device: PciDevice, moves: readonly BarMove[]): void {
    try {
      this.#commit(device.regions(moves), this.#windows, this.#barWindows(device, moves), {});
    } catch (error) {
      this.#onRefused(error as Error);
      return;
    }
    device.function.settle(moves);
  }

  /** Windows of all BARs with registers behind them, after these moves of one device. */
  #barWindows(moving?: PciDevice, moves: readonly BarMove[] = []): MmioWindow[] {
    const devices = [...this.#pci.devices.values()];
    return devices.flatMap((device) => device.windows(device === moving ? moves : []));
  }

  // ---- read ----

  /** All slots, ascending by guest address; those of BARs too. */
  slots(): MappedRegion[] {
    return this.#engine.slots();
  }

  /** All windows, ascending by guest address; those of BARs too. */
  windows(): MmioWindow[] {
    return this.#engine.windows();
  }

  /** Generation of the map, as `engine.generation`. */
  get generation(): number {
    return this.#engine.generation();
  }

  // ---- dirty log ----

  /** The guest page of `gpa` was written by somebody else than the guest. */
  markDirty(gpa: number): void {
    this.#engine.markDirty(gpa);
  }

  /** KVM_GET_DIRTY_LOG of a slot: takes the bits. @throws as the engine's getDirtyLog */
  getDirtyLog(slot: number): Uint8Array {
    this.#access?.protect();
    return this.#engine.getDirtyLog(slot);
  }

  /** A view of the dirty pages of its own. @throws as the engine's dirtyConsumer */
  dirtyConsumer(name: string, options: ConsumerOptions = {}): MapConsumer {
    const consumer = this.#engine.dirtyConsumer(name, options);
    return {
      name,
      begin: (slot) => {
        this.#access?.protect();
        return consumer.begin(slot);
      },
      commit: (slot) => consumer.commit(slot),
      abort: (slot) => consumer.abort(slot),
      close: () => consumer.close(),
    };
  }

  // ---- save and restore ----

  /**
   * The machine and its map: v86's state, slots, windows, PCI registers and the BARs' places, and the host
   * memory. Not the state of MMIO devices, which is their owner's.
   */
  async save(machine: Machine): Promise<ArrayBuffer> {
    const v86 = await machine.save_state();
    return encodeState(this.#state(), this.memory, v86);
  }

  /**
   * Put machine and map back. Devices, PCI devices and the size of `memory` must be those of the saved one.
   * All pages of logged slots are dirty then: they were replaced.
   * @throws Error, before anything happened, for what is no state, or not one of this version or machine; as
   *   restore_state of V86, with the map as it was
   */
  async restore(machine: Machine, saved: ArrayBuffer): Promise<void> {
    const { state, memory, v86 } = decodeState(saved);
    this.#requireFit(state, memory);
    const before = { state: this.#state(), memory: this.memory.slice() };
    try {
      this.#apply(state, memory);
      await machine.restore_state(v86);
    } catch (error) {
      this.#apply(before.state, before.memory);
      throw error;
    }
  }

  #state(): MapState {
    const devices = [...this.#pci.devices].map(([bdf, device]) => ({ bdf, ...device.function.state() }));
    return {
      own: this.#own,
      slots: this.slots(),
      windows: this.#windows,
      pci: { address: this.#pci.address, devices },
    };
  }

  #requireFit(state: MapState, memory: Uint8Array): void {
    const requireSame = (what: string, ours: unknown, theirs: unknown) => {
      const [here, there] = [JSON.stringify(ours), JSON.stringify(theirs)];
      if (here !== there) throw new Error(`the saved machine has other ${what}: ${there}, not ${here}`);
    };
    requireSame("memory of its own", this.#own, state.own);
    requireSame("bytes of host memory", this.memory.length, memory.length);
    const saved = state.pci.devices.map(({ bdf }) => bdf);
    requireSame("PCI devices", [...this.#pci.devices.keys()], saved);
  }

  #apply({ slots, windows, pci }: MapState, memory: Uint8Array): void {
    for (const { bdf, ...state } of pci.devices) this.#pci.devices.get(bdf)!.function.restore(state);
    this.#pci.address = pci.address;
    const old = this.slots().map((slot) => ({ ...slot, flags: 0, memorySize: 0 }));
    this.#commit([...old, ...slots], windows, this.#barWindows(), {});
    this.memory.set(memory);
    for (const { flags, guestPhysAddr, memorySize } of slots) {
      if ((flags & KVM_MEM_LOG_DIRTY_PAGES) === 0) continue;
      for (let at = 0; at < memorySize; at += PAGE_BYTES) this.#engine.markDirty(guestPhysAddr + at);
    }
  }

  /** End the use of the map. Its V86 must not run any more. */
  close(): void {
    this.#engine.close();
  }
}
