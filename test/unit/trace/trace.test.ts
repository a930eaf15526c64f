/** The trace parser: the recorded boots pass, a line that is wrong is named with file, line and reason. */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readTrace } from "../../../src/cli/input.js";
import { TASK_SIZE_MAX } from "../../../src/kvm/uapi.js";
import { BlockLayout } from "../../../src/trace/blocks.js";
import { throwsInputError } from "../../support/inputerror.js";
import { jsonlFile, tempFile } from "../../support/tempfile.js";

const TRACES = fileURLToPath(new URL("../../traces/qemu/", import.meta.url));
const HEADER = {
  machine: "m",
  args: "-M m",
  note: "n",
  qemu: "7.2",
  blocks: { ram: "0x10000", rom: "0x1000" },
};
const UPDATE = {
  t: 0.5,
  commit: 3,
  slot: 1,
  kind: "create",
  flags: 0,
  gpa: "0x2000",
  size: "0x4000",
  block: "ram",
  off: "0x1000",
  ret: 0,
};
const SECTION = { name: "mem", gpa: "0x0", size: "0xa0000", off: "0x0" };
const SECTIONS = { t: 1, commit: 1, started: 0, changed: 1, sections: [SECTION], added: [], removed: [] };

function without(object: Record<string, unknown>, name: string): object {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
}

test("every recorded boot parses, and its first line names it", async () => {
  const names = readdirSync(TRACES);
  assert.is(names.length, 18);
  for (const name of names) {
    const trace = await readTrace(TRACES + name);
    assert.is(`${trace.machine}.jsonl.gz`, name);
    assert.is(trace.updates > 0, !name.startsWith("tcg-"), name);
    assert.is(trace.sections > 0, name.startsWith("tcg-"), name);
  }
});

test("an update is read into numbers, and its host address lies in its block", async () => {
  const trace = await readTrace(jsonlFile([HEADER, { t: 0.1, mark: "x" }, UPDATE]));
  const { hva, ...update } = trace.commits[0]!.updates[0]!;
  assert.equal(update, {
    line: 3,
    commit: 3,
    kind: "create",
    slot: 1,
    flags: 0,
    gpa: 0x2000,
    size: 0x4000,
    ret: 0,
  });
  assert.is(hva, trace.blocks.hva("ram", 0x1000));
  assert.is(trace.blocks.name(hva), "ram");
});

test("updates of one commit id are one commit, marks in between or not", async () => {
  const next = { ...UPDATE, slot: 2, gpa: "0x8000" };
  const trace = await readTrace(
    jsonlFile([HEADER, UPDATE, { t: 1, mark: "x" }, next, { ...next, commit: 9 }]),
  );
  assert.equal(
    trace.commits.map(({ id, updates }) => [id, updates.map(({ line }) => line)]),
    [
      [3, [2, 4]],
      [9, [5]],
    ],
  );
  assert.is(trace.updates, 3);
});

test("phases: init until the machine first runs, paused while stopped after that", async () => {
  const marks = [
    "vm_state_notify running 0 reason 1 (debug)",
    "monitor: cont",
    "event: STOP",
    "event: RESET",
    "event: RESUME",
    "vm_state_notify running 0 reason 7 (finish-migrate)",
    "vm_state_notify running 1 reason 9 (running)",
  ];
  const lines = marks.flatMap((mark, i) => [
    { ...UPDATE, commit: i },
    { t: i, mark },
  ]);
  const trace = await readTrace(jsonlFile([HEADER, ...lines, { ...UPDATE, commit: 99 }]));
  assert.equal(
    trace.commits.map(({ phase }) => phase),
    ["init", "init", "running", "paused", "paused", "running", "paused", "running"],
  );
});

test("sections and ROMD lines of a boot without KVM are counted, not applied", async () => {
  const header = { machine: "tcg", source: "vhost listener" };
  const romd = { t: 2, romd: "flash", on: 1 };
  const trace = await readTrace(jsonlFile([header, SECTIONS, romd, { ...romd, on: 0 }]));
  assert.equal([trace.updates, trace.commits.length, trace.sections, trace.romds], [0, 0, 1, 2]);
});

test("a gzipped file is recognized by its content, not by its name", async () => {
  const text = `${JSON.stringify(HEADER)}\n${JSON.stringify(UPDATE)}`;
  assert.is((await readTrace(tempFile("jsonl", gzipSync(text)))).updates, 1);
  assert.is((await readTrace(tempFile("jsonl.gz", text))).updates, 1);
});

test("line numbers survive lines and characters that cross the chunks of a large file", async () => {
  const marks = Array.from({ length: 30_000 }, (_, i) => ({ t: i, mark: "\u{1f5fa}".repeat(1 + (i % 7)) }));
  const file = jsonlFile([HEADER, ...marks, "nonsense"]);
  await throwsInputError(() => readTrace(file), file, 30_002, /^not JSON/);
  assert.is((await readTrace(jsonlFile([HEADER, ...marks, UPDATE]))).commits[0]?.updates[0]?.line, 30_002);
});

