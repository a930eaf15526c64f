/**
 * The measurement of the RFC: the time that all commits of one boot take together, by number of vCPUs that run
 * meanwhile. Real boots, real threads; the ways take turns on one engine under the same vCPUs.
 */
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import type { Crew } from "../../src/cli/crew.js";
import { replayTrace, startVcpus } from "../../src/cli/replay.js";
import { readTrace } from "../../src/cli/trace.js";
import { WatchedBoot } from "../../src/cli/watchedboot.js";
import { applyBy, WAYS, type Way } from "./ways.js";

const TRACES = fileURLToPath(new URL("../../test/traces/qemu/", import.meta.url));
const VCPU_WORKER = new URL("../../dist/vcpuworker.js", import.meta.url);
/**
 * Lookups of a section: 10 to 20 microseconds, the time between two exits of a guest that is busy with its
 * devices, as firmware is.
 */
const SECTION_LOOKUPS = 256;

export interface BootOptions {
  readonly traces: readonly string[];
  readonly vcpus: readonly number[];
  /** Boots of each way before the first measured one: compiled once, the code is fast in later engines too. */
  readonly warmUps: number;
  /** Boots of each way that are measured, by number of vCPUs. */
  rounds(vcpus: number): number;
  /** Called after each row. */
  report?(row: BootRow): void;
}

/** Milliseconds that the commits of a boot took together. */
export interface BootRow {
  readonly trace: string;
  readonly updates: number;
  readonly commits: number;
  readonly vcpus: number;
  readonly way: Way;
  /** One per boot, ascending. */
  readonly samples: readonly number[];
  readonly median: number;
}

/** The boots and the numbers of vCPUs of the report. The more vCPUs share a processor, the longer a boot takes. */
export const fullBoots: BootOptions = {
  traces: ["pc-1g-reset", "q35-1g-default"],
  vcpus: [1, 2, 4, 8, 16, 24],
  warmUps: 20,
  rounds: (vcpus) => Math.max(3, Math.ceil(24 / vcpus)),
};

/** Something of everything, for tests. */
export const smokeBoots: BootOptions = {
  traces: ["microvm-1g"],
  vcpus: [1, 2],
  warmUps: 0,
  rounds: () => 1,
};

export async function measureBoots(options: BootOptions): Promise<BootRow[]> {
  const rows: BootRow[] = [];
  for (const vcpus of options.vcpus) {
    const crew = await startVcpus(VCPU_WORKER, vcpus);
    try {
      for (const trace of options.traces) {
        const warmUps = rows.length === 0 ? options.warmUps : 0;
        for (const row of await measureBoot(trace, crew, warmUps, options.rounds(vcpus))) {
          rows.push(row);
          options.report?.(row);
        }
      }
    } finally {
      await crew.end();
    }
  }
  return rows;
}

async function measureBoot(name: string, crew: Crew, warmUps: number, rounds: number): Promise<BootRow[]> {
  const trace = await readTrace(`${TRACES}${name}.jsonl.gz`);
  const { oneByOne } = await replayTrace(trace, MemslotEngine);
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxVcpus: crew.size + 1, shared: true });
  const boot = new WatchedBoot(engine, trace.commits, oneByOne.windows, SECTION_LOOKUPS);
  const samples = new Map<Way, number[]>(WAYS.map((way) => [way, []]));
  await crew.watch(new Array(crew.size).fill(boot.task), (progress) => {
    for (let round = -warmUps; round < rounds; round++) {
      for (const way of WAYS) {
        let ms = 0;
        boot.run(progress, (regions) => {
          const start = performance.now();
          applyBy[way](engine, regions);
          ms += performance.now() - start;
        });
        if (round >= 0) samples.get(way)!.push(ms);
      }
    }
  });
  engine.close();
  const { updates, commits } = trace;
  return WAYS.map((way) => {
    const sorted = samples.get(way)!.sort((a, b) => a - b);
    const median = (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
    return { trace: name, updates, commits: commits.length, vcpus: crew.size, way, samples: sorted, median };
  });
}
