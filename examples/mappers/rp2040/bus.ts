/**
 * The bus of an RP2040 on the engine: the six accesses that rp2040js's core and DMA make, each one look into a page
 * table.
 *
 *   address -> entry of its page -> host memory, or what answers for the page: registers, a sink of writes, nobody
 *
 * Accesses are made inside sections, whose layout the tables follow. A page is one thing: the bus refuses windows that
 * are not of whole pages.
 * A Cortex-M0+ has no accesses that are not aligned; what rp2040js makes of one is left to rp2040js.
 */
import {
  type DeviceWindow,
  type GuestPageTable,
  guestPageTable,
  MemslotEngine,
  type PagePart,
  type RegionLike,
  type Vcpu,
} from "memslots";
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

const WASM_PAGE_BYTES = 0x10000;
const SLOTS_MAX = 32;
/** What rp2040js reads where nothing is. */
const NOTHING = 0xffffffff;
const LOG_NAME = "RP2040";

const PAGE_MASK = 2 ** PAGE_SHIFT - 1;

/** What answers reads of a page. The device counts its registers from `address + distance` on. */
interface Source {
  readonly registers: Device["registers"];
  readonly distance: number;
}

/** What takes the writes to a page. */
interface Taker {
  readonly sink: Sink;
  readonly distance: number;
}

export class Bus {
  readonly engine: MemslotEngine;
  readonly #chip: RP2040;
  readonly #vcpu: Vcpu;
  readonly #host: DataView;
  readonly #devices: readonly Device[];
  readonly #sinks: ReadonlyMap<number, Sink>;
  readonly reads: GuestPageTable<Source>;
  readonly writes: GuestPageTable<Taker>;
  /** Their entries. */
  readonly #readable: Int32Array;
  readonly #writable: Int32Array;

