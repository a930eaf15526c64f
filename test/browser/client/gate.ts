/** Holding vCPUs, and waiting for a generation, between a page and its workers. */
import * as assert from "uvu/assert";
import { Heartbeat } from "./heartbeat.js";
import { MERGE, SPLIT } from "./layouts.js";
import type { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";
import { awaitWord, set, turn, WORD } from "./words.js";
import { end, refused, world } from "./world.js";

/** Between pause and resume updates may be made one by one, and no vCPU sees the states between. */
async function pause(): Promise<Facts> {
  const all = await world(2);
  const { engine, words, workers } = all;
  const watching = workers.map((worker) => worker.run("watch", 0));
  const ROUNDS = 20;
  for (let round = 0; round < ROUNDS; round++) {
    await awaitWord(words, WORD.passes, 20 * round + 20);
    await engine.pauseVcpusAsync();
    await turn();
    const passes = Atomics.load(words, WORD.passes);
    for (const entry of [...SPLIT, ...MERGE]) engine.setUserMemoryRegion(entry);
    await turn();
    assert.is(Atomics.load(words, WORD.passes), passes, "all stand still");
    await refused("EBUSY", () => engine.pauseVcpus());
    await refused("EBUSY", () => engine.pauseVcpusAsync({ timeout: 10 }));
    await engine.resumeVcpusAsync();
  }
  await refused("EINVAL", () => engine.resumeVcpusAsync());
  set(words, WORD.leave, 1);
  for (const { misses, torn } of await Promise.all(watching)) assert.equal([misses, torn], [0, 0]);
  const passes = Atomics.load(words, WORD.passes);
  await end(all);
  return { pauses: ROUNDS, passes };
}

/** While one vCPU is inside yet, the others do not come back in. */
async function pauseKeepsClosed(): Promise<Facts> {
  const all = await world(2);
  const [inside, outside] = all.workers as [Remote, Remote];
  await inside.run("enter");
  let held = false;
  let entered = false;
  const pausing = all.engine.pauseVcpusAsync().then(() => {
    held = true;
  });
  const entering = outside.run("enter").then(() => {
    entered = true;
  });
  const beat = new Heartbeat();
  await beat.more(20);
  assert.equal([held, entered], [false, false]);
  await inside.run("exit");
  await pausing;
  assert.is(entered, false);
  await all.engine.resumeVcpusAsync();
  await entering;
  await outside.run("exit");
  await end(all);
  return { longestGapMs: beat.stop() };
}

/** A vCPU that does not leave: all run on. */
async function pauseInVain(): Promise<Facts> {
  const all = await world(2);
  const { engine, words } = all;
  const [stuck, other] = all.workers as [Remote, Remote];
  const staying = stuck.run("staySleeping");
  await awaitWord(words, WORD.begun, 1);
  await refused("ETIMEDOUT", () => engine.pauseVcpusAsync({ timeout: 50 }));
  await refused("ETIMEDOUT", () =>
    engine.setUserMemoryRegionListAsync(SPLIT, { barrier: true, timeout: 50 }),
  );
  assert.is(engine.publications, 1);
  await other.run("enter");
  await other.run("exit");
  set(words, WORD.leave, 1);
  await staying;
  await engine.pauseVcpusAsync();
  await engine.resumeVcpusAsync();
  await end(all);
  return {};
}

/** The page waits for a commit of a worker, and a worker for one of the page. */
async function generations(): Promise<Facts> {
  const all = await world(2);
  const { engine, words } = all;
  const [writer, observer] = all.workers as [Remote, Remote];
  const first = engine.generation();
  const there = observer.run("waitGeneration", first + 1);
  const here = engine.waitGenerationAsync(first + 1);
  await refused("ETIMEDOUT", () => engine.waitGenerationAsync(first + 1, { timeout: 20 }));
  assert.is(await writer.run("commitList", SPLIT), true);
  await here;
  assert.ok((await there) >= first + 1);
  const again = observer.run("waitGeneration", first + 2);
  engine.setUserMemoryRegionList(MERGE);
  assert.ok((await again) >= first + 2);
  const COMMITS = 2000;
  const start = performance.now();
  const committing = writer.run("commit", COMMITS, { wait: false });
  await engine.waitGenerationAsync(first + 2 + COMMITS);
  const ms = Math.round(performance.now() - start);
  await committing;
  assert.is(Atomics.load(words, WORD.commits), COMMITS);
  await end(all);
  return { commits: COMMITS, ms };
}

export const GATE = {
  "pauseVcpusAsync holds all vCPUs until resumeVcpusAsync": pause,
  "pauseVcpusAsync keeps the gate closed while it waits": pauseKeepsClosed,
  "pauseVcpusAsync gives up": pauseInVain,
  waitGenerationAsync: generations,
};
