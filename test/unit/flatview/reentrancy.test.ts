/**
 * Callbacks that commit or throw: sinks of records, listeners, notifiers. Each hears of the publications in order, and
 * what one throws keeps nothing from the others.
 */
import { addHostNotifier, invalidateHostRange, MemslotEngine, record } from "memslots";
import { FlatViews, MemoryRegion } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ownRegion } from "../../support/region.js";

function ram(name: string, at: number): MemoryRegion {
  const root = MemoryRegion.container("root", 2n ** 40n);
  root.addSubregion(at, MemoryRegion.ram(name, 0x1000, 0x10000));
  return root;
}

test("a sink that commits: its commit is recorded behind the one that is being told", async () => {
  const engine = await MemslotEngine.create();
  const lines: { commit: number; slot: number }[] = [];
  let commits = 0;
  const end = record(engine, (line) => {
    lines.push(JSON.parse(line));
    if (commits-- > 0) engine.setUserMemoryRegion(ownRegion(10 + commits, 10 + commits, 1));
  });
  lines.length = 0;
  commits = 2;
  engine.setUserMemoryRegionList([ownRegion(0, 0, 1), ownRegion(1, 1, 1), ownRegion(2, 2, 1)]);
  end();
  assert.equal(
    lines.map(({ slot }) => slot),
    [0, 1, 2, 11, 10],
  );
  assert.is(new Set(lines.slice(0, 3).map(({ commit }) => commit)).size, 1);
  const numbers = lines.map(({ commit }) => commit);
  assert.equal(
    numbers,
    [...numbers].sort((a, b) => a - b),
    "in the order of publication",
  );
});

test("a listener that commits: the others hear of that once they have heard of this", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  const told: string[] = [];
  const listen = (name: string, more: () => void) => {
    views.addListener({
      begin: () => told.push(`${name} begin`),
      regionAdd: ({ name: region }) => {
        told.push(`${name} +${region}`);
        more();
      },
      regionDel: ({ name: region }) => told.push(`${name} -${region}`),
      commit: () => told.push(`${name} commit`),
    });
  };
  let commits = 1;
  listen("a", () => {
    if (commits-- > 0) views.set(ram("second", 0x200000));
  });
  listen("b", () => {});
  told.length = 0;
  views.set(ram("first", 0x100000));
  const of = (name: string) =>
    told.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(2));
  const expected = ["begin", "+first", "commit", "begin", "-first", "+second", "commit"];
  assert.equal(of("a"), expected);
  assert.equal(of("b"), expected);
  assert.is(engine.slots().length, 1);
});

test("a listener that throws: the others are told, and the first error comes out of the commit", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  const told: string[] = [];
  let broken = false;
  const fail = (text: string) => () => {
    if (broken) throw new Error(text);
  };
  views.addListener({ begin: fail("one"), regionAdd: fail("two"), commit: fail("three") });
  views.addListener({ regionAdd: ({ name }) => told.push(name), commit: () => told.push("commit") });
  told.length = 0;
  broken = true;
  assert.throws(() => views.set(ram("first", 0x100000)), /^one$/);
  assert.equal(told, ["first", "commit"]);
  assert.is(engine.slots().length, 1, "the commit is in force");
  broken = false;
  views.set(ram("second", 0x100000));
  assert.equal(told, ["first", "commit", "second", "commit"]);
});

test("a listener that throws when it is added is not there", async () => {
  const views = new FlatViews(await MemslotEngine.create());
  let calls = 0;
  const listener = {
    begin: () => {
      calls++;
      throw new Error("no");
    },
  };
  assert.throws(() => views.addListener(listener), /^no$/);
  views.set(ram("first", 0x100000));
  assert.is(calls, 1);
});

test("a listener that is added by another one hears of each change once", async () => {
  const views = new FlatViews(await MemslotEngine.create());
  const told: string[] = [];
  let added = false;
  views.addListener({
    regionAdd: () => {
      if (added) return;
      added = true;
      views.addListener({ regionAdd: ({ name }) => told.push(name) });
    },
  });
  views.set(ram("first", 0x100000));
  assert.equal(told, ["first"]);
});

test("a notifier that commits, invalidates, or removes itself", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([ownRegion(0, 0, 1), { ...ownRegion(1, 1, 1), userspaceAddr: 0 }]);
  const told: number[] = [];
  const gone = new Set<number>();
  let deep = 0;
  const remove = addHostNotifier(engine, ({ slot }) => {
    told.push(slot);
    // The thread is in the section of the call, whose layout has the slots still.
    if (!gone.has(slot)) engine.setUserMemoryRegion(ownRegion(slot, 0, 0));
    gone.add(slot);
    if (deep++ === 0) assert.is(invalidateHostRange(engine, 0, 1), 2, "its section has the layout of before");
    remove();
  });
  assert.is(invalidateHostRange(engine, 0, 1), 2);
  assert.is(engine.slots().length, 0);
  assert.ok(told.length >= 2);
  assert.is(invalidateHostRange(engine, 0, 1), 0);
});

test.run();
