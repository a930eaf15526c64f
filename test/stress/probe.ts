/**
 * One vCPU of a reader, and the check of all that it is told: the clock names the layout of a section, and
 * every other answer until the section's end, misses and both address spaces included, must be that layout's.
 */
import type { Vcpu } from "memslots";
import { CELL_PAGES } from "./cells.js";
import { ADDRESS_SPACES, type Answers, CLOCK_GPA, layoutOf, PAGE } from "./layouts.js";
import type { Station } from "./station.js";

/** Layouts between two looks that are worth comparing one by one. */
const GAP_MAX = 200;
/** Addresses of a batch, more than one call of the core takes. */
const BATCH_MAX = 150;

/** Sections of one blink. */
const BLINKS = 500;

export class Probe {
  readonly #station: Station;
  /** Number among the vCPUs of the line. */
  readonly #number: number;
  #vcpu: Vcpu;
  /** Layout of the open section; 0 outside of one. */
  #layout = 0;
  /** Newest layout that this vCPU has seen. */
  #seen = 0;
  /** Layout of its last section. */
  #entered = -1;
  readonly #gpas = new Float64Array(BATCH_MAX);
  readonly #hvas = new Float64Array(BATCH_MAX);

  constructor(station: Station, number: number) {
    this.#station = station;
    this.#number = number;
    this.#vcpu = station.engine.vcpu();
  }

  get open(): boolean {
    return this.#layout !== 0;
  }

  get kicked(): boolean {
    return this.#vcpu.kicked;
  }

