/**
 * Guest memory by guest address: typed loads and stores, fetches, blocks, atomic operations, caches.
 *
 * The hot path is for addresses of 32 bits: is the access within the main run, or else within the run that the table
 * has for the address's page, and is the run's layout that of the section. The last question covers all that ends a
 * run's life but one: a buffer that moved or shrank has left length 0 behind, so that no view is ever stale.
 *
 * How it is written decides what V8 makes of it:
 *  - An address is converted to an integer once, and not at all if the caller has it as one; that it was one of 32 bits
 *    is asked last, by a comparison that V8 drops for integers. Bytes of a run are compared as signed integers, so that
 *    addresses above 2 GiB in other runs never turn the comparison into one of doubles.
 *  - The accessors are alike but for their widths, and written out: V8 inlines up to 920 bytecodes into one function,
 *    and an interpreter's loop wants some five of them.
 *
 * Mirrors kvm_read_guest, kvm_write_guest, kvm_clear_guest and kvm_vcpu_read_guest.
 */

import { show } from "../kvm/arguments.js";
import type { Section } from "../read/section.js";
import { type AccessTarget, FETCH, GuestAccess, READ, setAccess, toGpa, WRITE } from "./access.js";
import { GuestAtomics } from "./atomics.js";
import { bytesOf, clearBlock, readBlock, writeBlock } from "./blocks.js";
import { GuestCache } from "./cache.js";
import { NO_RUN, type Run, SPREAD, TABLE_SHIFT } from "./runs.js";
import { TypedAccess } from "./typed.js";

/**
 * The bytes of guest memory. All addresses are in bytes and need no alignment, except for atomic operations. A typed
 * access is done whole or not at all. One that meets a hole asks `onHole`, else it is a KvmError EFAULT whose `hole`
 * tells where and why. Typed accesses are big-endian unless `littleEndian` is true, as those of DataView.
 *
 * A page that is written is in the next harvest of its log: at once outside of sections, and in a section of the vCPU
 * at the latest when the section ends.
 */
export class GuestMemory {
  /** Atomic operations, for guest memory that other threads or the guest itself use at the same time. */
  readonly atomics: GuestAtomics;
  readonly #access: GuestAccess;
  readonly #section: Section;
  readonly #pageShift: number = 0;
  readonly #typed: TypedAccess;
  readonly #scratch: DataView;
  // What the access has found, field by field: each level of objects costs a quarter more. First the main run.
  #load = NO_RUN;
  #loads: Run[];
  #store = NO_RUN;
  #stores: Run[];
  #layout: object;
  #storesOf: object;
  #code = NO_RUN;
  #codeLayout: object;

  /** @internal */
  constructor(target: AccessTarget) {
    const access = new GuestAccess(target);
    this.#access = access;
    this.#typed = new TypedAccess(access, () => this.#sync());
    this.#scratch = this.#typed.scratch;
    setAccess(this, access);
    access.onForget = () => {
      this.#load = NO_RUN;
      this.#store = NO_RUN;
      this.#code = NO_RUN;
      this.#typed.code = NO_RUN;
    };
    target.forget.push(() => access.forget());
    this.#section = target.section;
    this.#pageShift = target.thread.pageShift;
    this.#loads = access.reads.near;
    this.#stores = access.writes.near;
    this.#layout = access.layout;
    this.#storesOf = access.stores;
    this.#codeLayout = access.layout;
    this.atomics = new GuestAtomics(target);
  }

  // ---- caches ----

