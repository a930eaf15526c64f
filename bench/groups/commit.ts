/**
 * Lists of updates: the gfn index alone against other structures in wasm, and whole commits from JavaScript against
 * packages of npm. The peers are not atomic, keep no snapshot for readers and, except one, check no overlap.
 */

import { HEADER, RECORD_BYTES } from "../../src/core/layout.js";
import { makeKeys } from "../data/keys.js";
import { makePass, type Pass, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import { filledEngine } from "../engine/filled.js";
import {
  atEach,
  type Case,
  type Entrant,
  type Group,
  type Results,
  type Row,
  ratios,
  type Scale,
} from "../harness/case.js";
import {
  checkedNodeIntervalTree,
  nodeIntervalTree,
  orderedMap,
  type PeerKind,
  peers,
  sortedBTree,
} from "../peers/index.js";

const ENGINE = "engine, gfn index alone";
const MERGE_COPY = "sorted array, copied whole";
const TREAP = "treap in two copies";
const COMMIT = "engine.setUserMemoryRegionList";
const FULL_FLATNESS = "commit flatness";
const ENTRIES = [1, 16, 256] as const;
const OPERATION_WORDS = 4;
/** Addresses looked up after each batch to check that all structures are equal. */
const PROBES = 64;

const indexCase = (entries: number): string => `commit gfn index, ${entries} per list`;
const fullCase = (entries: number): string => `commit from JavaScript, ${entries} per list`;

/**
 * Lists of a batch: about `updates` updates, an even number of lists. So many that the caches, which the competitor
 * before has left cold, do not dominate (1024 spread by 40 to 60 %, 4096 by 10). No list occurs twice, because branch
 * predictors learn a path through a tree.
 */
function passOf(slots: Slots, entries: number, updates: number): Pass {
  return makePass(slots, entries, Math.max(4, 2 * Math.round(updates / entries / 2)));
}

/** The lists of a pass as the operations of bench/assembly; each payload is the address of a separate record. */
function putOperations(arena: Arena, slots: Slots, lists: Pass["lists"]): number {
  const words = new Uint32Array(arena.memory.buffer);
  const records = words[(arena.engine.base + HEADER.records) / 4]!;
  const operations = lists.flat();
  const address = arena.take(operations.length * OPERATION_WORDS * 4);
  for (const [i, { slot, memorySize }] of operations.entries()) {
    const at = address / 4 + i * OPERATION_WORDS;
    const gfn = slots.baseGfn[slot]!;
    words[at] = gfn;
    words[at + 1] = gfn / 2 ** 32;
    words[at + 2] = slots.npages[slot]!;
    words[at + 3] = memorySize === 0 ? 0 : records + slot * RECORD_BYTES;
  }
  return address;
}

async function indexEntrants(n: number, entries: number, updates: number): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const pass = passOf(slots, entries, updates);
  const lists = pass.lists.length;
  const room = (pass.lists.length * entries + n * 10) * 16 + PROBES * 8 + 65536;
  const arena = await Arena.create(room, { maxSlots: n });
  const { loops, engine } = arena;
  const first = shuffledRegions(slots).map((region) => [region]);
  const fill = putOperations(arena, slots, first);
  const operations = putOperations(arena, slots, pass.lists);
  const probes = arena.putGfns(makeKeys(slots, "uniform", PROBES)).byteOffset;
  const capacity = n + 1;
  const mergeCopy = arena.take(64 + (2 * capacity + entries) * 16);
  loops.createMergeCopy(mergeCopy, capacity, entries);
  const treap = arena.take(64 + 2 * (16 + capacity * 32));
  loops.createTreap(treap, capacity);
  const entrant = (
    name: string,
    commit: (operations: number, entries: number, lists: number) => number,
    find: () => number,
  ): Entrant => ({
    name,
    build() {
      if (commit(fill, 1, n) !== 0) throw new Error(`${name} refuses to be filled`);
      return { operations: lists, batch: () => commit(operations, entries, lists), after: find };
    },
  });
  return [
    entrant(
      ENGINE,
      (...list) => loops.commitEach(engine.base, ...list),
      () => loops.searchEach(engine.base, probes, PROBES),
    ),
    entrant(
      MERGE_COPY,
      (...list) => loops.mergeCopyEach(mergeCopy, ...list),
      () => loops.mergeCopyFind(mergeCopy, probes, PROBES),
    ),
    entrant(
      TREAP,
      (...list) => loops.treapEach(treap, ...list),
      () => loops.treapFind(treap, probes, PROBES),
    ),
  ];
}

