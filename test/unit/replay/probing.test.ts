/** The replay under the eyes of vCPUs: where they look, how the writer waits for them, and what they find. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MemslotEngine, type RegionLike, type UserspaceMemoryRegion } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTrace } from "../../../src/cli/input.js";
import { Crew } from "../../../src/replay/crew.js";
import {
  choosePage,
  encodeProbes,
  type Probe,
  type ProbePage,
  probesOf,
} from "../../../src/replay/probes.js";
import { Progress } from "../../../src/replay/progress.js";
import { type EngineClass, replayTrace, startVcpus } from "../../../src/replay/replay.js";
import { bootFile, type Change, linesOf } from "../../support/boot.js";
import { leaveGaps } from "../../support/gaps.js";
import { random } from "../../support/random.js";
import { PAGE, region, slotNumber } from "../../support/region.js";

const WORKER = new URL("../../../dist/vcpuworker.js", import.meta.url);
const VCPUS = 2;

let crew: Crew;

test.before(async () => {
  crew = await startVcpus(WORKER, VCPUS);
});

test.after(() => crew.end());

async function replayWatched(
  commits: readonly (readonly Change[])[],
  engineClass: EngineClass = MemslotEngine,
) {
  return replayTrace(await readTrace(bootFile(linesOf(commits))), engineClass, crew);
}

/** A probe in pages. */
function inPages({ asId, start, end, before, after }: Probe): number[] {
  return [asId, ...[start, end, before, after].map((bytes) => bytes / PAGE)];
}

test("probes are the pages mapped before and after, with both host addresses", () => {
  const before = [region(0, 0, 8, 100), region(1, 20, 4, 200), region(slotNumber(1, 0), 0, 4, 300)];
  const after = [region(0, 0, 2, 100), region(2, 4, 8, 500), region(slotNumber(1, 0), 2, 4, 302)];
  assert.equal(probesOf(before, after, []).map(inPages), [
    [0, 0, 2, 100, 100],
    [0, 4, 8, 104, 500],
    [1, 2, 4, 302, 302],
  ]);
  assert.equal(probesOf([], after, []), []);
  assert.equal(probesOf(before, [], []), []);
});

test("a vCPU that does not start ends the others, and its error is the crew's", async () => {
  const starting = () =>
    new Worker("require('node:worker_threads').parentPort.on('message', () => {})", { eval: true });
  const others = [starting(), starting()];
  const exits = others.map((worker) => once(worker, "exit"));
  const broken = new Worker("throw new Error('no memory for the vCPU')", { eval: true });
  const error = await Crew.of([...others, broken]).catch((reason) => reason);
  assert.match(String(error), /^Error: no memory for the vCPU$/);
  await Promise.all(exits);
});

test("where there are gaps, probes are in them only", () => {
  const slots = [region(0, 0, 8, 100), region(1, 20, 4, 200), region(slotNumber(1, 0), 0, 8, 300)];
  const gap = { asId: 0, start: 20 * PAGE, end: 24 * PAGE };
  assert.equal(probesOf(slots, slots, [gap]).map(inPages), [[0, 20, 24, 200, 200]]);
  assert.is(probesOf(slots, slots, [{ ...gap, asId: 1 }]).length, 3, "a gap of nothing that stays");
});

test("chosen pages are all those of a commit's probes, and no other", () => {
  const probe = (asId: number, start: number, end: number): Probe => ({
    asId,
    start: start * PAGE,
    end: end * PAGE,
    before: (start + 100) * PAGE,
    after: (start + 200) * PAGE,
  });
  const probes = encodeProbes([[probe(0, 5, 6)], [], [probe(0, 1, 4), probe(1, 8, 10)]]);
  const page: ProbePage = { asId: -1, gpa: -1, before: -1, after: -1 };
  const rng = random(1);
  const chosen = (commit: number) => {
    const seen = new Set<string>();
    for (let i = 0; i < 500; i++) {
      if (!choosePage(probes, commit, rng.int(2 ** 32), page)) return [];
      assert.is(page.before - page.gpa, 100 * PAGE);
      assert.is(page.after - page.gpa, 200 * PAGE);
      seen.add(`${page.asId}:${page.gpa / PAGE}`);
    }
    return [...seen].sort();
  };
  assert.equal(chosen(0), ["0:5"]);
  assert.equal(chosen(1), []);
  assert.equal(chosen(2), ["0:1", "0:2", "0:3", "1:8", "1:9"]);
});

