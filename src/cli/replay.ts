/**
 * `memslots replay`: recorded boots, applied twice to two engines of the size KVM offers. One by one shows
 * what the ioctl of today exposes to a reader; as lists, what is left of it when a commit is one atomic
 * change. With vCPUs each way is repeated under their eyes: what they ran into.
 */
import { Worker } from "node:worker_threads";
import { Command, InvalidArgumentError } from "commander";
import { AsLists, asIdOf, type CommitWindow, OneByOne } from "./commits.js";
import { Crew } from "./crew.js";
import { InputError } from "./jsonl.js";
import type { ProbeCount } from "./probes.js";
import { probeBoot } from "./probing.js";
import { type ProgressBar, progressBar } from "./progressbar.js";
import { nothingReplayed, replayJson, replayText } from "./report.js";
import { readTrace, type Trace } from "./trace.js";
import type { SharedEngine } from "./watchedboot.js";

const ADDRESS_SPACES_MAX = 4;
/** KVM_CAP_NR_MEMSLOTS of x86, which the recorded VMM was given. */
const KVM_USER_MEM_SLOTS = 32764;
const VCPUS_MAX = 64;

/** Class MemslotEngine, handed in so that the bundle holds it once and a test may hand in another. */
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

/** What one way of applying the commits came to. */
export interface Outcome {
  readonly publications: number;
  readonly windows: readonly CommitWindow[];
  /** What vCPUs of other threads saw. */
  readonly probed?: ProbeCount;
}

export interface Replay {
  readonly trace: Trace;
  readonly oneByOne: Outcome;
  readonly list: Outcome;
}

/** `vcpuWorker`: the file to start vCPUs from. */
export function replayCommand(engineClass: EngineClass, vcpuWorker: URL): Command {
  return new Command("replay")
    .description("Replay recorded boots: every update by itself, and every commit as one atomic list.")
    .argument("<file...>", "traces, .jsonl or .jsonl.gz; - is standard input")
    .option("--json", "print one JSON object per file and line")
    .option("--vcpus <n>", "let n worker threads look up what vanishes, all the time", parseVcpus)
    .addHelpText("after", HELP)
    .action(async (files: string[], { json = false, vcpus }: { json?: boolean; vcpus?: number }) => {
      const crew = vcpus === undefined ? undefined : await startVcpus(vcpuWorker, vcpus);
      const bar = progressBar(process.stderr);
      try {
        for (const file of files) {
          try {
            const replay = await replayTrace(await readTrace(file), engineClass, crew, bar);
            bar.end();
            print(replay, json);
          } catch (error) {
            bar.end();
            // One bad file does not hide the results of the others.
            if (!(error instanceof InputError)) throw error;
            process.stderr.write(`memslots: ${error.message}\n`);
            process.exitCode = 1;
          }
        }
      } finally {
        await crew?.end();
      }
    });
}

/** vCPUs in workers, from the built vcpuworker.ts. */
export function startVcpus(vcpuWorker: URL, vcpus: number): Promise<Crew> {
  return Crew.of(Array.from({ length: vcpus }, () => new Worker(vcpuWorker)));
}

function parseVcpus(text: string): number {
  const vcpus = /^\d+$/.test(text) ? Number(text) : 0;
  if (vcpus < 1 || vcpus > VCPUS_MAX) throw new InvalidArgumentError(`It must be from 1 to ${VCPUS_MAX}.`);
  return vcpus;
}

/** With a crew, also under its eyes. @throws InputError with the line of an update that is refused. */
export async function replayTrace(
  trace: Trace,
  engineClass: EngineClass,
  crew?: Crew,
  bar?: ProgressBar,
): Promise<Replay> {
  const addressSpaces = addressSpacesOf(trace);
  const options = {
    addressSpaces,
    maxSlots: KVM_USER_MEM_SLOTS,
    maxVcpus: Math.max(addressSpaces, crew?.size ?? 0),
    maxListEntries: Math.max(1, ...trace.commits.map(({ updates }) => updates.length)),
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
    const probed = crew && (await probeBoot(commits, oneByOne.windows, newEngine, crew, bar));
    return {
      trace,
      oneByOne: outcomeOf(oneByOne, probed?.oneByOne),
      list: outcomeOf(list, probed?.list),
    };
  } finally {
    for (const engine of engines) engine.close();
  }
}

function outcomeOf({ publications, windows }: OneByOne | AsLists, probed: ProbeCount | undefined): Outcome {
  return { publications, windows, ...(probed && { probed }) };
}

function print(replay: Replay, json: boolean): void {
  if (!json) {
    process.stdout.write(`${replayText(replay)}\n`);
    return;
  }
  process.stdout.write(`${JSON.stringify(replayJson(replay))}\n`);
  const nothing = nothingReplayed(replay.trace);
  if (nothing !== undefined) process.stderr.write(`memslots: ${replay.trace.file}: ${nothing}\n`);
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

const HELP = `
A window is a range of guest memory that is mapped before and after a commit and
unmapped in between. A "same" window comes back with the same translation and
flags: nothing was to change for it. A "remap" window comes back changed.

With --vcpus the boot is repeated while worker threads look up pages, only such
as are mapped both before and after the commit that is being made: a miss is a
lookup that found nothing there.

Exit code: 0 done, 1 a file is wrong (standard error names file and line, the
other files are replayed), 2 the command line is wrong.

Examples:
  $ memslots replay boot.jsonl.gz
  $ memslots replay --vcpus 2 boot.jsonl.gz
  $ memslots replay --json *.jsonl.gz | jq .oneByOne.windowPages
  $ zcat boot.jsonl.gz | memslots replay -`;
