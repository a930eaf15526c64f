/**
 * A page table for accessors that an emulator writes itself: for each page its host address, or the number of what
 * answers instead. It is what KVM keeps below its slots, the nested page table (EPT, NPT): filled page by page at the
 * first access, in the layout of the vCPU's section, and emptied when that moves on to another layout.
 *
 *   access -> entry of its page > 0   all of the page is host memory
 *                               < 0   -> answers[-entry], which the emulator has made of the page's parts
 *                               = 0   -> answers[0], which calls `fill` and accesses again
 *
 * Invariants
 *  - All entries are of one layout, that of the section which is open, or was the last: Section tells when it moves.
 *  - A page of a logged slot has an entry for stores only while it is marked dirty; the section marks it again when a
 *    harvest has come in between, as it does for guestMemory.
 */
import type { EngineExports } from "../core/exports.js";
import { type Engine, type Thread, threadOf } from "../core/thread.js";
import { checkFunction, checkOptionNames, show } from "../kvm/arguments.js";
import type { GuestHoleKind } from "../kvm/errordetails.js";
import {
  armSection,
  type Entries,
  layoutOf,
  markStores,
  type Section,
  sectionOf,
  UNKNOWN,
} from "../read/section.js";
import type { Vcpu } from "../read/vcpu.js";
import { FoundPiece } from "./piece.js";
import { FETCH, READ, WRITE } from "./target.js";

/** A table of so many entries has 16 MiB. */
const ENTRIES_MAX = 2 ** 22;
/** Host addresses of entries are below this: an entry is a signed integer of 32 bits. */
const HVA_END = 2 ** 31;
/** Pages around a filled one that are filled with it, as by the kernel's do_fault_around; a power of two. */
const AROUND = 16;

const KINDS = { read: READ, write: WRITE, fetch: FETCH } as const;

/** A part of a page: guest bytes to which one thing responds alike. */
export interface PagePart {
  /** First guest address. */
  readonly gpa: number;
  /** Size, from 1 to that of a page. */
  readonly bytes: number;
  /** What responds: memory, a device, or nothing, and why. */
  readonly kind: "memory" | GuestHoleKind;
  /** Host address of the first byte of memory; -1 without. */
  readonly hva: number;
  /** Number of the device; -1 without. */
  readonly device: number;
  /** The byte of its registers at `gpa`; 0 without. */
  readonly offset: number;
}

/** Options of `guestPageTable`. */
export interface PageTableOptions<Answer> {
  /** The vCPU whose layout and address space the table shows. Begin and end its sections by its own functions. */
  readonly vcpu: Vcpu;
  /** The accesses that the table is for: READONLY slots and KVM_MEMORY_ATTRIBUTE_* bits distinguish them. */
  readonly access: "read" | "write" | "fetch";
  /** `answers[0]`, for pages that are not looked up: has to call `fill` and access again. */
  readonly unknown: Answer;
  /**
   * Called once for each page that is not all memory, or has memory at host addresses that an entry cannot hold.
   * @param parts of the page, ascending, without gaps
   * @param gpa first guest address of the page
   */
  readonly answerOf: (parts: readonly PagePart[], gpa: number) => Answer;
}

/**
 * Where the pages of a vCPU's guest are, for one kind of access. Entries hold in a section of the vCPU, until a handler
 * leaves it; accessors look at `entries` and `answers` anew in each access.
 */
export class GuestPageTable<Answer> {
  /**
   * By page number, for guest addresses of up to 32 bits; only `fill` writes here. An entry above 0 is 1 + the host
   * address of the page's first byte, a multiple of the page's size: byte `gpa` is at `(entry - 1) | (gpa & mask)`. One
   * below 0 is minus an index of `answers`. Take it by `0 - entry`: `-entry` would be -0 for 0, which V8 keeps as a
   * float.
   */
  readonly entries: Int32Array;
  /** By number: `unknown`, and what `answerOf` has returned since the layout changed. */
  readonly answers: Answer[];
  readonly #thread: Thread;
  readonly #wasm: EngineExports;
  readonly #section: Section;
  readonly #reader: number;
  readonly #access: number;
  readonly #answerOf: PageTableOptions<Answer>["answerOf"];
  readonly #pageShift: number;
  readonly #pageBytes: number;
  readonly #piece = new FoundPiece();
  /** Pages that were filled alone, and first pages of AROUND that were filled together. */
  readonly #alone: number[] = [];
  readonly #together: number[] = [];