async function engineEntrant(name: string, slots: Slots, pass: Pass): Promise<Entrant> {
  const engine = await filledEngine(shuffledRegions(slots), slots.count);
  const probes = makeKeys(slots, "uniform", PROBES).map((gfn) => gfn * PAGE_BYTES);
  return {
    name,
    build: () => ({
      operations: pass.lists.length,
      batch() {
        for (let i = 0; i < pass.lists.length; i++) engine.setUserMemoryRegionList(pass.lists[i]!);
        return 0;
      },
      after: () => probes.reduce((sum, gpa) => sum + engine.gpaToHva(gpa), 0),
    }),
  };
}

async function fullEntrants(n: number, entries: number, updates: number): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const pass = passOf(slots, entries, updates);
  const probes = makeKeys(slots, "uniform", PROBES).map((gfn) => gfn * PAGE_BYTES);
  const fromPeer = ({ name, create }: PeerKind): Entrant => ({
    name,
    foreign: true,
    build() {
      const peer = create(shuffledRegions(slots));
      const batch = (): number => {
        for (let i = 0; i < pass.lists.length; i++) peer.apply(pass.lists[i]!);
        return 0;
      };
      return { operations: pass.lists.length, batch, after: () => peer.lookups(probes) };
    },
  });
  return [await engineEntrant(COMMIT, slots, pass), ...peers.map(fromPeer)];
}

/** Lists of `entries` in few slots and in the most slots. */
async function flatEntrants(entries: number, largest: number, updates: number): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const n of [64, largest]) {
    const slots = makeSlots("dense", n);
    const name = n === largest ? "most slots" : "64 slots";
    entrants.push({ ...(await engineEntrant(name, slots, passOf(slots, entries, updates))), tag: name });
  }
  return entrants;
}

function cases({ sizes, updates, largest }: Scale): Case[] {
  const entriesAt = (n: number): number[] => ENTRIES.filter((entries) => entries * 2 <= n);
  return [
    ...sizes.flatMap((n) =>
      entriesAt(n).map((entries) => ({
        name: indexCase(entries),
        n,
        unit: "list",
        prepare: () => indexEntrants(n, entries, entries === 1 && n > 10000 ? updates / 8 : updates),
      })),
    ),
    ...sizes.flatMap((n) =>
      entriesAt(n).map((entries) => ({
        name: fullCase(entries),
        n,
        unit: "list",
        rounds: 15,
        processes: entries === 16 ? 3 : 1,
        prepare: () => fullEntrants(n, entries, n > 10000 ? updates / 4 : updates),
      })),
    ),
    ...[1, 16].map((entries) => ({
      name: `${FULL_FLATNESS}, ${entries} per list`,
      n: largest,
      unit: "list",
      prepare: () => flatEntrants(entries, largest, updates),
    })),
  ];
}

function rows(results: Results, { sizes, largest }: Scale): Row[] {
  const large = sizes.filter((n) => n >= 4096);
  const middle = sizes.filter((n) => n === 512 || n === 4096);
  const growth = (entries: number, target: number): Row => ({
    id: "C2",
    what: `${ENGINE}, ${entries} per list: ${largest} / 64 slots`,
    n: "",
    target,
    ...results.ratioOf([indexCase(entries), largest, ENGINE], [indexCase(entries), 64, ENGINE]),
  });
  const flatness = (id: string, entries: number, target: number): Row => ({
    id,
    what: `${COMMIT}, ${entries} per list: ${largest} / 64 slots`,
    n: "",
    target,
    ...results.ratio(`${FULL_FLATNESS}, ${entries} per list`, largest, "most slots", "64 slots"),
  });
  const against = (id: string, peer: PeerKind, target: number): Row[] =>
    [16, 256].flatMap((entries) =>
      ratios(results, id, fullCase(entries), COMMIT, peer.name, atEach(middle, target)),
    );
  return [
    ...ratios(results, "C1", indexCase(1), ENGINE, MERGE_COPY, { [largest]: 0.08 }),
    growth(1, 6),
    growth(16, 4),
    ...ENTRIES.flatMap((entries) =>
      ratios(results, "C3", indexCase(entries), ENGINE, TREAP, atEach(large, 0.75)),
    ),
    ...against("C4", orderedMap, 1.5),
    ...against("C5", sortedBTree, 1.0),
    ...against("C6", nodeIntervalTree, 0.2),
    ...against("C8", checkedNodeIntervalTree, 0.2),
    flatness("A2", 1, 8),
    flatness("C7", 16, 8),
  ];
}

export const commit: Group = {
  name: "commit",
  about: "lists of updates, as one publication each",
  cases,
  rows,
};
