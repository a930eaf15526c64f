/** Tasks build only what is not built: each way in which dist/ may differ from its sources is seen. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { hashOf, isBuilt, noteBuilt, sourcesOf } from "../../../tools/built.mjs";

const test = suite<{ root: string }>("built");

test.before.each((context) => {
  context.root = mkdtempSync(join(tmpdir(), "memslots-built-"));
  for (const folder of ["src/kvm", "assembly", "dist", "build"])
    mkdirSync(join(context.root, folder), { recursive: true });
  for (const file of [
    "src/engine.ts",
    "src/kvm/uapi.ts",
    "package.json",
    "dist/index.js",
    "build/engine.wasm",
  ])
    writeFileSync(join(context.root, file), file);
});

test.after.each(({ root }) => {
  rmSync(root, { recursive: true });
});

test("what was never built is not built", ({ root }) => {
  assert.not(isBuilt(root));
});

test("after a build it is, until something changes", ({ root }) => {
  const build = () => {
    noteBuilt(root, sourcesOf(root));
    assert.ok(isBuilt(root));
  };
  const changes: [what: string, change: () => void][] = [
    ["a source is edited", () => appendFileSync(join(root, "src/kvm/uapi.ts"), "1")],
    ["a source is new", () => writeFileSync(join(root, "assembly/tlb.ts"), "")],
    ["a source is gone", () => rmSync(join(root, "src/engine.ts"))],
    ["a package is another one", () => appendFileSync(join(root, "package.json"), "1")],
    ["a result is edited", () => appendFileSync(join(root, "dist/index.js"), "1")],
    ["a result is gone", () => rmSync(join(root, "dist"), { recursive: true })],
    ["a result of the compiler is edited", () => appendFileSync(join(root, "build/engine.wasm"), "1")],
    ["the stamp is damaged", () => writeFileSync(join(root, "build/built.json"), "{")],
  ];
  for (const [what, change] of changes) {
    build();
    change();
    assert.not(isBuilt(root), what);
  }
  build();
});

test("what is edited while a build runs is built the next time", ({ root }) => {
  const before = sourcesOf(root);
  appendFileSync(join(root, "src/engine.ts"), "1");
  noteBuilt(root, before);
  assert.not(isBuilt(root));
});

test("a file is not another one of the same bytes", ({ root }) => {
  const hash = hashOf(root, ["src"]);
  rmSync(join(root, "src/engine.ts"));
  writeFileSync(join(root, "src/engines.ts"), "src/engine.ts");
  assert.is.not(hashOf(root, ["src"]), hash);
});

test.run();
