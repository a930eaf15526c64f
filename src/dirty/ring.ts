/**
 * DirtyRing: the harvester's side of a vCPU's dirty ring, in any thread. The vCPU pushes meanwhile. An entry goes
 * free -> dirty (push) -> harvested (`harvest`) -> free (`engine.resetDirtyRings`).
 */
import { damaged } from "../core/damage.js";
import type { EngineExports } from "../core/exports.js";
import {
  DIRTY_GFN_BYTES,
  DIRTY_GFN_HARVESTED,
  DIRTY_GFN_OFFSET_OFFSET,
  DIRTY_GFN_SLOT_OFFSET,
  DIRTY_RING_ENTRIES_OFFSET,
  DIRTY_RING_HOST_PAGES_OFFSET,
  DIRTY_RING_MASK_OFFSET,
} from "../core/layout.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { toInteger } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { TIMEOUT_MS } from "../write/commitoptions.js";
import { locked, lockedAsync } from "../write/lock.js";

/** A written page: struct kvm_dirty_gfn, and its host address at the moment of the write. */
export interface DirtyGfn {
  /** Number of the slot that the vCPU wrote through, address space << 16 | id. */
  readonly slot: number;
  /** Page of that slot, from 0 on. */
  readonly offset: number;
  /** Host address of the page; valid even if a list has changed or deleted the slot since. */
  readonly hva: number;
}

/** Result of `ring.harvest`. */
export interface RingHarvest {
  /** Written pages, oldest first; a page may occur more than once. */
  readonly entries: readonly DirtyGfn[];
  /**
   * True if every page of every logged slot may be dirty: writes found the ring full, or came from a thread that is no
   * vCPU. Stays true until `engine.resetDirtyRings`. Always false with KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, where
   * getDirtyLog has those pages.
   */
  readonly overflow: boolean;
}

/** KVM_RESET_DIRTY_RINGS. @throws as MemslotEngine.resetDirtyRings */
export function resetRings(thread: Thread): number {
  const op = "resetDirtyRings";
  return checkReset(
    locked(thread, op, TIMEOUT_MS, (wasm, base) => wasm.resetDirtyRings(base)),
    op,
  );
}

/** The same without sleeping. */
export async function resetRingsAsync(thread: Thread): Promise<number> {
  const op = "resetDirtyRingsAsync";
  return checkReset(
    await lockedAsync(thread, op, TIMEOUT_MS, (wasm, base) => wasm.resetDirtyRings(base)),
    op,
  );
}

function checkReset(count: number, op: string): number {
  if (count < 0) throw new KvmError(count, op, { reason: "the engine has no dirty rings" });
  return count;
}

/**
 * The dirty ring of one vCPU number. It exists before the first vCPU of that number and after the last one: a vCPU that
 * ends removes no entry. One thread at a time harvests a ring; any thread may.
 *
 * @example
 * const ring = new DirtyRing(engine, vcpu.index);
 * for (const { slot, offset } of ring.harvest().entries) copyPage(slot, offset);
 * engine.resetDirtyRings();
 */
export class DirtyRing {
  /** Number of the vCPU, `vcpu.index`. */
  readonly vcpu: number;
  /** Entries of the ring. */
  readonly size: number;
  readonly #thread: Thread;
  /** Address of the ring, 0 until a vCPU of its number was made. */
  #ring = 0;

  /**
   * Open the ring of vCPU number `vcpu`, 0 to maxVcpus - 1.
   * @throws KvmError EINVAL without KVM_CAP_DIRTY_LOG_RING; TypeError, RangeError naming the argument
   */
  constructor(engine: Engine, vcpu: number) {
    const thread = threadOf(engine);
    this.#thread = thread;
    this.vcpu = toInteger(vcpu, "vcpu", 0, thread.maxVcpus - 1);
    const bytes = thread.wasm.dirtyRingBytes(thread.base);
    if (bytes === 0)
      throw new KvmError(-ERRNO.EINVAL, "DirtyRing", { reason: "the engine has no dirty rings" });
    this.size = bytes / DIRTY_GFN_BYTES;
  }

  /**
   * Harvest all pages that the vCPU has written since the last `engine.resetDirtyRings`, those of an earlier harvest
   * included: only the reset frees entries, so a harvester may die in between.
   * @throws KvmError EBUSY if this is the first use of the ring and another thread holds the writer lock
   */
  harvest(): RingHarvest {
    return this.#harvest(this.#find());
  }

