/**
 * Replayers: recorded commits applied to an engine, update by update as the recorded VMM did it, or each commit as one
 * list. A replayer counts the publications of its engine and collects the gaps that a reader could meet. The two ways
 * share nothing but the trace, so neither can borrow the other's result.
 *
 * A refused update throws an InputError with its line: a VMM aborts when the kernel refuses a slot, so a boot in which
 * KVM or the engine refuses an update has no meaningful rest.
 */
import type { KvmError } from "../kvm/errno.js";
import { KVM_MEM_GUEST_MEMFD } from "../kvm/uapi.js";
import { InputError } from "../trace/jsonl.js";
import type { Commit, Phase } from "../trace/trace.js";
import type { Update, UpdateKind } from "../trace/update.js";
import * as gaps from "./gaps.js";

/** The part of a MemslotEngine that a replay uses. */
export interface ReplayEngine extends gaps.Lookups {
  setUserMemoryRegion(region: gaps.Slot): unknown;
  setUserMemoryRegionList(regions: gaps.Slot[]): unknown;
  slots(asId?: number): gaps.Slot[];
  slot(slot: number): gaps.Slot | undefined;
  vcpu(options: { asId: number }): ReplayVcpu;
  readonly publications: number;
  close(): void;
}

export interface ReplayVcpu extends gaps.Lookups {
  enter(): void;
  exit(): void;
}

export interface CommitGap extends gaps.Gap {
  readonly commit: number;
  readonly phase: Phase;
}

/** One engine, and the gaps of the commits that were applied to it. */
abstract class Replayer {
  readonly gaps: CommitGap[] = [];
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

  slots(): gaps.Slot[] {
    return this.asIds.flatMap((asId) => this.engine.slots(asId));
  }

  apply(commit: Commit): void {
    const ranges = this.#rangesOf(commit);
    const before = this.#view(ranges);
    const between = this.observe(commit, ranges);
    const after = this.#view(ranges);
    for (const gap of gaps.findGaps(ranges, before, between, after)) {
      this.gaps.push({ ...gap, commit: commit.id, phase: commit.phase });
    }
  }

  /** Make the updates of a commit. @returns the observed states, oldest first, the final one last */
  protected abstract observe(commit: Commit, ranges: readonly gaps.GpaRange[]): gaps.Sight[][];

  protected refuse(update: Update, reason: string): never {
    throw new InputError(this.file, update.line, reason);
  }

  /**
   * The elementary ranges of a commit: each border of its states belongs to a slot before it or to one of its updates.
   */
  #rangesOf(commit: Commit): gaps.GpaRange[] {
    const added = commit.updates.flatMap(({ gpa, size }) => [gpa, gpa + size]);
    return this.asIds.flatMap((asId) => {
      const borders = this.engine
        .slots(asId)
        .flatMap((s) => [s.guestPhysAddr, s.guestPhysAddr + s.memorySize]);
      return gaps.elementaryRanges(asId, [...borders, ...added]);
    });
  }

  #view(ranges: readonly gaps.GpaRange[]): gaps.View {
    const sights = gaps.look(this.engine, ranges);
    return { sights, flags: gaps.flagsOf((asId) => this.engine.slots(asId), ranges, sights) };
  }
}

/** Each update is a separate call; the map is observed after each. */
export class OneByOne extends Replayer {
  protected override observe(commit: Commit, ranges: readonly gaps.GpaRange[]): gaps.Sight[][] {
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
      return gaps.look(this.engine, ranges);
    });
  }
}

/**
 * Each commit is one call. The map is observed from read sections that were open when the commit came, and then from
 * outside. With one publication per commit there are no other states.
 */
export class AsLists extends Replayer {
  readonly #vcpus = this.asIds.map((asId) => this.engine.vcpu({ asId }));

  protected override observe(commit: Commit, ranges: readonly gaps.GpaRange[]): gaps.Sight[][] {
    for (const vcpu of this.#vcpus) vcpu.enter();
    try {
      this.engine.setUserMemoryRegionList(commit.updates.map(regionOf));
      const pinned = ranges.flatMap((range) => gaps.look(this.#vcpus[range.asId] as ReplayVcpu, [range]));
      return [pinned, gaps.look(this.engine, ranges)];
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

/** The kind of a change, derived from the slot's previous state as the recorder did. */
function kindOf(update: Update, old: gaps.Slot | undefined): UpdateKind {
  if (update.size === 0) return "delete";
  if (old === undefined) return "create";
  return old.guestPhysAddr === update.gpa ? "flags" : "move";
}

/**
 * As the engine is given it. What is private in a guest_memfd is no matter of gaps: the slot is made without it, so
 * that a record can be replayed without the descriptor.
 */
export function regionOf({ slot, flags, gpa, size, hva }: Update): gaps.Slot {
  return {
    slot,
    flags: flags & ~KVM_MEM_GUEST_MEMFD,
    guestPhysAddr: gpa,
    memorySize: size,
    userspaceAddr: hva,
  };
}

/** By name, because the engine may be bundled separately and have another class of this name. */
function isKvmError(error: unknown): error is KvmError {
  return error instanceof Error && error.name === "KvmError";
}