  /** A cache for one place that is accessed again and again. Mirrors struct gfn_to_hva_cache. */
  cache(): GuestCache {
    return new GuestCache(this.#access.target);
  }

  // ---- blocks ----

  /**
   * Copy guest bytes from `gpa` on into `target`, any typed array or DataView, in shared memory or not. It may be guest
   * memory itself: bytes are moved as by memmove.
   * Mirrors kvm_read_guest.
   * @returns bytes copied: all of them, or with `onHole` those before the hole
   * @throws KvmError EFAULT without `onHole`; what lies before the hole has been copied
   */
  read(gpa: number, target: ArrayBufferView): number {
    const to = bytesOf(target, "target");
    const bytes = to.length;
    const run = this.#loads[Math.imul((gpa >>> 0) >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
    const at = gpa - run.gpa;
    if (at >= 0 && at + bytes <= run.bytes.length && this.#section.layout === this.#layout) {
      to.set(run.bytes.subarray(at, at + bytes));
      return bytes;
    }
    return this.#told("read", gpa, bytes, readBlock(this.#access, gpa, to), false);
  }

  /**
   * Copy `source`, which may be guest memory itself, to guest memory from `gpa` on. What lies before a hole is written,
   * and marked dirty. Mirrors kvm_write_guest.
   * @returns as read; @throws as read
   */
  write(gpa: number, source: ArrayBufferView): number {
    const from = bytesOf(source, "source");
    const bytes = from.length;
    const run = this.#stores[Math.imul((gpa >>> 0) >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
    const at = gpa - run.gpa;
    if (at >= 0 && at + bytes <= run.bytes.length && this.#section.stores === this.#storesOf) {
      run.bytes.set(from, at);
      return bytes;
    }
    return this.#told("write", gpa, bytes, writeBlock(this.#access, gpa, from), true);
  }

  /** Write `bytes` zeros from `gpa` on, as write does. Mirrors kvm_clear_guest. @throws as read, TypeError */
  clear(gpa: number, bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new TypeError(`bytes must be an integer from 0 to 2^53 - 1, not ${show(bytes)}`);
    }
    return this.#told("clear", gpa, bytes, clearBlock(this.#access, gpa, bytes), true);
  }

