/**
 * Guest memory by guest address: typed loads and stores, blocks, atomic operations, caches.
 *
 * The fast path is one run for loads and one for stores, kept while the vCPU's section lasts: a subtraction and a
 * look at the run's length. The section takes the runs away when it ends or moves to another layout, and a
 * buffer that grew has left length 0 behind, so that no view is ever stale.
 *
 * Mirrors kvm_read_guest, kvm_write_guest, kvm_clear_guest and kvm_vcpu_read_guest.
 */
import { type AccessTarget, GuestAccess, type HoleHandler, type Run, toGpa } from "./guestaccess.js";
import { GuestAtomics } from "./guestatomics.js";
import { GuestCache } from "./guestcache.js";
import { show } from "./region.js";
import type { Section, Vcpu } from "./vcpu.js";

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NO_VIEW: DataView = new DataView(NO_BYTES.buffer);

/** Options of `engine.guestMemory`. */
export interface GuestMemoryOptions {
  /**
   * Access through this vCPU: from the layout of its section, in its address space, in its thread. Its sections
   * are begun and ended by its own functions then, not through the wasm ABI.
   */
  vcpu?: Vcpu;
  /** Address space without a vCPU; 0 if not given. */
  asId?: number;
  /** Told of accesses that meet no memory, for MMIO. Without it such an access throws. */
  onHole?: HoleHandler;
}

/**
 * The bytes of guest memory. All addresses are in bytes and need no alignment, except for atomic operations. A typed
 * access is done whole or not at all. One that meets a hole asks `onHole`, else it is a KvmError EFAULT whose `hole`
 * tells where and why. A write marks its pages dirty, after the bytes are there. Typed accesses are big-endian unless
 * `littleEndian` is true, as those of DataView.
 */
export class GuestMemory {
  /** Atomic operations, for guest memory that other threads or the guest itself use at the same time. */
  readonly atomics: GuestAtomics;
  readonly #access: GuestAccess;
  readonly #section: Section;
  readonly #scratchBytes = new Uint8Array(8);
  readonly #scratch = new DataView(this.#scratchBytes.buffer);
  // The run of loads and that of stores, field by field: each level of objects costs a quarter more.
  #readBase = 0;
  #readBytes = NO_BYTES;
  #readView = NO_VIEW;
  #writeBase = 0;
  #writeBytes = NO_BYTES;
  #writeView = NO_VIEW;
  #writeLogged = false;

