/** Maps written for other programs: as text of info mtree -f, as slots, as structs of KVM. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decodeUserspaceMemoryRegion, KVM_MEM_READONLY, MemslotEngine } from "memslots";
import { encodeKvmRegions, kvmRegions, parseMtree } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTrace } from "../../../src/cli/input.js";
import { REGION_BYTES } from "../../../src/core/layout.js";
import { diffMaps } from "../../../src/map/diff.js";
import { parseDump } from "../../../src/map/dump.js";
import { hostsOf, mtreeText, slotsOf } from "../../../src/map/export.js";
import { layoutsOf, mapAfter } from "../../../src/map/layouts.js";
import { HOST, type Mapping, type MemoryMap } from "../../../src/map/memorymap.js";
import { parseMtreeDump } from "../../../src/map/mtreedump.js";

const TRACES = fileURLToPath(new URL("../../traces/qemu/", import.meta.url));
const DUMPS = new URL("../../traces/flatview/", import.meta.url);
const NONE = new Map<string, number>();

const RAM: Mapping = { asId: 0, start: 0, end: 0x4000, kind: "ram", block: "ram", off: 0, flags: 0, slot: 0 };

function map(...mappings: Partial<Mapping>[]): MemoryMap {
  return { title: "m", mappings: mappings.map((mapping) => ({ ...RAM, ...mapping })) };
}

/** The map without logging, which the text does not show. */
function unlogged({ title, mappings }: MemoryMap): MemoryMap {
  return {
    title,
    mappings: mappings.map((mapping) => ({ ...mapping, flags: mapping.flags & KVM_MEM_READONLY })),
  };
}

async function recordedMaps(): Promise<MemoryMap[]> {
  const maps: MemoryMap[][] = [];
  for (const name of readdirSync(TRACES).filter((file) => !file.startsWith("tcg-"))) {
    const trace = await readTrace(TRACES + name);
    maps.push(trace.commits.map((_, index) => mapAfter(trace, index)));
  }
  return maps.flat();
}

test("each layout of the recorded boots as mtree text is the same map again", async () => {
  const maps = await recordedMaps();
  assert.ok(maps.length > 600, `${maps.length} maps`);
  for (const recorded of maps) {
    const back = parseMtreeDump("f", mtreeText(recorded));
    assert.equal(diffMaps(unlogged(recorded), back), [], recorded.title);
  }
});

test("each layout of the recorded boots as slots, by an engine and as structs", async () => {
  for (const name of readdirSync(TRACES)) {
    const trace = await readTrace(TRACES + name);
    const engine = await MemslotEngine.create();
    const layouts = layoutsOf(trace.commits);
    trace.commits.forEach((_, index) => {
      const recorded = mapAfter(trace, index);
      const slots = slotsOf(recorded, NONE);
      const hosts = hostsOf(recorded, NONE);
      assert.equal(
        slots,
        recorded.mappings.map(({ slot, flags, start, end, block, off }) => ({
          slot,
          flags,
          guestPhysAddr: start,
          memorySize: end - start,
          userspaceAddr: hosts.get(block)! + off,
        })),
      );
      assert.is(slots.length, layouts[index + 1]!.size);
      const gone = engine.slots().map((slot) => ({ ...slot, memorySize: 0 }));
      engine.setUserMemoryRegionList([...gone, ...slots]);
      assert.equal(engine.slots(), slots);
      const bytes = encodeKvmRegions(slots);
      slots.forEach((slot, i) => {
        const { guestPhysAddr, memorySize, userspaceAddr, ...rest } = decodeUserspaceMemoryRegion(
          bytes.subarray(i * REGION_BYTES, (i + 1) * REGION_BYTES),
        );
        const numbers = [guestPhysAddr, memorySize, userspaceAddr].map(Number);
        assert.equal(
          [rest, ...numbers],
          [{ slot: slot.slot, flags: slot.flags }, slot.guestPhysAddr, slot.memorySize, slot.userspaceAddr],
        );
      });
    });
    engine.close();
  }
});

test("each dump of info mtree -f is the same map again, and has the slots of its view", () => {
  for (const name of readdirSync(DUMPS)) {
    const text = readFileSync(new URL(name, DUMPS), "utf8");
    const dumped = parseMtreeDump("f", text);
    assert.equal(parseMtreeDump("f", mtreeText(dumped)).mappings, dumped.mappings, name);
    const hosts = hostsOf(dumped, NONE);
    const [memory] = parseMtree(text, { host: (block) => hosts.get(block)! });
    assert.equal(slotsOf(dumped, NONE), kvmRegions(memory!.view), name);
  }
});

