/** Replayed boots: the figures recorded beside them, windows known by hand, windows found by an independent count. */
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { AsLists, type CommitWindow, type ReplayVcpu } from "../../src/cli/commits.js";
import { lossesOf } from "../../src/cli/losses.js";
import { type EngineClass, type Replay, replayTrace } from "../../src/cli/replay.js";
import { replayJson, replayText } from "../../src/cli/report.js";
import { readTrace } from "../../src/cli/trace.js";
import { findWindows, flagsOf, look, type Sight, type View } from "../../src/cli/windows.js";
import { HVA_BAD } from "../../src/uapi.js";
import { throwsInputError } from "../support/inputerror.js";
import { randomBoot } from "../support/pagewindows.js";
import { random } from "../support/random.js";
import { jsonlFile } from "../support/tempfile.js";

const TRACES = fileURLToPath(new URL("../traces/qemu/", import.meta.url));
const PAGE = 0x1000;
const HEADER = { machine: "m", blocks: { ram: "0x100000", rom: "0x10000" } };

/** Of each boot: updates, commits, windows running (same, remap), windows not running, windows running of >= 100 MiB. */
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

const WINDOW_PAGES: Record<string, number> = {
  "pc-1g-reset": 2_619_977,
  "q35-5g-std": 2_620_675,
  "guest-pc-1g-cirrus": 2_101_747,
  "microvm-1g": 262_144,
};

/** Windows of pc-1g-reset by commit: start, end, kind, ioctls from the one that unmapped to the one that mapped. */
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

async function replayFile(file: string, engineClass: EngineClass = MemslotEngine): Promise<Replay> {
  return replayTrace(await readTrace(file), engineClass);
}

type Change = [
  slot: number,
  gpaPage: number,
  npages: number,
  hostPage: number,
  flags?: number,
  block?: string,
];

/** Lines of a trace from commits of changes; 0 pages is a delete. */
function lines(commits: readonly (readonly Change[])[]): object[] {
  const live = new Map<number, number>();
  return commits.flatMap((changes, commit) =>
    changes.map(([slot, gpaPage, npages, hostPage, flags = 0, block = "ram"]) => {
      const old = live.get(slot);
      const kind =
        npages === 0 ? "delete" : old === undefined ? "create" : old === gpaPage ? "flags" : "move";
      if (npages === 0) live.delete(slot);
      else live.set(slot, gpaPage);
      const [gpa, size, off] = [gpaPage, npages, hostPage].map((pages) => `0x${(pages * PAGE).toString(16)}`);
      return { t: commit, commit, slot, kind, flags, gpa, size, block, off, ret: 0 };
    }),
  );
}

/** Windows, one by one, of the last commit: [first page, end page, unmapped, mapped, kind]. */
async function windowsOfLast(commits: readonly (readonly Change[])[]) {
  const { oneByOne, list } = await replayFile(jsonlFile([HEADER, ...lines(commits)]));
  assert.equal(list.windows, []);
  return oneByOne.windows
    .filter(({ commit }) => commit === commits.length - 1)
    .map((w) => [w.start / PAGE, w.end / PAGE, w.unmapped, w.mapped, w.same ? "same" : "remap"]);
}

for (const [name, [updates, commits, same, remap, stopped, large]] of Object.entries(BOOTS)) {
  test(`${name}: windows as recorded one by one, none as lists`, async () => {
    const replay = await replayFile(`${TRACES}${name}.jsonl.gz`);
    const running = replay.oneByOne.windows.filter(({ phase }) => phase === "running");
    assert.is(running.filter((window) => window.same).length, same);
    assert.is(running.filter((window) => !window.same).length, remap);
    assert.is(running.filter(({ start, end }) => end - start >= 100 * 2 ** 20).length, large);
    const json = replayJson(replay);
    assert.is(json.updates, updates);
    assert.is(json.commits, commits);
    assert.is(json.machine, name);
    assert.is(json.oneByOne.windows, same + remap + stopped);
    assert.is(json.oneByOne.same + json.oneByOne.remap, json.oneByOne.windows);
    assert.is(json.oneByOne.publications, updates);
    // In these boots every commit has a net effect.
    assert.equal(json.list, { publications: commits, windows: 0, windowPages: 0 });
    if (name in WINDOW_PAGES) assert.is(json.oneByOne.windowPages, WINDOW_PAGES[name]);
  });
}

