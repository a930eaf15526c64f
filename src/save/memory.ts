/** Words of an engine's memory, by the generated map, for the holder of the writer lock. */
import {
  BITMAP_HEAD_BYTES,
  BITMAP_HEAD_KVM_VIEW_OFFSET,
  DIRTY_RING_ENTRIES_OFFSET,
  DIRTY_RING_HOST_PAGES_OFFSET,
  EXTENT_BITS0_OFFSET,
  EXTENT_BYTES,
  EXTENT_NPAGES_OFFSET,
  EXTENT_START_OFFSET,
  HEADER_HOST_LOG_OFFSET,
  HEADER_IDS_OFFSET,
  HEADER_ROOT_OFFSET,
  HOST_LOG_BYTES,
  HOST_LOG_COUNT_OFFSET,
  RECORD_BITMAP_OFFSET,
  ROOT_BITS,
} from "../core/layout.js";
import type { Thread } from "../core/thread.js";
import { consumerPlaces } from "../dirty/consumers.js";
import type { Runs } from "./state.js";

/** An extent, and addresses of the bits that it has for each open consumer. */
export interface ExtentPlace {
  readonly page: bigint;
  readonly npages: number;
  readonly bits: readonly number[];
}

export class EngineMemory {
  readonly #thread: Thread;

  constructor(thread: Thread) {
    this.#thread = thread;
  }

  word(address: number): number {
    return this.#thread.views.words(address + 4)[address >>> 2]!;
  }

  setWord(address: number, value: number): void {
    this.#thread.views.words(address + 4)[address / 4] = value;
  }

  u64(address: number): bigint {
    return (BigInt(this.word(address + 4)) << 32n) | BigInt(this.word(address));
  }

  setU64(address: number, value: bigint): void {
    this.setWord(address, Number(value & 0xffff_ffffn));
    this.setWord(address + 4, Number(value >> 32n));
  }

  header(field: number): number {
    return this.word(this.#thread.base + field);
  }

  setHeader(field: number, value: number): void {
    this.setWord(this.#thread.base + field, value);
  }

  /** Address of the published root. */
  get root(): number {
    return (this.header(HEADER_ROOT_OFFSET) & ~ROOT_BITS) >>> 0;
  }

  /** Address of a slot's bitmap, 0 if it has none. The slot exists. */
  bitmapOf(slot: number): number {
    const key = (slot >>> 16) * this.#thread.maxSlots + (slot & 0xffff);
    const record = this.word(this.header(HEADER_IDS_OFFSET) + key * 4);
    return this.word(record + RECORD_BITMAP_OFFSET);
  }

  /** Address of the part of a bitmap that KVM's log is in. */
  logOf(bitmap: number): number {
    return this.word(bitmap - BITMAP_HEAD_BYTES + BITMAP_HEAD_KVM_VIEW_OFFSET) || bitmap;
  }

  extents(): ExtentPlace[] {
    const log = this.header(HEADER_HOST_LOG_OFFSET);
    if (log === 0) return [];
    const places = consumerPlaces(this.#thread);
    return Array.from({ length: this.word(log + HOST_LOG_COUNT_OFFSET) }, (_, i) => {
      const extent = log + HOST_LOG_BYTES + i * EXTENT_BYTES;
      return {
        page: this.u64(extent + EXTENT_START_OFFSET),
        npages: this.word(extent + EXTENT_NPAGES_OFFSET),
        bits: places.map(({ place }) => this.word(extent + EXTENT_BITS0_OFFSET + place * 4)),
      };
    });
  }

  /** Addresses of the first entry of a ring, and of its host page. */
  ringOf(ring: number): { gfns: number; hostPages: number } {
    return {
      gfns: this.word(ring + DIRTY_RING_ENTRIES_OFFSET),
      hostPages: this.word(ring + DIRTY_RING_HOST_PAGES_OFFSET),
    };
  }

  /** The bits of a bitmap of `npages` pages. */
  runs(bitmap: number, npages: number): Runs {
    const bytes = this.#thread.views.bytes(bitmap + halfBytes(npages));
    const runs: number[] = [];
    let [set, length] = [0, 0];
    for (let page = 0; page < npages; page++) {
      const byte = bytes[bitmap + (page >> 3)]!;
      // Whole bytes of clean, or of dirty pages.
      if ((page & 7) === 0 && byte === (set === 0 ? 0 : 0xff) && page + 8 <= npages) {
        length += 8;
        page += 7;
        continue;
      }
      const bit = (byte >> (page & 7)) & 1;
      if (bit === set) length++;
      else {
        runs.push(length);
        [set, length] = [bit, 1];
      }
    }
    // What is clean at the end goes without saying.
    return set === 1 ? [...runs, length] : runs;
  }

  /** Have exactly these bits in a bitmap of `npages` pages. */
  setRuns(bitmap: number, npages: number, runs: Runs): void {
    const end = bitmap + halfBytes(npages);
    const bytes = this.#thread.views.bytes(end);
    bytes.fill(0, bitmap, end);
    let page = 0;
    runs.forEach((length, i) => {
      for (const to = page + length; page < to; page++) {
        if (i % 2 === 1) bytes[bitmap + (page >> 3)]! |= 1 << (page & 7);
      }
    });
  }
}

/** Bytes of the bits of `npages` pages, in words of 64. */
export function halfBytes(npages: number): number {
  return Math.ceil(npages / 64) * 8;
}
