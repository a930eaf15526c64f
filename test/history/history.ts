/**
 * Histories of real threads: two writers and some vCPUs in workers, slots of two address spaces and windows in the same
 * lists. What they noted is judged by checker.ts, which knows nothing of the engine.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { breakGrace } from "../stress/broken.js";
import { type Commit, type History, type Section, violationsOf } from "./checker.js";

const WRITERS = 2;
/** Pages of both address spaces together. */
const CELLS = 24;
const PAGE_BYTES = 4096;
/** Numbers that a thread notes in a round: then the round is over. */
const NOTES_MAX = 2_000_000;
const ROUND_MS = 1000;

/** split: a writer makes its list in two halves. grace: a core without a grace period. */
export type Breakage = "split" | "grace";

export interface HistoryOptions {
  readonly seconds: number;
  readonly vcpus: number;
  readonly seed: number;
  readonly breakage?: Breakage | undefined;
}

export interface HistoryReport {
  readonly rounds: number;
  readonly commits: number;
  readonly sections: number;
  readonly lookups: number;
  readonly violations: readonly string[];
}

/** Make and judge histories, until the time is over or one has a violation. */
export async function runHistories({
  seconds,
  vcpus,
  seed,
  breakage,
}: HistoryOptions): Promise<HistoryReport> {
  const module = breakage === "grace" ? await breakGrace() : undefined;
  const end = performance.now() + seconds * 1000;
  const total = { rounds: 0, commits: 0, sections: 0, lookups: 0 };
  let violations: string[] = [];
  do {
    const history = await makeHistory(
      vcpus,
      seed + total.rounds * 1000,
      breakage,
      module,
      end - performance.now(),
    );
    violations = violationsOf(history);
    total.rounds++;
    total.commits += history.commits.length;
    total.sections += history.sections.length;
    total.lookups += history.sections.reduce((sum, { seen }) => sum + seen.length, 0);
  } while (violations.length === 0 && performance.now() < end);
  return { ...total, violations };
}

async function makeHistory(
  vcpus: number,
  seed: number,
  breakage: Breakage | undefined,
  module: WebAssembly.Module | undefined,
  leftMs: number,
): Promise<History> {
  const engine = await MemslotEngine.create({
    addressSpaces: 2,
    maxSlots: CELLS,
    maxVcpus: vcpus + WRITERS + 1,
  });
  /** 1: go; 1: stop. */
  const control = new Int32Array(new SharedArrayBuffer(8));
  try {
    engine.setUserMemoryRegionList(
      Array.from({ length: CELLS }, (_, cell) => ({
        slot: (cell & 1) * 0x1_0000 + (cell >> 1),
        flags: 0,
        guestPhysAddr: (cell >> 1) * PAGE_BYTES,
        memorySize: PAGE_BYTES,
        userspaceAddr: cell * PAGE_BYTES,
      })),
    );
    const handle = module === undefined ? engine.handle : { ...engine.handle, module };
    const threads = Array.from({ length: WRITERS + vcpus }, (_, index) => {
      const log = new SharedArrayBuffer(NOTES_MAX * Float64Array.BYTES_PER_ELEMENT);
      const role = index < WRITERS ? "writer" : "reader";
      const data = { handle, role, index, seed: seed + index, cells: CELLS, pageBytes: PAGE_BYTES };
      const workerData = { ...data, log, control: control.buffer, breakage };
      const worker = new Worker(new URL("./worker.mjs", import.meta.url), { workerData });
      return { worker, role, notes: new Float64Array(log), exit: once(worker, "exit") };
    });
    await Promise.all(threads.map(({ worker }) => once(worker, "message")));
    Atomics.store(control, 0, 1);
    Atomics.notify(control, 0);
    const timer = setTimeout(() => Atomics.store(control, 1, 1), Math.max(100, Math.min(ROUND_MS, leftMs)));
    await Promise.race(threads.map(({ exit }) => exit));
    clearTimeout(timer);
    Atomics.store(control, 1, 1);
    await Promise.all(threads.map(({ exit }) => exit));
    const notesOf = (role: string) =>
      threads.filter((thread) => thread.role === role).map(({ notes }) => notes);
    return {
      cells: CELLS,
      commits: notesOf("writer").flatMap((notes) => commitsIn(notes)),
      sections: notesOf("reader").flatMap((notes) => sectionsIn(notes)),
    };
  } finally {
    engine.close();
  }
}

function commitsIn(notes: Float64Array): Commit[] {
  const commits: Commit[] = [];
  for (let at = 1; at < notes[0]!; at += 5 + notes[at + 4]!) {
    const [begun, ended, id, generation, count] = notes.subarray(at, at + 5) as unknown as [
      number,
      number,
      number,
      number,
      number,
    ];
    commits.push({ begun, ended, id, generation, cells: [...notes.subarray(at + 5, at + 5 + count)] });
  }
  return commits;
}

function sectionsIn(notes: Float64Array): Section[] {
  const sections: Section[] = [];
  for (let at = 1; at < notes[0]!; at += 3 + 2 * notes[at + 2]!) {
    const seen = Array.from({ length: notes[at + 2]! }, (_, i) => ({
      cell: notes[at + 3 + 2 * i]!,
      value: notes[at + 4 + 2 * i]!,
    }));
    sections.push({ begun: notes[at]!, ended: notes[at + 1]!, seen });
  }
  return sections;
}