test("pc-1g-reset: each window of a firmware pass, and all RAM lost 9 times while running", async () => {
  const { trace, oneByOne } = await replayFile(`${TRACES}pc-1g-reset.jsonl.gz`);
  for (const [commit, expected] of Object.entries(RESET_WINDOWS)) {
    const windows = oneByOne.windows.filter((window) => window.commit === Number(commit));
    assert.equal(
      windows.map((w) => [w.start, w.end, w.same ? "same" : "remap", w.mapped - w.unmapped]),
      expected,
      `commit ${commit}`,
    );
  }
  const [largest] = lossesOf(oneByOne.windows);
  assert.equal(
    [largest?.start, largest?.end, largest?.running, largest?.times, largest?.same],
    [0x100000, 0x40000000, 9, 10, 10],
  );
  assert.equal([...new Set(largest?.hvas.map((hva) => trace.blocks.name(hva)))], ["pc.ram"]);
});

test("guest-pc-1g-cirrus: each switch of a VGA bank is a remap window", async () => {
  const { trace, oneByOne } = await replayFile(`${TRACES}guest-pc-1g-cirrus.jsonl.gz`);
  const banks = oneByOne.windows.filter(({ same, hva }) => !same && trace.blocks.name(hva) === "vga.vram");
  assert.is(banks.length, 263);
  assert.is(banks.filter(({ start, end }) => start === 0xa0000 && end === 0xb0000).length, 257);
});

test("a slot cut in two: each half is a window of its own, the page between them is none", async () => {
  const cut: Change[] = [
    [0, 0, 0, 0],
    [0, 0, 4, 0],
    [1, 5, 3, 5],
  ];
  assert.equal(await windowsOfLast([[[0, 0, 8, 0]], cut]), [
    [0, 4, 0, 1, "same"],
    [5, 8, 0, 2, "same"],
  ]);
});

test("two slots merged: one window where one update took both, two where two did", async () => {
  const before: Change[] = [
    [0, 0, 4, 0],
    [1, 4, 4, 4],
  ];
  const merge: Change[] = [
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0, 0, 8, 0],
  ];
  assert.equal(await windowsOfLast([before, merge]), [
    [0, 4, 0, 2, "same"],
    [4, 8, 1, 2, "same"],
  ]);
  assert.equal(await windowsOfLast([before, merge, [[0, 0, 0, 0]], [[0, 0, 8, 0]]]), []);
});

test("pages that were not mapped before, or are not after, are in no window", async () => {
  const shifted: Change[] = [
    [0, 0, 0, 0],
    [0, 2, 6, 2],
  ];
  assert.equal(await windowsOfLast([[[0, 0, 4, 0]], shifted]), [[2, 4, 0, 1, "same"]]);
});

test("remap: other host pages, another block, other flags, LOG_DIRTY_PAGES among them", async () => {
  for (const after of [
    [0, 0, 4, 1],
    [0, 0, 4, 0, 0, "rom"],
    [0, 0, 4, 0, 2],
    [0, 0, 4, 0, 1],
  ] as Change[]) {
    assert.equal(await windowsOfLast([[[0, 0, 4, 0]], [[0, 0, 0, 0], after]]), [[0, 4, 0, 1, "remap"]]);
  }
});

test("a run ends where the translation jumps or the flags change, before or after", () => {
  const ranges = [0, 1, 2].map((page) => ({ asId: 0, start: page * PAGE, end: (page + 1) * PAGE }));
  const sights = (hvas: number[]) => hvas.map((hva) => ({ hva: hva * PAGE, readonly: false }));
  const gone = ranges.map(() => ({ hva: HVA_BAD, readonly: false }));
  const pages = (before: View, after: View) =>
    findWindows(ranges, before, [gone, [...after.sights]], after).map(({ start, end }) => [
      start / PAGE,
      end / PAGE,
    ]);
  const straight = { sights: sights([7, 8, 9]), flags: [0, 0, 0] };
  const jump = { sights: sights([7, 8, 5]), flags: [0, 0, 0] };
  const logged = { sights: sights([7, 8, 9]), flags: [0, 1, 1] };
  assert.equal(pages(straight, straight), [[0, 3]]);
  for (const [before, after] of [
    [jump, straight],
    [straight, jump],
  ] as const) {
    assert.equal(pages(before, after), [
      [0, 2],
      [2, 3],
    ]);
  }
  for (const [before, after] of [
    [logged, straight],
    [straight, logged],
  ] as const) {
    assert.equal(pages(before, after), [
      [0, 1],
      [1, 3],
    ]);
  }
});

