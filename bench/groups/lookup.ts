/**
 * Lookups inside wasm and native code: the index alone, and whole translations as emulators make them.
 */
import { type KeyPattern, KeyStreams } from "../data/keys.js";
import { type LayoutKind, makeSlots, type Slots } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import { buildNative, FIND, loadAddon } from "../engine/native.js";
import { instantiateCalls } from "../engine/wasm.js";
import {
  atEach,
  type Case,
  type Entrant,
  type Group,
  type Results,
  type Row,
  ratios,
  type Scale,
  type Skipped,
} from "../harness/case.js";

export const INDEX = "engine, index alone";
const INDEX_MANY = "engine, index alone, as batches search it";
export const TRANSLATION = "engine, translation";
const ACROSS = "engine, called wasm to wasm";
const TREE = "native red-black tree";
const TREE_LAST_USED = "native red-black tree, last-used slot";
const TREE_TRANSLATION = "native red-black tree, translation";
const SORTED = "native branch-free sorted array";
const PAGE_TABLE = "native page-table array";

/** With so few slots the time of a lookup depends on the place of its code. */
const FEW = 64;

const UNIFORM = "lookup uniform";
const MIX = "lookup mix";
const FLATNESS = "lookup flatness";
const WIDE_AND_DENSE = "lookup wide and dense";

const WORKLOADS: readonly (readonly [string, LayoutKind, KeyPattern])[] = [
  [UNIFORM, "dense", "uniform"],
  [MIX, "dense", "mix"],
  ["lookup sequential", "dense", "sequential"],
  ["lookup miss", "dense", "miss"],
  ["lookup wide", "wide", "uniform"],
  ["lookup adversarial", "clustered", "adversarial"],
];

/** Frames, because sums of byte addresses of the wide layout would not be exact. */
const TRANSLATED: readonly LayoutKind[] = ["dense"];

/** The engine and the native yardsticks on one memory and one key stream. */
async function lookupEntrants(
  slots: Slots,
  pattern: KeyPattern,
  { keys: count, streams }: Scale,
): Promise<(Entrant | Skipped)[]> {
  const arena = await Arena.of(slots, count * streams);
  const keys = new KeyStreams(slots, pattern, count, streams);
  const gfnArray = arena.putGfns(keys.all);
  const gfns = (round: number): number => gfnArray.byteOffset + keys.first(round) * 8;
  const gpaArray = arena.putGpas(keys.all);
  const gpas = (round: number): number => gpaArray.byteOffset + keys.first(round) * 8;
  const { loops, vcpu, engine } = arena;
  vcpu.enter();
  const entrant = (name: string, tag: string, batch: (round: number) => number): Entrant => ({
    name,
    tag,
    build: () => ({ operations: count, batch }),
  });
  const entrants: (Entrant | Skipped)[] = [
    entrant(INDEX, "index", (round) => loops.searchEach(engine.base, gfns(round), count)),
    entrant(INDEX_MANY, "index", (round) => loops.searchMany(vcpu.reader, gfns(round), count)),
  ];
  const translated = TRANSLATED.includes(slots.kind);
  if (translated) {
    const { translateAcross } = await instantiateCalls(arena.memory, arena.raw);
    entrants.push(
      entrant(TRANSLATION, "hva", (round) => loops.translateEach(vcpu.reader, gpas(round), count)),
      entrant(ACROSS, "hva", (round) => translateAcross(vcpu.reader, gpas(round), count)),
    );
  }
  const addon = await loadAddon();
  const native = [
    [TREE, "index", FIND.tree],
    [TREE_LAST_USED, "index", FIND.treeLastUsed],
    [SORTED, "index", FIND.sorted],
    ...(slots.kind === "dense" ? [[PAGE_TABLE, "index", FIND.pageTable] as const] : []),
    ...(translated ? [[TREE_TRANSLATION, "hva", FIND.translate] as const] : []),
  ] as const;
  if (typeof addon === "string") return [...entrants, ...native.map(([name]) => ({ name, skipped: addon }))];
  const handle = buildNative(addon, slots, arena.records(slots));
  const views = keys.views(gfnArray);
  entrants.push(
    ...native.map(([name, tag, which]) =>
      entrant(name, tag, (round) => addon.find(handle, which, views[round % streams]!)),
    ),
  );
  return entrants;
}

