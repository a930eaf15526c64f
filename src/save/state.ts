/**
 * State of an engine as plain data, and its form as bytes. The form says what the engine maps and logs, not how its
 * memory is laid out, so that another version of the core reads it.
 *
 *   "MSLS" | u32 version | u32 bytes of the body | u32 CRC-32 of the body | body
 *
 * Slots, windows and pages are stored; free memory and clean pages are not.
 */
import { PAGE_SHIFT_MAX } from "../core/layout.js";
import type { TableEntry } from "../read/tables.js";
import { ByteReader, ByteWriter, crc32 } from "./bytes.js";

const MAGIC = "MSLS";
const VERSION = 1;
const HEAD_BYTES = 16;
const U32_MAX = 2 ** 32 - 1;

/** Pages of a bitmap that are set: in turns how many are not, and how many are. */
export type Runs = readonly number[];

export interface SavedSlot {
  readonly slot: number;
  readonly flags: number;
  readonly guestPhysAddr: number;
  readonly memorySize: number;
  readonly userspaceAddr: number;
  /** What KVM_GET_DIRTY_LOG has not taken; undefined without a bitmap. */
  readonly log: Runs | undefined;
}

export interface SavedConsumer {
  readonly name: string;
  readonly initiallyDirty: boolean;
}

export interface SavedExtent {
  /** Host address, pages. */
  readonly hva: bigint;
  readonly npages: number;
  /** By consumer. */
  readonly pending: readonly Runs[];
  readonly inFlight: readonly Runs[];
}

/** An entry of a ring; `state` 0 is free. */
export interface SavedGfn {
  readonly state: number;
  readonly slot: number;
  readonly offset: number;
  readonly hostPage: number;
}

export interface SavedRing {
  readonly vcpu: number;
  readonly resetIndex: number;
  readonly overflow: number;
  /** From resetIndex on. */
  readonly entries: readonly SavedGfn[];
}

export interface EngineState {
  readonly addressSpaces: number;
  readonly maxSlots: number;
  readonly maxVcpus: number;
  readonly maxListEntries: number;
  readonly pageShift: number;
  readonly maxPhysAddrBits: number;
  readonly maxUserAddrBits: number;
  /** False with `hurry: false`. */
  readonly hurry: boolean;
  readonly publications: number;
  readonly generations: readonly number[];
  readonly manualDirtyLog: number;
  /** Header.dirtyRing. */
  readonly dirtyRing: number;
  readonly dirtyRingBitmap: boolean;
  /** Header.unlogged. */
  readonly unlogged: number;
  readonly slots: readonly SavedSlot[];
  /** By number of the table. */
  readonly tables: readonly (readonly TableEntry[])[];
  readonly consumers: readonly SavedConsumer[];
  readonly extents: readonly SavedExtent[];
  readonly rings: readonly SavedRing[];
}