  /**
   * Made by `engine.guestMemory`.
   * @internal
   */
  constructor(target: AccessTarget) {
    this.#access = new GuestAccess(target);
    this.#section = target.section;
    this.#section.onLeave(() => {
      this.#readBytes = NO_BYTES;
      this.#writeBytes = NO_BYTES;
    });
    this.atomics = new GuestAtomics(this.#access);
  }

  /** A cache for one place that is accessed again and again. Mirrors struct gfn_to_hva_cache. */
  cache(): GuestCache {
    return new GuestCache(this.#access.target);
  }

  // ---- blocks ----

  /**
   * Copy guest bytes from `gpa` on into `target`. Mirrors kvm_read_guest.
   * @returns bytes copied: all of them, or with `onHole` those before the hole
   * @throws KvmError EFAULT without `onHole`; what lies before the hole has been copied
   */
  read(gpa: number, target: Uint8Array): number {
    const bytes = lengthOf(target, "target");
    const at = gpa - this.#readBase;
    if (at >= 0 && at + bytes <= this.#readBytes.length) {
      target.set(this.#readBytes.subarray(at, at + bytes));
      return bytes;
    }
    return this.#readRuns(gpa, target, bytes);
  }

  // Apart: what a closure captures is allocated where the function begins, in front of the fast path as well.
  #readRuns(gpa: number, target: Uint8Array, bytes: number): number {
    return this.#transfer("read", gpa, bytes, false, (run, from, count, done) => {
      target.set(run.bytes.subarray(from, from + count), done);
      this.#keepRead(run);
    });
  }

  /**
   * Copy `source` to guest memory from `gpa` on. Page by page: pages before a hole are written, and marked dirty.
   * Mirrors kvm_write_guest.
   * @returns as read; @throws as read
   */
  write(gpa: number, source: Uint8Array): number {
    const bytes = lengthOf(source, "source");
    const at = gpa - this.#writeBase;
    if (at >= 0 && at + bytes <= this.#writeBytes.length && !this.#writeLogged) {
      this.#writeBytes.set(source, at);
      return bytes;
    }
    return this.#writeRuns(gpa, source, bytes);
  }

  #writeRuns(gpa: number, source: Uint8Array, bytes: number): number {
    return this.#transfer("write", gpa, bytes, true, (run, from, count, done) => {
      run.bytes.set(count === bytes ? source : source.subarray(done, done + count), from);
      this.#keepWrite(run);
    });
  }

  /** Write `bytes` zeros from `gpa` on, as write does. Mirrors kvm_clear_guest. @throws as read, TypeError */
  clear(gpa: number, bytes: number): number {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new TypeError(`bytes must be an integer from 0 to 2^53 - 1, not ${show(bytes)}`);
    }
    return this.#transfer("clear", gpa, bytes, true, (run, from, count) => {
      run.bytes.fill(0, from, from + count);
      this.#keepWrite(run);
    });
  }

  #transfer(
    op: string,
    address: number,
    bytes: number,
    write: boolean,
    copy: (run: Run, from: number, count: number, done: number) => void,
  ): number {
    const gpa = toGpa(address);
    if (bytes === 0) return 0;
    const access = this.#access;
    let done = 0;
    access.begin();
    try {
      done = access.transfer(gpa, bytes, write, copy);
    } finally {
      access.end();
    }
    if (done < bytes) access.report(op, gpa + done, bytes - done, gpa + done, write, 0);
    return done;
  }

  /** Within a section of the vCPU a run stays good until the section ends or moves on. */
  #keepRead(run: Run): void {
    if (!this.#section.derived) return;
    this.#readBase = run.gpa;
    this.#readBytes = run.bytes;
    this.#readView = run.view;
  }

  #keepWrite(run: Run): void {
    if (!this.#section.derived) return;
    this.#writeBase = run.gpa;
    this.#writeBytes = run.bytes;
    this.#writeView = run.view;
    this.#writeLogged = run.logged;
  }

  // ---- typed accesses off the fast path ----

  /**
   * A load into the scratch bytes or a store out of them: of a run that is not at hand, across runs, or of a
   * hole. In one piece on purpose: V8 inlines no function of more than 460 bytecodes, and an accessor that had this
   * inlined would be too long to be inlined itself, at three times the cost of the fast path.
   */
  #slow(op: string, address: number, bytes: number, write: boolean, littleEndian?: boolean): void {
    const gpa = toGpa(address);
    const access = this.#access;
    const scratch = this.#scratch;
    const scratchBytes = this.#scratchBytes;
    let done = 0;
    access.begin();
    while (done < bytes) {
      const run = access.find(gpa + done, write);
      if (run === undefined) break;
      done = Math.min(bytes, run.gpa + run.bytes.length - gpa);
      if (write) this.#keepWrite(run);
      else this.#keepRead(run);
    }
    if (done < bytes) {
      const partly = done > 0 || access.find(gpa + bytes - 1, write) !== undefined;
      access.find(gpa + done, write);
      if (partly) access.kind = "crosses";
    } else if (write) {
      access.transfer(gpa, bytes, true, (run, at, count, from) => {
        for (let i = 0; i < count; i++) run.bytes[at + i] = scratchBytes[from + i]!;
      });
    } else {
      access.transfer(gpa, bytes, false, (run, at, count, from) => {
        for (let i = 0; i < count; i++) scratchBytes[from + i] = run.bytes[at + i]!;
      });
    }
    access.end();
    if (done === bytes) return;
    let value: number | bigint = 0;
    if (write && bytes === 8) value = scratch.getBigUint64(0, littleEndian);
    else if (write && bytes === 4) value = scratch.getUint32(0, littleEndian);
    else if (write && bytes === 2) value = scratch.getUint16(0, littleEndian);
    else if (write) value = scratch.getUint8(0);
    const answer = access.report(op, gpa, bytes, gpa + done, write, value);
    if (write) return;
    if (bytes === 8) scratch.setBigUint64(0, BigInt(answer), littleEndian);
    else if (bytes === 4) scratch.setUint32(0, Number(answer), littleEndian);
    else if (bytes === 2) scratch.setUint16(0, Number(answer), littleEndian);
    else scratch.setUint8(0, Number(answer));
  }

  // ---- typed loads, as DataView's ----

  /** Load an unsigned byte. @throws KvmError EFAULT at a hole, without `onHole` */
  getUint8(gpa: number): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length) return this.#readView.getUint8(at);
    this.#slow("getUint8", gpa, 1, false);
    return this.#scratch.getUint8(0);
  }

  /** Load a signed byte. @throws KvmError EFAULT at a hole, without `onHole` */
  getInt8(gpa: number): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length) return this.#readView.getInt8(at);
    this.#slow("getInt8", gpa, 1, false);
    return this.#scratch.getInt8(0);
  }

  /** Load an unsigned 16-bit integer. @throws KvmError EFAULT at a hole, without `onHole` */
  getUint16(gpa: number, littleEndian?: boolean): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 1) return this.#readView.getUint16(at, littleEndian);
    this.#slow("getUint16", gpa, 2, false, littleEndian);
    return this.#scratch.getUint16(0, littleEndian);
  }

  /** Load a signed 16-bit integer. @throws KvmError EFAULT at a hole, without `onHole` */
  getInt16(gpa: number, littleEndian?: boolean): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 1) return this.#readView.getInt16(at, littleEndian);
    this.#slow("getInt16", gpa, 2, false, littleEndian);
    return this.#scratch.getInt16(0, littleEndian);
  }

  /** Load an unsigned 32-bit integer. @throws KvmError EFAULT at a hole, without `onHole` */
  getUint32(gpa: number, littleEndian?: boolean): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 3) return this.#readView.getUint32(at, littleEndian);
    this.#slow("getUint32", gpa, 4, false, littleEndian);
    return this.#scratch.getUint32(0, littleEndian);
  }

  /** Load a signed 32-bit integer. @throws KvmError EFAULT at a hole, without `onHole` */
  getInt32(gpa: number, littleEndian?: boolean): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 3) return this.#readView.getInt32(at, littleEndian);
    this.#slow("getInt32", gpa, 4, false, littleEndian);
    return this.#scratch.getInt32(0, littleEndian);
  }

  /** Load a 32-bit float. @throws KvmError EFAULT at a hole, without `onHole` */
  getFloat32(gpa: number, littleEndian?: boolean): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 3) return this.#readView.getFloat32(at, littleEndian);
    this.#slow("getFloat32", gpa, 4, false, littleEndian);
    return this.#scratch.getFloat32(0, littleEndian);
  }

  /** Load a 64-bit float. @throws KvmError EFAULT at a hole, without `onHole` */
  getFloat64(gpa: number, littleEndian?: boolean): number {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 7) return this.#readView.getFloat64(at, littleEndian);
    this.#slow("getFloat64", gpa, 8, false, littleEndian);
    return this.#scratch.getFloat64(0, littleEndian);
  }

  /** Load an unsigned 64-bit integer. @throws KvmError EFAULT at a hole, without `onHole` */
  getBigUint64(gpa: number, littleEndian?: boolean): bigint {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 7) return this.#readView.getBigUint64(at, littleEndian);
    this.#slow("getBigUint64", gpa, 8, false, littleEndian);
    return this.#scratch.getBigUint64(0, littleEndian);
  }

  /** Load a signed 64-bit integer. @throws KvmError EFAULT at a hole, without `onHole` */
  getBigInt64(gpa: number, littleEndian?: boolean): bigint {
    const at = gpa - this.#readBase;
    if (at >= 0 && at < this.#readBytes.length - 7) return this.#readView.getBigInt64(at, littleEndian);
    this.#slow("getBigInt64", gpa, 8, false, littleEndian);
    return this.#scratch.getBigInt64(0, littleEndian);
  }

  // ---- typed stores, as DataView's ----

  /** Store an unsigned byte. @throws as its load */
  setUint8(gpa: number, value: number): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length) {
      this.#writeView.setUint8(at, value);
      if (this.#writeLogged) this.#access.mark(gpa, 1);
      return;
    }
    this.#scratch.setUint8(0, value);
    this.#slow("setUint8", gpa, 1, true);
  }

  /** Store a signed byte. @throws as its load */
  setInt8(gpa: number, value: number): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length) {
      this.#writeView.setInt8(at, value);
      if (this.#writeLogged) this.#access.mark(gpa, 1);
      return;
    }
    this.#scratch.setInt8(0, value);
    this.#slow("setInt8", gpa, 1, true);
  }

  /** Store an unsigned 16-bit integer. @throws as its load */
  setUint16(gpa: number, value: number, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 1) {
      this.#writeView.setUint16(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 2);
      return;
    }
    this.#scratch.setUint16(0, value, littleEndian);
    this.#slow("setUint16", gpa, 2, true, littleEndian);
  }

  /** Store a signed 16-bit integer. @throws as its load */
  setInt16(gpa: number, value: number, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 1) {
      this.#writeView.setInt16(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 2);
      return;
    }
    this.#scratch.setInt16(0, value, littleEndian);
    this.#slow("setInt16", gpa, 2, true, littleEndian);
  }

  /** Store an unsigned 32-bit integer. @throws as its load */
  setUint32(gpa: number, value: number, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 3) {
      this.#writeView.setUint32(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 4);
      return;
    }
    this.#scratch.setUint32(0, value, littleEndian);
    this.#slow("setUint32", gpa, 4, true, littleEndian);
  }

  /** Store a signed 32-bit integer. @throws as its load */
  setInt32(gpa: number, value: number, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 3) {
      this.#writeView.setInt32(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 4);
      return;
    }
    this.#scratch.setInt32(0, value, littleEndian);
    this.#slow("setInt32", gpa, 4, true, littleEndian);
  }

  /** Store a 32-bit float. @throws as its load */
  setFloat32(gpa: number, value: number, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 3) {
      this.#writeView.setFloat32(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 4);
      return;
    }
    this.#scratch.setFloat32(0, value, littleEndian);
    this.#slow("setFloat32", gpa, 4, true, littleEndian);
  }

  /** Store a 64-bit float. @throws as its load */
  setFloat64(gpa: number, value: number, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 7) {
      this.#writeView.setFloat64(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 8);
      return;
    }
    this.#scratch.setFloat64(0, value, littleEndian);
    this.#slow("setFloat64", gpa, 8, true, littleEndian);
  }

  /** Store an unsigned 64-bit integer. @throws as its load */
  setBigUint64(gpa: number, value: bigint, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 7) {
      this.#writeView.setBigUint64(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 8);
      return;
    }
    this.#scratch.setBigUint64(0, value, littleEndian);
    this.#slow("setBigUint64", gpa, 8, true, littleEndian);
  }

  /** Store a signed 64-bit integer. @throws as its load */
  setBigInt64(gpa: number, value: bigint, littleEndian?: boolean): void {
    const at = gpa - this.#writeBase;
    if (at >= 0 && at < this.#writeBytes.length - 7) {
      this.#writeView.setBigInt64(at, value, littleEndian);
      if (this.#writeLogged) this.#access.mark(gpa, 8);
      return;
    }
    this.#scratch.setBigInt64(0, value, littleEndian);
    this.#slow("setBigInt64", gpa, 8, true, littleEndian);
  }
}

function lengthOf(value: Uint8Array, name: string): number {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array, not ${show(value)}`);
  return value.length;
}
