/**
 * The access path: what an emulator does a billion times, against a flat DataView or the one call of the engine that
 * does part of it.
 *
 * Ours and theirs have the same accesses, and their sums must agree. The keys of a kind stay in the first caches, so
 * that it is the way to a byte that is measured and not the byte's own way from memory.
 */
import {
  type Device,
  type GuestMemory,
  type GuestPageTable,
  guestMemory,
  guestPageTable,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type Vcpu,
} from "memslots";
import { random } from "../../test/support/random.js";
import { PAGE_BYTES } from "../data/slots.js";
import {
  ACCESS_PROCESSES,
  type Case,
  type Entrant,
  type Group,
  type Results,
  type Row,
  type Scale,
} from "../harness/case.js";
import { probeCases, probeRows } from "./probe.js";

const OURS = "guestMemory";
const TABLE = "guestPageTable";
const SECTION = 100;
const RAM_GPA = 2 ** 31;
const PAGE_SHIFT = 12;
const PAGE_MASK = 0xfff;

interface Guest {
  readonly engine: MemslotEngine;
  readonly vcpu: Vcpu;
  readonly memory: GuestMemory;
  /** Accessors with page tables. */
  load?: (gpa: number) => number;
  store?: (gpa: number, value: number) => void;
  readonly view: DataView;
}

/** Slots of guest memory; host memory has them in another order, behind each other. */
interface Shape {
  readonly slots: number;
  readonly pages: number;
  /** Pages between the first pages of two slots; more than a slot has, so that no two are one. */
  readonly stride?: number;
  readonly flags?: number;
  /** The chance that an access is in the page of the one before. */
  readonly stay: number;
}

interface Kind {
  readonly id: string;
  readonly name: string;
  readonly shape: Shape;
  /** OURS if not given. */
  readonly ours?: string;
  readonly theirs: string;
  readonly target: number;
  readonly run: (guest: Guest, gpas: Float64Array, hvas: Float64Array, round: number) => number;
  readonly other: (guest: Guest, gpas: Float64Array, hvas: Float64Array, round: number) => number;
  /** What the two answer is not the same thing. */
  readonly apart?: boolean;
}

async function createGuest({ slots, pages, stride, flags = 0 }: Shape): Promise<Guest> {
  const engine = await MemslotEngine.create({ maxSlots: Math.max(slots, 8), maxPhysAddrBits: 32 });
  const npages = pages / slots;
  const regions = Array.from({ length: slots }, (_, slot) => ({
    slot,
    flags,
    guestPhysAddr: RAM_GPA + slot * (stride ?? 2 * npages) * PAGE_BYTES,
    memorySize: npages * PAGE_BYTES,
    userspaceAddr: hostSlot(slot, slots) * npages * PAGE_BYTES,
  }));
  // A window of a device in the first bytes of a page, RAM in the rest.
  const windows = [
    { gpa: DEVICE_GPA, bytes: 8, device: 1 },
    { gpa: DEVICE_GPA + 8, bytes: PAGE_BYTES - 8, hva: 8 },
  ];
  engine.setUserMemoryRegionList(regions, { windows: [windows] });
  const vcpu = engine.vcpu();
  const buffer = new ArrayBuffer(Math.max(pages * PAGE_BYTES, 2 ** 20));
  const words = new Uint32Array(buffer, 0, (pages * PAGE_BYTES) / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b1);
  const memory = guestMemory(engine, buffer, { vcpu, devices: { 1: DEVICE } });
  return { engine, vcpu, memory, view: new DataView(buffer) };
}

/** A page table of memory alone. */
function tableOf({ engine, vcpu }: Guest, access: "read" | "write"): GuestPageTable<undefined> {
  return guestPageTable<undefined>(engine, { vcpu, access, unknown: undefined, answerOf: () => undefined });
}

/** Made once in a process, as an emulator has it, and without a call of itself: V8 would not inline it. */
function loadOf(guest: Guest): (gpa: number) => number {
  const table = tableOf(guest, "read");
  const { view } = guest;
  const { entries } = table;
  return (gpa) => {
    let entry = entries[gpa >>> PAGE_SHIFT]!;
    if (entry <= 0) {
      table.fill(gpa);
      entry = entries[gpa >>> PAGE_SHIFT]!;
    }
    return view.getUint32((entry - 1) | (gpa & PAGE_MASK), true);
  };
}

