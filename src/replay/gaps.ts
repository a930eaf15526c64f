/**
 * Gap: a range that is mapped before and after a commit and unmapped at some point in between.
 *
 * The map is observed through the engine's lookups, at the first and the last page of each elementary range. That is
 * exact: the map changes only at borders of slots, so a range between two neighbouring borders of all states of the
 * commit is uniform. `look` checks that both pages agree.
 *
 * A page that vanishes more than once in a commit counts once. Its gap lasts from the update that unmapped it first to
 * the update that mapped it last: no reader can rely on the page in that time.
 */
import { HVA_BAD, HVA_RO_BAD, KVM_MEM_READONLY } from "../kvm/uapi.js";

const PAGE_BYTES = 0x1000;

/** The lookups of an engine, which take an address space, or of a vCPU in a section, which has one. */
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
  /** With KVM_MEM_GUEST_MEMFD: its descriptor. */
  readonly guestMemfd?: number;
  /** Likewise: bytes from its start. */
  readonly guestMemfdOffset?: number;
}

/** Guest addresses [start, end) of one address space, in bytes. */
export interface GpaRange {
  readonly asId: number;
  readonly start: number;
  readonly end: number;
}

/** The result of lookups in a uniform range; `hva` is that of its first byte. */
export interface Sight {
  readonly hva: number;
  readonly readonly: boolean;
}

export interface Gap extends GpaRange {
  /** Index of the first observed state in which the range is unmapped; 0 is the state after the first update. */
  readonly unmapped: number;
  /** Index of the observed state from which on it is mapped again. */
  readonly mapped: number;
  /** Same translation and same flags before and after: the commit does not change this range. */
  readonly same: boolean;
  /** Host address of the first byte after the commit. */
  readonly hva: number;
}

/** The elementary ranges between all borders, ascending. `borders` are gpas of one address space. */
export function elementaryRanges(asId: number, borders: Iterable<number>): GpaRange[] {
  const sorted = [...new Set(borders)].sort((a, b) => a - b);
  return sorted.slice(1).map((end, index) => ({ asId, start: sorted[index] as number, end }));
}

/** Observe every range. @throws Error if a range is not uniform, because a border is missing */
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
 * Flags of the slot that covers each range, -1 where none does. A lookup shows READONLY but not LOG_DIRTY_PAGES, and
 * both decide whether a range is the same before and after.
 * @throws Error if slots and lookups of one state contradict each other
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
 * The gaps of one commit, ascending. `between` has the states observed meanwhile; the last of them is the state of
 * `after`.
 */
export function findGaps(
  ranges: readonly GpaRange[],
  before: View,
  between: readonly (readonly Sight[])[],
  after: View,
): Gap[] {
  const gaps: Gap[] = [];
  ranges.forEach((range, r) => {
    const old = before.sights[r] as Sight;
    const now = after.sights[r] as Sight;
    if (old.hva === HVA_BAD || now.hva === HVA_BAD) return;
    const missing = between.map((sights) => (sights[r] as Sight).hva === HVA_BAD);
    const unmapped = missing.indexOf(true);
    if (unmapped === -1) return;
    const mapped = missing.lastIndexOf(true) + 1;
    const same = old.hva === now.hva && before.flags[r] === after.flags[r];
    const last = gaps.at(-1);
    const prolongs =
      last !== undefined &&
      last.asId === range.asId &&
      last.end === range.start &&
      last.unmapped === unmapped &&
      last.mapped === mapped &&
      continues(ranges, before, r) &&
      continues(ranges, after, r);
    if (prolongs) gaps[gaps.length - 1] = { ...last, end: range.end };
    else gaps.push({ ...range, unmapped, mapped, same, hva: now.hva });
  });
  return gaps;
}

export function gapPages(gaps: readonly GpaRange[]): number {
  return gaps.reduce((pages, { start, end }) => pages + (end - start) / PAGE_BYTES, 0);
}

export function rangeText({ start, end }: GpaRange): string {
  return `[0x${start.toString(16)}, 0x${end.toString(16)})`;
}

/** Whether range r continues the translation of range r - 1, with the same flags. */
function continues(ranges: readonly GpaRange[], view: View, r: number): boolean {
  const previous = ranges[r - 1] as GpaRange;
  const hva = (view.sights[r - 1] as Sight).hva + (previous.end - previous.start);
  return hva === (view.sights[r] as Sight).hva && view.flags[r] === view.flags[r - 1];
}
