/**
 * A cache of one translation, for a place in guest memory that is accessed again and again: a clock page, a ring.
 * Checked against the generation at each access, so that it never outlives its layout.
 *
 * Mirrors struct gfn_to_hva_cache with __kvm_gfn_to_hva_cache_init, kvm_read_guest_offset_cached and
 * kvm_write_guest_offset_cached. As there it lives in address space 0, whatever the vCPU's is, it is made by a
 * write translation, so that it cannot be made over a READONLY slot, and a failure is cached, too.
 */
import { ERRNO, KvmError } from "./errno.js";
import { type AccessTarget, type CopyPiece, GuestAccess, type Run } from "./guestaccess.js";
import { show } from "./region.js";
import { KVM_MEM_READONLY } from "./uapi.js";

/** No generation is this. */
const NO_GENERATION = -1;

function checkAddress(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${name} must be an integer from 0 to 2^53 - 1, not ${show(value)}`);
  }
}

/** A cached translation of [gpa, gpa + bytes). */
export class GuestCache {
  readonly #access: GuestAccess;
  readonly #pageBytes: number;
  #generation = NO_GENERATION;
  #gpa = 0;
  #bytes = 0;
  /** The translation is an error. */
  #bad = true;
  /** Of a range within one page that has host memory; undefined for any other, which is looked up each time. */
  #run: Run | undefined;

  /**
   * Made by GuestMemory.
   * @internal
   */
  constructor(target: AccessTarget) {
    const { wasm, reader, section } = target;
    this.#pageBytes = 2 ** target.pageShift;
    const markDirty = (gpa: number): void => {
      if (section.asId === 0) {
        target.markDirty(gpa);
        return;
      }
      wasm.setAddressSpace(reader(), 0);
      wasm.markDirty(reader(), gpa);
      wasm.setAddressSpace(reader(), section.asId);
    };
    this.#access = new GuestAccess({ ...target, markDirty }, 0);
  }

  /**
   * Cache the translation of [gpa, gpa + bytes), all of it in writable slots. Host memory need not be there yet.
   * @throws KvmError EINVAL for no bytes at the start of a page, EFAULT for a hole or a READONLY slot: then the old
   *   range stays, and is an error until the generation changes; TypeError
   */
  init(gpa: number, bytes: number): void {
    checkAddress(gpa, "gpa");
    checkAddress(bytes, "bytes");
    const access = this.#access;
    access.begin();
    const errno = this.#init(gpa, bytes);
    access.end();
    if (errno !== 0) throw new KvmError(-errno, "cache.init");
  }

  #init(gpa: number, bytes: number): number {
    const access = this.#access;
    const last = gpa + bytes - 1;
    const page = (address: number) => Math.floor(address / this.#pageBytes);
    this.#generation = access.generation();
    this.#bad = true;
    // No bytes at address 0: in KVM's unsigned arithmetic the range ends at the last address of all.
    if (last < 0) return ERRNO.EFAULT;
    if (page(gpa) > page(last)) return ERRNO.EINVAL;
    // Slots alone decide, as in KVM; host memory that is not there is found out at the access, and may come yet.
    for (let at = gpa; at <= Math.max(last, gpa); ) {
      const slot = access.slotAt(at);
      if (slot === undefined || slot.flags & KVM_MEM_READONLY) return ERRNO.EFAULT;
      at = slot.guestPhysAddr + slot.memorySize;
    }
    this.#run = page(gpa) === page(last) ? access.find(gpa, true) : undefined;
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
    this.#transfer("cache.read", target, offset, false, (run, at, count, done) => {
      target.set(run.bytes.subarray(at, at + count), done);
    });
  }

  /** Copy `source` to the bytes from `offset` on. @throws as read */
  write(source: Uint8Array, offset = 0): void {
    this.#transfer("cache.write", source, offset, true, (run, at, count, done) => {
      run.bytes.set(source.subarray(done, done + count), at);
    });
  }

  #transfer(op: string, data: Uint8Array, offset: number, write: boolean, copy: CopyPiece): void {
    if (!(data instanceof Uint8Array)) throw new TypeError(`data must be a Uint8Array, not ${show(data)}`);
    checkAddress(offset, "offset");
    const bytes = data.length;
    if (offset + bytes > this.#bytes) throw new KvmError(-ERRNO.EINVAL, op);
    const access = this.#access;
    let done = -1;
    access.begin();
    try {
      const stale = access.generation() !== this.#generation;
      if (stale) this.#init(this.#gpa, this.#bytes);
      if (!this.#bad) done = this.#copy(bytes, offset, write, copy);
    } finally {
      access.end();
    }
    if (done < bytes) throw new KvmError(-ERRNO.EFAULT, op);
  }

  #copy(bytes: number, offset: number, write: boolean, copy: CopyPiece): number {
    const run = this.#run;
    const gpa = this.#gpa + offset;
    const at = run === undefined ? -1 : gpa - run.gpa;
    // Across pages, or if the host memory grew away under the run, as any access does.
    if (run === undefined || at < 0 || at + bytes > run.bytes.length) {
      return this.#access.transfer(gpa, bytes, write, copy);
    }
    copy(run, at, bytes, 0);
    if (write && run.logged && bytes > 0) this.#access.mark(gpa, bytes);
    return bytes;
  }
}