  /** The same without sleeping, for a page. @throws KvmError EBUSY if another thread keeps the lock for long */
  async harvestAsync(): Promise<RingHarvest> {
    return this.#harvest(await this.#findAsync());
  }

  #harvest(ring: number): RingHarvest {
    const { wasm, base } = this.#thread;
    // Read before the entries: an overflow is then never older than the entries returned with it.
    const overflow = wasm.ringOverflow(base, ring) !== 0;
    if (ring === 0) return { entries: [], overflow };
    const first = wasm.firstDirtyGfn(ring) >>> 0;
    const count = wasm.harvestDirtyRing(ring, first) >>> 0;
    return { entries: this.#read(ring, first, count), overflow };
  }

  /** Decode the harvested ones of `count` entries from index `first` on. */
  #read(ring: number, first: number, count: number): DirtyGfn[] {
    const { views, pageShift } = this.#thread;
    const words = views.words(this.#end(ring));
    const field = (offset: number) => words[(ring + offset) / 4]!;
    const [mask, hostPages] = [field(DIRTY_RING_MASK_OFFSET), field(DIRTY_RING_HOST_PAGES_OFFSET) / 4];
    const gfns = field(DIRTY_RING_ENTRIES_OFFSET) / 4;
    if (mask !== this.size - 1) throw damaged("DirtyRing", `a ring of ${mask + 1} entries`);
    views.words((hostPages + this.size * 2) * 4);
    const read: DirtyGfn[] = [];
    for (let i = 0; i < count; i++) {
      const at = (first + i) & mask;
      const gfn = gfns + (at * DIRTY_GFN_BYTES) / 4;
      if ((words[gfn]! & DIRTY_GFN_HARVESTED) === 0) continue;
      const hostPage = words[hostPages + at * 2]! + words[hostPages + at * 2 + 1]! * 2 ** 32;
      read.push({
        slot: words[gfn + DIRTY_GFN_SLOT_OFFSET / 4]!,
        offset: words[gfn + DIRTY_GFN_OFFSET_OFFSET / 4]!,
        hva: hostPage * 2 ** pageShift,
      });
    }
    return read;
  }

  #find(): number {
    if (this.#ring !== 0) return this.#ring;
    this.#ring = locked(this.#thread, "DirtyRing", TIMEOUT_MS, this.#finding());
    return this.#ring;
  }

  async #findAsync(): Promise<number> {
    if (this.#ring !== 0) return this.#ring;
    this.#ring = await lockedAsync(this.#thread, "DirtyRing", TIMEOUT_MS, this.#finding());
    return this.#ring;
  }

  #finding(): (wasm: EngineExports, base: number) => number {
    return (wasm, base) => wasm.dirtyRingOf(base, this.vcpu) >>> 0;
  }

  /** Address behind the last entry. @throws KvmError EIO */
  #end(ring: number): number {
    const { views } = this.#thread;
    const at = (ring + DIRTY_RING_ENTRIES_OFFSET) / 4;
    const entries = views.words(ring + DIRTY_RING_ENTRIES_OFFSET + 4)[at]!;
    const end = entries + this.size * DIRTY_GFN_BYTES;
    if (!(entries % 4 === 0 && end <= this.#thread.memory.buffer.byteLength)) {
      throw damaged("DirtyRing", `entries at ${entries}`);
    }
    return end;
  }

  /**
   * The entries in memory, for a harvester written for KVM's mapped ring: four words each, flags (KVM_DIRTY_GFN_F_*),
   * slot, offset, 0. Such a harvester continues at its last index, takes entries with F_DIRTY in order by an
   * Atomics.compareExchange to F_RESET, and stops at the first without. Empty until a vCPU of this number was made. A
   * view of unshared memory is valid until the memory grows.
   * @throws KvmError EBUSY if this is the first use of the ring and another thread holds the writer lock
   */
  entries(): Int32Array {
    return this.#entries(this.#find());
  }

  /** The same without sleeping, for a page. @throws as harvestAsync */
  async entriesAsync(): Promise<Int32Array> {
    return this.#entries(await this.#findAsync());
  }

  #entries(ring: number): Int32Array {
    if (ring === 0) return new Int32Array(0);
    const start = this.#end(ring) - this.size * DIRTY_GFN_BYTES;
    return new Int32Array(this.#thread.memory.buffer, start, (this.size * DIRTY_GFN_BYTES) / 4);
  }
}
