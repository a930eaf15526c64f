/**
 * 162 dumps of real machines of QEMU 7.2, of 27 architectures, each as tree, as `-f`, as `-f -o` and with its RAM
 * blocks, all of one moment: the tree that FlatView flattens has the memory that QEMU's own flattening has.
 *
 * Several address spaces may have one name (tz-mpc-downstream), and QEMU's hash tables give them another order in each
 * command: they are compared as a sorted list. Of devices the tree tells less than -f: a region that others lie in may
 * be a container or a device.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { endOf, type FlatRange, formatMtree, type MtreeView, parseMtree } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";

interface Machine {
  readonly machine: string;
  readonly tree: string;
  readonly flat: string;
  readonly owner: string;
  readonly ramblock: string;
}

const FILE = new URL("../../traces/dumps/qemu-7.2.jsonl.gz", import.meta.url);
const MACHINES = gunzipSync(readFileSync(FILE)).toString().trim().split("\n");
const machineOf = (line: string) => JSON.parse(line) as Machine;

function isMemory({ region, romd }: FlatRange): boolean {
  return region.host !== undefined && (region.kind !== "romDevice" || romd);
}

function textOf(range: FlatRange): string {
  const kind = range.readonly ? "rom" : range.romd ? "romd" : range.region.kind;
  return (
    `${range.start.toString(16)}-${endOf(range).toString(16)} ${kind} ${range.region.name}` +
    ` @${range.offset.toString(16)}`
  );
}

/** The ranges of each address space; of those of one name, sorted. */
function spacesOf(views: readonly MtreeView[], wanted: (range: FlatRange) => boolean): Map<string, string[]> {
  const spaces = new Map<string, string[]>();
  for (const { spaces: shown, view } of views) {
    const text = view.ranges.filter(wanted).map(textOf).join("\n");
    for (const { name } of shown) spaces.set(name, [...(spaces.get(name) ?? []), text]);
  }
  return new Map([...spaces].sort().map(([name, texts]) => [name, texts.sort()]));
}

test("there are 162 machines with 1,384 address spaces", () => {
  assert.is(MACHINES.length, 162);
  const spaces = MACHINES.flatMap((line) => parseMtree(machineOf(line).flat)).flatMap((view) => view.spaces);
  assert.is(spaces.length, 1384);
});

for (const line of MACHINES) {
  const { machine, tree, flat, owner, ramblock } = machineOf(line);
  test(
    `${machine}: the tree flattened is -f, for memory; -o is the same, with owners; all is` +
      ` written as it was`,
    () => {
      const views = parseMtree(flat);
      const memory = spacesOf(views, isMemory);
      assert.equal(spacesOf(parseMtree(tree), isMemory), memory, "tree");
      const owned = parseMtree(`${owner}\n${ramblock}`);
      assert.equal(
        spacesOf(owned, () => true),
        spacesOf(views, () => true),
        "owner",
      );
      const owners = [...owner.matchAll(/^ {2}[0-9a-f].*$/gm)].map(
        ([text]) => /(?:owner|parent):.*$| orphan$/.exec(text)?.[0].trim() ?? "",
      );
      assert.equal(
        owned.flatMap((view) => view.owners!),
        owners,
      );
      assert.is(formatMtree(views), flat.replace(/\n*$/, "\n"));
    },
  );

  test(
    `${machine}: a byte of a device of -f is a device's in the tree flattened, or it is one that` +
      ` others lie in`,
    () => {
      const holders = new Set<string>();
      const lines = tree.split("\n");
      lines.forEach((text, i) => {
        const indent = text.search(/\S/);
        if ((lines[i + 1] ?? "").search(/\S/) > indent) holders.add(/\): (.*)$/.exec(text)?.[1] ?? "");
      });
      const ours = coveredBy(parseMtree(tree));
      for (const { spaces, view } of parseMtree(flat)) {
        for (const range of view.ranges) {
          if (isMemory(range) || holders.has(range.region.name)) continue;
          for (const { name } of spaces) {
            const covered = ours
              .get(name)!
              .some(({ start, end }) => start <= range.start && endOf(range) <= end);
            assert.ok(covered, `${name}: ${textOf(range)}`);
          }
        }
      }
    },
  );
}

/** Guest bytes of each name of address spaces that devices answer for, joined. */
function coveredBy(views: readonly MtreeView[]): Map<string, { start: bigint; end: bigint }[]> {
  const spaces = new Map<string, { start: bigint; end: bigint }[]>();
  for (const { spaces: shown, view } of views) {
    const joined: { start: bigint; end: bigint }[] = [];
    for (const range of view.ranges) {
      if (isMemory(range)) continue;
      const last = joined.at(-1);
      if (last?.end === range.start) last.end = endOf(range);
      else joined.push({ start: range.start, end: endOf(range) });
    }
    for (const { name } of shown) spaces.set(name, [...(spaces.get(name) ?? []), ...joined]);
  }
  return spaces;
}

test("a tree that lies is found out", () => {
  const { tree, flat } = machineOf(MACHINES.find((line) => line.includes('"x86_64-pc-i440fx-full"'))!);
  const memory = spacesOf(parseMtree(flat), isMemory);
  for (const [was, is] of [
    ["ram-below-4g @pc.ram 0000000000000000", "ram-below-4g @pc.ram 0000000000001000"],
    ["isa-bios @pc.bios 0000000000020000", "isa-bios @pc.bios 0000000000010000"],
    ["(prio 1, rom): pc.rom", "(prio 1, ram): pc.rom"],
    ["prio 4096, i/o): apic-msi", "prio 4096, ram): apic-msi"],
  ] as const) {
    assert.ok(tree.includes(was));
    assert.not.equal(spacesOf(parseMtree(tree.replaceAll(was, is)), isMemory), memory, was);
  }
});

test.run();
