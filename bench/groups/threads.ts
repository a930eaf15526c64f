/**
 * Readers in worker threads, and what commits and readers cost each other: rows T1 to T7. The main thread is the
 * writer; with two readers on two processors it takes its time from them. Loads take turns, round after round.
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
} as const satisfies Record<string, Load>;

type LoadName = keyof typeof LOADS;

/** Figures of a load: nanoseconds per lookup; median and 99th percentile of its commits, one per round. */
const figureName = { lookup: "per lookup", p50: "commit, p50", p99: "commit, p99" } as const;

function nameOf(load: LoadName, figure: keyof typeof figureName): string {
  return `${load}, ${figureName[figure]}`;
}

const ROUND_TRIP = "postMessage round trip, p50";

function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * p)]!;
}

async function roundTrips(count: number): Promise<number> {
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
  return quantile(times, 0.5);
}

async function measureLoads({ smoke }: Scale): Promise<Measured[]> {
  const [rounds, ms] = smoke ? [1, 10] : [11, 300];
  const crew = await ThreadCrew.start(smoke ? 64 : SLOTS, 2);
  const samples = new Map<string, number[]>();
  const note = (name: string, ns: number): void => {
    samples.set(name, [...(samples.get(name) ?? []), ns]);
  };
  try {
    for (let round = smoke ? 0 : -1; round < rounds; round++) {
      for (const [load, options] of Object.entries(LOADS) as [LoadName, Load][]) {
        const measurement = crew.measure(options, ms);
        if (round >= 0) noteAll(note, load, measurement);
      }
      if (round >= 0) note(ROUND_TRIP, await roundTrips(smoke ? 5 : 200));
    }
  } finally {
    await crew.end();
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
  const median = (name: string): number | undefined => results.figure(NAME, n, name)?.median;
  const ratio = (over: string, under: string): number | undefined => {
    const [above, below] = [median(over), median(under)];
    return above === undefined || below === undefined ? undefined : above / below;
  };
  const lookup = (load: LoadName): string => nameOf(load, "lookup");
  const row = (
    id: string,
    what: string,
    measured: number | undefined,
    target: number,
    more: Partial<Row> = {},
  ) => ({
    id,
    what: `threads: ${what}`,
    n: "",
    measured,
    target,
    ...more,
  });
  const us = (name: string): number | undefined => {
    const ns = median(name);
    return ns === undefined ? undefined : ns / 1000;
  };
  const most = { atLeast: true };
  const inUs = { unit: "us" };
  return [
    row("T1", "throughput of 2 readers / 1 reader", ratio(lookup("one"), lookup("two")), 1.7, most),
    row(
      "T2",
      "2 readers in sections / under a lock, idle",
      ratio(lookup("twoLocked"), lookup("two")),
      2.5,
      most,
    ),
    row(
      "T2",
      `the same with ${COMMITS} commits/s`,
      ratio(lookup("twoLockedCommits"), lookup("twoCommits")),
      5,
      most,
    ),
    row(
      "T3",
      `2 readers with ${COMMITS} commits/s / idle`,
      ratio(lookup("two"), lookup("twoCommits")),
      0.85,
      most,
    ),
    row(
      "T4",
      "commit p50, waiting / spinning",
      ratio(nameOf("twoCommits", "p50"), nameOf("twoSpin", "p50")),
      0.1,
    ),
    row("T5", "commit p50 / postMessage round trip p50", ratio(nameOf("twoCommits", "p50"), ROUND_TRIP), 2),
    row("T6", "2 readers and writer on 2 processors, commit p50", us(nameOf("twoCommits", "p50")), 150, inUs),
    row("T6", "the same, p99", us(nameOf("twoCommits", "p99")), 8000, inUs),
    row("T7", `1 reader, ${COMMITS_FAST} commits/s, commit p50`, us(nameOf("oneFast", "p50")), 5, inUs),
    row("T7", "the same, p99", us(nameOf("oneFast", "p99")), 50, inUs),
    row("T7", "its reader / idle", ratio(lookup("one"), lookup("oneFast")), 0.85, most),
  ];
}