test("a run ends at a range that stayed mapped, and at the end of its address space", () => {
  const sights = [7, 8, 9].map((hva) => ({ hva: hva * PAGE, readonly: false }));
  const view = { sights, flags: [0, 0, 0] };
  const gone = { hva: HVA_BAD, readonly: false };
  const range = (asId: number, page: number) => ({ asId, start: page * PAGE, end: (page + 1) * PAGE });
  const found = (ranges: ReturnType<typeof range>[], missing: Sight[]) =>
    findWindows(ranges, view, [missing, sights], view).map(({ asId, start }) => [asId, start / PAGE]);
  const row = [range(0, 0), range(0, 1), range(0, 2)];
  assert.equal(found(row, [gone, sights[1]!, gone]), [
    [0, 0],
    [0, 2],
  ]);
  assert.equal(found([range(0, 0), range(1, 1), range(1, 2)], [gone, gone, gone]), [
    [0, 0],
    [1, 1],
  ]);
});

test("losses: neighbours are one only when the same commits took them, in the same way", () => {
  const window = (commit: number, start: number, end: number, same = true): CommitWindow => {
    const range = { asId: 0, start: start * PAGE, end: end * PAGE };
    return {
      ...range,
      commit,
      same,
      phase: commit < 2 ? "init" : "running",
      unmapped: 0,
      mapped: 1,
      hva: commit,
    };
  };
  const losses = (windows: CommitWindow[]) =>
    lossesOf(windows).map((l) => [l.start / PAGE, l.end / PAGE, l.times, l.same, l.running]);
  assert.equal(losses([]), []);
  assert.equal(losses([window(1, 0, 4), window(1, 4, 8)]), [[0, 8, 1, 1, 0]]);
  assert.equal(losses([window(1, 0, 4), window(2, 4, 9)]), [
    [4, 9, 1, 1, 1],
    [0, 4, 1, 1, 0],
  ]);
  assert.equal(losses([window(1, 0, 4), window(1, 4, 9, false)]), [
    [4, 9, 1, 0, 0],
    [0, 4, 1, 1, 0],
  ]);
  assert.equal(losses([window(1, 0, 4), window(1, 5, 9)]), [
    [0, 4, 1, 1, 0],
    [5, 9, 1, 1, 0],
  ]);
  assert.equal(losses([window(1, 0, 8), window(2, 6, 9), window(3, 6, 9)]), [
    [6, 8, 3, 3, 2],
    [0, 6, 1, 1, 0],
    [8, 9, 2, 2, 2],
  ]);
});