  /** @internal */
  constructor(thread: Thread, section: Section, options: PageTableOptions<Answer>) {
    this.entries = new Int32Array(2 ** (thread.maxPhysAddrBits - thread.pageShift));
    this.answers = [options.unknown];
    this.#thread = thread;
    this.#wasm = thread.wasm;
    this.#section = section;
    this.#reader = options.vcpu.reader;
    this.#access = KINDS[options.access];
    this.#answerOf = options.answerOf;
    this.#pageShift = thread.pageShift;
    this.#pageBytes = 2 ** thread.pageShift;
    const entries: Entries = {
      flush: () => this.#flush(),
      flushStores: () => {
        if (this.#access === WRITE) this.#flush();
      },
    };
    section.tables = [...section.tables, entries];
  }

  /**
   * Look a page up, in a section of the vCPU. A page of a logged slot is marked dirty before it gets an entry for
   * stores. Mirrors kvm_mmu_page_fault.
   * @param gpa any guest address in the page, an integer of 32 bits of either sign
   * @throws TypeError for no number; RangeError for another one; Error outside of a section, and for a released vCPU
   */
  fill(gpa: number): void {
    if (typeof gpa !== "number") throw new TypeError(`gpa must be a number, not ${show(gpa)}`);
    const page = (gpa >>> 0) >>> this.#pageShift;
    if ((gpa !== gpa >>> 0 && gpa !== (gpa | 0)) || page >= this.entries.length) {
      const bits = this.#thread.maxPhysAddrBits;
      throw new RangeError(`gpa must be an integer of ${bits} bits, not ${show(gpa)}`);
    }
    const commit = this.#pinned();
    if (this.entries[page] !== 0) return;
    this.#section.shown = commit;
    const pageBytes = this.#pageBytes;
    const start = page * pageBytes;
    const piece = this.#find(start);
    const hva = piece.target + (start - piece.start);
    const isPlain =
      piece.kind === "memory" &&
      piece.end - start >= pageBytes &&
      hva <= HVA_END - pageBytes &&
      (hva & (pageBytes - 1)) === 0;
    if (!isPlain) {
      const answer = this.#answerOf(this.#partsOf(start), start);
      // Made in another layout than the section has by now, it is of no use.
      if (this.#section.shown !== commit) return;
      this.entries[page] = 1 - this.answers.push(answer);
      this.#alone.push(page);
    } else if (this.#access === WRITE && piece.logged) {
      this.#mark(piece, start, pageBytes);
      this.entries[page] = hva + 1;
      this.#alone.push(page);
    } else {
      this.#fillAround(page, hva, piece);
    }
  }

  /** The publication that the section of the vCPU has pinned. */
  #pinned(): number {
    // Of a closed engine it is another object, which throws.
    if (this.#thread.wasm !== this.#wasm) this.#thread.wasm.exitSection(0);
    if (this.#section.released) throw new Error("the vCPU of this page table is released");
    const commit = this.#wasm.openAccess(this.#reader);
    if (commit < 0) return -1 - commit;
    this.#wasm.exitSection(this.#reader);
    throw new Error("a page table is filled in a section of its vCPU: call vcpu.enter() before");
  }

  #find(gpa: number): FoundPiece {
    return this.#piece.find(this.#thread, this.#reader, this.#section.asId, gpa, this.#access);
  }

  /** The page at `hva` and its neighbours of the same piece, which lie beside it in host memory. */
  #fillAround(page: number, hva: number, { start, end }: FoundPiece): void {
    const { entries } = this;
    const pageBytes = this.#pageBytes;
    const block = page - (page % AROUND);
    let first = block;
    let last = Math.min(block + AROUND, entries.length);
    while (first * pageBytes < start) first++;
    while (last * pageBytes > end || hva + (last - page) * pageBytes > HVA_END) last--;
    let entry = hva + (first - page) * pageBytes + 1;
    for (let i = first; i < last; i++, entry += pageBytes) entries[i] = entry;
    this.#together.push(block);
  }

  #partsOf(start: number): PagePart[] {
    const parts: PagePart[] = [];
    const pageEnd = start + this.#pageBytes;
    for (let gpa = start; gpa < pageEnd; ) {
      const piece = this.#find(gpa);
      const { kind } = piece;
      const bytes = Math.min(piece.end, pageEnd) - gpa;
      const target = piece.target + (gpa - piece.start);
      if (kind === "memory" && this.#access === WRITE && piece.logged) this.#mark(piece, gpa, bytes);
      parts.push({
        ...{ gpa, bytes, kind, hva: kind === "memory" ? target : -1 },
        ...(kind === "device" ? { device: piece.device, offset: target } : { device: -1, offset: 0 }),
      });
      gpa += bytes;
    }
    return parts;
  }

  /**
   * Mark bytes of a piece that are in one page: those that a mirror shows may be in two. The section settles the marks
   * when it ends.
   */
  #mark({ distance }: FoundPiece, gpa: number, bytes: number): void {
    const section = this.#section;
    if (section.layout === UNKNOWN) armSection(section, layoutOf(section, section.shown, section.asId));
    const last = gpa + bytes - 1;
    markStores(section, gpa);
    if (this.#pageAt(gpa + distance) !== this.#pageAt(last + distance)) markStores(section, last);
  }

  #pageAt(gpa: number): number {
    return Math.floor(gpa / this.#pageBytes);
  }

  /** By taking one after the other: V8 sets the length of an array in a call of its own. */
  #flush(): void {
    const { entries, answers } = this;
    const alone = this.#alone;
    const together = this.#together;
    while (alone.length > 0) entries[alone.pop()!] = 0;
    while (together.length > 0) {
      const block = together.pop()!;
      const end = Math.min(block + AROUND, entries.length);
      for (let page = block; page < end; page++) entries[page] = 0;
    }
    while (answers.length > 1) answers.pop();
  }
}

