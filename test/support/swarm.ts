/**
 * Random operations for a differential run. Each run has its own shape (swarm testing): some kinds of operation are
 * off, others frequent; ids come from a small hot pool or from all; addresses from a window that is tight or wide.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type MemoryRegion } from "../../src/uapi.js";
import { deletion, type Mapping, type Options, region, slotNumber } from "./implementation.js";
import type { Random } from "./random.js";

export type Op =
  | { op: "set" | "set2"; region: MemoryRegion; form: "number" | "bigint" | "bytes" }
  | { op: "list"; regions: MemoryRegion[] }
  | { op: "getDirtyLog"; slot: number }
  | { op: "clearDirtyLog"; slot: number; firstPage: number; numPages: number; pages: number[] }
  | { op: "manualProtect"; arg: number }
  | { op: "markDirty"; gpa: number; asId: number }
  | { op: "hvaToGpas"; start: number; end: number };

type Kind = Op["op"];

const KINDS: readonly Kind[] = [
  "set",
  "set2",
  "list",
  "getDirtyLog",
  "clearDirtyLog",
  "manualProtect",
  "markDirty",
  "hvaToGpas",
];

/** What the generator may look at, so that most of what it asks for is not refused at once. */
interface View {
  slots(asId?: number): Mapping[];
}

export interface Shape {
  options: Required<
    Pick<Options, "addressSpaces" | "maxSlots" | "maxListEntries" | "pageShift" | "maxPhysAddrBits">
  >;
  ids: number[];
  startGfn: number;
  windowPages: number;
  hvaPages: number;
  /** Odds that a new slot keeps a dirty log. */
  logging: number;
  /** Odds that a field is given a value that KVM refuses. */
  spoil: number;
  listLength: number;
  weights: Map<Kind, number>;
  /** Manual protect stays enabled, so that every step can look at all dirty bits. */
  observeDirty: boolean;
}