test("lookups that contradict each other or the slots are an error, not a figure", () => {
  const range = [{ asId: 0, start: 0, end: 2 * PAGE }];
  const map = (read: number[], write: number[]) => ({
    gpaToHvaRead: (gpa: number) => read[gpa / PAGE] as number,
    gpaToHva: (gpa: number) => write[gpa / PAGE] as number,
  });
  const [a, b] = [8 * PAGE, 9 * PAGE];
  assert.equal(look(map([a, b], [a, b]), range), [{ hva: a, readonly: false }]);
  assert.equal(look(map([a, b], [-2, -2]), range), [{ hva: a, readonly: true }]);
  assert.equal(look(map([-1, -1], [-1, -1]), range), [{ hva: -1, readonly: false }]);
  for (const [read, write] of [
    [
      [a, -1],
      [a, -1],
    ],
    [
      [-1, b],
      [-1, b],
    ],
    [
      [a, a],
      [a, a],
    ],
    [
      [a, b],
      [a, -2],
    ],
    [
      [a, b],
      [b, a],
    ],
    [
      [a, b],
      [-1, -1],
    ],
    [
      [-1, -1],
      [-2, -2],
    ],
  ] as [number[], number[]][]) {
    assert.throws(() => look(map(read, write), range), /^the engine's lookups disagree in \[0x0, 0x2000\)/);
  }
  const slot = { slot: 0, flags: 1, guestPhysAddr: 0, memorySize: 2 * PAGE, userspaceAddr: a };
  assert.equal(
    flagsOf(() => [slot], range, [{ hva: a, readonly: false }]),
    [1],
  );
  assert.equal(
    flagsOf(() => [], range, [{ hva: -1, readonly: false }]),
    [-1],
  );
  for (const sight of [
    { hva: b, readonly: false },
    { hva: a, readonly: true },
    { hva: -1, readonly: false },
  ]) {
    assert.throws(() => flagsOf(() => [slot], range, [sight]), /^slots and lookups of the engine disagree/);
  }
});

test("a page that vanishes twice in a commit is one page, missing from the first time to the last", async () => {
  const twice: Change[] = [
    [0, 0, 0, 0],
    [0, 0, 4, 0],
    [0, 0, 0, 0],
    [0, 0, 2, 0],
    [1, 2, 2, 2],
  ];
  const commits = [[[0, 0, 4, 0] as Change], twice];
  assert.equal(await windowsOfLast(commits), [
    [0, 2, 0, 3, "same"],
    [2, 4, 0, 4, "same"],
  ]);
  const { oneByOne } = replayJson(await replayFile(jsonlFile([HEADER, ...lines(commits)])));
  assert.equal(oneByOne, { publications: 6, windows: 2, same: 2, remap: 0, windowPages: 4 });
});

test("a move is one publication: no page is missing that is mapped before and after", async () => {
  assert.equal(await windowsOfLast([[[0, 0, 4, 0]], [[0, 2, 4, 0]]]), []);
});

test("a commit without net effect makes windows one by one and no publication as a list", async () => {
  const nothing: Change[] = [
    [0, 0, 0, 0],
    [0, 0, 4, 0],
  ];
  const json = replayJson(await replayFile(jsonlFile([HEADER, ...lines([[[0, 0, 4, 0]], nothing])])));
  assert.equal(json.oneByOne, { publications: 3, windows: 1, same: 1, remap: 0, windowPages: 4 });
  assert.equal(json.list, { publications: 1, windows: 0, windowPages: 0 });
});

test("address spaces are apart: a window of one is none of the other", async () => {
  const [as0, as1] = [1, 0x1_0000];
  const commits: Change[][] = [
    [
      [as0, 0, 4, 0],
      [as1, 0, 8, 8],
    ],
    [
      [as1, 0, 0, 0],
      [as1, 0, 8, 8],
    ],
  ];
  const { oneByOne } = await replayFile(jsonlFile([HEADER, ...lines(commits)]));
  assert.equal(
    oneByOne.windows.map(({ asId, start, end }) => [asId, start, end]),
    [[1, 0, 8 * PAGE]],
  );
});

for (let seed = 1; seed <= 60; seed++) {
  test(`random boot, seed ${seed}: windows are those of a count page by page`, async () => {
    const { lines, windows, effective } = randomBoot(random(seed), 12);
    const { oneByOne, list } = await replayFile(jsonlFile(lines));
    const found = oneByOne.windows.map(({ commit, start, end, unmapped, mapped, same }) => ({
      commit,
      start,
      end,
      unmapped,
      mapped,
      same,
    }));
    const expected = windows.map(({ commit, start, end, unmapped, mapped, same }) => ({
      commit,
      start,
      end,
      unmapped,
      mapped,
      same,
    }));
    assert.equal(found, expected);
    assert.equal(list, { publications: effective, windows: [] });
  });
}

test("updates that KVM or the engine refuses, or that are not of their kind, are named by line", async () => {
  const [create] = lines([[[0, 0, 4, 0]]]) as [object];
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
    const file = jsonlFile([HEADER, create, { t: 0, mark: "x" }, line]);
    await throwsInputError(() => replayFile(file), file, 4, reason);
  }
});

test("a list that the engine refuses is named by the line of the entry", async () => {
  const file = jsonlFile([
    HEADER,
    ...lines([
      [
        [0, 0, 4, 0],
        [1, 8, 1, 0],
        [2, 3, 2, 0],
      ],
    ]),
  ]);
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
  const { list } = replayJson(await replayFile(jsonlFile([HEADER, ...lines(commits)]), leaky));
  assert.equal(list, { publications: 3, windows: 2, windowPages: 4 });
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
  const outcome = await replayFile(jsonlFile([HEADER, ...lines([commit])]), lossy).catch(String);
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
