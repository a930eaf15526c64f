/** What the readers refuse, each for its reason and with its line. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  ParseError,
  parseDeviceTree,
  parseIomem,
  parseKvmTrace,
  parseMtree,
  parsePhysical,
  parseStrace,
} from "../../../src/flatview/index.js";
import { mapOf, parseSource, traceOf } from "../../../src/map/source.js";
import { InputError } from "../../../src/trace/jsonl.js";
import { devicetree } from "../../support/devicetree.js";

const HEAD = 'FlatView #0\n AS "memory", root: system\n Root memory region: system\n';
const LINE = "  0000000000000000-0000000000000fff (prio 0, ram): r";
const CALL = "ioctl(9, KVM_SET_USER_MEMORY_REGION, ";
const STRUCT = "{slot=0, flags=0, guest_phys_addr=0, memory_size=4096, userspace_addr=0x1000}";
const TREE = "address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, container): system\n";
const ALIAS =
  "0000000000000000-0000000000000fff (prio 0, ram): alias a @r0 0000000000000000-0000000000000fff\n";
const UPDATE = "kvm_set_user_memory Slot#0 flags=0x0 gpa=0x0 size=0x1000 ua=0x1000 ret=0";

const CASES: readonly (readonly [(text: string) => unknown, string, number, string])[] = [
  [parseMtree, `${HEAD}  0000000000000000-0000000000000fff (prio 0, ram):\n`, 4, "not a range of a FlatView"],
  [parseMtree, `${HEAD}  0000000000001000-0000000000000fff (prio 0, ram): r\n`, 4, "ends before it starts"],
  [parseMtree, `${HEAD}  0000000000000000-0000000000000fff (prio 0, mram): r\n`, 4, 'kind "mram" is unknown'],
  [parseMtree, `${HEAD}${LINE.replace(": r", ": alias a @b 0")}\n`, 4, "not an alias"],
  [
    parseMtree,
    `${HEAD}  0000000000000000-0000ffffffffffff (prio 0, ram): r\n`,
    4,
    "the host's address space is full",
  ],
  [
    parseMtree,
    "address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, container): system\n" +
      "    0000000000000000-0000000000000fff (prio 0, container): alias a @r 0000000000000000-0000000000000fff\n\n" +
      "memory-region: r\n  0000000000000000-0000000000000fff (prio 0, container): r\n" +
      "    0000000000000000-0000000000000fff (prio 0, container): alias b @r 0000000000000000-0000000000000fff\n",
    7,
    "in which it lies itself",
  ],
  [parseKvmTrace, UPDATE.replace("Slot#0", "Slot#4294967296"), 1, "a value is beyond its type"],
  [parseKvmTrace, UPDATE.replace("gpa=0x0", "gpa=0x10000000000000000"), 1, "a value is beyond its type"],
  [parseKvmTrace, UPDATE.replace(" ret=0", ""), 1, "not as kvm_set_user_memory is traced"],
  [parseKvmTrace, `${UPDATE} constructor=1`, 1, "not as kvm_set_user_memory is traced"],
  [parseKvmTrace, `${UPDATE} slot=1`, 1, "not as kvm_set_user_memory is traced"],
  [parseStrace, `${CALL}${STRUCT}`, 1, "not as strace prints"],
  [parseStrace, `${CALL}${STRUCT}) = ?`, 1, "not as strace prints"],
  [parseStrace, `${CALL}${STRUCT}) = -2`, 1, "not as strace prints"],
  [parseStrace, `${CALL}${STRUCT}) = -1`, 1, "not as strace prints"],
  [parseStrace, `${CALL}0x7ffd) = -1 EFAULT (Bad address)`, 1, "not as strace prints"],
  [parseStrace, `${CALL}${STRUCT.replace("4096", "4k")}) = 0`, 1, "not as strace prints"],
  [parseStrace, `${CALL}${STRUCT.replace("flags=0", "flags=constructor")}) = 0`, 1, "not as strace prints"],
  [parseStrace, `x KVM_SET_USER_MEMORY_REGION ${STRUCT}`, 1, "not as strace prints"],
  [parseStrace, `7 ${CALL}${STRUCT} <unfinished ...>`, 1, "the call is unfinished"],
  [parsePhysical, "a line", 1, "the text has no map of firmware"],
  [parsePhysical, "BIOS-e820: something else", 1, "not as Linux prints a map of firmware"],
  [parsePhysical, "BIOS-e820: [mem 0x2000-0x1000] usable", 1, "ends before it starts"],
  [parsePhysical, "0/start:0x0\n0/end:0xfff\n", 1, "start, end or type of the range is missing"],
  [parsePhysical, "0/start:zero\n0/end:0xfff\n0/type:System RAM\n", 1, "start, end or type of the range"],
  [parseIomem, "1000-1fff : a\n  0000-0fff : b\n", 2, 'starts before "a", which holds it'],
  [parseIomem, "1000-1fff : a\n    1000-1fff : b\n", 2, "a level is left out"],
  [parseIomem, "1000-0fff : a\n", 1, "ends before it starts"],
  [parseIomem, "1000-1fff : a\nelse\n", 2, "not a line of /proc/iomem"],
  [parseIomem, "0-0 : a\n", 1, "all addresses are 0"],
];

for (const [reader, text, line, reason] of CASES) {
  test(`${reader.name}: ${reason}: ${text.slice(0, 60)}`, () => {
    assert.throws(
      () => reader(text),
      (error: unknown) =>
        error instanceof ParseError && error.line === line && error.message.includes(reason),
    );
  });
}

test("what is more than any machine has is refused with the limit", () => {
  const update = (i: number) => `${i}@1700000000.1:${UPDATE.replace("Slot#0", `Slot#${i}`)}`;
  const machines = Array.from({ length: 1025 }, (_, i) => update(i)).join("\n");
  const hex = (value: number) => value.toString(16).padStart(16, "0");
  const alias = (k: number, i: number) =>
    `    ${hex(i * 4096)}-${hex(i * 4096 + 0xffff)} (prio ${i}, container): ` +
    `alias x @r${k + 1} ${hex(0)}-${hex(0xffff)}\n`;
  const region = (k: number) =>
    `\nmemory-region: r${k}\n  ${hex(0)}-${hex(0xffff_ffff)} (prio 0, ram): r${k}\n${alias(k, 0)}${alias(k, 1)}`;
  const aliases = Array.from({ length: 40 }, (_, k) => region(k)).join("");
  for (const [text, line, reason] of [
    [machines, 1025, "more than 1024 machines"],
    [`${HEAD}${LINE}${"r".repeat(65_536)}`, 4, "more than 65536"],
    [`[${"{},".repeat(2 ** 20)}{}]`, undefined, "at most 1048576 are read"],
    [`${TREE}    ${ALIAS}${aliases}`, undefined, "more than 1048576 times"],
  ] as const) {
    assert.throws(
      () => mapOf("f", parseSource("f", text), undefined),
      (error: unknown) =>
        error instanceof InputError &&
        (line === undefined || error.line === line) &&
        error.reason.includes(reason),
    );
  }
});

test("a devicetree with an unknown token, or another that nests or ends wrongly", () => {
  const blob = devicetree([["", 0], ["memory@0", 1], "end", "end"], ["reg"], {
    "memory@0": [["reg", [0, 0, 0, 4096]]],
  });
  const refused = (change: (view: DataView, words: number) => void, reason: RegExp) => {
    const copy = blob.slice();
    change(new DataView(copy.buffer), copy.length);
    assert.throws(() => parseDeviceTree(copy), reason);
  };
  refused((view) => view.setUint32(40, 7), /token 7 is unknown/);
  refused((view) => view.setUint32(40, 2), /a node ends that has not begun/);
  refused((view) => view.setUint32(40, 9), /it has no node/);
  // Behind two nodes and their names: a property and its length.
  refused((view) => view.setUint32(68, 0xffff), /a property goes beyond its end/);
  refused((view) => view.setUint32(0, 0), /first word is not 0xd00dfeed/);
  refused((view, bytes) => view.setUint32(4, bytes + 1), /it has \d+ bytes, the file \d+/);
});

test("a log whose host memory is more than an address space has cannot be replayed", () => {
  const far = (slot: number, ua: string) =>
    `kvm_set_user_memory Slot#${slot} flags=0x0 gpa=0x${slot}00000000000 size=0x600000000000 ua=0x${ua} ret=0\n`;
  const source = parseSource("f", far(0, "1000") + far(7, "700000001000"));
  assert.throws(
    () => traceOf("f", source, undefined),
    (error: unknown) => error instanceof InputError && /more than an address space has/.test(error.message),
  );
  assert.is(mapOf("f", source, undefined).mappings.length, 2);
});

test.run();
