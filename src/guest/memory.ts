/**
 * Guest memory by guest address: what GuestLoads has, and typed stores, blocks that are written, atomic operations,
 * caches. Stores are made as loads are, see loads.ts.
 *
 * Mirrors kvm_write_guest, kvm_clear_guest and kvm_vcpu_write_guest.
 */

import { show } from "../kvm/arguments.js";
import type { Section } from "../read/section.js";
import { GuestAccess, setAccess, UNSEEN } from "./access.js";
import { GuestAtomics } from "./atomics.js";
import { bytesOf, clearBlock, writeBlock } from "./blocks.js";
import { GuestCache } from "./cache.js";
import { GuestLoads } from "./loads.js";
import { FAR_GPA, NO_RUN, type Run, SPREAD, TABLE_SHIFT } from "./runs.js";
import { type AccessTarget, WRITE } from "./target.js";
import { TypedAccess } from "./typed.js";

/**
 * The bytes of guest memory. All addresses are in bytes and need no alignment, except for atomic operations. A typed
 * access is done whole or not at all. One that meets a hole asks `onHole`, else it is a KvmError EFAULT whose `hole`
 * tells where and why. Typed accesses are big-endian unless `littleEndian` is true, as those of DataView.
 *
 * A page that is written is in the next harvest of its log: at once outside of sections, and in a section of the vCPU
 * at the latest when the section ends.
 */
export class GuestMemory extends GuestLoads {
  /** Atomic operations, for guest memory that other threads or the guest itself use at the same time. */
  readonly atomics: GuestAtomics;
  readonly #access: GuestAccess;
  readonly #section: Section;
  readonly #pageShift: number = 0;
  readonly #typed: TypedAccess;
  readonly #scratch: DataView;
  // As in GuestLoads.
  #store = NO_RUN;
  #stores: Run[];
  #farStores: Run[];
  #storesOf: object;

  /** @internal */
  constructor(target: AccessTarget) {
    const access = new GuestAccess(target);
    const typed = new TypedAccess(access);
    super(access, typed);
    this.#access = access;
    this.#typed = typed;
    this.#scratch = typed.scratch;
    setAccess(this, access);
    access.onForget.push(() => {
      this.#store = NO_RUN;
      this.#storesOf = UNSEEN;
    });
    typed.onStore = () => this.#sync();
    target.forget.push(() => access.forget());
    this.#section = access.section;
    this.#pageShift = target.thread.pageShift;
    this.#stores = access.writes.near;
    this.#farStores = access.writes.far;
    this.#storesOf = UNSEEN;
    this.atomics = new GuestAtomics(target);
  }

