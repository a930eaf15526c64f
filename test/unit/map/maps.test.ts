/** Maps of traces and dumps: read, compared and drawn. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { parseHTML } from "linkedom";
import { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTrace } from "../../../src/cli/input.js";
import { type Behind, diffMaps, IncomparableError } from "../../../src/map/diff.js";
import { dumpJson, parseDump } from "../../../src/map/dump.js";
import { Fold } from "../../../src/map/fold.js";
import { heatOf } from "../../../src/map/heat.js";
import { layoutsOf, mapAfter } from "../../../src/map/layouts.js";
import { bytesOf, HOST, type Mapping, type MemoryMap, mappingOf } from "../../../src/map/memorymap.js";
import { mapOf, parseSource } from "../../../src/map/source.js";
import { mapSvg } from "../../../src/map/svg.js";
import { mapText } from "../../../src/map/text.js";
import { regionOf } from "../../../src/replay/commits.js";
import { sizeText } from "../../../src/replay/format.js";
import { throwsInputError } from "../../support/inputerror.js";
import { type Random, random } from "../../support/random.js";

const TRACES = fileURLToPath(new URL("../../traces/qemu/", import.meta.url));
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 32);
console.log(`seed ${SEED}`);

const RAM: Mapping = { asId: 0, start: 0, end: 0x4000, kind: "ram", block: "ram", off: 0, flags: 0, slot: 0 };

function map(...mappings: Partial<Mapping>[]): MemoryMap {
  return { title: "m", mappings: mappings.map((mapping) => ({ ...RAM, ...mapping })) };
}

test("the layouts of every recorded boot are those that the engine has after each commit", async () => {
  for (const name of readdirSync(TRACES)) {
    const { commits, blocks } = await readTrace(TRACES + name);
    const engine = await MemslotEngine.create({ maxListEntries: 64 });
    const layouts = layoutsOf(commits);
    assert.is(layouts.length, commits.length + 1);
    commits.forEach(({ updates }, index) => {
      engine.setUserMemoryRegionList(updates.map(regionOf));
      const expected = engine.slots().map((slot) => mappingOf(slot, blocks));
      const found = [...layouts[index + 1]!.values()].map((slot) => mappingOf(slot, blocks));
      assert.equal(
        found.sort((a, b) => a.start - b.start),
        expected,
        `${name} ${index}`,
      );
    });
    engine.close();
  }
});

test("a difference is one of guest addresses and what backs them, not of slots", () => {
  const split = map({ end: 0x1000, slot: 3 }, { start: 0x1000, off: 0x1000, slot: 0 });
  assert.equal(diffMaps(map({}), split), []);
  const behind: Behind = { kind: "ram", block: "ram", off: 0, flags: 0 };
  assert.equal(diffMaps(map({}), map({ end: 0x3000 })), [
    { asId: 0, start: 0x3000, end: 0x4000, kind: "removed", before: { ...behind, off: 0x3000 } },
  ]);
  assert.equal(diffMaps(map(), map({ asId: 1 })), [
    { asId: 1, start: 0, end: 0x4000, kind: "added", after: behind },
  ]);
  assert.equal(diffMaps(map({}), map({ flags: 2 })), [
    { asId: 0, start: 0, end: 0x4000, kind: "flags", before: behind, after: { ...behind, flags: 2 } },
  ]);
  assert.equal(diffMaps(map({}), map({ off: 0x8000, flags: 1 })), [
    {
      asId: 0,
      start: 0,
      end: 0x4000,
      kind: "moved",
      before: behind,
      after: { ...behind, off: 0x8000, flags: 1 },
    },
  ]);
  assert.equal(
    diffMaps(map({}), map({ kind: "mmio", block: "ram" })).map(({ kind }) => kind),
    ["moved"],
  );
});

test("host addresses cannot be compared with names of blocks; an empty map compares with any", () => {
  assert.throws(
    () => diffMaps(map({}), map({ block: HOST })),
    (error: unknown) => error instanceof IncomparableError,
  );
  assert.is(diffMaps(map(), map({ block: HOST })).length, 1);
});

/** A map of up to PAGES pages in pieces, with few blocks, offsets and flags, so that neighbours often agree. */
const PAGES = 12;
function randomMap(rng: Random): MemoryMap {
  const mappings: Mapping[] = [];
  for (let page = 0; page < PAGES; ) {
    const count = Math.min(PAGES - page, 1 + rng.int(4));
    const start = page * 0x1000;
    const off = rng.chance(0.7) ? start : rng.int(3) * 0x1000;
    const block = rng.pick(["a", "a", "b"]);
    const kind = rng.chance(0.1) ? "mmio" : "ram";
    const flags = rng.chance(0.8) ? 0 : 2;
    if (rng.chance(0.7))
      mappings.push({ ...RAM, start, end: start + count * 0x1000, off, block, kind, flags });
    page += count;
  }
  return { title: "random", mappings };
}

