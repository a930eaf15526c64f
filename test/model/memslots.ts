/**
 * The oracle: the engine's public methods over a plain Map of slots per address space, written to be seen to
 * be right and not to be fast. Every question is a scan over all slots.
 */
import { ERRNO, KvmError } from "../../src/kvm/errno.js";
import * as uapi from "../../src/kvm/uapi.js";
import { type Arguments, readRegion, readRegion2, readU32, readU64 } from "./arguments.js";
import { enable, extension } from "./capabilities.js";
import {
  asIdOf,
  beyondHighestGpa,
  type Change,
  checkArguments,
  classify,
  idOf,
  knownFlagsV1,
  knownFlagsV2,
  type Limits,
  type Slot,
  sameSlot,
} from "./checks.js";
import { type DirtyPages, ModelDirtyLog } from "./dirtylog.js";
import { ModelList } from "./list.js";
import { byGpa, type GuestRange, hvaToGpas, type Mapping, toMapping } from "./mappings.js";
import { ModelPrivateMemory, type PrivateByte } from "./privatememory.js";
import { ModelVcpu } from "./vcpu.js";

export type ModelOptions = Partial<Limits> & { maxVcpus?: number };

export class ModelEngine {
  readonly limits: Limits;
  publications = 0;
  /** Slot number to slot, one map per address space. */
  layout: Map<number, Slot>[];
  readonly dirtyLog: ModelDirtyLog;
  readonly #private: ModelPrivateMemory;
  protected readonly generations: number[];
  #vcpuExists = false;

  constructor(options: ModelOptions = {}) {
    this.limits = {
      addressSpaces: options.addressSpaces ?? 1,
      maxSlots: options.maxSlots ?? 512,
      maxListEntries: options.maxListEntries ?? 4096,
      pageShift: options.pageShift ?? 12,
      maxPhysAddrBits: options.maxPhysAddrBits ?? 52,
      maxUserAddrBits: options.maxUserAddrBits ?? 47,
    };
    const asIds = [...Array(this.limits.addressSpaces).keys()];
    this.layout = asIds.map(() => new Map());
    this.generations = asIds;
    this.dirtyLog = this.createDirtyLog();
    this.#private = new ModelPrivateMemory(2 ** this.limits.pageShift);
  }

  setUserMemoryRegion(region: uapi.UserspaceMemoryRegion | Uint8Array): void {
    const op = "setUserMemoryRegion";
    this.#setOne(readRegion(region, op), knownFlagsV1, op);
  }

  setUserMemoryRegion2(region: uapi.UserspaceMemoryRegion2 | Uint8Array): void {
    const op = "setUserMemoryRegion2";
    this.#setOne(readRegion2(region, op), knownFlagsV2, op);
  }

  setUserMemoryRegionList(
    regions: readonly uapi.UserspaceMemoryRegion[],
    _options?: object,
  ): { generation: number } {
    const op = "setUserMemoryRegionList";
    if (!Array.isArray(regions)) throw new TypeError(`regions must be an array, got ${String(regions)}`);
    if (regions.length > this.limits.maxListEntries) throw new KvmError(-ERRNO.E2BIG, op);
    const entries = Array.from(regions, (region) => readRegion(region, op));
    const list = this.createList();
    const refused = list.apply(entries);
    if (refused) throw new KvmError(refused.errno, op, { index: refused.index });
    this.publishList(list);
    return { generation: this.generation(asIdOf(entries[0]?.slot ?? 0)) };
  }

  createGuestMemfd(size: number | bigint, flags: number | bigint = 0): number {
    const descriptor = this.#private.create(readU64(size, "size"), readU64(flags, "flags"));
    if (descriptor < 0) throw new KvmError(descriptor, "createGuestMemfd");
    this.published([], true);
    return descriptor;
  }

