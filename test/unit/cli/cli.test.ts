/**
 * The built command line: what it prints, and its exit codes (0 done, 1 bad input, 2 wrong usage; diff: 0 equal, 1
 * different, 2 trouble).
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { jsonlFile, tempFile } from "../../support/tempfile.js";

const CLI = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../../package.json", import.meta.url));
const TRACES = fileURLToPath(new URL("../../traces/qemu/", import.meta.url));
const MICROVM = `${TRACES}microvm-1g.jsonl.gz`;
const HEADER = { machine: "m", blocks: { ram: "0x10000" } };

/** The variables that decide about colours are those that a test gives. */
function environment(colours: Readonly<Record<string, string>> = {}) {
  return { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, TERM: "xterm", ...colours };
}

function memslots(args: string[], input: string | Uint8Array = "", colours = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    input,
    encoding: "utf8",
    env: environment(colours),
  });
  return { status, stdout, stderr };
}

const MICROVM_RESULT = {
  machine: "microvm-1g",
  updates: 6,
  commits: 3,
  oneByOne: { publications: 6, gaps: 3, same: 2, remap: 1, gapPages: 262_144 },
  list: { publications: 3, gaps: 0, gapPages: 0 },
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
    oneByOne: { publications: 0, gaps: 0, same: 0, remap: 0, gapPages: 0 },
    list: { publications: 0, gaps: 0, gapPages: 0 },
  });
  assert.is(rest, "");
  assert.match(stderr, /tcg-q35-1g-ovmf\.jsonl\.gz: no KVM updates, nothing to replay/);
});

test("replay --vcpus: what vCPUs meet under updates one by one, and no miss under lists", () => {
  const { status, stdout, stderr } = memslots([
    "replay",
    "--vcpus",
    "2",
    "--json",
    `${TRACES}pc-1g-reset.jsonl.gz`,
  ]);
  assert.is(status, 0);
  assert.is(stderr, "");
  const { oneByOne, list } = JSON.parse(stdout);
  assert.equal(Object.keys(oneByOne).slice(-3), ["gapPages", "misses", "accesses"]);
  assert.equal(Object.keys(list).slice(-3), ["gapPages", "misses", "accesses"]);
  // Chance decides how many: on one processor no vCPU may run between two calls. probing.test.ts has them run.
  assert.ok(Number.isInteger(oneByOne.misses) && oneByOne.misses >= 0);
  assert.ok(oneByOne.accesses > oneByOne.misses);
  assert.is(list.misses, 0);
  assert.ok(list.accesses > 10_000);
  const text = memslots(["replay", "--vcpus", "1", MICROVM]);
  assert.is(text.status, 0);
  assert.match(text.stdout, /pages unmapped +accesses of vCPUs +misses\n/);
  assert.match(text.stdout, /as lists +3 +0 +0 +0 +0 +[\d,]+ +0\n/);
});

