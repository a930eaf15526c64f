/**
 * What vCPUs in other threads run into when a recorded boot is made update by update, and when each of its
 * commits is one list.
 */
import type { CommitWindow } from "./commits.js";
import type { Crew } from "./crew.js";
import type { ProbeCount } from "./probes.js";
import type { ProgressBar } from "./progressbar.js";
import type { Commit } from "./trace.js";
import { type SharedEngine, WatchedBoot } from "./watchedboot.js";
import type { Slot } from "./windows.js";

/** Windows times vCPUs that a boot is repeated for: a vCPU does not run into each of them. */
const CHANCES_MIN = 200;
/** Lookups of a section, a microsecond or two. */
const SECTION_LOOKUPS = 16;

export interface Probed {
  readonly oneByOne: ProbeCount;
  readonly list: ProbeCount;
}

/** One way to make a commit. */
type Apply = (engine: SharedEngine, regions: Slot[]) => void;

const applyOneByOne: Apply = (engine, regions) => {
  for (const region of regions) engine.setUserMemoryRegion(region);
};

const applyList: Apply = (engine, regions) => {
  engine.setUserMemoryRegionList(regions);
};

/** `windows`: those of the updates one by one. The commits must be known to succeed. */
export async function probeBoot(
  commits: readonly Commit[],
  windows: readonly CommitWindow[],
  newEngine: () => Promise<SharedEngine>,
  crew: Crew,
  bar?: ProgressBar,
): Promise<Probed> {
  const rounds = Math.ceil(CHANCES_MIN / Math.max(1, windows.length * crew.size));
  bar?.end();
  bar?.begin(2 * rounds, "rounds", "with vCPUs");
  const watch = async (apply: Apply): Promise<ProbeCount> => {
    const engine = await newEngine();
    try {
      const boot = new WatchedBoot(engine, commits, windows, SECTION_LOOKUPS);
      const tasks = new Array(crew.size).fill(boot.task);
      const counts = await crew.watch<ProbeCount>(tasks, (progress) => {
        for (let round = 0; round < rounds; round++) {
          boot.run(progress, (list) => apply(engine, list));
          bar?.step();
        }
      });
      const sum = (field: keyof ProbeCount) => counts.reduce((total, count) => total + count[field], 0);
      return { accesses: sum("accesses"), misses: sum("misses") };
    } finally {
      engine.close();
    }
  };
  return { oneByOne: await watch(applyOneByOne), list: await watch(applyList) };
}
