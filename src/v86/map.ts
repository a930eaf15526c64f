/**
 * V86Map: the memory map of one v86 machine, for the guest addresses that are not v86's RAM.
 *
 *   v86's wasm -> its imports, replaced by `wasmFunction` -> createAccess, PciHost -> engine, devices
 *                                                                                  -> v86's handlers
 * Invariants
 *  - The engine is private, and v86 has one thread: its vCPU is in a section always, but for the methods here that
 *    change the map or harvest its logs. So each access is made in the newest layout.
 *  - The windows of a layout are the caller's, and those of the BARs with a device.
 *  - A refused change leaves the layout unchanged: a BAR whose move is refused stays in its place.
 */

import { type ConsumerOptions, DirtyConsumer } from "../dirty/consumer.js";
import { MemslotEngine } from "../engine.js";
import { checkFunction, checkObject, checkOptionNames, show } from "../kvm/arguments.js";
import type { Slot } from "../kvm/region.js";
import { KVM_MEM_LOG_DIRTY_PAGES, type UserspaceMemoryRegion } from "../kvm/uapi.js";
import type { MmioWindow } from "../kvm/window.js";
import type { Vcpu } from "../read/vcpu.js";
import type { CommitOptions, CommitResult } from "../write/commitoptions.js";
import { createAccess } from "./access.js";
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
  /** The options of V86; those that size its RAM and frame buffer are read. */
  readonly v86: V86MemoryOptions;
  /** Host memory of the slots, less than 2 GiB: a slot's `userspaceAddr` is an index into it. */
  readonly memory: Uint8Array;
  /** Largest number of slots, 512 if not given. */
  readonly maxSlots?: number | undefined;
  /** Called with the reason when the guest has moved a BAR and the map refuses: the BAR stays in its place. */
  readonly onRefused?: ((error: Error) => void) | undefined;
}

/** The part of a V86 that `save` and `restore` use. */
export interface Machine {
  /** Return the machine's state as bytes. */
  save_state(): Promise<ArrayBuffer>;
  /** Put the machine into a state that `save_state` returned. */
  restore_state(state: ArrayBuffer): Promise<void>;
}

/** Options of `V86Map.apply`. */
export interface MapCommitOptions {
  /** All MMIO windows after the change, without those of BARs; unchanged if not given. */
  readonly windows?: readonly MmioWindow[] | undefined;
  /** Return the changed guest ranges, as `CommitOptions.changed`. */
  readonly changed?: boolean | undefined;
  /** Return the final dirty log of each slot that goes, as `CommitOptions.takeDirty`. */
  readonly takeDirty?: boolean | undefined;
}

/** A dirty consumer of a map: the methods of `DirtyConsumer`. */
export type MapConsumer = Pick<DirtyConsumer, "name" | "begin" | "done" | "abort" | "close">;

/** The memory map of one V86: slots, MMIO windows and PCI BARs that change while the guest runs. */
export class V86Map {
  /** Host memory of the slots. */
  readonly memory: Uint8Array;
  readonly #engine: MemslotEngine;
  readonly #vcpu: Vcpu;
  readonly #own: readonly OwnRange[];
  readonly #devices: MmioDevice[] = [];
  readonly #pci: PciHost;
  readonly #onRefused: (error: Error) => void;
  /** The caller's windows. */
  #windows: readonly MmioWindow[] = [];
  #hasMachine = false;

  private constructor(engine: MemslotEngine, options: V86MapOptions) {
    this.memory = options.memory;
    this.#engine = engine;
    this.#vcpu = engine.vcpu();
    this.#vcpu.enter();
    this.#own = ownRanges(options.v86);
    this.#onRefused = options.onRefused ?? (() => {});
    this.#pci = new PciHost((device, moves) => this.#relocate(device, moves));
  }