  /** The hot path sees what the access has found. */
  #sync(): void {
    const access = this.#access;
    if (this.#storesOf !== access.stores) this.#storesOf = access.stores;
    if (this.#store !== access.writes.main) this.#store = access.writes.main;
    if (this.#stores !== access.writes.near) this.#stores = access.writes.near;
    if (this.#farStores !== access.writes.far) this.#farStores = access.writes.far;
  }

  // ---- caches ----

  /** A cache for one place that is accessed again and again. Mirrors struct gfn_to_hva_cache. */
  cache(): GuestCache {
    return new GuestCache(this.#access.target);
  }

  // ---- blocks ----

  /**
   * Copy `source`, which may be guest memory itself, to guest memory from `gpa` on. What lies before a hole is written,
   * and marked dirty. Mirrors kvm_write_guest.
   * @returns as read; @throws as read
   */
  write(gpa: number, source: ArrayBufferView): number {
    const from = bytesOf(source, "source");
    const bytes = from.length;
    const table = gpa < FAR_GPA ? this.#stores : this.#farStores;
    const run = table[Math.imul((gpa >>> 0) >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
    const at = gpa - run.gpa;
    if (at >= 0 && at + bytes <= run.bytes.length && this.#section.stores === this.#storesOf) {
      run.bytes.set(from, at);
      return bytes;
    }
    return this.#typed.block("write", gpa, bytes, writeBlock(this.#access, gpa, from), true);
  }

  /** Write `bytes` zeros from `gpa` on, as write does. Mirrors kvm_clear_guest. @throws as read, TypeError */
  clear(gpa: number, bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new TypeError(`bytes must be an integer from 0 to 2^53 - 1, not ${show(bytes)}`);
    }
    return this.#typed.block("clear", gpa, bytes, clearBlock(this.#access, gpa, bytes), true);
  }

  // ---- typed stores, as DataView's ----

  /** Store an unsigned byte. @throws as its load */
  setUint8(gpa: number, value: number): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setUint8(at, value);
      return;
    }
    this.#scratch.setUint8(0, value);
    this.#typed.access("setUint8", gpa, 1, WRITE, run);
  }

  /** Store a signed byte. @throws as its load */
  setInt8(gpa: number, value: number): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setInt8(at, value);
      return;
    }
    this.#scratch.setInt8(0, value);
    this.#typed.access("setInt8", gpa, 1, WRITE, run);
  }

  /** Store an unsigned 16-bit integer. @throws as its load */
  setUint16(gpa: number, value: number, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 1 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setUint16(at, value, littleEndian);
      return;
    }
    this.#scratch.setUint16(0, value, littleEndian);
    this.#typed.access("setUint16", gpa, 2, WRITE, run, littleEndian);
  }

  /** Store a signed 16-bit integer. @throws as its load */
  setInt16(gpa: number, value: number, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 1 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setInt16(at, value, littleEndian);
      return;
    }
    this.#scratch.setInt16(0, value, littleEndian);
    this.#typed.access("setInt16", gpa, 2, WRITE, run, littleEndian);
  }

  /** Store an unsigned 32-bit integer. @throws as its load */
  setUint32(gpa: number, value: number, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 3 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setUint32(at, value, littleEndian);
      return;
    }
    this.#scratch.setUint32(0, value, littleEndian);
    this.#typed.access("setUint32", gpa, 4, WRITE, run, littleEndian);
  }

  /** Store a signed 32-bit integer. @throws as its load */
  setInt32(gpa: number, value: number, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 3 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setInt32(at, value, littleEndian);
      return;
    }
    this.#scratch.setInt32(0, value, littleEndian);
    this.#typed.access("setInt32", gpa, 4, WRITE, run, littleEndian);
  }

  /** Store a 32-bit float. @throws as its load */
  setFloat32(gpa: number, value: number, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 3 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setFloat32(at, value, littleEndian);
      return;
    }
    this.#scratch.setFloat32(0, value, littleEndian);
    this.#typed.access("setFloat32", gpa, 4, WRITE, run, littleEndian);
  }

  /** Store a 64-bit float. @throws as its load */
  setFloat64(gpa: number, value: number, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 7 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setFloat64(at, value, littleEndian);
      return;
    }
    this.#scratch.setFloat64(0, value, littleEndian);
    this.#typed.access("setFloat64", gpa, 8, WRITE, run, littleEndian);
  }

  /** Store an unsigned 64-bit integer. @throws as its load */
  setBigUint64(gpa: number, value: bigint, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 7 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setBigUint64(at, value, littleEndian);
      return;
    }
    this.#scratch.setBigUint64(0, value, littleEndian);
    this.#typed.access("setBigUint64", gpa, 8, WRITE, run, littleEndian);
  }

  /** Store a signed 64-bit integer. @throws as its load */
  setBigInt64(gpa: number, value: bigint, littleEndian?: boolean): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#stores : this.#farStores)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (
      at >= 0 &&
      at < run.bytes.length - 7 &&
      (low === gpa || low + run.high === gpa) &&
      this.#section.stores === this.#storesOf
    ) {
      run.view.setBigInt64(at, value, littleEndian);
      return;
    }
    this.#scratch.setBigInt64(0, value, littleEndian);
    this.#typed.access("setBigInt64", gpa, 8, WRITE, run, littleEndian);
  }
}