export function drawShape(random: Random): Shape {
  const wide = random.chance(0.2);
  const maxSlots = random.pick([3, 8, 64, 512]);
  const pageShift = random.pick([8, 10, 12, 12, 12, 14, 16, 21, 30]);
  const windowPages = wide ? 4096 : random.pick([4, 8, 16, 48, 200]);
  const weights = new Map<Kind, number>(
    KINDS.map((kind) => [kind, random.chance(0.2) ? 0 : random.next() ** 2]),
  );
  weights.set(random.pick(["set", "list"]), 1);
  const maxPhysAddrBits = random.pick([pageShift + 13, 46, 52]);
  const gfnEnd = 2 ** (maxPhysAddrBits - pageShift);
  const observeDirty = random.chance(0.7);
  if (observeDirty) weights.set("manualProtect", 0);
  return {
    options: {
      addressSpaces: 1 + random.int(4),
      maxSlots,
      maxListEntries: random.pick([1, 2, 8, 64]),
      pageShift,
      maxPhysAddrBits,
    },
    ids: random.chance(0.7)
      ? [...Array(Math.min(maxSlots, 2 + random.int(6))).keys()]
      : [...Array(maxSlots).keys()],
    startGfn: random.pick([0, 0, Math.floor(gfnEnd / 2), gfnEnd - windowPages + 2]),
    windowPages,
    hvaPages: random.pick([windowPages, 4 * windowPages]),
    logging: random.pick([0.1, 0.5, 0.9]),
    spoil: random.pick([0, 0, 0.02, 0.1]),
    listLength: random.pick([2, 4, 10, 66]),
    weights,
    observeDirty,
  };
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
        return this.#hvaToGpas();
    }
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

  #live(): Mapping | undefined {
    const slots = this.#view.slots(this.#asId());
    return slots.length > 0 ? this.#random.pick(slots) : undefined;
  }

  /** Mostly a slot whose dirty log can be had. */
  #logging(): Mapping | undefined {
    const slots = this.#view.slots(this.#asId()).filter(({ flags }) => flags & KVM_MEM_LOG_DIRTY_PAGES);
    return slots.length > 0 && this.#random.chance(0.9) ? this.#random.pick(slots) : undefined;
  }

  #flags(): number {
    const readonly = this.#random.chance(0.25) ? KVM_MEM_READONLY : 0;
    return readonly | (this.#random.chance(this.shape.logging) ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  }

  #region(): MemoryRegion {
    const live = this.#random.chance(0.6) ? this.#live() : undefined;
    const drawn = live ? this.#change(live) : this.#create(this.#slot());
    return this.#random.chance(this.shape.spoil) ? this.#spoilt(drawn) : drawn;
  }

  #create(slot: number): MemoryRegion {
    const npages = 1 + this.#random.int(Math.min(this.shape.windowPages, this.#random.pick([2, 4, 300])));
    const hva = this.#random.int(this.shape.hvaPages) * this.#pageSize;
    return region(slot, this.#flags(), this.#gfn() * this.#pageSize, npages * this.#pageSize, hva);
  }

  #change(live: Mapping): MemoryRegion {
    const moved = { ...live, guestPhysAddr: this.#gfn() * this.#pageSize };
    const nudge = this.#random.pick([-2, -1, 1, 2]) * this.#pageSize;
    return this.#random.pick<MemoryRegion>([
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

  #spoilt(good: MemoryRegion): MemoryRegion {
    const end = 2 ** this.shape.options.maxPhysAddrBits;
    return this.#random.pick<MemoryRegion>([
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

  #list(): MemoryRegion[] {
    const length = this.#random.int(this.shape.listLength + 1);
    const draw = this.#random.pick([
      () => Array.from({ length }, () => this.#region()),
      () => this.#relayout(length),
      () => this.#rotation(),
    ]);
    return draw();
  }

  /** Slots are deleted and created anew over the same pages, in any order: full of transient overlap. */
  #relayout(length: number): MemoryRegion[] {
    const gone = new Set(Array.from({ length }, () => this.#live()).filter((slot) => slot !== undefined));
    const places = [...gone].map(({ slot, guestPhysAddr }) => ({ slot, guestPhysAddr }));
    const entries = [...gone].flatMap((slot): MemoryRegion[] => [
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
  #rotation(): MemoryRegion[] {
    const slots = this.#view.slots(this.#asId());
    return slots.map((slot, i) => ({ ...slot, guestPhysAddr: slots[(i + 1) % slots.length]!.guestPhysAddr }));
  }

  #markDirty(): Op {
    const live = this.#logging();
    const page = live ? this.#random.int(live.memorySize / this.#pageSize) : this.#gfn();
    const gpa = (live?.guestPhysAddr ?? 0) + page * this.#pageSize + this.#random.int(this.#pageSize);
    return { op: "markDirty", gpa, asId: live ? Math.floor(live.slot / 0x1_0000) : this.#asId() };
  }

  #clearDirtyLog(): Op {
    const live = this.#logging();
    const npages = (live?.memorySize ?? 0) / this.#pageSize;
    const firstPage = this.#random.chance(0.8) ? 64 * this.#random.int(npages / 64) : this.#random.int(300);
    const rest = Math.max(npages - firstPage, 0);
    const numPages = this.#random.chance(0.8) ? rest : this.#random.pick([0, 64, this.#random.int(300)]);
    const pages = Array.from({ length: this.#random.int(20) }, () => this.#random.int(Math.max(numPages, 1)));
    return { op: "clearDirtyLog", slot: live?.slot ?? this.#slot(), firstPage, numPages, pages };
  }

  #hvaToGpas(): Op {
    const start = this.#random.int(this.shape.hvaPages + this.shape.windowPages) * this.#pageSize;
    const bytes = this.#random.pick([0, 1, 2, this.shape.windowPages]) * this.#pageSize;
    return { op: "hvaToGpas", start, end: start + bytes };
  }
}