  /**
   * Make the map of a V86 that is made afterwards, with `wasmFunction` as its option `wasm_fn`.
   * @throws TypeError or RangeError naming the option
   *
   * @example
   * const options = { memory_size: 128 << 20, vga_memory_size: 8 << 20, bios: { buffer: bios }, autostart: true };
   * const map = await V86Map.create({ v86: options, memory: new Uint8Array(16 << 20) });
   * const emulator = new V86({ ...options, wasm_fn: map.wasmFunction(wasm) });
   * map.apply([{ slot: 0, flags: 0, guestPhysAddr: 0xd0000000, memorySize: 1 << 20, userspaceAddr: 0 }]);
   */
  static async create(options: V86MapOptions): Promise<V86Map> {
    const known = { v86: true, memory: true, maxSlots: true, onRefused: true } as const;
    checkOptionNames<V86MapOptions>(options, known);
    const { v86, memory, maxSlots = MAX_SLOTS, onRefused } = options;
    checkObject(v86, "v86");
    if (onRefused !== undefined) checkFunction(onRefused, "onRefused");
    if (!(memory instanceof Uint8Array))
      throw new TypeError(`memory must be a Uint8Array, not ${show(memory)}`);
    if (memory.length > MEMORY_BYTES_MAX) {
      throw new RangeError(`memory must have less than 2 GiB, not ${memory.length} bytes`);
    }
    // `restore` is one list that deletes and creates every slot.
    const limits = { maxSlots, maxListEntries: 2 * maxSlots, maxVcpus: 1 };
    const engine = await MemslotEngine.create({ ...limits, maxPhysAddrBits: PHYS_ADDR_BITS, shared: false });
    return new V86Map(engine, options);
  }

  /**
   * The value of V86's option `wasm_fn`, for one V86.
   * @param wasm v86.wasm, or a wasm_fn that instantiates it
   * @throws Error at the call of that function, if it is no known v86 or the map has a V86 already
   */
  wasmFunction(wasm: BufferSource | WebAssembly.Module | WasmFunction): WasmFunction {
    const inner = typeof wasm === "function" ? wasm : instantiate(wasm);
    return async (imports) => {
      if (this.#hasMachine) throw new Error("this map has a V86 already");
      const handlers = handlersOf(imports);
      const target = {
        engine: this.#engine,
        vcpu: this.#vcpu,
        memory: this.memory,
        devices: this.#devices,
      };
      Object.assign(imports.env!, createAccess(target, handlers), this.#pci.imports(handlers));
      this.#hasMachine = true;
      return inner(imports);
    };
  }

  /** Add registers for windows and BARs to show. @returns the number of the device: 0, 1, ... @throws TypeError */
  addDevice(device: MmioDevice): number {
    if (typeof device?.read !== "function" || typeof device.write !== "function") {
      throw new TypeError(`device must have read and write, not be ${show(device)}`);
    }
    return this.#devices.push(device) - 1;
  }

  /**
   * Add a PCI device on bus 0, function 0. It hides a device of v86 with the same number. Its BARs are mapped while the
   * guest has them decoded, at the addresses that the guest assigns.
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

  // ---- changing the map ----

  /**
   * Apply a list of regions, and of windows, as one atomic change, as MemslotEngine.setUserMemoryRegionList. May be
   * called while the guest runs, also by a device's `read` and `write`: the guest's next access sees the new map.
   * @throws RangeError for addresses whose accesses v86 keeps, or bytes beyond `memory`; KvmError as the engine
   */
  apply(regions: readonly UserspaceMemoryRegion[], options: MapCommitOptions = {}): CommitResult {
    const { windows, ...others } = options;
    // Windows that are not given stay, those of BARs with them.
    if (windows === undefined) return this.#commitRegions(regions, others);
    return this.#commit(regions, windows, this.#barWindows(), others);
  }

  #commit(
    regions: readonly UserspaceMemoryRegion[],
    windows: readonly MmioWindow[],
    barWindows: readonly MmioWindow[],
    options: Omit<MapCommitOptions, "windows">,
  ): CommitResult {
    for (const [i, window] of windows.entries()) this.#checkWindow(window, `windows[${i}]`);
    for (const { gpa, bytes } of barWindows) requireReach(this.#own, gpa, bytes, "the BAR at");
    const all = [...windows, ...barWindows];
    const result = this.#commitRegions(regions, { ...options, windows: [all] });
    this.#windows = windows;
    return result;
  }

  #commitRegions(regions: readonly UserspaceMemoryRegion[], options: CommitOptions): CommitResult {
    for (const [i, region] of regions.entries()) this.#checkRegion(region, `regions[${i}]`);
    return this.#outside(() => this.#engine.setUserMemoryRegionList(regions, options));
  }

  /** Between two sections: what the guest does afterwards sees what `work` has done. */
  #outside<T>(work: () => T): T {
    this.#vcpu.exit();
    try {
      return work();
    } finally {
      this.#vcpu.enter();
    }
  }

