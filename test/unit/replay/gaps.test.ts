/** Gaps known by hand: of boots of a few pages, and of states put together for the purpose. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HVA_BAD } from "../../../src/kvm/uapi.js";
import type { CommitGap } from "../../../src/replay/commits.js";
import { findGaps, flagsOf, look, type Sight, type View } from "../../../src/replay/gaps.js";
import { lossesOf } from "../../../src/replay/losses.js";
import { replayJson } from "../../../src/replay/report.js";
import { bootFile, type Change, linesOf, replayFile } from "../../support/boot.js";
import { PAGE } from "../../support/region.js";

/** Gaps, one by one, of the last commit: [first page, end page, unmapped, mapped, kind]. */
async function gapsOfLast(commits: readonly (readonly Change[])[]) {
  const { oneByOne, list } = await replayFile(bootFile(linesOf(commits)));
  assert.equal(list.gaps, []);
  return oneByOne.gaps
    .filter(({ commit }) => commit === commits.length - 1)
    .map((w) => [w.start / PAGE, w.end / PAGE, w.unmapped, w.mapped, w.same ? "same" : "remap"]);
}

test("a slot cut in two: each half is a gap, the page between them is none", async () => {
  const cut: Change[] = [
    [0, 0, 0, 0],
    [0, 0, 4, 0],
    [1, 5, 3, 5],
  ];
  assert.equal(await gapsOfLast([[[0, 0, 8, 0]], cut]), [
    [0, 4, 0, 1, "same"],
    [5, 8, 0, 2, "same"],
  ]);
});

test("two slots merged: one gap where one update took both, two where two did", async () => {
  const before: Change[] = [
    [0, 0, 4, 0],
    [1, 4, 4, 4],
  ];
  const merge: Change[] = [
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0, 0, 8, 0],
  ];
  assert.equal(await gapsOfLast([before, merge]), [
    [0, 4, 0, 2, "same"],
    [4, 8, 1, 2, "same"],
  ]);
  assert.equal(await gapsOfLast([before, merge, [[0, 0, 0, 0]], [[0, 0, 8, 0]]]), []);
});

test("pages that were not mapped before, or are not after, are in no gap", async () => {
  const shifted: Change[] = [
    [0, 0, 0, 0],
    [0, 2, 6, 2],
  ];
  assert.equal(await gapsOfLast([[[0, 0, 4, 0]], shifted]), [[2, 4, 0, 1, "same"]]);
});

test("remap: other host pages, another block, other flags, LOG_DIRTY_PAGES among them", async () => {
  for (const after of [
    [0, 0, 4, 1],
    [0, 0, 4, 0, 0, "rom"],
    [0, 0, 4, 0, 2],
    [0, 0, 4, 0, 1],
  ] as Change[]) {
    assert.equal(await gapsOfLast([[[0, 0, 4, 0]], [[0, 0, 0, 0], after]]), [[0, 4, 0, 1, "remap"]]);
  }
});

test("a run ends where the translation jumps or the flags change, before or after", () => {
  const ranges = [0, 1, 2].map((page) => ({ asId: 0, start: page * PAGE, end: (page + 1) * PAGE }));
  const sights = (hvas: number[]) => hvas.map((hva) => ({ hva: hva * PAGE, readonly: false }));
  const gone = ranges.map(() => ({ hva: HVA_BAD, readonly: false }));
  const pages = (before: View, after: View) =>
    findGaps(ranges, before, [gone, [...after.sights]], after).map(({ start, end }) => [
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
    findGaps(ranges, view, [missing, sights], view).map(({ asId, start }) => [asId, start / PAGE]);
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
  const gap = (commit: number, start: number, end: number, same = true): CommitGap => {
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
  const losses = (gaps: CommitGap[]) =>
    lossesOf(gaps).map((l) => [l.start / PAGE, l.end / PAGE, l.times, l.same, l.running]);
  assert.equal(losses([]), []);
  assert.equal(losses([gap(1, 0, 4), { ...gap(1, 0, 4), asId: 1 }]), [
    [0, 4, 1, 1, 0],
    [0, 4, 1, 1, 0],
  ]);
  assert.equal(losses([gap(1, 0, 4), gap(1, 4, 8)]), [[0, 8, 1, 1, 0]]);
  assert.equal(losses([gap(1, 0, 4), gap(2, 4, 9)]), [
    [4, 9, 1, 1, 1],
    [0, 4, 1, 1, 0],
  ]);
  assert.equal(losses([gap(1, 0, 4), gap(1, 4, 9, false)]), [
    [4, 9, 1, 0, 0],
    [0, 4, 1, 1, 0],
  ]);
  assert.equal(losses([gap(1, 0, 4), gap(1, 5, 9)]), [
    [0, 4, 1, 1, 0],
    [5, 9, 1, 1, 0],
  ]);
  assert.equal(losses([gap(1, 0, 8), gap(2, 6, 9), gap(3, 6, 9)]), [
    [0, 6, 1, 1, 0],
    [6, 8, 3, 3, 2],
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

test("a page that vanishes twice in a commit is one page, missing from first to last", async () => {
  const twice: Change[] = [
    [0, 0, 0, 0],
    [0, 0, 4, 0],
    [0, 0, 0, 0],
    [0, 0, 2, 0],
    [1, 2, 2, 2],
  ];
  const commits = [[[0, 0, 4, 0] as Change], twice];
  assert.equal(await gapsOfLast(commits), [
    [0, 2, 0, 3, "same"],
    [2, 4, 0, 4, "same"],
  ]);
  const { oneByOne } = replayJson(await replayFile(bootFile(linesOf(commits))));
  assert.equal(oneByOne, { publications: 6, gaps: 2, same: 2, remap: 0, gapPages: 4 });
});

test("a move is one publication: no page is missing that is mapped before and after", async () => {
  assert.equal(await gapsOfLast([[[0, 0, 4, 0]], [[0, 2, 4, 0]]]), []);
});

test("a commit without net effect makes gaps one by one and no publication as a list", async () => {
  const nothing: Change[] = [
    [0, 0, 0, 0],
    [0, 0, 4, 0],
  ];
  const json = replayJson(await replayFile(bootFile(linesOf([[[0, 0, 4, 0]], nothing]))));
  assert.equal(json.oneByOne, { publications: 3, gaps: 1, same: 1, remap: 0, gapPages: 4 });
  assert.equal(json.list, { publications: 1, gaps: 0, gapPages: 0 });
});

test("a gap of one address space is none of another", async () => {
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
  const { oneByOne } = await replayFile(bootFile(linesOf(commits)));
  assert.equal(
    oneByOne.gaps.map(({ asId, start, end }) => [asId, start, end]),
    [[1, 0, 8 * PAGE]],
  );
});

test.run();
