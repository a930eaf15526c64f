/**
 * The tree that a machine is built of, after QEMU's MemoryRegion: what there is at which address, what covers
 * what, and what is switched on. It knows no engine; `FlatView.of` tells what a guest sees.
 *
 * Invariants
 *  - A region lies in one container at most; aliases show it elsewhere.
 *  - Subregions are ordered by priority, highest first; of two equal ones the younger comes first.
 *  - Sizes are exact up to 2^64, addresses below: a root of the whole address space has no last byte to spare.
 *  - Each edit tells the views of all roots above it, aliases included, which guest bytes it may change.
 *
 * Mirrors memory_region_init_*, memory_region_add_subregion_overlap and the setters (QEMU system/memory.c).
 */
import { show, toU32 } from "../kvm/arguments.js";
import { Children } from "./children.js";
import { noteEdit } from "./edits.js";
import type { Touched } from "./touched.js";
import { WeakList } from "./weaklist.js";

/** Bytes of an address space: no region is larger. */
export const ADDRESS_SPACE_BYTES = 2n ** 64n;

/**
 * container: holds others only. ram, rom: host memory. ramDevice: host memory that is a device's, as a VFIO BAR.
 * romDevice: host memory to reads while in its readable mode, a device to writes, and to all else. io: a
 * device. alias: a part of another region.
 */
export type RegionKind = "container" | "ram" | "ramDevice" | "rom" | "romDevice" | "io" | "alias";

/** `value` as a bigint of bytes. @throws TypeError naming the argument */
export function toBytes(value: unknown, name: string): bigint {
  const exact = typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));
  if (!exact || value < 0) {
    throw new TypeError(`${name} must be an integer from 0 on, exact or a bigint, not ${show(value)}`);
  }
  return BigInt(value);
}