  /** The engine refuses wrong types: comparisons with them here are false. */
  #checkRegion(region: UserspaceMemoryRegion, name: string): void {
    const bytes = Number(region?.memorySize);
    if (!(bytes > 0)) return;
    requireReach(this.#own, Number(region.guestPhysAddr), bytes, `${name}:`);
    this.#requireHost(Number(region.userspaceAddr), bytes, `${name}.userspaceAddr`);
  }

  #checkWindow(window: MmioWindow, name: string): void {
    requireReach(this.#own, window?.gpa, window?.bytes, `${name}:`);
    if (window?.over === true || !("hva" in window || "device" in window)) {
      throw new TypeError(
        `${name} must be a device's or host memory, and not over slots: v86 maps whole pages`,
      );
    }
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

  /** Windows of all BARs with a device, after these moves of one device. */
  #barWindows(moving?: PciDevice, moves: readonly BarMove[] = []): MmioWindow[] {
    const devices = [...this.#pci.devices.values()];
    return devices.flatMap((device) => device.windows(device === moving ? moves : []));
  }

  // ---- reading the map ----

  /** All slots, those of BARs included, ascending by guest address. */
  slots(): Slot[] {
    return this.#engine.slots();
  }

  /** All windows, those of BARs included, ascending by guest address. */
  windows(): MmioWindow[] {
    return this.#engine.windows();
  }

  /** Generation of the map, as MemslotEngine.generation. */
  get generation(): number {
    return this.#engine.generation();
  }

  // ---- dirty pages ----

  /** Report a write to the guest page of `gpa` that the guest did not make. */
  markDirty(gpa: number): void {
    this.#engine.markDirty(gpa);
  }

  /** KVM_GET_DIRTY_LOG of a slot: takes the bits. @throws as MemslotEngine.getDirtyLog */
  getDirtyLog(slot: number): Uint8Array {
    return this.#outside(() => this.#engine.getDirtyLog(slot));
  }

  /** Open an independent view of the dirty pages. @throws as DirtyConsumer */
  dirtyConsumer(name: string, options: ConsumerOptions = {}): MapConsumer {
    const consumer = new DirtyConsumer(this.#engine, name, options);
    return {
      name,
      begin: (part) => this.#outside(() => consumer.begin(part)),
      done: (part) => consumer.done(part),
      abort: (part) => consumer.abort(part),
      close: () => consumer.close(),
    };
  }

  // ---- save and restore ----

  /**
   * Save the machine and its map: v86's state, slots, windows, PCI registers, the addresses of BARs, and the host
   * memory. The caller saves the state of MMIO devices.
   * @returns the saved machine, for `restore`
   */
  async save(machine: Machine): Promise<ArrayBuffer> {
    const v86 = await machine.save_state();
    return encodeState(this.#state(), this.memory, v86);
  }

  /**
   * Restore machine and map. Devices, PCI devices and the size of `memory` must equal those of the saved machine. All
   * pages of logged slots are dirty afterwards, because they were replaced.
   * @throws Error, before anything happens, for bytes that are no saved machine, or one of another version or other
   *   devices; the error of V86's restore_state, with the old map put back
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

  /** End the use of the map. Its V86 must have stopped. */
  close(): void {
    this.#vcpu.release();
    this.#engine.close();
  }
}
