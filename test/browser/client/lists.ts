/** Lists committed by the page while vCPUs in workers translate all the time; and the same updates one at a time. */
import type { CommitOptions, MemslotEngine } from "memslots";
import * as assert from "uvu/assert";
import { MERGE, pass, SPLIT } from "./layouts.js";
import type { Facts } from "./scenarios.js";
import { awaitWord, set, until, WORD } from "./words.js";
import { end, type World, world } from "./world.js";

const ROUNDS = 40;

/** Have all workers watch while `work` runs; what they have seen together. */
async function watched(
  { words, workers }: World,
  work: () => Promise<void>,
): Promise<Record<string, number>> {
  set(words, WORD.leave, 0);
  // The second worker has two vCPUs.
  const watching = workers.map((worker, i) => worker.run("watch", i));
  const passes = () => Atomics.load(words, WORD.passes);
  await awaitWord(words, WORD.passes, passes() + 100);
  await work();
  await awaitWord(words, WORD.passes, passes() + 100);
  set(words, WORD.leave, 1);
  const seen = await Promise.all(watching);
  const sum = (field: "accesses" | "misses" | "torn") => seen.reduce((total, one) => total + one[field], 0);
  return { accesses: sum("accesses"), misses: sum("misses"), torn: sum("torn") };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

async function splitAndMerge(engine: MemslotEngine, options: CommitOptions): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const list of [SPLIT, MERGE]) {
      const start = performance.now();
      const { published, generation } = await engine.setUserMemoryRegionListAsync(list, options);
      times.push(performance.now() - start);
      assert.is(published, true);
      assert.is(generation, engine.generation());
    }
  }
  return median(times);
}

function listsWith(options: CommitOptions): () => Promise<Facts> {
  return async () => {
    const all = await world(2);
    let ms = 0;
    const seen = await watched(all, async () => {
      ms = await splitAndMerge(all.engine, options);
    });
    await end(all);
    assert.is(seen.misses, 0);
    assert.is(seen.torn, 0, "a section is a snapshot");
    assert.is(all.engine.publications, 1 + 2 * ROUNDS);
    return { ...seen, commits: 2 * ROUNDS, medianMs: Math.round(ms * 1000) / 1000 };
  };
}

/**
 * The updates that a user makes without lists. Once between two updates the page gives way until the vCPUs have
 * looked: on a busy machine none of them may have run meanwhile.
 */
async function oneByOne(): Promise<Facts> {
  const all = await world(2);
  const { words, engine } = all;
  const seen = await watched(all, async () => {
    await engine.setUserMemoryRegionListAsync([SPLIT[0]!]);
    await awaitWord(words, WORD.passes, Atomics.load(words, WORD.passes) + 100);
    for (const entry of [...SPLIT.slice(1), ...MERGE]) await engine.setUserMemoryRegionListAsync([entry]);
    for (let round = 1; round < ROUNDS / 4; round++) {
      for (const entry of [...SPLIT, ...MERGE]) await engine.setUserMemoryRegionListAsync([entry]);
    }
  });
  await end(all);
  assert.ok(seen.misses! > 0, "pages vanish between two updates");
  return { ...seen, commits: (ROUNDS / 4) * (SPLIT.length + MERGE.length) };
}

/** A worker commits with the form that sleeps, and the page reads. */
async function workerCommits(): Promise<Facts> {
  const all = await world(2);
  const { engine, words, workers } = all;
  const [writer, watcher] = workers as [World["workers"][0], World["workers"][0]];
  const own = engine.vcpu();
  const here = { accesses: 0, misses: 0, torn: 0 };
  const watching = watcher.run("watch", 0);
  const committing = writer.run("commit", "endless");
  await until(() => {
    for (let i = 0; i < 100; i++) {
      own.enter();
      pass(own.gpaToHva, here);
      own.exit();
    }
    return Atomics.load(words, WORD.commits) >= 200;
  });
  set(words, WORD.leave, 1);
  const commits = await committing;
  const there = await watching;
  own.release();
  await end(all);
  for (const { misses, torn } of [here, there]) assert.equal([misses, torn], [0, 0]);
  return { commits, accesses: here.accesses + there.accesses, byPage: here.accesses };
}

export const LISTS = {
  "lists by the page, 0 misses": listsWith({}),
  "lists by the page without waiting, 0 misses": listsWith({ wait: false }),
  "lists by the page with barrier, 0 misses": listsWith({ barrier: true }),
  "one update at a time by the page, misses": oneByOne,
  "lists by a worker that sleeps, 0 misses on the page": workerCommits,
};
