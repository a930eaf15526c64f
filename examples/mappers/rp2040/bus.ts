/**
 * The bus of an RP2040 on the engine: the six accesses that rp2040js's core and DMA make, each one look into a
 * cache of translated pages, or a lookup that fills it.
 *
 *   address -> cached page -> host memory, or a device and the byte of its registers
 *               | miss
 *              vcpu.resolve, in the layout of the section
 *
 * Accesses are made inside sections. What is cached belongs to the section's layout: another layout flushes it.
 * A Cortex-M0+ has no accesses that are not aligned; what rp2040js makes of one is left to rp2040js.
 */
import { type DeviceWindow, HVA_MMIO, HVA_RO_BAD, MemslotEngine, type RegionLike, type Vcpu } from "memslots";
import { RP2040 } from "rp2040js";
import {
  ADDRESS_BITS,
  type Device,
  devicesOf,
  ENGINE_BASE,
  ENGINE_END,
  HOST_BYTES,
  PAGE_SHIFT,
  placeMemories,
  type Sink,
  slots,
} from "./memorymap.js";
import { PageCache, placeOf } from "./pagecache.js";

const WASM_PAGE_BYTES = 0x10000;
const SLOTS_MAX = 32;
/** What rp2040js reads where nothing is. */
const NOTHING = 0xffffffff;
const LOG_NAME = "RP2040";

/** Stands in for a target where the distance leads into host memory. */
const MEMORY = undefined;

export class Bus {
  readonly engine: MemslotEngine;
  readonly #chip: RP2040;
  readonly #vcpu: Vcpu;
  readonly #host: DataView;
  readonly #devices: readonly Device[];
  readonly #sinks: ReadonlyMap<number, Sink>;
  readonly #readable = new PageCache<typeof MEMORY>();
  readonly #writable = new PageCache<typeof MEMORY>();
  readonly #registers = new PageCache<Device["registers"]>();
  readonly #written = new PageCache<Sink>();

  private constructor(engine: MemslotEngine, chip: RP2040) {
    const { windows, devices, sinks } = devicesOf(chip);
    this.engine = engine;
    this.#chip = chip;
    this.#vcpu = engine.vcpu();
    this.#host = new DataView(engine.memory.buffer);
    this.#devices = devices;
    this.#sinks = sinks;
    engine.setUserMemoryRegionList(slots(), { windows: [windows] });
  }

