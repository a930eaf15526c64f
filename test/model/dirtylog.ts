/**
 * Dirty bits as sets of page indexes, one set per slot that keeps a log. A slot without a set has no bitmap.
 * The rules are those of KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG; answers are bytes or a negated errno.
 */
import { ERRNO } from "../../src/kvm/errno.js";
import { KVM_MEM_LOG_DIRTY_PAGES } from "../../src/kvm/uapi.js";
import { asIdOf, type Slot, sameSlot } from "./checks.js";

export type DirtyPages = Set<number>;

/** Bytes of the bitmap of that many pages: whole words of 64 bits. */
export function bitmapBytes(npages: number): number {
  return Math.ceil(npages / 64) * 8;
}

export function toBitmap(pages: DirtyPages, npages: number): Uint8Array {
  const bitmap = new Uint8Array(bitmapBytes(npages));
  for (const page of pages) bitmap[page >> 3]! |= 1 << (page & 7);
  return bitmap;
}

/** One slot's part of a list. */
export interface LogChange {
  slot: number;
  before: Slot | undefined;
  after: Slot | undefined;
  /** An entry on the way ended the log. */
  logEnded: boolean;
}

/** A slot's log. */
export interface Log {
  slot: Slot;
  pages: DirtyPages;
}

export class ModelDirtyLog {
  manualProtect = false;
  initiallySet = false;
  /** vCPUs write into rings, which this model does not keep. */
  ringEnabled = false;
  bitmapBesideRing = false;
  readonly #pages = new Map<number, DirtyPages>();
  readonly #pageShift: number;

  constructor(pageShift: number) {
    this.#pageShift = pageShift;
  }

  /** With rings alone there are no bitmaps. */
  get usesBitmaps(): boolean {
    return !this.ringEnabled || this.bitmapBesideRing;
  }

  /** Slot number to the pages of its bitmap. */
  get bitmaps(): ReadonlyMap<number, DirtyPages> {
    return this.#pages;
  }

  /**
   * Life of a bitmap over one change, or over the net effect of a list. `ended`: an entry on the way ended
   * the log.
   */
  change(slot: number, before: Slot | undefined, after: Slot | undefined, ended: boolean): void {
    if (this.carried(before, after, ended)) return;
    this.#pages.delete(slot);
    if (after && logs(after) && this.usesBitmaps) this.#pages.set(slot, this.#fresh(after));
  }

  /** All changes of one list; bits of logs that end go over to logs that begin, host page by host page. */
  changeAll(changes: readonly LogChange[]): void {
    const ended: Log[] = [];
    const begun: Log[] = [];
    for (const { slot, before, after, logEnded } of changes) {
      const had = this.#pages.get(slot);
      this.change(slot, before, after, logEnded);
      const has = this.#pages.get(slot);
      if (had === has) continue;
      if (before && had) ended.push({ slot: before, pages: had });
      if (after && has) begun.push({ slot: after, pages: has });
    }
    for (const from of ended) for (const to of begun) this.carryPages(from, to);
  }

  protected carryPages(from: Log, to: Log): void {
    if (asIdOf(from.slot.slot) !== asIdOf(to.slot.slot)) return;
    for (const page of from.pages) {
      const host = from.slot.hva + (BigInt(page) << BigInt(this.#pageShift));
      const there = (host - to.slot.hva) >> BigInt(this.#pageShift);
      if (there >= 0n && there < this.#npages(to.slot)) to.pages.add(Number(there));
    }
  }

  /** Takes the bits: without manual protect a get is a get-and-clear. */
  get(slot: Slot | undefined): Uint8Array | number {
    const pages = slot && this.#pages.get(slot.slot);
    if (!pages) return -ERRNO.ENOENT;
    const bitmap = toBitmap(pages, this.#npages(slot));
    if (!this.manualProtect) pages.clear();
    return bitmap;
  }

  clear(slot: Slot | undefined, firstPage: bigint, numPages: number, bitmap: Uint8Array): number {
    if (firstPage % 64n !== 0n) return -ERRNO.EINVAL;
    const pages = slot && this.#pages.get(slot.slot);
    if (!pages) return -ERRNO.ENOENT;
    const left = BigInt(this.#npages(slot)) - firstPage;
    if (left < 0n || BigInt(numPages) > left) return -ERRNO.EINVAL;
    if (BigInt(numPages) < left && numPages % 64 !== 0) return -ERRNO.EINVAL;
    if (bitmap.byteLength < bitmapBytes(numPages)) return -ERRNO.EFAULT;
    for (let bit = 0; bit < numPages; bit++) {
      if (bitmap[bit >> 3]! & (1 << (bit & 7))) pages.delete(this.clearedPage(Number(firstPage), bit));
    }
    return 0;
  }

  protected clearedPage(firstPage: number, bit: number): number {
    return firstPage + bit;
  }

  /**
   * Does the bitmap outlive the change? Its bits are relative to the slot and need no translation. A log that
   * a list ends and begins again starts afresh, as it does one by one, unless the list comes to nothing for
   * this slot.
   */
  protected carried(before: Slot | undefined, after: Slot | undefined, ended: boolean): boolean {
    if (!before || !after || !logs(before) || !logs(after)) return false;
    return !ended || sameSlot(before, after);
  }

  #fresh(slot: Slot): DirtyPages {
    const pages: DirtyPages = new Set();
    if (this.initiallySet) for (let page = 0; page < this.#npages(slot); page++) pages.add(page);
    return pages;
  }

  #npages(slot: Slot): number {
    return Number(slot.size >> BigInt(this.#pageShift));
  }
}

function logs(slot: Slot): boolean {
  return (slot.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
}
