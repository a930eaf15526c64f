/**
 * What one random sequence is like (swarm testing): where its slots lie, how many and how large they are,
 * which kinds of operation it is without and which it has many of.
 */
import { KVM_DIRTY_LOG_INITIALLY_SET, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } from "../../src/kvm/uapi.js";
import type { Random } from "../support/random.js";
import type { KvmFacts } from "./kvm.js";

export type Kind = keyof typeof WEIGHTS;

/** How often each kind of operation is done, before a sequence shifts it; they add up to about 100. */
const WEIGHTS = {
  create: 14,
  fill: 3,
  remove: 8,
  move: 8,
  toggleLog: 5,
  again: 2,
  change: 4,
  big: 0.2,
  misalign: 1.5,
  unknownFlag: 0.7,
  limit: 1.2,
  badId: 0.5,
  badPointer: 0.2,
  getDirtyLog: 15,
  clearDirtyLog: 6,
  enableCap: 1,
  createVcpu: 0.15,
  translate: 21,
  writeGuest: 9,
  sweep: 0.3,
};

/** Kinds that need a vCPU. */
export const ACCESSES: readonly Kind[] = ["translate", "writeGuest", "sweep"];

export interface Shape {
  name: "live16" | "live500";
  /** First gpa of the window that most slots lie in. */
  base: bigint;
  pages: number;
  /** Slot ids, and those of them that are used more than others. */
  ids: readonly number[];
  hotIds: readonly number[];
  /** Odds that an id comes from `hotIds`. */
  hot: number;
  /** How large a slot can be; one of these is the limit for each. */
  npagesMax: readonly number[];
  hvaPages: number;
  ops: number;
  /** Creates before anything else, so that an index is large. */
  populate: number;
  vcpus: 0 | 1;
  /** Bytes of a dirty ring that takes the place of the bitmaps; 0 is none. */
  ringBytes: number;
  /** args[0] of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 to begin with; 0 is KVM's default. */
  manual: number;
  /** Odds that a new slot keeps a dirty log. */
  logging: number;
  /** Odds that a region goes through KVM_SET_USER_MEMORY_REGION2. */
  set2: number;
  weights: ReadonlyMap<Kind, number>;
}

const MANUAL_BOTH = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
/** 4096 entries. */
const RING_BYTES = 65536;
/** Of KVM, where the ids of its own slots follow. */
const USER_IDS = 32764;

export function drawShape(random: Random, facts: KvmFacts, ops: number | undefined): Shape {
  const many = random.chance(0.1);
  const pages = many ? 4096 : random.pick([64, 64, 256]);
  const ids = drawIds(random, many ? 500 : 16);
  const hotCount = random.pick([2, 4, 8]);
  const vcpus = random.chance(0.1) ? 0 : 1;
  // Only before there is a vCPU; and nobody empties the ring, so it must have room for all of a sequence.
  const ringed = vcpus === 0 && ops === undefined && facts.dirtyLogRing >= RING_BYTES && random.chance(0.3);
  return {
    name: many ? "live500" : "live16",
    base: random.pick(bases(facts, BigInt(pages) << 12n)),
    pages,
    ids,
    hotIds: Array.from({ length: hotCount }, () => random.pick(ids)),
    hot: random.pick([0, 0.5, 0.9]),
    npagesMax: drawSizes(random, pages),
    hvaPages: many ? 4096 : 4 * pages,
    ops: ops ?? (many ? 1200 : 200),
    populate: many ? 450 : 0,
    vcpus,
    ringBytes: ringed ? RING_BYTES : 0,
    manual: random.pick([0, 0, 0, 1, 1, MANUAL_BOTH, MANUAL_BOTH]) & facts.manualDirtyLogProtect2,
    logging: random.pick([0.2, 0.5, 0.9]),
    set2: facts.userMemory2 ? random.pick([0, 0.2, 0.2, 0.7]) : 0,
    weights: drawWeights(random),
  };
}

/** Windows around what matters in a PC's memory map, at 4 GiB, and at the ends. */
function bases(facts: KvmFacts, bytes: bigint): bigint[] {
  const low = [0x0n, 0xa0000n, 0xc0000n, 0x100000n, 0xfede0000n, 0x1_0000_0000n - bytes / 2n];
  const high = [0x100_0000_0000n - bytes / 2n, 0x100_0000_0000n];
  const top = (1n << 52n) - (bytes / 4n) * 3n;
  return [
    // Slots that KVM keeps for itself are below 4 GiB, and the engine has none.
    ...(facts.internalSlots ? [] : low),
    ...high,
    // The engine under test is made for 52 bits: where KVM has fewer, its last page is not the engine's.
    ...(facts.physAddrBits === 52 ? [top] : []),
  ];
}

function drawSizes(random: Random, pages: number): number[] {
  if (pages === 64) return [1, 8, random.pick([4, 12, 24])];
  // Dirty bitmaps of several words of 64 pages, which many slots in one window have no room for.
  if (pages === 256) return [1, 150, 200];
  return [1, 8, 16];
}

function drawIds(random: Random, count: number): number[] {
  if (random.chance(0.7)) return [...Array(count).keys()];
  const ids = new Set([0, USER_IDS - 1]);
  while (ids.size < count) ids.add(random.int(USER_IDS));
  return [...ids];
}

function drawWeights(random: Random): Map<Kind, number> {
  const shift = () => {
    if (random.chance(0.2)) return 0;
    return random.chance(0.2) ? 4 : 0.3 + 1.4 * random.next();
  };
  const weights = new Map((Object.keys(WEIGHTS) as Kind[]).map((kind) => [kind, WEIGHTS[kind] * shift()]));
  // Without slots there is nothing to test.
  weights.set("create", Math.max(weights.get("create")!, WEIGHTS.create / 2));
  return weights;
}
