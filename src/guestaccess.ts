/**
 * What every access to guest memory is made of: a section, the run of host bytes around a guest address,
 * the dirty mark, and the report of a hole.
 *
 * A run is the part of one slot that one host buffer backs, in one layout. It may be used while that layout is
 * pinned: by the vCPU's section, or outside of those by a section that each access opens for itself.
 */
import { ERRNO, KvmError } from "./errno.js";
import type { HostMemories } from "./hostmemory.js";
import type { EngineExports } from "./layout.js";
import type { MemoryViews } from "./memory.js";
import { getRegion, type MappedRegion, REGION_WORDS, show } from "./region.js";
import { HVA_MMIO, HVA_RO_BAD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from "./uapi.js";
import { type Layout, type Section, UNKNOWN } from "./vcpu.js";

/**
 * Why an access was not done. `no-slot`: nothing maps the address. `device`: a device's window does.
 * `read-only`: a write to a READONLY slot. `no-host`: the host address is in none of the host ranges. `crosses`: a
 * part of the access is memory, and a part is one of these; nothing of it was done.
 */
export type GuestHoleKind = "no-slot" | "device" | "read-only" | "no-host" | "crosses";

/** An access that met no memory: what an emulator makes an MMIO exit of. One object, used again each time. */
export interface GuestHole {
  /** Why it was not done. */
  kind: GuestHoleKind;
  /** First byte of the access; of a block, its first byte that was not transferred. */
  gpa: number;
  /** Bytes of the access; of a block, those that were not transferred. */
  bytes: number;
  /** First byte that is no memory: `gpa`, unless the access crosses into the hole. */
  at: number;
  /** A store; false: a load. */
  write: boolean;
  /** Device whose window `at` is in; 0 if it is in none. */
  device: number;
  /** Byte of that device's registers; 0 without. */
  offset: number;
  /** What was to be written by a typed store, else 0. */
  value: number | bigint;
}

/** Told of each hole; what it returns is what a load reads, 0 if it returns nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that only takes note returns nothing
export type HoleHandler = (hole: GuestHole) => number | bigint | void;

/** Host bytes of a run of guest addresses. */
export interface Run {
  /** Layout it was found in. */
  layout: Layout;
  /** Guest address of the first byte. */
  gpa: number;
  bytes: Uint8Array;
  view: DataView;
  writable: boolean;
  logged: boolean;
  /** Arrays for atomic operations on 1, 2, 4, 8 bytes, made when first used. */
  units: (Uint8Array | Uint16Array | Uint32Array | BigUint64Array | undefined)[];
}

/** Copies `count` bytes at `at` of a run's bytes, `done` bytes behind the first of the access. */
export type CopyPiece = (run: Run, at: number, count: number, done: number) => void;

/** What an access works on. */
export interface AccessTarget {
  wasm: EngineExports;
  views: MemoryViews;
  host: HostMemories;
  pageShift: number;
  section: Section;
  /** Reader line of the accesses. */
  reader: () => number;
  /** The page of `gpa` in the section's address space was written. */
  markDirty: (gpa: number) => void;
  onHole: HoleHandler | undefined;
}

/** Runs kept; an interpreter works on code, data, stack and a few devices' buffers. */
const RUNS_MAX = 8;
/** Layout of no section. */
const NOWHERE: Layout = { commit: -3 };
const REGION_BYTES = REGION_WORDS * 4;

/**
 * The guest address of a byte, floored as translations do; what is no address at all is a hole.
 * @throws TypeError before anything happens
 */
export function toGpa(gpa: number): number {
  if (typeof gpa !== "number") throw new TypeError(`gpa must be a number, not ${show(gpa)}`);
  return Math.floor(gpa);
}

function runOf(layout: Layout, gpa: number, bytes: Uint8Array, flags: number): Run {
  return {
    layout,
    gpa,
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    writable: (flags & KVM_MEM_READONLY) === 0,
    logged: (flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0,
    units: [undefined, undefined, undefined, undefined],
  };
}

/** Accesses to one address space at a time, by one thread. */
export class GuestAccess {
  readonly section: Section;
  readonly target: AccessTarget;
  /** Why the last `find` found nothing. */
  kind: GuestHoleKind = "no-slot";
  readonly #pageBytes: number;
  readonly #hole: GuestHole = {
    kind: "no-slot",
    gpa: 0,
    bytes: 0,
    at: 0,
    write: false,
    device: 0,
    offset: 0,
    value: 0,
  };
  readonly #runs: Run[] = [];
  #victim = 0;
  #device = 0;
  #offset = 0;
  readonly #fixedAsId: number | undefined;
  #reader = 0;
  #asId = 0;
  #layout = NOWHERE;
  #opened = false;

  /** @param asId address space, if it is not that of the section */
  constructor(target: AccessTarget, asId?: number) {
    this.target = target;
    this.section = target.section;
    this.#fixedAsId = asId;
    this.#pageBytes = 2 ** target.pageShift;
  }

  /** Before `find`: a pinned layout, of the vCPU's section or one of our own. @throws Error for a released vCPU */
  begin(): void {
    const { wasm } = this.target;
    const { section } = this;
    if (section.released) throw new Error("the vCPU of this guest memory is released");
    this.#asId = this.#fixedAsId ?? section.asId;
    this.#reader = this.target.reader();
    this.#opened = !section.inside();
    if (this.#opened) {
      wasm.openSection(this.#reader);
      this.#layout = section.layoutOf(wasm.commitNumber(this.#reader), this.#asId);
      return;
    }
    section.derived = true;
    if (section.layout !== UNKNOWN && this.#asId === section.asId) {
      this.#layout = section.layout;
      return;
    }
    this.#layout = section.layoutOf(wasm.commitNumber(this.#reader), this.#asId);
    if (section.layout === UNKNOWN && this.#asId === section.asId) section.layout = this.#layout;
  }

  /** After the access and its dirty mark. */
  end(): void {
    if (this.#opened) this.target.wasm.exitSection(this.#reader);
    this.#opened = false;
  }

  /** Generation of the pinned layout. */
  generation(): number {
    return this.target.wasm.generation(this.#reader, this.#asId);
  }

  /**
   * The run around `gpa`, or undefined and `kind`. One that is kept has at least `need` bytes from there on: what it
   * lacks its memory may have grown by. Mirrors __gfn_to_hva_many.
   */
  find(gpa: number, write: boolean, need = 1): Run | undefined {
    const layout = this.#layout;
    for (const run of this.#runs) {
      const at = gpa - run.gpa;
      if (run.layout !== layout || !(at >= 0 && at + need <= run.bytes.length)) continue;
      return !write || run.writable ? run : this.#beside(gpa, write, "read-only");
    }
    return this.#translate(gpa, write);
  }

  /** The slot that maps `gpa` in the pinned layout, whatever backs it. Mirrors gfn_to_memslot. */
  slotAt(gpa: number): MappedRegion | undefined {
    const { wasm, views } = this.target;
    if (wasm.slotAt(this.#reader, this.#asId, gpa) === 0) return undefined;
    const batch = wasm.batchOf(this.#reader) >>> 0;
    return getRegion(views.words(batch + REGION_BYTES), batch / 4);
  }

  #translate(gpa: number, write: boolean): Run | undefined {
    const { host } = this.target;
    const slot = this.slotAt(gpa);
    if (slot === undefined) return this.#beside(gpa, write, "no-slot");
    if (write && (slot.flags & KVM_MEM_READONLY) !== 0) return this.#beside(gpa, write, "read-only");
    const { guestPhysAddr, userspaceAddr } = slot;
    const hva = userspaceAddr + Math.floor(gpa - guestPhysAddr);
    const found = host.around(hva, userspaceAddr, userspaceAddr + slot.memorySize);
    if (hva >= found.hva + found.bytes.length) {
      this.kind = "no-host";
      this.#device = 0;
      this.#offset = 0;
      return undefined;
    }
    const first = guestPhysAddr + (found.hva - userspaceAddr);
    const run = runOf(this.#layout, first, found.bytes, slot.flags);
    this.#runs[this.#victim] = run;
    this.#victim = (this.#victim + 1) % RUNS_MAX;
    return run;
  }

  /** What lies beside the slots, byte by byte: host memory of a window, or a device, which is a hole. */
  #beside(gpa: number, write: boolean, otherwise: GuestHoleKind): Run | undefined {
    const { wasm, host } = this.target;
    this.kind = otherwise;
    this.#device = 0;
    this.#offset = 0;
    // Caches are KVM's, and KVM's are of slots.
    if (this.#fixedAsId !== undefined) return undefined;
    const hva = wasm.resolve(this.#reader, gpa, write ? 1 : 0);
    if (hva === HVA_MMIO) {
      this.kind = "device";
      this.#device = wasm.deviceOf(this.#reader) >>> 0;
      this.#offset = wasm.deviceOffsetOf(this.#reader);
    } else if (hva === HVA_RO_BAD) {
      this.kind = "read-only";
    }
    if (hva < 0) return undefined;
    const found = host.around(hva, hva, hva + 1);
    if (found.bytes.length === 0) this.kind = "no-host";
    return found.bytes.length === 0 ? undefined : runOf(this.#layout, Math.floor(gpa), found.bytes, 0);
  }

  /** The pages of [gpa, gpa + bytes) of a logged slot were written. Mirrors mark_page_dirty_in_slot. */
  mark(gpa: number, bytes: number): void {
    const { markDirty } = this.target;
    const pageBytes = this.#pageBytes;
    const last = gpa + bytes - 1;
    for (let page = gpa - (gpa % pageBytes); page <= last; page += pageBytes) markDirty(page);
  }

  /**
   * Call `copy` with the host bytes of [gpa, gpa + bytes), piece by piece, and mark what was written after each
   * piece; of a logged slot a piece is at most a page. Between `begin` and `end`.
   * @returns bytes done: less than `bytes` if a piece is a hole, whose `kind` then is set
   */
  transfer(gpa: number, bytes: number, write: boolean, copy: CopyPiece): number {
    let done = 0;
    while (done < bytes) {
      const from = gpa + done;
      const run = this.find(from, write);
      if (run === undefined) break;
      const at = from - run.gpa;
      const logged = write && run.logged;
      const room = logged ? this.#pageBytes - (from % this.#pageBytes) : bytes;
      const count = Math.min(bytes - done, run.bytes.length - at, room);
      copy(run, at, count, done);
      if (logged) this.mark(from, count);
      done += count;
    }
    return done;
  }

  /**
   * Tell of a hole, outside of our own section: the handler may access guest memory or change the map.
   * @returns what the guest reads; @throws KvmError EFAULT without a handler
   */
  report(op: string, gpa: number, bytes: number, at: number, write: boolean, value: number | bigint) {
    const { onHole } = this.target;
    const hole = this.#hole;
    hole.kind = this.kind;
    hole.gpa = gpa;
    hole.bytes = bytes;
    hole.at = at;
    hole.write = write;
    hole.device = this.#device;
    hole.offset = this.#offset;
    hole.value = value;
    if (onHole === undefined) {
      const reason = `${hole.kind} at 0x${at.toString(16)}, in ${bytes} bytes from 0x${gpa.toString(16)} on`;
      throw new KvmError(-ERRNO.EFAULT, op, { hole: { ...hole }, reason });
    }
    return onHole(hole) ?? 0;
  }
}