function storeOf(guest: Guest): (gpa: number, value: number) => void {
  const table = tableOf(guest, "write");
  const { view } = guest;
  const { entries } = table;
  return (gpa, value) => {
    let entry = entries[gpa >>> PAGE_SHIFT]!;
    if (entry <= 0) {
      table.fill(gpa);
      entry = entries[gpa >>> PAGE_SHIFT]!;
    }
    view.setUint32((entry - 1) | (gpa & PAGE_MASK), value, true);
  };
}

const DEVICE_GPA = 2 ** 24;
const DEVICE: Device = { read: (offset) => offset, write() {} };

/** An odd number of slots further: no two neighbours stay neighbours. */
function hostSlot(slot: number, slots: number): number {
  return (slot * 5 + 3) % slots;
}

/** Aligned accesses of 4 bytes, by guest and by host address. */
function keysOf({ slots, pages, stride, stay }: Shape, count: number): [Float64Array, Float64Array] {
  const rng = random(slots * 1000 + pages);
  const npages = pages / slots;
  const gpas = new Float64Array(count);
  const hvas = new Float64Array(count);
  let page = 0;
  for (let i = 0; i < count; i++) {
    if (!rng.chance(stay)) page = rng.int(pages);
    const slot = Math.floor(page / npages);
    const offset = (page % npages) * PAGE_BYTES + 4 * rng.int(PAGE_BYTES / 4);
    gpas[i] = RAM_GPA + slot * (stride ?? 2 * npages) * PAGE_BYTES + offset;
    hvas[i] = hostSlot(slot, slots) * npages * PAGE_BYTES + offset;
  }
  return [gpas, hvas];
}

// A loop for each kind: one for all of them would be compiled for their mixture.

type Work = Kind["run"];

const flatReads: Work = ({ view }, _gpas, hvas) => {
  let sum = 0;
  for (let i = 0; i < hvas.length; i++) sum += view.getUint32(hvas[i]!, true);
  return sum;
};

const flatWrites: Work = ({ view }, _gpas, hvas, round) => {
  for (let i = 0; i < hvas.length; i++) view.setUint32(hvas[i]!, round + i, true);
  return 0;
};

const reads: Work = ({ memory }, gpas) => {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += memory.getUint32(gpas[i]!, true);
  return sum;
};

const readsInside: Work = (guest, gpas, hvas, round) => {
  guest.vcpu.enter();
  const sum = reads(guest, gpas, hvas, round);
  guest.vcpu.exit();
  return sum;
};

const writesInside: Work = ({ vcpu, memory }, gpas, _hvas, round) => {
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) memory.setUint32(gpas[i]!, round + i, true);
  vcpu.exit();
  return 0;
};

const readsInSections: Work = ({ vcpu, memory }, gpas) => {
  let sum = 0;
  for (let i = 0; i < gpas.length; ) {
    const end = Math.min(gpas.length, i + SECTION);
    vcpu.enter();
    for (; i < end; i++) sum += memory.getUint32(gpas[i]!, true);
    vcpu.exit();
  }
  return sum;
};

const tableReads: Work = (guest, gpas) => {
  const { vcpu } = guest;
  guest.load ??= loadOf(guest);
  const { load } = guest;
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) sum += load(gpas[i]!);
  vcpu.exit();
  return sum;
};

const tableWrites: Work = (guest, gpas, _hvas, round) => {
  const { vcpu } = guest;
  guest.store ??= storeOf(guest);
  const { store } = guest;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) store(gpas[i]!, round + i);
  vcpu.exit();
  return 0;
};

const translations: Work = ({ engine }, gpas) => {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += engine.gpaToHva(gpas[i]!);
  return sum;
};

