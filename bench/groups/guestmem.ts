/**
 * Guest memory by guest address, against DataView and Uint8Array on a flat buffer.
 *
 * Both competitors of a case have the same keys. Their reads are summed, their writes are summed after the batch, and
 * the sums must agree. Guest RAM fits the first cache, so the way to a byte is measured, not the memory behind it.
 */
import { type GuestMemory, guestMemory, KVM_MEM_LOG_DIRTY_PAGES, MemslotEngine, type Vcpu } from "memslots";
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

const FLAT = "flat buffer";
const GUEST = "guest memory";
const RAM_BYTES = 8 * PAGE_BYTES;
const BUFFER_BYTES = 2 ** 20;
/** First guest address; not 0, so that a guest address is no host address. */
const RAM_GPA = 2 ** 32;
/** A block takes as long as some dozen words, but all must be compiled before the first round. */
const WORDS_PER_BLOCK = 4;
/** An interpreter's next access is mostly in the slot of the last one. */
const STAY = 0.9;

/** Accesses of one kind. */
interface Kind {
  readonly id: string;
  readonly name: string;
  /** Slots that the guest's RAM is cut into. */
  readonly slots: number;
  readonly run: (guest: Guest, gpas: Float64Array, round: number) => number;
  readonly flat: (ram: Ram, gpas: Float64Array, round: number) => number;
  readonly bytes: number;
  readonly flags?: number;
  /** Target: at most so many times the flat cost. */
  readonly target: number;
}

/**
 * Host bytes; all of them are views of one buffer. The alignment of its ends makes a copy of 4 KiB up to half as much
 * slower, and this gives both competitors the same. The buffer is so large that it begins at a page.
 */
class Ram {
  readonly buffer = new ArrayBuffer(BUFFER_BYTES);
  readonly view = new DataView(this.buffer, 0, RAM_BYTES);
  readonly bytes = new Uint8Array(this.buffer, 0, RAM_BYTES);
  readonly words = new Uint32Array(this.buffer, 0, RAM_BYTES / 4);
  readonly block = new Uint8Array(this.buffer, RAM_BYTES, PAGE_BYTES);

  constructor() {
    for (let i = 0; i < this.words.length; i++) this.words[i] = Math.imul(i, 0x9e3779b1);
  }

  sum(): number {
    return this.words.reduce((sum, word) => sum + word, 0) + this.block.reduce((sum, byte) => sum + byte, 0);
  }
}

interface Guest {
  readonly ram: Ram;
  readonly vcpu: Vcpu;
  readonly memory: GuestMemory;
}

async function createGuest({ slots, flags = 0 }: Kind): Promise<Guest> {
  const engine = await MemslotEngine.create();
  const memorySize = RAM_BYTES / slots;
  const regions = Array.from({ length: slots }, (_, slot) => {
    const userspaceAddr = slot * memorySize;
    return { slot, flags, guestPhysAddr: RAM_GPA + userspaceAddr, memorySize, userspaceAddr };
  });
  engine.setUserMemoryRegionList(regions);
  const vcpu = engine.vcpu();
  const ram = new Ram();
  return { ram, vcpu, memory: guestMemory(engine, ram.buffer, { vcpu }) };
}

/** Guest addresses of accesses, not aligned, none of which crosses slots. */
function gpasOf({ slots, bytes }: Kind, count: number): Float64Array {
  const rng = random(slots * PAGE_BYTES + bytes);
  const slotBytes = RAM_BYTES / slots;
  let slot = 0;
  return Float64Array.from({ length: count }, () => {
    if (!rng.chance(STAY)) slot = rng.int(slots);
    return RAM_GPA + slot * slotBytes + rng.int(slotBytes - bytes + 1);
  });
}

// A loop for each kind, because one loop for all would be compiled for their mixture.

function readFlatWords({ view }: Ram, gpas: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += view.getUint32(gpas[i]! - RAM_GPA, true);
  return sum;
}

function readWords({ memory }: Guest, gpas: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += memory.getUint32(gpas[i]!, true);
  return sum;
}

function readInSection(guest: Guest, gpas: Float64Array): number {
  guest.vcpu.enter();
  const sum = readWords(guest, gpas);
  guest.vcpu.exit();
  return sum;
}

function writeFlatWords({ view }: Ram, gpas: Float64Array, round: number): number {
  for (let i = 0; i < gpas.length; i++) view.setUint32(gpas[i]! - RAM_GPA, round + i, true);
  return 0;
}

function writeInSection({ vcpu, memory }: Guest, gpas: Float64Array, round: number): number {
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) memory.setUint32(gpas[i]!, round + i, true);
  vcpu.exit();
  return 0;
}

