/** A reader of the model: a section copies the layout, so that every lookup in it answers from that one. */
import type { Slot } from "./checks.js";
import type { DirtyPages } from "./dirtylog.js";
import type { ModelEngine } from "./memslots.js";

/** The bitmaps themselves are not copied: what a section marks is to be seen by everyone. */
interface Pinned {
  slots: Map<number, Slot>;
  bitmaps: Map<number, DirtyPages>;
}

export class ModelVcpu {
  readonly #engine: ModelEngine;
  readonly #asId: number;
  #pinned: Pinned | undefined;

  constructor(engine: ModelEngine, asId: number) {
    this.#engine = engine;
    this.#asId = asId;
  }

  enter(): void {
    const { layout, dirtyLog } = this.#engine;
    this.#pinned = { slots: new Map(layout[this.#asId]!), bitmaps: new Map(dirtyLog.bitmaps) };
  }

  exit(): void {
    this.#pinned = undefined;
  }

  release(): void {
    this.#pinned = undefined;
  }

  gpaToHva(gpa: number): number {
    return this.#engine.translate(this.#section.slots, gpa, true);
  }

  gpaToHvaRead(gpa: number): number {
    return this.#engine.translate(this.#section.slots, gpa, false);
  }

  gfnToSlot(gfn: number): number {
    const gpa = gfn * 2 ** this.#engine.limits.pageShift;
    return this.#engine.gpaToSlot(this.#section.slots, gpa)?.slot ?? -1;
  }

  translate(gpas: Float64Array, hvas: Float64Array): void {
    for (const [i, gpa] of gpas.entries()) hvas[i] = this.gpaToHva(gpa);
  }

  markDirty(gpa: number): void {
    const { slots, bitmaps } = this.#section;
    if (!this.#engine.dirtyLog.ringEnabled) this.#engine.mark(slots, bitmaps, gpa);
  }

  get #section(): Pinned {
    if (!this.#pinned) throw new Error("lookup outside of a read section");
    return this.#pinned;
  }
}
