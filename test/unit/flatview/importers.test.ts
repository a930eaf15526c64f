/** Logs of QEMU and maps of Linux read; views as JSON and as KVM's structs. */
import { readdirSync, readFileSync } from "node:fs";
import { decodeUserspaceMemoryRegion, MemslotEngine } from "memslots";
import {
  encodeKvmRegions,
  FlatView,
  FlatViews,
  flatViewFromJson,
  flatViewToJson,
  kvmRegions,
  MemoryRegion,
  ParseError,
  parseIomem,
  parseKvmTrace,
  parseMtree,
} from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { REGION_BYTES } from "../../../src/core/layout.js";
import { throwsErrno } from "../../support/implementation.js";
import { recordedBoots } from "../../support/recorded.js";

const parseError = (line: number, text: string) => (error: unknown) =>
  error instanceof ParseError && error.line === line && error.message.includes(text);

const LOG = [
  "4242@1700000000.000001:flatview_new 0x1 (root 0x2)",
  "4242@1700000000.000100:kvm_set_user_memory Slot#0 flags=0x0 gpa=0x0 size=0xa0000 ua=0x7f0000000000 ret=0",
  "kvm_set_user_memory AddrSpace#1 Slot#3 flags=0x2 gpa=0xfffc0000 size=0x40000 ua=0x7f0100000000" +
    " guest_memfd=-1 guest_memfd_offset=0x0 ret=0",
  "kvm_set_user_memory Slot#65539 flags=0x0 gpa=0xfffc0000 size=0x0 ua=0x7f0100000000 ret=-22",
].join("\n");

test("a log of kvm_set_user_memory, with and without clock and address space", () => {
  const [first, second, third, ...none] = parseKvmTrace(LOG);
  assert.equal(none, []);
  assert.equal(first, {
    line: 2,
    time: 1700000000.0001,
    slot: 0,
    flags: 0,
    guestPhysAddr: 0n,
    memorySize: 0xa_0000n,
    userspaceAddr: 0x7f00_0000_0000n,
    ret: 0,
    pid: 4242,
  });
  assert.equal([second!.slot, second!.flags, second!.time], [0x1_0003, 2, undefined]);
  assert.equal([third!.slot, third!.memorySize, third!.ret], [0x1_0003, 0n, -22]);
  assert.throws(() => parseKvmTrace("x\nkvm_set_user_memory Slot#x\n"), parseError(2, "not as"));
});

test("each recorded boot, written as such a log, is read as it was and goes through an engine", async () => {
  for (const boot of recordedBoots()) {
    const updates = boot.commits.flat();
    const log = updates.map(({ slot, flags, gpa, size, off }) => {
      const [g, s, u] = [gpa, size, 0x7f00_0000_0000 + off].map((n) => `0x${n.toString(16)}`);
      return `kvm_set_user_memory Slot#${slot} flags=0x${flags.toString(16)} gpa=${g} size=${s} ua=${u} ret=0\n`;
    });
    const parsed = parseKvmTrace(log.join(""));
    assert.is(parsed.length, updates.length);
    const engine = await MemslotEngine.create();
    for (const update of parsed) engine.setUserMemoryRegion(update);
    assert.is(engine.publications, updates.length, boot.name);
  }
});

const IOMEM = `00000000-00000fff : Reserved
00001000-0009ffff : System RAM
00100000-3fffffff : System RAM
  01000000-01ffffff : Kernel code
    01100000-011fffff : deeper
fd000000-febfffff : PCI Bus 0000:00
  fd000000-fdffffff : 0000:00:02.0
  febf0000-febf0fff : 0000:00:02.0
fec00000-fec003ff : IOAPIC 0
100000000-13fffffff : System RAM
`;

