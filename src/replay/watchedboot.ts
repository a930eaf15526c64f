/**
 * WatchedBoot: a recorded boot that vCPUs of other threads watch. It has the commits as lists, and for each commit the
 * probes that vCPUs look up meanwhile. Before each commit it waits for sections of every vCPU, so that every commit
 * meets running vCPUs, however many threads share a processor.
 */
import type { EngineHandle } from "../runtime/handle.js";
import type { Commit } from "../trace/trace.js";
import { asIdOf, type CommitGap, type ReplayEngine, regionOf } from "./commits.js";
import type { Slot } from "./gaps.js";
import { encodeProbes, type ProbeTask, probesOf } from "./probes.js";
import type { Progress } from "./progress.js";

/** Sections of every vCPU between two commits, after the one that was open. */
const SECTIONS = 4;

/** The part of a MemslotEngine that is used here, with the handle for other threads. */
export interface SharedEngine extends ReplayEngine {
  readonly handle: EngineHandle;
}

export class WatchedBoot {
  /** The task of each vCPU. */
  readonly task: ProbeTask;
  readonly #engine: SharedEngine;
  readonly #asIds: readonly number[];
  readonly #lists: readonly Slot[][];

  /**
   * The engine must be empty, and is empty afterwards.
   * @param commits must succeed
   * @param gaps those of the updates one by one
   */
  constructor(
    engine: SharedEngine,
    commits: readonly Commit[],
    gaps: readonly CommitGap[],
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
        gaps.filter(({ commit }) => commit === id),
      );
    });
    this.#clear();
    // The last set is empty: no vCPU looks in the step after the last commit, in which the slots are deleted.
    this.task = { handle: engine.handle, probes: encodeProbes([...probes, []]), sectionLookups };
  }

  /** Boot, from an empty engine on. */
  run(progress: Progress, apply: (regions: Slot[]) => void): void {
    this.#lists.forEach((list, step) => {
      advance(progress, step);
      apply(list);
    });
  }

  /** Empty the engine again. No vCPU looks anything up meanwhile, so that its sections are of no work. */
  clear(progress: Progress): void {
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

/** Set the step, and wait until every vCPU is in it: its first section may still belong to the step before. */
function advance(progress: Progress, step: number): void {
  progress.step = step;
  progress.awaitSections(1 + SECTIONS);
}
