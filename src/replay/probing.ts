/** Counts the misses of vCPUs in other threads while a boot is made update by update, and commit by commit as lists. */
import type { Commit } from "../trace/trace.js";
import type { CommitGap } from "./commits.js";
import type { Crew } from "./crew.js";
import type { Slot } from "./gaps.js";
import type { ProbeCount } from "./probes.js";
import { type SharedEngine, WatchedBoot } from "./watchedboot.js";

/** A boot is repeated until gaps times vCPUs reach this number: a vCPU does not meet every gap. */
const CHANCES_MIN = 200;
/** Lookups of a section, which take a microsecond or two. */
const SECTION_LOOKUPS = 16;

/** A display of progress. */
export interface ProgressSteps {
  /** Begin `total` more steps, labelled `what`. */
  begin(total: number, unit: string, what: string): void;
  step(): void;
  /** Remove the display; `begin` shows it again. */
  end(): void;
}

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

/** Probe a boot both ways. @param commits must succeed @param gaps those of the updates one by one */
export async function probeBoot(
  commits: readonly Commit[],
  gaps: readonly CommitGap[],
  newEngine: () => Promise<SharedEngine>,
  crew: Crew,
  bar?: ProgressSteps,
): Promise<Probed> {
  const rounds = Math.ceil(CHANCES_MIN / Math.max(1, gaps.length * crew.size));
  bar?.end();
  bar?.begin(2 * rounds, "rounds", "with vCPUs");
  const watch = async (apply: Apply): Promise<ProbeCount> => {
    const engine = await newEngine();
    try {
      const boot = new WatchedBoot(engine, commits, gaps, SECTION_LOOKUPS);
      const tasks = new Array(crew.size).fill(boot.task);
      const counts = await crew.watch<ProbeCount>(tasks, (progress) => {
        for (let round = 0; round < rounds; round++) {
          boot.run(progress, (list) => apply(engine, list));
          boot.clear(progress);
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