test("/proc/iomem: RAM and devices, nested", async () => {
  const view = FlatView.of(parseIomem(IOMEM));
  const name = (address: number) => view.find(address)?.region.name;
  assert.equal([0, 0x1000, 0x110_0000, 0xfd00_0000, 0xfe00_0000, 0xfec0_0400, 0x1_3fff_ffff].map(name), [
    "Reserved",
    "System RAM",
    "System RAM",
    "0000:00:02.0",
    "PCI Bus 0000:00",
    undefined,
    "System RAM",
  ]);
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  views.set(parseIomem(IOMEM, { host: (start) => 0x10_0000_0000 + Number(start), device: () => 5 }));
  assert.is(engine.gpaToHva(0x110_0000), 0x10_0110_0000);
  assert.equal(engine.locate(0xfec0_0000), { device: 5, offset: 0 });
  assert.throws(() => parseIomem("no\n"), parseError(1, "not a line"));
  assert.throws(() => parseIomem("0-1 : x\n    0-1 : x\n"), parseError(2, "a level is left out"));
  assert.is(FlatView.of(parseIomem("    0-1 : x\n      1-1 : y\n")).ranges.length, 2, "a uniform indent");
  assert.throws(() => parseIomem("2-1 : x\n"), parseError(1, "ends before"));
  assert.throws(() => parseIomem("5-9 : x\n  1-6 : y\n"), parseError(2, `before "x"`));
  assert.throws(() => parseIomem("00000000-00000000 : Reserved\n"), parseError(1, "to root only"));
});

const DUMPS = new URL("../../traces/flatview/", import.meta.url);

test("every dump goes through JSON and comes back; its slots are structs that KVM's rules accept", async () => {
  for (const name of readdirSync(DUMPS)) {
    for (const { view } of parseMtree(readFileSync(new URL(name, DUMPS), "utf8"))) {
      const json = JSON.stringify(flatViewToJson(view));
      const back = flatViewFromJson(JSON.parse(json));
      assert.is(JSON.stringify(flatViewToJson(back)), json, name);
      const list = kvmRegions(view);
      const bytes = encodeKvmRegions(list);
      assert.is(bytes.length, list.length * REGION_BYTES);
      const engine = await MemslotEngine.create();
      const views = new FlatViews(engine);
      for (let i = 0; i < list.length; i++)
        engine.setUserMemoryRegion(bytes.subarray(i * REGION_BYTES, (i + 1) * REGION_BYTES));
      assert.equal(
        engine
          .slots()
          .map(
            (slot) =>
              decodeUserspaceMemoryRegion(
                bytes.subarray(slot.slot * REGION_BYTES, (slot.slot + 1) * REGION_BYTES),
              ).guestPhysAddr,
          ),
        engine.slots().map(({ guestPhysAddr }) => BigInt(guestPhysAddr)),
      );
      // The slots made above are the user's, which views leave alone.
      throwsErrno(() => views.set(view), "EEXIST", 0);
    }
  }
});

test("each kind of region goes through JSON and comes back", () => {
  const system = MemoryRegion.container("system", 2n ** 64n);
  const regions = [
    MemoryRegion.ram("ram", 0x1000, 0x10_0000),
    MemoryRegion.ramDevice("ramd", 0x1000, 0x20_0000),
    MemoryRegion.rom("rom", 0x1000, 0x30_0000),
    MemoryRegion.romDevice("flash", 0x1000, 0x40_0000, 7),
    MemoryRegion.io("io", 0x1000, 9),
  ];
  for (const [i, region] of regions.entries()) system.addSubregion(0x1_0000 * i, region);
  const json = JSON.stringify(flatViewToJson(FlatView.of(system)));
  const back = flatViewFromJson(JSON.parse(json));
  assert.equal(
    back.ranges.map(({ region }) => [region.name, region.kind]),
    regions.map(({ name, kind }) => [name, kind]),
  );
  assert.is(JSON.stringify(flatViewToJson(back)), json);
});

test("bad JSON is refused, and the reason is named", () => {
  const region = { name: "ram", kind: "ram", size: "0x1000", priority: 0, host: "0x1000" };
  const range = { start: "0x0", size: "0x1000", offset: "0x0", region: 0 };
  const from = (regions: unknown, ranges: unknown) => () => flatViewFromJson({ regions, ranges } as never);
  assert.not.throws(from([region], [range]));
  assert.throws(from(1, []), /regions must be an array/);
  assert.throws(from([], 1), /ranges must be an array/);
  assert.throws(from([{ ...region, kind: "alias" }], []), /regions\[0\].kind/);
  assert.throws(from([{ ...region, host: 5 }], []), /regions\[0\].host/);
  assert.throws(from([region], [{ ...range, region: 1 }]), /ranges\[0\].region/);
  assert.throws(from([region], [{ ...range, size: "12" }]), /ranges\[0\].size/);
  assert.throws(from([region], [range, range]), /ranges\[1\] must start/);
});

test.run();
