/** worker.terminate() at the worst moments: nobody calls reap, and the engine goes on. */
import * as assert from "uvu/assert";
import { PAGE } from "../../support/region.js";
import { MERGE, SPLIT } from "./layouts.js";
import { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";
import { awaitWord, newWords, PATIENT, WORD } from "./words.js";
import { end, refused, world } from "./world.js";

/** Inside a section: at rest, asleep, and busy. */
async function insideSection(): Promise<Facts> {
  const all = await world(3);
  const { engine, words, workers } = all;
  const [idle, asleep, busy] = workers as [Remote, Remote, Remote];
  await idle.run("enter");
  void asleep.run("staySleeping");
  void busy.run("stayBusy");
  await awaitWord(words, WORD.begun, 2);
  engine.setUserMemoryRegionList(SPLIT, { wait: false });
  await refused("ETIMEDOUT", () => engine.synchronizeAsync({ timeout: 50 }), true);
  const start = performance.now();
  for (const worker of workers) worker.terminate();
  await engine.synchronizeAsync(PATIENT);
  const freeMs = Math.round(performance.now() - start);
  engine.setUserMemoryRegionList(MERGE);
  await end(all);
  return { freeMs };
}

/** With the writer lock: the commit is published, and its writer sleeps until a section ends. */
async function holdingTheLock(): Promise<Facts> {
  const all = await world(1);
  const { engine } = all;
  const [worker] = all.workers as [Remote];
  const own = engine.vcpu();
  own.enter();
  const next = engine.generation() + 1;
  void worker.run("commitList", SPLIT);
  await engine.waitGenerationAsync(next);
  await refused("EBUSY", () => engine.setUserMemoryRegionList(MERGE));
  const start = performance.now();
  worker.terminate();
  const commit = engine.setUserMemoryRegionListAsync(MERGE, PATIENT);
  own.exit();
  assert.is((await commit).published, true);
  const freeMs = Math.round(performance.now() - start);
  own.release();
  await end(all);
  return { freeMs };
}

/** Wherever they are in endless commits; four at once, because the browser takes its time to end a busy worker. */
async function midCommit(): Promise<Facts> {
  const all = await world(0);
  const { engine, words } = all;
  let killed = 0;
  for (let round = 0; round < 2; round++) {
    const workers = await Promise.all(Array.from({ length: 4 }, () => Remote.attached(engine, words)));
    const before = Atomics.load(words, WORD.commits);
    for (const worker of workers) void worker.run("commitAny");
    await awaitWord(words, WORD.commits, before + 50 * (round + 1));
    for (const worker of workers) worker.terminate();
    killed += workers.length;
    await end({ ...all, workers });
    const hva = engine.gpaToHva(20 * PAGE);
    const list = hva === 1020 * PAGE ? SPLIT : MERGE;
    assert.is((await engine.setUserMemoryRegionListAsync(list, PATIENT)).published, true);
  }
  return { killed, commits: Atomics.load(words, WORD.commits) };
}

/** With the gate closed. */
async function holdingTheGate(): Promise<Facts> {
  const all = await world(2);
  const [pausing, vcpu] = all.workers as [Remote, Remote];
  await pausing.run("pause");
  const entered = vcpu.run("enter");
  await refused("EBUSY", () => all.engine.pauseVcpus());
  const start = performance.now();
  pausing.terminate();
  await entered;
  const freeMs = Math.round(performance.now() - start);
  await vcpu.run("exit");
  await all.engine.pauseVcpusAsync(PATIENT);
  await all.engine.resumeVcpusAsync();
  await end(all);
  return { freeMs };
}

/** Right after it has attached, and before. */
async function young(): Promise<Facts> {
  const all = await world(0);
  const { engine } = all;
  for (let round = 0; round < 20; round++) {
    // Started before it is supervised, so that its life under supervision is a few milliseconds.
    const worker = await Remote.start(newWords());
    await worker.run("attach", worker.supervisedBy(engine));
    await worker.run("enter");
    worker.terminate();
    const unborn = await Remote.start();
    unborn.supervisedBy(engine);
    unborn.terminate();
  }
  const endMs = await end(all);
  return { endMs };
}

/** After it has attached twice, as two modules of a program may do. */
async function attachedTwice(): Promise<Facts> {
  const all = await world(0);
  const worker = await Remote.start(newWords());
  const handle = worker.supervisedBy(all.engine);
  const owners = [await worker.run("attach", handle), await worker.run("attach", handle)];
  assert.equal(owners, [handle.owner, handle.owner]);
  const endMs = await end({ ...all, workers: [worker] });
  return { endMs };
}

/** After this thread has closed its engine: other threads go on using the memory. */
async function afterClose(): Promise<Facts> {
  const all = await world(2);
  const [dying, other] = all.workers as [Remote, Remote];
  await dying.run("enter");
  all.engine.close();
  dying.terminate();
  const start = performance.now();
  assert.is(await other.run("commitList", SPLIT), true);
  const freeMs = Math.round(performance.now() - start);
  other.terminate();
  return { freeMs };
}

export const DEATH = {
  "terminated inside a section": insideSection,
  "terminated with the writer lock": holdingTheLock,
  "terminated while committing": midCommit,
  "terminated with the gate closed": holdingTheGate,
  "terminated young": young,
  "terminated after attaching twice": attachedTwice,
  "terminated after close": afterClose,
};
