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

examples("migrate: a machine moves to another process, and no byte differs", () => {
  const output = run("examples/migrate/main.mjs", "--runs", "1");
  assert.match(output, /^run 1: .* pages, pause .* ms, 0 bytes differ, at \d+ the guest goes on$/m);
  assert.match(output, /^1 of 1 runs equal/m);
});

examples("migrate: the machine moves first, and gets its memory when it needs it", () => {
  const output = run("examples/migrate/main.mjs", "--post-copy", "--runs", "1");
  const line = /^run 1: (\d+) pages asked for, .*, 0 bytes differ, at \d+ the guest goes on$/m.exec(output);
  assert.ok(Number(line?.[1]) > 0, output);
  assert.match(output, /^1 of 1 runs equal/m);
});

examples("gameboy: every byte of the map is where a Game Boy has it", () => {
  assert.is(run("examples/gameboy/main.mjs").trim().split("\n").length, 14);
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

for (const language of ["rust", "emscripten"]) {
  examples(
    `${language}: threads of a module that has the engine in its memory meet no hole of a list`,
    () => {
      const output = run("--import", "tsx", `examples/${language}/main.ts`);
      if (output.startsWith("skipped:")) {
        console.log(`\n${output.trim()}`);
        return;
      }
      assert.match(output, /^one by one: [1-9]\d* faults, \d{5,} changes of the map, /m);
      assert.match(output, /^as lists: 0 faults, \d{5,} changes of the map, [1-9]\d* million instructions/m);
      assert.match(output, /^all counters add up$/m);
    },
  );
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
