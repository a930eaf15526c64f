/** The cost of readers and writers for each other, in one thread; threads.ts measures worker threads. */
import { KeyStreams } from "../data/keys.js";
import { makeSlots } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import { loadAddon } from "../engine/native.js";
import type { Case, Entrant, Group, Results, Row, Scale, Skipped } from "../harness/case.js";
import { threadCases, threadRows } from "./threads.js";

const SECTIONS = "sync sections";
const WASM = "engine, enter and exit in wasm";
const XCHG = "native, two exchanges";
const XCHG_WASM = "two exchanges in wasm";
const SRCU = "native, SRCU-like counters";
const LOOKUPS = "sync lookups";
const BARE = "lookups in one section";
const SECTIONED = "each lookup in a section";
const EXCHANGED = "each lookup between two exchanges";
const FROM_JS = "sync from JavaScript";
const ENTER_EXIT = "vcpu.enter and vcpu.exit";
const ATOMICS = "two Atomics.store";
/** The least section from JavaScript: no check, no counter, no second look at the root. */
const PINS = "two calls into wasm, an atomic store each";
const GRACE = "sync grace period";
const READERS_MANY = 64;
const PROCESSES = 7;

/** Both sides of a row have the same atomic instructions, whose time is the processor's. */
function exchanges(arena: Arena, count: number): Entrant {
  const word = arena.take(128);
  return {
    name: XCHG_WASM,
    build: () => ({ operations: count, batch: () => arena.loops.exchangeEach(word, count) }),
  };
}

async function sectionEntrants(count: number): Promise<(Entrant | Skipped)[]> {
  const arena = await Arena.create(4096);
  const { loops, vcpu } = arena;
  const counters = new Uint8Array(arena.memory.buffer, arena.take(128), 16);
  const entrants: (Entrant | Skipped)[] = [
    // The first section of a reader sees a layout that is new to it; the rest must not.
    {
      name: WASM,
      build() {
        loops.sectionEach(vcpu.reader, 1);
        return { operations: count, batch: () => loops.sectionEach(vcpu.reader, count) };
      },
    },
    exchanges(arena, count),
  ];
  const addon = await loadAddon();
  if (typeof addon === "string")
    return [...entrants, ...[XCHG, SRCU].map((name) => ({ name, skipped: addon }))];
  const native = (name: string, srcu: number): Entrant => ({
    name,
    build: () => ({
      operations: count,
      batch() {
        addon.sections(counters, count, srcu);
        return 0;
      },
    }),
  });
  return [...entrants, native(XCHG, 0), native(SRCU, 1)];
}

async function lookupEntrants(n: number, { keys: count, streams }: Scale): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const arena = await Arena.of(slots, count * streams);
  const keys = new KeyStreams(slots, "uniform", count, streams);
  const first = arena.putGpas(keys.all).byteOffset;
  const gpas = (round: number): number => first + keys.first(round) * 8;
  const { loops, vcpu } = arena;
  const word = arena.take(128);
  return [
    {
      name: EXCHANGED,
      build: () => ({
        operations: count,
        batch(round) {
          vcpu.enter();
          const sum = loops.translateExchanged(vcpu.reader, word, gpas(round), count);
          vcpu.exit();
          return sum;
        },
      }),
    },
    {
      name: BARE,
      build: () => ({
        operations: count,
        batch(round) {
          vcpu.enter();
          const sum = loops.translateEach(vcpu.reader, gpas(round), count);
          vcpu.exit();
          return sum;
        },
      }),
    },
    {
      name: SECTIONED,
      build: () => ({
        operations: count,
        batch: (round) => loops.translateInSections(vcpu.reader, gpas(round), count),
      }),
    },
  ];
}

async function jsEntrants(count: number): Promise<Entrant[]> {
  const arena = await Arena.create(4096);
  const { vcpu, memory } = arena;
  const { pinOnly, unpinOnly } = arena.loops;
  const line = arena.take(128);
  const pin = new Int32Array(memory.buffer, arena.take(128), 1);
  return [
    {
      name: ENTER_EXIT,
      build: () => ({
        operations: count,
        batch() {
          for (let i = 0; i < count; i++) {
            vcpu.enter();
            vcpu.exit();
          }
          return 0;
        },
      }),
    },
    {
      name: ATOMICS,
      build: () => ({
        operations: count,
        batch() {
          for (let i = 0; i < count; i++) {
            Atomics.store(pin, 0, 1);
            Atomics.store(pin, 0, 0);
          }
          return 0;
        },
      }),
    },
    {
      name: PINS,
      build: () => ({
        operations: count,
        batch() {
          for (let i = 0; i < count; i++) {
            pinOnly(line);
            unpinOnly(line);
          }
          return 0;
        },
      }),
    },
  ];
}

/** Engines with so many idle vCPUs. Each vCPU has two lines: its own and one for a thread. */
async function graceEntrants(count: number): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const maxVcpus of [1, READERS_MANY]) {
    const arena = await Arena.create(4096, { maxVcpus });
    const { loops, engine, raw } = arena;
    if (maxVcpus === 1) entrants.push({ ...exchanges(arena, count), tag: XCHG_WASM });
    loops.equalRoots(engine.base);
    const owner = raw.attachOwner(engine.base);
    const batch = (): number => loops.graceEach(engine.base, owner, count);
    entrants.push({ name: readers(maxVcpus), build: () => ({ operations: count, batch }) });
  }
  return entrants;
}

function readers(count: number): string {
  return count === 1 ? "1 reader" : `${count} readers`;
}

function cases(scale: Scale): Case[] {
  const { keys, smoke } = scale;
  const lookupSlots = smoke ? 64 : 512;
  const one = (name: string, unit: string, prepare: Case["prepare"], n = 1): Case => ({
    name,
    n,
    unit,
    prepare,
  });
  return [
    { ...one(SECTIONS, "section", () => sectionEntrants(keys)), processes: PROCESSES },
    {
      ...one(LOOKUPS, "lookup", () => lookupEntrants(lookupSlots, scale), lookupSlots),
      processes: PROCESSES,
    },
    { ...one(FROM_JS, "section", () => jsEntrants(keys)), processes: PROCESSES },
    one(GRACE, "grace period", () => graceEntrants(keys / 4)),
    ...threadCases(scale),
  ];
}

function rows(results: Results, scale: Scale): Row[] {
  const { smoke } = scale;
  const lookupSlots = smoke ? 64 : 512;
  const row = (id: string, name: string, ours: string, theirs: string, target: number, n = 1): Row => ({
    id,
    what: `${name}: ${ours} / ${theirs}`,
    n: n === 1 ? "" : String(n),
    target,
    ...results.ratio(name, n, ours, theirs),
  });
  return [
    row("S1", SECTIONS, WASM, XCHG_WASM, 1.8),
    row("S2", SECTIONS, WASM, SRCU, 1.5),
    row("S3", LOOKUPS, SECTIONED, EXCHANGED, 1.8, lookupSlots),
    row("S4", FROM_JS, ENTER_EXIT, PINS, 1.5),
    row("S5", GRACE, readers(READERS_MANY), readers(1), 40),
    row("S5", GRACE, readers(READERS_MANY), XCHG_WASM, 25),
    ...threadRows(results, scale),
  ];
}

export const sync: Group = {
  name: "sync",
  about: "read sections and grace periods, with one thread and with readers in worker threads",
  cases,
  rows,
};