const cached: Work = ({ vcpu, memory }, gpas) => {
  const cache = memory.cache();
  const word = new Uint8Array(4);
  let sum = 0;
  vcpu.enter();
  cache.init(RAM_GPA, PAGE_BYTES);
  for (let i = 0; i < gpas.length; i++) {
    cache.read(word, gpas[i]! % PAGE_BYTES);
    sum += word[0]!;
  }
  vcpu.exit();
  return sum;
};

const flatCached: Work = ({ view }, gpas) => {
  const bytes = new Uint8Array(view.buffer, 0, PAGE_BYTES);
  const word = new Uint8Array(4);
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) {
    const at = gpas[i]! % PAGE_BYTES;
    word.set(bytes.subarray(at, at + 4));
    sum += word[0]!;
  }
  return sum;
};

const nearDevice: Work = ({ vcpu, memory }, gpas) => {
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) sum += memory.getUint32(DEVICE_GPA + 8 + (gpas[i]! % 4088), true);
  vcpu.exit();
  return sum;
};

const besideDevice: Work = ({ vcpu, memory }, gpas) => {
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) sum += memory.getUint32(RAM_GPA + 8 + (gpas[i]! % 4088), true);
  vcpu.exit();
  return sum;
};

const blocksOf = (gpa: number): Work => {
  // A function of its own for each address, so that each has feedback of its own.
  return ({ vcpu, memory }, gpas) => {
    const block = new Uint8Array(PAGE_BYTES - 8);
    let sum = 0;
    vcpu.enter();
    for (let i = 0; i < gpas.length; i += 16) {
      memory.read(gpa + 8, block);
      sum += block[i % block.length]!;
    }
    vcpu.exit();
    return sum;
  };
};

const registers: Work = ({ vcpu, memory }, gpas) => {
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) sum += memory.getUint32(DEVICE_GPA + ((gpas[i]! % 8) & 4), true);
  vcpu.exit();
  return sum;
};

const resolved: Work = ({ vcpu }, gpas) => {
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) {
    vcpu.resolve(DEVICE_GPA + ((gpas[i]! % 8) & 4), false);
    sum += vcpu.offset;
  }
  vcpu.exit();
  return sum;
};

const FLAT = "flat DataView";
const FEW: Shape = { slots: 8, pages: 40, stay: 0.7 };
const MANY: Shape = { slots: 64, pages: 192, stay: 0 };
const ONE: Shape = { slots: 1, pages: 8, stay: 0.7 };
const READ = { run: readsInside, other: flatReads, theirs: FLAT };
const WRITE = { run: writesInside, other: flatWrites, theirs: FLAT };
const TABLE_READ = { run: tableReads, other: flatReads, ours: TABLE, theirs: FLAT };
const TABLE_WRITE = { run: tableWrites, other: flatWrites, ours: TABLE, theirs: FLAT };
const ALONE = { run: reads, other: translations, theirs: "engine.gpaToHva", apart: true };

