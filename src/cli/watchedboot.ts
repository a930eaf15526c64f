/**
 * A recorded boot that vCPUs of other threads watch: its commits as lists, and for each commit the pages that
 * they look up while it is made. A commit waits for sections of every vCPU, so that each is met by vCPUs that
 * are at work, however many threads share a processor.
 */
import type { EngineHandle } from "../engine.js";
import { asIdOf, type CommitWindow, type ReplayEngine, regionOf } from "./commits.js";
import { encodeProbes, type ProbeTask, probesOf } from "./probes.js";
import type { Progress } from "./progress.js";
import type { Commit } from "./trace.js";
import type { Slot } from "./windows.js";

/** Sections of every vCPU between two commits, behind the one that was open. */
const SECTIONS = 4;

/** What is needed of a MemslotEngine that vCPUs of other threads are to see. */
export interface SharedEngine extends ReplayEngine {
  readonly handle: EngineHandle;
}

export class WatchedBoot {
  /** What each vCPU is to do. */
  readonly task: ProbeTask;
  readonly #engine: SharedEngine;
  readonly #asIds: readonly number[];
  readonly #lists: readonly Slot[][];

  /**
   * `windows`: those of the updates one by one. The commits must be known to succeed. The engine is empty
   * before and after.
   */
  constructor(
    engine: SharedEngine,
    commits: readonly Commit[],
    windows: readonly CommitWindow[],
    sectionLookups: number,
  ) {
    this.#engine = engine;
    this.#lists = commits.map(({ updates }) => updates.map(regionOf));
    this.#asIds = [...new Set(this.#lists.flat().map(({ slot }) => asIdOf(slot)))];
    const probes = commits.map(({ id }, c) => {
      const before = this.#slots();
      engine.setUserMemoryRegionList(this.#lists[c]!);
      return probesOf(
        before,
        this.#slots(),
        windows.filter(({ commit }) => commit === id),
      );
    });
    this.#clear();
    // The last set is empty: in the step after the last commit nobody looks, and the slots may go.
    this.task = { handle: engine.handle, probes: encodeProbes([...probes, []]), sectionLookups };
  }

  /** Boot once, from an empty engine to an empty engine. */
  run(progress: Progress, apply: (regions: Slot[]) => void): void {
    this.#lists.forEach((list, step) => {
      advance(progress, step);
      apply(list);
    });
    advance(progress, this.#lists.length);
    this.#clear();
  }

  #slots(): Slot[] {
    return this.#asIds.flatMap((asId) => this.#engine.slots(asId));
  }

  #clear(): void {
    for (const slot of this.#slots()) {
      this.#engine.setUserMemoryRegion({ ...slot, flags: 0, memorySize: 0 });
    }
  }
}

/** Go to a step, and on when every vCPU is in it: its first section may still be one of the step before. */
function advance(progress: Progress, step: number): void {
  progress.step = step;
  progress.awaitSections(1 + SECTIONS);
}