  /** Put the engine between a chip and its memories and peripherals; its contents start anew. */
  static async attach(chip: RP2040): Promise<Bus> {
    const pages = Math.ceil(HOST_BYTES / WASM_PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const engine = await MemslotEngine.create({
      memory,
      base: ENGINE_BASE,
      size: ENGINE_END - ENGINE_BASE,
      maxSlots: SLOTS_MAX,
      maxVcpus: 2,
      pageShift: PAGE_SHIFT,
      maxPhysAddrBits: ADDRESS_BITS,
    });
    placeMemories(chip, memory.buffer);
    const bus = new Bus(engine, chip);
    // rp2040js resets itself in its constructor, where a subclass would have no bus yet.
    chip.readUint32 = (address) => bus.readUint32(address);
    chip.readUint16 = (address) => bus.readUint16(address);
    chip.readUint8 = (address) => bus.readUint8(address);
    chip.writeUint32 = (address, value) => bus.writeUint32(address, value);
    chip.writeUint16 = (address, value) => bus.writeUint16(address, value);
    chip.writeUint8 = (address, value) => bus.writeUint8(address, value);
    bus.inSection(() => chip.reset());
    return bus;
  }

  /** Run `work` in a section: it sees one layout, and those that it commits itself. */
  inSection(work: () => void): void {
    if (this.#vcpu.enter()) this.#flush();
    try {
      work();
    } finally {
      this.#vcpu.exit();
    }
  }

  /**
   * Change slots, and all windows if they are given, as one change, and go on with it. To be called inside a
   * section. @throws RangeError for a window that is not of whole pages: the caches keep pages
   */
  commit(list: readonly RegionLike[], windows?: readonly DeviceWindow[]): void {
    for (const { gpa, bytes } of windows ?? []) {
      if ((gpa | bytes) % 2 ** PAGE_SHIFT === 0) continue;
      throw new RangeError(`a window must be of whole pages, not of ${bytes} bytes at ${gpa}`);
    }
    this.engine.setUserMemoryRegionList(list, { windows: [windows] });
    if (this.#vcpu.refresh()) this.#flush();
  }

  #flush(): void {
    this.#readable.flush();
    this.#writable.flush();
    this.#registers.flush();
    this.#written.flush();
  }

  /** Hot. */
  readUint32(address: number): number {
    const at = address >>> 0;
    const page = at >>> PAGE_SHIFT;
    const place = placeOf(page);
    if ((at & 3) !== 0) return RP2040.prototype.readUint32.call(this.#chip, address);
    if (this.#readable.pages[place] === page) {
      return this.#host.getUint32((at + this.#readable.distances[place]!) | 0, true);
    }
    if (this.#registers.pages[place] === page) {
      const offset = (at + this.#registers.distances[place]!) | 0;
      return this.#registers.targets[place]!.readUint32(offset);
    }
    if (this.#find(page)) return this.readUint32(at);
    this.#chip.logger.warn(LOG_NAME, `Read from invalid memory address: ${at.toString(16)}`);
    return NOTHING;
  }

  /** Hot: each instruction is fetched here. */
  readUint16(address: number): number {
    const at = address >>> 0;
    const page = at >>> PAGE_SHIFT;
    const place = placeOf(page);
    if ((at & 1) !== 0) return RP2040.prototype.readUint16.call(this.#chip, address);
    if (this.#readable.pages[place] === page) {
      return this.#host.getUint16((at + this.#readable.distances[place]!) | 0, true);
    }
    const word = this.readUint32(at & ~3);
    return (at & 2) !== 0 ? word >>> 16 : word & 0xffff;
  }

  readUint8(address: number): number {
    const at = address >>> 0;
    const page = at >>> PAGE_SHIFT;
    const place = placeOf(page);
    if (this.#readable.pages[place] === page) {
      return this.#host.getUint8((at + this.#readable.distances[place]!) | 0);
    }
    return (this.readUint32(at & ~3) >>> (8 * (at & 3))) & 0xff;
  }

  /** What reads of a page find. @returns false for nothing */
  #find(page: number): boolean {
    const start = page * 2 ** PAGE_SHIFT;
    const host = this.#vcpu.resolve(start, false);
    if (host >= 0) this.#readable.put(page, host - start, MEMORY);
    else if (host !== HVA_MMIO) return false;
    else {
      const { offset, device } = this.#vcpu;
      this.#registers.put(page, offset - start, this.#devices[device]!.registers);
    }
    return true;
  }

  writeUint32(address: number, value: number): void {
    const at = address >>> 0;
    const page = at >>> PAGE_SHIFT;
    const place = placeOf(page);
    if ((at & 3) !== 0) RP2040.prototype.writeUint32.call(this.#chip, address, value);
    else if (this.#writable.pages[place] === page) {
      this.#host.setUint32((at + this.#writable.distances[place]!) | 0, value, true);
    } else if (this.#written.pages[place] === page) {
      this.#written.targets[place]!.write((at + this.#written.distances[place]!) | 0, value);
    } else if (this.#findWritten(page)) this.writeUint32(at, value);
    else this.#chip.logger.warn(LOG_NAME, `Write to undefined address: ${at.toString(16)}`);
  }

  writeUint16(address: number, value: number): void {
    const at = address >>> 0;
    const page = at >>> PAGE_SHIFT;
    const place = placeOf(page);
    if ((at & 1) !== 0) RP2040.prototype.writeUint16.call(this.#chip, address, value);
    else if (this.#writable.pages[place] === page) {
      this.#host.setUint16((at + this.#writable.distances[place]!) | 0, value, true);
    } else if (this.#replicates(page)) this.writeUint32(at & ~3, Math.imul(value & 0xffff, 0x10001));
    else this.#merge(at, value, 0xffff);
  }

  writeUint8(address: number, value: number): void {
    const at = address >>> 0;
    const page = at >>> PAGE_SHIFT;
    const place = placeOf(page);
    if (this.#writable.pages[place] === page) {
      this.#host.setUint8((at + this.#writable.distances[place]!) | 0, value);
    } else if (this.#replicates(page)) this.writeUint32(at & ~3, Math.imul(value & 0xff, 0x1010101));
    else this.#merge(at, value, 0xff);
  }

  /** A narrow write where only words can be written. */
  #merge(at: number, value: number, mask: number): void {
    const shift = 8 * (at & 3);
    const word = this.readUint32(at & ~3);
    this.writeUint32(at & ~3, ((word & ~(mask << shift)) | ((value & mask) << shift)) >>> 0);
  }

  #replicates(page: number): boolean {
    const place = placeOf(page);
    if (this.#written.pages[place] !== page && !this.#findWritten(page)) return false;
    return this.#written.pages[place] === page && this.#written.targets[place]!.replicates;
  }

  /** What takes the writes to a page. @returns false for nothing */
  #findWritten(page: number): boolean {
    const start = page * 2 ** PAGE_SHIFT;
    const host = this.#vcpu.resolve(start, true);
    if (host >= 0) {
      this.#writable.put(page, host - start, MEMORY);
      return true;
    }
    if (host === HVA_MMIO) {
      const { offset, device } = this.#vcpu;
      this.#written.put(page, offset - start, this.#devices[device]!);
      return true;
    }
    const slot = this.#vcpu.gfnToSlot(page);
    const sink = host === HVA_RO_BAD ? this.#sinks.get(slot) : undefined;
    if (sink === undefined) return false;
    this.#written.put(page, -this.engine.slot(slot)!.guestPhysAddr, sink);
    return true;
  }
}
