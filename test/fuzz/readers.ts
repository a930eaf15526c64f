/**
 * Properties of the readers of files: whatever a text is, they give a map or an error of input, in time; a map is
 * drawn, written, read again, and the same.
 */
import * as assert from "node:assert/strict";
import fc from "fast-check";
import * as flatview from "../../src/flatview/index.js";
import { diffMaps } from "../../src/map/diff.js";
import { dumpJson, parseDump } from "../../src/map/dump.js";
import { mtreeText, slotsOf } from "../../src/map/export.js";
import { HOST, type MemoryMap } from "../../src/map/memorymap.js";
import { listOf, parseSource } from "../../src/map/source.js";
import { mapSvg } from "../../src/map/svg.js";
import { mapText } from "../../src/map/text.js";
import { InputError } from "../../src/trace/jsonl.js";
import { devicetree } from "../support/devicetree.js";
import { hostileBytes, hostileText } from "./mutations.js";

/** Maps of a file that are looked at. */
const ENTRIES_MAX = 3;
/** Characters of a drawing: a page has some hundred lines. */
const PAGE_MAX = 10_000_000;

/** What a reader may throw, or nothing. */
function refused(call: () => void, ...kinds: (new (...args: never[]) => Error)[]): boolean {
  try {
    call();
    return false;
  } catch (error) {
    if (kinds.some((kind) => error instanceof kind)) return true;
    throw error;
  }
}

function checkMap(map: MemoryMap): void {
  const pages = [mapText(map), mapSvg(map)];
  for (const page of pages) assert.ok(page.length < PAGE_MAX, `a drawing of ${page.length} characters`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  assert.doesNotMatch(pages[1]!, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/);
  const again = parseDump("again", JSON.stringify(dumpJson(map)));
  assert.deepEqual(again.mappings, map.mappings);
  assert.deepEqual(diffMaps(map, again), []);
  refused(() => slotsOf(map, new Map()), RangeError);
  let text = "";
  if (refused(() => void (text = mtreeText(map)), RangeError)) return;
  // A dump tells neither logs nor a block and a device of one name.
  const devices = new Set(map.mappings.filter(({ kind }) => kind === "mmio").map(({ block }) => block));
  const isTold = map.mappings.every(
    ({ asId, kind, block, flags, slot }) =>
      asId === 0 &&
      flags === 0 &&
      block !== HOST &&
      slot === undefined &&
      /^[a-z][\w.-]*$/.test(block) &&
      block !== "alias" &&
      (kind === "mmio" || !devices.has(block)),
  );
  if (!isTold || map.mappings.length === 0) return;
  const read = parseSource("text", text);
  assert.ok(read.kind === "maps");
  assert.deepEqual(diffMaps(map, read.entries[0]!.map()), []);
}

function checkSource(content: string | Uint8Array): void {
  refused(() => {
    const source = parseSource("f", content);
    listOf(source);
    if (source.kind === "trace") return;
    for (const entry of source.entries.slice(0, ENTRIES_MAX)) {
      refused(() => checkMap(entry.map()), InputError);
      refused(() => void entry.trace?.(), InputError);
    }
  }, InputError);
}

/** Every reader of `memslots/flatview`, whatever the text is of. */
function checkReaders(text: string): void {
  const { ParseError } = flatview;
  const readers: ((text: string) => unknown)[] = [
    flatview.listMtree,
    (given) => {
      for (const { view } of flatview.parseMtree(given)) refused(() => flatview.kvmRegions(view), RangeError);
    },
    (given) => flatview.machinesOf(flatview.parseKvmTrace(given)),
    (given) => flatview.machinesOf(flatview.parseStrace(given)),
    (given) => flatview.FlatView.of(flatview.parseIomem(given)),
    (given) => {
      for (const { ranges } of flatview.parsePhysical(given))
        flatview.FlatView.of(flatview.physicalTree(ranges));
    },
  ];
  for (const reader of readers) refused(() => void reader(text), ParseError);
}

const BLOB = devicetree(
  [["", 0], ["memory@40000000", 1], "end", ["reserved-memory", 1], ["fw@50000000", 2], "end", "end", "end"],
  ["#address-cells", "#size-cells", "device_type", "reg", "no-map"],
  {
    "": [
      ["#address-cells", [2]],
      ["#size-cells", [2]],
    ],
    "memory@40000000": [
      ["device_type", "memory"],
      ["reg", [0, 0x4000_0000, 0, 0x4000_0000]],
    ],
    "reserved-memory": [
      ["#address-cells", [2]],
      ["#size-cells", [2]],
    ],
    "fw@50000000": [
      ["reg", [0, 0x5000_0000, 0, 0x1000]],
      ["no-map", []],
    ],
  },
);

export const readers = fc.property(hostileText, (text) => {
  checkSource(text);
  checkReaders(text);
});

export const devicetrees = fc.property(hostileBytes(BLOB), (bytes) => checkSource(bytes));
