/** Models with one defect each. The differential run must tell every one of them from the model itself. */

import type { KvmError } from "../../src/kvm/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES, type UserspaceMemoryRegion } from "../../src/kvm/uapi.js";
import { errnoOf } from "../support/implementation.js";
import type { Arguments } from "./arguments.js";
import { asIdOf, type Slot } from "./checks.js";
import { type Log, ModelDirtyLog } from "./dirtylog.js";
import { ModelList, type Refusal } from "./list.js";
import { ModelEngine } from "./memslots.js";
import type { ModelVcpu } from "./vcpu.js";

class TouchingSlotsOverlap extends ModelEngine {
  override overlaps(a: Slot, b: Slot): boolean {
    return (
      a.slot !== b.slot &&
      asIdOf(a.slot) === asIdOf(b.slot) &&
      a.gpa <= b.gpa + b.size &&
      b.gpa <= a.gpa + a.size
    );
  }
}

class LastPageMayOverlap extends ModelEngine {
  override overlaps(a: Slot, b: Slot): boolean {
    const page = 1n << BigInt(this.limits.pageShift);
    return (
      super.overlaps({ ...a, size: a.size - page }, b) && super.overlaps(a, { ...b, size: b.size - page })
    );
  }
}

class OneShotForgetsAddressSpace extends ModelEngine {
  override gpaToHva(gpa: number): number {
    return super.gpaToHva(gpa, 0);
  }
}

class ReadonlyIsWritable extends ModelEngine {
  override translate(slots: Map<number, Slot>, gpa: number): number {
    return super.translate(slots, gpa, false);
  }
}

class GenerationsAdvanceTogether extends ModelEngine {
  protected override published(asIds: number[]): void {
    super.published(asIds.length > 0 ? [...this.layout.keys()] : []);
  }
}

class PublishesWithoutEffect extends ModelEngine {
  protected override publishList(list: ModelList): void {
    const { publications } = this;
    super.publishList(list);
    if (this.publications === publications) this.published([0]);
  }
}

class FailedListLeavesTrace extends ModelEngine {
  override setUserMemoryRegionList(regions: readonly UserspaceMemoryRegion[]): { generation: number } {
    try {
      return super.setUserMemoryRegionList(regions);
    } catch (error) {
      for (const region of regions.slice(0, (error as KvmError).index))
        errnoOf(() => this.setUserMemoryRegion(region));
      throw error;
    }
  }
}

class TransientOverlapIsRefused extends ModelEngine {
  override createList(): ModelList {
    return new EachEntryOverlaps(this, this.limits);
  }
}

class EachEntryOverlaps extends ModelList {
  protected override applyEntry(entry: Arguments, index: number): number {
    return super.applyEntry(entry, index) || (this.findOverlap()?.errno ?? 0);
  }
}

class EarlierEntryIsBlamed extends ModelEngine {
  override createList(): ModelList {
    return new BlamesEarlierEntry(this, this.limits);
  }
}

class BlamesEarlierEntry extends ModelList {
  protected override conflictIndex(a: Slot, b: Slot): number {
    const entries = [a, b].flatMap((slot) => this.entryOf.get(slot.slot) ?? []);
    return Math.min(...entries);
  }
}

class OverlapComesAfterHighestGpa extends ModelEngine {
  override createList(): ModelList {
    return new HighestGpaFirst(this, this.limits);
  }
}

class HighestGpaFirst extends ModelList {
  protected override checkFinalLayout(): Refusal | undefined {
    return this.findBeyondHighestGpa() ?? this.findOverlap();
  }
}

class MoveLosesBitmap extends ModelEngine {
  override createDirtyLog(): ModelDirtyLog {
    return new LostByMove(this.limits.pageShift);
  }
}

class LostByMove extends ModelDirtyLog {
  protected override carried(before: Slot | undefined, after: Slot | undefined, ended: boolean): boolean {
    return before?.gpa === after?.gpa && super.carried(before, after, ended);
  }

  protected override carryPages(from: Log, to: Log): void {
    if (from.slot.gpa === to.slot.gpa) super.carryPages(from, to);
  }
}

class CarriesNothing extends ModelEngine {
  override createDirtyLog(): ModelDirtyLog {
    return new NotCarried(this.limits.pageShift);
  }
}

class NotCarried extends ModelDirtyLog {
  protected override carryPages(): void {}
}

class RecreatedKeepsBitmap extends ModelEngine {
  override createDirtyLog(): ModelDirtyLog {
    return new KeptByList(this.limits.pageShift);
  }
}

class KeptByList extends ModelDirtyLog {
  protected override carried(before: Slot | undefined, after: Slot | undefined): boolean {
    return super.carried(before, after, false);
  }
}

class ClearCountsFromZero extends ModelEngine {
  override createDirtyLog(): ModelDirtyLog {
    return new ClearsFromZero(this.limits.pageShift);
  }
}

class ClearsFromZero extends ModelDirtyLog {
  protected override clearedPage(_firstPage: number, bit: number): number {
    return bit;
  }
}

class LogBitIsForgotten extends ModelEngine {
  override slots(asId = 0): ReturnType<ModelEngine["slots"]> {
    return super.slots(asId).map((slot) => ({ ...slot, flags: slot.flags & ~KVM_MEM_LOG_DIRTY_PAGES }));
  }
}

class AliasesAreMissed extends ModelEngine {
  override hvaToGpas(start: number, end: number): ReturnType<ModelEngine["hvaToGpas"]> {
    return super.hvaToGpas(start, end).filter(({ gpa, bytes }, i, all) => {
      const hva = this.gpaToHvaRead(gpa);
      return !all.slice(0, i).some((other) => this.gpaToHvaRead(other.gpa) === hva && other.bytes === bytes);
    });
  }
}

class SectionFollowsChanges extends ModelEngine {
  override vcpu(options: { asId?: number }): ModelVcpu {
    const vcpu = super.vcpu(options);
    const { gpaToHva } = vcpu;
    return Object.assign(vcpu, {
      gpaToHva(gpa: number) {
        vcpu.enter();
        return gpaToHva.call(vcpu, gpa);
      },
    });
  }
}

export const MUTANTS: (typeof ModelEngine)[] = [
  TouchingSlotsOverlap,
  LastPageMayOverlap,
  OneShotForgetsAddressSpace,
  ReadonlyIsWritable,
  GenerationsAdvanceTogether,
  PublishesWithoutEffect,
  FailedListLeavesTrace,
  TransientOverlapIsRefused,
  EarlierEntryIsBlamed,
  OverlapComesAfterHighestGpa,
  MoveLosesBitmap,
  RecreatedKeepsBitmap,
  CarriesNothing,
  ClearCountsFromZero,
  LogBitIsForgotten,
  AliasesAreMissed,
  SectionFollowsChanges,
];

/** Those that lists over four pages and three slots must show as well. */
export const LIST_MUTANTS: (typeof ModelEngine)[] = [
  TouchingSlotsOverlap,
  LastPageMayOverlap,
  PublishesWithoutEffect,
  FailedListLeavesTrace,
  TransientOverlapIsRefused,
  EarlierEntryIsBlamed,
  OverlapComesAfterHighestGpa,
  MoveLosesBitmap,
  RecreatedKeepsBitmap,
];
