/**
 * Replay: a recorded boot applied to two engines with KVM's number of slots, update by update to one and commit by
 * commit as lists to the other. The first shows the gaps of today's ioctl, the second those of atomic lists. With a
 * crew of vCPUs each way is repeated while they look up pages.
 */
import { Worker } from "node:worker_threads";
import { InputError } from "../trace/jsonl.js";
import type { Trace } from "../trace/trace.js";
import { AsLists, asIdOf, type CommitGap, OneByOne } from "./commits.js";
import { Crew } from "./crew.js";
import type { ProbeCount } from "./probes.js";
import { type ProgressSteps, probeBoot } from "./probing.js";
import type { SharedEngine } from "./watchedboot.js";

const ADDRESS_SPACES_MAX = 4;
/** KVM_CAP_NR_MEMSLOTS of x86, as the recorded VMM had it. */
const KVM_USER_MEM_SLOTS = 32764;

/** Looks at a range that a replay may take: some seconds. The recorded boots take 0.1 % of it. */
const LOOKS_MAX = 2 ** 23;

/** Class MemslotEngine, passed in so that the bundle has it once and a test can pass another. */
export interface EngineClass {
  create(options: {
    addressSpaces: number;
    maxSlots: number;
    maxVcpus: number;
    maxListEntries: number;
    pageShift: number;
    maxPhysAddrBits: number;
  }): Promise<SharedEngine>;
}

/** Result of one way of applying the commits. */
export interface Outcome {
  readonly publications: number;
  readonly gaps: readonly CommitGap[];
  /** Lookups and misses of vCPUs of other threads. */
  readonly probed?: ProbeCount;
}

export interface Replay {
  readonly trace: Trace;
  readonly oneByOne: Outcome;
  readonly list: Outcome;
}

/** Replay a trace, and with a crew probe it. @throws InputError with the line of a refused update */
export async function replayTrace(
  trace: Trace,
  engineClass: EngineClass,
  crew?: Crew,
  bar?: ProgressSteps,
): Promise<Replay> {
  const addressSpaces = addressSpacesOf(trace);
  checkLooks(trace);
  const options = {
    addressSpaces,
    maxSlots: KVM_USER_MEM_SLOTS,
    maxVcpus: Math.max(addressSpaces, crew?.size ?? 0),
    maxListEntries: trace.commits.reduce((most, { updates }) => Math.max(most, updates.length), 1),
    pageShift: 12,
    maxPhysAddrBits: 52,
  };
  const newEngine = () => engineClass.create(options);
  const engines = [await newEngine(), await newEngine()] as const;
  try {
    const oneByOne = new OneByOne(trace.file, engines[0], addressSpaces);
    const list = new AsLists(trace.file, engines[1], addressSpaces);
    bar?.begin(trace.commits.length, "commits", trace.machine);
    for (const commit of trace.commits) {
      oneByOne.apply(commit);
      list.apply(commit);
      if (JSON.stringify(oneByOne.slots()) !== JSON.stringify(list.slots())) {
        throw new Error(`commit ${commit.id} as a list ends in another layout than its updates one by one`);
      }
      bar?.step();
    }
    const { commits } = trace;
    const probed = crew && (await probeBoot(commits, oneByOne.gaps, newEngine, crew, bar));
    return {
      trace,
      oneByOne: outcomeOf(oneByOne, probed?.oneByOne),
      list: outcomeOf(list, probed?.list),
    };
  } finally {
    for (const engine of engines) engine.close();
  }
}

function outcomeOf({ publications, gaps }: OneByOne | AsLists, probed: ProbeCount | undefined): Outcome {
  return { publications, gaps, ...(probed && { probed }) };
}

/** Start vCPUs in workers, from the built vcpuworker.ts. */
export function startVcpus(vcpuWorker: URL, vcpus: number): Promise<Crew> {
  return Crew.of(Array.from({ length: vcpus }, () => new Worker(vcpuWorker)));
}

/** After each update every range is looked at. @throws InputError if that takes too long */
function checkLooks({ commits, file }: Trace): void {
  const live = new Set<number>();
  let looks = 0;
  for (const { updates, id } of commits) {
    looks += (updates.length + 3) * 2 * (live.size + updates.length);
    if (looks > LOOKS_MAX) {
      const text = `up to commit ${id} a replay looks at ${looks} ranges, at most ${LOOKS_MAX}`;
      throw new InputError(file, updates[0]?.line, text);
    }
    for (const { slot, size } of updates) {
      if (size === 0) live.delete(slot);
      else live.add(slot);
    }
  }
}

function addressSpacesOf(trace: Trace): number {
  let addressSpaces = 1;
  for (const { slot, line } of trace.commits.flatMap(({ updates }) => updates)) {
    addressSpaces = Math.max(addressSpaces, asIdOf(slot) + 1);
    if (addressSpaces > ADDRESS_SPACES_MAX) {
      const where = `slot ${slot} is in address space ${asIdOf(slot)}`;
      throw new InputError(trace.file, line, `${where}, there are at most ${ADDRESS_SPACES_MAX}`);
    }
  }
  return addressSpaces;
}
