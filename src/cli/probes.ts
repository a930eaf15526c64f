/**
 * Where vCPUs look while a commit is made: guest ranges that are mapped before and after it. To find one of
 * them unmapped is to have run into a hole that nobody asked for.
 */
import type { EngineHandle } from "../engine.js";
import { asIdOf } from "./commits.js";
import { elementaryRanges, type GpaRange, type Slot } from "./windows.js";

const PAGE_BYTES = 0x1000;
/** Numbers of an encoded probe. */
const FIELDS = 5;

export interface Probe extends GpaRange {
  /** Host address of the first byte before the commit, and after it. */
  readonly before: number;
  readonly after: number;
}

/** The probes of all commits as they are posted to workers: those of commit c start at number firsts[c]. */
export interface EncodedProbes {
  readonly fields: Float64Array;
  readonly firsts: Uint32Array;
}

/** What a worker is to do; the step of the writer's Progress is the commit whose probes it looks up. */
export interface ProbeTask {
  readonly handle: EngineHandle;
  readonly probes: EncodedProbes;
  /** Lookups of a section. */
  readonly sectionLookups: number;
}

/** Lookups made by vCPUs, and those of them that found nothing where something had to be. */
export interface ProbeCount {
  readonly accesses: number;
  readonly misses: number;
}

/**
 * The probes of a commit: its windows as far as there are any, because that is where a hole is known to be,
 * and otherwise all that stays mapped.
 */
export function probesOf(
  before: readonly Slot[],
  after: readonly Slot[],
  windows: readonly GpaRange[],
): Probe[] {
  const kept = keptRanges(before, after);
  const vanishing = kept.filter((range) => windows.some((window) => holds(window, range)));
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

function holds(window: GpaRange, range: GpaRange): boolean {
  return window.asId === range.asId && window.start <= range.start && range.end <= window.end;
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

/** Put a page of a commit's probes into `page`, by a random word. False if the commit has none. */
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
