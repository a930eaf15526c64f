/** include/memslots.h against the layout that JavaScript uses, as a C compiler sees it, and against wasm. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { buildC, hasClang } from "../../examples/wasm-vcpu/build.mjs";
import * as layout from "../../src/layout.js";
import { filesOf } from "./blocks.js";

const INCLUDE = fileURLToPath(new URL("../../include", import.meta.url));
const snake = (text: string) => text.toLowerCase();

/** A translation unit that holds only if the header agrees with src/layout.ts, `shift` bytes moved. */
function assertions(shift: number): string {
  const lines = ["#include <stddef.h>", '#include "memslots.h"'];
  for (const [name, value] of Object.entries(layout)) {
    if (typeof value === "number") {
      lines.push(`_Static_assert(MEMSLOTS_${name} == ${value + shift}u, "${name}");`);
      continue;
    }
    for (const [field, offset] of Object.entries(value)) {
      const at = `offsetof(struct memslots_${snake(name)}, ${field})`;
      lines.push(`_Static_assert(${at} == ${offset + shift}, "${name}.${field}");`);
    }
  }
  return `${lines.join("\n")}\n`;
}

const header = suite("header");

header("constants and offsets are those of src/layout.ts, and the comparison notices others", () => {
  const compiler = ["cc", "gcc"].find((name) => spawnSync(name, ["--version"]).status === 0);
  if (compiler === undefined) {
    console.log("\nskipped: no C compiler");
    return;
  }
  const check = (input: string) =>
    spawnSync(
      compiler,
      [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fmax-errors=0",
        "-fsyntax-only",
        `-I${INCLUDE}`,
        "-x",
        "c",
        "-",
      ],
      {
        input,
        encoding: "utf8",
      },
    );
  const { status, stderr } = check(assertions(0));
  assert.is(status, 0, stderr);
  const other = check(assertions(1));
  assert.is.not(other.status, 0);
  const count = (text: string) => text.split(/static assertion failed/i).length - 1;
  assert.is(
    count(other.stderr),
    count(assertions(1).replaceAll("_Static_assert", "static assertion failed")),
  );
});

header("every function of the header is one of the core, with its types", async () => {
  if (!hasClang()) {
    console.log("\nskipped: no clang for wasm32");
    return;
  }
  const engine = await MemslotEngine.create();
  const names = WebAssembly.Module.exports(engine.handle.module).map(({ name }) => name);
  // Each function in a table: the linker must import it, and WebAssembly compares the types when it links.
  const source = [
    '#include "memslots.h"',
    `void *volatile functions[] = {${names.map((name) => `(void *)memslots_${name}`).join(", ")}};`,
    '__attribute__((export_name("count"))) int count(void) { return sizeof functions / sizeof *functions; }',
    '__attribute__((export_name("used"))) void *used(int i) { return functions[i]; }',
  ].join("\n");
  const module = new WebAssembly.Module(buildC("source.c", source));
  const imported = WebAssembly.Module.imports(module).filter((entry) => entry.module === "memslots");
  assert.equal(imported.map(({ name }) => name).sort(), [...names].sort());
  const { memory } = engine;
  const core = new WebAssembly.Instance(engine.handle.module, { env: { memory } }).exports;
  const { exports } = new WebAssembly.Instance(module, {
    env: { memory: new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }) },
    memslots: core,
  });
  assert.is((exports as { count(): number }).count(), names.length);
});

header("the engine that the C program of docs/abi.md makes answers", async () => {
  if (!hasClang()) {
    console.log("\nskipped: no clang for wasm32");
    return;
  }
  const module = new WebAssembly.Module(buildC("source.c", filesOf("docs/abi.md").get("vmm.c")));
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const engine = await MemslotEngine.create();
  const memslots = new WebAssembly.Instance(engine.handle.module, { env: { memory } }).exports;
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, memslots });
  assert.is((exports as { run(): number }).run(), 0x20234);
  // And it is one that JavaScript can attach to.
  const same = await MemslotEngine.attach({ module: engine.handle.module, memory, base: 0x40000 });
  assert.equal(same.slots(), [
    { slot: 0, flags: 0, guestPhysAddr: 0x1000, memorySize: 0x4000, userspaceAddr: 0x20000 },
  ]);
});

header.run();