/**
 * A page table for accessors of your own, where the engine's guest addresses have at most 32 bits and its host memory
 * is one buffer. An access that finds an entry costs one load more than flat memory; `guestMemory` does all that
 * accessors have to do themselves here, and any number of buffers. The table lives as long as its vCPU.
 * @throws TypeError naming the option; RangeError for an engine with `maxPhysAddrBits` above 32, or with more than
 *   4,194,304 pages
 *
 * @example
 * const table = guestPageTable<(gpa: number) => number>(engine, {
 *   vcpu,
 *   access: "read",
 *   unknown: (gpa) => (table.fill(gpa), load(gpa)),
 *   answerOf: () => () => 0xff,
 * });
 * const load = (gpa: number) => {
 *   const entry = table.entries[gpa >>> 12]!;
 *   return entry > 0 ? ram[(entry - 1) | (gpa & 4095)]! : table.answers[0 - entry]!(gpa);
 * };
 */
export function guestPageTable<Answer>(
  engine: Engine,
  options: PageTableOptions<Answer>,
): GuestPageTable<Answer> {
  const thread = threadOf(engine);
  checkOptionNames<PageTableOptions<Answer>>(options, {
    vcpu: true,
    access: true,
    unknown: true,
    answerOf: true,
  });
  const { vcpu, access, answerOf } = options;
  checkFunction(answerOf, "answerOf");
  if (!Object.hasOwn(KINDS, access)) {
    throw new TypeError(`access must be "read", "write" or "fetch", not ${show(access)}`);
  }
  const { maxPhysAddrBits: bits, pageShift } = thread;
  if (bits > 32) throw new RangeError(`maxPhysAddrBits of the engine must be at most 32, not ${bits}`);
  const pages = 2 ** (bits - pageShift);
  if (pages > ENTRIES_MAX)
    throw new RangeError(`the engine must have at most ${ENTRIES_MAX} pages, not ${pages}`);
  const section = sectionOf(vcpu, thread.wasm);
  if (section === undefined) throw new TypeError(`vcpu must be a vCPU of this engine, not ${show(vcpu)}`);
  return new GuestPageTable(thread, section, options);
}
