/**
 * A swap: one list of 1, 16 or 256 updates that no reader sees half done. Publication alone, against a copy of sorted
 * arrays whose reference is stored; publication beside two readers in worker threads; and the grace period behind it,
 * by itself.
 */
import {
  type Case,
  type Group,
  type Measured,
  type Results,
  type Row,
  ratios,
  type Scale,
} from "../harness/case.js";
import { median } from "../harness/statistics.js";
import { copiedArrays } from "../peers/copiedarrays.js";
import { SECTIONS } from "../threads/board.js";
import { type Load, ThreadCrew } from "../threads/crew.js";
import { PUBLICATION, publicationEntrants, swapCase } from "./publication.js";
import { ROUND_TRIP, roundTrips } from "./threads.js";

const UPDATES = [1, 16, 256] as const;
const READERS = 2;
const COMMITS_PER_SECOND = 500;
const ROUNDS = 11;
const ROUND_MS = 200;

const WITH_READERS = "swap beside readers";
const alone = (updates: number): string => `${updates} per list, no reader runs`;
const beside = (updates: number): string => `${updates} per list, ${READERS} readers`;
const grace = (updates: number): string => `${updates} per list, grace period of ${READERS} readers`;

/** Targets of a publication over a copy, by the number of slots: a copy takes the longer the more there are. */
const W1: Readonly<Record<(typeof UPDATES)[number], Readonly<Record<number, number>>>> = {
  1: { 64: 1.6, 512: 0.8, 4096: 0.35, 32764: 0.1 },
  16: { 64: 1.6, 512: 0.8, 4096: 0.6, 32764: 0.35 },
  256: { 512: 0.8, 4096: 0.6, 32764: 0.5 },
};

/** The readers run in every second load, so that one that is alone meets the same clock. */
async function besideReaders(slots: number, { smoke, quick }: Scale): Promise<Measured[]> {
  const [rounds, ms] = smoke ? [1, 10] : quick ? [3, 100] : [ROUNDS, ROUND_MS];
  const crew = await ThreadCrew.start(slots, READERS);
  const samples = new Map<string, number[]>();
  const note = (name: string, ns: number): void => {
    samples.set(name, [...(samples.get(name) ?? []), ns]);
  };
  try {
    for (let round = smoke ? 0 : -1; round < rounds; round++) {
      for (const updates of UPDATES) {
        const load = { mode: SECTIONS, commits: COMMITS_PER_SECOND, wait: "apart", updates } satisfies Omit<
          Load,
          "readers"
        >;
        const none = crew.measure({ ...load, readers: 0 }, ms);
        const some = crew.measure({ ...load, readers: READERS }, ms);
        if (round < 0) continue;
        note(alone(updates), median(none.publishNs));
        note(beside(updates), median(some.publishNs));
        note(grace(updates), median(some.graceNs));
      }
      if (round >= 0) note(ROUND_TRIP, median(await roundTrips(smoke ? 5 : 100)));
    }
  } finally {
    await crew.end();
  }
  return [...samples].map(([name, values]) => ({ name, samples: values }));
}

const slotsOf = ({ smoke }: Scale): number => (smoke ? 64 : 512);

function cases(scale: Scale): Case[] {
  const { sizes, updates: total } = scale;
  return [
    ...UPDATES.flatMap((updates) =>
      sizes
        .filter((n) => updates * 2 <= n && n in W1[updates])
        .map((n) => ({
          name: swapCase(updates),
          n,
          unit: "list",
          processes: 3,
          prepare: () => publicationEntrants(n, updates, n > 10_000 ? total / 4 : total),
        })),
    ),
    {
      name: WITH_READERS,
      n: slotsOf(scale),
      unit: "list",
      prepare: () => besideReaders(slotsOf(scale), scale),
    },
  ];
}

function rows(results: Results, scale: Scale): Row[] {
  const n = slotsOf(scale);
  const row = (id: string, what: string, over: string, under: string, target: number): Row => ({
    ...{ id, what: `swap: ${what}`, n: String(n), target },
    ...results.ratio(WITH_READERS, n, over, under),
  });
  return [
    ...UPDATES.flatMap((updates) =>
      ratios(results, "W1", swapCase(updates), PUBLICATION, copiedArrays.name, W1[updates]),
    ),
    ...UPDATES.map((updates) =>
      row(
        "W2",
        `publication of ${updates}, ${READERS} readers run / none`,
        beside(updates),
        alone(updates),
        3,
      ),
    ),
    ...UPDATES.map((updates) =>
      row("W3", `grace period behind ${updates} / postMessage round trip`, grace(updates), ROUND_TRIP, 2),
    ),
  ];
}

export const swap: Group = {
  name: "swap",
  about: "one list that no reader sees half done: publication, beside readers, grace period",
  cases,
  rows,
};
