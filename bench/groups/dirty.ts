/**
 * Dirty pages of a slot of 1 GiB: reporting writes, and harvesting page numbers, against a bitmap in plain TypeScript.
 *
 * The bitmaps in TypeScript belong to a single thread, with neither sections nor atomic words. Those "with Atomics" can
 * be marked by one thread and harvested by another, as the engine's can.
 */
import { type MemslotEngine, takeDirtyPages } from "memslots";
import {
  createWords,
  harvestAtomics,
  harvestBits,
  harvestWords,
  PAGE,
  randomPages,
} from "../data/bitmaps.js";
import type { Case, Competitor, Entrant, Group, Results, Row, Scale } from "../harness/case.js";
import { consumerCases, consumerRows } from "./dirtyconsumer.js";
import { loggedEngine, markCases, markRows } from "./dirtymarks.js";

/** 1 GiB. */
const PAGES = 262144;
const SMOKE_PAGES = 4096;
/** Share of dirty pages; slots of a batch, so that it is long enough to time; target. */
const SHARES: readonly { share: number; slots: number; plain: number; atomic: number }[] = [
  { share: 0.001, slots: 16, plain: 0.5, atomic: 0.15 },
  { share: 0.1, slots: 4, plain: 1.5, atomic: 0.3 },
  { share: 1, slots: 1, plain: 1.4, atomic: 0.5 },
];

const PLAIN = "TypeScript, words";
const ATOMIC = "TypeScript, words with Atomics";
const EACH_BIT = "TypeScript, bit by bit";
const HARVEST = "dirty harvest";
const TAKE = "engine.takeDirtyPages";
const GET = "engine.getDirtyLog, then words";

function pagesOf({ smoke }: Scale): number {
  return smoke ? SMOKE_PAGES : PAGES;
}

/** Order-sensitive sum of page numbers. */
function sumOf(pages: Uint32Array, count: number): number {
  let sum = count;
  for (let i = 0; i < count; i++) sum = (Math.imul(sum, 31) + pages[i]!) | 0;
  return sum;
}

/** Harvest each of some bitmaps; untimed before that, make the same pages dirty again. */
function harvester(
  slots: number,
  pages: number,
  dirty: Uint32Array,
  mark: (slot: number, page: number) => void,
  harvest: (slot: number, into: Uint32Array) => number,
): Competitor {
  const into = new Uint32Array(pages);
  const remark = (): number => {
    for (let slot = 0; slot < slots; slot++) for (const page of dirty) mark(slot, page);
    return sumOf(into, dirty.length);
  };
  remark();
  return {
    operations: slots,
    batch() {
      let count = 0;
      for (let slot = 0; slot < slots; slot++) count += harvest(slot, into);
      return count;
    },
    after: remark,
  };
}

async function harvestEntrants(share: number, slots: number, pages: number): Promise<Entrant[]> {
  const dirty = randomPages(pages, Math.floor(pages * share));
  const ofEngine = (
    name: string,
    harvest: (engine: MemslotEngine) => (slot: number, into: Uint32Array) => number,
  ) => ({
    name,
    async build() {
      const engine = await loggedEngine(pages, slots, false);
      const mark = (slot: number, page: number): void => engine.markDirty((slot * pages + page) * PAGE);
      return harvester(slots, pages, dirty, mark, harvest(engine));
    },
  });
  const ofBitmap = (name: string, harvest: (words: Uint32Array, into: Uint32Array) => number): Entrant => ({
    name,
    build() {
      const maps = Array.from({ length: slots }, () => createWords(pages, name === ATOMIC));
      const mark = (slot: number, page: number): void => {
        maps[slot]![page >>> 5]! |= 1 << (page & 31);
      };
      return harvester(slots, pages, dirty, mark, (slot, into) => harvest(maps[slot]!, into));
    },
  });
  return [
    ofEngine(TAKE, (engine) => (slot, into) => takeDirtyPages(engine, slot, into)),
    ofEngine(
      GET,
      (engine) => (slot, into) => harvestWords(new Uint32Array(engine.getDirtyLog(slot).buffer), into),
    ),
    ofBitmap(PLAIN, harvestWords),
    ofBitmap(ATOMIC, harvestAtomics),
    ofBitmap(EACH_BIT, harvestBits),
  ];
}

function dirtyPages(share: number, scale: Scale): number {
  return Math.floor(pagesOf(scale) * share);
}

function cases(scale: Scale): Case[] {
  const pages = pagesOf(scale);
  return [
    ...markCases(pages, scale),
    ...SHARES.map(({ share, slots }) => ({
      name: HARVEST,
      n: dirtyPages(share, scale),
      unit: `harvest of ${pages} pages`,
      prepare: () => harvestEntrants(share, slots, pages),
    })),
    ...consumerCases(pages),
  ];
}

function rows(results: Results, scale: Scale): Row[] {
  const row = (id: string, n: number, theirs: string, target: number): Row => ({
    id,
    what: `${HARVEST}: ${TAKE} / ${theirs}`,
    n: String(n),
    target,
    ...results.ratio(HARVEST, n, TAKE, theirs),
  });
  return [
    ...markRows(results, pagesOf(scale)),
    ...SHARES.flatMap(({ share, plain, atomic }) => [
      row("D2", dirtyPages(share, scale), PLAIN, plain),
      row("D3", dirtyPages(share, scale), ATOMIC, atomic),
    ]),
    ...consumerRows(results, pagesOf(scale)),
  ];
}

export const dirty: Group = {
  name: "dirty",
  about: "dirty pages of 1 GiB, told and harvested, against a bitmap in TypeScript",
  cases,
  rows,
};