function readFlatBlocks({ bytes, block }: Ram, gpas: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) {
    const at = gpas[i]! - RAM_GPA;
    block.set(bytes.subarray(at, at + PAGE_BYTES));
    sum += block[i % PAGE_BYTES]!;
  }
  return sum;
}

function readBlocks({ vcpu, memory, ram: { block } }: Guest, gpas: Float64Array): number {
  let sum = 0;
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) {
    memory.read(gpas[i]!, block);
    sum += block[i % PAGE_BYTES]!;
  }
  vcpu.exit();
  return sum;
}

function writeFlatBlocks({ bytes, block }: Ram, gpas: Float64Array, round: number): number {
  for (let i = 0; i < gpas.length; i++) {
    block[0] = round + i;
    bytes.set(block, gpas[i]! - RAM_GPA);
  }
  return 0;
}

function writeBlocks({ vcpu, memory, ram: { block } }: Guest, gpas: Float64Array, round: number): number {
  vcpu.enter();
  for (let i = 0; i < gpas.length; i++) {
    block[0] = round + i;
    memory.write(gpas[i]!, block);
  }
  vcpu.exit();
  return 0;
}

/** Each key through a cache that was made for its page before. */
function readCached({ vcpu, memory }: Guest, gpas: Float64Array): number {
  const cache = memory.cache();
  const word = new Uint8Array(4);
  const view = new DataView(word.buffer);
  let sum = 0;
  vcpu.enter();
  cache.init(RAM_GPA, PAGE_BYTES);
  for (let i = 0; i < gpas.length; i++) {
    cache.read(word, gpas[i]! % (PAGE_BYTES - 3));
    sum += view.getUint32(0, true);
  }
  vcpu.exit();
  return sum;
}

function readFlatCached({ view }: Ram, gpas: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gpas.length; i++) sum += view.getUint32(gpas[i]! % (PAGE_BYTES - 3), true);
  return sum;
}

const READ = { bytes: 4, run: readInSection, flat: readFlatWords };
const WRITE = { bytes: 4, run: writeInSection, flat: writeFlatWords };
const LOG = KVM_MEM_LOG_DIRTY_PAGES;

const KINDS: readonly Kind[] = [
  { id: "G1", name: "guest read of 4 bytes", slots: 1, ...READ, target: 4 },
  { id: "G2", name: "guest write of 4 bytes", slots: 1, ...WRITE, target: 4 },
  {
    id: "G3",
    name: "guest read of 4 KiB",
    slots: 1,
    bytes: 4096,
    run: readBlocks,
    flat: readFlatBlocks,
    target: 1.3,
  },
  {
    id: "G4",
    name: "guest write of 4 KiB",
    slots: 1,
    bytes: 4096,
    run: writeBlocks,
    flat: writeFlatBlocks,
    target: 1.3,
  },
  { id: "G5", name: "guest read of 4 bytes, one in ten in another slot", slots: 8, ...READ, target: 4 },
  { id: "G6", name: "guest write of 4 bytes, one in ten in another slot", slots: 8, ...WRITE, target: 4 },
  { id: "G7", name: "guest write of 4 bytes, with a dirty log", slots: 1, ...WRITE, flags: LOG, target: 5 },
  {
    id: "G8",
    name: "guest read of 4 bytes outside of sections",
    slots: 1,
    ...READ,
    run: readWords,
    target: 12,
  },
  {
    id: "G9",
    name: "GuestCache read of 4 bytes",
    slots: 1,
    bytes: 4,
    run: readCached,
    flat: readFlatCached,
    target: 6,
  },
];

async function entrants(kind: Kind, words: number): Promise<Entrant[]> {
  const operations = kind.bytes === 4 ? words : words / WORDS_PER_BLOCK;
  const gpas = gpasOf(kind, operations);
  const guest = await createGuest(kind);
  const flat = new Ram();
  return [
    {
      name: GUEST,
      build: () => ({
        operations,
        batch: (round) => kind.run(guest, gpas, round),
        after: () => guest.ram.sum(),
      }),
    },
    {
      name: FLAT,
      build: () => ({ operations, batch: (round) => kind.flat(flat, gpas, round), after: () => flat.sum() }),
    },
  ];
}

function cases({ jsKeys }: Scale): Case[] {
  return KINDS.map((kind) => ({
    name: kind.name,
    n: kind.slots,
    unit: "access",
    processes: ACCESS_PROCESSES,
    prepare: () => entrants(kind, jsKeys),
  }));
}

function rows(results: Results): Row[] {
  return KINDS.map(({ id, name, slots, target }) => ({
    id,
    what: `${name}: ${GUEST} / ${FLAT}`,
    n: String(slots),
    target,
    ...results.ratio(name, slots, GUEST, FLAT),
  }));
}

export const guestmem: Group = {
  name: "guestmem",
  about: "bytes of guest memory, against a flat buffer",
  cases,
  rows,
};
