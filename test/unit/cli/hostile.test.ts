/**
 * The built command line under hostile input: no stack trace, no control character, seconds and bounded memory, or an
 * error that names the limit. A drawing is a page, however many mappings there are.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runCommand } from "../../support/commandline.js";
import { tempFile } from "../../support/tempfile.js";

const CLI = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));
const MICROVM = fileURLToPath(new URL("../../traces/qemu/microvm-1g.jsonl.gz", import.meta.url));
/** Megabytes that the heap may have: what the largest of these inputs needs, twice. */
const HEAP_MB = 512;
const MIB = 2 ** 20;

function memslots(args: readonly string[], stdio: number | "pipe" = "pipe") {
  const { status, stdout, stderr, signal } = spawnSync(
    process.execPath,
    [`--max-old-space-size=${HEAP_MB}`, CLI, ...args],
    { encoding: "utf8", maxBuffer: 2 ** 30, stdio: ["ignore", stdio, "pipe"] },
  );
  assert.is(signal, null, args.join(" "));
  assert.not.match(stderr, /\n\s+at |FATAL/, args.join(" "));
  assert.ok(stderr.length < 100_000, `${stderr.length} characters on standard error`);
  return { status, stdout, stderr };
}

const hex = (value: number) => value.toString(16).padStart(16, "0");
const many = (n: number, line: (i: number) => string) =>
  Array.from({ length: n }, (_, i) => line(i)).join("");
const range = (i: number) => `${hex(i * 0x2000)}-${hex(i * 0x2000 + 0xfff)}`;
const HEAD = 'FlatView #0\n AS "memory", root: system\n Root memory region: system\n';
const TREE = "address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, container): system\n";
const update = (i: number, slot = i, before = "") =>
  `${before}kvm_set_user_memory Slot#${slot} flags=0x0 gpa=0x${(i * 0x2000).toString(16)} size=0x1000 ` +
  `ua=0x${(0x1000_0000 + i * 0x2000).toString(16)} ret=0\n`;
const slotsJson = (n: number, block = (_: number) => "ram", asId = (_: number) => 0) =>
  JSON.stringify({
    mappings: Array.from({ length: n }, (_, i) => ({
      asId: asId(i),
      flags: 0,
      gpa: `0x${(i * 0x2000).toString(16)}`,
      size: "0x1000",
      block: block(i),
      off: "0x0",
    })),
  });

/** All slots that KVM has, and what else has many parts: every command is done with it. */
const LARGE: Readonly<Record<string, string>> = {
  "32,764 slots": slotsJson(32_764),
  "32,764 blocks": slotsJson(32_764, (i) => `b${i}`),
  "32,764 address spaces": slotsJson(32_764, undefined, (i) => i),
  "10,000 lines of a log": many(10_000, (i) => update(i)),
  "10,000 devices of one name and offset":
    HEAD + many(10_000, (i) => `  ${range(i)} (prio 0, i/o): v @0000000000001000\n`),
  "10,000 devices of one name, offsets descending":
    HEAD + many(10_000, (i) => `  ${range(i)} (prio 0, i/o): v @${hex((20_000 - i) * 0x1000)}\n`),
  "10,000 aliases": `${TREE}${many(10_000, (i) => `    ${range(i)} (prio 0, ram): alias a @r ${range(i)}\n`)}
memory-region: r
  0000000000000000-00000000ffffffff (prio 0, ram): r

memory-region: r
  0000000000000000-00000000ffffffff (prio 0, ram): r
`,
};

/** A page has some hundred lines of some hundred characters. */
const PAGE = 60_000;

for (const [what, text] of Object.entries(LARGE)) {
  test(`${what}: drawn on a page, exported, compared`, async () => {
    const file = tempFile("txt", text);
    const shown = await runCommand(["show", file]);
    assert.is(shown.status, 0, shown.stderr);
    assert.ok(shown.stdout.length < PAGE, `${shown.stdout.length} characters`);
    assert.match(shown.stdout, /⋮ [\d,]+ (?:slots|RAM ranges|windows)|address spaces more/);
    const svg = await runCommand(["show", "--svg", "-", file]);
    assert.ok(svg.status === 0 && svg.stdout.length < PAGE, `${svg.stdout.length} characters of SVG`);
    for (const args of [["export"], ["export", "--json"], ["show", "--json"], ["diff", file]]) {
      assert.is((await runCommand([...args, file])).status, 0, args.join(" "));
    }
  });
}

