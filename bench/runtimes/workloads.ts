/**
 * Workloads for every runtime: the same lookups and lists, on seeded data of whole numbers, so that the results are
 * equal to the bit. They run in Node, Bun, Deno and in pages, without tinybench and with performance.now as the only
 * clock.
 */
import { KeyStreams } from "../data/keys.js";
import { makePass, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { filledEngine, sumOfOneShots, sumOfVcpu } from "../engine/filled.js";
import { hashOf } from "../harness/hash.js";

const ROUNDS = 21;
const WARMUP_ROUNDS = 6;
const ROUNDS_QUICK = 5;
const WARMUP_ROUNDS_QUICK = 2;
const KEYS = 16384;
const KEYS_SMOKE = 256;
/** A sample takes all streams, some milliseconds: a page's clock has a grain of 5 to 20 microseconds. */
const STREAMS = 8;
const LISTS = 512;
const LISTS_SMOKE = 16;

export interface WorkloadTimes {
  /** Nanoseconds per operation. */
  readonly samples: readonly number[];
  /** Hash of all results of a round. */
  readonly hash: string;
}

/** A round, and its number of operations. Each round has the same results. */
interface Work {
  readonly operations: number;
  round(): number[];
}

type Prepare = (n: number, smoke: boolean) => Promise<Work>;

function streamsOf(slots: Slots, pattern: "uniform" | "mix", smoke: boolean): Float64Array[] {
  const keys = new KeyStreams(slots, pattern, smoke ? KEYS_SMOKE : KEYS, STREAMS);
  return keys.views(keys.all.map((gfn) => gfn * PAGE_BYTES));
}

/** Lookups of each stream; the result of a stream is the sum of its host addresses. */
function lookups(streams: readonly Float64Array[], sumOf: (gpas: Float64Array) => number): Work {
  return { operations: streams.length * streams[0]!.length, round: () => streams.map(sumOf) };
}

function inSection(pattern: "uniform" | "mix"): Prepare {
  return async (n, smoke) => {
    const slots = makeSlots("dense", n);
    const vcpu = (await filledEngine(shuffledRegions(slots), n)).vcpu();
    vcpu.enter();
    return lookups(streamsOf(slots, pattern, smoke), (gpas) => sumOfVcpu(vcpu, gpas));
  };
}

const oneShots: Prepare = async (n, smoke) => {
  const slots = makeSlots("dense", n);
  const engine = await filledEngine(shuffledRegions(slots), n);
  return lookups(streamsOf(slots, "uniform", smoke), (gpas) => sumOfOneShots(engine, gpas));
};

const batches: Prepare = async (n, smoke) => {
  const slots = makeSlots("dense", n);
  const vcpu = (await filledEngine(shuffledRegions(slots), n)).vcpu();
  vcpu.enter();
  const hvas = new Float64Array(smoke ? KEYS_SMOKE : KEYS);
  return lookups(streamsOf(slots, "uniform", smoke), (gpas) => {
    vcpu.translate(gpas, hvas);
    return hvas.reduce((sum, hva) => sum + hva, 0);
  });
};

/** Lists of `entries` updates; the results are the advance of the generation and the host addresses of some pages. */
function commits(entries: number): Prepare {
  return async (n, smoke) => {
    const slots = makeSlots("dense", n);
    const engine = await filledEngine(shuffledRegions(slots), n);
    const { lists } = makePass(slots, entries, smoke ? LISTS_SMOKE : LISTS);
    const probes = streamsOf(slots, "uniform", true)[0]!;
    const half = lists.length / 2;
    return {
      operations: lists.length,
      round() {
        const { publications } = engine;
        for (let i = 0; i < half; i++) engine.setUserMemoryRegionList(lists[i]!);
        const middle = sumOfOneShots(engine, probes);
        for (let i = half; i < lists.length; i++) engine.setUserMemoryRegionList(lists[i]!);
        return [engine.publications - publications, middle, sumOfOneShots(engine, probes)];
      },
    };
  };
}

export const WORKLOADS = {
  "lookups, uniform": inSection("uniform"),
  "lookups, mix": inSection("mix"),
  "one-shot lookups, uniform": oneShots,
  "batches, uniform": batches,
  "lists of 1": commits(1),
  "lists of 16": commits(16),
} as const satisfies Record<string, Prepare>;

export type WorkloadName = keyof typeof WORKLOADS;

/** One round on little data, a few rounds, or all of them. */
export type Extent = "smoke" | "quick" | "full";

/** @throws Error if the results of a round differ from those of the first */
export async function measureWorkload(name: WorkloadName, n: number, extent: Extent): Promise<WorkloadTimes> {
  const smoke = extent === "smoke";
  const quick = extent === "quick";
  const rounds = smoke ? 1 : quick ? ROUNDS_QUICK : ROUNDS;
  const warmups = smoke ? 0 : quick ? WARMUP_ROUNDS_QUICK : WARMUP_ROUNDS;
  const work = await WORKLOADS[name](n, smoke);
  const samples: number[] = [];
  const hash = hashOf(work.round());
  for (let round = -warmups; round < rounds; round++) {
    const start = performance.now();
    const answers = work.round();
    const ms = performance.now() - start;
    if (hashOf(answers) !== hash) throw new Error(`${name}, n = ${n}: round ${round} answers something else`);
    if (round >= 0) samples.push((ms * 1e6) / work.operations);
  }
  return { samples, hash };
}