  private constructor(engine: MemslotEngine, chip: RP2040) {
    const { windows, devices, sinks } = devicesOf(chip);
    this.engine = engine;
    this.#chip = chip;
    this.#vcpu = engine.vcpu();
    this.#host = new DataView(engine.memory.buffer);
    this.#devices = devices;
    this.#sinks = sinks;
    const vcpu = this.#vcpu;
    this.reads = guestPageTable(engine, {
      ...{ vcpu, access: "read", unknown: this.#unknownSource() },
      answerOf: ([part]) => this.#sourceOf(part!),
    });
    this.writes = guestPageTable(engine, {
      ...{ vcpu, access: "write", unknown: this.#unknownTaker() },
      answerOf: ([part]) => this.#takerOf(part!),
    });
    this.#readable = this.reads.entries;
    this.#writable = this.writes.entries;
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
    this.#vcpu.enter();
    try {
      work();
    } finally {
      this.#vcpu.exit();
    }
  }

  /**
   * Change slots, and all windows if they are given, as one change, and go on with it. To be called inside a
   * section. @throws RangeError for a window that is not of whole pages
   */
  commit(list: readonly RegionLike[], windows?: readonly DeviceWindow[]): void {
    for (const { gpa, bytes } of windows ?? []) {
      if ((gpa | bytes) % 2 ** PAGE_SHIFT === 0) continue;
      throw new RangeError(`a window must be of whole pages, not of ${bytes} bytes at ${gpa}`);
    }
    this.engine.setUserMemoryRegionList(list, { windows: [windows] });
    this.#vcpu.refresh();
  }

  // ---- reads ----

  /** Hot. */
  readUint32(address: number): number {
    const at = address >>> 0;
    if ((at & 3) !== 0) return RP2040.prototype.readUint32.call(this.#chip, address);
    const entry = this.#readable[at >>> PAGE_SHIFT]!;
    if (entry > 0) return this.#host.getUint32((entry - 1) | (at & PAGE_MASK), true);
    const { registers, distance } = this.reads.answers[0 - entry]!;
    return registers.readUint32((at + distance) | 0);
  }

  /** Hot: each instruction is fetched here. */
  readUint16(address: number): number {
    const at = address >>> 0;
    if ((at & 1) !== 0) return RP2040.prototype.readUint16.call(this.#chip, address);
    const entry = this.#readable[at >>> PAGE_SHIFT]!;
    if (entry > 0) return this.#host.getUint16((entry - 1) | (at & PAGE_MASK), true);
    const word = this.readUint32(at & ~3);
    return (at & 2) !== 0 ? word >>> 16 : word & 0xffff;
  }

  readUint8(address: number): number {
    const at = address >>> 0;
    const entry = this.#readable[at >>> PAGE_SHIFT]!;
    if (entry > 0) return this.#host.getUint8((entry - 1) | (at & PAGE_MASK));
    return (this.readUint32(at & ~3) >>> (8 * (at & 3))) & 0xff;
  }

  #unknownSource(): Source {
    const readUint32 = (at: number) => {
      this.reads.fill(at);
      return this.readUint32(at);
    };
    return { registers: { readUint32 }, distance: 0 };
  }

  #sourceOf({ kind, gpa, device, offset }: PagePart): Source {
    if (kind === "device") return { registers: this.#devices[device]!.registers, distance: offset - gpa };
    const readUint32 = (at: number) => {
      this.#chip.logger.warn(LOG_NAME, `Read from invalid memory address: ${(at >>> 0).toString(16)}`);
      return NOTHING;
    };
    return { registers: { readUint32 }, distance: 0 };
  }

  // ---- writes ----

  writeUint32(address: number, value: number): void {
    const at = address >>> 0;
    const entry = this.#writable[at >>> PAGE_SHIFT]!;
    if ((at & 3) !== 0) RP2040.prototype.writeUint32.call(this.#chip, address, value);
    else if (entry > 0) this.#host.setUint32((entry - 1) | (at & PAGE_MASK), value, true);
    else {
      const { sink, distance } = this.writes.answers[0 - entry]!;
      sink.write((at + distance) | 0, value);
    }
  }

  writeUint16(address: number, value: number): void {
    const at = address >>> 0;
    const entry = this.#writable[at >>> PAGE_SHIFT]!;
    if ((at & 1) !== 0) RP2040.prototype.writeUint16.call(this.#chip, address, value);
    else if (entry > 0) this.#host.setUint16((entry - 1) | (at & PAGE_MASK), value, true);
    else if (entry === 0) this.#writeAgain(() => this.writeUint16(address, value), at);
    else if (this.#replicates(entry)) this.writeUint32(at & ~3, Math.imul(value & 0xffff, 0x10001));
    else this.#merge(at, value, 0xffff);
  }

  writeUint8(address: number, value: number): void {
    const at = address >>> 0;
    const entry = this.#writable[at >>> PAGE_SHIFT]!;
    if (entry > 0) this.#host.setUint8((entry - 1) | (at & PAGE_MASK), value);
    else if (entry === 0) this.#writeAgain(() => this.writeUint8(address, value), at);
    else if (this.#replicates(entry)) this.writeUint32(at & ~3, Math.imul(value & 0xff, 0x1010101));
    else this.#merge(at, value, 0xff);
  }

  #writeAgain(write: () => void, at: number): void {
    this.writes.fill(at);
    write();
  }

  /** A narrow write where only words can be written. */
  #merge(at: number, value: number, mask: number): void {
    const shift = 8 * (at & 3);
    const word = this.readUint32(at & ~3);
    this.writeUint32(at & ~3, ((word & ~(mask << shift)) | ((value & mask) << shift)) >>> 0);
  }

  #replicates(entry: number): boolean {
    return this.writes.answers[0 - entry]!.sink.replicates;
  }

  #unknownTaker(): Taker {
    const write = (at: number, value: number) => this.#writeAgain(() => this.writeUint32(at, value), at);
    return { sink: { write, replicates: false }, distance: 0 };
  }

  #takerOf({ kind, gpa, device, offset }: PagePart): Taker {
    if (kind === "device") return { sink: this.#devices[device]!, distance: offset - gpa };
    const slot = this.#vcpu.gfnToSlot(gpa / 2 ** PAGE_SHIFT);
    const sink = kind === "read-only" ? this.#sinks.get(slot) : undefined;
    if (sink !== undefined) return { sink, distance: -this.engine.slot(slot)!.guestPhysAddr };
    const write = (at: number) =>
      this.#chip.logger.warn(LOG_NAME, `Write to undefined address: ${(at >>> 0).toString(16)}`);
    return { sink: { write, replicates: false }, distance: 0 };
  }
}
