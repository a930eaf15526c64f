/** A page must not sleep: its sync forms give up at once, its async forms wait and let the page live. */
import * as assert from "uvu/assert";
import { deletion, PAGE, region } from "../../support/region.js";
import { Heartbeat } from "./heartbeat.js";
import { MERGE, SPLIT } from "./layouts.js";
import type { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";
import { awaitWord, set, WORD } from "./words.js";
import { end, refusal, refused, world } from "./world.js";

/** A pause that a user calls frozen; slow machines make shorter ones by themselves. */
const FROZEN_MS = 500;

/** A section that does not end: the sync form says so at once. */
async function syncForm(): Promise<Facts> {
  const all = await world(1);
  const { engine, words } = all;
  const staying = all.workers[0]!.run("staySleeping");
  await awaitWord(words, WORD.begun, 1);
  const beat = new Heartbeat();
  let longest = 0;
  let timedOut = 0;
  let host = 1;
  const commit = () => {
    const start = performance.now();
    try {
      engine.setUserMemoryRegionList([deletion(0), region(0, 0, 4, ++host)]);
    } finally {
      longest = Math.max(longest, performance.now() - start);
    }
  };
  for (;;) {
    const error = (await refusal(commit)) as { code: string; published?: boolean };
    await beat.more(5);
    if (error.code === "EBUSY") break;
    assert.equal([error.code, error.published], ["ETIMEDOUT", true]);
    assert.is(engine.gpaToHva(0), host * PAGE, "in force");
    assert.ok(++timedOut < 20, "the spare layouts are used up some time");
  }
  assert.is(engine.gpaToHva(0), (host - 1) * PAGE, "EBUSY changes nothing");
  await refused("ETIMEDOUT", () => engine.synchronize(), true);
  await refused("ETIMEDOUT", () => engine.pauseVcpus());
  await refused("ETIMEDOUT", () => engine.waitGeneration(engine.generation() + 1));
  await beat.more(20);
  const frozen = beat.stop();
  assert.ok(longest < FROZEN_MS / 2, `a sync commit took ${longest} ms`);
  assert.ok(frozen < FROZEN_MS, `the page was frozen for ${frozen} ms`);
  set(words, WORD.leave, 1);
  await staying;
  commit();
  await end(all);
  return { timedOut, longestCallMs: Math.round(longest * 1000) / 1000, longestGapMs: frozen };
}

/** The async form waits for the section, and the page goes on. */
async function asyncForm(): Promise<Facts> {
  const all = await world(1);
  const { engine, words } = all;
  const staying = all.workers[0]!.run("staySleeping");
  await awaitWord(words, WORD.begun, 1);
  const beat = new Heartbeat();
  let done = false;
  const commit = engine.setUserMemoryRegionListAsync(SPLIT).then(({ published }) => {
    done = true;
    return published;
  });
  await beat.more(50);
  assert.is(engine.gpaToHva(20 * PAGE), 5004 * PAGE, "published");
  assert.is(done, false, "the section is not over");
  await refused("ETIMEDOUT", () => engine.setUserMemoryRegionListAsync(MERGE, { timeout: 20 }), true);
  const frozen = beat.stop();
  set(words, WORD.leave, 1);
  assert.is(await commit, true);
  await staying;
  await end(all);
  assert.ok(frozen < FROZEN_MS, `the page was frozen for ${frozen} ms`);
  return { longestGapMs: frozen };
}

/** A vCPU that leaves when it is asked to is asked to, by a writer that waits without sleeping too. */
async function asyncFormKicks(): Promise<Facts> {
  const all = await world(1);
  const { engine, words } = all;
  const start = performance.now();
  const ways = [
    () => engine.setUserMemoryRegionListAsync(SPLIT),
    () => engine.setUserMemoryRegionListAsync(MERGE, { barrier: true }),
    async () => {
      engine.setUserMemoryRegionList(SPLIT, { wait: false });
      await engine.synchronizeAsync();
    },
    async () => {
      await engine.pauseVcpusAsync();
      await engine.resumeVcpusAsync();
    },
  ];
  for (const [i, way] of ways.entries()) {
    const staying = all.workers[0]!.run("stayUntilKicked");
    await awaitWord(words, WORD.begun, i + 1);
    await way();
    await staying;
  }
  const ms = Math.round(performance.now() - start);
  await end(all);
  return { ms };
}

/** A worker's commit sleeps until the page leaves its section. */
async function workerWaitsForPage(): Promise<Facts> {
  const all = await world(1);
  const { engine } = all;
  const [worker] = all.workers as [Remote];
  const own = engine.vcpu();
  own.enter();
  const next = engine.generation() + 1;
  let done = false;
  const commit = worker.run("commitList", SPLIT).then(() => {
    done = true;
  });
  await engine.waitGenerationAsync(next);
  const beat = new Heartbeat();
  await beat.more(20);
  assert.is(done, false, "the page is inside");
  assert.is(own.kicked, true, "and asked to leave");
  assert.is(own.gpaToHva(20 * PAGE), 1020 * PAGE, "the old layout");
  assert.is(engine.gpaToHva(20 * PAGE), 5004 * PAGE, "a lookup of its own finds the new one");
  await refused("EBUSY", () => engine.setUserMemoryRegionList(MERGE));
  own.exit();
  await commit;
  assert.is(own.enter(), true);
  own.exit();
  own.release();
  await engine.setUserMemoryRegionListAsync(MERGE);
  await end(all);
  return { longestGapMs: beat.stop() };
}

export const BLOCKING = {
  "a sync commit on the page gives up at once": syncForm,
  "an async commit on the page waits and does not freeze it": asyncForm,
  "an async commit on the page kicks": asyncFormKicks,
  "a worker's commit waits for a section of the page": workerWaitsForPage,
};
