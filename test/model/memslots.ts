/**
 * The oracle: the engine's public methods over a plain Map of slots per address space, written to be seen to be
 * right and not to be fast. Every question is a scan over all slots.
 */
import { ERRNO, KvmError } from "../../src/errno.js";
import * as uapi from "../../src/uapi.js";
import { type Arguments, readRegion, readRegion2, readU32, readU64 } from "./arguments.js";
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
import { ModelDirtyLog } from "./dirtylog.js";
import { ModelList } from "./list.js";
import { ModelVcpu } from "./vcpu.js";

export type ModelOptions = Partial<Limits> & { maxVcpus?: number };

export interface Mapping {
  slot: number;
  flags: number;
  guestPhysAddr: number;
  memorySize: number;
  userspaceAddr: number;
}

const RING_BYTES_MIN = 4096;
const RING_BYTES_MAX = 1 << 20;

function byGpa(a: Slot, b: Slot): number {
  return a.gpa < b.gpa ? -1 : 1;
}

function byHva(a: Slot, b: Slot): number {
  if (a.hva !== b.hva) return a.hva < b.hva ? -1 : 1;
  return a.slot - b.slot;
}

export class ModelEngine {
  readonly limits: Limits;
  publications = 0;
  /** Slot number to slot, one map per address space. */
  layout: Map<number, Slot>[];
  protected readonly dirtyLog: ModelDirtyLog;
  protected readonly generations: number[];
  #vcpuExists = false;

  constructor(options: ModelOptions = {}) {
    this.limits = {
      addressSpaces: options.addressSpaces ?? 1,
      maxSlots: options.maxSlots ?? 512,
      maxListEntries: options.maxListEntries ?? 4096,
      pageShift: options.pageShift ?? 12,
      maxPhysAddrBits: options.maxPhysAddrBits ?? 52,
    };
    const asIds = [...Array(this.limits.addressSpaces).keys()];
    this.layout = asIds.map(() => new Map());
    this.generations = asIds;
    this.dirtyLog = this.createDirtyLog();
  }

  setUserMemoryRegion(region: uapi.MemoryRegion | Uint8Array): void {
    const op = "setUserMemoryRegion";
    this.#setOne(readRegion(region, op), knownFlagsV1, op);
  }

  setUserMemoryRegion2(region: uapi.MemoryRegion2 | Uint8Array): void {
    const op = "setUserMemoryRegion2";
    this.#setOne(readRegion2(region, op), knownFlagsV2, op);
  }

  setUserMemoryRegionList(regions: readonly uapi.MemoryRegion[], _options?: object): { generation: number } {
    const op = "setUserMemoryRegionList";
    if (!Array.isArray(regions)) throw new TypeError(`regions must be an array, got ${String(regions)}`);
    if (regions.length > this.limits.maxListEntries) throw new KvmError(-ERRNO.E2BIG, op);
    const entries = Array.from(regions, (region) => readRegion(region, op));
    const list = this.createList();
    const refused = list.apply(entries);
    if (refused) throw new KvmError(refused.errno, op, { index: refused.index });
    this.publishList(list);
    return { generation: this.generation() };
  }

  checkExtension(cap: number): number {
    switch (cap) {
      case uapi.KVM_CAP_NR_MEMSLOTS:
        return this.limits.maxSlots;
      case uapi.KVM_CAP_MULTI_ADDRESS_SPACE:
        return this.limits.addressSpaces;
      case uapi.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return uapi.KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | uapi.KVM_DIRTY_LOG_INITIALLY_SET;
      case uapi.KVM_CAP_DIRTY_LOG_RING:
        return RING_BYTES_MAX;
      case uapi.KVM_CAP_USER_MEMORY_REGION_LIST:
        return this.limits.maxListEntries;
      case uapi.KVM_CAP_READONLY_MEM:
      case uapi.KVM_CAP_USER_MEMORY2:
        return 1;
      default:
        return 0;
    }
  }