test("replay --vcpus of a trace without updates probes nothing", () => {
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

test("replay --at of a trace, which is of one machine, is an error", () => {
  const { status, stdout, stderr } = memslots(["replay", "--at", "1", MICROVM]);
  assert.equal([status, stdout], [1, ""]);
  assert.match(stderr, /a trace has one machine, --at chooses one of a log/);
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

const RESET = `${TRACES}pc-1g-reset.jsonl.gz`;

test("show draws the map after the last commit, or after the one that is named", () => {
  const { status, stdout, stderr } = memslots(["show", RESET]);
  assert.equal([status, stderr], [0, ""]);
  assert.match(stdout, /^pc-1g-reset after commit 176, 27 of 27: 9 slots, 1,040\.1 MiB\n/);
  assert.match(stdout, / slot 3 {2}LOG_DIRTY +16 MiB │ {2}█ {2}vga\.vram 0x0\n/);
  const at = memslots(["show", "--at", "4", "-"], readFileSync(RESET));
  assert.match(at.stdout, /^pc-1g-reset after commit 4, 1 of 27: 1 slot, 1 GiB\n/);
});

test("show --json prints what show and diff read again", () => {
  const { stdout } = memslots(["show", "--json", RESET]);
  const { title, mappings } = JSON.parse(stdout);
  assert.is(title, "pc-1g-reset after commit 176, 27 of 27");
  assert.equal(mappings[0], {
    slot: 0,
    asId: 0,
    flags: 0,
    gpa: "0x0",
    size: "0xa0000",
    block: "pc.ram",
    off: "0x0",
  });
  assert.is(memslots(["show", "--json", "-"], stdout).stdout, stdout);
  assert.equal(memslots(["diff", "-", RESET], stdout), { status: 0, stdout: "", stderr: "" });
});

test("show --svg writes a file, or standard output", () => {
  const out = `${tempFile("txt", "")}.svg`;
  const { status, stdout } = memslots(["show", "--svg", out, MICROVM]);
  assert.equal([status, stdout], [0, ""]);
  const svg = readFileSync(out, "utf8");
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"[\s\S]*<\/svg>\n$/);
  assert.is(memslots(["show", "--svg", "-", MICROVM]).stdout, svg);
  const nowhere = memslots(["show", "--svg", `${out}/x`, MICROVM]);
  assert.is(nowhere.status, 1);
  assert.match(nowhere.stderr, /\.svg\/x: cannot be written/);
  assert.not(existsSync(`${out}/x`));
});

test("export writes text of QEMU, JSON that show and engines read, and structs of KVM", () => {
  const mtree = memslots(["export", MICROVM]);
  assert.equal([mtree.status, mtree.stderr], [0, ""]);
  assert.match(mtree.stdout, /^FlatView #0\n AS "memory", root: system\n/);
  assert.match(mtree.stdout, /-00000000000effff \(prio 0, ram\): microvm\.ram KVM\n/);
  assert.is(memslots(["export", "-"], mtree.stdout).stdout, mtree.stdout);
  assert.is(memslots(["diff", "-", MICROVM], mtree.stdout).status, 0);
  const hosts = ["--host", "microvm.ram=0x7f0000000000", "--host", "pc.bios=4096"];
  const json = memslots(["export", "--json", ...hosts, MICROVM]);
  assert.equal(JSON.parse(json.stdout)[1], {
    slot: 1,
    flags: 0,
    guestPhysAddr: 0xf_0000,
    memorySize: 0x1_0000,
    userspaceAddr: 4096,
  });
  assert.is(memslots(["export", "--format", "json", ...hosts, MICROVM]).stdout, json.stdout);
  assert.match(memslots(["show", "-"], json.stdout).stdout, /^-, 4 slots: 4 slots, 1,024\.1 MiB\n/);
  const out = `${tempFile("txt", "")}.bin`;
  const kvm = memslots(["export", "--format", "kvm", "--out", out, ...hosts, "-"], readFileSync(MICROVM));
  assert.equal(kvm, { status: 0, stdout: "", stderr: "" });
  const words = new BigUint64Array(new Uint8Array(readFileSync(out)).buffer);
  assert.is(words.length, 4 * 4);
  assert.equal([...words.subarray(8, 12)], [2n, 0x10_0000n, 0x3ff0_0000n, 0x7f00_0010_0000n]);
  assert.match(memslots(["export", "--at", "4", RESET]).stdout, /-000000003fffffff \(prio 0, ram\): pc\.ram/);
});

test("export: exit code 1 for the input, 2 for the command line", () => {
  const none = ["export", "--json", "--host", "pc.rom=0x1000", MICROVM];
  const far = tempFile(
    "json",
    '{"mappings":[{"gpa":"0x10000000000000","size":"0x1000","block":"b","off":"0x0","flags":0}]}',
  );
  for (const [code, args, reason] of [
    [1, none, /microvm-1g\.jsonl\.gz: there is no RAM block "pc\.rom"/],
    [1, ["export", "--json", far], /"b" must end at or below 2\^52/],
    [1, ["export", "--out", `${far}/x`, MICROVM], /\/x: cannot be written/],
    [1, ["export", `${far}.gone`], /cannot be read: ENOENT/],
    [2, ["export", "--host", "pc.bios=4096", MICROVM], /--host is for json and kvm/],
    [2, ["export", "--json", "--host", "pc.bios=4097", MICROVM], /a multiple of 4096/],
    [2, ["export", "--json", "--host", "4096", MICROVM], /must be BLOCK=ADDRESS/],
    [2, ["export", "--json", "--format", "kvm", MICROVM], /cannot be used with option '--format/],
    [2, ["export", "--format", "dts", MICROVM], /Allowed choices are mtree, json, kvm/],
  ] as const) {
    const { status, stdout, stderr } = memslots([...args]);
    assert.equal([status, stdout], [code, ""], args.join(" "));
    assert.match(stderr, reason);
  }
});

test("diff prints what a commit changed, with the exit codes of diff(1)", () => {
  const args = ["--at-a", "113", "--at-b", "114", RESET, RESET];
  const { status, stdout, stderr } = memslots(["diff", ...args]);
  assert.equal([status, stderr], [1, ""]);
  assert.is(
    stdout,
    `--- pc-1g-reset after commit 60, 4 of 27
+++ pc-1g-reset after commit 114, 5 of 27
  > moved   [0xc0000, 0xd0000)  64 KiB  pc.rom 0x0 READONLY -> pc.ram 0xc0000
  > moved  [0xf0000, 0x100000)  64 KiB  pc.bios 0x30000 READONLY -> pc.ram 0xf0000
`,
  );
  const json = memslots(["diff", "--json", ...args]);
  assert.is(json.status, 1);
  assert.equal(JSON.parse(json.stdout).changes[0], {
    kind: "moved",
    asId: 0,
    gpa: "0xc0000",
    size: "0x10000",
    before: { block: "pc.rom", off: "0x0", flags: 2 },
    after: { block: "pc.ram", off: "0xc0000", flags: 0 },
  });
  const equal = memslots(["diff", "--json", RESET, RESET]);
  assert.is(equal.status, 0);
  assert.equal([JSON.parse(equal.stdout).equal, JSON.parse(equal.stdout).changes], [true, []]);
});

test("diff: trouble is exit code 2, with a message on standard error", () => {
  const slots = tempFile(
    "json",
    '[{"slot":0,"flags":0,"guestPhysAddr":0,"memorySize":4096,"userspaceAddr":4096}]',
  );
  for (const [args, reason] of [
    [[RESET, `${RESET}.gone`], /cannot be read: ENOENT/],
    [["-", "-"], /standard input can be read once only/],
    [[RESET, slots], /host addresses.* names of RAM blocks/],
    [["--at-a", "9999", RESET, RESET], /no commit 9999, the last is 176/],
    [["--at-a", "1", slots, slots], /a dump has no commit 1/],
    [["--at-a", "x", RESET, RESET], /must be the id of a commit/],
    [[RESET], /missing required argument/],
  ] as const) {
    const { status, stdout, stderr } = memslots(["diff", ...args]);
    assert.equal([status, stdout], [2, ""], args.join(" "));
    assert.match(stderr, reason);
  }
});

test("show of a file without a map: exit code 1", () => {
  for (const [input, reason] of [
    ["", /neither a trace nor a dump/],
    [`${JSON.stringify(HEADER)}\n`, /no KVM updates, hence no map/],
    ['[{"slot":-1}]', /entry 0: field "slot" must be/],
  ] as const) {
    const { status, stdout, stderr } = memslots(["show", "-"], input);
    assert.equal([status, stdout], [1, ""]);
    assert.match(stderr, reason);
  }
});

/** Standard output and error of a command that runs in a terminal; undefined without script(1) to make one. */
function inTerminal(args: string, colours = {}): string | undefined {
  const command = `"${process.execPath}" "${CLI}" ${args}`;
  const { error, stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
    encoding: "utf8",
    env: environment(colours),
  });
  if (error === undefined) return stdout.replaceAll("\r", "");
  console.log("skipped: no script(1) to make a terminal");
  return undefined;
}

test("export refuses to write structs of KVM to a terminal", () => {
  const printed = inTerminal(`export --format kvm "${MICROVM}"`);
  if (printed !== undefined) assert.match(plain(printed), /^error: structs are not for a terminal/);
});

test("a progress bar is drawn on a terminal only, and erased at the end", () => {
  const { stderr, stdout } = memslots(["replay", MICROVM]);
  assert.is(stderr, "");
  const printed = inTerminal(`replay "${MICROVM}"`);
  if (printed === undefined) return;
  assert.match(printed, /0\/3 commits +microvm-1g/);
  assert.ok(plain(printed).endsWith(stdout), "the bar is taken away, the table stays");
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const STYLES = /\x1b\[(?:1|2|22|3[1-9])m/g;
const plain = (text: string): string => text.replace(STYLES, "");

test("output is coloured on a terminal, and NO_COLOR is heeded", () => {
  const { stdout } = memslots(["show", MICROVM]);
  const printed = inTerminal(`show "${MICROVM}"`);
  if (printed === undefined) return;
  assert.ok(printed.includes("\x1b[36m█\x1b[39m"), printed);
  assert.is(plain(printed), stdout);
  for (const colours of [{ NO_COLOR: "1" }, { NO_COLOR: "1", FORCE_COLOR: "1" }, { TERM: "dumb" }]) {
    assert.is(inTerminal(`show "${MICROVM}"`, colours), stdout, JSON.stringify(colours));
  }
  assert.is(plain(inTerminal(`show "${MICROVM}"`, { NO_COLOR: "" })!), stdout);
});

test("FORCE_COLOR colours what goes to no terminal, and changes no character of it", () => {
  const cases: [string[], string][] = [
    [["show", MICROVM], "\x1b[2m┌──"],
    [["diff", "--at-a", "113", "--at-b", "114", RESET, RESET], "\n\x1b[33m  > moved "],
    [["replay", RESET], "\n\x1b[32m  as lists "],
    [["--help"], "\x1b[1mUsage\x1b[22m: "],
    [["rewind"], "\x1b[31merror:\x1b[39m unknown command"],
    [["show", `${MICROVM}.gone`], "\x1b[31mmemslots:\x1b[39m "],
  ];
  for (const [args, expected] of cases) {
    const coloured = memslots(args, "", { FORCE_COLOR: "1" });
    const without = memslots(args);
    assert.ok((coloured.stdout + coloured.stderr).includes(expected), expected);
    assert.is(plain(coloured.stdout), without.stdout);
    assert.is(plain(coloured.stderr), without.stderr);
    assert.equal(memslots(args, "", { FORCE_COLOR: "0" }), without);
    assert.not.match(without.stdout + without.stderr, STYLES);
  }
  const json = ["show", "--json", MICROVM];
  assert.equal(memslots(json, "", { FORCE_COLOR: "1" }), memslots(json));
});

test("colours of a file's own stay text", () => {
  const name = "\u001b[31mred";
  const file = tempFile(
    "json",
    JSON.stringify({
      mappings: [{ gpa: "0x0", size: "0x1000", block: name, off: "0x0", flags: 0 }],
    }),
  );
  const { status, stdout } = memslots(["show", file], "", { FORCE_COLOR: "1" });
  assert.is(status, 0);
  assert.ok(stdout.includes("\\u001b[31mred"), stdout);
  assert.not.ok(plain(stdout).includes("\x1b"));
  assert.not.ok(stdout.includes("\x1b[31m"));
});

test("wrong usage: exit code 2 and nothing on standard output", () => {
  const vcpus = ["0", "65", "1.5", "-1", "0x2", "two", ""].map((n) => ["replay", "--vcpus", n, MICROVM]);
  const others = [
    ...[[], ["replay"], ["replay", "--yaml", MICROVM], ["rewind", MICROVM], ["--yaml"]],
    // One that is not heeded, or two that exclude each other.
    ...[
      ["replay", "-", MICROVM, "-"],
      ["show", "--svg", "-", "--json", MICROVM],
    ],
    ...[
      ["show", "--list", "--at", "4", MICROVM],
      ["show", "--list", "--svg", "-", MICROVM],
    ],
  ];
  for (const args of [...others, ...vcpus]) {
    const { status, stdout, stderr } = memslots(args);
    assert.is(status, 2, args.join(" "));
    assert.is(stdout, "", args.join(" "));
    assert.ok(stderr.length > 0, args.join(" "));
  }
});

test("--help shows examples, --version the version of the package", () => {
  const { stdout: top } = memslots(["--help"]);
  const commands = [...top.matchAll(/^ {2}([a-z]+) .*$/gm)].map(([, name]) => name!);
  assert.equal(commands, ["replay", "show", "diff", "export", "completion", "help"]);
  for (const args of [
    ["--help"],
    ...commands.slice(0, -1).map((name) => [name, "--help"]),
    ["help", "diff"],
  ]) {
    const { status, stdout } = memslots(args);
    assert.is(status, 0, args.join(" "));
    assert.match(stdout, /Usage: memslots/);
    assert.match(stdout, /Exit code.*0/);
    assert.match(stdout, /Examples:\n {2}\$ memslots [a-z]+ /);
    if (!["--help", "completion"].includes(args[0]!)) assert.match(stdout, /--json/);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
  }
  const { status, stdout } = memslots(["--version"]);
  assert.is(status, 0);
  assert.is(stdout.trim(), JSON.parse(readFileSync(PACKAGE, "utf8")).version);
});

test.run();
