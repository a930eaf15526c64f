/**
 * The shape of one differential run (swarm testing): some kinds of operation are off, others frequent; ids come from a
 * small hot pool or from all; addresses come from a tight or a wide window.
 */
import type { Options } from "./implementation.js";
import type { Random } from "./random.js";

export type Kind = (typeof KINDS)[number];

export const KINDS = [
  "set",
  "set2",
  "list",
  "getDirtyLog",
  "clearDirtyLog",
  "manualProtect",
  "markDirty",
  "hvaToGpas",
] as const;

export interface Shape {
  options: Required<
    Pick<
      Options,
      "addressSpaces" | "maxSlots" | "maxListEntries" | "pageShift" | "maxPhysAddrBits" | "maxUserAddrBits"
    >
  >;
  ids: number[];
  /** Slots per address space to begin with, so that an index has more than one chunk. */
  populate: number;
  startGfn: number;
  windowPages: number;
  hvaPages: number;
  /** Odds that a new slot keeps a dirty log. */
  logging: number;
  /** Odds that a field gets a value that KVM refuses. */
  spoil: number;
  listLength: number;
  weights: Map<Kind, number>;
  /** Odds that a read section stays open over an operation. */
  openSection: number;
  /** Manual protect stays enabled, so that every step can read all dirty bits. */
  observeDirty: boolean;
}

export function drawShape(random: Random): Shape {
  const crowded = random.chance(0.1);
  const wide = crowded || random.chance(0.2);
  const maxSlots = crowded ? 512 : random.pick([3, 8, 64, 512]);
  const pageShift = random.pick([8, 10, 12, 12, 12, 14, 16, 21, 30]);
  const windowPages = wide ? 4096 : random.pick([4, 8, 16, 48, 200]);
  const hot = !crowded && random.chance(0.7);
  const weights = new Map<Kind, number>(
    KINDS.map((kind) => [kind, random.chance(0.2) ? 0 : random.next() ** 2]),
  );
  weights.set(random.pick(["set", "list"]), 1);
  const maxPhysAddrBits = random.pick([pageShift + 13, 46, 52]);
  const maxUserAddrBits = random.pick([47, 48, 52]);
  const gfnEnd = 2 ** (maxPhysAddrBits - pageShift);
  const observeDirty = random.chance(0.7);
  if (observeDirty) weights.set("manualProtect", 0);
  return {
    options: {
      addressSpaces: crowded ? 1 : 1 + random.int(4),
      maxSlots,
      maxListEntries: crowded ? 512 : random.pick([1, 2, 8, 64]),
      pageShift,
      maxPhysAddrBits,
      maxUserAddrBits,
    },
    ids: [...Array(hot ? Math.min(maxSlots, 2 + random.int(6)) : maxSlots).keys()],
    populate: crowded ? 100 + random.int(350) : 0,
    startGfn: random.pick([0, 0, Math.floor(gfnEnd / 2), gfnEnd - windowPages + 2]),
    windowPages,
    hvaPages: random.pick([windowPages, 4 * windowPages]),
    logging: random.pick([0.1, 0.5, 0.9]),
    spoil: random.pick([0, 0, 0.02, 0.1]),
    listLength: crowded ? 200 : random.pick([2, 4, 10, 66]),
    weights,
    openSection: random.pick([0, 0.3, 1]),
    observeDirty,
  };
}