  closeGuestMemfd(descriptor: number): void {
    if (!this.#private.close(readU32(descriptor, "descriptor")))
      throw new KvmError(-ERRNO.EBADF, "closeGuestMemfd");
    this.published([], true);
  }

  setMemoryAttributes({ address, size, attributes, flags = 0 }: uapi.MemoryAttributes): void {
    const result = this.#private.setAttributes(
      readU64(address, "address"),
      readU64(size, "size"),
      readU64(attributes, "attributes"),
      readU64(flags, "flags"),
    );
    if (typeof result === "number") throw new KvmError(result, "setMemoryAttributes");
    this.published([], result);
  }

  memoryAttributes(gpa: number): number {
    return this.#private.attributes(BigInt(Math.floor(gpa)));
  }

  resolvePrivate(gpa: number, asId = 0): PrivateByte | undefined {
    const slot = this.gpaToSlot(this.layout[asId]!, gpa);
    return slot && this.#private.byteOf(slot, BigInt(Math.floor(gpa)));
  }

  checkExtension(cap: number): number {
    return extension(cap, this.limits);
  }

  enableCap(cap: number, ...args: (number | bigint)[]): void {
    const arg = readU64(args[0] ?? 0, "args[0]");
    const slotExists = this.layout.some((slots) => slots.size > 0);
    const moment = { vcpuExists: this.#vcpuExists, slotExists };
    const errno = enable(readU32(cap, "cap"), arg, this.dirtyLog, moment);
    if (errno) throw new KvmError(errno, "enableCap");
  }

  getDirtyLog(slot: number): Uint8Array {
    const bitmap = this.#dirtySlotError(readU32(slot, "slot")) || this.dirtyLog.get(this.#find(slot));
    if (typeof bitmap === "number") throw new KvmError(bitmap, "getDirtyLog");
    return bitmap;
  }

  clearDirtyLog(slot: number, firstPage: number | bigint, numPages: number, bitmap: Uint8Array): void {
    const first = readU64(firstPage, "firstPage");
    const count = readU32(numPages, "numPages");
    if (!(bitmap instanceof Uint8Array))
      throw new TypeError(`bitmap must be a Uint8Array, got ${String(bitmap)}`);
    const errno =
      this.#dirtySlotError(readU32(slot, "slot")) ||
      this.dirtyLog.clear(this.#find(slot), first, count, bitmap);
    if (errno) throw new KvmError(errno, "clearDirtyLog");
  }

  gpaToHva(gpa: number, asId = 0): number {
    return this.translate(this.layout[asId]!, gpa, true);
  }

  gpaToHvaRead(gpa: number, asId = 0): number {
    return this.translate(this.layout[asId]!, gpa, false);
  }

  markDirty(gpa: number, asId = 0): void {
    this.mark(this.layout[asId]!, this.dirtyLog.bitmaps, gpa);
  }

  slots(asId = 0): Mapping[] {
    return [...this.layout[asId]!.values()].sort(byGpa).map(toMapping);
  }

  slot(slot: number): Mapping | undefined {
    const found = this.#find(slot);
    return found && toMapping(found);
  }

  generation(asId = 0): number {
    return this.generations[asId]!;
  }

  hvaToGpas(start: number, end: number): GuestRange[] {
    return hvaToGpas(this.layout, start, end, 2 ** this.limits.pageShift);
  }

  vcpu(options: { asId?: number } = {}): ModelVcpu {
    this.#vcpuExists = true;
    return new ModelVcpu(this, options.asId ?? 0);
  }

  close(): void {}

  /** The slot that maps a gpa in a layout, the engine's or one that a read section has pinned. */
  gpaToSlot(slots: Map<number, Slot>, gpa: number): Slot | undefined {
    const address = BigInt(gpa);
    for (const slot of slots.values()) {
      if (slot.gpa <= address && address < slot.gpa + slot.size) return slot;
    }
    return undefined;
  }

  translate(slots: Map<number, Slot>, gpa: number, write: boolean): number {
    const slot = this.gpaToSlot(slots, gpa);
    if (!slot) return uapi.HVA_BAD;
    if (write && slot.flags & uapi.KVM_MEM_READONLY) return uapi.HVA_RO_BAD;
    return Number(slot.hva + BigInt(gpa) - slot.gpa);
  }

  mark(slots: Map<number, Slot>, bitmaps: ReadonlyMap<number, DirtyPages>, gpa: number): void {
    const slot = this.gpaToSlot(slots, gpa);
    if (slot) bitmaps.get(slot.slot)?.add(Number((BigInt(gpa) - slot.gpa) >> BigInt(this.limits.pageShift)));
  }

  /** Half-open ranges of one address space; a slot never collides with itself. */
  overlaps(a: Slot, b: Slot): boolean {
    if (a.slot === b.slot || asIdOf(a.slot) !== asIdOf(b.slot)) return false;
    return a.gpa < b.gpa + b.size && b.gpa < a.gpa + a.size;
  }

  protected createDirtyLog(): ModelDirtyLog {
    return new ModelDirtyLog(this.limits.pageShift);
  }

  protected createList(): ModelList {
    return new ModelList(this, this.limits);
  }

  protected publishList(list: ModelList): void {
    const changed = list.layout.map((slots, asId) => {
      const before = this.layout[asId]!;
      return [...new Set([...before.keys(), ...slots.keys()])].filter(
        (slot) => !sameSlot(before.get(slot), slots.get(slot)),
      );
    });
    this.dirtyLog.changeAll(
      changed.flat().map((slot) => ({
        slot,
        before: this.#find(slot),
        after: list.layout[asIdOf(slot)]!.get(slot),
        logEnded: list.logEnded.has(slot),
      })),
    );
    this.layout = list.layout;
    this.published(changed.flatMap((slots, asId) => (slots.length > 0 ? [asId] : [])));
  }

  /** One publication, however many address spaces it changes. */
  protected published(asIds: number[], besides = false): void {
    for (const asId of asIds) this.generations[asId]! += this.limits.addressSpaces;
    if (asIds.length > 0 || besides) this.publications++;
  }

  /** A single update does not go through the list code, so that the tests compare the two. */
  #setOne(args: Arguments, knownFlags: (flags: number) => boolean, op: string): void {
    const change = checkArguments(args, this.limits, knownFlags) || classify(args, this.#find(args.slot));
    const errno = typeof change === "number" ? change : this.#checkLayout(args, change);
    if (errno) throw new KvmError(errno, op);
    if (change === "NONE") return;
    const asId = asIdOf(args.slot);
    const slots = this.layout[asId]!;
    const before = slots.get(args.slot);
    const after = change === "DELETE" ? undefined : toSlot(args);
    if (after) slots.set(args.slot, after);
    else slots.delete(args.slot);
    if (after && args.flags === uapi.KVM_MEM_GUEST_MEMFD) this.#private.bind(after, args);
    this.dirtyLog.change(args.slot, before, after, false);
    this.published([asId]);
  }

  #checkLayout(args: Arguments, change: Change): number {
    if (change !== "CREATE" && change !== "MOVE") return 0;
    for (const other of this.layout[asIdOf(args.slot)]!.values()) {
      if (this.overlaps(args, other)) return -ERRNO.EEXIST;
    }
    const live = new Set(this.layout.flatMap((slots) => [...slots.values()]));
    const unbound = args.flags === uapi.KVM_MEM_GUEST_MEMFD ? this.#private.checkBinding(args, live) : 0;
    if (unbound) return unbound;
    return beyondHighestGpa(args, this.limits) ? -ERRNO.EINVAL : 0;
  }

  #find(slot: number): Slot | undefined {
    return this.layout[asIdOf(slot)]?.get(slot);
  }

  /** Refusals of GET and CLEAR that come before any slot is looked up. */
  #dirtySlotError(slot: number): number {
    if (!this.dirtyLog.usesBitmaps) return -ERRNO.ENXIO;
    const valid = asIdOf(slot) < this.limits.addressSpaces && idOf(slot) < this.limits.maxSlots;
    return valid ? 0 : -ERRNO.EINVAL;
  }
}

function toSlot({ slot, flags, gpa, size, hva }: Arguments): Slot {
  return { slot, flags, gpa, size, hva };
}
