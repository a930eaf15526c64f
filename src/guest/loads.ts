/**
 * The reading half of guest memory: blocks, fetches of code, which do not disturb what loads have found, typed loads.
 *
 * The hot path asks: is the access within the main run, or else within the run that the table has for the address's
 * page, and is the run's layout that of the section, or outside of sections still the newest. The last question covers
 * all that ends a run's life but one: a buffer that moved or shrank has left length 0 behind, so that no view is stale.
 *
 * How it is written decides what V8 makes of it:
 *  - An address is converted to an integer once, and not at all if the caller has it as one; that it was one of 32 bits
 *    is asked by a comparison that V8 drops for integers, and with it all that addresses above 4 GiB take. Bytes of a
 *    run are compared as signed integers, so that addresses above 2 GiB in other runs never turn the comparison into
 *    one of doubles.
 *  - The value is loaded before the layout is asked for, because outside of sections it counts only behind the load.
 *  - The accessors are alike but for their widths, and written out: V8 inlines up to 920 bytecodes into one function,
 *    and an interpreter's loop wants some five of them.
 *
 * Mirrors kvm_read_guest and kvm_vcpu_read_guest.
 */
import { type Section, UNKNOWN } from "../read/section.js";
import { type GuestAccess, UNSEEN } from "./access.js";
import { bytesOf, readBlock } from "./blocks.js";
import { FAR_GPA, NO_RUN, type Run, SPREAD, TABLE_SHIFT } from "./runs.js";
import { FETCH, READ } from "./target.js";
import type { TypedAccess } from "./typed.js";

/**
 * Loads by guest address, in bytes and of any alignment; a typed one is done whole or not at all. One that meets a hole
 * asks `onHole`, else it is a KvmError EFAULT whose `hole` tells where and why. Typed loads are big-endian unless
 * `littleEndian` is true, as those of DataView.
 */
export class GuestLoads {
  readonly #access: GuestAccess;
  readonly #section: Section;
  readonly #pageShift: number = 0;
  readonly #typed: TypedAccess;
  readonly #scratch: DataView;
  // What the access has found, field by field: each level of objects costs a quarter more. First the main run.
  #load = NO_RUN;
  #loads: Run[];
  #farLoads: Run[];
  #layout: object;
  #code = NO_RUN;
  #farCode = NO_RUN;
  #codeLayout: object;

  /** @internal */
  constructor(access: GuestAccess, typed: TypedAccess) {
    this.#access = access;
    this.#typed = typed;
    this.#scratch = typed.scratch;
    access.onForget.push(() => {
      this.#load = NO_RUN;
      this.#layout = UNSEEN;
      this.#code = NO_RUN;
      this.#farCode = NO_RUN;
      typed.code = NO_RUN;
    });
    typed.onLoad = () => this.#sync();
    this.#section = access.section;
    this.#pageShift = access.target.thread.pageShift;
    this.#loads = access.reads.near;
    this.#farLoads = access.reads.far;
    this.#layout = UNSEEN;
    this.#codeLayout = UNSEEN;
  }

