/**
 * Every kind of text that the command line takes for a map: small files in test/traces/formats, made after public bug
 * reports, and relatives of them written here. Each has the slots that are right, or the line that is refused.
 */
import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { diffMaps } from "../../../src/map/diff.js";
import { dumpJson, parseDump } from "../../../src/map/dump.js";
import { mtreeText, slotsOf } from "../../../src/map/export.js";
import type { MemoryMap } from "../../../src/map/memorymap.js";
import { mapOf, parseSource } from "../../../src/map/source.js";
import { InputError } from "../../../src/trace/jsonl.js";
import { devicetree } from "../../support/devicetree.js";

const FOLDER = new URL("../../traces/formats/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, FOLDER), "utf8");
const map = (text: string | Uint8Array, at?: number) => mapOf("f", parseSource("f", text), at);
const hex = (value: number) => value.toString(16);

/** Slots as number, flags, range and host address; blocks that nobody places lie from 2^44 on. */
function slots(text: string | Uint8Array, at?: number): string[] {
  return slotsOf(map(text, at), new Map()).map(
    ({ slot, flags, guestPhysAddr, memorySize, userspaceAddr, guestMemfd }) =>
      `${hex(slot)} ${flags} ${hex(guestPhysAddr)}+${hex(memorySize)} ${hex(userspaceAddr)}` +
      (guestMemfd === undefined ? "" : ` fd ${guestMemfd}`),
  );
}

const windows = (found: MemoryMap) =>
  found.mappings.filter(({ kind }) => kind === "mmio").map(({ block }) => block);
const notes = (found: MemoryMap) =>
  (found.notes ?? []).map(({ line, text }) => `${line}: ${text}`).join("\n");
const refused =
  (line: number, text = "") =>
  (error: unknown) =>
    error instanceof InputError && error.line === line && error.message.includes(text);

const FIRST = "100000200000";
const PC_RAM = [`0 0 0+c0000000 ${FIRST}`];

const RIGHT: Readonly<Record<string, readonly string[]>> = {
  "01-container-kind.mtree.txt": [],
  "02-nv-ram.mtree.txt": [`0 0 100000000+8000000 ${FIRST}`],
  "03-lowercase-kvm.mtree.txt": PC_RAM,
  "04-owner.mtree.txt": PC_RAM,
  "05-readonly-flash.mtree.txt": ["0 2 e0000+20000 1000005e0000", `1 2 ffc00000+400000 ${FIRST}`],
  "06-iso-timestamp.kvm.log": ["0 0 0+80000000 7f0000000000"],
  "06b-mixed-prefix.kvm.log": ["0 0 0+80000000 7f0000000000", "1 0 100000000+80000000 7e0000000000"],
  "07-guest-memfd.kvm.log": ["0 4 0+80000000 7f0000000000 fd 16"],
  "07b-guest-memfd.slots.json": ["0 4 0+10000 20000000"],
  "07c-guest-memfd.record.jsonl": [`0 4 0+10000 ${FIRST}`, "1 0 100000+10000 100000300000"],
  "08-arm64-hva.kvm.log": ["0 0 80000000+300000000 fffc00000000"],
  "09a-prompt-before.mtree.txt": PC_RAM,
  "09c-indented.mtree.txt": PC_RAM,
  "09d-stripped.mtree.txt": PC_RAM,
  "10-dispatch.mtree.txt": [`0 0 0+8000000 ${FIRST}`],
  "11-two-blocks-one-name.mtree.txt": [`0 0 fc000000+1000000 ${FIRST}`, `1 0 fd000000+1000000 ${FIRST}`],
  "14-no-mark-no-slot.mtree.txt": [`0 0 0+100000000 ${FIRST}`],
  "15-block-named-host.mtree.txt": [`0 0 0+8000000 ${FIRST}`],
  "16-info-mtree-tree.txt": [`0 0 0+8000000 ${FIRST}`],
  "17-qemu-2.8-flat.txt": PC_RAM,
  "19-proc.iomem": ["0 0 1000+9e000 100000201000", "1 0 100000+7ff00000 100000300000"],
  "19b-indented.iomem": ["0 0 1000+9e000 100000201000", "1 0 100000+7ff00000 100000300000"],
  "20-beyond-2-53.mtree.txt": [`0 0 0+8000000 ${FIRST}`],
  "22b-ftrace.kvm.log": ["0 0 0+80000000 7f2e6fe00000"],
  "23-qmp-reply.json": [`0 0 0+8000000 ${FIRST}`],
};

for (const name of readdirSync(FOLDER)) {
  if (name === "13-two-boots.kvm.log" || name === "18-strace.log") continue;
  test(`${name} has the slots that are right, and goes through mtree and JSON`, () => {
    const found = map(read(name));
    assert.equal(slots(read(name)), RIGHT[name]);
    assert.ok(found.source !== undefined);
    const again = parseDump("f", JSON.stringify(dumpJson(found)));
    assert.equal(again.mappings, found.mappings);
    assert.equal(slotsOf(again, new Map()), slotsOf(found, new Map()));
    const isNamed = found.mappings.every(({ block, flags }) => !block.startsWith("\0") && flags < 4);
    if (isNamed) assert.equal(diffMaps(map(mtreeText(found)), found), []);
  });
}

test("windows and notes of these files", () => {
  assert.equal(windows(map(read("01-container-kind.mtree.txt"))), ["io"]);
  assert.equal(windows(map(read("14-no-mark-no-slot.mtree.txt"))), ["0001:03:00.0 BAR 0 mmaps[0]"]);
  assert.match(notes(map(read("11-two-blocks-one-name.mtree.txt"))), /^3: "vga.vram" is mapped twice/);
  assert.match(notes(map(read("20-beyond-2-53.mtree.txt"))), /firmware.*beyond 2\^53/);
});

test("several machines: the line of the second, or a choice", () => {
  assert.throws(() => map(read("13-two-boots.kvm.log")), refused(3, "another machine begins, of 2"));
  assert.equal(slots(read("13-two-boots.kvm.log"), 1).length, 2);
  assert.equal(slots(read("13-two-boots.kvm.log"), 2), ["0 0 0+40000000 7e0000000000"]);
  assert.throws(() => map(read("13-two-boots.kvm.log"), 3), /there is no machine 3/);
  assert.throws(() => map(read("18-strace.log")), refused(5));
  assert.equal(slots(read("18-strace.log"), 1), ["6 1 100000+7ef00000 7fb89bf00000"]);
  assert.equal(slots(read("18-strace.log"), 2), ["0 0 80000000+300000000 fffcbedd6000"]);
  assert.match(notes(map(read("18-strace.log"), 1)), /^4: KVM refused 1 update/);
  const twice = `${read("09c-indented.mtree.txt")}\n${read("10-dispatch.mtree.txt")}`;
  assert.throws(
    () => map(twice),
    refused(read("09c-indented.mtree.txt").split("\n").length + 1, "another dump"),
  );
  assert.equal(slots(twice, 1), PC_RAM);
  assert.equal(slots(twice, 2), [`0 0 0+8000000 ${FIRST}`]);
});

const A = "  0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM";
const B = "  00000000000c0000-00000000bfffffff (prio 0, ram): pc.ram @00000000000c0000 KVM";
const HEAD = 'FlatView #0\n AS "memory", root: system\n Root memory region: system';
const QUOTED = [...HEAD.split("\n"), A, B].map((line) => `> ${line}`).join("\n");
const PASTED: Readonly<Record<string, string>> = {
  "prompts around":
    `QEMU 9.2.0 monitor - type 'help' for more information\n(qemu) info mtree` +
    ` -f\n${HEAD}\n${A}\n${B}\n\n(qemu) quit`,
  "a prompt before the head": `(qemu) ${HEAD}\n${A}\n${B}`,
  "a shell's prompt": `$ virsh qemu-monitor-command vm --hmp 'info mtree -f'\n${HEAD}\n${A}\n${B}\n`,
  quoted: [...HEAD.split("\n"), A, B].map((line) => `> ${line}`).join("\n"),
  "quoted twice": [...HEAD.split("\n"), A, B].map((line) => `> >${line}`).join("\n"),
  "quoted in prose": `On Monday you wrote:\n\n${QUOTED}\n\nThat is odd.`,
  "blanks at ends, CRLF": [HEAD, A, B].join("  \r\n").replaceAll("\n AS", "  \r\n AS"),
  "wrapped at a blank": `${HEAD}\n${A.replace(" KVM", "\nKVM")}\n${B.replace(" @", "\n@")}`,
  "wrapped in a range": `${HEAD}\n${A.replace(", ram", ",\nram")}\n${B.replace(" (prio", "\n(prio")}`,
  "wrapped in a range twice": `${HEAD}\n${A.replace(", ram): ", ",\nram):\n")}\n${B}`,
  "beyond 2^64": `${HEAD}\n${A}\n${B}\n  [DETECTED OVERFLOW!] ffffffffffff0000-0000000000000fff (prio 0, i/o): x`,
  "top lines cut off": `${A}\n${B}\n`,
  "head cut off": `${HEAD.split("\n").slice(1).join("\n")}\n${A}\n${B}\n`,
  "control codes":
    `\x1b[H\x1b[2J(qemu) i\x1b[K\x1b[Din\x1b[K\x1b[D\x1b[Dinfo mtree` +
    ` -f\r\n${HEAD}\r\n\x1b[1m${A}\x1b[0m\r\n${B}\b\bVM\r\n`,
  "no-break spaces": `${HEAD}\n${A}\n${B}`.replaceAll(" ", "\u00a0"),
  "marks repeated": `${HEAD}\n${A} KVM\n${B} KVM`,
  "a mark that nobody knows": `${HEAD}\n${A.replace("KVM", "axle")}\n${B.replace("KVM", "axle")}`,
  "kvm:tcg": `${HEAD}\n${A.replace("KVM", "kvm:tcg")}\n${B.replace("KVM", "kvm:tcg")}`,
  "-d":
    `${HEAD}\n${A}\n${B}\n  Dispatch\n    Physical sections\n      #0` +
    ` @0000000000000000..ffffffffffffffff (noname) [unassigned]\n    Nodes (9 bits per level, 6` +
    ` levels) ptr=[3] skip=4\n      [0]\n\nFlatView #1\n AS "x", root: y\n Root memory region:` +
    ` (none)\n  No rendered FlatView\n`,
  "QMP, a transcript":
    `{"QMP": {"version": {}, "capabilities": []}}\n-> {"execute":` +
    ` "qmp_capabilities"}\n<- {"return": {}}\n<- ${JSON.stringify({ return: `${HEAD}\r\n${A}\r\n${B}\r\n` })}\n`,
  "QMP, indented": JSON.stringify({ id: "libvirt-1", return: `${HEAD}\r\n${A}\r\n${B}\r\n` }, null, 2),
};

for (const [kind, text] of Object.entries(PASTED)) {
  test(`a dump pasted: ${kind}`, () => assert.equal(slots(text), PC_RAM));
}

test("a terminal's full lines are joined, also within a word, and what goes beyond 2^64 is noted", () => {
  const names = [
    "a-device-with-a-long-name-of-its-own-and-more",
    "another-device-with-a-long-name-of-its-own",
  ];
  const devices = names.map((name, i) => `  00000000c000${i}000-00000000c000${i}fff (prio 0, i/o): ${name}`);
  for (const columns of [62, 64, 70, 72]) {
    const lines = [...HEAD.split("\n"), A, B, ...devices].map((line) =>
      line.replace(new RegExp(`(.{${columns}})(?=.)`, "g"), "$1\n"),
    );
    const found = map(lines.join("\n"));
    assert.equal(windows(found), names, `${columns} columns`);
    assert.equal(slots(lines.join("\n")), PC_RAM, `${columns} columns`);
  }
  assert.is(
    notes(map(PASTED["beyond 2^64"]!)),
    "6: QEMU found that the region goes beyond 2^64: it is passed over",
  );
});

test("an elision, a broken line, a line that nothing explains are errors with their line", () => {
  for (const dots of ["...", "[...]", "  …", "<snip>", "--More--"]) {
    assert.throws(() => map(`${HEAD}\n${A}\n${dots}\n${B}\n`), refused(5), dots);
    assert.throws(() => map(`${HEAD}\n${A}\n\n${dots}\n\nFlatView #2\n${B}\n`), refused(6), dots);
  }
  assert.throws(() => map(`[...]\n${A}\n`), refused(1, "leaves something out"));
  assert.throws(() => map(`${HEAD}\n${A}\n  00000000000c0000-00000000bff`), refused(5));
  assert.throws(() => map(`${HEAD}\n${A}\n  and what is this\n`), refused(5, "not a range"));
  assert.throws(() => map(`${HEAD}\n${A}\n\n(qemu) info\n${B}\n`), refused(7, "no head"));
  assert.throws(() => map(`${HEAD}\n${A.replace("ram)", "core)")}\n`), refused(4, 'kind "core"'));
});

const RAMBLOCK =
  `              Block Name    PSize              Offset               Used         ` +
  `     Total                HVA  RO
    0000:00:02.0/vga.vram    4 KiB  0x0000000008080000 0x0000000001000000 0x0000000001000000 0x00007f0000000000  rw
    0000:00:03.0/vga.vram    4 KiB  0x0000000009080000 0x0000000001000000 0x0000000001000000 0x00007e0000000000  rw
`;

test("two blocks of one name: told apart by owners, or by info ramblock, which has their addresses", () => {
  const text = read("11-two-blocks-one-name.mtree.txt");
  const own = text
    .replace("vga.vram", "vga.vram owner:{dev id=a}")
    .replace("vga.vram KVM", "vga.vram owner:{dev id=b} KVM");
  assert.equal(slots(own), [`0 0 fc000000+1000000 ${FIRST}`, "1 0 fd000000+1000000 100001400000"]);
  assert.is(notes(map(own)), "");
  const told = [`0 0 fc000000+1000000 7f0000000000`, "1 0 fd000000+1000000 7e0000000000"];
  assert.equal(slots(`${text}\n(qemu) info ramblock\n${RAMBLOCK}`), told);
  assert.equal(slots(`${RAMBLOCK}\n${text}`), told);
  assert.match(notes(map(`${text}\n${RAMBLOCK}`)), /2 blocks of info ramblock may be "vga.vram"/);
});

test("a tree: order, disabled regions that are not printed, containers told apart, no indent", () => {
  const tree = (lines: string) =>
    `address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n${lines}`;
  const ram = "    0000000000000000-000000000fffffff (prio 0, ram): ram\n";
  const hidden = "      0000000000000000-000000000000ffff (prio 9, ram): hidden\n";
  assert.equal(slots(tree(`    0000000010000000-000000001000ffff (prio 0, i/o): dev\n${hidden}`)), []);
  assert.equal(slots(tree(ram)), [`0 0 0+10000000 ${FIRST}`]);
  const over =
    "    0000000000001000-0000000000001fff (prio 1, i/o): over\n     " +
    " 0000000000001000-00000000000010ff (prio 0, i/o): in\n";
  assert.equal(slots(tree(ram + over)), [`0 0 0+1000 ${FIRST}`, `1 0 2000+fffe000 100000202000`], "sub-page");
  const told = "    0000000020000000-000000002000ffff (prio 0, container): c\n";
  assert.equal(slots(tree(ram + over + told)), [`0 0 0+1000 ${FIRST}`, `1 0 2000+fffe000 100000202000`]);
  assert.match(notes(map(tree(ram + over))), /containers as i\/o.*system, over/);
  assert.is(notes(map(tree(ram + told).replace("i/o): system", "container): system"))), "");
  const both = tree(`${ram}    0000000000001000-0000000000002fff (prio 0, rom): rom\n`);
  assert.match(notes(map(both)), /"ram" and "rom" overlap with equal priority/);
  assert.throws(() => map(tree(ram).replaceAll(/^ +/gm, "")), refused(2, "indent is lost"));
  const old = tree(
    "    0000000000000000-0000000007ffffff (prio 0, RW): alias ram-below-4g @pc.ram" +
      " 0000000000000000-0000000007ffffff\n",
  );
  const section = "\nmemory-region: pc.ram\n  0000000000000000-0000000007ffffff (prio 0, RW): pc.ram\n";
  assert.equal(slots(old.replace("i/o", "RW") + section), [`0 0 0+8000000 ${FIRST}`]);
  assert.match(notes(map(old.replace("i/o", "RW") + section)), /before 2.9.*pc\.ram/);
});

test("a block that a tree shows through aliases only reaches as far as they do", () => {
  const tree =
    "address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, container): system\n" +
    "    0000000000000000-0000000007ffffff (prio 0, ram): alias low @pc.ram 0000000000000000-0000000007ffffff\n" +
    "    0000000010000000-0000000010000fff (prio 0, rom): alias bios @pc.bios 0000000000001000-0000000000001fff\n";
  assert.equal(slots(tree), [`0 0 0+8000000 ${FIRST}`, "1 2 10000000+1000 100008401000"]);
});

const FIELDS = "flags=0x0 gpa=0x0 size=0x80000000 ua=0x7f0000000000";
const LOGGED: readonly string[] = [
  `kvm_set_user_memory Slot#0 ${FIELDS} ret=0`,
  `1234@1700000000.123456:kvm_set_user_memory AddrSpace#0 Slot#0 ${FIELDS} guest_memfd=-1` +
    ` guest_memfd_offset=0x0 ret=0`,
  `2026-01-02T03:04:05.678901+01:00 1234@1700000000.123456:kvm_set_user_memory Slot#0 ${FIELDS} ret=0`,
  `Jan  2 03:04:05 host qemu-system-x86_64[1234]: kvm_set_user_memory Slot#0 ${FIELDS} ret=0`,
  `Jan 02 03:04:05 host libvirtd[1]: kvm_set_user_memory Slot#0 ${FIELDS} ret=0`,
  `           <...>-1234  [003] d..3.  1.5: tracing_mark_write: kvm_set_user_memory Slot#0 ${FIELDS} ret=0`,
  `qemu: ${"x".repeat(30)} | kvm_set_user_memory Slot#0 ${FIELDS} ret=0`,
  "kvm_set_user_memory 0.000 pid=1234 slot=0x0 flags=0x0 guest_phys_addr=0x0 memory_size=0x80000000" +
    " userspace_addr=0x7f0000000000 ret=0x0",
  "kvm_set_user_memory 12.345 pid=1234 as=0x0 slot=0x0 flags=0x0 guest_phys_addr=0x0" +
    " memory_size=0x80000000 userspace_addr=0x7f0000000000 fd=0xffffffff fd_offset=0x0 ret=0x0",
  "[10:00:00.123456789] (+?.?????????) host qemu:kvm_set_user_memory: { cpu_id = 0 }, { slot = 0," +
    " flags = 0, guest_phys_addr = 0, memory_size = 2147483648, userspace_addr = 139637976727552, ret = 0 }",
];

test("a log of any backend and version, with any prefix", () => {
  for (const line of LOGGED) {
    assert.equal(
      slots(`qemu -trace kvm_set_user_memory\n${line}\nother event\n`),
      ["0 0 0+80000000 7f0000000000"],
      line,
    );
  }
  const refusal = LOGGED[7]!.replace("ret=0x0", "ret=0xffffffea").replace("slot=0x0", "slot=0x1");
  assert.equal(slots(`${LOGGED[7]}\n${refusal}\n`), ["0 0 0+80000000 7f0000000000"]);
  for (const bad of [
    `x kvm_set_user_memory Slot#1 flags=0x0 gpa=0x0`,
    `kvm_set_user_memory Slot#1 ${FIELDS} ret=0 and more`,
    `kvm_set_user_memory Slot#1 ${FIELDS} ret=0kvm_set_user_memory Slot#2 ${FIELDS} ret=0`,
    `kvm_set_user_memory Slot#1 flags=0x0 gpa=0x0 size=0x8000`,
    "kvm_set_user_memory Sl",
  ]) {
    assert.throws(() => map(`${LOGGED[0]}\n${bad}\n`), refused(2), bad);
  }
});

test("two threads that change each other's slots are one machine", () => {
  const line = (pid: number, fields: string) => `${pid}@1.5:kvm_set_user_memory ${fields} ret=0\n`;
  const low = "Slot#0 flags=0x0 gpa=0x0 size=0x1000 ua=0x10000";
  const high = (size: string) => `Slot#1 flags=0x0 gpa=0x100000 size=${size} ua=0x20000`;
  const made = line(7, low) + line(8, high("0x2000"));
  assert.throws(() => map(made), refused(2, "another machine begins, of 2"));
  assert.equal(slots(made + line(7, high("0x0"))), ["0 0 0+1000 10000"]);
});

test("strace: unfinished calls, the second ioctl, flags by name, what it does not print so", () => {
  const struct =
    "{slot=0, flags=KVM_MEM_READONLY|KVM_MEM_LOG_DIRTY_PAGES, guest_phys_addr=0, memory_size=4096," +
    " userspace_addr=0x7f0000000000}";
  const call = `[pid 7] ioctl(12</dev/kvm>, KVM_SET_USER_MEMORY_REGION, ${struct}`;
  assert.equal(slots(`${call}) = 0\n`), ["0 3 0+1000 7f0000000000"]);
  const split = `${call} <unfinished ...>\n[pid 8] read(3, "", 1) = 0\n[pid 7] <... ioctl resumed>) = 0 <0.1>\n`;
  assert.equal(slots(split), ["0 3 0+1000 7f0000000000"]);
  assert.throws(() => map(`${call} <unfinished ...>\n`), refused(1, "unfinished"));
  assert.throws(
    () => map(`${call}) = 0\n[pid 7] ioctl(12, KVM_SET_USER_MEMORY_REGION, {slot=1, ...}) = 0\n`),
    refused(2),
  );
  const second =
    "ioctl(9, KVM_SET_USER_MEMORY_REGION2, {slot=1, flags=0x4 /* KVM_MEM_??? */," +
    " guest_phys_addr=0x1000, memory_size=8192, userspace_addr=0x10000, guest_memfd_offset=0," +
    " guest_memfd=14}) = 0\n";
  assert.equal(slots(second), ["1 4 1000+2000 10000 fd 14"]);
});

const E820 = `[    0.000000] Linux version 6.1
[    0.000000] BIOS-provided physical RAM map:
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000001ffdffff] usable
[    0.000000] BIOS-e820: [mem 0x00000000fffc0000-0x00000000ffffffff] reserved
[    0.000000] NX (Execute Disable) protection: active
`;

test("maps of firmware: e820 of two forms, memmap, EFI of two forms and its shell", () => {
  const right = [`0 0 0+9f000 ${FIRST}`, "1 0 100000+1fee0000 100000300000"];
  assert.equal(slots(E820), right);
  assert.equal(windows(map(E820)), ["reserved", "reserved"]);
  const old = E820.replaceAll(
    /\[mem 0x(\w+)-0x(\w+)\] (\w+)/g,
    (_, a, b, c) => `${a} - ${(BigInt(`0x${b}`) + 1n).toString(16).padStart(16, "0")} (${c})`,
  );
  assert.equal(slots(old), right);
  assert.throws(() => map(E820 + E820), refused(10, "another map"));
  assert.match(
    notes(map(`${E820}[    0.0] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved\n`)),
    /^8: /,
  );
  assert.throws(() => map(`${E820}[    0.0] BIOS-e820: [mem 0x0\n`), refused(8));
  const memmap =
    "0/start:0x0\n0/end:0x9fbff\n0/type:System" +
    " RAM\n10/start:0x100000\n10/end:0x1ffdffff\n10/type:System" +
    " RAM\n2/start:0x9fc00\n2/end:0x9ffff\n2/type:Reserved\n";
  assert.equal(slots(memmap), right);
  assert.equal(slots(memmap.replaceAll(/^/gm, "/sys/firmware/memmap/").slice(0, -21)), right);
  assert.throws(() => map(memmap.replace("2/end:0x9ffff\n", "")), refused(7));
  const efi =
    `efi: mem00: [Conventional Memory|   |  |  |  |  |  |  |  |   |WB|WT|WC|UC]` +
    ` range=[0x0000000000000000-0x000000000009fbff] (0MB)
efi: mem01: [Reserved           |   |  |  |  |   |WB|WT|WC|UC] range=[0x000000000009fc00-0x000000000009ffff] (0MB)
efi: mem02: type=7, attr=0xf, range=[0x0000000000100000-0x000000001ffe0000) (510MB)
`;
  assert.equal(slots(efi), right);
  const shell = `Type       Start            End              # Pages          Attributes
BS_data    0000000000000000-000000000009EFFF 000000000000009F 000000000000000F
Available  0000000000100000-000000001FFDFFFF 000000000001FEE0 000000000000000F
MMIO       00000000FFC00000-00000000FFFFFFFF 0000000000000400 8000000000000001
`;
  assert.equal(slots(shell), right);
  assert.equal(windows(map(shell)), ["MMIO"]);
});

test("a devicetree: memory nodes, reserved-memory with and without no-map; cut at any byte it is refused", () => {
  const strings = ["#address-cells", "#size-cells", "device_type", "reg", "no-map"];
  const blob = devicetree(
    [
      ["", 0],
      ["memory@40000000", 1],
      "end",
      ["reserved-memory", 1],
      ["fw@50000000", 2],
      "end",
      ["cma", 2],
      "end",
      "end",
      "end",
    ],
    strings,
    {
      "": [
        ["#address-cells", [2]],
        ["#size-cells", [2]],
      ],
      "memory@40000000": [
        ["device_type", "memory"],
        ["reg", [0, 0x4000_0000, 0, 0x4000_0000, 8, 0, 1, 0]],
      ],
      "reserved-memory": [
        ["#address-cells", [2]],
        ["#size-cells", [2]],
      ],
      "fw@50000000": [
        ["reg", [0, 0x5000_0000, 0, 0x10_0000]],
        ["no-map", []],
      ],
    },
  );
  assert.equal(slots(blob), [
    "0 0 40000000+10000000 100040200000",
    "1 0 50100000+2ff00000 100050300000",
    "2 0 800000000+100000000 100800200000",
  ]);
  assert.equal(windows(map(blob)), ["fw@50000000"]);
  assert.match(notes(map(blob)), /"cma" has no address/);
  for (let end = 0; end < blob.length; end++) {
    assert.throws(
      () => map(blob.slice(0, end)),
      (error: unknown) => error instanceof InputError,
      `${end} bytes`,
    );
  }
});

test.run();
