/** Histories in short; and that the checker sees: made-up histories, and threads that break their lists. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Commit, type History, violationsOf } from "./checker.js";
import { runHistories } from "./history.js";

const SEED = Number(process.env.SEED ?? 20261);
const CELLS = 4;
console.log(`seed ${SEED}`);

/** A commit of all cells; a section that has found `ids` in cells 0 and 1. */
const commit = (id: number, begun: number, ended: number, cells = [0, 1]): Commit => ({
  begun,
  ended,
  id,
  generation: id,
  cells,
});
const section = (begun: number, ended: number, ...ids: number[]) => ({
  begun,
  ended,
  seen: ids.map((id, cell) => ({ cell, value: id * CELLS + cell })),
});
const history = (commits: Commit[], ...sections: History["sections"][number][]): History => ({
  cells: CELLS,
  commits,
  sections,
});
const TWO = [commit(1, 10, 20), commit(2, 30, 40)];

test("what is linearizable is accepted", () => {
  for (const sections of [
    [section(0, 5, 0, 0), section(21, 29, 1, 1), section(41, 50, 2, 2)],
    // In the time of a commit both layouts are right, each for its section.
    [section(5, 100, 0, 0), section(5, 100, 1, 1), section(5, 100, 2, 2)],
    [section(11, 12, 0, 0), section(13, 14, 1, 1), section(31, 32, 1, 1), section(33, 34, 2, 2)],
  ]) {
    assert.equal(violationsOf(history(TWO, ...sections)), []);
  }
  // The second commit leaves cell 0 as it is.
  assert.equal(violationsOf(history([commit(1, 10, 20), commit(2, 30, 40, [1])], section(50, 60, 1, 2))), []);
});

test("what is not is refused, each for its reason", () => {
  const both = [commit(1, 10, 20, [0]), commit(2, 30, 40, [1])];
  for (const [what, given, reason] of [
    ["half of a list", history(TWO, section(11, 100, 1, 0)), /of no one layout/],
    ["the halves of two lists", history(TWO, section(31, 100, 2, 1)), /of no one layout/],
    ["the past", history(TWO, section(50, 60, 1, 1)), /not of its time/],
    ["the future", history(TWO, section(21, 29, 2, 2)), /not of its time/],
    ["back in time", history(TWO, section(31, 32, 2, 2), section(33, 34, 1, 1)), /not of its time/],
    ["one cell back in time", history(both, section(31, 32, 1, 2), section(33, 34, 1, 0)), /not of its time/],
    ["a value of nobody", history(TWO, section(50, 60, 3, 3)), /nobody has put there/],
    [
      "a value of another cell",
      { ...history(TWO), sections: [{ begun: 50, ended: 60, seen: [{ cell: 0, value: 9 }] }] },
      /nobody/,
    ],
    [
      "no value",
      { ...history(TWO), sections: [{ begun: 50, ended: 60, seen: [{ cell: 0, value: -1 }] }] },
      /nobody/,
    ],
    [
      "one generation twice",
      history([commit(1, 0, 9), { ...commit(2, 10, 19), generation: 1 }]),
      /have generation 1/,
    ],
    [
      "generations against the clock",
      history([commit(2, 10, 20), commit(1, 30, 40)]),
      /has the higher generation/,
    ],
  ] as const) {
    const [first = ""] = violationsOf(given);
    assert.match(first, reason, what);
  }
});

test("histories of real threads: slots and windows of two address spaces", async () => {
  const { violations, commits, sections } = await runHistories({ seconds: 2, vcpus: 2, seed: SEED });
  assert.equal(violations, []);
  assert.ok(commits > 0 && sections > 0);
});

test("a writer whose list is two lists is seen", async () => {
  const { violations } = await runHistories({ seconds: 60, vcpus: 2, seed: SEED, breakage: "split" });
  assert.ok(violations.some((text) => text.includes("of no one layout")));
});

test.run();