const WRONG_UPDATES: [string | object, RegExp][] = [
  ["", /^the line is empty/],
  ["{", /^not JSON/],
  ["[1]", /^not a JSON object: \[1\]/],
  ["null", /^not a JSON object: null/],
  [{ ...UPDATE, kind: "resize" }, /^unknown kind "resize".*create, delete, move, flags/],
  [{ ...UPDATE, kind: 1 }, /^field "kind" must be a string, it is 1/],
  [{ ...UPDATE, gpa: "2000" }, /^field "gpa" must be a hex string/],
  [{ ...UPDATE, gpa: "0x" }, /^field "gpa" must be a hex string/],
  [{ ...UPDATE, gpa: "0xg000" }, /^field "gpa" must be a hex string.*"0xg000"/],
  [{ ...UPDATE, gpa: "0x00000000000001000" }, /^field "gpa" must be a hex string/],
  [{ ...UPDATE, gpa: 8192 }, /^field "gpa" must be a hex string.*8192/],
  [{ ...UPDATE, gpa: "0x2800" }, /^field "gpa" must be a multiple of 0x1000, it is 0x2800/],
  [{ ...UPDATE, gpa: "0xfffffffffffff000" }, /^field "gpa" is 0xfffffffffffff000, beyond 2\^53/],
  [{ ...UPDATE, gpa: "0x1ffffffffff000" }, /^gpa \+ size is beyond 2\^53/],
  [{ ...UPDATE, size: "0x800" }, /^field "size" must be a multiple/],
  [{ ...UPDATE, size: "0x0" }, /^kind is create, but size 0x0 is a delete/],
  [{ ...UPDATE, kind: "delete" }, /^kind is delete, but size is 0x4000/],
  [{ ...UPDATE, block: "vga" }, /^unknown block "vga"/],
  [{ ...UPDATE, block: "constructor" }, /^unknown block "constructor"/],
  [{ ...UPDATE, off: "0xd000" }, /^off \+ size is 0x11000, but block "ram" has 0x10000 bytes/],
  [{ ...UPDATE, off: "0x10" }, /^field "off" must be a multiple/],
  [{ ...UPDATE, flags: 8 }, /^field "flags" must be 0\.\.7, it is 8/],
  [{ ...UPDATE, flags: -1 }, /^field "flags" must be 0\.\.7, it is -1/],
  [{ ...UPDATE, flags: "0" }, /^field "flags" must be an integer, it is "0"/],
  [{ ...UPDATE, slot: 1.5 }, /^field "slot" must be an integer, it is 1\.5/],
  [{ ...UPDATE, slot: 2 ** 32 }, /^field "slot" must be 0\.\.4294967295/],
  [{ ...UPDATE, commit: null }, /^field "commit" must be an integer, it is null/],
  [{ ...UPDATE, t: "now" }, /^field "t" must be a number, it is "now"/],
  [{ ...UPDATE, ret: 1 }, /^field "ret" must be -4095\.\.0, it is 1/],
  [{ t: 1, mark: 7 }, /^field "mark" must be a string, it is 7/],
  [{ t: 1, romd: "flash", on: 2 }, /^field "on" must be 0\.\.1, it is 2/],
  [{ ...SECTIONS, sections: {} }, /^field "sections" must be a list/],
  [{ ...SECTIONS, sections: ["mem"] }, /^sections\[0\] must be an object, it is "mem"/],
  [{ ...SECTIONS, added: [{ ...SECTION, gpa: "here" }] }, /^field "gpa" must be a hex string/],
  [{ t: 1, comment: "?" }, /^unknown kind of line/],
  [{ ...HEADER, t: 0 }, /^a second header/],
  ...["t", "commit", "slot", "kind", "flags", "gpa", "size", "block", "off", "ret"].map(
    (name): [object, RegExp] => [without(UPDATE, name), new RegExp(`^field "${name}" is missing`)],
  ),
  ...["added", "removed", "commit", "started", "changed"].map((name): [object, RegExp] => [
    without(SECTIONS, name),
    new RegExp(`^field "${name}" is missing`),
  ]),
];

for (const [line, reason] of WRONG_UPDATES) {
  const text = typeof line === "string" ? line : JSON.stringify(line);
  test(`refused: ${text.slice(0, 100)} (${reason.source})`, async () => {
    const file = jsonlFile([HEADER, { t: 0, mark: "x" }, line, UPDATE]);
    await throwsInputError(() => readTrace(file), file, 3, reason);
  });
}

