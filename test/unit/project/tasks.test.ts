/** Every script of package.json is a task that explains itself, and refuses a wrong argument in one line. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const TASKS = `${ROOT}tasks.mjs`;
const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as {
  scripts: Record<string, string>;
};
/** npm runs it, nobody else. */
const HOOKS: Readonly<Record<string, string>> = { prepack: "build" };

const test = suite("tasks");

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [TASKS, ...args], { encoding: "utf8" });
}

for (const [name, command] of Object.entries(scripts)) {
  test(`npm run ${name}: --help explains it, a wrong argument is one line and exit code 2`, () => {
    const task = HOOKS[name] ?? name;
    assert.is(command, `node tasks.mjs ${task}`);
    const help = run(task, "--help");
    assert.equal([help.status, help.stderr], [0, ""]);
    assert.ok(help.stdout.startsWith(`Usage: npm run ${task} -- `), help.stdout);
    const wrong = run(task, "--no-such-option");
    assert.equal([wrong.status, wrong.stdout], [2, ""]);
    assert.match(wrong.stderr, /^error: unknown option '--no-such-option'\n$/);
  });
}

test("values, choices and what must not be there are checked before anything is built", () => {
  const cases: [string[], RegExp][] = [
    [["stress", "--vcpus", "0"], /'--vcpus <n>' argument '0' is invalid\. It must be an integer from 1 on\./],
    [["stress", "--break", "all"], /Allowed choices are grace\./],
    [["repro", "--seconds", "-1"], /It must be a number above 0\./],
    [["demo:smp", "--harts", "5"], /from 1 to 4\./],
    [["demo:smp", "--bench", "--monitor"], /cannot be used with/],
    [["types", "all"], /too many arguments/],
    [["demo", "http"], /from 0 to 65535/],
    [["nothing"], /there is no task "nothing", there are start, build,/],
    [["protocol", "rng"], /no name contains rng, there are/],
  ];
  for (const [args, expected] of cases) {
    const { status, stdout, stderr } = run(...args);
    assert.equal([status, stdout], [2, ""], args.join(" "));
    assert.is(stderr.trimEnd().split("\n").length, 1, stderr);
    assert.match(stderr, expected);
  }
});

test.run();
