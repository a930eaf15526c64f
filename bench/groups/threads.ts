/**
 * Readers in worker threads, and the cost of commits and readers for each other: rows T1 to T8. The main thread is the
 * writer; with two readers or more on two processors it takes its time from theirs. Loads take turns, round after
 * round.
 */
import { once } from "node:events";
import { tsWorker } from "../../test/support/tsworker.js";
import type { Case, Measured, Results, Row, Scale } from "../harness/case.js";
import { LOCKED, SECTIONS } from "../threads/board.js";
import { type Load, type Measurement, ThreadCrew } from "../threads/crew.js";

const NAME = "threads";
const COMMITS = 500;
const COMMITS_FAST = 10_000;
/** More than the slots of any machine would be another benchmark; what matters here is the threads. */
const SLOTS = 512;

const LOADS = {
  one: { readers: 1, mode: SECTIONS, commits: 0, wait: "wait" },
  two: { readers: 2, mode: SECTIONS, commits: 0, wait: "wait" },
  twoLocked: { readers: 2, mode: LOCKED, commits: 0, wait: "lock" },
  twoCommits: { readers: 2, mode: SECTIONS, commits: COMMITS, wait: "wait" },
  twoSpin: { readers: 2, mode: SECTIONS, commits: COMMITS, wait: "spin" },
  twoLockedCommits: { readers: 2, mode: LOCKED, commits: COMMITS, wait: "lock" },
  oneFast: { readers: 1, mode: SECTIONS, commits: COMMITS_FAST, wait: "wait" },
  four: { readers: 4, mode: SECTIONS, commits: COMMITS, wait: "wait" },
  fourLocked: { readers: 4, mode: LOCKED, commits: COMMITS, wait: "lock" },
} as const satisfies Record<string, Load>;

type LoadName = keyof typeof LOADS;

/** Figures of a load: nanoseconds per lookup; median and 99th percentile of its commits, one per round. */
const figureName = { lookup: "per lookup", p50: "commit, p50", p99: "commit, p99" } as const;

function nameOf(load: LoadName, figure: keyof typeof figureName): string {
  return `${load}, ${figureName[figure]}`;
}

export const ROUND_TRIP = "postMessage round trip, p50";
const ROUND_TRIP_P99 = "postMessage round trip, p99";

function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * p)]!;
}

/** Nanoseconds of each round trip to an idle worker. */
export async function roundTrips(count: number): Promise<number[]> {
  const worker = tsWorker(new URL("../threads/echo.ts", import.meta.url));
  const times: number[] = [];
  // The first trips wait for the worker to start.
  for (let i = -count; i < count; i++) {
    const start = performance.now();
    worker.postMessage(i);
    await once(worker, "message");
    if (i >= 0) times.push((performance.now() - start) * 1e6);
  }
  const exit = once(worker, "exit");
  worker.postMessage("end");
  await exit;
  return times;
}

async function measureLoads({ smoke, quick }: Scale): Promise<Measured[]> {
  const [rounds, ms] = smoke ? [1, 10] : quick ? [3, 100] : [11, 300];
  const slots = smoke ? 64 : SLOTS;
  const crew = await ThreadCrew.start(slots, 2);
  // An engine of their own: vCPUs that are there and do nothing are counted by a writer too.
  const crowd = await ThreadCrew.start(slots, 4);
  const samples = new Map<string, number[]>();
  const note = (name: string, ns: number): void => {
    samples.set(name, [...(samples.get(name) ?? []), ns]);
  };
  try {
    for (let round = smoke ? 0 : -1; round < rounds; round++) {
      for (const [load, options] of Object.entries(LOADS) as [LoadName, Load][]) {
        const measurement = (options.readers > 2 ? crowd : crew).measure(options, ms);
        if (round >= 0) noteAll(note, load, measurement);
      }
      if (round < 0) continue;
      const trips = await roundTrips(smoke ? 5 : 200);
      note(ROUND_TRIP, quantile(trips, 0.5));
      note(ROUND_TRIP_P99, quantile(trips, 0.99));
    }
  } finally {
    await crew.end();
    await crowd.end();
  }
  return [...samples].map(([name, values]) => ({ name, samples: values }));
}

function noteAll(
  note: (name: string, ns: number) => void,
  load: LoadName,
  { lookupNs, commitNs }: Measurement,
): void {
  note(nameOf(load, "lookup"), lookupNs);
  if (commitNs.length === 0) return;
  note(nameOf(load, "p50"), quantile(commitNs, 0.5));
  note(nameOf(load, "p99"), quantile(commitNs, 0.99));
}

export function threadCases(scale: Scale): Case[] {
  return [{ name: NAME, n: scale.smoke ? 64 : SLOTS, unit: "operation", prepare: () => measureLoads(scale) }];
}

export function threadRows(results: Results, { smoke }: Scale): Row[] {
  const n = smoke ? 64 : SLOTS;
  const lookup = (load: LoadName): string => nameOf(load, "lookup");
  const p50 = (load: LoadName): string => nameOf(load, "p50");
  const p99 = (load: LoadName): string => nameOf(load, "p99");
  const row = (id: string, what: string, over: string, under: string, target: number): Row => ({
    ...{ id, what: `threads: ${what}`, n: "", target },
    ...results.ratio(NAME, n, over, under),
  });
  const most = (...args: Parameters<typeof row>): Row => ({ ...row(...args), atLeast: true });
  return [
    most("T1", "throughput of 2 readers / 1 reader", lookup("one"), lookup("two"), 1.7),
    most("T2", "2 readers in sections / under a lock, idle", lookup("twoLocked"), lookup("two"), 2.5),
    most("T2", `the same with ${COMMITS} commits/s`, lookup("twoLockedCommits"), lookup("twoCommits"), 5),
    most("T3", `2 readers with ${COMMITS} commits/s / idle`, lookup("two"), lookup("twoCommits"), 0.85),
    // The slowest ones: whether the median one meets a reader at all is the scheduler's choice.
    row("T4", "commit p99, waiting / spinning", p99("twoCommits"), p99("twoSpin"), 0.5),
    row("T5", "commit p50 / postMessage round trip p50", p50("twoCommits"), ROUND_TRIP, 2),
    row(
      "T6",
      "2 readers, commit p99, in sections / under a lock",
      p99("twoCommits"),
      p99("twoLockedCommits"),
      0.5,
    ),
    row("T7", `1 reader, ${COMMITS_FAST} commits/s, p50 / round trip p50`, p50("oneFast"), ROUND_TRIP, 0.5),
    row("T7", "the same, p99 / round trip p99", p99("oneFast"), ROUND_TRIP_P99, 1),
    most("T7", "its reader / idle", lookup("one"), lookup("oneFast"), 0.85),
    row("T8", "4 readers on 2 processors, commit p50 / round trip p50", p50("four"), ROUND_TRIP, 8),
    row("T8", "the same, p99, in sections / under a lock", p99("four"), p99("fourLocked"), 1),
  ];
}