/** The same loop over two engines, for the cost of their difference. */
async function twoEngines(named: Record<string, Slots>, { keys: count, streams }: Scale): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const [name, slots] of Object.entries(named)) {
    const arena = await Arena.of(slots, count * streams);
    const keys = new KeyStreams(slots, "uniform", count, streams);
    const gfns = arena.putGfns(keys.all).byteOffset;
    const batch = (round: number): number =>
      arena.loops.searchEach(arena.engine.base, gfns + keys.first(round) * 8, count);
    entrants.push({ name, tag: name, build: () => ({ operations: count, batch }) });
  }
  return entrants;
}

function cases(scale: Scale): Case[] {
  const { sizes, largest } = scale;
  const workloads = WORKLOADS.flatMap(([name, kind, pattern]) =>
    sizes.map((n) => ({
      name,
      n,
      unit: "lookup",
      processes: n <= FEW ? 3 : 1,
      prepare: () => lookupEntrants(makeSlots(kind, n), pattern, scale),
    })),
  );
  const flat: Case = {
    name: FLATNESS,
    n: largest,
    unit: "lookup",
    prepare: () =>
      twoEngines({ "64 slots": makeSlots("dense", 64), "most slots": makeSlots("dense", largest) }, scale),
  };
  const spread = sizes.map((n) => ({
    name: WIDE_AND_DENSE,
    n,
    unit: "lookup",
    prepare: () => twoEngines({ dense: makeSlots("dense", n), wide: makeSlots("wide", n) }, scale),
  }));
  return [...workloads, flat, ...spread];
}

const L1 = { 64: 0.5, 512: 0.33, 4096: 0.2, 32764: 0.12 };
const L2 = { 8: 1.1, 64: 0.65, 512: 0.4, 4096: 0.25, 32764: 0.17 };
const L3 = { 8: 1.5, 64: 1.3, 512: 0.95, 4096: 0.65, 32764: 0.6 };
const L4 = { 8: 3.2, 64: 2.0, 512: 1.4, 4096: 0.85, 32764: 0.55 };

function rows(results: Results, { sizes, largest }: Scale): Row[] {
  const flatness = results.ratio(FLATNESS, largest, "most slots", "64 slots");
  return [
    ...ratios(results, "L1", UNIFORM, INDEX, TREE_LAST_USED, L1),
    ...ratios(results, "L2", UNIFORM, TRANSLATION, TREE_TRANSLATION, L2),
    ...ratios(results, "L3", MIX, TRANSLATION, TREE_TRANSLATION, L3),
    ...ratios(results, "L4", UNIFORM, INDEX, SORTED, L4),
    { id: "L5", what: `index alone, uniform: ${largest} / 64 slots`, n: "", target: 2, ...flatness },
    { id: "A1", what: "the same, bound of part A", n: "", target: 2.5, ...flatness },
    ...ratios(results, "L6", WIDE_AND_DENSE, "wide", "dense", atEach(sizes, 2.2)),
    // The array does nothing but wait for memory, and how long is the machine's: 0.8 on one, 1.1 on another.
    ...ratios(results, "L7", UNIFORM, INDEX_MANY, PAGE_TABLE, { [largest]: 1.25 }),
    ...ratios(results, "L7", UNIFORM, INDEX, PAGE_TABLE, { [largest]: 1.6 }),
    ...ratios(results, "L8", UNIFORM, ACROSS, TRANSLATION, atEach(sizes, 2.4)),
  ];
}

export const lookup: Group = {
  name: "lookup",
  about: "lookups inside wasm, against native structures on the same memory and keys",
  cases,
  rows,
};
