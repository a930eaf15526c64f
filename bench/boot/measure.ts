/**
 * The measurement of the RFC: the times of the commits of one boot, by number of running vCPUs. Boots and threads are
 * real; the ways take turns on one engine under the same vCPUs.
 */
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import { readTrace } from "../../src/cli/input.js";
import { replayTrace, startVcpus } from "../../src/replay/replay.js";
import { WatchedBoot } from "../../src/replay/watchedboot.js";
import { median } from "../harness/statistics.js";
import { runDelay } from "./rundelay.js";
import { applyBy, WAYS, type Way } from "./ways.js";

const TRACES = fileURLToPath(new URL("../../test/traces/qemu/", import.meta.url));
const VCPU_WORKER = new URL("../../dist/vcpuworker.js", import.meta.url);
/**
 * Lookups of a section: 10 to 20 microseconds, the time between two exits of a guest that is busy with its
 * devices, as firmware is.
 */
const SECTION_LOOKUPS = 256;

export interface BootOptions {
  /** Measured boots of each way, and boots before them that do not count. */
  readonly rounds: number;
  readonly warmUps: number;
}

/** Times in milliseconds. */
export interface BootTimes {
  /** One for each boot: the median of its commits. */
  readonly commits: number[];
  /** One for each boot: the sum of its commits; and that sum without the writer's waits for a processor. */
  readonly sums: number[];
  readonly ownSums: number[];
  /** One for each boot: the time of the commits at which vCPUs look pages up, divided by their sections meanwhile. */
  readonly perSection: number[];
}

/** The ways in the order of a round: another one begins each time, and every other time they run backwards. */
function turnOf(round: number): readonly Way[] {
  const first = round % WAYS.length;
  const ways = [...WAYS.slice(first), ...WAYS.slice(0, first)];
  return Math.floor(round / WAYS.length) % 2 === 0 ? ways : ways.reverse();
}

export async function measureBoot(
  name: string,
  vcpus: number,
  options: BootOptions,
): Promise<ReadonlyMap<Way, BootTimes>> {
  const trace = await readTrace(`${TRACES}${name}.jsonl.gz`);
  const { oneByOne } = await replayTrace(trace, MemslotEngine);
  const engine = await MemslotEngine.create({ maxVcpus: vcpus, shared: true });
  const boot = new WatchedBoot(engine, trace.commits, oneByOne.gaps, SECTION_LOOKUPS);
  const times = new Map<Way, BootTimes>(
    WAYS.map((way) => [way, { commits: [], sums: [], ownSums: [], perSection: [] }]),
  );
  const crew = await startVcpus(VCPU_WORKER, vcpus);
  try {
    await crew.watch(new Array(vcpus).fill(boot.task), (progress) => {
      for (let round = -options.warmUps; round < options.rounds; round++) {
        // Each way follows each other one: what a way leaves to the scheduler is not the next one's.
        for (const way of turnOf(round + options.warmUps)) {
          const commits: number[] = [];
          let own = 0;
          let sections = progress.busySections;
          let begin = performance.now();
          let busy = { ms: 0, sections: 0 };
          boot.run(progress, (regions) => {
            const delay = runDelay();
            const start = performance.now();
            applyBy[way](engine, regions);
            const ms = performance.now() - start;
            commits.push(ms);
            // A wait that began before the first reading of the clock counts to no commit.
            own += Math.max(ms - (runDelay() - delay), 0);
            // A commit that leaves nothing mapped has nothing to look up: its sections are thirty times as short.
            const ended = progress.busySections - sections;
            if (ended > 0) busy = { ms: busy.ms + start + ms - begin, sections: busy.sections + ended };
            sections += ended;
            begin = start + ms;
          });
          boot.clear(progress);
          if (round < 0) continue;
          const sum = commits.reduce((total, ms) => total + ms, 0);
          const all = times.get(way)!;
          all.commits.push(median(commits));
          all.sums.push(sum);
          if (!Number.isNaN(own)) all.ownSums.push(own);
          all.perSection.push(busy.ms / busy.sections);
        }
      }
    });
  } finally {
    await crew.end();
  }
  engine.close();
  return times;
}