test("a writer does not wait for sections once a vCPU has failed", () => {
  const progress = new Progress(2);
  const same = new Progress(2, progress.buffer);
  same.fail(1);
  assert.throws(() => progress.awaitSections(1), /^vCPU 1 failed$/);
});

test("sections with nothing to do end a wait, and are not counted", () => {
  const progress = new Progress(2);
  const same = new Progress(2, progress.buffer);
  same.note(0);
  same.note(1, true);
  same.note(1, false);
  assert.is(progress.busySections, 2);
  // As of a vCPU that runs while the writer falls asleep: three are to come, none has something to do.
  const { wait } = Atomics;
  let waits = 0;
  Atomics.wait = (() => {
    waits++;
    same.note(0, false);
    same.note(1, false);
    return "ok";
  }) as typeof Atomics.wait;
  try {
    progress.awaitSections(3);
  } finally {
    Atomics.wait = wait;
  }
  assert.is(waits, 3);
  assert.is(progress.busySections, 2);
});

/** A slot that is cut in two and made whole again, in two address spaces. */
const CUT: Change[][] = [slotNumber(0, 0), slotNumber(1, 0)].flatMap((slot) => [
  [[slot, 0, 16, 0]],
  [
    [slot, 0, 0, 0],
    [slot, 0, 8, 0],
    [slot + 1, 8, 8, 8],
  ],
  [
    [slot, 0, 0, 0],
    [slot + 1, 0, 0, 0],
    [slot, 0, 16, 0],
  ],
]);

/** An engine class whose engines are changed by `change`; `number` counts them. */
function changed(change: (engine: MemslotEngine, number: number) => void): EngineClass {
  let number = 0;
  return {
    async create(options) {
      const engine = await MemslotEngine.create(options);
      change(engine, number++);
      return engine;
    },
  };
}

test("vCPUs miss pages under updates one by one, and none under lists", async () => {
  const { oneByOne, list } = await replayWatched(CUT, changed(leaveGaps));
  assert.ok(oneByOne.probed!.misses > 0);
  assert.is(list.probed!.misses, 0);
  assert.ok(list.probed!.accesses > 0);
});

test("pages that a commit unmaps are no misses", async () => {
  const { oneByOne } = await replayWatched([[[0, 0, 16, 0]], [[1, 20, 1, 20]], [[0, 0, 0, 0]]]);
  assert.is(oneByOne.probed!.misses, 0);
  assert.ok(oneByOne.probed!.accesses > 0);
});

test("without a crew nothing is probed", async () => {
  const { oneByOne, list } = await replayTrace(await readTrace(bootFile(linesOf(CUT))), MemslotEngine);
  assert.not("probed" in oneByOne || "probed" in list);
});

test("the vCPUs alone detect a list that is applied one by one", async () => {
  const { list } = await replayWatched(
    CUT,
    changed((engine) => {
      leaveGaps(engine);
      engine.setUserMemoryRegionList = (regions) => {
        for (const region of regions as Iterable<RegionLike>) engine.setUserMemoryRegion(region);
        return { generation: 0, published: true };
      };
    }),
  );
  assert.is(list.gaps.length, 0);
  assert.ok(list.probed!.misses > 0);
});

test("a page that translates to neither of its places ends the replay", async () => {
  // The first two engines are those of the replay without vCPUs, the third one is changed one by one.
  const engines = changed((engine, number) => {
    if (number !== 2) return;
    const set = engine.setUserMemoryRegion.bind(engine);
    engine.setUserMemoryRegion = (region) => {
      const { userspaceAddr } = region as UserspaceMemoryRegion;
      set({ ...region, userspaceAddr: Number(userspaceAddr) + PAGE } as UserspaceMemoryRegion);
    };
  });
  const outcome = await replayWatched(CUT, engines).catch(String);
  assert.match(String(outcome), /guest address \d+ translates to \d+, but is at \d+ before the commit/);
});

test.run();
