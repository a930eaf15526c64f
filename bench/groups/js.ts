/**
 * Lookups called from JavaScript, one call per address, against packages of npm.
 */
import type { Vcpu } from "memslots";
import { type KeyPattern, KeyStreams } from "../data/keys.js";
import { shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { filledEngine, sumOfOneShots, sumOfVcpu } from "../engine/filled.js";
import {
  type Case,
  type Entrant,
  type Group,
  type Results,
  type Row,
  ratios,
  type Scale,
} from "../harness/case.js";
import {
  binarySearch,
  binarySearchLastHit,
  nodeIntervalTree,
  type PeerKind,
  peers,
  sortedBTree,
} from "../peers/index.js";

export const VCPU = "vcpu.gpaToHva in a section";
const ONE_SHOT = "engine.gpaToHva";
/** Engines of the case that asks whether more of them in one process slow each other down. */
const MANY = 8;

/** Guest addresses in bytes, a view per stream. */
export function gpasOf(slots: Slots, pattern: KeyPattern, { jsKeys, jsStreams }: Scale): Float64Array[] {
  const keys = new KeyStreams(slots, pattern, jsKeys, jsStreams);
  return keys.views(keys.all.map((gfn) => gfn * PAGE_BYTES));
}

/** The engine and others, on one stream of addresses. */
export async function entrants(
  n: number,
  pattern: KeyPattern,
  scale: Scale,
  others: readonly PeerKind[],
): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const regions = shuffledRegions(slots);
  const streams = gpasOf(slots, pattern, scale);
  const gpas = (round: number): Float64Array => streams[round % streams.length]!;
  const operations = scale.jsKeys;
  const engine = await filledEngine(regions, n);
  const vcpu = engine.vcpu();
  vcpu.enter();
  const fromPeer = ({ name, create }: PeerKind): Entrant => ({
    name,
    foreign: true,
    build() {
      const peer = create(regions);
      return { operations, batch: (round) => peer.lookups(gpas(round)) };
    },
  });
  return [
    { name: VCPU, build: () => ({ operations, batch: (round) => sumOfVcpu(vcpu, gpas(round)) }) },
    { name: ONE_SHOT, build: () => ({ operations, batch: (round) => sumOfOneShots(engine, gpas(round)) }) },
    ...others.map(fromPeer),
  ];
}

/** Each batch belongs to the next of several engines. */
async function manyEngines(n: number, scale: Scale): Promise<Entrant[]> {
  const slots = makeSlots("dense", n);
  const regions = shuffledRegions(slots);
  const streams = gpasOf(slots, "uniform", scale);
  const vcpus: Vcpu[] = [];
  for (let i = 0; i < MANY; i++) {
    const vcpu = (await filledEngine(regions, n)).vcpu();
    vcpu.enter();
    vcpus.push(vcpu);
  }
  return [
    {
      name: `${MANY} engines in turns`,
      build: () => ({
        operations: scale.jsKeys,
        batch: (round) => sumOfVcpu(vcpus[round % MANY]!, streams[round % streams.length]!),
      }),
    },
  ];
}

const UNIFORM = "js uniform";
const MIX = "js mix";
/** Arrays alone, because a dozen packages in turns evict each other's memory from the caches. */
const ARRAYS_UNIFORM = "js uniform, arrays";
const ARRAYS_MIX = "js mix, arrays";
const arrays = [binarySearch, binarySearchLastHit];
const MANY_ENGINES = "js many engines";
const FEW = 64;

function cases(scale: Scale): Case[] {
  const { sizes } = scale;
  const kinds = [
    [ARRAYS_UNIFORM, "uniform", arrays],
    [ARRAYS_MIX, "mix", arrays],
    [UNIFORM, "uniform", [...arrays, ...peers]],
    [MIX, "mix", [...arrays, ...peers]],
  ] as const;
  return [
    ...kinds.flatMap(([name, pattern, others]) =>
      sizes.map((n) => ({ name, n, unit: "lookup", prepare: () => entrants(n, pattern, scale, others) })),
    ),
    { name: MANY_ENGINES, n: FEW, unit: "lookup", prepare: () => manyEngines(FEW, scale) },
  ];
}

function rows(results: Results): Row[] {
  return [
    ...ratios(results, "J1", ARRAYS_UNIFORM, VCPU, binarySearch.name, {
      64: 0.4,
      512: 0.3,
      4096: 0.25,
      32764: 0.3,
    }),
    ...ratios(results, "J2", ARRAYS_MIX, VCPU, binarySearchLastHit.name, {
      8: 1.2,
      64: 1.0,
      512: 0.85,
      4096: 0.75,
      // Both wait for memory here, and how long is the machine's.
      32764: 1.2,
    }),
    ...ratios(results, "J3", UNIFORM, VCPU, sortedBTree.name, { 512: 0.25, 4096: 0.25 }),
    ...ratios(results, "J4", UNIFORM, VCPU, nodeIntervalTree.name, { 512: 0.03, 4096: 0.03 }),
    {
      id: "J5",
      what: `${MANY} engines in one process / one engine`,
      n: String(FEW),
      target: 1.8,
      ...results.ratioOf([MANY_ENGINES, FEW, `${MANY} engines in turns`], [UNIFORM, FEW, VCPU]),
    },
  ];
}

export const js: Group = {
  name: "js",
  about: "lookups called from JavaScript, against npm packages",
  cases,
  rows,
};