/** The memory or device behind a page, as text. */
function pageOf({ mappings }: MemoryMap, page: number): string {
  const gpa = page * 0x1000;
  const found = mappings.find(({ start, end }) => start <= gpa && gpa < end);
  return found === undefined
    ? "nothing"
    : `${found.kind} ${found.block} ${found.off + gpa - found.start} ${found.flags}`;
}

test("the difference of random maps is that of their pages, in as few ranges as there can be", () => {
  const rng = random(SEED);
  for (let round = 0; round < 2000; round++) {
    const [a, b] = [randomMap(rng), randomMap(rng)];
    const changes = diffMaps(a, b);
    for (let page = 0; page < PAGES; page++) {
      const over = changes.filter(({ start, end }) => start <= page * 0x1000 && page * 0x1000 < end);
      const [old, now] = [pageOf(a, page), pageOf(b, page)];
      assert.is(over.length, old === now ? 0 : 1, `round ${round}, page ${page}: ${old}, ${now}`);
      for (const { kind, start, before, after } of over) {
        const text = (behind?: Behind) =>
          behind === undefined
            ? "nothing"
            : `${behind.kind} ${behind.block} ${behind.off + page * 0x1000 - start} ${behind.flags}`;
        assert.equal([text(before), text(after)], [old, now]);
        const sameMemory = old.replace(/ \d+$/, "") === now.replace(/ \d+$/, "");
        const expected =
          old === "nothing" ? "added" : now === "nothing" ? "removed" : sameMemory ? "flags" : "moved";
        assert.is(kind, expected);
      }
    }
    for (let i = 1; i < changes.length; i++) {
      const [left, right] = [changes[i - 1]!, changes[i]!];
      const bytes = bytesOf(left);
      const goesOn = (x?: Behind, y?: Behind) =>
        JSON.stringify(x && { ...x, off: x.off + bytes }) === JSON.stringify(y);
      const oneRange =
        left.end === right.start &&
        left.kind === right.kind &&
        goesOn(left.before, right.before) &&
        goesOn(left.after, right.after);
      assert.not(oneRange, `round ${round}: ranges ${i - 1} and ${i} are one`);
    }
  }
});

test("a fold keeps the order, gives every piece its length, and is linear inside of a piece", () => {
  const fold = new Fold(
    [
      { start: 0x1000, end: 0x2000 },
      { start: 0x1800, end: 0x2000 },
      { start: 0x4000_0000, end: 0x4000_0008 },
    ],
    (bytes, used) => (used ? Math.log2(bytes) : 1),
    10,
  );
  assert.equal(
    fold.pieces.map(({ start, used, at, length }) => [start, used, at, length]),
    [
      [0x1000, true, 10, 11],
      [0x1800, true, 21, 11],
      [0x2000, false, 32, 1],
      [0x4000_0000, true, 33, 3],
    ],
  );
  assert.equal(
    [0, 0x1000, 0x1400, 0x1800, 0x4000_0004, 0x4000_0008, 2 ** 40].map((address) => fold.place(address)),
    [10, 10, 15.5, 21, 34.5, 36, 36],
  );
});

