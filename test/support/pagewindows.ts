/**
 * Windows of a random boot, computed the naive way beside the replayed one: a map of single pages, a copy of it
 * after every update, every page followed through the copies. It shares no code with what it judges.
 */
import type { Random } from "./random.js";

const PAGE_BYTES = 0x1000;
const PAGES = 40;
const SLOTS = 5;

interface Slot {
  page: number;
  npages: number;
  block: string;
  off: number;
  flags: number;
}

export interface PageWindow {
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
  windows: PageWindow[];
  /** Commits after which the slots are not those before. */
  effective: number;
}

type Layout = (string | undefined)[];

export function randomBoot(random: Random, commits: number): RandomBoot {
  const bytes = `0x${(PAGES * PAGE_BYTES).toString(16)}`;
  const lines: object[] = [{ machine: "random", blocks: { a: bytes, b: bytes } }];
  const slots = new Map<number, Slot>();
  const windows: PageWindow[] = [];
  let effective = 0;
  for (let commit = 0; commit < commits; commit++) {
    const before = JSON.stringify([...slots].sort());
    const layouts = [layoutOf(slots)];
    for (let updates = 1 + random.int(8); updates > 0; updates--) {
      lines.push({ t: commit, commit, ret: 0, ...randomUpdate(random, slots) });
      layouts.push(layoutOf(slots));
    }
    windows.push(...windowsOf(layouts).map((window) => ({ commit, ...window })));
    if (before !== JSON.stringify([...slots].sort())) effective++;
  }
  return { lines, windows, effective };
}

/** Change the slots by one update that KVM accepts, and say which. */
function randomUpdate(random: Random, slots: Map<number, Slot>): object {
  const id = random.int(SLOTS);
  const old = slots.get(id);
  const kind = old === undefined ? "create" : random.pick(["delete", "delete", "delete", "move", "flags"]);
  const next: Slot = old ?? {
    page: 0,
    npages: 1 + random.int(PAGES / 4),
    // Few places in few blocks, so that pages often come back where they were.
    off: 0,
    block: random.pick(["a", "a", "a", "b"]),
    flags: random.pick([0, 0, 0, 1, 2]),
  };
  slots.delete(id);
  if (kind === "create" || kind === "move") {
    do next.page = random.int(PAGES - next.npages + 1);
    while (
      [...slots.values()].some((s) => s.page < next.page + next.npages && next.page < s.page + s.npages)
    );
  }
  // Host page = guest page, but for some: neighbours are mostly contiguous.
  if (kind === "create") next.off = random.chance(0.8) ? next.page : random.int(PAGES - next.npages + 1);
  const flags = kind === "flags" ? next.flags ^ 1 : next.flags;
  // A move onto its own place or a toggle that is none would be another kind of update, or none.
  const moved = kind === "move" && old !== undefined && old.page !== next.page;
  if (kind !== "delete") slots.set(id, { ...next, flags });
  return {
    slot: id,
    kind: kind === "move" && !moved ? "flags" : kind,
    flags: kind === "delete" ? 0 : flags,
    gpa: `0x${(next.page * PAGE_BYTES).toString(16)}`,
    size: `0x${(kind === "delete" ? 0 : next.npages * PAGE_BYTES).toString(16)}`,
    block: next.block,
    off: `0x${(next.off * PAGE_BYTES).toString(16)}`,
  };
}

/** Per page "block page flags", or nothing. */
function layoutOf(slots: Map<number, Slot>): Layout {
  const layout: Layout = new Array(PAGES).fill(undefined);
  for (const { page, npages, block, off, flags } of slots.values()) {
    for (let i = 0; i < npages; i++) layout[page + i] = `${block} ${off + i} ${flags}`;
  }
  return layout;
}

function windowsOf(layouts: readonly Layout[]): Omit<PageWindow, "commit">[] {
  const windows: Omit<PageWindow, "commit">[] = [];
  const first = layouts[0] as Layout;
  const last = layouts.at(-1) as Layout;
  for (let page = 0; page < PAGES; page++) {
    const missing = layouts.flatMap((layout, state) => (layout[page] === undefined ? [state] : []));
    if (first[page] === undefined || last[page] === undefined || missing.length === 0) continue;
    const window = {
      start: page * PAGE_BYTES,
      end: (page + 1) * PAGE_BYTES,
      // State 0 is the one before the first update, update 0 leads to state 1.
      unmapped: (missing[0] as number) - 1,
      mapped: missing.at(-1) as number,
      same: first[page] === last[page],
    };
    const previous = windows.at(-1);
    if (
      previous?.end === window.start &&
      previous.unmapped === window.unmapped &&
      previous.mapped === window.mapped &&
      follows(first, page) &&
      follows(last, page)
    ) {
      previous.end = window.end;
    } else windows.push(window);
  }
  return windows;
}

/** Is this page mapped to the host page after that of the previous one, with the same flags? */
function follows(layout: Layout, page: number): boolean {
  const [block, off, flags] = (layout[page - 1] as string).split(" ");
  return layout[page] === `${block} ${Number(off) + 1} ${flags}`;
}
