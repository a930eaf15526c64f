/** Reverse lookups: the slots that a host range meets. Host ranges overlap, which is the use of interval trees. */
import createIntervalTree, { type Interval } from "interval-tree-1d";
import type { Slot } from "memslots";
import nodeIntervalTree from "node-interval-tree";
import { random } from "../../test/support/random.js";
import { shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES } from "../data/slots.js";
import { Arena } from "../engine/arena.js";
import { filledEngine } from "../engine/filled.js";
import {
  type Case,
  type Entrant,
  type Group,
  type Results,
  type Row,
  ratios,
  type Scale,
} from "../harness/case.js";

const IN_WASM = "hva in wasm";
const FROM_JS = "hva from JavaScript";
const PLAIN = "no covering slot";
const COVERED = "one covering slot";
const HVA_TO_GPAS = "engine.hvaToGpas";
const NODE_INTERVAL_TREE = "node-interval-tree";
const INTERVAL_TREE_1D = "interval-tree-1d";
/** A tree that is filled once, and one that takes updates, which are the better the fewer slots there are. */
const H2 = {
  [NODE_INTERVAL_TREE]: { 8: 1, 64: 0.4, 512: 0.3, 4096: 0.25, 32764: 0.25 },
  [INTERVAL_TREE_1D]: { 8: 5, 64: 3.5, 512: 2.5, 4096: 2, 32764: 1.5 },
} as const;
const QUERY_PAGES = 16;
const ALIASED = 0.2;

/** Slots in random order, a fifth of them on the host memory of another; `covered`: slot 0 spans all host memory. */
function hostRegions(n: number, covered: boolean): Slot[] {
  const rng = random(n);
  const slots = makeSlots("dense", n);
  const regions = shuffledRegions(slots);
  const aliased = regions.map((region) => {
    const other = regions[rng.int(n)]!;
    return rng.chance(ALIASED) ? { ...region, userspaceAddr: other.userspaceAddr } : region;
  });
  if (!covered) return aliased;
  const end = Math.max(...aliased.map((region) => region.userspaceAddr + region.memorySize));
  const start = Math.min(...aliased.map((region) => region.userspaceAddr));
  // After all guest addresses, so that it overlaps none of them.
  const cover = { slot: 0, flags: 0, guestPhysAddr: 2 ** 45, memorySize: end - start, userspaceAddr: start };
  return [cover, ...aliased.filter((region) => region.slot !== 0)];
}

/** Starts of queries, uniform over the host memory in use. */
function queries(n: number, count: number): Float64Array {
  const rng = random(n + 1);
  const slots = makeSlots("dense", n);
  return Float64Array.from({ length: count }, () => {
    const slot = rng.int(n);
    return slots.hva[slot]! + rng.int(slots.npages[slot]!) * PAGE_BYTES;
  });
}

async function wasmEntrants(n: number, count: number): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const [name, covered] of [
    [PLAIN, false],
    [COVERED, true],
  ] as const) {
    const arena = await Arena.create(count * 8 + 4096, { maxSlots: n, maxListEntries: n });
    arena.engine.setUserMemoryRegionList(hostRegions(n, covered));
    const keys = arena.take(count * 8);
    new Float64Array(arena.memory.buffer, keys, count).set(queries(n, count));
    arena.vcpu.enter();
    const batch = (): number =>
      arena.loops.hostSlotsEach(arena.vcpu.reader, keys, count, QUERY_PAGES * PAGE_BYTES);
    entrants.push({ name, tag: name, build: () => ({ operations: count, batch }) });
  }
  return entrants;
}

async function jsEntrants(n: number, count: number): Promise<Entrant[]> {
  const regions = hostRegions(n, false);
  const starts = queries(n, count);
  const bytes = QUERY_PAGES * PAGE_BYTES;
  const entrant = (name: string, make: () => (start: number) => number): Entrant => ({
    name,
    build() {
      const query = make();
      const batch = (): number => starts.reduce((sum, start) => sum + query(start), 0);
      return { operations: count, batch };
    },
  });
  const engine = await filledEngine(regions, n);
  return [
    entrant(HVA_TO_GPAS, () => (start) => {
      let sum = 0;
      for (const { slot } of engine.hvaToGpas(start, start + bytes)) sum += slot + 1;
      return sum;
    }),
    entrant(NODE_INTERVAL_TREE, () => {
      const tree = new nodeIntervalTree.default<number>();
      for (const { slot, userspaceAddr, memorySize } of regions) {
        tree.insert(userspaceAddr, userspaceAddr + memorySize - 1, slot + 1);
      }
      return (start) => tree.search(start, start + bytes - 1).reduce((sum, value) => sum + value, 0);
    }),
    entrant(INTERVAL_TREE_1D, () => {
      const ranges = regions.map<Interval>(({ slot, userspaceAddr, memorySize }) => [
        userspaceAddr,
        userspaceAddr + memorySize - 1,
        slot + 1,
      ]);
      const tree = createIntervalTree(ranges);
      return (start) => {
        let sum = 0;
        tree.queryInterval(start, start + bytes - 1, (range) => {
          sum += range[2];
          return false;
        });
        return sum;
      };
    }),
  ];
}

function cases({ sizes, keys, jsKeys }: Scale): Case[] {
  return [
    ...sizes.map((n) => ({ name: IN_WASM, n, unit: "query", prepare: () => wasmEntrants(n, keys / 4) })),
    ...sizes.map((n) => ({ name: FROM_JS, n, unit: "query", prepare: () => jsEntrants(n, jsKeys / 4) })),
  ];
}

function rows(results: Results, { largest }: Scale): Row[] {
  return [
    {
      id: "H1",
      what: `${IN_WASM}: ${COVERED} / ${PLAIN}`,
      n: String(largest),
      target: 2.5,
      ...results.ratio(IN_WASM, largest, COVERED, PLAIN),
    },
    ...Object.entries(H2).flatMap(([peer, targets]) =>
      ratios(results, "H2", FROM_JS, HVA_TO_GPAS, peer, targets),
    ),
  ];
}

export const hva: Group = { name: "hva", about: "host ranges to slots", cases, rows };