test("heat counts every page once, in its own part", () => {
  const log = new Uint8Array(16);
  for (const page of [0, 1, 2, 63, 99]) log[page >>> 3]! |= 1 << (page & 7);
  assert.equal(heatOf(log, 100, 4), { pages: 100, dirty: 5, parts: [3 / 25, 0, 1 / 25, 1 / 25] });
  assert.equal(heatOf(log, 3, 4), { pages: 3, dirty: 3, parts: [1, 1, 1] });
  const full = heatOf(new Uint8Array(16).fill(255), 100, 7);
  assert.equal(full.parts, new Array(7).fill(1));
});

test("a dump is read back as it was written, from JSON and from an engine's slots", async () => {
  const dirty = Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0);
  const whole = map(
    { dirty },
    { start: 0x4000, end: 0x4008, kind: "mmio", block: "dev", asId: 1, slot: 65537 },
  );
  assert.equal(parseDump("f", JSON.stringify(dumpJson(whole))), whole);
  const engine = await MemslotEngine.create();
  const region = { slot: 2, flags: 1, guestPhysAddr: 0x8000, memorySize: 0x3000, userspaceAddr: 0x10000 };
  engine.setUserMemoryRegionList([region, { ...region, slot: 1, guestPhysAddr: 0 }]);
  engine.markDirty(0x9000);
  const slots = engine.slots().map((slot) => ({
    ...slot,
    dirty: Buffer.from(engine.getDirtyLog(slot.slot)).toString("base64"),
  }));
  const { mappings } = parseDump("f", JSON.stringify(slots));
  assert.equal(
    mappings.map(({ start, slot, off, block, dirty: log }) => [start, slot, off, block, log?.[0]]),
    [
      [0, 1, 0x10000, HOST, 0],
      [0x8000, 2, 0x10000, HOST, 2],
    ],
  );
  engine.close();
});

test("a bad dump is refused by entry and field", async () => {
  const slot = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0x1000, userspaceAddr: 0 };
  const wrong: [unknown, RegExp][] = [
    [[{ ...slot, flags: 8 }], /entry 0: field "flags" must be 0\.\.7/],
    [[slot, { ...slot, memorySize: 0 }], /entry 1: field "memorySize"/],
    [[slot, 7], /entry 1 must be an object/],
    [[slot, { ...slot, slot: 1 }], /\[0x0, 0x1000\) and \[0x0, 0x1000\) overlap/],
    [[{ ...slot, dirty: "AAAA" }], /entry 0: field "dirty" has 3 bytes, the log of 1 pages has 8/],
    [[{ ...slot, dirty: "?" }], /entry 0: field "dirty" is not base64/],
    [[{ ...slot, guestPhysAddr: Number.MAX_SAFE_INTEGER }], /entry 0: it ends beyond 2\^53/],
    [{ mappings: [{ gpa: "0x0", size: "0x0", block: "b", off: "0x0", flags: 0 }] }, /entry 0: its size is 0/],
    [{ mappings: 1 }, /field "mappings" must be a list/],
    [{}, /field "mappings" is missing/],
  ];
  for (const [value, reason] of wrong) {
    const line = /"mappings"|must be an object/.test(reason.source) ? 1 : undefined;
    await throwsInputError(
      async () => mapOf("f", parseSource("f", JSON.stringify(value)), undefined),
      "f",
      line,
      reason,
    );
  }
  await throwsInputError(
    async () => mapOf("f", parseSource("f", "[1,"), undefined),
    "f",
    undefined,
    /not JSON/,
  );
  await throwsInputError(async () => parseSource("f", "hello"), "f", 1, /neither a trace nor a dump/);
});

