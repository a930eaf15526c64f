/**
 * A vCPU's dirty ring as its harvester sees it, in any thread.
 */
import { DIRTY_GFN, DIRTY_GFN_BYTES, DIRTY_GFN_HARVESTED, DIRTY_RING, type EngineExports } from "./layout.js";
import type { MemoryViews } from "./memory.js";

/** A page that was written: struct kvm_dirty_gfn, and what it meant when it was pushed. */
export interface DirtyGfn {
  /** Slot number, address space << 16 | id, that the vCPU wrote through. */
  readonly slot: number;
  /** Page of that slot, counted from its first. */
  readonly offset: number;
  /** Host address of the page: still right where a list has changed or deleted the slot since. */
  readonly hva: number;
}

/** Answer of `ring.harvest`. */
export interface RingHarvest {
  /** Pages written, oldest first; one may come more than once. */
  readonly entries: readonly DirtyGfn[];
  /**
   * True if writes found the ring full, or came from a thread that is no vCPU, while there are no bitmaps: every
   * page of every logged slot may be dirty. Never with KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, where such pages are
   * in getDirtyLog. True until `engine.resetDirtyRings`.
   */
  readonly overflow: boolean;
}

/** What a ring needs of its engine. */
export interface RingTarget {
  wasm: EngineExports;
  views: MemoryViews;
  memory: WebAssembly.Memory;
  base: number;
  pageShift: number;
  /** Address of the ring, 0 while its vCPU was never made. */
  find: () => number;
}

/**
 * The ring of one vCPU, and of those that had its number before. One thread harvests a ring at a time; it may be
 * any, while the vCPU pushes. The vCPU's end takes nothing away.
 */
export class DirtyRing {
  /** Number of the vCPU, `vcpu.index`. */
  readonly vcpu: number;
  /** Entries of the ring. */
  readonly size: number;
  readonly #target: RingTarget;
  #ring = 0;

  /**
   * Made by `engine.dirtyRing`.
   * @internal
   */
  constructor(target: RingTarget, vcpu: number, size: number) {
    this.#target = target;
    this.vcpu = vcpu;
    this.size = size;
  }

  #find(): number {
    if (this.#ring === 0) this.#ring = this.#target.find();
    return this.#ring;
  }

  /**
   * All pages that the vCPU has written since the last `engine.resetDirtyRings`, those of an earlier harvest
   * included: what is harvested is done with at the reset, so that a harvester may die in between.
   * @throws KvmError EBUSY if the ring was not found yet and another thread keeps the writer lock
   */
  harvest(): RingHarvest {
    const { wasm, base } = this.#target;
    const ring = this.#find();
    // Before the entries, so that a write whose overflow is told is not older than what they tell.
    const overflow = wasm.ringOverflow(base, ring) !== 0;
    if (ring === 0) return { entries: [], overflow };
    const first = wasm.firstDirtyGfn(ring) >>> 0;
    const count = wasm.harvestDirtyRing(ring, first) >>> 0;
    return { entries: this.#read(ring, first, count), overflow };
  }

  /** The harvested ones of `count` entries from index `first` on. */
  #read(ring: number, first: number, count: number): DirtyGfn[] {
    const { views, pageShift } = this.#target;
    const words = views.words(this.#end(ring));
    const field = (offset: number) => words[(ring + offset) / 4]!;
    const [mask, hostPages] = [field(DIRTY_RING.mask), field(DIRTY_RING.hostPages) / 4];
    const gfns = field(DIRTY_RING.entries) / 4;
    const read: DirtyGfn[] = [];
    for (let i = 0; i < count; i++) {
      const at = (first + i) & mask;
      const gfn = gfns + (at * DIRTY_GFN_BYTES) / 4;
      if ((words[gfn]! & DIRTY_GFN_HARVESTED) === 0) continue;
      const hostPage = words[hostPages + at * 2]! + words[hostPages + at * 2 + 1]! * 2 ** 32;
      read.push({
        slot: words[gfn + DIRTY_GFN.slot / 4]!,
        offset: words[gfn + DIRTY_GFN.offset / 4]!,
        hva: hostPage * 2 ** pageShift,
      });
    }
    return read;
  }

  #end(ring: number): number {
    const { views } = this.#target;
    const at = (ring + DIRTY_RING.entries) / 4;
    return views.words(ring + DIRTY_RING.entries + 4)[at]! + this.size * DIRTY_GFN_BYTES;
  }

  /**
   * The entries themselves, for a harvester written for KVM's mapped ring: four words each, flags
   * (KVM_DIRTY_GFN_F_*), slot, offset, 0. It goes on where it left off, takes entries with F_DIRTY in their order
   * by an Atomics.compareExchange to F_RESET, and stops at the first without. Empty while the vCPU was never made;
   * of an unshared memory only good until that grows.
   */
  entries(): Int32Array {
    const ring = this.#find();
    if (ring === 0) return new Int32Array(0);
    const start = this.#end(ring) - this.size * DIRTY_GFN_BYTES;
    return new Int32Array(this.#target.memory.buffer, start, (this.size * DIRTY_GFN_BYTES) / 4);
  }
}
