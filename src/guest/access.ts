/**
 * What every access to guest memory is made of: a pinned layout, the run of host bytes around a guest address, the
 * dirty mark, and the report of a hole.
 *
 * Runs may be used while their layout is pinned: by the vCPU's section, or outside of those by a section that an access
 * opens for itself. They stay as long as the next section has the same layout.
 */

import type { EngineExports } from "../core/exports.js";
import type { Thread } from "../core/thread.js";
import { show } from "../kvm/arguments.js";
import type { GuestHole, GuestHoleKind } from "../kvm/errordetails.js";
import { getRegion, REGION_WORDS, type Slot } from "../kvm/region.js";
import {
  armSection,
  type Layout,
  layoutOf,
  markStores,
  resumeSection,
  type Section,
  suspendSection,
  UNKNOWN,
} from "../read/section.js";
import { holeError } from "./holeerror.js";
import { FoundPiece } from "./piece.js";
import { deviceRun, emptyTable, MEMORY, Run, Runs, SPREAD } from "./runs.js";
import { type AccessTarget, type CopyPiece, FETCH, type Original, WRITE } from "./target.js";

/** What the hot path compares with a section's layout when it has seen none yet, or not what was found since. */
export const UNSEEN: object = {};

const REGION_BYTES = REGION_WORDS * 4;
/** A run ends at multiples of this: V8 keeps the number of a byte in it as a small integer. */
const RUN_BYTES_MAX = 2 ** 30;
/** Runs of earlier layouts, 64, are used again: banks come back, and a run's views cost more than its translation. */
const MADE_BITS = 6;
const MADE_SHIFT = 32 - MADE_BITS;
/** Smallest run of memory that is kept. */
const UNIT_BYTES_MAX = 16;

/**
 * The guest address of a byte, floored as translations do; what is no address at all is a hole.
 * @throws TypeError before anything happens
 */
export function toGpa(gpa: number): number {
  if (typeof gpa !== "number") throw new TypeError(`gpa must be a number, not ${show(gpa)}`);
  return Math.floor(gpa);
}

const accesses = /* @__PURE__ */ new WeakMap<object, GuestAccess>();

/** From now on `access` is that of a guest memory. */
export function setAccess(memory: object, access: GuestAccess): void {
  accesses.set(memory, access);
}

/** What a guest memory's functions work on. @throws TypeError if it is none */
export function accessOf(memory: object): GuestAccess {
  const access = typeof memory === "object" && memory !== null ? accesses.get(memory) : undefined;
  if (access === undefined) throw new TypeError(`memory must be a GuestMemory, not ${show(memory)}`);
  return access;
}

/** Accesses to one address space at a time, by one thread. */
export class GuestAccess {
  readonly section: Section;
  readonly target: AccessTarget;
  readonly reads: Runs;
  readonly writes: Runs;
  readonly fetches: Runs;
  /** By kind of access. */
  readonly #runs: readonly Runs[];
  /** That of all runs. */
  layout = UNKNOWN;
  /** `Section.stores` of the entries for stores. */
  stores = UNKNOWN.stores;
  /** The pinned layout is that of a section of our own. */
  opened = false;
  /** Called when runs that were found are forgotten: hot paths drop what they have seen of them, the layout too. */
  readonly onForget: (() => void)[] = [];
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
  #device = 0;
  #offset = 0;
  readonly #piece = new FoundPiece();
  /** Runs of memory of any layout, by `#madeEntry`. */
  readonly #made = emptyTable(MADE_BITS);
  readonly #fixedAsId: number | undefined;
  readonly #wasm: EngineExports;
  readonly #open: EngineExports["openAccess"];
  readonly #after: EngineExports["commitAfterLoads"];
  readonly #exit: EngineExports["exitSection"];
  readonly #thread: Thread;
  readonly #vcpu: number;
  #reader: number;
  #asId = 0;

  /** @param asId address space, if it is not that of the section */
  constructor(target: AccessTarget, asId?: number) {
    const { thread, vcpu } = target;
    const { wasm, pageShift } = thread;
    this.target = target;
    this.#thread = thread;
    this.#vcpu = vcpu;
    this.section = target.section;
    this.reads = new Runs(pageShift);
    this.writes = new Runs(pageShift);
    this.fetches = new Runs(pageShift);
    this.#runs = [this.reads, this.writes, this.fetches];
    this.#fixedAsId = asId;
    this.#pageBytes = 2 ** pageShift;
    this.#wasm = wasm;
    this.#open = wasm.openAccess;
    this.#after = wasm.commitAfterLoads;
    this.#exit = wasm.exitSection;
    this.#reader = vcpu;
  }

