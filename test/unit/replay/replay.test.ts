/**
 * Replayed boots: the figures recorded beside them, gaps found by an independent count, refusals by line.
 */
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTrace } from "../../../src/cli/input.js";
import { HVA_BAD } from "../../../src/kvm/uapi.js";
import { AsLists, type ReplayVcpu } from "../../../src/replay/commits.js";
import { lossesOf } from "../../../src/replay/losses.js";
import type { EngineClass } from "../../../src/replay/replay.js";
import { replayJson, replayText } from "../../../src/replay/report.js";
import { bootFile, type Change, linesOf, replayFile } from "../../support/boot.js";
import { throwsInputError } from "../../support/inputerror.js";
import { randomBoot } from "../../support/pagegaps.js";
import { random } from "../../support/random.js";
import { PAGE } from "../../support/region.js";
import { jsonlFile } from "../../support/tempfile.js";

const TRACES = fileURLToPath(new URL("../../traces/qemu/", import.meta.url));
/** Random boots, by seed 1..SEEDS. */
const SEEDS = 60;

/**
 * Of each boot: updates, commits, gaps running (same, remap), gaps not running, gaps running of >=
 * 100 MiB.
 */
const BOOTS: Record<string, [number, number, number, number, number, number]> = {
  "pc-128m-std": [35, 11, 14, 4, 5, 3],
  "pc-1g-default": [67, 23, 33, 4, 5, 6],
  "pc-1g-cirrus": [35, 11, 14, 4, 5, 3],
  "q35-1g-default": [69, 25, 33, 4, 5, 6],
  "q35-5g-std": [38, 14, 14, 4, 5, 3],
  "microvm-1g": [6, 3, 0, 0, 3, 0],
  "pc-1g-reset": [91, 27, 52, 4, 5, 9],
  "q35-1g-reset": [65, 21, 33, 4, 5, 6],
  "pc-1g-hotplug": [66, 22, 33, 4, 5, 6],
  "pc-1g-migrate": [67, 15, 14, 4, 5, 3],
  "q35-5g-migrate-smp2": [74, 18, 14, 4, 5, 3],
  "guest-pc-128m-std": [301, 126, 142, 20, 5, 7],
  "guest-pc-1g-cirrus": [771, 333, 142, 283, 5, 7],
  "q35-1g-ovmf-kvm": [12, 7, 0, 0, 5, 0],
  "pc-1g-ovmf-kvm": [10, 5, 0, 0, 5, 0],
};

const GAP_PAGES: Record<string, number> = {
  "pc-1g-reset": 2_619_977,
  "q35-5g-std": 2_620_675,
  "guest-pc-1g-cirrus": 2_101_747,
  "microvm-1g": 262_144,
};

/**
 * Gaps of pc-1g-reset by commit: start, end, kind, ioctls from the one that unmapped to the one that
 * mapped.
 */
const RESET_WINDOWS: Record<number, [number, number, "same" | "remap", number][]> = {
  114: [
    [0xc0000, 0xd0000, "remap", 3],
    [0xd0000, 0xe0000, "same", 4],
    [0xe0000, 0xf0000, "same", 4],
    [0xf0000, 0x100000, "remap", 5],
    [0x100000, 0x40000000, "same", 4],
  ],
  115: [
    [0xc0000, 0xd0000, "same", 4],
    [0xd0000, 0xe0000, "remap", 3],
    [0xe0000, 0xf0000, "remap", 2],
    [0xf0000, 0x40000000, "same", 1],
  ],
  127: [
    [0xc0000, 0xca000, "same", 1],
    [0xca000, 0xcd000, "same", 2],
    [0xcd000, 0xd0000, "same", 3],
    [0xd0000, 0xf0000, "same", 4],
    [0xf0000, 0x100000, "same", 5],
    [0x100000, 0x40000000, "same", 6],
  ],
  128: [
    [0xcd000, 0xd0000, "same", 2],
    [0xd0000, 0xe8000, "same", 1],
    [0xe8000, 0xf0000, "same", 2],
  ],
  136: [
    [0xc0000, 0xca000, "same", 6],
    [0xca000, 0xcd000, "same", 5],
    [0xcd000, 0xd0000, "same", 4],
    [0xd0000, 0xe8000, "same", 5],
    [0xe8000, 0xf0000, "same", 5],
    [0xf0000, 0x100000, "same", 4],
    [0x100000, 0x40000000, "same", 3],
  ],
};

