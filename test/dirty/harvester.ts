/**
 * Harvesters: each keeps a copy of host memory and renews a page's when the page is told dirty, as a migration
 * does. A page whose copy is old after the last harvest was lost.
 */
import { DirtyConsumer, DirtyRing, type EndedLog, type MemslotEngine, takeDirtyPages } from "memslots";
import { dirtyPages, hostPages } from "../support/bitmap.js";
import type { Random } from "../support/random.js";
import { PAGE } from "../support/region.js";
import { HOME_HVA, HOSTS } from "./world.js";

export abstract class Harvester {
  readonly copy = new Int32Array(HOSTS);
  /** Pages copied. */
  copied = 0;

  constructor(
    readonly engine: MemslotEngine,
    readonly ram: Int32Array,
  ) {}

  /** @param rng fail now and then; without, never */
  abstract harvest(rng?: Random): void;

  /**
   * A log ended with a list: what the list has left mapped must be in a log that began, what it has not is only
   * here.
   */
  take({ bitmap, guestPhysAddr }: EndedLog, isMapped: (hostPage: number) => boolean): void {
    const first = (guestPhysAddr / PAGE) % HOSTS;
    for (const page of dirtyPages(bitmap)) if (!isMapped(first + page)) this.renew(first + page);
  }

  /** The writer of a page died before it told so. */
  retell(hva: number): void {
    this.renew(hva / PAGE - HOME_HVA);
  }

  protected renew(hostPage: number): void {
    this.copy[hostPage] = Atomics.load(this.ram, hostPage);
    this.copied++;
  }

  protected renewLog(log: Uint8Array, hostPage: number): void {
    for (const page of dirtyPages(log)) this.renew(hostPage + page);
  }

  /** Host pages whose copy is old; the writers stand still. */
  lost(): number[] {
    return Array.from({ length: HOSTS }, (_, i) => i).filter((page) => this.copy[page] !== this.ram[page]);
  }
}

/** KVM_GET_DIRTY_LOG of every slot; of some, page numbers, and not always all. */
export class LogHarvester extends Harvester {
  readonly #pages = new Uint32Array(HOSTS);

  override harvest(rng?: Random): void {
    for (const { slot, userspaceAddr } of this.engine.slots()) {
      const first = userspaceAddr / PAGE - HOME_HVA;
      if (rng?.chance(0.5)) this.#take(slot, first, 1 + rng.int(HOSTS));
      else this.renewLog(this.engine.getDirtyLog(slot), first);
    }
  }

  #take(slot: number, first: number, room: number): void {
    const count = takeDirtyPages(this.engine, slot, this.#pages.subarray(0, room));
    for (const page of this.#pages.subarray(0, count)) this.renew(first + page);
  }
}

/** A consumer, whose harvest sometimes fails, or is of a part. It has to be told of what no slot maps any more, too. */
export class ConsumerHarvester extends Harvester {
  readonly #consumer: DirtyConsumer;

  constructor(engine: MemslotEngine, ram: Int32Array) {
    super(engine, ram);
    this.#consumer = new DirtyConsumer(engine, "copy", { initially: "dirty" });
  }

  override harvest(rng?: Random): void {
    const first = rng?.chance(0.3) ? rng.int(HOSTS) : 0;
    const part = { hva: (HOME_HVA + first) * PAGE, bytes: (HOSTS - first) * PAGE };
    const ranges = this.#consumer.begin(part);
    if (rng?.chance(0.1)) return;
    const fails = rng?.chance(0.2) ? rng.int(ranges.length + 1) : ranges.length;
    ranges.forEach((range, i) => {
      if (i < fails) {
        for (const page of hostPages([range], HOME_HVA)) this.renew(page);
        this.#consumer.done(range);
      }
    });
    if (fails < ranges.length) this.#consumer.abort();
  }

  override take(): void {}
}

/** All rings, then the reset; some harvests die before it. */
export class RingHarvester extends Harvester {
  readonly #rings: readonly DirtyRing[];
  readonly #bySlot: boolean;
  overflows = 0;

  /** @param bySlot believe slot and offset of an entry, as KVM has it, instead of its host page */
  constructor(engine: MemslotEngine, ram: Int32Array, bySlot: boolean) {
    super(engine, ram);
    this.#rings = Array.from({ length: engine.maxVcpus }, (_, i) => new DirtyRing(engine, i));
    this.#bySlot = bySlot;
  }

  override harvest(rng?: Random): void {
    for (const ring of this.#rings) {
      const { entries, overflow } = ring.harvest();
      if (rng?.chance(0.1)) return;
      if (overflow) {
        this.overflows++;
        for (let page = 0; page < HOSTS; page++) this.renew(page);
      }
      for (const { slot, offset, hva } of entries) {
        const address = this.#bySlot ? this.#resolve(slot, offset) : hva;
        if (address !== undefined) this.renew(address / PAGE - HOME_HVA);
      }
    }
    this.engine.resetDirtyRings();
  }

  #resolve(slot: number, offset: number): number | undefined {
    const now = this.engine.slot(slot);
    return now !== undefined && offset * PAGE < now.memorySize
      ? now.userspaceAddr + offset * PAGE
      : undefined;
  }
}