  enableCap(cap: number, ...args: (number | bigint)[]): void {
    const arg = readU64(args[0] ?? 0, "args[0]");
    const errno = this.#enableCap(readU32(cap, "cap"), arg);
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
    const slot = this.gpaToSlot(this.layout[asId]!, gpa);
    if (slot) this.dirtyLog.mark(slot, Number((BigInt(gpa) - slot.gpa) >> BigInt(this.limits.pageShift)));
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

  hvaToGpas(start: number, end: number): { slot: number; gpa: number; bytes: number }[] {
    const parts = [];
    for (const slots of this.layout) {
      for (const slot of [...slots.values()].sort(byHva)) {
        const hva = Number(slot.hva);
        const from = Math.max(start, hva);
        const to = Math.min(end, hva + Number(slot.size));
        if (from < to) parts.push({ slot: slot.slot, gpa: Number(slot.gpa) + from - hva, bytes: to - from });
      }
    }
    return parts;
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
    for (const slot of changed.flat()) {
      const before = this.#find(slot);
      const after = list.layout[asIdOf(slot)]!.get(slot);
      this.dirtyLog.change(slot, before, after, list.logEnded.has(slot));
    }
    this.layout = list.layout;
    this.published(changed.flatMap((slots, asId) => (slots.length > 0 ? [asId] : [])));
  }

  /** One publication, however many address spaces it changes. */
  protected published(asIds: number[]): void {
    for (const asId of asIds) this.generations[asId]! += this.limits.addressSpaces;
    if (asIds.length > 0) this.publications++;
  }

  /** Where one update and a list of one part: kept apart on purpose, so that the tests compare the two. */
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
    this.dirtyLog.change(args.slot, before, after, false);
    this.published([asId]);
  }

  #checkLayout(args: Arguments, change: Change): number {
    if (change !== "CREATE" && change !== "MOVE") return 0;
    for (const other of this.layout[asIdOf(args.slot)]!.values()) {
      if (this.overlaps(args, other)) return -ERRNO.EEXIST;
    }
    // No guest_memfd can exist here, so every descriptor is a bad one.
    if (args.flags === uapi.KVM_MEM_GUEST_MEMFD) return -ERRNO.EBADF;
    return beyondHighestGpa(args, this.limits) ? -ERRNO.EINVAL : 0;
  }

  #find(slot: number): Slot | undefined {
    return this.layout[asIdOf(slot)]?.get(slot);
  }

  /** What GET and CLEAR refuse before they look at a slot. */
  #dirtySlotError(slot: number): number {
    if (this.dirtyLog.ringEnabled) return -ERRNO.ENXIO;
    const valid = asIdOf(slot) < this.limits.addressSpaces && idOf(slot) < this.limits.maxSlots;
    return valid ? 0 : -ERRNO.EINVAL;
  }

  #enableCap(cap: number, arg: bigint): number {
    if (cap === uapi.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) {
      if (arg !== 0n && arg !== 1n && arg !== 3n) return -ERRNO.EINVAL;
      this.dirtyLog.manualProtect = arg !== 0n;
      this.dirtyLog.initiallySet = arg === 3n;
      return 0;
    }
    if (cap !== uapi.KVM_CAP_DIRTY_LOG_RING) return -ERRNO.EINVAL;
    const powerOfTwo = arg > 0n && (arg & (arg - 1n)) === 0n;
    if (!powerOfTwo || arg < BigInt(RING_BYTES_MIN)) return -ERRNO.EINVAL;
    if (arg > BigInt(RING_BYTES_MAX)) return -ERRNO.E2BIG;
    if (this.dirtyLog.ringEnabled || this.#vcpuExists) return -ERRNO.EINVAL;
    this.dirtyLog.ringEnabled = true;
    return 0;
  }
}

function toSlot({ slot, flags, gpa, size, hva }: Arguments): Slot {
  return { slot, flags, gpa, size, hva };
}

function toMapping(slot: Slot): Mapping {
  return {
    slot: slot.slot,
    flags: slot.flags,
    guestPhysAddr: Number(slot.gpa),
    memorySize: Number(slot.size),
    userspaceAddr: Number(slot.hva),
  };
}