  /** The hot path sees what the access has found. Most of the time that is what it saw before. */
  #sync(): void {
    const access = this.#access;
    if (this.#layout !== access.layout) this.#layout = access.layout;
    if (this.#load !== access.reads.main) this.#load = access.reads.main;
    if (this.#loads !== access.reads.near) this.#loads = access.reads.near;
    if (this.#farLoads !== access.reads.far) this.#farLoads = access.reads.far;
  }

  /** Behind a load outside of sections. A load needs no section: it counts if its layout is still the newest one. */
  #isNewest(): boolean {
    return this.#section.layout === UNKNOWN && this.#access.isNewest();
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
    const table = gpa < FAR_GPA ? this.#loads : this.#farLoads;
    const run = table[Math.imul((gpa >>> 0) >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT]!;
    const at = gpa - run.gpa;
    if (at >= 0 && at + bytes <= run.bytes.length && this.#section.layout === this.#layout) {
      to.set(run.bytes.subarray(at, at + bytes));
      return bytes;
    }
    return this.#typed.block("read", gpa, bytes, readBlock(this.#access, gpa, to), false);
  }

  // ---- fetches of code ----

  #fetch(op: string, gpa: number, bytes: number, littleEndian?: boolean): void {
    // What was found in an older layout must not pass for what is found now.
    this.#typed.code = NO_RUN;
    this.#typed.access(op, gpa, bytes, FETCH, NO_RUN, littleEndian);
    if (gpa < FAR_GPA) this.#code = this.#typed.code;
    else this.#farCode = this.#typed.code;
    this.#codeLayout = this.#access.layout;
  }

  /** Fetch an unsigned byte of code. @throws as its load */
  fetchUint8(gpa: number): number {
    const low = gpa >>> 0;
    const code = low === gpa ? this.#code : this.#farCode;
    const at = (low - code.low) | 0;
    if (at >= 0 && at < code.bytes.length && (low === gpa || low + code.high === gpa)) {
      const value = code.view.getUint8(at);
      if (this.#section.layout === this.#codeLayout || this.#isNewest()) return value;
    }
    this.#fetch("fetchUint8", gpa, 1);
    return this.#scratch.getUint8(0);
  }

  /** Fetch an unsigned 16-bit integer of code. @throws as its load */
  fetchUint16(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    const code = low === gpa ? this.#code : this.#farCode;
    const at = (low - code.low) | 0;
    if (at >= 0 && at < code.bytes.length - 1 && (low === gpa || low + code.high === gpa)) {
      const value = code.view.getUint16(at, littleEndian);
      if (this.#section.layout === this.#codeLayout || this.#isNewest()) return value;
    }
    this.#fetch("fetchUint16", gpa, 2, littleEndian);
    return this.#scratch.getUint16(0, littleEndian);
  }

  /** Fetch an unsigned 32-bit integer of code. @throws as its load */
  fetchUint32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    const code = low === gpa ? this.#code : this.#farCode;
    const at = (low - code.low) | 0;
    if (at >= 0 && at < code.bytes.length - 3 && (low === gpa || low + code.high === gpa)) {
      const value = code.view.getUint32(at, littleEndian);
      if (this.#section.layout === this.#codeLayout || this.#isNewest()) return value;
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
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getUint8(at);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getUint8", gpa, 1, READ, run);
    return this.#scratch.getUint8(0);
  }

  /** Load a signed byte. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getInt8(gpa: number): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getInt8(at);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getInt8", gpa, 1, READ, run);
    return this.#scratch.getInt8(0);
  }

  /** Load an unsigned 16-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getUint16(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 1 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getUint16(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getUint16", gpa, 2, READ, run, littleEndian);
    return this.#scratch.getUint16(0, littleEndian);
  }

  /** Load a signed 16-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getInt16(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 1 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getInt16(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getInt16", gpa, 2, READ, run, littleEndian);
    return this.#scratch.getInt16(0, littleEndian);
  }

  /** Load an unsigned 32-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getUint32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 3 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getUint32(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getUint32", gpa, 4, READ, run, littleEndian);
    return this.#scratch.getUint32(0, littleEndian);
  }

  /** Load a signed 32-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getInt32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 3 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getInt32(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getInt32", gpa, 4, READ, run, littleEndian);
    return this.#scratch.getInt32(0, littleEndian);
  }

  /** Load a 32-bit float. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getFloat32(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 3 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getFloat32(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getFloat32", gpa, 4, READ, run, littleEndian);
    return this.#scratch.getFloat32(0, littleEndian);
  }

  /** Load a 64-bit float. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getFloat64(gpa: number, littleEndian?: boolean): number {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 7 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getFloat64(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getFloat64", gpa, 8, READ, run, littleEndian);
    return this.#scratch.getFloat64(0, littleEndian);
  }

  /** Load an unsigned 64-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getBigUint64(gpa: number, littleEndian?: boolean): bigint {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 7 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getBigUint64(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getBigUint64", gpa, 8, READ, run, littleEndian);
    return this.#scratch.getBigUint64(0, littleEndian);
  }

  /** Load a signed 64-bit integer. @throws KvmError EFAULT at a hole, without `onHole`; TypeError */
  getBigInt64(gpa: number, littleEndian?: boolean): bigint {
    const low = gpa >>> 0;
    let run = this.#load;
    let at = (low - run.low) | 0;
    if (at < 0 || at >= run.limit) {
      run = (low === gpa ? this.#loads : this.#farLoads)[
        Math.imul(low >>> this.#pageShift, SPREAD) >>> TABLE_SHIFT
      ]!;
      at = (low - run.low) | 0;
    }
    if (at >= 0 && at < run.bytes.length - 7 && (low === gpa || low + run.high === gpa)) {
      const value = run.view.getBigInt64(at, littleEndian);
      if (this.#section.layout === this.#layout || this.#isNewest()) return value;
    }
    this.#typed.access("getBigInt64", gpa, 8, READ, run, littleEndian);
    return this.#scratch.getBigInt64(0, littleEndian);
  }
}
