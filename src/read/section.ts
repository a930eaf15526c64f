/**
 * The read section of a vCPU, as JavaScript sees it: which layout it has pinned, and which entries for it may be used.
 * A section from which nothing is derived in JavaScript costs nothing here.
 *
 * Whoever keeps entries compares two objects, and is called by nobody: `layout` with that of his loads, `stores` with
 * that of his stores. So a guestMemory more costs the others nothing. Only who keeps entries for accessors that compare
 * nothing, a page table, is called when they end.
 */
import type { EngineExports } from "../core/exports.js";
import { DEPTH_BITS } from "../core/layout.js";

/** Of what suspendSection returns: vcpu.enter has begun the section. */
const BY_VCPU = 2 ** DEPTH_BITS;

/** Nothing is marked; most layouts end without a mark, and a set takes longer to make than all the rest of them. */
const NONE: Set<number> = /* @__PURE__ */ new Set();

/** A layout as one address space sees it; the same object as long as it is the same layout. */
export class Layout {
  /** Number of the publication. */
  readonly commit: number;
  /** Another object when the entries for stores to logged pages must be made anew. */
  stores: object = this;
  /** Pages of logged slots, by guest address, that are marked dirty and have entries for stores. */
  marked: Set<number> = NONE;
  /** The dirty epoch before the first of them was marked. */
  epoch = 0;

  constructor(commit: number) {
    this.commit = commit;
  }
}

/** `Section.layout` outside of sections, and in one whose layout nobody has asked for yet. */
export const UNKNOWN: Layout = /* @__PURE__ */ new Layout(Number.NaN);

/** What is called when entries end. */
export interface Entries {
  /** All of them: the layout or the address space is another one. */
  flush(): void;
  /** Those for stores to logged pages. */
  flushStores(): void;
}

/** `Section.tables` until there is one. */
export const NO_TABLES: readonly Entries[] = /* @__PURE__ */ [];

/** The reader line of a section, and the instance of the core that it was claimed with. */
export interface SectionLine {
  readonly wasm: EngineExports;
  readonly reader: number;
}

/**
 * What a vCPU does with its section. What guestMemory does are the functions below, so that only programs with a
 * guestMemory load them.
 */
export class Section {
  asId: number;
  layout = UNKNOWN;
  stores = UNKNOWN.stores;
  /** Something was derived from the layout since the section began, or moved on to another layout. */
  derived = false;
  /** The vCPU has given its reader line back; another vCPU may have the line by now. */
  released = false;
  /**
   * The layout of the last section in which something was derived; a section that begins with it is armed at once.
   * Undefined until then.
   */
  recent: Layout | undefined = undefined;
  /** Newest known layout by address space. */
  readonly known: Layout[] = [];
  /** Page tables of the vCPU. */
  tables = NO_TABLES;
  /** Number of the publication that their entries are of, if they have some; NaN when it is not known. */
  shown = Number.NaN;
  readonly line: SectionLine | undefined;

  /** @param line of the vCPU; a section without one is that of single accesses, and nothing is kept in it */
  constructor(asId: number, line?: SectionLine) {
    this.asId = asId;
    this.line = line;
  }

  /** While the layout is still pinned: a harvest may have come before a store by an entry, so mark its page again. */
  settle(): void {
    const { layout } = this;
    if (layout.marked.size === 0 || epochOf(this) === layout.epoch) return;
    for (const gpa of layout.marked) mark(this, gpa);
    unmark(this, layout);
    this.stores = layout.stores;
  }

  /** A section shows publication `commit`: entries of another one are dropped. */
  show(commit: number): void {
    if (commit === this.shown) return;
    this.flush();
    this.shown = commit;
  }

  /** Drop the entries of page tables. */
  flush(): void {
    this.shown = Number.NaN;
    for (const table of this.tables) table.flush();
  }

  /** The section is over, or goes on with another layout or address space. */
  forget(): void {
    this.derived = false;
    this.layout = UNKNOWN;
    this.stores = UNKNOWN.stores;
  }

  /** Before the section ends, or goes on with another layout or address space. */
  leave(): void {
    this.settle();
    this.forget();
  }
}

/** The layout of publication `commit` in an address space. */
export function layoutOf({ known }: Section, commit: number, asId: number): Layout {
  const newest = known[asId];
  if (newest !== undefined && newest.commit === commit) return newest;
  const layout = new Layout(commit);
  known[asId] = layout;
  return layout;
}

/** In the vCPU's section, whose layout is this: entries for it may be used until `leave`. */
export function armSection(section: Section, layout: Layout): void {
  // Nothing was written since the last section ended, so entries that a harvest has overtaken are dropped unmarked.
  if (layout.marked.size > 0 && epochOf(section) !== layout.epoch) unmark(section, layout);
  section.layout = layout;
  section.stores = layout.stores;
  section.derived = true;
  section.recent = layout;
}

/** An entry for stores to the logged page at `gpa` is made: it is dirty from now on until the next harvest. */
export function markStores(section: Section, gpa: number): void {
  const { layout } = section;
  if (layout.marked === NONE) layout.marked = new Set();
  const { marked } = layout;
  if (marked.has(gpa)) return;
  // Read the epoch before the mark: a harvest that takes the mark moves the epoch afterwards, and settle sees that.
  if (marked.size === 0) layout.epoch = keepMarks(section);
  mark(section, gpa);
  marked.add(gpa);
}

/** Leave the section with all its nestings, for a handler. @returns what `resumeSection` takes */
export function suspendSection(section: Section): number {
  const { line } = section;
  if (line === undefined) return 0;
  if (section.derived) section.leave();
  return line.wasm.suspendSection(line.reader);
}

/** Go on with the section at the newest layout, as deep as it was. */
export function resumeSection(section: Section, open: number): void {
  const { line } = section;
  if (open === 0 || line === undefined || section.released) return;
  if (section.derived) section.leave();
  const commit = line.wasm.resumeSection(line.reader, open);
  if ((open & BY_VCPU) === 0) return;
  section.show(commit);
  armSection(section, layoutOf(section, commit, section.asId));
}

function epochOf({ line }: Section): number {
  return line === undefined ? 0 : line.wasm.dirtyEpochOf(line.reader);
}

/** The same before the first mark: who reaps this thread knows that the marks are to be set again. */
function keepMarks({ line }: Section): number {
  return line === undefined ? 0 : line.wasm.keepMarks(line.reader);
}

function mark({ line }: Section, gpa: number): void {
  line?.wasm.markDirty(line.reader, gpa);
}

/** The next store to each logged page marks it again. */
function unmark({ tables }: Section, layout: Layout): void {
  layout.marked.clear();
  layout.stores = {};
  for (const table of tables) table.flushStores();
}

const sections = /* @__PURE__ */ new WeakMap<object, Section>();

/** From now on `section` is that of `vcpu`. */
export function setSection(vcpu: object, section: Section): void {
  sections.set(vcpu, section);
}

/** The section of a vCPU that was made on `wasm`; undefined if it is none of those. */
export function sectionOf(vcpu: object, wasm: EngineExports): Section | undefined {
  const section = sections.get(vcpu);
  return section?.line?.wasm === wasm ? section : undefined;
}