/** A state as bytes. */
export function encodeState(state: EngineState): Uint8Array {
  const body = encodeBody(state);
  const bytes = new Uint8Array(HEAD_BYTES + body.length);
  bytes.set(new TextEncoder().encode(MAGIC));
  const head = new DataView(bytes.buffer);
  head.setUint32(4, VERSION, true);
  head.setUint32(8, body.length, true);
  head.setUint32(12, crc32(body), true);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

/** The state in bytes. @throws Error that says what is wrong with them */
export function decodeState(bytes: Uint8Array): EngineState {
  const head = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = new TextDecoder().decode(bytes.slice(0, MAGIC.length));
  if (bytes.length < HEAD_BYTES || magic !== MAGIC) {
    throw new Error(
      `not a saved engine: it must begin with "${MAGIC}" and have ${HEAD_BYTES} bytes at least`,
    );
  }
  const version = head.getUint32(4, true);
  if (version !== VERSION) {
    throw new Error(`the engine was saved in version ${version} of the form; this memslots reads ${VERSION}`);
  }
  const body = bytes.subarray(HEAD_BYTES);
  const length = head.getUint32(8, true);
  if (body.length !== length) {
    throw new Error(`the saved engine is damaged: ${body.length} bytes follow its head, not ${length}`);
  }
  if (crc32(body) !== head.getUint32(12, true)) {
    throw new Error("the saved engine is damaged: its checksum is another one");
  }
  return decodeBody(body);
}

function encodeBody(state: EngineState): Uint8Array {
  const to = new ByteWriter();
  for (const limit of LIMITS) to.number(state[limit]);
  to.number(state.hurry ? 1 : 0);
  to.number(state.publications);
  to.list(state.generations, (generation) => to.number(generation));
  to.number(state.manualDirtyLog);
  to.number(state.dirtyRing);
  to.number(state.dirtyRingBitmap ? 1 : 0);
  to.number(state.unlogged);
  to.list(state.slots, (slot) => {
    for (const field of SLOT_FIELDS) to.number(slot[field]);
    to.number(slot.log === undefined ? 0 : 1);
    if (slot.log !== undefined) writeRuns(to, slot.log);
  });
  to.list(state.tables, (table) => {
    to.list(table, ({ start, end, target, device, flags }) => {
      for (const value of [start, end, target]) to.bigint(value);
      for (const value of [device, flags]) to.number(value);
    });
  });
  to.list(state.consumers, ({ name, initiallyDirty }) => {
    to.string(name);
    to.number(initiallyDirty ? 1 : 0);
  });
  to.list(state.extents, ({ hva, npages, pending, inFlight }) => {
    to.bigint(hva);
    to.number(npages);
    for (const runs of [...pending, ...inFlight]) writeRuns(to, runs);
  });
  to.list(state.rings, ({ vcpu, resetIndex, overflow, entries }) => {
    for (const value of [vcpu, resetIndex, overflow]) to.number(value);
    to.list(entries, ({ state, slot, offset, hostPage }) => {
      for (const value of [state, slot, offset, hostPage]) to.number(value);
    });
  });
  return to.bytes();
}

const LIMITS = [
  "addressSpaces",
  "maxSlots",
  "maxVcpus",
  "maxListEntries",
  "pageShift",
  "maxPhysAddrBits",
  "maxUserAddrBits",
] as const;
const SLOT_FIELDS = ["slot", "flags", "guestPhysAddr", "memorySize", "userspaceAddr"] as const;

function writeRuns(to: ByteWriter, runs: Runs): void {
  to.list(runs, (pages) => to.number(pages));
}

function decodeBody(body: Uint8Array): EngineState {
  const from = new ByteReader(body);
  try {
    const head = readHead(from);
    const slots = from.list("slots", () => readSlot(from, head.pageShift));
    const tables = from.list("tables", () => from.list("entries", () => readEntry(from)));
    const consumers = from.list("consumers", () => ({
      name: from.string(),
      initiallyDirty: flag(from, "initiallyDirty"),
    }));
    const extents = from.list("extents", () => readExtent(from, consumers.length));
    const rings = from.list("rings", () => readRing(from));
    from.end();
    return { ...head, slots, tables, consumers, extents, rings };
  } catch (error) {
    throw new Error(`the saved engine is damaged: ${(error as Error).message}`, { cause: error });
  }
}

/** All that is no list of the map. */
type Head = Omit<EngineState, "slots" | "tables" | "consumers" | "extents" | "rings">;

function readHead(from: ByteReader): Head {
  return {
    addressSpaces: from.number("addressSpaces"),
    maxSlots: from.number("maxSlots"),
    maxVcpus: from.number("maxVcpus"),
    maxListEntries: from.number("maxListEntries"),
    pageShift: from.number("pageShift", PAGE_SHIFT_MAX),
    maxPhysAddrBits: from.number("maxPhysAddrBits"),
    maxUserAddrBits: from.number("maxUserAddrBits"),
    hurry: flag(from, "hurry"),
    publications: from.number("publications"),
    generations: from.list("generations", () => from.number("a generation")),
    manualDirtyLog: u32(from, "manualDirtyLog"),
    dirtyRing: u32(from, "dirtyRing"),
    dirtyRingBitmap: flag(from, "dirtyRingBitmap"),
    unlogged: u32(from, "unlogged"),
  };
}

function readSlot(from: ByteReader, pageShift: number): SavedSlot {
  const slot = u32(from, "slot");
  const flags = u32(from, "flags");
  const guestPhysAddr = from.number("guestPhysAddr");
  const memorySize = from.number("memorySize");
  const userspaceAddr = from.number("userspaceAddr");
  const log = flag(from, "log") ? readRuns(from, memorySize / 2 ** pageShift) : undefined;
  return { slot, flags, guestPhysAddr, memorySize, userspaceAddr, log };
}

function readEntry(from: ByteReader): TableEntry {
  return {
    start: from.bigint(),
    end: from.bigint(),
    target: from.bigint(),
    device: u32(from, "device"),
    flags: u32(from, "flags"),
  };
}

function readExtent(from: ByteReader, consumers: number): SavedExtent {
  const hva = from.bigint();
  const npages = u32(from, "npages");
  const each = () => Array.from({ length: consumers }, () => readRuns(from, npages));
  return { hva, npages, pending: each(), inFlight: each() };
}

function readRing(from: ByteReader): SavedRing {
  return {
    vcpu: u32(from, "vcpu"),
    resetIndex: u32(from, "resetIndex"),
    overflow: u32(from, "overflow"),
    entries: from.list("entries", () => ({
      state: u32(from, "state"),
      slot: u32(from, "slot"),
      offset: u32(from, "offset"),
      hostPage: from.number("hostPage"),
    })),
  };
}

function readRuns(from: ByteReader, npages: number): Runs {
  let left = npages;
  return from.list("runs", () => {
    const pages = from.number("a run", left);
    left -= pages;
    return pages;
  });
}

function u32(from: ByteReader, what: string): number {
  return from.number(what, U32_MAX);
}

function flag(from: ByteReader, what: string): boolean {
  return from.number(what, 1) === 1;
}