  /**
   * Before `find`: a pinned layout, of the vCPU's section or one of our own.
   * @returns true if it is that of the access before; @throws Error for a released vCPU
   */
  begin(): boolean {
    const { section } = this;
    const thread = this.#thread;
    const asId = this.#fixedAsId ?? section.asId;
    if (section.released) throw new Error("the vCPU of this guest memory is released");
    // Of a closed engine it is another object, which throws.
    if (thread.wasm !== this.#wasm) thread.wasm.exitSection(0);
    if (this.#vcpu === 0) this.#reader = thread.reader(asId);
    if (section.layout !== UNKNOWN) {
      this.opened = false;
      return this.#adopt(section.layout, asId);
    }
    const commit = this.#open(this.#reader);
    this.opened = commit >= 0;
    if (commit === this.layout.commit && asId === this.#asId) return true;
    if (commit < 0) armSection(section, layoutOf(section, -1 - commit, section.asId));
    return this.#adopt(commit < 0 ? section.layout : layoutOf(section, commit, asId), asId);
  }

  /** @param pinned what is pinned, as the section's address space sees it */
  #adopt(pinned: Layout, asId: number): boolean {
    const { section } = this;
    const layout = asId === section.asId ? pinned : layoutOf(section, pinned.commit, asId);
    this.#asId = asId;
    if (layout === this.layout && layout.stores === this.stores) return true;
    if (layout !== this.layout) {
      this.forget();
      this.layout = layout;
    } else {
      this.writes.clearTables();
      this.#forgotten();
    }
    this.stores = layout.stores;
    return false;
  }

  /** Forget all runs. */
  forget(): void {
    this.reads.clear();
    this.writes.clear();
    this.fetches.clear();
    this.#forgotten();
  }

  /**
   * Outside of sections, after loads from what was found: whether its layout is still the newest, so that they were
   * loads of it.
   */
  isNewest(): boolean {
    const { section } = this;
    if (section.released || this.#thread.wasm !== this.#wasm) return false;
    if ((this.#fixedAsId ?? section.asId) !== this.#asId) return false;
    return this.#after(this.#reader) === this.layout.commit;
  }

  #forgotten(): void {
    for (const drop of this.onForget) drop();
  }

  /** After the access and its dirty mark. */
  end(): void {
    if (this.opened) this.#exit(this.#reader);
    this.opened = false;
  }

  /** Generation of the pinned layout. */
  generation(): number {
    return this.#wasm.generation(this.#reader, this.#asId);
  }

  /**
   * The run of memory or of a device around `gpa`, a whole number, for READ, WRITE or FETCH; undefined: a hole, and
   * `kind` says why. Mirrors __gfn_to_hva_many.
   */
  find(gpa: number, kind: number): Run | undefined {
    const runs = this.#runs[kind]!;
    let run = runs.find(gpa);
    // A buffer that has moved or shrunk since leaves the run behind without its bytes.
    if (run === undefined || (run.device === MEMORY && gpa - run.gpa >= run.bytes.length)) {
      run = runs.search(gpa);
      if (run === undefined || (run.device === MEMORY && gpa - run.gpa >= run.bytes.length)) {
        run = this.#translate(gpa, kind);
        if (run === undefined) return undefined;
        // A striped mirror has too many runs to keep.
        if (run.size > UNIT_BYTES_MAX || run.device !== MEMORY) runs.add(run);
      }
      // Fetches keep their last run themselves.
      if (!run.watched && !(kind === WRITE && run.logged) && kind !== FETCH) runs.keep(gpa, run);
    }
    return run;
  }

  /** The run of memory around `gpa`; a device is a hole. */
  findMemory(gpa: number, kind: number): Run | undefined {
    const run = this.find(gpa, kind);
    if (run === undefined || run.device === MEMORY) return run;
    return this.missed("device", run.device, run.offset + (gpa - run.gpa));
  }

  /** As `findMemory`, for `bytes` bytes in one run: one that ends before may be what its buffer was before it grew. */
  findWhole(gpa: number, bytes: number, kind: number): Run | undefined {
    const run = this.findMemory(gpa, kind);
    if (run === undefined || gpa - run.gpa + bytes <= run.bytes.length) return run;
    const last = this.findMemory(gpa + bytes - 1, kind);
    if (last !== undefined && last.gpa <= gpa) return last;
    if (last !== undefined || this.kind !== "no-host") this.kind = "crosses";
    return undefined;
  }

  /**
   * Have the hot path find the logged page of `gpa` for stores: it is marked now, before the first one.
   * @returns false outside of the vCPU's section, and over a page border: mark the pages after the store then
   */
  keepLogged(gpa: number, bytes: number, run: Run): boolean {
    if (this.opened || this.#fixedAsId !== undefined || run.watched) return false;
    // The page that is marked again is that of the store.
    if (run.origin !== run.gpa || run.asId !== this.#asId) return false;
    if (run.marked) return true;
    const pageBytes = this.#pageBytes;
    const page = gpa - (gpa % pageBytes);
    if (gpa + bytes > page + pageBytes) return false;
    const from = Math.max(page, run.gpa) - run.gpa;
    const end = Math.min(page + pageBytes - run.gpa, run.bytes.length);
    const kept = new Run(
      run.gpa + from,
      end - from,
      run.bytes.subarray(from, end),
      true,
      MEMORY,
      run.offset + from,
    );
    kept.asId = run.asId;
    kept.marked = true;
    // In the page of a device its first byte is not this memory's.
    markStores(this.section, kept.gpa);
    this.writes.keep(gpa, kept);
    return true;
  }

  /**
   * Have the pages of [gpa, gpa + bytes) of a run marked until the vCPU's section ends: what is written after a harvest
   * is in the next one. @returns false where that is not possible
   */
  keepMarked(gpa: number, bytes: number, run: Run): boolean {
    if (!run.logged) return true;
    if (this.opened || run.origin !== run.gpa || run.asId !== this.#asId) return false;
    const pageBytes = this.#pageBytes;
    // In the page of a device its first byte is not this memory's.
    for (let page = gpa - (gpa % pageBytes); page < gpa + bytes; page += pageBytes)
      markStores(this.section, Math.max(page, run.gpa));
    return true;
  }

  /** The slot that maps `gpa` in the pinned layout, whatever backs it. Mirrors gfn_to_memslot. */
  slotAt(gpa: number): Slot | undefined {
    const { views } = this.#thread;
    if (this.#wasm.slotAt(this.#reader, this.#asId, gpa) === 0) return undefined;
    const batch = this.#wasm.batchOf(this.#reader) >>> 0;
    return getRegion(views.words(batch + REGION_BYTES), batch / 4);
  }

  /** Note why nothing was found. */
  missed(kind: GuestHoleKind, device = 0, offset = 0): undefined {
    this.kind = kind;
    this.#device = device;
    this.#offset = offset;
    return undefined;
  }

  #translate(gpa: number, kind: number): Run | undefined {
    const piece = this.#piece.find(this.#thread, this.#reader, this.#asId, gpa, kind);
    if (piece.kind !== "memory" && piece.kind !== "device") return this.missed(piece.kind);
    const { start: whole, distance, asId, logged } = piece;
    const block = gpa - (gpa % RUN_BYTES_MAX);
    piece.start = Math.max(piece.start, block);
    piece.end = Math.min(piece.end, block + RUN_BYTES_MAX);
    // Caches are not watched.
    const watches = this.#fixedAsId === undefined ? this.target.watches : undefined;
    const watched = watches?.cut(piece, gpa, kind, asId === this.#asId ? distance : 0) ?? false;
    const { start, end } = piece;
    const target = piece.target + (start - whole);
    if (piece.kind === "device") {
      const run = deviceRun(start, end - start, piece.device, target);
      return this.#seen(run, start + distance, asId, watched);
    }
    const entry = this.#madeEntry(start, target);
    const before = this.#made[entry]!;
    if (
      before.gpa === start &&
      before.offset === target &&
      before.bytes.length === end - start &&
      before.logged === logged &&
      before.origin === start + distance &&
      before.asId === asId &&
      before.watched === watched
    ) {
      return before;
    }
    const run = this.#backed(start, end - start, target, gpa, logged);
    if (run === undefined) return undefined;
    // One that ends with its buffer may be longer the next time.
    if (run.bytes.length === end - start) this.#made[entry] = run;
    return this.#seen(run, run.gpa + distance, asId, watched);
  }

  /** Note how a run came about. @returns the run */
  #seen(run: Run, origin: number, asId: number, watched: boolean): Run {
    run.origin = origin;
    run.asId = asId;
    run.watched = watched;
    return run;
  }

  /** Where the run of memory from guest address `start` on, at host address `hva`, is in `#made`. */
  #madeEntry(start: number, hva: number): number {
    const page = (hva / this.#pageBytes + (start / this.#pageBytes) * 3) >>> 0;
    return Math.imul(page, SPREAD) >>> MADE_SHIFT;
  }

  /** The part of guest bytes from `start` on, `size` at host address `hva`, that one buffer backs around `gpa`. */
  #backed(start: number, size: number, hva: number, gpa: number, logged: boolean): Run | undefined {
    const at = hva + (gpa - start);
    const found = this.target.host.around(at, hva, hva + size);
    if (at >= found.hva + found.bytes.length) return this.missed("no-host");
    return new Run(start + (found.hva - hva), found.bytes.length, found.bytes, logged, MEMORY, found.hva);
  }

  /** Bytes [gpa, gpa + bytes) of a logged run were written. Mirrors mark_page_dirty_in_slot. */
  mark(gpa: number, bytes: number, run: Run): void {
    const wasm = this.#wasm;
    const reader = this.#reader;
    const pageBytes = this.#pageBytes;
    const first = run.origin + (gpa - run.gpa);
    const last = first + bytes - 1;
    const { asId } = this.section;
    // The mark is in the address space of the line; a cache may have another one, and the original of a mirror.
    if (run.asId !== asId) wasm.setAddressSpace(reader, run.asId);
    for (let at = first; at <= last; at += pageBytes - (at % pageBytes)) wasm.markDirty(reader, at);
    if (run.asId !== asId) wasm.setAddressSpace(reader, asId);
  }

  /**
   * Call `copy` with the host bytes of [gpa, gpa + bytes), run by run, and mark what was written after each.
   * Between `begin` and `end`. With `tells`, watched bytes are noted.
   * @returns bytes done: less than `bytes` if there is a hole, whose `kind` then is set
   */
  transfer(gpa: number, bytes: number, kind: number, copy: CopyPiece, tells = true): number {
    let done = 0;
    while (done < bytes) {
      const from = gpa + done;
      const run = this.findMemory(from, kind);
      if (run === undefined) break;
      const at = from - run.gpa;
      const count = Math.min(bytes - done, run.bytes.length - at);
      copy(run, at, count, done);
      if (kind === WRITE && run.logged && (this.opened || !run.marked)) this.mark(from, count, run);
      if (tells && run.watched) this.note(from, count, kind, run, 0);
      done += count;
    }
    return done;
  }

  /** An access to a watched run was done. */
  note(gpa: number, bytes: number, kind: number, run: Run, value: number | bigint): void {
    this.target.watches!.note(gpa, bytes, kind, value, this.originals(gpa, bytes, run));
  }

  /** What a run shows at [gpa, gpa + bytes), if it is a mirror's. */
  originals(gpa: number, bytes: number, run: Run | undefined): Original[] {
    if (run === undefined || run.origin === run.gpa || run.asId !== this.#asId) return [];
    return [{ gpa: run.origin + (gpa - run.gpa), bytes }];
  }

  /** Call the handlers of watches, after `end`. */
  tell(): void {
    this.target.watches?.tell(this.section);
  }

  /** The access from `gpa` on met a hole, and no handler is asked. @throws KvmError EFAULT */
  refuse(op: string, gpa: number, bytes: number, at: number, write: boolean): never {
    const hole = { ...this.#hole, kind: this.kind, gpa, bytes, at, write, value: 0 };
    Object.assign(hole, { device: this.#device, offset: this.#offset });
    throw holeError(op, hole);
  }

  /**
   * Tell of a hole. The handler runs outside of all sections of the vCPU, as after KVM_EXIT_MMIO, and the section then
   * goes on with the newest layout.
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
    if (onHole === undefined) throw holeError(op, { ...hole });
    const open = suspendSection(this.section);
    try {
      return onHole(hole) ?? 0;
    } finally {
      resumeSection(this.section, open);
    }
  }
}
