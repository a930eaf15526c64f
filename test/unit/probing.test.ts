/** The replay under the eyes of vCPUs: where they look, how the writer waits for them, and what they find. */
import { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Crew } from "../../src/cli/crew.js";
import { choosePage, encodeProbes, type Probe, type ProbePage, probesOf } from "../../src/cli/probes.js";
import { Progress } from "../../src/cli/progress.js";
import { type EngineClass, replayTrace, startVcpus } from "../../src/cli/replay.js";
import { readTrace } from "../../src/cli/trace.js";
import { bootFile, type Change, linesOf, PAGE } from "../support/boot.js";
import { random } from "../support/random.js";

const WORKER = new URL("../../dist/vcpuworker.js", import.meta.url);
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

function slot(number: number, gpaPage: number, npages: number, hostPage: number) {
  const [guestPhysAddr, memorySize, userspaceAddr] = [gpaPage, npages, hostPage].map((n) => n * PAGE);
  return {
    slot: number,
    flags: 0,
    guestPhysAddr: guestPhysAddr!,
    memorySize: memorySize!,
    userspaceAddr: userspaceAddr!,
  };
}

/** A probe in pages. */
function inPages({ asId, start, end, before, after }: Probe): number[] {
  return [asId, ...[start, end, before, after].map((bytes) => bytes / PAGE)];
}

test("probes are what is mapped before and after, with both host addresses", () => {
  const before = [slot(0, 0, 8, 100), slot(1, 20, 4, 200), slot(0x1_0000, 0, 4, 300)];
  const after = [slot(0, 0, 2, 100), slot(2, 4, 8, 500), slot(0x1_0000, 2, 4, 302)];
  assert.equal(probesOf(before, after, []).map(inPages), [
    [0, 0, 2, 100, 100],
    [0, 4, 8, 104, 500],
    [1, 2, 4, 302, 302],
  ]);
  assert.equal(probesOf([], after, []), []);
  assert.equal(probesOf(before, [], []), []);
});

test("where there are windows, probes are in them only", () => {
  const slots = [slot(0, 0, 8, 100), slot(1, 20, 4, 200), slot(0x1_0000, 0, 8, 300)];
  const window = { asId: 0, start: 20 * PAGE, end: 24 * PAGE };
  assert.equal(probesOf(slots, slots, [window]).map(inPages), [[0, 20, 24, 200, 200]]);
  assert.is(probesOf(slots, slots, [{ ...window, asId: 1 }]).length, 3, "a window of nothing that stays");
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

/** A slot that is cut in two and made whole again, in two address spaces. */
const CUT: Change[][] = [0, 0x1_0000].flatMap((asId) => [
  [[asId, 0, 16, 0]],
  [
    [asId, 0, 0, 0],
    [asId, 0, 8, 0],
    [asId + 1, 8, 8, 8],
  ],
  [
    [asId, 0, 0, 0],
    [asId + 1, 0, 0, 0],
    [asId, 0, 16, 0],
  ],
]);

test("vCPUs run into the windows one by one, and into nothing as lists", async () => {
  const { oneByOne, list } = await replayWatched(CUT);
  assert.ok(oneByOne.probed!.misses > 0);
  assert.is(list.probed!.misses, 0);
  assert.ok(list.probed!.accesses > 0);
});

test("pages that a commit really takes away are no misses", async () => {
  const { oneByOne } = await replayWatched([[[0, 0, 16, 0]], [[1, 20, 1, 20]], [[0, 0, 0, 0]]]);
  assert.is(oneByOne.probed!.misses, 0);
  assert.ok(oneByOne.probed!.accesses > 0);
});

test("without a crew nobody looks", async () => {
  const { oneByOne, list } = await replayTrace(await readTrace(bootFile(linesOf(CUT))), MemslotEngine);
  assert.not("probed" in oneByOne || "probed" in list);
});

/** An engine class whose engines are changed by `change`; `number` counts them. */
function broken(
  change: (engine: Awaited<ReturnType<EngineClass["create"]>>, number: number) => void,
): EngineClass {
  let number = 0;
  return {
    async create(options) {
      const engine = await (MemslotEngine as EngineClass).create(options);
      change(engine, number++);
      return engine;
    },
  };
}

test("a list that is applied one by one is found out by the vCPUs alone", async () => {
  const { list } = await replayWatched(
    CUT,
    broken((engine) => {
      engine.setUserMemoryRegionList = (regions) => {
        for (const region of regions) engine.setUserMemoryRegion(region);
      };
    }),
  );
  assert.is(list.windows.length, 0);
  assert.ok(list.probed!.misses > 0);
});

test("a page that translates to neither of its places ends the replay", async () => {
  // The first two engines are those of the replay without vCPUs, the third one is changed one by one.
  const engines = broken((engine, number) => {
    if (number !== 2) return;
    const set = engine.setUserMemoryRegion.bind(engine);
    engine.setUserMemoryRegion = (region) => set({ ...region, userspaceAddr: region.userspaceAddr + PAGE });
  });
  const outcome = await replayWatched(CUT, engines).catch(String);
  assert.match(String(outcome), /guest address \d+ translates to \d+, but is at \d+ before the commit/);
});

test.run();