test("the map of a trace is the one after the given commit, or after the last", async () => {
  const name = `${TRACES}pc-1g-reset.jsonl.gz`;
  const source = parseSource(name, gunzipSync(readFileSync(name)).toString());
  const starts = (at?: number) => mapOf("f", source, at).mappings.map(({ start }) => start);
  assert.equal(starts(0), []);
  assert.equal(starts(4), [0]);
  assert.equal(starts(14), [0]);
  assert.equal(starts(15), [0, 0xfffc0000]);
  assert.equal(starts(), starts(176));
  await throwsInputError(
    async () => mapOf("f", source, 177),
    "f",
    undefined,
    /no commit 177, the last is 176/,
  );
  const dump = parseSource("f", "[]");
  await throwsInputError(async () => mapOf("f", dump, 1), "f", undefined, /a dump has no commit 1/);
});

test("sizes are written in words", () => {
  const texts = [8, 0x400, 0x5000, 0xfff00000, 3 * 2 ** 30, 1.5 * 2 ** 30].map(sizeText);
  assert.equal(texts, ["8 B", "1 KiB", "20 KiB", "4,095 MiB", "3 GiB", "1,536 MiB"]);
});

test("a map for a terminal, line by line", () => {
  const dirty = new Uint8Array(8).fill(255, 0, 1);
  const text = mapText(
    map(
      { end: 0x40000, flags: 3, dirty },
      { start: 0x40000, end: 0x40008, kind: "mmio", block: "dev" },
      { start: 0x80000000, end: 0xc0000000, off: 0x100000, slot: 7 },
    ),
  );
  assert.is(
    text,
    `m: 2 slots, 1,024.3 MiB, 1 MMIO window

  0x00000000 ┌──────────────────────────────────────┐
             │ slot 0  READONLY  LOG_DIRTY  256 KiB │  █·─  ram 0x0
             │ dirty ██··············          8 p. │
  0x00040000 ├──────────────────────────────────────┤
             ╎ mmio                             8 B ╎  dev
  0x00040008 └──────────────────────────────────────┘
                                        2,047.7 MiB
  0x80000000 ┌──────────────────────────────────────┐
             │ slot 7                         1 GiB │  ─·█  ram 0x100000
             │                                      │
             │                                      │
  0xc0000000 └──────────────────────────────────────┘

  beside a box: its part █ of the RAM block, parts mapped elsewhere ─, not mapped ·; not to scale
`,
  );
});

test("no line of a recorded boot's maps is wider than a terminal, and every wall stands in one column", async () => {
  for (const name of readdirSync(TRACES).filter((file) => !file.startsWith("tcg-"))) {
    const trace = await readTrace(TRACES + name);
    trace.commits.forEach((_, index) => {
      const lines = mapText(mapAfter(trace, index)).split("\n").slice(1);
      const walls = lines.flatMap((line) => [line.search(/[┌├└│╎]/)]).filter((at) => at >= 0);
      assert.is(new Set(walls).size, 1);
      for (const line of lines) assert.ok(line.length <= 100, line);
    });
  }
});

