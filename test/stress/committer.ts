/**
 * A writer: brings the map from the layout it finds to the next, in all modes, against others who do the
 * same, and checks what each mode promises.
 */
import {
  type CommitOptions,
  type CommitResult,
  KVM_MEM_LOG_DIRTY_PAGES,
  KvmError,
  type Slot,
} from "memslots";
import type { Counter } from "./board.js";
import type { Change } from "./cells.js";
import { checkSnapshot, currentLayout } from "./snapshots.js";
import type { Station } from "./station.js";

/** Looks at the vCPUs while they are held. */
const PAUSE_ROUNDS = 20;

/** A list on its way. */
interface Attempt {
  readonly kind: "commit" | "refused" | "nothing";
  /** The layout that it was made for. */
  readonly layout: number;
  readonly regions: Slot[];
  readonly changes: readonly Change[];
  readonly options: CommitOptions;
  /** Waits for nobody; may be told that there was no time. */
  readonly hasty: boolean;
  /** Error code of the last entry. */
  readonly code?: string;
}

export class Committer {
  readonly #station: Station;
  #seen = 0;

  constructor(station: Station) {
    this.#station = station;
  }

  #count(counter: Counter): void {
    this.#station.board.count(this.#station.line, counter);
  }

  #violation(text: string): void {
    this.#station.violation(`writer of line ${this.#station.line}: ${text}`);
  }

  /** The layout to start from. */
  #find(): number {
    const { engine, board } = this.#station;
    const floor = board.floor;
    const layout = Math.max(0, currentLayout(engine));
    if (layout < Math.max(floor, this.#seen)) {
      this.#violation(`found layout ${layout} after ${floor} and ${this.#seen}`);
    }
    this.#seen = layout;
    return layout;
  }

  #plan(hasty: boolean): Attempt {
    const { layouts, rng } = this.#station;
    const layout = this.#find();
    const { regions, changes } = layouts.step(layout);
    const barrier = layouts.isBarrier(layout + 1);
    const wait = rng.chance(0.6);
    const options: CommitOptions = {
      wait,
      barrier,
      changed: rng.chance(0.2),
      takeDirty: wait && rng.chance(0.2),
      ...(hasty ? { timeout: rng.int(3) } : {}),
    };
    const kind = layout === 0 || rng.chance(0.85) ? "commit" : rng.chance(0.6) ? "refused" : "nothing";
    const attempt = { kind, layout, regions, changes, options, hasty } as const;
    if (kind === "nothing") return { ...attempt, regions: layouts.nothing(layout) };
    if (kind === "commit") return attempt;
    const { region, code } = layouts.bad(rng.int(3));
    return { ...attempt, regions: [...regions, region], code };
  }

  #succeeded(attempt: Attempt, { published, changed, dirty }: CommitResult): void {
    const { board, line } = this.#station;
    const { kind, layout, options } = attempt;
    if (kind === "refused") this.#violation(`a list with a bad entry succeeded in ${layout}`);
    if (published !== (kind === "commit"))
      this.#violation(`published is ${published} for "${kind}" in ${layout}`);
    if (kind === "nothing") this.#count("nothing");
    if (kind !== "commit") return;
    if (changed !== undefined) this.#count("changes told");
    if (dirty !== undefined) this.#count("logs taken");
    this.#published(attempt);
    const over = options.wait || options.barrier;
    const older = over ? board.olderSection(line, layout + 1) : 0;
    if (older !== 0) {
      const promise = options.wait ? "waited for all readers" : "was behind a barrier";
      this.#violation(`layout ${layout + 1} ${promise}, but one is in ${older}`);
    }
  }

  #published({ layout, changes, options, hasty }: Attempt): void {
    this.#station.board.raiseFloor(layout + 1);
    this.#count("commits");
    this.#station.board.count(this.#station.line, "listed", changes.length);
    for (const change of changes) this.#count(change);
    this.#count(options.wait ? "wait" : "noWait");
    if (options.barrier) this.#count("barrier");
    if (hasty) this.#count("hasty");
  }

  #failed(attempt: Attempt, error: unknown): void {
    const { kind, layout, regions, code, hasty } = attempt;
    if (!(error instanceof KvmError)) throw error;
    const late = error.code === "EBUSY" || error.code === "ETIMEDOUT";
    if (error.code === "EINVAL" && error.index === 0) {
      this.#count("raced");
      const now = currentLayout(this.#station.engine);
      if (now <= layout) this.#violation(`${error}, but layout ${now} is in force, not ${layout + 1}`);
    } else if (kind === "refused" && error.code === code && error.index === regions.length - 1) {
      this.#count("refused");
    } else if (hasty && late && error.published && kind === "commit") {
      this.#count("overdue");
      this.#published(attempt);
    } else if (
      late &&
      !error.published &&
      error.index === undefined &&
      (hasty || this.#isGated(attempt, error))
    ) {
      this.#count("busy");
    } else {
      this.#violation(`"${kind}" in ${layout}: ${error}`);
    }
  }

  /** A barrier is refused while another thread holds the vCPUs. */
  #isGated({ options }: Attempt, { code }: KvmError): boolean {
    return options.barrier === true && code === "EBUSY";
  }

  /** One list. `hasty`: give up at once where others are in the way. */
  commit(hasty: boolean): void {
    const attempt = this.#plan(hasty);
    let result: CommitResult | undefined;
    try {
      result = this.#station.engine.setUserMemoryRegionList(attempt.regions, attempt.options);
    } catch (error) {
      this.#failed(attempt, error);
    }
    if (result !== undefined) this.#succeeded(attempt, result);
  }

  /** The same without sleeping. */
  async commitAsync(hasty: boolean): Promise<void> {
    const attempt = this.#plan(hasty);
    let result: CommitResult | undefined;
    try {
      result = await this.#station.engine.setUserMemoryRegionListAsync(attempt.regions, attempt.options);
    } catch (error) {
      this.#failed(attempt, error);
    }
    if (result !== undefined) this.#succeeded(attempt, result);
    if (result?.published) this.#count("async");
  }

  /** True if the layout that a section of this thread may be kept open for is published with a barrier. */
  get nextIsBarrier(): boolean {
    return this.#station.layouts.isBarrier(this.#find() + 1);
  }

  /** Hold the vCPUs of all other threads: then none is in a section, whatever is committed. */
  pause(): void {
    const { engine, board, line } = this.#station;
    try {
      engine.pauseVcpus();
    } catch (error) {
      if (error instanceof KvmError && error.code === "EBUSY") return;
      throw error;
    }
    this.#count("pauses");
    for (let round = 0; round < PAUSE_ROUNDS; round++) {
      const inside = board.olderSection(line, Number.POSITIVE_INFINITY);
      if (inside !== 0) this.#violation(`a vCPU is in a section of ${inside} while all are held`);
      if (round % 2 === 0) this.commit(true);
    }
    engine.resumeVcpus();
  }

  /** Something else under the writer lock, or beside it. */
  other(): void {
    const { engine, rng } = this.#station;
    const kind = rng.int(10);
    if (kind === 0) this.pause();
    else if (kind <= 2) this.#synchronize();
    else if (kind <= 4) this.#dirtyLog();
    else if (kind === 5) engine.kick();
    else checkSnapshot(this.#station);
  }

  #synchronize(): void {
    const { engine, board, line } = this.#station;
    const { floor } = board;
    engine.synchronize();
    this.#count("synchronized");
    const older = board.olderSection(line, floor);
    if (older !== 0) this.#violation(`${floor} was synchronized, but a reader is in ${older}`);
  }

  #dirtyLog(): void {
    const { engine, layouts, rng } = this.#station;
    const all = layouts.slots(this.#find(), rng.int(2));
    const logged = all.filter(({ flags }) => flags & KVM_MEM_LOG_DIRTY_PAGES);
    try {
      engine.getDirtyLog(rng.pick(logged.length > 0 ? logged : all).slot);
      this.#count("logs");
    } catch (error) {
      if (!(error instanceof KvmError && error.code === "ENOENT")) throw error;
    }
  }
}
