/** The programs of examples/: each one by its one command. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CHROMIUM, findBrowser, isRequired } from "../browser/browsers.js";
import { PAGE_RUNS, showPage } from "./page.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function run(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  assert.is(status, 0, stderr);
  return stdout;
}

const examples = suite("examples");

for (const name of readdirSync(`${ROOT}examples`).filter((file) => file.endsWith(".mjs"))) {
  examples(`${name} runs`, () => {
    assert.ok(run(`examples/${name}`).length > 0);
  });
}

examples("workers.mjs: holes one by one, none as lists", () => {
  const output = run("examples/workers.mjs");
  const [oneByOne, lists] = ["one by one", "as lists"].map((way) => {
    const found = new RegExp(`^${way}: (\\d+) of (\\d+) sections met a hole, \\d+ changes$`, "m").exec(
      output,
    );
    return { holes: Number(found?.[1]), sections: Number(found?.[2]) };
  });
  assert.ok(oneByOne!.holes > 0, output);
  assert.is(lists!.holes, 0, output);
  assert.ok(lists!.sections >= 400_000, output);
});

examples("own-memory.mjs: the engine stays in its part", () => {
  const output = run("examples/own-memory.mjs");
  assert.match(output, "engine in [262144, 458752), build unshared\n");
  assert.match(output, "the emulator reads 12345678\n");
  assert.match(output, "ENOMEM");
  assert.match(output, "changed: 4 which");
});

const SWITCHED = `banks 0 and 1: sum 49152, 16384 words of holes
stores: 1 0
dirty pages: 10
banks 2 and 3: sum 114688, 16384 words of holes
`;

for (const source of ["wat", "c"]) {
  examples(`wasm-vcpu: a vCPU in ${source} sees the banks that are switched under it`, () => {
    const output = run("examples/wasm-vcpu/main.mjs", source);
    if (output.startsWith("skipped:")) console.log(`\n${output.trim()}`);
    else assert.is(output, SWITCHED);
  });
}

examples("page: a vCPU in a module worker, in Chromium", async () => {
  const path = findBrowser(CHROMIUM);
  if (path === undefined) {
    console.log("\nskipped: no Chromium");
    assert.is(isRequired(CHROMIUM), false, "REQUIRED_BROWSERS names Chromium");
    return;
  }
  console.log(`\n${await showPage(path, `${ROOT}examples/page`, PAGE_RUNS)}`);
});

examples.run();
