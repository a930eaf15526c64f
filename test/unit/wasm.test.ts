/** The built bytes: what a module must not have if several instances are to share one memory. */
import { readFileSync } from "node:fs";
import binaryen from "assemblyscript/binaryen";
import { test } from "uvu";
import * as assert from "uvu/assert";

const BUILDS = [
  ["engine.wasm", true],
  ["engine.unshared.wasm", false],
] as const;

const SECTION_NAMES = "custom type import function table memory global export start element code data".split(
  " ",
);

function read(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../dist/${name}`, import.meta.url)));
}

/** Names of the sections in the order of the file. */
function sections(bytes: Uint8Array): string[] {
  const names: string[] = [];
  let at = 8;
  while (at < bytes.length) {
    const id = bytes[at++]!;
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      size += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    names.push(SECTION_NAMES[id] ?? `section ${id}`);
    at += size;
  }
  return names;
}

for (const [name, shared] of BUILDS) {
  test(`${name}: no data, no start, no table, no globals`, () => {
    assert.equal(sections(read(name)), ["type", "import", "function", "export", "code"]);
  });

  test(`${name}: imports one memory and nothing else, exports functions only`, async () => {
    const module = await WebAssembly.compile(read(name));
    assert.equal(WebAssembly.Module.imports(module), [{ module: "env", name: "memory", kind: "memory" }]);
    for (const { kind } of WebAssembly.Module.exports(module)) assert.is(kind, "function");
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared });
    const other = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: !shared });
    new WebAssembly.Instance(module, { env: { memory } });
    assert.throws(() => new WebAssembly.Instance(module, { env: { memory: other } }), /shared/);
  });

  test(`${name}: under 26 KB`, () => {
    assert.ok(read(name).length < 26 * 1024, `${read(name).length} bytes`);
  });

  test(`${name}: a second instance leaves the memory alone`, async () => {
    const module = await WebAssembly.compile(read(name));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared });
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    new WebAssembly.Instance(module, { env: { memory } });
    assert.ok(bytes.every((byte) => byte === 0xa5));
  });
}

test("the one wait is in a function that needs nothing afterwards", () => {
  const module = binaryen.readBinary(read("engine.wasm"));
  const functions = Array.from({ length: module.getNumFunctions() }, (_, i) =>
    binaryen.getFunctionInfo(module.getFunctionByIndex(i)),
  );
  const waits = functions.filter(({ body }) => body !== 0 && binaryen.emitText(body).includes("atomic.wait"));
  assert.is(waits.length, 1);
  assert.equal(waits[0]!.vars, [], "no locals");
  assert.match(binaryen.emitText(waits[0]!.body), /^\s*\(drop\s*\(memory\.atomic\.wait32/);
  module.dispose();
});

test.run();
