/**
 * Changes of the map under a running guest: RAM is split, merged, moved in host memory, its pieces get and lose their
 * dirty logs, and parts that the guest only reads become READONLY. Each is a list; one by one, each leaves holes.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, type Slot } from "memslots";
import type { Machine } from "./machine.js";
import { KERNEL_OFFSET } from "./map.js";

export const WAYS = ["list", "one by one"] as const;
export type Way = (typeof WAYS)[number];

const MIB = 0x10_0000;
const PAGE = 0x1000;
/** Code of the kernel, from its beginning on: written by nobody once the guest has come up. */
const CODE_BYTES = 4 * MIB;
/** Bytes that move at a time. */
export const MOVED_BYTES = MIB;

/** Slot numbers: the pieces of RAM from below. */
const LOW = 0;
const CODE = 1;
const MIDDLE = 2;
const MOVED = 3;
const HIGH = 4;
const PIECES = [LOW, CODE, MIDDLE, MOVED, HIGH];

/** One commit: its list, and what has to happen to host memory at the same time. */
export interface Change {
  readonly what: "split" | "toggle" | "move" | "merge";
  readonly list: readonly Slot[];
  /** Bytes to copy before the list is in force, while no hart runs. */
  readonly copy?: { readonly from: number; readonly to: number; readonly bytes: number };
}

/** The map that all rounds begin and end with: RAM as one slot. */
export function wholeRam(machine: Machine): Slot {
  return machine.ram(LOW, 0, machine.ramBytes);
}

function gone(machine: Machine, ...slots: readonly number[]): Slot[] {
  return slots.map((slot) => machine.ram(slot, 0, 0));
}

/**
 * A round: split RAM in five, toggle, move one piece to the spare memory and back, merge. `int(n)` is a random integer
 * in [0, n).
 */
export function roundOf(machine: Machine, int: (n: number) => number): Change[] {
  const { ramBytes, ramHva, spareHva } = machine;
  const code = KERNEL_OFFSET + int(16) * PAGE;
  const middle = code + CODE_BYTES - 32 * PAGE + int(16) * PAGE;
  // Above the code, up to the end of RAM: programs, page tables, stacks.
  const room = (ramBytes - MOVED_BYTES - middle - 2 * PAGE) / PAGE;
  const moved = middle + PAGE + int(room) * PAGE;
  const high = moved + MOVED_BYTES;
  const log = () => (int(2) === 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  const piece = {
    low: (flags = 0) => machine.ram(LOW, 0, code, flags),
    code: (flags = 0) => machine.ram(CODE, code, middle - code, flags),
    middle: (flags = 0) => machine.ram(MIDDLE, middle, moved - middle, flags),
    moved: (flags = 0, hva?: number) => machine.ram(MOVED, moved, MOVED_BYTES, flags, hva),
    high: (flags = 0) => machine.ram(HIGH, high, ramBytes - high, flags),
  };
  const home = ramHva + moved;
  return [
    {
      what: "split",
      list: [
        ...gone(machine, LOW),
        piece.low(log()),
        piece.code(),
        piece.middle(log()),
        piece.moved(log()),
        piece.high(log()),
      ],
    },
    { what: "toggle", list: [...gone(machine, CODE), piece.code(KVM_MEM_READONLY), piece.high(log())] },
    { what: "toggle", list: [piece.low(log()), piece.middle(log()), piece.high(log())] },
    {
      what: "move",
      list: [...gone(machine, MOVED), piece.moved(log(), spareHva)],
      copy: { from: home, to: spareHva, bytes: MOVED_BYTES },
    },
    { what: "toggle", list: [...gone(machine, CODE), piece.code(), piece.middle(log())] },
    {
      what: "move",
      list: [...gone(machine, MOVED), piece.moved(log())],
      copy: { from: spareHva, to: home, bytes: MOVED_BYTES },
    },
    // Two become one, then all do.
    {
      what: "merge",
      list: [
        ...gone(machine, MOVED, HIGH),
        machine.ram(MOVED, moved, ramBytes - moved, KVM_MEM_LOG_DIRTY_PAGES),
      ],
    },
    { what: "merge", list: [...gone(machine, LOW, CODE, MIDDLE, MOVED), wholeRam(machine)] },
  ];
}

/** Make one change in force. */
export function apply(machine: Machine, { list, copy }: Change, way: Way): void {
  const { engine } = machine;
  if (copy !== undefined) {
    // What a hart writes during the copy would be lost: all of them stand still between two sections.
    engine.pauseVcpus();
    new Uint8Array(machine.memory.buffer).copyWithin(copy.to, copy.from, copy.from + copy.bytes);
  }
  try {
    if (way === "list") engine.setUserMemoryRegionList(list);
    else {
      // Harts run between two of the updates, as they do under a VMM that has no lists.
      if (copy !== undefined) engine.resumeVcpus();
      for (const region of list) engine.setUserMemoryRegion(region);
    }
  } finally {
    if (copy !== undefined && way === "list") engine.resumeVcpus();
  }
}

/** Make one change in force as a list, without sleeping: for a page's own thread. */
export async function applyAsync(machine: Machine, { list, copy }: Change): Promise<void> {
  const { engine } = machine;
  if (copy === undefined) {
    await engine.setUserMemoryRegionListAsync(list);
    return;
  }
  await engine.pauseVcpusAsync();
  try {
    new Uint8Array(machine.memory.buffer).copyWithin(copy.to, copy.from, copy.from + copy.bytes);
    await engine.setUserMemoryRegionListAsync(list);
  } finally {
    await engine.resumeVcpusAsync();
  }
}

/** Pages that are dirty in the pieces that have a log. Taking them is a part of the stress. */
export function takeDirty(machine: Machine): number {
  let pages = 0;
  for (const slot of PIECES) {
    const region = machine.engine.slot(slot);
    if (region === undefined || (region.flags & KVM_MEM_LOG_DIRTY_PAGES) === 0) continue;
    for (const bits of machine.engine.getDirtyLog(slot)) {
      for (let rest = bits; rest !== 0; rest &= rest - 1) pages++;
    }
  }
  return pages;
}