const BOMB_REGION = (k: number) =>
  `\nmemory-region: r${k}\n  0000000000000000-00000000ffffffff (prio 0, ram): r${k}\n` +
  many(
    2,
    (i) =>
      `    ${hex(i * 4096)}-${hex(i * 4096 + 0xffff)} (prio ${i}, container): ` +
      `alias x @r${k + 1} ${hex(0)}-${hex(0xffff)}\n`,
  );

/** What has a limit: the error says which. */
const LIMITED: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  ["a bomb of gzip", gzipSync(Buffer.alloc(128 * MIB, 32), { level: 9 }), /more than 64 MiB/],
  ["65 MiB", Buffer.alloc(65 * MIB, 32), /more than 64 MiB/],
  ["one long line", `${HEAD}  ${range(0)} (prio 0, ram): ${"a @".repeat(10 * MIB)}`, /more than 65536/],
  ["many lines", update(0) + "\n".repeat(4 * MIB), /more than 2097152 lines/],
  ["many objects", `[${"{},".repeat(4 * MIB)}{}]`, /at most 1048576 are read/],
  [
    "many lists in the answer of QMP",
    `{"return": "x", "y": [${"[],".repeat(4 * MIB)}[]]}`,
    /neither a trace nor a dump/,
  ],
  ["a long name", slotsJson(1, () => "n".repeat(MIB)), /more than 65536/],
  ["deep JSON", "[".repeat(100_000) + "]".repeat(100_000), /nested too deep/],
  [
    "deep JSON in a trace",
    `{"machine":"m","blocks":{}}\n{"t":0,"mark":${"[".repeat(1e5)}${"]".repeat(1e5)}}\n`,
    /nested too deep/,
  ],
  ["many machines", many(3000, (i) => update(i, i, `${i}@1700000000.1:`)), /more than 1024 machines/],
  [
    "aliases of aliases",
    `${TREE}    ${range(0)} (prio 0, ram): alias a @r0 ${range(0)}\n${many(40, BOMB_REGION)}`,
    /more than 1048576 times/,
  ],
  [
    "offsets beyond 2^64",
    `${HEAD}  ${range(0)} (prio 0, ram): r @ffffffffffffffff KVM\n`,
    /:4: the offset goes beyond 2\^64/,
  ],
];

for (const [what, content, reason] of LIMITED) {
  test(`${what}: an error that says so`, () => {
    const file = tempFile("in", content);
    const { status, stdout, stderr } = memslots(["show", file]);
    assert.equal([status, stdout], [1, ""]);
    assert.match(stderr, reason);
  });
}

test("a replay that would look at too many ranges is an error with the line of the commit", async () => {
  const file = tempFile("log", LARGE["10,000 lines of a log"]!);
  const { status, stderr } = await runCommand(["replay", file]);
  assert.is(status, 1);
  assert.match(stderr, /:1: up to commit 1 a replay looks at 200060000 ranges, at most 8388608/);
});

test("a device that never ends, folders, files that cannot be read or written", () => {
  const folder = `${tempFile("x", "")}.folder`;
  mkdirSync(folder);
  for (const [args, reason] of [
    [["show", "/dev/zero"], /more than 64 MiB/],
    [["show", folder], /cannot be read: EISDIR/],
    [["show", "--svg", folder, MICROVM], /cannot be written: EISDIR/],
    [["export", "--out", folder, MICROVM], /cannot be written: EISDIR/],
    [["replay", folder], /cannot be read: EISDIR/],
  ] as const) {
    const { status, stderr } = memslots(args);
    assert.is(status, 1);
    assert.match(stderr, reason);
  }
});

test("a full device as standard output: a line on standard error; trouble for diff, not a difference", () => {
  const full = openSync("/dev/full", "w");
  for (const [args, code] of [
    [["show", MICROVM], 1],
    [["export", "--format", "kvm", MICROVM], 1],
    [["replay", MICROVM], 1],
    [["diff", "--at-a", "2", MICROVM, MICROVM], 2],
    [["--help"], 1],
  ] as const) {
    const { status, stderr } = memslots(args, full);
    assert.is(status, code, args.join(" "));
    assert.match(stderr, /^memslots: standard output cannot be written: ENOSPC/);
  }
});