for (const [name, [updates, commits, same, remap, stopped, large]] of Object.entries(BOOTS)) {
  test(`${name}: gaps as recorded one by one, none as lists`, async () => {
    const replay = await replayFile(`${TRACES}${name}.jsonl.gz`);
    const running = replay.oneByOne.gaps.filter(({ phase }) => phase === "running");
    assert.is(running.filter((gap) => gap.same).length, same);
    assert.is(running.filter((gap) => !gap.same).length, remap);
    assert.is(running.filter(({ start, end }) => end - start >= 100 * 2 ** 20).length, large);
    const json = replayJson(replay);
    assert.is(json.updates, updates);
    assert.is(json.commits, commits);
    assert.is(json.machine, name);
    assert.is(json.oneByOne.gaps, same + remap + stopped);
    assert.is(json.oneByOne.same + json.oneByOne.remap, json.oneByOne.gaps);
    assert.is(json.oneByOne.publications, updates);
    // In these boots every commit has a net effect.
    assert.equal(json.list, { publications: commits, gaps: 0, gapPages: 0 });
    if (name in GAP_PAGES) assert.is(json.oneByOne.gapPages, GAP_PAGES[name]);
  });
}

test("pc-1g-reset: each gap of a firmware pass, and all RAM lost 9 times while running", async () => {
  const { trace, oneByOne } = await replayFile(`${TRACES}pc-1g-reset.jsonl.gz`);
  for (const [commit, expected] of Object.entries(RESET_WINDOWS)) {
    const gaps = oneByOne.gaps.filter((gap) => gap.commit === Number(commit));
    assert.equal(
      gaps.map((w) => [w.start, w.end, w.same ? "same" : "remap", w.mapped - w.unmapped]),
      expected,
      `commit ${commit}`,
    );
  }
  const [largest] = lossesOf(oneByOne.gaps);
  assert.equal(
    [largest?.start, largest?.end, largest?.running, largest?.times, largest?.same],
    [0x100000, 0x40000000, 9, 10, 10],
  );
  assert.equal([...new Set(largest?.hvas.map((hva) => trace.blocks.name(hva)))], ["pc.ram"]);
});

test("guest-pc-1g-cirrus: each switch of a VGA bank is a remap gap", async () => {
  const { trace, oneByOne } = await replayFile(`${TRACES}guest-pc-1g-cirrus.jsonl.gz`);
  const banks = oneByOne.gaps.filter(({ same, hva }) => !same && trace.blocks.name(hva) === "vga.vram");
  assert.is(banks.length, 263);
  assert.is(banks.filter(({ start, end }) => start === 0xa0000 && end === 0xb0000).length, 257);
});

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`random boot, seed ${seed}: gaps are those of a count page by page`, async () => {
    const { lines, gaps, effective } = randomBoot(random(seed), 12);
    const { oneByOne, list } = await replayFile(jsonlFile(lines));
    const found = oneByOne.gaps.map(({ commit, start, end, unmapped, mapped, same }) => ({
      commit,
      start,
      end,
      unmapped,
      mapped,
      same,
    }));
    assert.equal(found, gaps);
    assert.equal(list, { publications: effective, gaps: [] });
  });
}

test("the random boots hold gaps of both kinds, and commits without net effect", () => {
  const boots = Array.from({ length: SEEDS }, (_, i) => randomBoot(random(i + 1), 12));
  const gaps = boots.flatMap((boot) => boot.gaps);
  assert.ok(gaps.filter(({ same }) => same).length >= SEEDS, "same");
  assert.ok(gaps.filter(({ same }) => !same).length >= SEEDS, "remap");
  assert.ok(gaps.filter(({ unmapped, mapped }) => mapped - unmapped > 2).length >= SEEDS, "long");
  assert.ok(boots.some(({ effective }) => effective < 12));
});