test("in a drawing every mapping is a box of its place and size, each with a ribbon to its part of a block", () => {
  const whole = map(
    { end: 0x40000, flags: 2, dirty: new Uint8Array(8).fill(255, 0, 1) },
    { start: 0x40000, end: 0x40008, kind: "mmio", block: "a device <&>" },
    { start: 0x80000000, end: 0xc0000000, off: 0x100000, slot: 7 },
    { start: 0xc0000000, end: 0xc0001000, off: 0, block: "other", slot: 8 },
  );
  const { document } = parseHTML(mapSvg(whole));
  const boxes = [...document.querySelectorAll(".box")];
  assert.equal(
    boxes.map((box) => [...box.querySelectorAll("text")].map(({ textContent }) => textContent)),
    [
      ["slot 0 READONLY", "256 KiB"],
      ["a device <&>", "8 B"],
      ["slot 7", "1 GiB", "ram 0x100000"],
      ["slot 8", "4 KiB"],
    ],
  );
  const rects = boxes.map((box) => box.querySelector("rect")!);
  const number = (element: { getAttribute(name: string): string | null }, name: string) =>
    Number(element.getAttribute(name));
  rects.forEach((rect, index) => {
    assert.ok(number(rect, "height") >= 20, "a line of text has room");
    const next = rects[index + 1];
    if (next !== undefined) assert.ok(number(rect, "y") + number(rect, "height") <= number(next, "y") + 1e-9);
  });
  assert.ok(number(rects[2]!, "height") > number(rects[0]!, "height"));
  assert.is(document.querySelectorAll(".ribbons path").length, 3);
  assert.is(boxes[0]!.querySelectorAll('rect[fill="url(#readonly)"]').length, 1);
  assert.is(boxes[2]!.querySelectorAll('rect[fill^="url"]').length, 0);
  const heat = [...boxes[0]!.querySelectorAll(".heat rect")].map((rect) => number(rect, "height") > 0);
  assert.equal(heat.slice(0, 6), [true, true, true, true, true, true]);
  assert.is(heat.filter(Boolean).length, 6);
  const [bottom] = [number(document.querySelector("svg")!, "height")];
  for (const text of document.querySelectorAll("text")) assert.ok(number(text, "y") < bottom);
});

test("a log of kvm_set_user_memory is the map after its last update, refused ones passed over", async () => {
  const line = (fields: string, ret = 0) => `kvm_set_user_memory ${fields} ret=${ret}`;
  const log = [
    "4242@1700000000.000001:flatview_new 0x1 (root 0x2)",
    `4242@1700000000.000002:${line("Slot#0 flags=0x0 gpa=0x0 size=0x100000 ua=0x7f0000000000")}`,
    line("Slot#1 flags=0x0 gpa=0x200000 size=0x1000 ua=0x7f0000200000"),
    line("Slot#1 flags=0x0 gpa=0x200000 size=0x0 ua=0x7f0000200000"),
    line("Slot#0 flags=0x0 gpa=0x0 size=0x0 ua=0x7f0000000000", -22),
    line("AddrSpace#1 Slot#0 flags=0x2 gpa=0x0 size=0x2000 ua=0x7f0000300000"),
  ];
  const mapped = (lines: string[]) =>
    mapOf("log", parseSource("log", lines.join("\n")), undefined).mappings.map((mapping) => [
      mapping.slot,
      mapping.start,
      mapping.end,
      mapping.block,
      mapping.off,
      mapping.flags,
    ]);
  assert.equal(mapped(log), [
    [0, 0, 0x10_0000, HOST, 0x7f00_0000_0000, 0],
    [0x1_0000, 0, 0x2000, HOST, 0x7f00_0030_0000, 2],
  ]);
  const late = mapOf("log", parseSource("log", log.slice(3).join("\n")), undefined);
  assert.match(late.notes![0]!.text, /^slot 1 is deleted: updates before it are not in the log$/);
  assert.is(late.notes![0]!.line, 1);
  const refused = (fields: string, at: number | undefined, reason: RegExp) =>
    throwsInputError(
      async () => mapOf("f", parseSource("f", [...log, line(fields)].join("\n")), undefined),
      "f",
      at,
      reason,
    );
  await refused("Slot#x", 7, /not as kvm_set_user_memory is traced/);
  await refused("Slot#5 flags=0x8 gpa=0x0 size=0x1000 ua=0x0", 7, /flags 0x8 are unknown/);
  await refused("Slot#5 flags=0x0 gpa=0xfffffffffffff000 size=0x1000 ua=0x0", 7, /beyond 2\^53/);
  await refused("Slot#5 flags=0x0 gpa=0x1000 size=0x1000 ua=0x0", undefined, /overlap: updates before them/);
});

test.run();