  /** A block is done up to its hole, if it has one. */
  #told(op: string, address: number, bytes: number, done: number, write: boolean): number {
    this.#sync();
    const at = toGpa(address) + done;
    if (done < bytes) this.#access.report(op, at, bytes - done, at, write, 0);
    return done;
  }

  /** The hot path sees what the access has found. Most of the time that is what it saw before. */
  #sync(): void {
    const access = this.#access;
    if (this.#layout !== access.layout) this.#layout = access.layout;
    if (this.#storesOf !== access.stores) this.#storesOf = access.stores;
    if (this.#load !== access.reads.main) this.#load = access.reads.main;
    if (this.#loads !== access.reads.near) this.#loads = access.reads.near;
    if (this.#store !== access.writes.main) this.#store = access.writes.main;
    if (this.#stores !== access.writes.near) this.#stores = access.writes.near;
  }

  // ---- fetches of code ----

  #fetch(op: string, gpa: number, bytes: number, littleEndian?: boolean): void {
    // What was found in an older layout must not pass for what is found now.
    this.#typed.code = NO_RUN;
    this.#typed.access(op, gpa, bytes, FETCH, NO_RUN, littleEndian);
    this.#code = this.#typed.code;
    this.#codeLayout = this.#access.layout;
  }

  /** Fetch an unsigned byte of code. @throws as its load */
  fetchUint8(gpa: number): number {
    const code = this.#code;
    const low = gpa >>> 0;
    const at = (low - code.low) | 0;
    if (low === gpa && at >= 0 && at < code.bytes.length && this.#section.layout === this.#codeLayout) {
      return code.view.getUint8(at);
    }
    this.#fetch("fetchUint8", gpa, 1);
    return this.#scratch.getUint8(0);
  }

  /** Fetch an unsigned 16-bit integer of code. @throws as its load */
  fetchUint16(gpa: number, littleEndian?: boolean): number {
    const code = this.#code;
    const low = gpa >>> 0;
    const at = (low - code.low) | 0;
    if (low === gpa && at >= 0 && at < code.bytes.length - 1 && this.#section.layout === this.#codeLayout) {
      return code.view.getUint16(at, littleEndian);
    }
    this.#fetch("fetchUint16", gpa, 2, littleEndian);
    return this.#scratch.getUint16(0, littleEndian);
  }

  /** Fetch an unsigned 32-bit integer of code. @throws as its load */
  fetchUint32(gpa: number, littleEndian?: boolean): number {
    const code = this.#code;
    const low = gpa >>> 0;
    const at = (low - code.low) | 0;
    if (low === gpa && at >= 0 && at < code.bytes.length - 3 && this.#section.layout === this.#codeLayout) {
      return code.view.getUint32(at, littleEndian);
    }
    this.#fetch("fetchUint32", gpa, 4, littleEndian);
    return this.#scratch.getUint32(0, littleEndian);
  }

  // ---- typed loads, as DataView's ----

  /** Load an unsigned byte. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getUint8(gpa: number): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length && this.#section.layout === this.#layout) {
      return run.view.getUint8(at);
    }
    this.#typed.access("getUint8", gpa, 1, READ, run);
    return this.#scratch.getUint8(0);
  }

  /** Load a signed byte. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getInt8(gpa: number): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length && this.#section.layout === this.#layout) {
      return run.view.getInt8(at);
    }
    this.#typed.access("getInt8", gpa, 1, READ, run);
    return this.#scratch.getInt8(0);
  }

  /** Load an unsigned 16-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getUint16(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 1 && this.#section.layout === this.#layout) {
      return run.view.getUint16(at, littleEndian);
    }
    this.#typed.access("getUint16", gpa, 2, READ, run, littleEndian);
    return this.#scratch.getUint16(0, littleEndian);
  }

  /** Load a signed 16-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getInt16(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 1 && this.#section.layout === this.#layout) {
      return run.view.getInt16(at, littleEndian);
    }
    this.#typed.access("getInt16", gpa, 2, READ, run, littleEndian);
    return this.#scratch.getInt16(0, littleEndian);
  }

  /** Load an unsigned 32-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getUint32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 3 && this.#section.layout === this.#layout) {
      return run.view.getUint32(at, littleEndian);
    }
    this.#typed.access("getUint32", gpa, 4, READ, run, littleEndian);
    return this.#scratch.getUint32(0, littleEndian);
  }

  /** Load a signed 32-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getInt32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 3 && this.#section.layout === this.#layout) {
      return run.view.getInt32(at, littleEndian);
    }
    this.#typed.access("getInt32", gpa, 4, READ, run, littleEndian);
    return this.#scratch.getInt32(0, littleEndian);
  }

  /** Load a 32-bit float. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getFloat32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 3 && this.#section.layout === this.#layout) {
      return run.view.getFloat32(at, littleEndian);
    }
    this.#typed.access("getFloat32", gpa, 4, READ, run, littleEndian);
    return this.#scratch.getFloat32(0, littleEndian);
  }

  /** Load a 64-bit float. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getFloat64(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 7 && this.#section.layout === this.#layout) {
      return run.view.getFloat64(at, littleEndian);
    }
    this.#typed.access("getFloat64", gpa, 8, READ, run, littleEndian);
    return this.#scratch.getFloat64(0, littleEndian);
  }

  /** Load an unsigned 64-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getBigUint64(gpa: number, littleEndian?: boolean): bigint {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 7 && this.#section.layout === this.#layout) {
      return run.view.getBigUint64(at, littleEndian);
    }
    this.#typed.access("getBigUint64", gpa, 8, READ, run, littleEndian);
    return this.#scratch.getBigUint64(0, littleEndian);
  }

  /** Load a signed 64-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getBigInt64(gpa: number, littleEndian?: boolean): bigint {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#loads[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 7 && this.#section.layout === this.#layout) {
      return run.view.getBigInt64(at, littleEndian);
    }
    this.#typed.access("getBigInt64", gpa, 8, READ, run, littleEndian);
    return this.#scratch.getBigInt64(0, littleEndian);
  }

  // ---- typed stores, as DataView's ----

  /** Store an unsigned byte. @throws as its load */
  setUint8(gpa: number, value: number): void {
    const low = gpa >>> 0;
    let run = this.#store;
    let at = (low - run.low) | 0;
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 1 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 1 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 3 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 3 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 3 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 7 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 7 && this.#section.stores === this.#storesOf) {
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
    if (run === NO_RUN || at < 0 || at >= run.limit) {
      run = this.#stores[Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
      at = (low - run.low) | 0;
    }
    if (low === gpa && at >= 0 && at < run.bytes.length - 7 && this.#section.stores === this.#storesOf) {
      run.view.setBigInt64(at, value, littleEndian);
      return;
    }
    this.#scratch.setBigInt64(0, value, littleEndian);
    this.#typed.access("setBigInt64", gpa, 8, WRITE, run, littleEndian);
  }
}
