/** The page without its picture: timelines of traces and dumps, holes, and the player on an engine. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { timelineOfFiles } from "../../../examples/visualizer/files.js";
import { EngineMachine, type Machine } from "../../../examples/visualizer/machine.js";
import { draftOf, Player } from "../../../examples/visualizer/player.js";
import { type Timeline, timelineOfMaps, updatesBetween } from "../../../examples/visualizer/timeline.js";
import { readTrace } from "../../../src/cli/input.js";
import { withUpdate } from "../../../src/map/layouts.js";
import type { Slot } from "../../../src/replay/gaps.js";
import { type EngineClass, replayTrace } from "../../../src/replay/replay.js";

const TRACES = fileURLToPath(new URL("../../traces/qemu/", import.meta.url));
const DUMPS = fileURLToPath(new URL("../../traces/flatview/", import.meta.url));
const BOOTS = readdirSync(TRACES).filter((name) => !name.startsWith("tcg-"));

function fileOf(path: string, name: string): { name: string; blob: Blob } {
  return { name, blob: new Blob([new Uint8Array(readFileSync(path + name))]) };
}

function bootOf(name: string): Promise<Timeline> {
  return timelineOfFiles([fileOf(TRACES, name)]);
}

/** A machine that also keeps a record of the lists that it is given. */
async function newMachine(): Promise<Machine & { lists: number[]; engine: MemslotEngine }> {
  const engine = await MemslotEngine.create({ addressSpaces: 4, maxSlots: 4096, shared: false });
  const inner = new EngineMachine(engine, undefined, () => 0);
  const lists: number[] = [];
  return {
    engine,
    lists,
    watch: (probes, mode) => inner.watch(probes, mode),
    commit(updates) {
      lists.push(updates.length);
      return inner.commit(updates);
    },
    dirtyLogs: (slots) => inner.dirtyLogs(slots),
  };
}

function sorted(slots: Iterable<Slot>): Slot[] {
  return [...slots].sort((a, b) => a.slot - b.slot);
}

/** Tick to the end, `look` after every tick. */
async function playAll(player: Player, look: () => void): Promise<void> {
  while (player.state.step < player.state.timeline.steps.length) {
    await player.tick();
    assert.is(player.state.error, undefined);
    look();
  }
}

for (const mode of ["oneByOne", "list"] as const) {
  test(`every recorded boot plays ${mode}: the engine has each layout, the draft is what comes`, async () => {
    for (const name of BOOTS) {
      const timeline = await bootOf(name);
      const machine = await newMachine();
      const player = new Player(machine, () => {});
      await player.setMode(mode);
      await player.load(timeline);
      let draft = draftOf(player.state);
      await playAll(player, () => {
        const { step, entry, machine: now } = player.state;
        const expected =
          mode === "list"
            ? timeline.layouts[step]!
            : (timeline.steps[step]?.updates ?? [])
                .slice(0, entry)
                .reduce(withUpdate, timeline.layouts[step]!);
        assert.equal(sorted(now.slots), sorted(expected.values()), `${name} ${step}/${entry}`);
        // Each tick makes what the draft said, or, as a list, the last tick of a commit does.
        if (mode === "oneByOne" || entry === 0) assert.equal(sorted(now.slots), sorted(draft));
        draft = draftOf(player.state);
      });
      const updates = timeline.steps.reduce((sum, step) => sum + step.updates.length, 0);
      assert.is(machine.lists.length, mode === "list" ? timeline.steps.length : updates);
      machine.engine.close();
    }
  });
}

test("a commit has a hole exactly if its replay one by one finds a window, and never a larger one", async () => {
  for (const name of BOOTS) {
    const { steps } = await bootOf(name);
    const trace = await readTrace(TRACES + name);
    const { oneByOne } = await replayTrace(trace, MemslotEngine as EngineClass);
    steps.forEach(({ hole }, index) => {
      const windows = oneByOne.gaps.filter(({ commit }) => commit === trace.commits[index]!.id);
      const bytes = windows.reduce((sum, { start, end }) => sum + end - start, 0);
      assert.is(hole.bytes > 0, bytes > 0, `${name} ${index}`);
      assert.ok(hole.bytes <= bytes);
      assert.is(
        hole.ranges.reduce((sum, { start, end }) => sum + end - start, 0),
        hole.bytes,
      );
    });
  }
});

test("seek goes anywhere by one list; a half-made commit is taken back when the mode changes", async () => {
  const timeline = await bootOf("pc-1g-reset.jsonl.gz");
  const machine = await newMachine();
  const player = new Player(machine, () => {});
  await player.load(timeline);
  for (const step of [27, 0, 13, 12, 14, 99, -1, 4]) {
    machine.lists.length = 0;
    await player.seek(step);
    const at = Math.max(0, Math.min(27, step));
    assert.is(player.state.step, at);
    assert.equal(sorted(player.state.machine.slots), sorted(timeline.layouts[at]!.values()));
    assert.ok(machine.lists.length <= 1);
  }
  await player.tick();
  await player.tick();
  assert.is(player.state.entry, 2);
  assert.is.not(player.state.machine.slots.length, timeline.layouts[4]!.size);
  await player.setMode("list");
  assert.equal([player.state.step, player.state.entry], [4, 0]);
  assert.equal(sorted(player.state.machine.slots), sorted(timeline.layouts[4]!.values()));
});

test("a machine that fails stops the player for good, and the state says why", async () => {
  const timeline = await bootOf("microvm-1g.jsonl.gz");
  const machine = await newMachine();
  const player = new Player({ ...machine, commit: () => Promise.reject(new Error("broken")) }, () => {});
  await player.load(timeline);
  await player.tick();
  assert.equal([player.state.error, player.state.entry, player.state.playing], ["broken", 0, false]);
  await player.tick();
  player.play();
  assert.is(player.state.playing, false);
});

