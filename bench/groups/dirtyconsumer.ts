/**
 * A harvest of a dirty consumer, as ranges of host memory with the guest memory that each is now, against the same made
 * of a bitmap in TypeScript that other threads can mark.
 */
import { DirtyConsumer, type DirtyRange } from "memslots";
import { createWords, harvestAtomics, PAGE, randomPages } from "../data/bitmaps.js";
import type { Case, Competitor, Results, Row } from "../harness/case.js";
import { loggedEngine } from "./dirtymarks.js";

const HARVEST = "harvest as ranges";
const CONSUMER = "DirtyConsumer, begin and done";
const ATOMIC = "TypeScript, words with Atomics, then ranges";
/** Slots that the memory is made of. */
const SLOTS = 16;
/** Share of dirty pages, and target. */
const SHARES: readonly { share: number; target: number }[] = [
  { share: 0.001, target: 1 },
  { share: 0.1, target: 3 },
];

/** Order-sensitive sum of ranges and their guest memory. */
function sumOf(ranges: readonly DirtyRange[]): number {
  let sum = ranges.length;
  for (const { hva, bytes, guest } of ranges) {
    sum = (Math.imul(sum, 31) + hva / PAGE + bytes / PAGE) | 0;
    for (const { slot, gpa } of guest) sum = (Math.imul(sum, 31) + slot + gpa / PAGE) | 0;
  }
  return sum;
}

/** Harvest; untimed after it, the sum of what came, and the same pages dirty again. */
function harvester(
  dirty: Uint32Array,
  mark: (page: number) => void,
  harvest: () => DirtyRange[],
): Competitor {
  let ranges: DirtyRange[] = [];
  const markAll = (): void => {
    for (const page of dirty) mark(page);
  };
  markAll();
  return {
    operations: 1,
    batch() {
      ranges = harvest();
      return ranges.length;
    },
    after() {
      markAll();
      return sumOf(ranges);
    },
  };
}

async function ofEngine(pages: number, dirty: Uint32Array): Promise<Competitor> {
  const engine = await loggedEngine(pages / SLOTS, SLOTS, false);
  const consumer = new DirtyConsumer(engine, "bench");
  const harvest = (): DirtyRange[] => {
    const ranges = consumer.begin();
    consumer.done();
    return ranges;
  };
  return harvester(dirty, (page) => engine.markDirty(page * PAGE), harvest);
}

/** Host and guest addresses are equal, as in the engine above, so that page p is in slot p / (pages / SLOTS). */
function ofBitmap(pages: number, dirty: Uint32Array): Competitor {
  const words = createWords(pages, true);
  const into = new Uint32Array(pages);
  const slotPages = pages / SLOTS;
  const harvest = (): DirtyRange[] => {
    const count = harvestAtomics(words, into);
    const ranges: DirtyRange[] = [];
    for (let i = 0; i < count; ) {
      const first = into[i]!;
      let end = first + 1;
      while (++i < count && into[i] === end) end++;
      const guest = [];
      for (let slot = Math.floor(first / slotPages); slot * slotPages < end; slot++) {
        const from = Math.max(first, slot * slotPages);
        const to = Math.min(end, (slot + 1) * slotPages);
        guest.push({ slot, gpa: from * PAGE, bytes: (to - from) * PAGE });
      }
      ranges.push({ hva: first * PAGE, bytes: (end - first) * PAGE, guest });
    }
    return ranges;
  };
  const mark = (page: number): void => {
    words[page >>> 5]! |= 1 << (page & 31);
  };
  return harvester(dirty, mark, harvest);
}

const dirtyPages = (share: number, pages: number): number => Math.floor(pages * share);

export function consumerCases(pages: number): Case[] {
  return SHARES.map(({ share }) => ({
    name: HARVEST,
    n: dirtyPages(share, pages),
    unit: `harvest of ${pages} pages`,
    prepare: async () => {
      const dirty = randomPages(pages, dirtyPages(share, pages));
      return [
        { name: CONSUMER, build: () => ofEngine(pages, dirty) },
        { name: ATOMIC, build: () => ofBitmap(pages, dirty) },
      ];
    },
  }));
}

export function consumerRows(results: Results, pages: number): Row[] {
  return SHARES.map(({ share, target }) => ({
    id: "D4",
    what: `${HARVEST}: ${CONSUMER} / ${ATOMIC}`,
    n: String(dirtyPages(share, pages)),
    target,
    ...results.ratio(HARVEST, dirtyPages(share, pages), CONSUMER, ATOMIC),
  }));
}