const WRONG_HEADERS: [object, RegExp][] = [
  [UPDATE, /^field "machine" is missing/],
  [{ ...HEADER, machine: 1 }, /^field "machine" must be a string/],
  [{ ...HEADER, note: 1 }, /^field "note" must be a string/],
  [without(HEADER, "blocks"), /^field "blocks" is missing/],
  [{ ...HEADER, blocks: ["ram"] }, /^field "blocks" must be an object/],
  [{ ...HEADER, blocks: { ram: 4096 } }, /^length of block "ram" must be a hex string.*4096/],
  [
    { ...HEADER, blocks: { ram: "0x7fffffffffff" } },
    /^block "ram" of 0x7fffffffffff bytes: address space is full/,
  ],
];

for (const [header, reason] of WRONG_HEADERS) {
  test(`refused as first line: ${JSON.stringify(header).slice(0, 100)}`, async () => {
    const file = jsonlFile([header, UPDATE]);
    await throwsInputError(() => readTrace(file), file, 1, reason);
  });
}

test("limits: the last byte of a block, the largest flags and the largest ret pass", async () => {
  const last = { ...UPDATE, off: "0xc000", flags: 3, ret: -4095, slot: 2 ** 32 - 1 };
  const update = (await readTrace(jsonlFile([HEADER, last]))).commits[0]!.updates[0]!;
  assert.equal([update.flags, update.ret, update.slot], [3, -4095, 2 ** 32 - 1]);
});

test("commit ids that go back are lines out of order", async () => {
  const file = jsonlFile([HEADER, UPDATE, { ...UPDATE, commit: 4 }, UPDATE]);
  await throwsInputError(() => readTrace(file), file, 4, /^commit 3 after commit 4: lines are out of order/);
});

test("a file that is truncated, damaged, empty, not text or missing is refused", async () => {
  const lines = [HEADER, ...Array.from({ length: 3000 }, (_, i) => ({ t: Math.sqrt(i), mark: `${i ** 5}` }))];
  const whole = gzipSync(lines.map((line) => JSON.stringify(line)).join("\n"));
  const cut = tempFile("jsonl.gz", whole.subarray(0, whole.length - 9));
  const damaged = tempFile(
    "jsonl.gz",
    whole.map((byte, i) => (i === whole.length >> 1 ? byte ^ 0x55 : byte)),
  );
  const empty = tempFile("jsonl", "");
  const emptyGzip = tempFile("jsonl.gz", gzipSync(""));
  const latin1 = tempFile(
    "jsonl",
    Buffer.from(`${JSON.stringify(HEADER)}\n{"t":1,"mark":"caf\u00e9"}\n`, "latin1"),
  );
  const character = Buffer.from(`${JSON.stringify(HEADER)}\n{"t":1,"mark":"\u00e9`);
  const split = tempFile("jsonl", character.subarray(0, character.length - 1));
  await throwsInputError(() => readTrace(split), split, 2, /^not UTF-8 text/);
  await throwsInputError(() => readTrace(empty), empty, 1, /^the file is empty/);
  await throwsInputError(() => readTrace(emptyGzip), emptyGzip, 1, /^the file is empty/);
  await throwsInputError(() => readTrace(latin1), latin1, 1, /^not UTF-8 text/);
  await throwsInputError(() => readTrace(`${empty}.no`), `${empty}.no`, undefined, /^cannot be read: ENOENT/);
  await throwsInputError(() => readTrace(TRACES), TRACES, undefined, /^cannot be read: EISDIR/);
  // Where the decompressor notices depends on its buffers; that the line is in the file does not.
  for (const file of [cut, damaged]) {
    const error = await readTrace(file).then(
      () => undefined,
      (thrown) => thrown,
    );
    assert.match(`${error?.message}`, /\.jsonl\.gz:\d+: (damaged gzip data|not JSON|not UTF-8)/);
    assert.ok(error.line > 1 && error.line <= lines.length, error.message);
  }
});

test("blocks: aligned, apart by a page or more, below the end of user addresses", () => {
  const layout = new BlockLayout();
  const bytes = [0x1000, 2 ** 30, 0x20_0000, 0x20_0000 - 0x1000, 1, 5 * 2 ** 30];
  const starts = bytes.map((size, i) => {
    assert.ok(layout.add(`block${i}`, size));
    return layout.hva(`block${i}`, 0);
  });
  starts.forEach((start, i) => {
    assert.is(start % 0x1000, 0);
    assert.is(layout.name(start + bytes[i]! - 1), `block${i}`);
    assert.throws(() => layout.name(start + bytes[i]!), /no RAM block at host address/);
    if (i > 0) assert.ok(start >= starts[i - 1]! + bytes[i - 1]! + 0x1000);
  });
  const room = TASK_SIZE_MAX - (starts.at(-1)! + bytes.at(-1)!);
  assert.not(layout.add("too large", room));
  assert.ok(layout.add("large", room - 0x40_0000));
  assert.ok(layout.hva("large", room - 0x40_0000) < TASK_SIZE_MAX);
});

test.run();