test("standard error that is full or closed changes no exit code", () => {
  const full = openSync("/dev/full", "w");
  const noted = fileURLToPath(
    new URL("../../traces/formats/11-two-blocks-one-name.mtree.txt", import.meta.url),
  );
  for (const [args, code] of [
    [["show", noted], 0],
    [["show", "/nowhere"], 1],
    [["diff", "/nowhere", noted], 2],
    [["show", "--nothing"], 2],
  ] as const) {
    const { status } = spawnSync(process.execPath, [CLI, ...args], { stdio: ["ignore", "ignore", full] });
    assert.is(status, code, args.join(" "));
  }
});

test("a reader that has seen enough is an end, not a failure", async () => {
  const child = spawn(process.execPath, [CLI, "show", "--json", tempFile("json", LARGE["32,764 slots"]!)]);
  let errors = "";
  child.stderr.on("data", (text) => {
    errors += text;
  });
  await once(child.stdout, "data");
  child.stdout.destroy();
  const [code] = await once(child, "close");
  assert.equal([code, errors], [0, ""]);
});

const EVIL = "\x1b]0;title\x07\x1b[2J\x1b[31mram\u009b31m\u202e\u2066\r\b";
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const OBEYED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

test("names that a terminal would obey are escaped by every command, in every format and message", async () => {
  const lines = (...objects: object[]) => `${objects.map((line) => JSON.stringify(line)).join("\n")}\n`;
  const place = { flags: 0, gpa: "0x0", size: "0x1000", block: EVIL, off: "0x0" };
  const trace = tempFile(
    "jsonl",
    lines(
      { machine: EVIL, blocks: { [EVIL]: "0x10000" } },
      { t: 0, commit: 0, slot: 0, kind: "create", ...place, ret: 0 },
    ),
  );
  const bad = tempFile(
    "jsonl",
    lines({ machine: "m", blocks: {} }, { t: 0, commit: 0, slot: 0, kind: EVIL }),
  );
  const dump = tempFile(
    "json",
    JSON.stringify({ title: EVIL, source: EVIL, notes: [{ text: EVIL }], mappings: [place] }),
  );
  const log = tempFile("log", `${EVIL}${update(0)}`);
  const mtree = tempFile(
    "txt",
    `${HEAD.replaceAll("system", "s\u202ey")}  ${range(0)} (prio 0, ram): a\u202eb KVM\n`,
  );
  for (const args of [
    ...[trace, dump, log, mtree].flatMap((file) => [
      ["show", file],
      ["show", "--json", file],
      ["show", "--list", file],
      ["show", "--list", "--json", file],
      ["show", "--svg", "-", file],
      ["export", file],
      ["export", "--json", file],
      ["diff", file, dump],
      ["diff", "--json", file, dump],
      ["replay", file],
      ["replay", "--json", file],
    ]),
    ["show", bad],
    ["show", EVIL],
    ["show", "--at", EVIL, dump],
    ["export", "--host", `${EVIL}=0x1000`, "--json", dump],
    ["export", "--host", EVIL, "--json", dump],
    ["export", "--out", `/nowhere/${EVIL}`, dump],
    [EVIL],
    ["show", `--${EVIL}`, dump],
  ]) {
    const { stdout, stderr } = await runCommand(args);
    assert.not.match(stdout, OBEYED, args.join(" "));
    assert.not.match(stderr, OBEYED, args.join(" "));
  }
});

test("a name with an end of a line writes no line of its own", async () => {
  const block = "a\n  0000000000001000-0000000000001fff (prio 0, ram): forged KVM";
  const file = tempFile(
    "json",
    slotsJson(1, () => block),
  );
  const { stdout } = await runCommand(["export", file]);
  assert.is(stdout.split("\n").filter((line) => line.includes("(prio")).length, 1);
});

test("the licences of what is bundled stand in the package, and in the file that has it", () => {
  const program = readFileSync(CLI, "utf8");
  const notices = readFileSync(
    fileURLToPath(new URL("../../../dist/THIRD-PARTY-LICENSES.txt", import.meta.url)),
    "utf8",
  );
  for (const name of ["commander", "cli-progress", "string-width", "preact", "preact-render-to-string"]) {
    for (const text of [program, notices])
      assert.match(text, new RegExp(`\\n${name} [\\d.]+ \\(MIT\\)\\n`), name);
  }
  assert.match(notices, /^@assemblyscript\/loader [\d.]+ \(Apache-2\.0\)$/m);
  assert.match(program, "Permission is hereby granted, free of charge");
});

test.run();
