/**
 * One scenario made one way, while vCPUs in other threads use the memory.
 */
import { MemslotEngine } from "memslots";
import type { Crew } from "../../src/replay/crew.js";
import type { Progress } from "../../src/replay/progress.js";
import type { Ram } from "./ram.js";
import type { Change, Check, Finding, Scenario } from "./scenario.js";
import type { SecondWriterCount, SecondWriterTask } from "./secondwriter.js";
import type { VcpuCount, VcpuTask } from "./vcpu.js";
import { applyBy, type Way } from "./ways.js";

/** Sections of every vCPU between two changes, behind the one that was open: no layout goes by unseen. */
const SECTIONS = 4;
/** Changes that every run makes, also when its time is up. */
const CHANGES_MIN = 20;

export interface Measured {
  readonly scenario: string;
  readonly title: string;
  readonly way: Way;
  readonly accesses: number;
  /** Accesses to pages that are mapped in every layout which found no memory. */
  readonly noMemory: number;
  /** What else must never be: accesses to wrong memory, writes gone astray, layouts that were refused. */
  readonly wrong: number;
  /** Changes, each of all its updates. */
  readonly commits: number;
  /** Microseconds of a change. */
  readonly p50: number;
  readonly p99: number;
  readonly findings: readonly Finding[];
}

/** Apply a change; another way than the three is for testing the checks. */
export type Apply = (engine: MemslotEngine, change: Change) => void;

/** `crew`: a worker per vCPU, and one for the second writer if there is one. */
export async function measure(
  scenario: Scenario,
  way: Way,
  seconds: number,
  crew: Crew,
  ram: Ram,
  apply: Apply = applyBy[way],
): Promise<Measured> {
  const { addressSpaces = 1, pages, changes } = scenario;
  const vcpus = crew.size - (scenario.secondWriter ? 1 : 0);
  const { size } = crew;
  // KVM's ioctl holds no vCPU, so that all that is between two updates can be seen.
  const hurry = apply === applyBy.list || apply === applyBy["list, barrier"];
  const engine = await MemslotEngine.create({ addressSpaces, maxVcpus: size + 1, shared: true, hurry });
  ram.prepare(pages);
  engine.setUserMemoryRegionList(scenario.initial);
  const vcpu: VcpuTask = {
    role: "vcpu",
    handle: engine.handle,
    ram: ram.buffer,
    vcpus,
    pages,
    addressSpaces,
    writable: !scenario.readonly,
    writesPerAccess: scenario.writesPerAccess ?? 1,
  };
  const other: SecondWriterTask = { role: "second writer", handle: engine.handle };
  const tasks = [...new Array(vcpus).fill(vcpu), ...(scenario.secondWriter ? [other] : [])];
  const check = scenario.check?.(engine, ram, pages);
  const times: number[] = [];
  const answers = await crew.watch<VcpuCount & SecondWriterCount>(tasks, (progress) => {
    const end = performance.now() + seconds * 1000;
    do turn(engine, changes, apply, check, progress, times);
    while (performance.now() < end || times.length < CHANGES_MIN);
  });
  engine.close();
  const sum = (field: keyof (VcpuCount & SecondWriterCount)) =>
    answers.reduce((total, answer) => total + (answer[field] ?? 0), 0);
  const astray = Math.abs(sum("writes") - ram.writes(pages));
  const allRefused = changes.every(({ refusedAt }) => refusedAt !== undefined);
  times.sort((a, b) => a - b);
  const quantile = (p: number) => times[Math.floor((times.length - 1) * p)]! * 1000;
  return {
    scenario: scenario.id,
    title: scenario.title,
    way,
    accesses: sum("accesses"),
    noMemory: sum("noMemory"),
    wrong: sum("wrong") + astray + (allRefused ? sum("layouts") : 0),
    commits: times.length,
    p50: quantile(0.5),
    p99: quantile(0.99),
    findings: [
      ...(check === undefined ? [] : [check.found()]),
      ...(scenario.secondWriter
        ? [{ what: `of ${sum("updates")} single updates refused or undone`, count: sum("undone") }]
        : []),
    ],
  };
}

/** All changes of a scenario once. */
function turn(
  engine: MemslotEngine,
  changes: readonly Change[],
  apply: Apply,
  check: Check | undefined,
  progress: Progress,
  times: number[],
): void {
  progress.awaitSections(1 + SECTIONS);
  for (const change of changes) {
    check?.before?.(change);
    const start = performance.now();
    apply(engine, change);
    times.push(performance.now() - start);
    check?.after?.(change);
    progress.awaitSections(1 + SECTIONS);
    check?.later?.(change);
  }
}
