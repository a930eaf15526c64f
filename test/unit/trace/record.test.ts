/** `record`: `memslots replay` reads its lines, and the same commits give the same lines. */
import { KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES as LOG, MemslotEngine, record } from "memslots";
import { FlatView, FlatViews } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTrace } from "../../../src/cli/input.js";
import { inOrder, type Mapping, mappingOf } from "../../../src/map/memorymap.js";
import { type EngineClass, replayTrace } from "../../../src/replay/replay.js";
import { random } from "../../support/random.js";
import { hostOf, RecordedSlots, recordedBoots } from "../../support/recorded.js";
import { deletion, PAGE, region } from "../../support/region.js";
import { tempFile } from "../../support/tempfile.js";

test("the lines of a few commits", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 4, 16));
  const lines: string[] = [];
  const stop = record(engine, (line) => lines.push(line));
  engine.setUserMemoryRegionList([deletion(0), region(0, 0, 8, 16), region(3, 9, 1, 99, 2)]);
  await engine.setUserMemoryRegionListAsync([region(0, 0, 8, 16, LOG)], {
    windows: [[{ gpa: 0xa000, bytes: 8, device: 1, offset: 0 }]],
  });
  engine.setUserMemoryRegionList([region(0, 0, 8, 16, LOG)]);
  stop();
  engine.setUserMemoryRegion(deletion(0));
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
    `{"machine":"memslots","note":"recorded by memslots","blocks":{"host":"0x600000000000"}}\n`,
    `${update(1, 0, 0, "create", 0, "0x0", "0x4000", "0x10000")}\n`,
    `${update(2, 1, 0, "delete", 0, "0x0", "0x0", "0x10000")}\n`,
    `${update(2, 1, 0, "create", 0, "0x0", "0x8000", "0x10000")}\n`,
    `${update(2, 1, 3, "create", 2, "0x9000", "0x1000", "0x63000")}\n`,
    `${update(3, 2, 0, "flags", 1, "0x0", "0x8000", "0x10000")}\n`,
    `{"t":3,"mark":"windows of commit 2","windows":[[{"gpa":40960,"bytes":8,"device":1,"offset":0}]]}\n`,
  ]);
});

test("private memory is told: the file of a slot, files, attributes; a trace of it is read", async () => {
  const engine = await MemslotEngine.create();
  const lines: string[] = [];
  record(engine, (line) => lines.push(line));
  const guestMemfd = engine.createGuestMemfd(8 * PAGE);
  const memfd = { guestMemfd, guestMemfdOffset: 2 * PAGE };
  engine.setUserMemoryRegion2({ ...region(3, 1, 2, 16, KVM_MEM_GUEST_MEMFD), ...memfd });
  engine.setMemoryAttributes({ address: PAGE, size: PAGE, attributes: 8 });
  engine.closeGuestMemfd(guestMemfd);
  const files = `"memfds":[{"guestMemfd":${guestMemfd},"size":32768}]`;
  assert.equal(lines.slice(1), [
    `{"t":1,"mark":"private memory of commit 1",${files},"attributes":[]}\n`,
    `{"t":2,"commit":2,"slot":3,"kind":"create","flags":4,"gpa":"0x1000","size":"0x2000","block":"host",` +
      `"off":"0x10000","guestMemfd":${guestMemfd},"guestMemfdOffset":"0x2000","ret":0}\n`,
    `{"t":3,"mark":"private memory of commit 3",${files},` +
      `"attributes":[{"address":4096,"size":4096,"attributes":8}]}\n`,
    `{"t":4,"mark":"private memory of commit 4","memfds":[],` +
      `"attributes":[{"address":4096,"size":4096,"attributes":8}]}\n`,
  ]);
  const trace = await readTrace(tempFile("jsonl", lines.join("")));
  assert.equal(
    trace.commits.flatMap(({ updates }) =>
      updates.map((update) => [update.guestMemfd, update.guestMemfdOffset]),
    ),
    [[guestMemfd, 2 * PAGE]],
  );
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
  const recordBoot = async () => {
    const engine = await MemslotEngine.create();
    const views = new FlatViews(engine);
    const lines: string[] = [];
    const stop = record(engine, (line) => lines.push(line), { machine: "again", blocks });
    const slots = new RecordedSlots();
    for (const commit of boot.commits) {
      slots.apply(commit);
      views.set(slots.view(boot));
    }
    stop();
    return { lines, engine };
  };
  const { lines, engine } = await recordBoot();
  const { publications } = engine;
  assert.equal((await recordBoot()).lines, lines);
  const { trace, list, oneByOne, ends } = await replayed(lines);
  assert.is(trace.machine, "again");
  assert.is(list.publications, publications);
  assert.is(list.gaps.length, 0);
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
  const stop = record(engine, (line) => lines.push(line));
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

test("a sink that throws ends the record, not the commit; a bad option is named", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  let lines = 0;
  const stop = record(engine, () => {
    if (++lines === 2) throw new Error("the disk is full");
  });
  views.set(FlatView.from([]));
  engine.setUserMemoryRegion(region(0, 0, 1, 16));
  engine.setUserMemoryRegion(region(1, 1, 1, 26));
  assert.is(lines, 2);
  assert.is(engine.slots().length, 2);
  assert.throws(stop, /the disk is full/);
  const blocks = { low: { host: 0, bytes: PAGE } };
  assert.throws(() => record(engine, () => {}, { blocks }), /the host memory of slot 0, at 0x10000/);
  assert.throws(() => record(engine, null as never), /sink must be a function/);
  assert.throws(() => record(engine, () => {}, { blocks: { a: { host: -1, bytes: 1 } } }), /blocks.a.host/);
  const wide = { host: 2 ** 47 - 2 * PAGE, bytes: 3 * PAGE };
  assert.throws(
    () => record(engine, () => {}, { blocks: { wide } }),
    /^blocks\.wide must end at or below 0x[0-9a-f]+$/,
  );
  assert.throws(() => record(engine, () => {}, { clock: 1 as never }), /clock must be/);
  const banked = await MemslotEngine.create({ pageShift: 8 });
  assert.throws(() => record(banked, () => {}), /pageShift must be 12/);
});

test.run();
