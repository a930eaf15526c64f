/**
 * Probe: a guest range that is mapped before and after a commit. vCPUs look up pages of probes while the commit is
 * made; a lookup that finds such a page unmapped is a miss.
 */
import type { EngineHandle } from "../runtime/handle.js";
import { asIdOf } from "./commits.js";
import { elementaryRanges, type GpaRange, type Slot } from "./gaps.js";

const PAGE_BYTES = 0x1000;
/** Numbers of an encoded probe. */
const FIELDS = 5;

export interface Probe extends GpaRange {
  /** Host address of the first byte before the commit, and after it. */
  readonly before: number;
  readonly after: number;
}

/** The probes of all commits, for posting to workers: those of commit c start at number firsts[c]. */
export interface EncodedProbes {
  readonly fields: Float64Array;
  readonly firsts: Uint32Array;
}

/** The task of a worker: look up the probes of the commit that is the step of the writer's Progress. */
export interface ProbeTask {
  readonly handle: EngineHandle;
  readonly probes: EncodedProbes;
  /** Lookups of a section. */
  readonly sectionLookups: number;
}

/** Number of lookups by vCPUs, and of those that were misses. */
export interface ProbeCount {
  readonly accesses: number;
  readonly misses: number;
}

/**
 * The probes of a commit: its gaps, or if there are none, all ranges that stay mapped.
 */
export function probesOf(
  before: readonly Slot[],
  after: readonly Slot[],
  gaps: readonly GpaRange[],
): Probe[] {
  const kept = keptRanges(before, after);
  const vanishing = kept.filter((range) => gaps.some((gap) => holds(gap, range)));
  return vanishing.length > 0 ? vanishing : kept;
}

/** The elementary ranges that are mapped in both layouts. */
function keptRanges(before: readonly Slot[], after: readonly Slot[]): Probe[] {
  const asIds = new Set([...before, ...after].map(({ slot }) => asIdOf(slot)));
  return [...asIds].flatMap((asId) => {
    const [old, now] = [before, after].map((slots) => slots.filter(({ slot }) => asIdOf(slot) === asId));
    const borders = [...old!, ...now!].flatMap((s) => [s.guestPhysAddr, s.guestPhysAddr + s.memorySize]);
    return elementaryRanges(asId, borders).flatMap((range) => {
      const probe = { ...range, before: hostOf(old!, range), after: hostOf(now!, range) };
      return probe.before >= 0 && probe.after >= 0 ? [probe] : [];
    });
  });
}

function holds(gap: GpaRange, range: GpaRange): boolean {
  return gap.asId === range.asId && gap.start <= range.start && range.end <= gap.end;
}

function hostOf(slots: readonly Slot[], { start, end }: GpaRange): number {
  const slot = slots.find((s) => s.guestPhysAddr <= start && end <= s.guestPhysAddr + s.memorySize);
  return slot === undefined ? -1 : slot.userspaceAddr + (start - slot.guestPhysAddr);
}

export function encodeProbes(commits: readonly (readonly Probe[])[]): EncodedProbes {
  const firsts = [0];
  for (const probes of commits) firsts.push(firsts.at(-1)! + probes.length);
  const fields = commits
    .flat()
    .flatMap(({ asId, start, end, before, after }) => [
      asId,
      start,
      (end - start) / PAGE_BYTES,
      before,
      after,
    ]);
  return { fields: Float64Array.from(fields), firsts: Uint32Array.from(firsts) };
}

/** A page to look up, and the two host addresses that it may have. */
export interface ProbePage {
  asId: number;
  gpa: number;
  before: number;
  after: number;
}

/** Choose a page of a commit's probes by a random word, and store it in `page`. False if the commit has none. */
export function choosePage(probes: EncodedProbes, commit: number, random: number, page: ProbePage): boolean {
  const { fields, firsts } = probes;
  const first = firsts[commit]!;
  const count = firsts[commit + 1]! - first;
  if (count === 0) return false;
  const at = (first + (random % count)) * FIELDS;
  const offset = (Math.floor(random / count) % fields[at + 2]!) * PAGE_BYTES;
  page.asId = fields[at]!;
  page.gpa = fields[at + 1]! + offset;
  page.before = fields[at + 3]! + offset;
  page.after = fields[at + 4]! + offset;
  return true;
}
