/**
 * Windows of a commit: pages mapped before and after it and unmapped at some point in between.
 *
 * What is mapped is asked of the engine page by page, through its lookups. That is exact without asking every
 * page: a state of the map can change only at a border of a slot, so between two neighbouring borders of all
 * states of the commit a range is uniform, and its first and last page speak for it. That they agree is
 * checked, not assumed.
 *
 * A page that vanishes more than once in a commit is one page of one window, which lasts from the update that
 * unmapped it first to the update that mapped it last: that is the time in which no reader can rely on it.
 */
import { HVA_BAD, HVA_RO_BAD, KVM_MEM_READONLY } from "../uapi.js";

const PAGE_BYTES = 0x1000;

/**
 * The lookups of the engine (which also take an address space) or of a vCPU's read section (which has one).
 */
export interface Lookups {
  gpaToHva(gpa: number, asId?: number): number;
  gpaToHvaRead(gpa: number, asId?: number): number;
}

export interface Slot {
  readonly slot: number;
  readonly flags: number;
  readonly guestPhysAddr: number;
  readonly memorySize: number;
  readonly userspaceAddr: number;
}

/** Guest addresses [start, end) of one address space, in bytes. */
export interface GpaRange {
  readonly asId: number;
  readonly start: number;
  readonly end: number;
}

/** What one lookup per page would answer all over a range; hva is that of its first page. */
export interface Sight {
  readonly hva: number;
  readonly readonly: boolean;
}

export interface Window extends GpaRange {
  /**
   * Index of the observed state in which the range was missing first, counted from 0 = after the first
   * update.
   */
  readonly unmapped: number;
  /** Index of the observed state in which it was back for good. */
  readonly mapped: number;
  /** Same translation and same flags before and after: nothing was to change for this range. */
  readonly same: boolean;
  /** Host address of the first byte after the commit. */
  readonly hva: number;
}

/** The elementary ranges between all borders, ascending. `borders` are gpas of one address space. */
export function elementaryRanges(asId: number, borders: Iterable<number>): GpaRange[] {
  const sorted = [...new Set(borders)].sort((a, b) => a - b);
  return sorted.slice(1).map((end, index) => ({ asId, start: sorted[index] as number, end }));
}

/** Look at every range. @throws Error when a range turns out not to be uniform: then a border was missed. */
export function look(lookups: Lookups, ranges: readonly GpaRange[]): Sight[] {
  return ranges.map((range) => {
    const last = range.end - PAGE_BYTES;
    const hva = lookups.gpaToHvaRead(range.start, range.asId);
    const write = lookups.gpaToHva(range.start, range.asId);
    const lastHva = lookups.gpaToHvaRead(last, range.asId);
    const lastWrite = lookups.gpaToHva(last, range.asId);
    const mapped =
      lastHva === hva + (last - range.start) &&
      (write === hva ? lastWrite === lastHva : write === HVA_RO_BAD && lastWrite === HVA_RO_BAD);
    const unmapped = write === HVA_BAD && lastHva === HVA_BAD && lastWrite === HVA_BAD;
    if (hva === HVA_BAD ? !unmapped : !mapped) {
      const answers = `${hva}/${write} at its first page, ${lastHva}/${lastWrite} at its last`;
      throw new Error(`the engine's lookups disagree in ${rangeText(range)}: ${answers}`);
    }
    return { hva, readonly: write === HVA_RO_BAD };
  });
}

/**
 * Flags of the slot that covers each range, -1 where none does. A lookup tells READONLY but not
 * LOG_DIRTY_PAGES, which is a flag like the other when it comes to "the same before and after".
 * @throws Error when slots and lookups of one state contradict each other.
 */
export function flagsOf(
  slotsOf: (asId: number) => readonly Slot[],
  ranges: readonly GpaRange[],
  sights: readonly Sight[],
): number[] {
  const spaces = new Map<number, readonly Slot[]>();
  return ranges.map((range, index) => {
    const slots = spaces.get(range.asId) ?? slotsOf(range.asId);
    spaces.set(range.asId, slots);
    const slot = slots.find(
      (s) => s.guestPhysAddr <= range.start && range.end <= s.guestPhysAddr + s.memorySize,
    );
    const hva = slot === undefined ? HVA_BAD : slot.userspaceAddr + (range.start - slot.guestPhysAddr);
    const readonly = slot !== undefined && (slot.flags & KVM_MEM_READONLY) !== 0;
    const sight = sights[index] as Sight;
    if (hva !== sight.hva || readonly !== sight.readonly) {
      throw new Error(`slots and lookups of the engine disagree in ${rangeText(range)}`);
    }
    return slot?.flags ?? -1;
  });
}

/** A state of the map at the start or the end of a commit. */
export interface View {
  readonly sights: readonly Sight[];
  readonly flags: readonly number[];
}

/**
 * The windows of one commit, ascending. `between` holds what was seen after each update, or whenever somebody
 * looked; the last of them is the state that `after` describes.
 */
export function findWindows(
  ranges: readonly GpaRange[],
  before: View,
  between: readonly (readonly Sight[])[],
  after: View,
): Window[] {
  const windows: Window[] = [];
  ranges.forEach((range, r) => {
    const old = before.sights[r] as Sight;
    const now = after.sights[r] as Sight;
    if (old.hva === HVA_BAD || now.hva === HVA_BAD) return;
    const missing = between.map((sights) => (sights[r] as Sight).hva === HVA_BAD);
    const unmapped = missing.indexOf(true);
    if (unmapped === -1) return;
    const mapped = missing.lastIndexOf(true) + 1;
    const same = old.hva === now.hva && before.flags[r] === after.flags[r];
    const last = windows.at(-1);
    const prolongs =
      last !== undefined &&
      last.asId === range.asId &&
      last.end === range.start &&
      last.unmapped === unmapped &&
      last.mapped === mapped &&
      continues(ranges, before, r) &&
      continues(ranges, after, r);
    if (prolongs) windows[windows.length - 1] = { ...last, end: range.end };
    else windows.push({ ...range, unmapped, mapped, same, hva: now.hva });
  });
  return windows;
}

export function windowPages(windows: readonly GpaRange[]): number {
  return windows.reduce((pages, { start, end }) => pages + (end - start) / PAGE_BYTES, 0);
}

export function rangeText({ start, end }: GpaRange): string {
  return `[0x${start.toString(16)}, 0x${end.toString(16)})`;
}

/** Does range r continue the translation of range r - 1, with the same flags? */
function continues(ranges: readonly GpaRange[], view: View, r: number): boolean {
  const previous = ranges[r - 1] as GpaRange;
  const hva = (view.sights[r - 1] as Sight).hva + (previous.end - previous.start);
  return hva === (view.sights[r] as Sight).hva && view.flags[r] === view.flags[r - 1];
}
