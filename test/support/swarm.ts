/** Random operations for a differential run, most of which succeed. */
import type { Slot } from "../../src/kvm/region.js";
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import type { Random } from "./random.js";
import { deletion, memoryRegion, slotNumber } from "./region.js";
import type { Kind, Shape } from "./swarmshape.js";

export type Op =
  | { op: "set" | "set2"; region: UserspaceMemoryRegion; form: "number" | "bigint" | "bytes" }
  | { op: "list"; regions: UserspaceMemoryRegion[] }
  | { op: "getDirtyLog"; slot: number }
  | { op: "clearDirtyLog"; slot: number; firstPage: number; numPages: number; pages: number[] }
  | { op: "manualProtect"; arg: number }
  | { op: "markDirty"; gpa: number; asId: number }
  | { op: "hvaToGpas"; start: number; end: number };

/** The state that the generator may read. */
interface View {
  slots(asId?: number): Slot[];
}

export class Swarm {
  readonly shape: Shape;
  readonly #random: Random;
  readonly #view: View;
  readonly #pageSize: number;

  constructor(random: Random, shape: Shape, view: View) {
    this.#random = random;
    this.shape = shape;
    this.#view = view;
    this.#pageSize = 2 ** shape.options.pageShift;
  }

  next(): Op {
    const kind = this.#kind();
    switch (kind) {
      case "set":
      case "set2":
        return { op: kind, region: this.#region(), form: this.#random.pick(["number", "bigint", "bytes"]) };
      case "list":
        return { op: "list", regions: this.#list() };
      case "getDirtyLog":
        return { op: kind, slot: this.#logging()?.slot ?? this.#slot() };
      case "clearDirtyLog":
        return this.#clearDirtyLog();
      case "manualProtect":
        return { op: kind, arg: this.#random.pick([0, 0, 1, 3, 2, 4]) };
      case "markDirty":
        return this.#markDirty();
      case "hvaToGpas":
        return { op: kind, ...this.drawHvaRange() };
    }
  }

  /** The slots to begin with: small ones with gaps, created from the middle outwards in lists. */
  populate(): Op[] {
    const { populate, startGfn, windowPages } = this.shape;
    const stride = Math.floor((windowPages - 2) / Math.max(populate, 1));
    const creates = Array.from({ length: populate }, (_, i) => {
      const place = (i * 181) % populate;
      const npages = 1 + this.#random.int(stride);
      return { ...this.#create(i), guestPhysAddr: (startGfn + place * stride) * this.#pageSize, npages };
    });
    const regions = creates.map(({ npages, ...each }) => ({ ...each, memorySize: npages * this.#pageSize }));
    return populate > 0 ? [{ op: "list", regions }] : [];
  }

  /** Some byte of the window, or of a page beside it. */
  drawGpa(): number {
    return this.#gfn() * this.#pageSize + this.#random.int(this.#pageSize);
  }

  #kind(): Kind {
    const { weights } = this.shape;
    let at = this.#random.next() * [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    for (const [kind, weight] of weights) if ((at -= weight) < 0) return kind;
    return "set";
  }

  #asId(): number {
    return this.#random.int(this.shape.options.addressSpaces);
  }

  #slot(): number {
    const slot = slotNumber(this.#asId(), this.#random.pick(this.shape.ids));
    if (!this.#random.chance(this.shape.spoil)) return slot;
    const { addressSpaces, maxSlots } = this.shape.options;
    return this.#random.pick([maxSlots, 0x7fff, 0xffff, slotNumber(addressSpaces, 0), 0xffff_ffff]);
  }

  #gfn(): number {
    return Math.max(0, this.shape.startGfn - 1 + this.#random.int(this.shape.windowPages + 2));
  }

  #live(): Slot | undefined {
    const slots = this.#view.slots(this.#asId());
    return slots.length > 0 ? this.#random.pick(slots) : undefined;
  }

  /** Mostly a slot with a dirty log. */
  #logging(): Slot | undefined {
    const slots = this.#view.slots(this.#asId()).filter(({ flags }) => flags & KVM_MEM_LOG_DIRTY_PAGES);
    return slots.length > 0 && this.#random.chance(0.9) ? this.#random.pick(slots) : undefined;
  }

  #flags(): number {
    const readonly = this.#random.chance(0.25) ? KVM_MEM_READONLY : 0;
    return readonly | (this.#random.chance(this.shape.logging) ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  }

  #region(): UserspaceMemoryRegion {
    const live = this.#random.chance(0.6) ? this.#live() : undefined;
    const drawn = live ? this.#change(live) : this.#create(this.#slot());
    return this.#random.chance(this.shape.spoil) ? this.#spoilt(drawn) : drawn;
  }

  #create(slot: number): UserspaceMemoryRegion {
    const npages = 1 + this.#random.int(Math.min(this.shape.windowPages, this.#random.pick([2, 4, 300])));
    const hva = this.#random.int(this.shape.hvaPages) * this.#pageSize;
    return memoryRegion(slot, this.#flags(), this.#gfn() * this.#pageSize, npages * this.#pageSize, hva);
  }

  #change(live: Slot): UserspaceMemoryRegion {
    const moved = { ...live, guestPhysAddr: this.#gfn() * this.#pageSize };
    const nudge = this.#random.pick([-2, -1, 1, 2]) * this.#pageSize;
    return this.#random.pick<UserspaceMemoryRegion>([
      deletion(live.slot),
      live,
      moved,
      { ...moved, flags: live.flags ^ KVM_MEM_LOG_DIRTY_PAGES },
      { ...live, flags: live.flags ^ KVM_MEM_LOG_DIRTY_PAGES },
      { ...live, guestPhysAddr: Math.max(0, live.guestPhysAddr + nudge) },
      { ...live, flags: live.flags ^ KVM_MEM_READONLY },
      { ...live, userspaceAddr: live.userspaceAddr + this.#pageSize },
      { ...live, memorySize: live.memorySize + this.#pageSize },
    ]);
  }

  #spoilt(good: UserspaceMemoryRegion): UserspaceMemoryRegion {
    const end = 2 ** this.shape.options.maxPhysAddrBits;
    return this.#random.pick<UserspaceMemoryRegion>([
      { ...good, flags: 2 ** (2 + this.#random.int(30)) },
      { ...good, guestPhysAddr: BigInt(good.guestPhysAddr) + 1n },
      { ...good, memorySize: BigInt(good.memorySize) + 1n },
      { ...good, userspaceAddr: BigInt(good.userspaceAddr) + 1n },
      { ...good, userspaceAddr: 0xffff_8000_0000_0000n },
      { ...good, guestPhysAddr: end },
      { ...good, guestPhysAddr: end - this.#pageSize },
      { ...good, guestPhysAddr: (1n << 64n) - BigInt(this.#pageSize) },
      { ...good, memorySize: 2n ** 31n * BigInt(this.#pageSize) },
      { ...good, memorySize: 1n << 63n },
    ]);
  }

  #list(): UserspaceMemoryRegion[] {
    const length = this.#random.int(this.shape.listLength + 1);
    const draw = this.#random.pick([
      () => Array.from({ length }, () => this.#region()),
      () => this.#relayout(length),
      () => this.#rotation(),
      () => this.#sweep(length),
    ]);
    const entries = draw();
    return this.#random.chance(2 * this.shape.spoil) ? this.#reachTooHigh(entries) : entries;
  }

  /** A list whose fault shows in its final layout alone. */
  #reachTooHigh(entries: UserspaceMemoryRegion[]): UserspaceMemoryRegion[] {
    const end = 2 ** this.shape.options.maxPhysAddrBits;
    const high = {
      ...(this.#live() ?? this.#create(this.#slot())),
      guestPhysAddr: end - this.#random.pick([0, 0, this.#pageSize]),
    };
    const index = this.#random.int(entries.length + 1);
    return [...entries.slice(0, index), high, ...entries.slice(index)];
  }

  /** Slots are deleted and created anew over the same pages, in any order: full of transient overlap. */
  #relayout(length: number): UserspaceMemoryRegion[] {
    const gone = new Set(Array.from({ length }, () => this.#live()).filter((slot) => slot !== undefined));
    const places = [...gone].map(({ slot, guestPhysAddr }) => ({ slot, guestPhysAddr }));
    const entries = [...gone].flatMap((slot): UserspaceMemoryRegion[] => [
      deletion(slot.slot),
      {
        ...(this.#random.chance(0.5) ? slot : this.#create(slot.slot)),
        guestPhysAddr: this.#random.pick(places).guestPhysAddr,
        memorySize: this.#random.chance(0.7) ? slot.memorySize : this.#pageSize,
      },
    ]);
    if (this.#random.chance(0.2)) entries.sort(() => this.#random.next() - 0.5);
    return this.#random.chance(0.7) ? entries : entries.filter(() => this.#random.chance(0.8));
  }

  /** Each slot of one address space moves to where the next one was. */
  #rotation(): UserspaceMemoryRegion[] {
    const slots = this.#view.slots(this.#asId());
    return slots.map((slot, i) => ({ ...slot, guestPhysAddr: slots[(i + 1) % slots.length]!.guestPhysAddr }));
  }

  /** Neighbours all go, or all move by the same distance, which empties and fills whole chunks of an index. */
  #sweep(length: number): UserspaceMemoryRegion[] {
    const slots = this.#view.slots(this.#asId());
    const first = this.#random.int(slots.length);
    const swept = slots.slice(first, first + length);
    const shift = this.#random.pick([-2, -1, 1, 2, this.shape.windowPages]) * this.#pageSize;
    if (this.#random.chance(0.5)) return swept.map(({ slot }) => deletion(slot));
    return swept.map((slot) => ({ ...slot, guestPhysAddr: Math.max(slot.guestPhysAddr + shift, 0) }));
  }

  #markDirty(): Op {
    const live = this.#logging();
    if (!live) return { op: "markDirty", gpa: this.drawGpa(), asId: this.#asId() };
    const gpa = live.guestPhysAddr + Math.floor(this.#random.next() * live.memorySize);
    return { op: "markDirty", gpa, asId: Math.floor(live.slot / 0x1_0000) };
  }

  #clearDirtyLog(): Op {
    const live = this.#logging();
    const npages = (live?.memorySize ?? 0) / this.#pageSize;
    const firstPage = this.#random.chance(0.8)
      ? 64 * this.#random.int(Math.ceil(npages / 64))
      : this.#random.int(300);
    const rest = Math.max(npages - firstPage, 0);
    const numPages = this.#random.chance(0.8) ? rest : this.#random.pick([0, 64, this.#random.int(300)]);
    const pages = Array.from({ length: this.#random.int(20) }, () => this.#random.int(Math.max(numPages, 1)));
    return { op: "clearDirtyLog", slot: live?.slot ?? this.#slot(), firstPage, numPages, pages };
  }

  /** Host bytes, mostly whole pages. */
  drawHvaRange(): { start: number; end: number } {
    const { hvaPages, windowPages } = this.shape;
    const align = this.#random.chance(0.7) ? this.#pageSize : 1;
    const draw = (pages: number) =>
      Math.floor((this.#random.next() * pages * this.#pageSize) / align) * align;
    const start = draw(hvaPages + windowPages);
    return { start, end: start + draw(this.#random.pick([1, 2, 3, windowPages])) };
  }
}
