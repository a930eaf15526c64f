/**
 * `npm run test:newuser`: an empty folder, `npm install` of the packed package, the program of README.md in Node, and
 * the page of docs/browser.md in Chromium. Closes with "N passed, N failed".
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { CHROMIUM, findBrowser, isRequired } from "../browser/browsers.js";
import { blocksOf, filesOf, ROOT } from "./blocks.js";
import { PAGE_RUNS, showPage } from "./page.js";

function run(folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  assert.is(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}

/** The package as `npm install` makes it of a tarball, in an otherwise empty folder. */
function install(folder: string): void {
  const [{ filename }] = JSON.parse(
    run(ROOT, "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", folder),
  ) as [{ filename: string }];
  run(folder, "npm", "install", "--no-audit", "--no-fund", `./${filename}`);
}

/** The README's example prints the block behind it. */
function nodeExample(folder: string): void {
  const blocks = blocksOf("README.md");
  const at = blocks.findIndex(({ language, file }) => language === "js" && file === undefined);
  writeFileSync(join(folder, "example.mjs"), blocks[at]!.text);
  assert.is(run(folder, process.execPath, "example.mjs"), blocks[at + 1]!.text);
}

/** The page of docs/browser.md, served by its own server. */
async function pageExample(folder: string): Promise<void> {
  const path = findBrowser(CHROMIUM);
  if (path === undefined) {
    assert.is(isRequired(CHROMIUM), false, "REQUIRED_BROWSERS names Chromium");
    console.log("skipped: no Chromium");
    return;
  }
  for (const [name, text] of filesOf("docs/browser.md")) writeFileSync(join(folder, name), text);
  console.log(await showPage(path, folder, PAGE_RUNS));
}

const folder = mkdtempSync(join(tmpdir(), "memslots-newuser-"));
let passed = 0;
let failed = 0;
for (const [name, work] of Object.entries({ install, nodeExample, pageExample })) {
  try {
    await work(folder);
    passed++;
    console.log(`${name}: passed`);
  } catch (error) {
    failed++;
    console.log(`${name}: FAILED\n${error instanceof Error ? error.message : error}`);
  }
}
rmSync(folder, { recursive: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
