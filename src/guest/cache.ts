/**
 * A cache of one translation, for a place in guest memory that is accessed again and again: a clock page, a ring.
 * Checked against the generation at each access, so that it never outlives its layout.
 *
 * Mirrors struct gfn_to_hva_cache with __kvm_gfn_to_hva_cache_init, kvm_read_guest_offset_cached and
 * kvm_write_guest_offset_cached. As there it lives in address space 0, whatever the vCPU's is, it is made by a
 * write translation, so that it cannot be made over a READONLY slot, and a failure is cached, too.
 */

import { show, toAddress } from "../kvm/arguments.js";
import { ERRNO, KvmError } from "../kvm/errno.js";
import { KVM_MEM_READONLY } from "../kvm/uapi.js";
import type { Section } from "../read/section.js";
import { GuestAccess, toGpa } from "./access.js";
import { NO_RUN } from "./runs.js";
import { type AccessTarget, type CopyPiece, READ, WRITE } from "./target.js";

/** No generation is this. */
const NO_GENERATION = -2;
/** Most bytes that a loop copies faster than `set` with a `subarray`. */
const SHORT = 32;

/** A cached translation of [gpa, gpa + bytes). */
export class GuestCache {
  readonly #access: GuestAccess;
  readonly #section: Section;
  readonly #pageBytes: number;
  /** Publication in which the translation was last found good; the hot path asks for no more. */
  #commit = NO_GENERATION;
  #generation = NO_GENERATION;
  #gpa = 0;
  #bytes = 0;
  /** The translation is an error. */
  #bad = true;
  /** Of a range within one page that has host memory; NO_RUN for any other, which is looked up each time. */
  #run = NO_RUN;
  /** In between, because the caller's array may be guest memory itself. */
  readonly #scratch = new Uint8Array(SHORT);

  /**
   * Made by GuestMemory.
   * @internal
   */
  constructor(target: AccessTarget) {
    this.#section = target.section;
    this.#pageBytes = 2 ** target.thread.pageShift;
    this.#access = new GuestAccess(target, 0);
  }

  /**
   * Cache the translation of [gpa, gpa + bytes), all of it in writable slots. Host memory need not be there yet.
   * @throws KvmError EINVAL for no bytes at the start of a page, EFAULT for a hole or a READONLY slot: then the old
   *   range stays, and is an error until the generation changes; TypeError
   */
  init(gpa: number, bytes: number): void {
    const start = toGpa(gpa);
    toAddress(bytes, "bytes");
    const errno = this.#pinned(() => this.#init(start, bytes));
    if (errno !== 0) throw new KvmError(-errno, "cache.init");
  }

  /** The result of `work`, which is done in a pinned layout. */
  #pinned<Result>(work: () => Result): Result {
    const access = this.#access;
    access.begin();
    try {
      return work();
    } finally {
      access.end();
    }
  }

  #init(gpa: number, bytes: number): number {
    const access = this.#access;
    const last = gpa + bytes - 1;
    const page = (address: number) => Math.floor(address / this.#pageBytes);
    this.#generation = access.generation();
    this.#commit = access.layout.commit;
    this.#run = NO_RUN;
    this.#bad = true;
    // No bytes at address 0: in KVM's unsigned arithmetic the range ends at the last address of all.
    if (!(last >= 0)) return ERRNO.EFAULT;
    if (page(gpa) > page(last)) return ERRNO.EINVAL;
    // Slots alone decide, as in KVM; host memory that is not there is found out at the access, and may come yet.
    for (let at = gpa; at <= Math.max(last, gpa); ) {
      const slot = access.slotAt(at);
      if (slot === undefined || slot.flags & KVM_MEM_READONLY) return ERRNO.EFAULT;
      at = slot.guestPhysAddr + slot.memorySize;
    }
    if (page(gpa) === page(last)) this.#run = access.findMemory(gpa, WRITE) ?? NO_RUN;
    this.#gpa = gpa;
    this.#bytes = bytes;
    this.#bad = false;
    return 0;
  }

  /**
   * Copy the bytes from `offset` on into `target`.
   * @throws KvmError EINVAL beyond the range of the cache, EFAULT if it is no memory any more
   */
  read(target: Uint8Array, offset = 0): void {
    const bytes = checkTransfer(target, offset);
    const { bytes: from } = this.#run;
    const at = this.#gpa - this.#run.gpa + offset;
    if (
      this.#section.layout.commit === this.#commit &&
      offset + bytes <= this.#bytes &&
      at + bytes <= from.length &&
      bytes <= SHORT
    ) {
      const scratch = this.#scratch;
      for (let i = 0; i < bytes; i++) scratch[i] = from[at + i]!;
      for (let i = 0; i < bytes; i++) target[i] = scratch[i]!;
      return;
    }
    this.#read(target, offset);
  }

  // Apart: what a closure captures is allocated where the function begins, in front of the hot path as well.
  #read(target: Uint8Array, offset: number): void {
    this.#transfer("cache.read", target.length, offset, READ, (run, at, count, done) => {
      target.set(run.bytes.subarray(at, at + count), done);
    });
  }

  /** Copy `source` to the bytes from `offset` on. @throws as read */
  write(source: Uint8Array, offset = 0): void {
    const bytes = checkTransfer(source, offset);
    const { bytes: to, logged } = this.#run;
    const at = this.#gpa - this.#run.gpa + offset;
    if (
      this.#section.layout.commit === this.#commit &&
      offset + bytes <= this.#bytes &&
      at + bytes <= to.length &&
      bytes <= SHORT &&
      !logged
    ) {
      const scratch = this.#scratch;
      for (let i = 0; i < bytes; i++) scratch[i] = source[i]!;
      for (let i = 0; i < bytes; i++) to[at + i] = scratch[i]!;
      return;
    }
    this.#write(source, offset);
  }

  #write(source: Uint8Array, offset: number): void {
    this.#transfer("cache.write", source.length, offset, WRITE, (run, at, count, done) => {
      run.bytes.set(source.subarray(done, done + count), at);
    });
  }

  #transfer(op: string, bytes: number, offset: number, kind: number, copy: CopyPiece): void {
    if (offset + bytes > this.#bytes) throw new KvmError(-ERRNO.EINVAL, op);
    const access = this.#access;
    const done = this.#pinned(() => {
      if (access.layout.commit !== this.#commit && access.generation() !== this.#generation) {
        this.#init(this.#gpa, this.#bytes);
      }
      this.#commit = access.layout.commit;
      return this.#bad ? -1 : access.transfer(this.#gpa + offset, bytes, kind, copy);
    });
    if (done < bytes) throw new KvmError(-ERRNO.EFAULT, op);
  }
}

/** @returns the number of bytes; @throws TypeError */
function checkTransfer(data: Uint8Array, offset: number): number {
  if (!(data instanceof Uint8Array)) throw new TypeError(`data must be a Uint8Array, not ${show(data)}`);
  toAddress(offset, "offset");
  return data.length;
}