const KINDS: readonly Kind[] = [
  { id: "A1", name: "access: read, 40 pages in 8 slots", shape: FEW, ...READ, target: 3 },
  { id: "A1", name: "access: write, 40 pages in 8 slots", shape: FEW, ...WRITE, target: 3 },
  { id: "A2", name: "access: write with a log", shape: { ...FEW, flags: LOG }, ...WRITE, target: 3.5 },
  {
    id: "A3",
    name: `access: read in sections of ${SECTION}`,
    shape: FEW,
    ...READ,
    run: readsInSections,
    target: 3.5,
  },
  { id: "A4", name: "access: read, 192 pages in 64 slots at random", shape: MANY, ...READ, target: 6 },
  { id: "A4", name: "access: write, 192 pages in 64 slots at random", shape: MANY, ...WRITE, target: 6 },
  { id: "A5", name: "access: read, 1 slot", shape: ONE, ...READ, target: 2.5 },
  { id: "A5", name: "access: write, 1 slot", shape: ONE, ...WRITE, target: 2.5 },
  { id: "A6", name: "access: outside of sections, 1 slot", shape: ONE, ...ALONE, target: 1.5 },
  { id: "A6", name: "access: outside of sections, 64 slots", shape: MANY, ...ALONE, target: 1.5 },
  { id: "A16", name: "access: page table, read, 40 pages in 8 slots", shape: FEW, ...TABLE_READ, target: 2 },
  {
    id: "A16",
    name: "access: page table, write with a log",
    shape: { ...FEW, flags: LOG },
    ...TABLE_WRITE,
    target: 2,
  },
  {
    id: "A16",
    name: "access: page table, read, 192 pages in 64 slots at random",
    shape: MANY,
    ...TABLE_READ,
    target: 2,
  },
  {
    id: "A7",
    name: "access: GuestCache of 4 bytes",
    shape: ONE,
    run: cached,
    other: flatCached,
    theirs: "flat, set of a subarray",
    target: 2,
    apart: true,
  },
  {
    id: "A8",
    name: "access: RAM in the page of a device",
    shape: ONE,
    run: nearDevice,
    other: besideDevice,
    theirs: "RAM elsewhere",
    target: 6,
    apart: true,
  },
  {
    id: "A8",
    name: "access: block of RAM in the page of a device",
    shape: ONE,
    run: blocksOf(DEVICE_GPA),
    other: blocksOf(RAM_GPA),
    theirs: "block of RAM elsewhere",
    target: 3,
    apart: true,
  },
  {
    id: "A9",
    name: "access: register of a device, handler outside of the section",
    shape: ONE,
    run: registers,
    other: resolved,
    theirs: "vcpu.resolve",
    target: 2,
  },
];

async function entrants(kind: Kind, count: number): Promise<Entrant[]> {
  const [gpas, hvas] = keysOf(kind.shape, count);
  const make = async (name: string, work: Work): Promise<Entrant> => {
    const guest = await createGuest(kind.shape);
    const batch = (round: number) => work(guest, gpas, hvas, round);
    const after = () => guest.view.getUint32(hvas[0]!, true);
    return { name, build: () => ({ operations: count, batch, after }), ...(kind.apart ? { tag: name } : {}) };
  };
  return [await make(kind.ours ?? OURS, kind.run), await make(kind.theirs, kind.other)];
}

const STRIDES = "access: read, 64 pages at strides";
const SIDE_BY_SIDE = "side by side";
const DISTANCES: Readonly<Record<string, number>> = {
  [SIDE_BY_SIDE]: 1,
  "16 KiB": 4,
  "1 MiB": 256,
  "4 MiB": 1024,
};

async function strides(count: number): Promise<Entrant[]> {
  return await Promise.all(
    Object.entries(DISTANCES).map(async ([name, stride]): Promise<Entrant> => {
      const shape: Shape = { slots: 64, pages: 64, stride, stay: 0 };
      const [gpas, hvas] = keysOf(shape, count);
      const guest = await createGuest(shape);
      return {
        name,
        build: () => ({ operations: count, batch: (round) => readsInside(guest, gpas, hvas, round) }),
      };
    }),
  );
}

const ONE_ENGINE = "access: one engine";
const FOUR_ENGINES = "access: four engines through one function";
const LOOKUP = "vcpu.gpaToHva";
const SIZES = [8, 64, 512, 4096];

const lookups: Work = ({ vcpu }, gpas) => {
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) sum += vcpu.gpaToHva(gpas[i]!);
  vcpu.exit();
  return sum;
};

/** Each batch belongs to the next of several engines; the accesses are to 8 of their pages. */
async function engines(sizes: readonly number[], count: number): Promise<Entrant[]> {
  const worlds = await Promise.all(
    sizes.map(async (slots) => {
      const [gpas, hvas] = keysOf({ slots: 8, pages: 8, stay: 0.7 }, count);
      return { guest: await createGuest({ slots, pages: slots, stay: 0 }), gpas, hvas };
    }),
  );
  const entrant = (name: string, work: Work): Entrant => ({
    name,
    tag: name,
    build: () => ({
      operations: count,
      batch(round) {
        const { guest, gpas, hvas } = worlds[round % worlds.length]!;
        return work(guest, gpas, hvas, round);
      },
    }),
  });
  return [entrant(OURS, readsInside), entrant(LOOKUP, lookups)];
}

