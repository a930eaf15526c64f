/** A read section that stays open over a change and must not notice it. */
import { firstDifference } from "./difference.js";
import type { Implementation, Reader } from "./implementation.js";
import { gfnsOf, type Lookups, lookUp, type Window } from "./snapshot.js";

export class OpenSection {
  readonly #vcpu: Reader;
  readonly #gfns: number[];
  readonly #pageShift: number;
  readonly #before: Lookups;

  constructor(vm: Implementation, asId: number, window: Window) {
    this.#gfns = gfnsOf(vm.slots(asId), window);
    this.#pageShift = window.pageShift;
    this.#vcpu = vm.vcpu({ asId });
    this.#vcpu.enter();
    this.#before = lookUp(this.#vcpu, this.#gfns, this.#pageShift);
  }

  /** The first lookup of the section whose result differs from that at its beginning, if any. */
  difference(): string | undefined {
    return firstDifference(lookUp(this.#vcpu, this.#gfns, this.#pageShift), this.#before, "section");
  }

  /** A guest write through the layout of the section, even if it was replaced. */
  markDirty(gpa: number): void {
    this.#vcpu.markDirty(gpa);
  }

  close(): void {
    this.#vcpu.exit();
    this.#vcpu.release();
  }
}
