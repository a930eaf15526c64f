/** The built command line: what it prints, and its exit codes (0 done, 1 bad input, 2 wrong usage). */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { jsonlFile } from "../support/tempfile.js";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../package.json", import.meta.url));
const TRACES = fileURLToPath(new URL("../traces/qemu/", import.meta.url));
const MICROVM = `${TRACES}microvm-1g.jsonl.gz`;
const HEADER = { machine: "m", blocks: { ram: "0x10000" } };

function memslots(args: string[], input: string | Uint8Array = "") {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { input, encoding: "utf8" });
  return { status, stdout, stderr };
}

const MICROVM_RESULT = {
  machine: "microvm-1g",
  updates: 6,
  commits: 3,
  oneByOne: { publications: 6, windows: 3, same: 2, remap: 1, windowPages: 262_144 },
  list: { publications: 3, windows: 0, windowPages: 0 },
};

test("replay prints the table of a boot", () => {
  const { status, stdout, stderr } = memslots(["replay", MICROVM]);
  assert.is(status, 0);
  assert.is(stderr, "");
  assert.match(stdout, /^microvm-1g: 6 updates in 3 commits\n/);
  assert.match(stdout, /one by one +6 +3 +2 +1 +262,144\n/);
  assert.match(stdout, /as lists +3 +0 +0 +0 +0\n/);
});

test("replay --json prints one object per file and line, exactly of this shape", () => {
  const none = `${TRACES}tcg-q35-1g-ovmf.jsonl.gz`;
  const { status, stdout, stderr } = memslots(["replay", "--json", MICROVM, none]);
  assert.is(status, 0);
  const [first, second, rest] = stdout.split("\n");
  assert.is(first, JSON.stringify({ file: MICROVM, ...MICROVM_RESULT }));
  assert.equal(JSON.parse(second ?? ""), {
    file: none,
    machine: "tcg-q35-1g-ovmf",
    updates: 0,
    commits: 0,
    oneByOne: { publications: 0, windows: 0, same: 0, remap: 0, windowPages: 0 },
    list: { publications: 0, windows: 0, windowPages: 0 },
  });
  assert.is(rest, "");
  assert.match(stderr, /tcg-q35-1g-ovmf\.jsonl\.gz: no KVM updates, nothing to replay/);
});

test("replay --vcpus: vCPUs run into the windows one by one, and into nothing as lists", () => {
  const file = `${TRACES}pc-1g-reset.jsonl.gz`;
  const { status, stdout, stderr } = memslots(["replay", "--vcpus", "2", "--json", file]);
  assert.is(status, 0);
  assert.is(stderr, "");
  const { oneByOne, list } = JSON.parse(stdout);
  assert.equal(Object.keys(oneByOne).slice(-3), ["windowPages", "misses", "accesses"]);
  assert.equal(Object.keys(list).slice(-3), ["windowPages", "misses", "accesses"]);
  assert.ok(oneByOne.misses > 0 && oneByOne.accesses > oneByOne.misses);
  assert.is(list.misses, 0);
  assert.ok(list.accesses > 10_000);
  const text = memslots(["replay", "--vcpus", "1", MICROVM]);
  assert.is(text.status, 0);
  assert.match(text.stdout, /pages unmapped +accesses of vCPUs +misses\n/);
  assert.match(text.stdout, /as lists +3 +0 +0 +0 +0 +[\d,]+ +0\n/);
});

test("replay --vcpus of a trace without updates: nothing to look at", () => {
  const { status, stdout } = memslots([
    "replay",
    "--vcpus",
    "1",
    "--json",
    `${TRACES}tcg-q35-1g-ovmf.jsonl.gz`,
  ]);
  assert.is(status, 0);
  const { oneByOne, list } = JSON.parse(stdout);
  assert.equal([oneByOne.misses, oneByOne.accesses, list.misses, list.accesses], [0, 0, 0, 0]);
});

test("replay - reads standard input, gzipped or not", () => {
  const { status, stdout } = memslots(["replay", "-", "--json"], readFileSync(MICROVM));
  assert.is(status, 0);
  assert.equal(JSON.parse(stdout), { file: "-", ...MICROVM_RESULT });
  const text = memslots(["replay", "--json", "-"], `${JSON.stringify(HEADER)}\n`);
  assert.is(text.status, 0);
  assert.is(JSON.parse(text.stdout).machine, "m");
});

test("bad input: exit code 1, the line named on standard error, the other files replayed", () => {
  const bad = jsonlFile([HEADER, { t: 0, commit: 1, slot: 0, kind: "create", flags: 0, gpa: "zero" }]);
  const { status, stdout, stderr } = memslots(["replay", "--json", bad, MICROVM]);
  assert.is(status, 1);
  assert.match(stderr, `memslots: ${bad}:2: field "size" is missing`);
  assert.is(JSON.parse(stdout).machine, "microvm-1g");
  const missing = memslots(["replay", `${bad}.gz`]);
  assert.is(missing.status, 1);
  assert.match(missing.stderr, `${bad}.gz: cannot be read: ENOENT`);
  assert.is(memslots(["replay", "-"], "").status, 1);
});

test("wrong usage: exit code 2 and nothing on standard output", () => {
  const vcpus = ["0", "65", "1.5", "-1", "0x2", "two", ""].map((n) => ["replay", "--vcpus", n, MICROVM]);
  const others = [[], ["replay"], ["replay", "--yaml", MICROVM], ["rewind", MICROVM], ["--yaml"]];
  for (const args of [...others, ...vcpus]) {
    const { status, stdout, stderr } = memslots(args);
    assert.is(status, 2, args.join(" "));
    assert.is(stdout, "", args.join(" "));
    assert.ok(stderr.length > 0, args.join(" "));
  }
});

test("--help shows examples, --version the version of the package", () => {
  for (const args of [["--help"], ["replay", "--help"], ["help", "replay"]]) {
    const { status, stdout } = memslots(args);
    assert.is(status, 0, args.join(" "));
    assert.match(stdout, /Usage: memslots/);
    assert.match(stdout, /Examples:\n {2}\$ memslots replay /);
  }
  const { status, stdout } = memslots(["--version"]);
  assert.is(status, 0);
  assert.is(stdout.trim(), JSON.parse(readFileSync(PACKAGE, "utf8")).version);
});

test.run();