const EDITS = "access: move one of many windows";
const ALL_WINDOWS = "all windows stated";
const WINDOWS = 10_000;
const EDITS_PER_BATCH = 4;

/** A commit that moves one of 10,000 windows by itself, and one that states all of them. */
async function edits(): Promise<Entrant[]> {
  const windowsOf = () =>
    Array.from({ length: WINDOWS }, (_, i) => ({ gpa: 2 * i * PAGE_BYTES, bytes: PAGE_BYTES, device: 1 }));
  const make = async (name: string, move: (engine: MemslotEngine, to: number) => void): Promise<Entrant> => {
    const engine = await MemslotEngine.create({ maxListEntries: 2 * WINDOWS });
    engine.setUserMemoryRegionList([], { windows: [windowsOf()] });
    let at = 0;
    const batch = () => {
      for (let i = 0; i < EDITS_PER_BATCH; i++) {
        at = 1 - at;
        move(engine, at);
      }
      return 0;
    };
    return { name, tag: name, build: () => ({ operations: EDITS_PER_BATCH, batch }) };
  };
  const middle = WINDOWS * PAGE_BYTES;
  return [
    await make("windowChanges", (engine, to) => {
      const add = { gpa: middle + to * 16, bytes: PAGE_BYTES, device: 1 };
      engine.setUserMemoryRegionList([], { windowChanges: [{ remove: middle + (1 - to) * 16, add }] });
    }),
    await make(ALL_WINDOWS, (engine, to) => {
      const windows = windowsOf().map((window, i) =>
        i === WINDOWS / 2 ? { ...window, gpa: middle + to * 16 } : window,
      );
      engine.setUserMemoryRegionList([], { windows: [windows] });
    }),
  ];
}

function cases(scale: Scale): Case[] {
  const { jsKeys } = scale;
  const each = KINDS.map((kind) => ({
    name: kind.name,
    n: kind.shape.slots,
    unit: "access",
    processes: ACCESS_PROCESSES,
    prepare: () => entrants(kind, jsKeys),
  }));
  const one = (name: string, prepare: () => Promise<Entrant[]>) => ({
    name,
    n: 64,
    unit: "access",
    processes: ACCESS_PROCESSES,
    prepare,
  });
  return [
    ...each,
    one(STRIDES, () => strides(jsKeys)),
    one(ONE_ENGINE, () => engines([64], jsKeys)),
    one(FOUR_ENGINES, () => engines(SIZES, jsKeys)),
    ...probeCases(scale),
    { name: EDITS, n: WINDOWS, unit: "commit", prepare: edits },
  ];
}

function rows(results: Results): Row[] {
  const each = KINDS.map(({ id, name, shape, ours = OURS, theirs, target }) => ({
    id,
    what: `${name}: ${ours} / ${theirs}`,
    n: String(shape.slots),
    target,
    ...results.ratio(name, shape.slots, ours, theirs),
  }));
  const far = Object.keys(DISTANCES).filter((name) => name !== SIDE_BY_SIDE);
  return [
    ...each,
    ...probeRows(results),
    ...far.map((name) => ({
      id: "A10",
      what: `${STRIDES}: ${name} / ${SIDE_BY_SIDE}`,
      n: "64",
      target: 2,
      ...results.ratio(STRIDES, 64, name, SIDE_BY_SIDE),
    })),
    {
      id: "A15",
      what: `${EDITS}: windowChanges / ${ALL_WINDOWS}`,
      n: String(WINDOWS),
      target: 0.01,
      ...results.ratio(EDITS, WINDOWS, "windowChanges", ALL_WINDOWS),
    },
    ...[
      { name: OURS, target: 1.2 },
      { name: LOOKUP, target: 2 },
    ].map(({ name, target }) => ({
      id: "A14",
      what: `${name}: four engines of different sizes through one function / one engine`,
      n: "64",
      target,
      ...results.ratioOf([FOUR_ENGINES, 64, name], [ONE_ENGINE, 64, name]),
    })),
  ];
}

export const access: Group = {
  name: "access",
  about: "the access path of an emulator in JavaScript",
  cases,
  rows,
};