test("play ticks by itself until the end", async () => {
  const timeline = await bootOf("microvm-1g.jsonl.gz");
  const machine = await newMachine();
  await new Promise<void>((resolve) => {
    const player = new Player(machine, ({ step, playing }) => {
      if (step === timeline.steps.length && !playing) resolve();
    });
    player.setSpeed(1000);
    void player.load(timeline).then(() => player.play());
  });
  assert.is(machine.lists.length, 6);
});

test("every dump of QEMU plays, and dumps of one machine play one after another", async () => {
  for (const name of readdirSync(DUMPS)) {
    const machine = await newMachine();
    const player = new Player(machine, () => {});
    const timeline = await timelineOfFiles([fileOf(DUMPS, name)]);
    await player.load(timeline);
    await player.seek(1);
    assert.is(player.state.error, undefined, name);
    const kvm = readFileSync(DUMPS + name, "utf8").match(/^.* KVM$/gm)!;
    assert.is(player.state.machine.slots.length, kvm.length, name);
    assert.ok(timeline.steps[0]!.windows.length > 0, name);
  }
  const names = ["pc-1g-reset.firmware-done.txt", "pc-1g-reset.initial.txt"];
  const timeline = await timelineOfFiles(names.map((name) => fileOf(DUMPS, name)));
  assert.is(timeline.steps.length, 2);
  const player = new Player(await newMachine(), () => {});
  await player.load(timeline);
  await playAll(player, () => {});
  assert.equal(sorted(player.state.machine.slots), sorted(timeline.layouts[2]!.values()));
});

test("an engine's slots play too, under their own numbers; names of blocks give no map in common", async () => {
  const slots = [
    { slot: 5, flags: 0, guestPhysAddr: 0, memorySize: 0x2000, userspaceAddr: 0x7f00_0000_0000 },
    { slot: 65536, flags: 0, guestPhysAddr: 0, memorySize: 0x1000, userspaceAddr: 0x7f00_0000_0000 },
  ];
  const dump = { name: "a.json", blob: new Blob([JSON.stringify(slots)]) };
  const player = new Player(await newMachine(), () => {});
  await player.load(await timelineOfFiles([dump]));
  await player.seek(1);
  assert.equal(sorted(player.state.machine.slots), slots);
  const mixed = [dump, fileOf(DUMPS, "microvm-1g.initial.txt")];
  try {
    await timelineOfFiles(mixed);
  } catch (error) {
    assert.match((error as Error).message, /no map in common/);
    return;
  }
  assert.unreachable("host addresses and names of blocks");
});

test("half a page of RAM has no slot: what kvm_align_section leaves of a range", () => {
  const ram = { asId: 0, kind: "ram", block: "b", flags: 0 } as const;
  const mappings = [
    { ...ram, start: 0x800, end: 0x2800, off: 0x800 },
    { ...ram, start: 0x3800, end: 0x4000, off: 0x3800 },
  ];
  const { updates } = timelineOfMaps([{ title: "t", mappings }]).steps[0]!;
  assert.equal(
    updates.map(({ guestPhysAddr, memorySize, userspaceAddr }) => [
      guestPhysAddr,
      memorySize,
      userspaceAddr % 0x20_0000,
    ]),
    [[0x1000, 0x1000, 0x1000]],
  );
});

test("the way between two layouts deletes what is gone or different, and creates what is new or different", () => {
  const slot = (number: number, gpa: number) => ({
    slot: number,
    flags: 0,
    guestPhysAddr: gpa,
    memorySize: 0x1000,
    userspaceAddr: gpa,
  });
  const before = new Map([slot(0, 0), slot(1, 0x1000), slot(2, 0x2000)].map((each) => [each.slot, each]));
  const updates = updatesBetween(before, [slot(0, 0), slot(1, 0x8000), slot(3, 0x2000)]);
  assert.equal(
    updates.map(({ slot: number, memorySize }) => [number, memorySize]),
    [
      [1, 0],
      [2, 0],
      [1, 0x1000],
      [3, 0x1000],
    ],
  );
  assert.equal(updatesBetween(before, [...before.values()]), []);
});

test("a bad file is refused by name", async () => {
  const wrong: [string, BlobPart, RegExp][] = [
    ["a.gz", new Uint8Array([0x1f, 0x8b, 1, 2]), /a\.gz cannot be read/],
    ["b.bin", new Uint8Array([0xff, 0xfe]), /b\.bin cannot be read/],
    ["c.txt", "hello", /c\.txt:1: neither a trace nor a dump/],
    ["d.txt", "FlatView #0\nwhat\n", /d\.txt:2: /],
    ["e.jsonl", '{"machine":"m","blocks":{}}\n', /e\.jsonl has no KVM updates/],
    ["f.jsonl", '{"machine":"m","blocks":{}}\n{"t":0}\n', /f\.jsonl:2: unknown kind of line/],
  ];
  for (const [name, part, reason] of wrong) {
    try {
      await timelineOfFiles([{ name, blob: new Blob([part]) }]);
    } catch (error) {
      assert.match((error as Error).message, reason);
      continue;
    }
    assert.unreachable(name);
  }
});

test("the note of a boot is that of its header", async () => {
  const { note, title } = await bootOf("pc-1g-reset.jsonl.gz");
  assert.is(title, "pc-1g-reset");
  const header = gunzipSync(readFileSync(`${TRACES}pc-1g-reset.jsonl.gz`))
    .toString()
    .split("\n")[0]!;
  assert.ok(note.startsWith(JSON.parse(header).note));
});

test.run();