  #violation(text: string): void {
    this.#station.violation(`vCPU ${this.#number} of line ${this.#station.line}: ${text}`);
  }

  /** The layout that answers now. */
  #readClock(): number {
    const { asId } = this.#vcpu;
    if (asId !== 0) this.#vcpu.asId = 0;
    const hva = this.#vcpu.gpaToHva(CLOCK_GPA);
    if (asId !== 0) this.#vcpu.asId = asId;
    const layout = layoutOf(hva);
    if (layout < 0) this.#violation(`the clock is at ${hva}, in a section of layout ${this.#layout}`);
    return Math.max(layout, 1);
  }

  /** The section that began after `floor` was published is in `layout`. */
  #arrive(layout: number, floor: number, told: boolean, before: number): void {
    const { board, line, layouts } = this.#station;
    if (layout < floor) this.#violation(`in layout ${layout} after ${floor} was published`);
    if (layout < this.#seen) this.#violation(`in layout ${layout} after ${this.#seen}`);
    if (told !== (layout !== before)) {
      this.#violation(`told ${told ? "of a change" : "of no change"} between ${before} and ${layout}`);
    }
    this.#layout = layout;
    this.#seen = Math.max(this.#seen, layout);
    this.#entered = layout;
    board.announce(line, this.#number, layout);
    const older = layouts.isBarrier(layout) ? board.olderSection(line, layout) : 0;
    if (older !== 0) this.#violation(`in layout ${layout}, behind a barrier, beside a section in ${older}`);
    board.count(line, "sections");
  }

  begin(): void {
    const { board } = this.#station;
    const floor = board.floor;
    const told = this.#vcpu.enter();
    this.#arrive(this.#readClock(), floor, told, this.#entered);
  }

  end(): void {
    const { board, line } = this.#station;
    board.announce(line, this.#number, 0);
    this.#layout = 0;
    this.#vcpu.exit();
  }

  refresh(): void {
    const { board, line } = this.#station;
    board.announce(line, this.#number, 0);
    const floor = board.floor;
    const told = this.#vcpu.refresh();
    board.count(line, "refreshes");
    this.#arrive(this.#readClock(), floor, told, this.#layout);
  }

  switchSpace(): void {
    this.#vcpu.asId = (this.#vcpu.asId + 1) % ADDRESS_SPACES;
  }

  /**
   * Lookups in the open section: some frames of one cell in a row, for the vCPU's cache, then another cell.
   */
  look(count: number): void {
    const { rng, layouts, board, line } = this.#station;
    const vcpu = this.#vcpu;
    for (let left = count; left > 0; left -= 8) {
      const cell = rng.int(layouts.cells.length);
      const answers = layouts.answers(this.#layout, cell);
      const { firstGfn } = layouts.cells[cell]!;
      const first = rng.int(CELL_PAGES);
      for (let i = 0; i < 8; i++) {
        const page = (first + (i >> 1)) % CELL_PAGES;
        const gpa = (firstGfn + page) * PAGE;
        const at = vcpu.asId * CELL_PAGES + page;
        const kind = i % 3;
        const got =
          kind === 0
            ? vcpu.gpaToHvaRead(gpa)
            : kind === 1
              ? vcpu.gpaToHva(gpa)
              : vcpu.gfnToSlot(firstGfn + page);
        this.#compare(got, answers, this.#layout, kind, cell, at);
      }
    }
    board.count(line, "accesses", count);
  }

  #compare(got: number, answers: Answers, layout: number, kind: number, cell: number, at: number): void {
    const table = [answers.reads, answers.writes, answers.slots][kind]!;
    if (got === table[at]) return;
    this.#station.board.count(this.#station.line, "wrong");
    const [asId, page] = [Math.floor(at / CELL_PAGES), at % CELL_PAGES];
    const where = `page ${page} of cell ${cell} (${this.#station.layouts.cells[cell]!.shape.kind})`;
    const lookup = `${["read", "write", "slot"][kind]} says ${got}, must be ${table[at]}`;
    const clock = `clock ${this.#readClock()}`;
    this.#violation(`layout ${layout}, ${where}, address space ${asId}: ${lookup}; ${clock}`);
  }

  /** A section inside the section, and dirty bits, which are not looked at but must hit living memory. */
  nest(): void {
    const { rng, layouts } = this.#station;
    if (this.#vcpu.enter()) this.#violation("told of a change in a nested section");
    this.look(8);
    const { firstGfn } = layouts.cells[rng.int(layouts.cells.length)]!;
    this.#vcpu.markDirty((firstGfn + rng.int(CELL_PAGES)) * PAGE);
    this.#vcpu.exit();
  }

  /** Many lookups by one call; outside of a section they must come from one layout all the same. */
  batch(): void {
    const { rng, layouts, board, line } = this.#station;
    const count = 1 + rng.int(BATCH_MAX - 1);
    const gpas = this.#gpas.subarray(0, count + 1);
    if (!this.open) this.#vcpu.asId = 0;
    const { asId } = this.#vcpu;
    gpas[0] = CLOCK_GPA;
    const cells = Uint8Array.from(gpas, () => rng.int(layouts.cells.length));
    const pages = Uint8Array.from(gpas, () => rng.int(CELL_PAGES));
    for (let i = 1; i <= count; i++) gpas[i] = (layouts.cells[cells[i]!]!.firstGfn + pages[i]!) * PAGE;
    const write = rng.chance(0.5);
    this.#vcpu.translate(gpas, this.#hvas, write);
    board.count(line, "accesses", count);
    const layout = this.open ? this.#layout : layoutOf(this.#hvas[0]!);
    if (layout < this.#seen) this.#violation(`a batch in layout ${layout} after ${this.#seen}`);
    if (layout < 0) return;
    this.#seen = layout;
    for (let i = 1; i <= count; i++) {
      const answers = layouts.answers(layout, cells[i]!);
      const at = asId * CELL_PAGES + pages[i]!;
      this.#compare(this.#hvas[i]!, answers, layout, write ? 1 : 0, cells[i]!, at);
    }
  }

  /**
   * A lookup outside of a section: the answer of a layout between the last one seen and the one seen next.
   */
  alone(): void {
    const { rng, layouts, board, line } = this.#station;
    const cell = rng.int(layouts.cells.length);
    const page = rng.int(CELL_PAGES);
    const at = this.#vcpu.asId * CELL_PAGES + page;
    const hva = this.#vcpu.gpaToHvaRead((layouts.cells[cell]!.firstGfn + page) * PAGE);
    const after = this.#readClock();
    board.count(line, "oneShots", 2);
    if (after < this.#seen) this.#violation(`a lookup in layout ${after} after ${this.#seen}`);
    const known = Math.max(this.#seen, 1);
    const fits = (answers: Answers) => answers.reads[at] === hva;
    if (after - known < GAP_MAX && !layouts.everAnswered(known, after, cell, fits)) {
      this.#violation(`page ${page} of cell ${cell} is at ${hva} in no layout from ${known} to ${after}`);
    }
    this.#seen = Math.max(this.#seen, after);
  }

  /**
   * Sections and batches as short as can be, so that a thread that is stopped is likely to be stopped between
   * its look at the root and its pin.
   */
  blink(): void {
    const { rng, layouts, board, line } = this.#station;
    const vcpu = this.#vcpu;
    vcpu.asId = 0;
    const cell = rng.int(layouts.cells.length);
    const page = rng.int(CELL_PAGES);
    const gpas = this.#gpas.subarray(0, 2);
    gpas[0] = CLOCK_GPA;
    gpas[1] = (layouts.cells[cell]!.firstGfn + page) * PAGE;
    const whole = rng.chance(0.5);
    for (let i = 0; i < BLINKS; i++) {
      if (whole) {
        vcpu.enter();
        this.#hvas[0] = vcpu.gpaToHva(CLOCK_GPA);
        this.#hvas[1] = vcpu.gpaToHva(gpas[1]!);
        vcpu.exit();
      } else vcpu.translate(gpas, this.#hvas);
      const layout = layoutOf(this.#hvas[0]!);
      if (layout < this.#seen) this.#violation(`a blink in layout ${layout} after ${this.#seen}`);
      if (layout > 0) {
        this.#seen = layout;
        this.#compare(this.#hvas[1]!, layouts.answers(layout, cell), layout, 1, cell, page);
      }
    }
    if (whole) this.#entered = this.#seen;
    board.count(line, "accesses", 2 * BLINKS);
    board.count(line, whole ? "sections" : "oneShots", BLINKS);
  }

  /** Give the reader line back and claim one anew. */
  renew(): void {
    this.#vcpu.release();
    this.#vcpu = this.#station.engine.vcpu({ asId: this.#station.rng.int(ADDRESS_SPACES) });
    this.#entered = -1;
  }
}
