/**
 * Recorded commits applied to an engine: update by update as the recorded VMM had to, or each commit as one
 * list. Either way answers with the publications the engine made and the windows a reader could have fallen
 * into. The two ways share nothing but the trace, so that neither can borrow the other's result.
 *
 * Refusals are InputErrors with the line of the update: a VMM aborts when the kernel refuses a slot, so a
 * boot in which an update was refused, by KVM then or by the engine now, has no meaningful rest.
 */
import type { KvmError } from "../errno.js";
import { InputError } from "./jsonl.js";
import type { Commit, Phase } from "./trace.js";
import type { Update, UpdateKind } from "./update.js";
import * as windows from "./windows.js";

/** What is needed of a MemslotEngine. */
export interface ReplayEngine extends windows.Lookups {
  setUserMemoryRegion(region: windows.Slot): unknown;
  setUserMemoryRegionList(regions: windows.Slot[]): unknown;
  slots(asId?: number): windows.Slot[];
  slot(slot: number): windows.Slot | undefined;
  vcpu(options: { asId: number }): ReplayVcpu;
  readonly publications: number;
  close(): void;
}

export interface ReplayVcpu extends windows.Lookups {
  enter(): void;
  exit(): void;
}

export interface CommitWindow extends windows.Window {
  readonly commit: number;
  readonly phase: Phase;
}

/** One engine that commits are applied to, and what was seen on the way. */
abstract class Replayer {
  readonly windows: CommitWindow[] = [];
  protected readonly file: string;
  protected readonly engine: ReplayEngine;
  protected readonly asIds: readonly number[];

  constructor(file: string, engine: ReplayEngine, addressSpaces: number) {
    this.file = file;
    this.engine = engine;
    this.asIds = Array.from({ length: addressSpaces }, (_, asId) => asId);
  }

  get publications(): number {
    return this.engine.publications;
  }

  slots(): windows.Slot[] {
    return this.asIds.flatMap((asId) => this.engine.slots(asId));
  }

  apply(commit: Commit): void {
    const ranges = this.#rangesOf(commit);
    const before = this.#view(ranges);
    const between = this.observe(commit, ranges);
    const after = this.#view(ranges);
    for (const window of windows.findWindows(ranges, before, between, after)) {
      this.windows.push({ ...window, commit: commit.id, phase: commit.phase });
    }
  }

  /** Make the updates. @returns what was seen on the way, oldest first, the final state last. */
  protected abstract observe(commit: Commit, ranges: readonly windows.GpaRange[]): windows.Sight[][];

  protected refuse(update: Update, reason: string): never {
    throw new InputError(this.file, update.line, reason);
  }

  /** No state of the commit can have a border that neither a slot before it nor one of its updates has. */
  #rangesOf(commit: Commit): windows.GpaRange[] {
    const added = commit.updates.flatMap(({ gpa, size }) => [gpa, gpa + size]);
    return this.asIds.flatMap((asId) => {
      const borders = this.engine
        .slots(asId)
        .flatMap((s) => [s.guestPhysAddr, s.guestPhysAddr + s.memorySize]);
      return windows.elementaryRanges(asId, [...borders, ...added]);
    });
  }

  #view(ranges: readonly windows.GpaRange[]): windows.View {
    const sights = windows.look(this.engine, ranges);
    return { sights, flags: windows.flagsOf((asId) => this.engine.slots(asId), ranges, sights) };
  }
}

/** Each update is a call of its own; the map is looked at after each. */
export class OneByOne extends Replayer {
  protected override observe(commit: Commit, ranges: readonly windows.GpaRange[]): windows.Sight[][] {
    return commit.updates.map((update) => {
      if (update.ret !== 0) this.refuse(update, `KVM refused this update (ret ${update.ret})`);
      try {
        const kind = kindOf(update, this.engine.slot(update.slot));
        if (kind !== update.kind) {
          this.refuse(
            update,
            `kind is ${update.kind}, but on slot ${update.slot} as it is now this is a ${kind}`,
          );
        }
        this.engine.setUserMemoryRegion(regionOf(update));
      } catch (error) {
        if (!isKvmError(error)) throw error;
        this.refuse(update, `the engine refuses this update: ${error.message}`);
      }
      return windows.look(this.engine, ranges);
    });
  }
}

/**
 * Each commit is one call; the map is looked at from read sections that were open when the commit came, and
 * then from outside. With one publication per commit these two are all the states there are.
 */
export class AsLists extends Replayer {
  readonly #vcpus = this.asIds.map((asId) => this.engine.vcpu({ asId }));

  protected override observe(commit: Commit, ranges: readonly windows.GpaRange[]): windows.Sight[][] {
    for (const vcpu of this.#vcpus) vcpu.enter();
    try {
      this.engine.setUserMemoryRegionList(commit.updates.map(regionOf));
      const pinned = ranges.flatMap((range) => windows.look(this.#vcpus[range.asId] as ReplayVcpu, [range]));
      return [pinned, windows.look(this.engine, ranges)];
    } catch (error) {
      if (!isKvmError(error)) throw error;
      const update = commit.updates[error.index ?? 0] as Update;
      return this.refuse(update, `the engine refuses commit ${commit.id} as a list: ${error.message}`);
    } finally {
      for (const vcpu of this.#vcpus) vcpu.exit();
    }
  }
}

export function asIdOf(slot: number): number {
  return slot >>> 16;
}

/** The kind of change, as the recorder derived it from the slot's previous state. */
function kindOf(update: Update, old: windows.Slot | undefined): UpdateKind {
  if (update.size === 0) return "delete";
  if (old === undefined) return "create";
  return old.guestPhysAddr === update.gpa ? "flags" : "move";
}

export function regionOf({ slot, flags, gpa, size, hva }: Update): windows.Slot {
  return { slot, flags, guestPhysAddr: gpa, memorySize: size, userspaceAddr: hva };
}

/** By name: the class this file could import is not the one of an engine that was bundled apart from it. */
function isKvmError(error: unknown): error is KvmError {
  return error instanceof Error && error.name === "KvmError";
}
