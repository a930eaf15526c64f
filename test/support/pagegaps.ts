/**
 * Gaps of a random boot, computed naively beside the replayed one: a map of single pages, a copy of it after every
 * update, every page followed through the copies. It shares no code with the code under test.
 */
import type { Random } from "./random.js";

const PAGE_BYTES = 0x1000;
const SLOTS = 5;
const NPAGES_MAX = 6;
/** Room for one more slot wherever the others lie: each of them spoils at most 2 * NPAGES_MAX - 1 places. */
const PAGES = SLOTS * 2 * NPAGES_MAX;

interface Slot {
  page: number;
  npages: number;
  block: string;
  off: number;
  flags: number;
}

export interface PageGap {
  commit: number;
  start: number;
  end: number;
  unmapped: number;
  mapped: number;
  same: boolean;
}

export interface RandomBoot {
  /** Lines of a trace file. */
  lines: object[];
  gaps: PageGap[];
  /** Commits after which the slots differ from those before. */
  effective: number;
}

type Layout = (string | undefined)[];

export function randomBoot(random: Random, commits: number): RandomBoot {
  const bytes = `0x${(PAGES * PAGE_BYTES).toString(16)}`;
  const lines: object[] = [{ machine: "random", blocks: { a: bytes, b: bytes } }];
  const slots = new Map<number, Slot>();
  const deleted: Slot[] = [];
  const gaps: PageGap[] = [];
  let effective = 0;
  for (let commit = 0; commit < commits; commit++) {
    const before = JSON.stringify([...slots].sort());
    const layouts = [layoutOf(slots)];
    for (let updates = 1 + random.int(8); updates > 0; updates--) {
      lines.push({ t: commit, commit, ret: 0, ...randomUpdate(random, slots, deleted) });
      layouts.push(layoutOf(slots));
    }
    gaps.push(...windowsOf(layouts).map((gap) => ({ commit, ...gap })));
    if (before !== JSON.stringify([...slots].sort())) effective++;
  }
  return { lines, gaps, effective };
}

/** Change the slots by one update that KVM accepts, and return it. `deleted` collects the deleted slots. */
function randomUpdate(random: Random, slots: Map<number, Slot>, deleted: Slot[]): object {
  const id = random.int(SLOTS);
  const old = slots.get(id);
  slots.delete(id);
  if (old === undefined) return update("create", id, place(slots, id, randomSlot(random, slots, deleted)));
  const kind = random.pick(["delete", "delete", "delete", "move", "flags"]);
  if (kind === "delete") {
    deleted.push(old);
    return update(kind, id, { ...old, npages: 0, flags: 0 });
  }
  const next =
    kind === "flags"
      ? { ...old, flags: old.flags ^ 1 }
      : { ...old, page: freePage(random, slots, old.npages) };
  // A move to the same place changes nothing, and counts as a flags update that changes nothing.
  return update(next.page === old.page ? "flags" : "move", id, place(slots, id, next));
}

function update(kind: string, slot: number, { page, npages, block, off, flags }: Slot): object {
  const [gpa, size, offset] = [page, npages, off].map((pages) => `0x${(pages * PAGE_BYTES).toString(16)}`);
  return { slot, kind, flags, gpa, size, block, off: offset };
}

function place(slots: Map<number, Slot>, id: number, slot: Slot): Slot {
  slots.set(id, slot);
  return slot;
}

/** Mostly one of the last deleted slots, or a part of it, so that pages come back to their place. */
function randomSlot(random: Random, slots: Map<number, Slot>, deleted: readonly Slot[]): Slot {
  const back = deleted.at(-1 - random.int(3));
  if (back !== undefined && random.chance(0.8)) {
    const cut = random.chance(0.7) ? 0 : random.int(back.npages);
    const part = { ...back, page: back.page + cut, off: back.off + cut, npages: back.npages - cut };
    if (isFree(slots, part.page, part.npages))
      return random.chance(0.9) ? part : { ...part, flags: part.flags ^ 2 };
  }
  const npages = 1 + random.int(NPAGES_MAX);
  const page = freePage(random, slots, npages);
  const off = random.int(PAGES - npages + 1);
  return { page, npages, off, block: random.pick(["a", "b"]), flags: random.pick([0, 0, 0, 1, 2]) };
}

function freePage(random: Random, slots: Map<number, Slot>, npages: number): number {
  const pages = Array.from({ length: PAGES - npages + 1 }, (_, page) => page);
  return random.pick(pages.filter((page) => isFree(slots, page, npages)));
}

function isFree(slots: Map<number, Slot>, page: number, npages: number): boolean {
  return [...slots.values()].every((slot) => slot.page + slot.npages <= page || page + npages <= slot.page);
}

/** Per page "block page flags", or nothing. */
function layoutOf(slots: Map<number, Slot>): Layout {
  const layout: Layout = new Array(PAGES).fill(undefined);
  for (const { page, npages, block, off, flags } of slots.values()) {
    for (let i = 0; i < npages; i++) layout[page + i] = `${block} ${off + i} ${flags}`;
  }
  return layout;
}

function windowsOf(layouts: readonly Layout[]): Omit<PageGap, "commit">[] {
  const gaps: Omit<PageGap, "commit">[] = [];
  const first = layouts[0] as Layout;
  const last = layouts.at(-1) as Layout;
  for (let page = 0; page < PAGES; page++) {
    const missing = layouts.flatMap((layout, state) => (layout[page] === undefined ? [state] : []));
    if (first[page] === undefined || last[page] === undefined || missing.length === 0) continue;
    const gap = {
      start: page * PAGE_BYTES,
      end: (page + 1) * PAGE_BYTES,
      // State 0 is the one before the first update, update 0 leads to state 1.
      unmapped: (missing[0] as number) - 1,
      mapped: missing.at(-1) as number,
      same: first[page] === last[page],
    };
    const previous = gaps.at(-1);
    if (
      previous?.end === gap.start &&
      previous.unmapped === gap.unmapped &&
      previous.mapped === gap.mapped &&
      follows(first, page) &&
      follows(last, page)
    ) {
      previous.end = gap.end;
    } else gaps.push(gap);
  }
  return gaps;
}

/** Whether this page maps to the host page after that of the previous one, with the same flags. */
function follows(layout: Layout, page: number): boolean {
  const [block, off, flags] = (layout[page - 1] as string).split(" ");
  return layout[page] === `${block} ${Number(off) + 1} ${flags}`;
}
