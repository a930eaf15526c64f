/** The completion scripts in the shells themselves, and the manual page as its readers see it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { manPage } from "../../../src/cli/manpage.js";
import { createProgram } from "../../../src/cli/program.js";
import { runCommand } from "../../support/commandline.js";

const PAGE = fileURLToPath(new URL("../../../dist/memslots.1", import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), "memslots-completion-"));
for (const name of ["boot.jsonl", "with blank.txt"]) writeFileSync(join(FOLDER, name), "");

const test = suite("completion");
test.after(() => rmSync(FOLDER, { recursive: true }));

function exists(program: string): boolean {
  if (spawnSync(program, ["--version"]).error === undefined) return true;
  console.log(`\nskipped: no ${program}`);
  return false;
}

/** The script for a shell, as a file. */
async function script(shell: string): Promise<string> {
  const { status, stdout, stderr } = await runCommand(["completion", shell]);
  assert.equal([status, stderr], [0, ""]);
  const path = join(FOLDER, `script.${shell}`);
  writeFileSync(path, stdout);
  return path;
}

/** What a shell prints for a program; without its own configuration. */
function run(shell: string, flag: string, program: string, ...args: string[]): string[] {
  const { status, stdout, stderr } = spawnSync(shell, [flag, "-c", program, ...args], {
    cwd: FOLDER,
    encoding: "utf8",
    env: { ...process.env, TERM: "xterm" },
  });
  assert.equal([status, stderr], [0, ""], `${shell}: ${stderr}`);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Names of options that a command's help lists. */
async function optionsOf(...command: string[]): Promise<string[]> {
  const { stdout } = await runCommand([...command, "--help"]);
  const options = /^Options:\n(.*?)\n\n/ms.exec(stdout)![1]!;
  return [...options.matchAll(/^ {2}(?:(-\w), )?(--[\w-]+)/gm)].flatMap(([, short, long]) => [
    ...(short === undefined ? [] : [short]),
    long!,
  ]);
}

const COMMANDS = ["replay", "show", "diff", "export", "completion", "help"];

/** Words behind `memslots`, the last one unfinished, and what it can become. */
const CASES: readonly (readonly [typed: readonly string[], expected: readonly string[]])[] = [
  [[""], COMMANDS],
  [["ex"], ["export"]],
  [["nothing"], []],
  [["show", "--s"], ["--svg"]],
  [
    ["export", "--format", "k"],
    ["kvm", "kvm-list"],
  ],
  [["completion", "z"], ["zsh"]],
  [["help", "d"], ["diff"]],
  [["replay", "bo"], ["boot.jsonl"]],
  [["diff", "boot.jsonl", "wi"], ["with blank.txt"]],
  [["export", "--out", "bo"], ["boot.jsonl"]],
  [["show", "--at", ""], []],
];

/** Asks the function for the last of the given words, as the line editor does. */
const BASH_DRIVER = `
source "$1"
shift
COMP_WORDS=(memslots "$@")
COMP_CWORD=$#
_memslots
printf '%s\\n' "\${COMPREPLY[@]}"`;

test("bash completes", async () => {
  if (!exists("bash")) return;
  const path = await script("bash");
  const complete = (words: readonly string[]) => run("bash", "--norc", BASH_DRIVER, "bash", path, ...words);
  for (const [typed, expected] of CASES) assert.equal(complete(typed), expected, typed.join(" "));
  assert.equal(complete(["export", "--format", "=", "mt"]), ["mtree"]);
  assert.equal(complete(["export", "--format", "="]), ["mtree", "json", "kvm", "kvm-list"]);
  assert.equal(complete(["-"]), await optionsOf());
  for (const command of COMMANDS.slice(0, -1)) {
    assert.equal(complete([command, "-"]), await optionsOf(command), command);
  }
  assert.equal(run("bash", "--norc", 'source "$1"; complete -p memslots', "bash", path), [
    "complete -F _memslots memslots",
  ]);
});

test("fish completes", async () => {
  if (!exists("fish")) return;
  const path = await script("fish");
  const complete = (words: readonly string[]) => {
    const line = ["memslots", ...words].map((word) => word.replaceAll(" ", "\\ ")).join(" ");
    const program = `source ${path}; complete -C "$argv[1]"`;
    return run("fish", "--no-config", program, line).map((candidate) => candidate.split("\t")[0]!);
  };
  for (const [typed, expected] of CASES) {
    assert.equal(complete(typed).sort(), [...expected].sort(), typed.join(" "));
  }
  assert.equal(complete(["export", "--format=mt"]), ["--format=mtree"]);
  for (const command of COMMANDS.slice(0, -1)) {
    assert.equal(complete([command, "-"]).sort(), (await optionsOf(command)).sort(), command);
  }
});

/**
 * A shell with a line editor, in a pseudo terminal: types what it is given, then a tab, then a key that prints the line
 * and empties it.
 */
const ZSH_EDITOR = `
PS1= PS2=
autoload -U compinit
compinit -u -D
source $SCRIPT
dump() { print -r -- "@@$BUFFER@@"; BUFFER= }
zle -N dump
bindkey "^X" dump
bindkey "^I" complete-word
setopt no_beep`;
const ZSH_DRIVER = `
zmodload zsh/zpty
export SCRIPT=$1
shift
zpty editor zsh -f -i
zpty -w editor "source $SCRIPT.editor"
for typed; do
  zpty -w -n editor "$typed"$'\\t\\x18'
  zpty -r editor out '*@@memslots*@@*'
  print -r -- \${\${out#*@@}%%@@*}
done
zpty -d editor`;

test("zsh completes", async () => {
  if (!exists("zsh")) return;
  const path = await script("zsh");
  writeFileSync(`${path}.editor`, ZSH_EDITOR);
  const cases: Record<string, string> = {
    "memslots ex": "memslots export ",
    "memslots show --sv": "memslots show --svg=",
    "memslots export --format mt": "memslots export --format mtree ",
    "memslots export --format=kvm-": "memslots export --format=kvm-list ",
    "memslots completion z": "memslots completion zsh ",
    "memslots help di": "memslots help diff ",
    "memslots replay bo": "memslots replay boot.jsonl ",
    "memslots diff boot.jsonl wi": "memslots diff boot.jsonl with\\ blank.txt ",
    "memslots export --out bo": "memslots export --out boot.jsonl ",
    "memslots show --at bo": "memslots show --at bo",
    "memslots --ver": "memslots --version ",
  };
  const lines = run("zsh", "-f", ZSH_DRIVER, "zsh", path, ...Object.keys(cases));
  assert.equal(lines, Object.values(cases));
});

test("a shell that is not known is wrong usage", async () => {
  for (const args of [["completion"], ["completion", "tcsh"], ["completion", "bash", "zsh"]]) {
    const { status, stdout, stderr } = await runCommand(args);
    assert.equal([status, stdout], [2, ""]);
    assert.match(stderr, /^error: /);
  }
});

test("the manual page has every command, option and example of --help", async () => {
  const signs: Record<string, string> = { "\\-": "-", "\\(aq": "'", "\\(ti": "~" };
  const page = readFileSync(PAGE, "utf8").replace(/\\(?:-|\((?:aq|ti))/g, (sign) => signs[sign]!);
  for (const command of COMMANDS.slice(0, -1)) {
    const { stdout } = await runCommand([command, "--help"]);
    assert.ok(page.includes(`\n.SS ${/^Usage: (.*)$/m.exec(stdout)![1]}\n`), command);
    const part = page.split("\n.SS ").find((section) => section.startsWith(`memslots ${command} `))!;
    for (const name of await optionsOf(command)) {
      assert.match(part, new RegExp(`^\\.B (?:-\\w, )?${name}\\b|^\\.B ${name}, `, "m"));
    }
    const examples = [...stdout.matchAll(/^ {2}(\$ .*)$/gm)];
    assert.ok(examples.length > 1);
    for (const [, example] of examples) assert.ok(part.includes(`\n${example}\n`), example);
  }
});

test("the manual page is that of the command line as it is in src/", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  const vcpuWorker = new URL("../../../dist/vcpuworker.js", import.meta.url);
  const page = readFileSync(PAGE, "utf8");
  const [date] = /\d{4}-\d\d-\d\d/.exec(page)!;
  assert.is(manPage(createProgram({ version, engineClass: MemslotEngine, vcpuWorker }), version, date), page);
});

test("man and mandoc take the manual page without a warning", () => {
  if (exists("man")) {
    const { status, stdout, stderr } = spawnSync("man", ["--warnings", "-l", PAGE], {
      encoding: "utf8",
      env: { ...process.env, MANWIDTH: "80", LC_ALL: "C.UTF-8" },
    });
    assert.equal([status, stderr], [0, ""]);
    assert.match(stdout, /^MEMSLOTS\(1\) +User Commands +MEMSLOTS\(1\)$/m);
    assert.match(stdout, /^ +\$ memslots show mtree\.txt$/m);
  }
  if (exists("mandoc")) {
    const { status, stdout, stderr } = spawnSync("mandoc", ["-Tlint", PAGE], { encoding: "utf8" });
    assert.equal([status, stdout, stderr], [0, "", ""]);
  }
});

test.run();
