/** engine.record: what it writes, `memslots replay` reads; the same commits give the same lines. */
import { MemslotEngine } from "memslots";
import { FlatView } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inOrder, type Mapping, mappingOf } from "../../src/cli/memorymap.js";
import { type EngineClass, replayTrace } from "../../src/cli/replay.js";
import { readTrace } from "../../src/cli/trace.js";
import { random } from "../support/random.js";
import { hostOf, RecordedSlots, recordedBoots } from "../support/recorded.js";
import { tempFile } from "../support/tempfile.js";

const PAGE = 4096;
const region = (slot: number, gfn: number, npages: number, host: number, flags = 0) => ({
  slot,
  flags,
  guestPhysAddr: gfn * PAGE,
  memorySize: npages * PAGE,
  userspaceAddr: host * PAGE,
});

test("the lines of a few commits", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 4, 16));
  const lines: string[] = [];
  const stop = engine.record((line) => lines.push(line));
  engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(0, 0, 8, 16), region(3, 9, 1, 99, 2)]);
  await engine.setUserMemoryRegionListAsync([region(0, 0, 8, 16, 1)], {
    windows: [[{ gpa: 0xa000, bytes: 8, device: 1, offset: 0 }]],
  });
  engine.setUserMemoryRegionList([region(0, 0, 8, 16, 1)]);
  stop();
  engine.setUserMemoryRegion(region(0, 0, 0, 0));
  const update = (
    t: number,
    commit: number,
    slot: number,
    kind: string,
    flags: number,
    gpa: string,
    size: string,
    off: string,
  ) => JSON.stringify({ t, commit, slot, kind, flags, gpa, size, block: "host", off, ret: 0 });
  assert.equal(lines, [
    `{"machine":"memslots","note":"recorded by engine.record","blocks":{"host":"0x600000000000"}}\n`,
    `${update(1, 0, 0, "create", 0, "0x0", "0x4000", "0x10000")}\n`,
    `${update(2, 1, 0, "delete", 0, "0x0", "0x0", "0x10000")}\n`,
    `${update(2, 1, 0, "create", 0, "0x0", "0x8000", "0x10000")}\n`,
    `${update(2, 1, 3, "create", 2, "0x9000", "0x1000", "0x63000")}\n`,
    `${update(3, 2, 0, "flags", 1, "0x0", "0x8000", "0x10000")}\n`,
    `{"t":3,"mark":"windows of commit 2","windows":[[{"gpa":40960,"bytes":8,"device":1,"offset":0}]]}\n`,
  ]);
});

/** All that is mapped. */
function slotsOf(engine: MemslotEngine) {
  return Array.from({ length: engine.addressSpaces }, (_, asId) => engine.slots(asId)).flat();
}

/** The replay of a record, and what its engines mapped at the end: one by one, as lists. */
async function replayed(lines: readonly string[]) {
  const trace = await readTrace(tempFile("jsonl", lines.join("")));
  const ends: Mapping[][] = [];
  const engineClass: EngineClass = {
    async create(options) {
      const engine = await MemslotEngine.create(options);
      const close = engine.close.bind(engine);
      engine.close = () => {
        ends.push(inOrder(slotsOf(engine).map((slot) => mappingOf(slot, trace.blocks))));
        close();
      };
      return engine;
    },
  };
  return { ...(await replayTrace(trace, engineClass)), ends };
}

test("a boot recorded from flat views replays, one by one and as lists, and is the same each time", async () => {
  const boot = recordedBoots().find(({ name }) => name === "pc-1g-reset")!;
  const blocks = Object.fromEntries(
    [...boot.blocks].map(([name, bytes]) => [name, { host: hostOf(boot, name), bytes }]),
  );
  const record = async () => {
    const engine = await MemslotEngine.create();
    const lines: string[] = [];
    const stop = engine.record((line) => lines.push(line), { machine: "again", blocks });
    const slots = new RecordedSlots();
    for (const commit of boot.commits) {
      slots.apply(commit);
      engine.setFlatView(slots.view(boot));
    }
    stop();
    return { lines, engine };
  };
  const { lines, engine } = await record();
  const { publications } = engine;
  assert.equal((await record()).lines, lines);
  const { trace, list, oneByOne, ends } = await replayed(lines);
  assert.is(trace.machine, "again");
  assert.is(list.publications, publications);
  assert.is(list.windows.length, 0);
  assert.is(oneByOne.publications, trace.updates);
  const mapped = slotsOf(engine).map((slot): Mapping => {
    const [block, { host }] = Object.entries(blocks).find(
      ([, { host, bytes }]) => slot.userspaceAddr >= host && slot.userspaceAddr < host + bytes,
    )!;
    return { ...mappingOf(slot), block, off: slot.userspaceAddr - host };
  });
  assert.ok(mapped.some(({ block }) => block === "pc.ram"));
  assert.equal(ends, [mapped, mapped]);
});

const seed = Number(process.env.SEED ?? Date.now() % 1e9);

test(`random lists, swaps and moves among them, replay (SEED=${seed})`, async () => {
  const rng = random(seed);
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 8 });
  const lines: string[] = [];
  const stop = engine.record((line) => lines.push(line));
  let commits = 0;
  for (let round = 0; round < 400; round++) {
    const list = Array.from({ length: 1 + rng.int(4) }, () => {
      const slot = (rng.int(2) << 16) | rng.int(5);
      const known = engine.slot(slot);
      if (known !== undefined && rng.chance(0.4)) return { ...known, guestPhysAddr: rng.int(12) * PAGE };
      if (known !== undefined && rng.chance(0.5)) return { ...known, memorySize: 0 };
      return region(slot, rng.int(12), 1 + rng.int(3), 10 + rng.int(4), rng.int(4));
    });
    try {
      if (engine.setUserMemoryRegionList(list).published) commits++;
    } catch {
      // Refused: the record has nothing of it.
    }
  }
  stop();
  assert.ok(commits > 50, `${commits} commits`);
  const { list, ends } = await replayed(lines);
  assert.is(list.publications, commits);
  const mapped = inOrder(slotsOf(engine).map((slot) => mappingOf(slot)));
  assert.equal(ends, [mapped, mapped]);
});

test("a sink that throws ends the record, not the commit; what is wrong with the options is named", async () => {
  const engine = await MemslotEngine.create();
  let lines = 0;
  const stop = engine.record(() => {
    if (++lines === 2) throw new Error("the disk is full");
  });
  engine.setFlatView(FlatView.from([]));
  engine.setUserMemoryRegion(region(0, 0, 1, 16));
  engine.setUserMemoryRegion(region(1, 1, 1, 26));
  assert.is(lines, 2);
  assert.is(engine.slots().length, 2);
  assert.throws(stop, /the disk is full/);
  const blocks = { low: { host: 0, bytes: PAGE } };
  assert.throws(() => engine.record(() => {}, { blocks }), /the host memory of slot 0, at 0x10000/);
  assert.throws(() => engine.record(null as never), /sink must be a function/);
  assert.throws(() => engine.record(() => {}, { blocks: { a: { host: -1, bytes: 1 } } }), /blocks.a.host/);
  assert.throws(() => engine.record(() => {}, { clock: 1 as never }), /clock must be/);
  const banked = await MemslotEngine.create({ pageShift: 8 });
  assert.throws(() => banked.record(() => {}), /pageShift must be 12/);
});

test.run();