test("updates that KVM or the engine refuses, or that are not of their kind, are named by line", async () => {
  const [create] = linesOf([[[0, 0, 4, 0]]]) as [object];
  const wrong: [object, RegExp][] = [
    [{ ...create, slot: 1, ret: -22 }, /^KVM refused this update \(ret -22\)/],
    [{ ...create, slot: 1 }, /^the engine refuses this update: .*EEXIST/],
    [{ ...create, slot: 32764, gpa: "0x10000" }, /^the engine refuses this update: .*EINVAL/],
    [create, /^kind is create, but on slot 0 as it is now this is a flags/],
    [{ ...create, gpa: "0x10000" }, /^kind is create, but on slot 0 as it is now this is a move/],
    [{ ...create, kind: "move", slot: 1 }, /^kind is move, but on slot 1 as it is now this is a create/],
    [{ ...create, kind: "delete", size: "0x0", slot: 1 }, /^the engine refuses this update: .*EINVAL/],
    [{ ...create, slot: 4 * 0x1_0000 }, /^slot 262144 is in address space 4, there are at most 4/],
  ];
  for (const [line, reason] of wrong) {
    const file = bootFile([create, { t: 0, mark: "x" }, line]);
    await throwsInputError(() => replayFile(file), file, 4, reason);
  }
});

test("a list that the engine refuses is named by the line of the entry", async () => {
  const overlap: Change[] = [
    [0, 0, 4, 0],
    [1, 8, 1, 0],
    [2, 3, 2, 0],
  ];
  const file = bootFile(linesOf([overlap]));
  const trace = await readTrace(file);
  const engine = await (MemslotEngine as EngineClass).create({
    addressSpaces: 1,
    maxSlots: 8,
    maxVcpus: 1,
    maxListEntries: 8,
    pageShift: 12,
    maxPhysAddrBits: 52,
  });
  const apply = async () => new AsLists(file, engine, 1).apply(trace.commits[0]!);
  await throwsInputError(apply, file, 4, /^the engine refuses commit 0 as a list: .*EEXIST/);
  engine.close();
});

test("a hole that only a read section sees is counted against the list", async () => {
  const leaky: EngineClass = {
    async create(options) {
      const engine = await (MemslotEngine as EngineClass).create(options);
      const make = engine.vcpu.bind(engine);
      engine.vcpu = (which): ReplayVcpu => {
        const vcpu = make(which);
        const lost = (gpa: number) => gpa < 2 * PAGE;
        return {
          enter: () => vcpu.enter(),
          exit: () => vcpu.exit(),
          gpaToHva: (gpa) => (lost(gpa) ? HVA_BAD : vcpu.gpaToHva(gpa)),
          gpaToHvaRead: (gpa) => (lost(gpa) ? HVA_BAD : vcpu.gpaToHvaRead(gpa)),
        };
      };
      return engine;
    },
  };
  const commits: Change[][] = [[[0, 0, 2, 0]], [[1, 4, 1, 4]], [[2, 6, 1, 6]]];
  const { list } = replayJson(await replayFile(bootFile(linesOf(commits)), leaky));
  assert.equal(list, { publications: 3, gaps: 2, gapPages: 4 });
});

test("a list that ends elsewhere than its updates is an error, not a figure", async () => {
  const lossy: EngineClass = {
    async create(options) {
      const engine = await (MemslotEngine as EngineClass).create(options);
      const apply = engine.setUserMemoryRegionList.bind(engine);
      engine.setUserMemoryRegionList = (regions) => apply(regions.slice(0, 2));
      return engine;
    },
  };
  const commit: Change[] = [
    [0, 0, 2, 0],
    [1, 4, 1, 4],
    [2, 6, 1, 6],
  ];
  const outcome = await replayFile(bootFile(linesOf([commit])), lossy).catch(String);
  assert.is(outcome, "Error: commit 0 as a list ends in another layout than its updates one by one");
});

test("text: counts of both ways and the largest loss; a boot without updates claims nothing", async () => {
  const text = replayText(await replayFile(`${TRACES}pc-1g-reset.jsonl.gz`)).split("\n");
  assert.is(text[0], "pc-1g-reset: 91 updates in 27 commits");
  assert.match(text[2] ?? "", /^ {2}one by one +91 +61 +55 +6 +2,619,977$/);
  assert.match(text[3] ?? "", /^ {2}as lists +27 +0 +0 +0 +0$/);
  assert.match(text[5] ?? "", /^ {2}\[0x100000, 0x40000000\) +1,023 MiB +10 +9 +10 +0 +pc\.ram$/);
  const none = replayText(await replayFile(`${TRACES}tcg-q35-1g-ovmf.jsonl.gz`));
  assert.match(
    none,
    /^tcg-q35-1g-ovmf: no KVM updates, nothing to replay .*3 section lists and 538 ROMD changes/,
  );
});

test.run();