test("both address spaces that KVM knows; flash in its two modes; host addresses without names", () => {
  const flash = { block: "flash", flags: KVM_MEM_READONLY };
  const whole = map(
    { block: HOST, off: 0x7f00_0000_0000 },
    { ...flash, start: 0x1_0000, end: 0x1_4000, slot: 1 },
    { ...flash, start: 0x1_4000, end: 0x1_8000, kind: "mmio", off: 0x4000, flags: 0 },
    { asId: 1, slot: 0x1_0000, block: "smram", flags: 1 },
  );
  const text = mtreeText(whole);
  assert.is(
    text,
    `FlatView #0
 AS "memory", root: system
 Root memory region: system
  0000000000000000-0000000000003fff (prio 0, ram): host @00007f0000000000 KVM
  0000000000010000-0000000000013fff (prio 0, romd): flash KVM
  0000000000014000-0000000000017fff (prio 0, i/o): flash @0000000000004000

FlatView #1
 AS "KVM-SMRAM", root: mem-container-smram
 Root memory region: mem-container-smram
  0000000000000000-0000000000003fff (prio 0, ram): smram KVM
`,
  );
  // A text has no other way to say where the host is than a name.
  const named = whole.mappings.map((mapping) => ({
    ...mapping,
    block: mapping.block === HOST ? "host" : mapping.block,
  }));
  assert.equal(diffMaps(unlogged({ ...whole, mappings: named }), parseMtreeDump("f", text)), []);
  const hosts = new Map([["flash", 0x5000_0000]]);
  const place = ({ slot, flags, userspaceAddr }: { slot: number; flags: number; userspaceAddr: number }) => [
    slot,
    flags,
    userspaceAddr,
  ];
  const smram = 0x1000_0020_0000;
  assert.equal(slotsOf(whole, hosts).map(place), [
    [0, 0, 0x7f00_0000_0000],
    [1, 2, 0x5000_0000],
    [0x1_0000, 1, smram],
  ]);
  // Without numbers: from 0 on in each address space.
  const unnumbered = { title: "m", mappings: whole.mappings.map(({ slot, ...mapping }) => mapping) };
  assert.equal(slotsOf(unnumbered, hosts).map(place), [
    [0, 0, 0x7f00_0000_0000],
    [1, 2, 0x5000_0000],
    [0x1_0000, 1, smram],
  ]);
});

test("without slots, what continues is joined, and what only PAM protects is not READONLY", () => {
  const piece = (start: number, flags: number): Partial<Mapping> => ({
    start,
    end: start + 0x1000,
    off: start,
    flags,
  });
  const mappings = map(piece(0, 0), piece(0x1000, 2), piece(0x2000, 0)).mappings;
  const slots = slotsOf({ title: "m", mappings: mappings.map(({ slot, ...mapping }) => mapping) }, NONE);
  assert.equal(
    slots.map(({ slot, flags, memorySize }) => [slot, flags, memorySize]),
    [[0, 0, 0x3000]],
  );
  assert.equal(
    slotsOf({ title: "m", mappings }, NONE).map(({ flags }) => flags),
    [0, 2, 0],
    "slots have the flags that they have",
  );
});

test("dirty logs go with slots; an impossible export is refused", () => {
  const dirty = Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0);
  assert.equal(slotsOf(map({ dirty }), NONE)[0]!.dirty, dirty);
  const error = (hosts: ReadonlyMap<string, number>, reason: RegExp, whole = map({})) =>
    assert.throws(
      () => slotsOf(whole, hosts),
      (thrown: unknown) => thrown instanceof RangeError && reason.test(thrown.message),
    );
  error(new Map([["rom", 0]]), /no RAM block "rom"/);
  error(new Map([["ram", 2 ** 53 - 0x1000]]), /"ram" must end below 2\^53, not at 0x20000000003000/);
  error(NONE, /"ram" of 0x7fff00000000 bytes: address space is full/, map({ end: 0x7fff_0000_0000 }));
  assert.equal(slotsOf(map({}), new Map([["ram", 0x7fff_ffff_b000]]))[0]!.userspaceAddr, 0x7fff_ffff_b000);
  const slots = slotsOf(map({}, { start: 0x8000, end: 0x9000, off: 0x4000, slot: 3 }), NONE);
  const { mappings } = parseDump("f", JSON.stringify(slots));
  assert.equal(
    mappings.map(({ slot, start, end }) => [slot, start, end]),
    [
      [0, 0, 0x4000],
      [3, 0x8000, 0x9000],
    ],
  );
});

test.run();
