/**
 * The measurement of the RFC: the time that all commits of one boot take together, by number of vCPUs that
 * run meanwhile. Real boots, real threads; the ways take turns on one engine under the same vCPUs.
 */
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
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
  /** Boots of each way that are measured, and that go before them. */
  readonly rounds: number;
  readonly warmUps: number;
}

/** Milliseconds that the commits of a boot took together, one number per boot. */
export type BootTimes = ReadonlyMap<Way, readonly number[]>;

export async function measureBoot(name: string, vcpus: number, options: BootOptions): Promise<BootTimes> {
  const trace = await readTrace(`${TRACES}${name}.jsonl.gz`);
  const { oneByOne } = await replayTrace(trace, MemslotEngine);
  const engine = await MemslotEngine.create({ maxVcpus: vcpus, shared: true });
  const boot = new WatchedBoot(engine, trace.commits, oneByOne.windows, SECTION_LOOKUPS);
  const times = new Map<Way, number[]>(WAYS.map((way) => [way, []]));
  const crew = await startVcpus(VCPU_WORKER, vcpus);
  try {
    await crew.watch(new Array(vcpus).fill(boot.task), (progress) => {
      for (let round = -options.warmUps; round < options.rounds; round++) {
        for (const way of WAYS) {
          let ms = 0;
          boot.run(progress, (regions) => {
            const start = performance.now();
            applyBy[way](engine, regions);
            ms += performance.now() - start;
          });
          if (round >= 0) times.get(way)!.push(ms);
        }
      }
    });
  } finally {
    await crew.end();
  }
  engine.close();
  return times;
}
