/**
 * What each runtime does: the same lookups and lists, on seeded data that uses whole numbers only, so that the answers
 * are the same to the bit. Runs in Node, Bun, Deno and in pages; no tinybench, no clock but performance.now.
 */
import { KeyStreams } from "../data/keys.js";
import { makePass, shuffledRegions } from "../data/lists.js";
import { makeSlots, PAGE_BYTES, type Slots } from "../data/slots.js";
import { filledEngine, sumOfOneShots, sumOfVcpu } from "../engine/filled.js";
import { hashOf } from "../harness/hash.js";

const ROUNDS = 21;
const WARMUP_ROUNDS = 6;
const KEYS = 16384;
const KEYS_SMOKE = 256;
/** A sample takes all streams, some milliseconds: a page's clock has a grain of 5 to 20 microseconds. */
const STREAMS = 8;
const LISTS = 512;
const LISTS_SMOKE = 16;

export interface WorkloadTimes {
  /** Nanoseconds per operation. */
  readonly samples: readonly number[];
  /** Of all answers of a round. */
  readonly hash: string;
}

/** A round, and how many operations it has. Each round has the same answers. */
interface Work {
  readonly operations: number;
  round(): number[];
}

type Prepare = (n: number, smoke: boolean) => Promise<Work>;

function streamsOf(slots: Slots, pattern: "uniform" | "mix", smoke: boolean): Float64Array[] {
  const keys = new KeyStreams(slots, pattern, smoke ? KEYS_SMOKE : KEYS, STREAMS);
  return keys.views(keys.all.map((gfn) => gfn * PAGE_BYTES));
}

/** Lookups of each stream; the answer of a stream is the sum of its host addresses. */
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

/** Lists of `entries` updates; the answers are the generation's distance and what some pages are mapped to then. */
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

/** @throws Error if a round answers something else than the first */
export async function measureWorkload(name: WorkloadName, n: number, smoke: boolean): Promise<WorkloadTimes> {
  const work = await WORKLOADS[name](n, smoke);
  const samples: number[] = [];
  const hash = hashOf(work.round());
  for (let round = smoke ? 0 : -WARMUP_ROUNDS; round < (smoke ? 1 : ROUNDS); round++) {
    const start = performance.now();
    const answers = work.round();
    const ms = performance.now() - start;
    if (hashOf(answers) !== hash) throw new Error(`${name}, n = ${n}: round ${round} answers something else`);
    if (round >= 0) samples.push((ms * 1e6) / work.operations);
  }
  return { samples, hash };
}
