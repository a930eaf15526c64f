/**
 * Properties of the command line, in process: whatever arguments and files it gets, it ends with one of its exit codes,
 * prints nothing that a terminal obeys, and names what is wrong in lines of its own.
 */
import * as assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { runCommand } from "../support/commandline.js";
import { tempFile } from "../support/tempfile.js";
import { CORPUS, hostileText } from "./mutations.js";

const FILES = [tempFile("first", ""), tempFile("second", "")] as const;
const OUT = tempFile("out", "");

const file = fc.constantFrom(...FILES, `${FILES[0]}.gone`, "/", "");
const number = fc.constantFrom("0", "1", "2", "3", "-1", "99999999999999999999", "1e3", "0x1", "", "\x1b[2J");
const option = fc.oneof(
  number.map((n) => ["--at", n]),
  number.map((n) => ["--at-a", n]),
  number.map((n) => ["--at-b", n]),
  number.map((n) => ["--page-size", n]),
  fc.constantFrom(
    ["--json"],
    ["--list"],
    ["--svg", "-"],
    ["--svg", OUT],
    ["--out", OUT],
    ["--format", "mtree"],
    ["--format", "kvm"],
    ["--format", "kvm-list"],
    ["--host", "pc.ram=0x7f0000000000"],
    ["--host", "__proto__=0x1000"],
    ["--page-size", "65536"],
    ["--help"],
    ["--\u202e"],
    ["--version"],
  ),
);
const args = fc
  .tuple(
    fc.constantFrom("show", "show", "export", "diff", "replay", "help", "\x1b[31m"),
    fc.array(file, { minLength: 1, maxLength: 2 }),
    fc.array(option, { maxLength: 3 }),
  )
  .map(([command, files, options]) => [command, ...files, ...options.flat()]);
const text = fc.oneof(hostileText, fc.constantFrom(...CORPUS));

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const OBEYED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

export const commandLine = fc.asyncProperty(args, text, text, async (given, first, second) => {
  [first, second].forEach((content, i) => {
    writeFileSync(FILES[i]!, content);
  });
  const { status: code, stdout, stderr } = await runCommand(given);
  assert.ok([0, 1, 2].includes(code), `exit code ${code}`);
  if (!given.some((arg) => arg.startsWith("kvm"))) assert.doesNotMatch(stdout, OBEYED);
  assert.doesNotMatch(stderr, OBEYED);
  const isTrouble = code === 2 || (code === 1 && given[0] !== "diff");
  if (isTrouble) assert.notEqual(stderr, "", "trouble has its reason");
});
