/**
 * A recorded boot under the eyes of vCPUs in other threads: the same commits over and over, update by update or each
 * as one list, while the vCPUs look up what no commit is to take away. A commit waits for sections of every vCPU, so
 * that each is met by vCPUs that are at work, however many threads share a processor.
 */
import type { EngineHandle } from "../engine.js";
import { type CommitWindow, type ReplayEngine, regionOf } from "./commits.js";
import type { Crew } from "./crew.js";
import { encodeProbes, type ProbeCount, type ProbeTask, probesOf } from "./probes.js";
import type { Progress } from "./progress.js";
import type { Commit } from "./trace.js";
import type { Slot } from "./windows.js";

/** Windows times vCPUs that a boot is repeated for: a vCPU does not run into each of them. */
const CHANCES_MIN = 200;
/** Lookups of a section, a microsecond or two. */
const SECTION_LOOKUPS = 16;
/** Sections of every vCPU between two commits, behind the one that was open. */
const SECTIONS = 4;

/** What is needed of a MemslotEngine that vCPUs of other threads are to see. */
export interface SharedEngine extends ReplayEngine {
  readonly handle: EngineHandle;
}

export interface Probed {
  readonly oneByOne: ProbeCount;
  readonly list: ProbeCount;
}

/** One way to make a commit. */
type Apply = (engine: ReplayEngine, regions: Slot[]) => void;

const oneByOne: Apply = (engine, regions) => {
  for (const region of regions) engine.setUserMemoryRegion(region);
};

const asList: Apply = (engine, regions) => {
  engine.setUserMemoryRegionList(regions);
};

/** `windows`: those of the updates one by one. The commits must be known to succeed, from empty engines on. */
export async function probeBoot(
  commits: readonly Commit[],
  windows: readonly CommitWindow[],
  addressSpaces: number,
  newEngine: () => Promise<SharedEngine>,
  crew: Crew,
): Promise<Probed> {
  const lists = commits.map(({ updates }) => updates.map(regionOf));
  const rounds = Math.ceil(CHANCES_MIN / Math.max(1, windows.length * crew.size));
  const watch = async (apply: Apply): Promise<ProbeCount> => {
    const engine = await newEngine();
    try {
      const slots = () => Array.from({ length: addressSpaces }, (_, asId) => engine.slots(asId)).flat();
      const probes = commits.map(({ id }, c) => {
        const before = slots();
        engine.setUserMemoryRegionList(lists[c]!);
        return probesOf(
          before,
          slots(),
          windows.filter(({ commit }) => commit === id),
        );
      });
      clear(engine, slots());
      const task: ProbeTask = {
        handle: engine.handle,
        // The last set is empty: in the step after the last commit nobody looks, and the slots may go.
        probes: encodeProbes([...probes, []]),
        sectionLookups: SECTION_LOOKUPS,
      };
      const counts = await crew.watch<ProbeCount>(new Array(crew.size).fill(task), (progress) => {
        for (let round = 0; round < rounds; round++) {
          lists.forEach((list, step) => {
            advance(progress, step);
            apply(engine, list);
          });
          advance(progress, lists.length);
          clear(engine, slots());
        }
      });
      const sum = (field: keyof ProbeCount) => counts.reduce((total, count) => total + count[field], 0);
      return { accesses: sum("accesses"), misses: sum("misses") };
    } finally {
      engine.close();
    }
  };
  return { oneByOne: await watch(oneByOne), list: await watch(asList) };
}

/** Go to a step, and on only when every vCPU is in it: its first section may still be one of the step before. */
function advance(progress: Progress, step: number): void {
  progress.step = step;
  progress.awaitSections(1 + SECTIONS);
}

function clear(engine: ReplayEngine, slots: readonly Slot[]): void {
  for (const slot of slots) engine.setUserMemoryRegion({ ...slot, flags: 0, memorySize: 0 });
}
