/** The dumps of real machines: each is read, and written as it was. */
import { readdirSync, readFileSync } from "node:fs";
import { FlatView, formatMtree, MemoryRegion, ParseError, parseMtree } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";

const FOLDER = new URL("../../traces/flatview/", import.meta.url);
const FILES = readdirSync(FOLDER);
const read = (name: string) => readFileSync(new URL(name, FOLDER), "utf8");

test("there are dumps", () => {
  assert.ok(FILES.length >= 27, `${FILES.length} files`);
});

for (const name of FILES) {
  test(`${name} parses, and is written as it was`, () => {
    const text = read(name);
    const views = parseMtree(text);
    assert.is(formatMtree(views), text);
    assert.is(formatMtree(parseMtree(text.replaceAll("\n", "\r\n"))), text);
    const lines = text.split("\n").filter((line) => line.startsWith("  "));
    assert.is(views.flatMap(({ view }) => view.ranges).length, lines.length);
  });
}

test("names become regions: blocks, write-protected RAM, ROMs, devices", () => {
  const [{ view, spaces, root, kvm }] = parseMtree(read("pc-1g-reset.firmware-done.txt")) as [
    ReturnType<typeof parseMtree>[0],
  ];
  assert.equal(
    [spaces, root, kvm],
    [
      [
        { name: "memory", root: "system" },
        { name: "cpu-memory-0", root: "system" },
      ],
      "system",
      true,
    ],
  );
  const at = (address: number) => view.find(address)!;
  const locked = at(0xc_0000);
  assert.is(locked.region, at(0).region, "one block of RAM");
  assert.equal([locked.region.kind, locked.readonly, locked.offset], ["ram", true, 0xc_0000n]);
  assert.is(locked.region.size, 0x4000_0000n);
  assert.equal([at(0xfffc_0000).region.kind, at(0xfffc_0000).readonly], ["rom", true]);
  assert.is(at(0xfebf_0180).region, at(0xfebf_0608).region, "one device under others");
  assert.is.not(at(0xfebf_0180).region, at(0xfebf_0600).region);
  assert.is(view.find(0xfebf_1020), undefined);
  assert.is(at(0xfebf_0607).region.name, "qemu extended regs");
});

test("eight devices of one name are eight; a block in two places is one", () => {
  const [{ view }] = parseMtree(read("microvm-1g.initial.txt")) as [ReturnType<typeof parseMtree>[0]];
  const virtio = view.ranges.filter(({ region }) => region.name === "virtio-mmio");
  assert.is(new Set(virtio.map(({ region }) => region.device)).size, 8);
  assert.is(view.find(0xf_0000)!.region, view.find(0xffff_0000)!.region);
});

test("host addresses and device numbers can be given", () => {
  const asked: string[] = [];
  const [{ view }] = parseMtree(read("microvm-1g.initial.txt"), {
    host: (name, bytes) => asked.push(`${name} ${bytes}`) * 0x10_0000_0000,
    device: (name, instance) => (name === "ioapic" ? 77 : 100 + instance),
  }) as [ReturnType<typeof parseMtree>[0]];
  assert.equal(asked, ["microvm.ram 1073741824", "pc.bios 65536"]);
  assert.is(view.find(0xf_0000)!.region.host, 0x20_0000_0000);
  assert.is(view.find(0xfec0_0000)!.region.device, 77);
  assert.is(view.find(0xfeb0_0e00)!.region.device, 107);
});

const MORE = `FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan
  0000000000000008-000000000000000f (prio -3, i/o): dma: cont

FlatView #1
 AS "gone", root: bus master container, alias system
 Root memory region: (none)
  No rendered FlatView

FlatView #7
 AS "cpu-smm-0", root: smram
 Root memory region: smram
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan
  0000000000001000-00000000000017ff (prio 0, ram): sub page RAM
  00000000ff000000-00000000ff7fffff (prio 0, romd): system.flash0 KVM
  00000000ff800000-00000000ffffffff (prio 0, i/o): system.flash0 @0000000000800000
  0000000100000000-0000000100000fff (prio 0, ramd): 0000:00:01.0 BAR 0 KVM
  0000000200000000-ffffffffffffffff (prio 0, i/o): everything @0000000200000000
`;

test("several views; flash in both modes; a range up to the last byte there is", () => {
  const views = parseMtree(MORE);
  assert.is(formatMtree(views), MORE);
  assert.equal(
    views.map(({ number, view }) => [number, view.ranges.length]),
    [
      [0, 2],
      [1, 0],
      [7, 6],
    ],
  );
  const smm = views[2]!.view;
  assert.is(smm.find(0)!.region, views[0]!.view.find(0)!.region, "a device that two views show is one");
  assert.is(smm.find(0xff00_0000)!.region, smm.find(0xff80_0000)!.region);
  assert.equal([smm.find(0xff00_0000)!.romd, smm.find(0xff80_0000)!.romd], [true, false]);
  assert.is(smm.find(2n ** 64n - 1n)!.region.name, "everything");
  assert.is(smm.find(2n ** 64n), undefined);
});

test('a view alone is that of the address space "memory"', () => {
  const system = MemoryRegion.container("system", 2n ** 64n);
  system.addSubregion(0x1000, MemoryRegion.ram("ram", 0x1000, 0x7000));
  assert.is(
    formatMtree([FlatView.of(system)]),
    `FlatView #0
 AS "memory", root: system
 Root memory region: system
  0000000000001000-0000000000001fff (prio 0, ram): ram KVM
`,
  );
});

const BAD: [string, number, string][] = [
  ["", 1, "no FlatView"],
  ["memory map\n", 1, "no FlatView"],
  ["FlatView #0\n AS memory\n", 2, "not a range"],
  ["FlatView #0\n\n  0-1 (prio 0, ram): x\n", 3, "not a range"],
  [`FlatView #0\n  ${"0".repeat(15)}1-${"0".repeat(16)} (prio 0, ram): x\n`, 2, "ends before it starts"],
  [
    `FlatView #0\n  ${"0".repeat(16)}-${"0".repeat(16)} (prio 0, nv-core): x\n`,
    2,
    'kind "nv-core" is unknown',
  ],
  [MORE.replace("0000000000000008-", "0000000000000007-"), 5, "at 0x8"],
];

BAD.forEach(([text, line, reason], i) => {
  test(`bad text ${i} is refused at its line`, () => {
    assert.throws(
      () => parseMtree(text),
      (error: unknown) =>
        error instanceof ParseError && error.line === line && error.message.includes(reason),
    );
  });
});

test.run();
