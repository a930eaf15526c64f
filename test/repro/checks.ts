/**
 * Checks of scenarios besides the accesses of the vCPUs.
 */
import type { MemslotEngine } from "memslots";
import { PAGE } from "../support/region.js";
import type { Ram } from "./ram.js";
import type { Change, Check, Finding } from "./scenario.js";

/** R11: once a change has returned, no write lands in the block that it left. */
export class LeftBlock implements Check {
  readonly #ram: Ram;
  readonly #pages: readonly number[];
  #writes = 0;
  #late = 0;

  constructor(ram: Ram, pages: readonly number[]) {
    this.#ram = ram;
    this.#pages = pages;
  }

  after({ leaves }: Change): void {
    this.#writes = this.#ram.writes(this.#pages, leaves);
  }

  later({ leaves }: Change): void {
    this.#late += this.#ram.writes(this.#pages, leaves) - this.#writes;
  }

  found(): Finding {
    return { what: "writes to the old place after return", count: this.#late };
  }
}

/** R8: after a refusal the engine is what it was. */
export class OldLayout implements Check {
  readonly #engine: MemslotEngine;
  readonly #slots: string;
  #changed = 0;

  constructor(engine: MemslotEngine) {
    this.#engine = engine;
    this.#slots = JSON.stringify(engine.slots());
  }

  after(): void {
    if (JSON.stringify(this.#engine.slots()) !== this.#slots) this.#changed++;
  }

  found(): Finding {
    return { what: "refusals that changed the layout", count: this.#changed };
  }
}

/**
 * R4: the pages that a migration would miss. The log is read right before a change, as QEMU does, and every
 * page in it is copied. Right after the change all vCPUs stand still: a page that is in no log by then and
 * differs from its copy was written without the log telling. A copy is the count of writes, which each write
 * changes.
 */
export class DirtyCopy implements Check {
  readonly #engine: MemslotEngine;
  readonly #ram: Ram;
  readonly #pages: readonly number[];
  readonly #copies = new Map<number, number>();
  #lost = 0;

  constructor(engine: MemslotEngine, ram: Ram, pages: readonly number[]) {
    this.#engine = engine;
    this.#ram = ram;
    this.#pages = pages;
    for (const gpa of pages) this.#copy(gpa);
  }

  before(): void {
    this.#harvest();
  }

  after(): void {
    this.#engine.pauseVcpus();
    this.#harvest();
    for (const gpa of this.#pages) {
      if (this.#copies.get(gpa) !== this.#ram.writesTo(gpa, 0)) this.#lost++;
      this.#copy(gpa);
    }
    this.#engine.resumeVcpus();
  }

  #copy(gpa: number): void {
    this.#copies.set(gpa, this.#ram.writesTo(gpa, 0));
  }

  #harvest(): void {
    for (const { slot, guestPhysAddr, memorySize } of this.#engine.slots()) {
      const log = this.#engine.getDirtyLog(slot);
      for (let page = 0; page < memorySize / PAGE; page++) {
        if ((log[page >> 3]! >> (page & 7)) & 1) this.#copy(guestPhysAddr + page * PAGE);
      }
    }
  }

  found(): Finding {
    return { what: "pages written but in no dirty log", count: this.#lost };
  }
}