function toHost(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`host must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
  }
  return value;
}

interface Backing {
  kind: RegionKind;
  host?: number;
  device?: number;
  target?: MemoryRegion;
  targetOffset?: bigint;
}

/** How many times a region has been put into a container: the order among those of equal priority. */
let placed = 0;

/** Tell `touched` from now on of what edits change in the bytes that `root` shows. */
export let watch: (root: MemoryRegion, touched: Touched) => void;
/** Tell it no more. */
export let unwatch: (root: MemoryRegion, touched: Touched) => void;
/** The subregions with bytes in [start, end) of `region`, the one in front first. */
export let subregionsWithin: (region: MemoryRegion, start: bigint, end: bigint) => readonly MemoryRegion[];

/** A region of guest memory. Made by the static functions. */
export class MemoryRegion {
  static {
    watch = (root, touched) => {
      root.#views ??= new WeakList();
      root.#views.add(touched);
    };
    unwatch = (root, touched) => root.#views?.delete(touched);
    subregionsWithin = (region, start, end) => {
      const children = region.#children;
      if (children === undefined || children.empty) return NOTHING;
      return start <= 0n && end >= region.#size ? children.all() : children.within(start, end);
    };
  }

  /** For messages and dumps; need not be the only one. */
  readonly name: string;
  /** What answers for its bytes. */
  readonly kind: RegionKind;
  /** Host address of its first byte; ram, ramDevice, rom, romDevice. */
  readonly host: number | undefined;
  /** Number of its device; io, romDevice. */
  readonly device: number | undefined;
  /** What an alias shows. */
  readonly target: MemoryRegion | undefined;

  #size: bigint;
  #address = 0n;
  #priority = 0;
  #enabled = true;
  #readonly: boolean;
  #romd = true;
  #log = false;
  #targetOffset: bigint;
  #container: MemoryRegion | undefined;
  /** Its place among those of equal priority, the largest in front. */
  #order = 0;
  #children: Children<MemoryRegion> | undefined;
  /** Aliases of it. */
  #aliases: WeakList<MemoryRegion> | undefined;
  /** Views whose root it is. */
  #views: WeakList<Touched> | undefined;

  private constructor(name: string, size: number | bigint, backing: Backing) {
    if (typeof name !== "string") throw new TypeError(`name must be a string, not ${show(name)}`);
    this.name = name;
    this.#size = checkSize(size);
    this.kind = backing.kind;
    this.host = backing.host;
    this.device = backing.device;
    this.target = backing.target;
    this.#targetOffset = backing.targetOffset ?? 0n;
    this.#readonly = backing.kind === "rom";
    if (backing.target === undefined) return;
    backing.target.#aliases ??= new WeakList();
    backing.target.#aliases.add(this);
  }

  // ---- making regions ----

  /** Nothing by itself. @throws TypeError, RangeError naming the argument, as all of these */
  static container(name: string, size: number | bigint): MemoryRegion {
    return new MemoryRegion(name, size, { kind: "container" });
  }

  /** Host memory from `host` on, readable and writable. */
  static ram(name: string, size: number | bigint, host: number): MemoryRegion {
    return new MemoryRegion(name, size, { kind: "ram", host: toHost(host) });
  }

  /** The same, of a device. */
  static ramDevice(name: string, size: number | bigint, host: number): MemoryRegion {
    return new MemoryRegion(name, size, { kind: "ramDevice", host: toHost(host) });
  }

  /** Host memory that the guest only reads. */
  static rom(name: string, size: number | bigint, host: number): MemoryRegion {
    return new MemoryRegion(name, size, { kind: "rom", host: toHost(host) });
  }

  /** Flash: host memory to reads, device number `device` to writes; all of it the device's in `setRomd(false)`. */
  static romDevice(name: string, size: number | bigint, host: number, device: number): MemoryRegion {
    const backing: Backing = { kind: "romDevice", host: toHost(host), device: toU32(device, "device") };
    return new MemoryRegion(name, size, backing);
  }

  /** Registers of device number `device`. */
  static io(name: string, size: number | bigint, device: number): MemoryRegion {
    return new MemoryRegion(name, size, { kind: "io", device: toU32(device, "device") });
  }

  /** The bytes from `offset` on of `target`, wherever that lies itself. */
  static alias(
    name: string,
    target: MemoryRegion,
    offset: number | bigint,
    size: number | bigint,
  ): MemoryRegion {
    if (!(target instanceof MemoryRegion)) {
      throw new TypeError(`target must be a MemoryRegion, not ${show(target)}`);
    }
    const targetOffset = toBytes(offset, "offset");
    return new MemoryRegion(name, size, { kind: "alias", target, targetOffset });
  }

  // ---- state ----

  /** Bytes. */
  get size(): bigint {
    return this.#size;
  }
  /** First byte inside its container. */
  get address(): bigint {
    return this.#address;
  }
  /** Order among what overlaps in its container, highest first. */
  get priority(): number {
    return this.#priority;
  }
  /** It is seen; off, nothing of it is. */
  get enabled(): boolean {
    return this.#enabled;
  }
  /** Guest writes are refused, to it and all that lies in it. */
  get readonly(): boolean {
    return this.#readonly;
  }
  /** A romDevice in its readable mode. */
  get romd(): boolean {
    return this.kind === "romDevice" && this.#romd;
  }
  /** A dirty log is kept. */
  get log(): boolean {
    return this.#log;
  }
  /** Byte of the target that an alias starts with. */
  get targetOffset(): bigint {
    return this.#targetOffset;
  }
  /** What it lies in; undefined if in nothing. */
  get container(): MemoryRegion | undefined {
    return this.#container;
  }
  /** Highest first. */
  get subregions(): readonly MemoryRegion[] {
    return this.#children?.all() ?? NOTHING;
  }

  // ---- changing regions ----

  /**
   * Put `child` at `address` in this region. It covers what is in its place with a lower priority, or was there
   * before with the same one; this region itself it covers always.
   * @throws RangeError if it lies somewhere already, or would lie in itself
   */
  addSubregion(address: number | bigint, child: MemoryRegion, priority = 0): void {
    if (!(child instanceof MemoryRegion))
      throw new TypeError(`child must be a MemoryRegion, not ${show(child)}`);
    if (!Number.isInteger(priority))
      throw new TypeError(`priority must be an integer, not ${show(priority)}`);
    const first = toAddress(address);
    if (child.#container !== undefined) {
      throw new RangeError(`"${child.name}" lies in "${child.#container.name}" already; alias it`);
    }
    if (this.#liesIn(child)) throw new RangeError(`"${child.name}" must not lie in itself`);
    const [addressBefore, priorityBefore] = [child.#address, child.#priority];
    noteEdit(() => {
      this.#takeOut(child);
      child.#moveTo(addressBefore);
      child.#priority = priorityBefore;
    });
    child.#priority = priority;
    this.#putIn(child, first, ++placed);
  }

  /** Take `child` out. @throws RangeError if it does not lie here */
  delSubregion(child: MemoryRegion): void {
    if (!(child instanceof MemoryRegion) || child.#container !== this) {
      throw new RangeError(`"${child?.name}" does not lie in "${this.name}"`);
    }
    const [address, order] = [child.#address, child.#order];
    noteEdit(() => this.#putIn(child, address, order));
    this.#takeOut(child);
  }

  #putIn(child: MemoryRegion, address: bigint, order: number): void {
    child.#moveTo(address);
    child.#order = order;
    child.#container = this;
    this.#children ??= new Children();
    this.#children.add(child.#asChild());
    child.#touchPlace();
  }

  #takeOut(child: MemoryRegion): void {
    child.#touchPlace();
    this.#children!.delete(child.#asChild());
    child.#container = undefined;
  }

  /** Give it another address, while it lies in nothing: a view whose root it is sees all of it move. */
  #moveTo(address: bigint): void {
    if (this.#address === address) return;
    this.#touchViews(0n, this.#size);
    this.#address = address;
    this.#touchViews(0n, this.#size);
  }

  #asChild() {
    const [start, end] = [this.#address, this.#address + this.#size];
    return { region: this, start, end, priority: this.#priority, order: this.#order };
  }

  /** True if this is `other`, or is seen in it: a walk up from here, through aliases, comes there. */
  #liesIn(other: MemoryRegion): boolean {
    if (this === other) return true;
    // Nothing is seen in what is no container and no alias.
    if (other.target === undefined && (other.#children === undefined || other.#children.empty)) return false;
    const known = new Set<MemoryRegion>([this]);
    // A set is walked in the order of its making, those that are added meanwhile included.
    for (const region of known) {
      if (region.#container !== undefined) known.add(region.#container);
      region.#aliases?.forEach((alias) => {
        known.add(alias);
      });
      if (known.has(other)) return true;
    }
    return false;
  }

  /** Its bytes [start, end) may look different, wherever they are seen. */
  #touch(start: bigint, end: bigint): void {
    if (!this.#enabled) return;
    const first = start > 0n ? start : 0n;
    const last = end < this.#size ? end : this.#size;
    if (first >= last) return;
    this.#touchViews(first, last);
    const address = this.#address;
    if (this.#container !== undefined) this.#container.#touch(first + address, last + address);
    this.#aliases?.forEach((alias) => {
      alias.#touch(first - alias.#targetOffset, last - alias.#targetOffset);
    });
  }

  #touchViews(start: bigint, end: bigint): void {
    if (!this.#enabled) return;
    this.#views?.forEach((touched) => {
      touched.add(start + this.#address, end + this.#address);
    });
  }

  /** The bytes of its container in which it lies. */
  #touchPlace(): void {
    const container = this.#container;
    if (this.#enabled && container !== undefined) container.#touch(this.#address, this.#address + this.#size);
  }

  /** Switch it, and all that lies in it, on or off. */
  setEnabled(enabled: boolean): void {
    const [before, after] = [this.#enabled, checkSwitch(enabled, "enabled")];
    if (before === after) return;
    const put = (value: boolean): void => {
      // One of the two finds it switched on.
      this.#touch(0n, this.#size);
      this.#enabled = value;
      this.#touch(0n, this.#size);
    };
    noteEdit(() => put(before));
    put(after);
  }

  /** Refuse guest writes, or allow them. A rom stays one. @throws RangeError */
  setReadonly(readonly: boolean): void {
    if (this.kind === "rom") throw new RangeError(`"${this.name}" is a rom`);
    this.#edit(this.#readonly, checkSwitch(readonly, "readonly"), (value) => {
      this.#readonly = value;
    });
  }

  /** Enter or leave the readable mode of a romDevice. @throws RangeError if it is none */
  setRomd(romd: boolean): void {
    if (this.kind !== "romDevice") throw new RangeError(`"${this.name}" is a ${this.kind}, no romDevice`);
    this.#edit(this.#romd, checkSwitch(romd, "romd"), (value) => {
      this.#romd = value;
    });
  }

  /** Keep a dirty log, or end it. */
  setLog(log: boolean): void {
    this.#edit(this.#log, checkSwitch(log, "log"), (value) => {
      this.#log = value;
    });
  }

  /** An edit that moves nothing. */
  #edit<T>(before: T, after: T, store: (value: T) => void): void {
    if (before === after) return;
    const put = (value: T): void => {
      store(value);
      this.#touch(0n, this.#size);
    };
    noteEdit(() => put(before));
    put(after);
  }

  /** Move it inside its container. Among those of equal priority it becomes the youngest. */
  setAddress(address: number | bigint): void {
    const first = toAddress(address);
    const container = this.#container;
    if (container === undefined) throw new RangeError(`"${this.name}" lies nowhere`);
    const [before, order] = [this.#address, this.#order];
    if (first === before) return;
    const put = (to: bigint, as: number): void => {
      container.#takeOut(this);
      container.#putIn(this, to, as);
    };
    noteEdit(() => put(before, order));
    put(first, ++placed);
  }

  /** Change its size, in bytes. @throws TypeError, RangeError beyond 2^64 */
  setSize(size: number | bigint): void {
    const [before, after] = [this.#size, checkSize(size)];
    if (before === after) return;
    noteEdit(() => this.#putSize(before));
    this.#putSize(after);
  }

  #putSize(size: bigint): void {
    const before = this.#size;
    const children = this.#container === undefined ? undefined : this.#container.#children;
    children?.delete(this.#asChild());
    // Only what it has the one time and not the other looks different.
    this.#size = size > before ? size : before;
    this.#touch(size < before ? size : before, this.#size);
    this.#size = size;
    children?.add(this.#asChild());
  }

  /** Let an alias show the bytes of its target from `offset` on. @throws RangeError if it is no alias */
  setTargetOffset(offset: number | bigint): void {
    if (this.kind !== "alias") throw new RangeError(`"${this.name}" is a ${this.kind}, no alias`);
    this.#edit(this.#targetOffset, toBytes(offset, "offset"), (value) => {
      this.#targetOffset = value;
    });
  }
}

const NOTHING: readonly MemoryRegion[] = /* @__PURE__ */ Object.freeze([]);

function checkSize(size: unknown): bigint {
  const bytes = toBytes(size, "size");
  if (bytes > ADDRESS_SPACE_BYTES) throw new RangeError(`size must be at most 2^64, not ${bytes}`);
  return bytes;
}

function toAddress(address: unknown): bigint {
  const first = toBytes(address, "address");
  if (first >= ADDRESS_SPACE_BYTES) throw new RangeError(`address must be below 2^64, not ${first}`);
  return first;
}

function checkSwitch(value: unknown, name: string): boolean {
  if (typeof value !== "boolean") throw new TypeError(`${name} must be a boolean, not ${show(value)}`);
  return value;
}
