/** A reader of the model: a section copies the layout, so every lookup in it answers from that one. */
import type { Limits, Slot } from "./checks.js";

interface Engine {
  readonly limits: Limits;
  layout: Map<number, Slot>[];
  gpaToSlot(slots: Map<number, Slot>, gpa: number): Slot | undefined;
  translate(slots: Map<number, Slot>, gpa: number, write: boolean): number;
  markDirty(gpa: number, asId?: number): void;
}

export class ModelVcpu {
  readonly #engine: Engine;
  readonly #asId: number;
  #pinned: Map<number, Slot> | undefined;

  constructor(engine: Engine, asId: number) {
    this.#engine = engine;
    this.#asId = asId;
  }

  enter(): void {
    this.#pinned = new Map(this.#engine.layout[this.#asId]!);
  }

  exit(): void {
    this.#pinned = undefined;
  }

  release(): void {}

  gpaToHva(gpa: number): number {
    return this.#engine.translate(this.#layout, gpa, true);
  }

  gpaToHvaRead(gpa: number): number {
    return this.#engine.translate(this.#layout, gpa, false);
  }

  gfnToSlot(gfn: number): number {
    return this.#engine.gpaToSlot(this.#layout, gfn * 2 ** this.#engine.limits.pageShift)?.slot ?? -1;
  }

  translate(gpas: Float64Array, hvas: Float64Array): void {
    for (const [i, gpa] of gpas.entries()) hvas[i] = this.gpaToHva(gpa);
  }

  markDirty(gpa: number): void {
    this.#engine.markDirty(gpa, this.#asId);
  }

  get #layout(): Map<number, Slot> {
    if (!this.#pinned) throw new Error("lookup outside of a read section");
    return this.#pinned;
  }
}
