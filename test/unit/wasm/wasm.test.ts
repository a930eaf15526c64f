/** The built bytes: what a module must not have if several instances are to share one memory. */
import { readFileSync } from "node:fs";
import binaryen from "assemblyscript/binaryen";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { NAMES } from "../../../assembly/noinline.mjs";
import { editsBetween, encodeText } from "../../../assembly/text.mjs";
import { unshare } from "../../../assembly/unshared.mjs";
import { applyEdits, decodeText } from "../../../src/wasm/text.js";
import { random } from "../../support/random.js";

const BUILDS = [
  ["engine.wasm", true],
  ["engine.unshared.wasm", false],
] as const;

const SECTION_NAMES = "custom type import function table memory global export start element code data".split(
  " ",
);

/** For a nested section or marks ahead of it, a gate or an older layout, a new layout. */
const ENTER_SLOWLY = ["readers/nest", "readers/pinAgain", "readers/noteChange"];
/** For a writer that waits, a nested section or marks to settle. */
const EXIT_SLOWLY = ["readers/tellWaiting", "readers/exitOther"];

/** Function of the core, what it may call, and its selects: five in a chunk, two in the radix. */
const HOT: readonly [string, readonly string[], number][] = [
  ["lookup/gpaToHva", ["lookup/translateApart"], 7],
  ["lookup/gpaToHvaRead", ["lookup/translateApart"], 7],
  [
    "batch/translateMany",
    ["readers/openSection", "readers/exitSection", "batch/translateSingly", "windows/windowsOf"],
    7,
  ],
  ["readers/enterSection", ENTER_SLOWLY, 0],
  ["readers/exitSection", EXIT_SLOWLY, 0],
  ["readers/enterVcpu", ENTER_SLOWLY, 0],
  ["readers/exitVcpu", EXIT_SLOWLY, 0],
];

/** Text of one function of the core. @throws Error if the module has none of that name */
function bodyOf(text: string, name: string): string {
  const start = text.indexOf(`(func $assembly/${name} `);
  if (start < 0) throw new Error(`no function ${name}`);
  return text.slice(start, text.indexOf("\n )", start));
}

function read(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../../dist/${name}`, import.meta.url)));
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
  test(`${name}: the layout hash, no data, no start, no table, no globals`, () => {
    assert.equal(sections(read(name)), ["custom", "type", "import", "function", "export", "code"]);
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

  test(`${name}: under 43 KB`, () => {
    assert.ok(read(name).length < 43 * 1024, `${read(name).length} bytes`);
  });

  test(`${name}: a second instance leaves the memory alone`, async () => {
    const module = await WebAssembly.compile(read(name));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared });
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    new WebAssembly.Instance(module, { env: { memory } });
    assert.ok(bytes.every((byte) => byte === 0xa5));
  });
}

test("the hot functions call nothing but their slow paths, and search without branches", () => {
  const text = readFileSync("build/engine.wat", "utf8");
  for (const [hot, slow, selects] of HOT) {
    const body = bodyOf(text, hot);
    const calls = [...body.matchAll(/\bcall \$assembly\/(\S+)/g)].map((match) => match[1]!);
    assert.equal(
      calls.filter((call) => !slow.includes(call)),
      [],
      hot,
    );
    assert.ok((body.match(/^ *select$/gm)?.length ?? 0) >= selects, `${hot}: too few selects`);
  }
});

test("functions that must not be inlined are in the build, under their names", () => {
  const text = readFileSync("build/engine.wat", "utf8");
  for (const [file, names] of Object.entries(NAMES)) {
    for (const name of names) assert.match(text, `(func $assembly/${file}/${name} `);
  }
});

test("the unshared build is the shared one without its atomic instructions", () => {
  const [shared, unshared] = BUILDS.map(([name]) => binaryen.readBinary(read(name)));
  assert.match(shared!.emitText(), "atomic");
  assert.not.match(unshared!.emitText(), "atomic");
  assert.is(unshared!.getNumFunctions(), shared!.getNumFunctions());
  unshared!.setFeatures(binaryen.Features.All);
  assert.ok(unshared!.validate());
  const exports = BUILDS.map(([name]) => WebAssembly.Module.exports(new WebAssembly.Module(read(name))));
  assert.equal(exports[0], exports[1]);
});

test("a module with an unknown instruction is refused", () => {
  const bytes = read("engine.wasm");
  // The last function's body ends with this.
  bytes[bytes.length - 1] = 0xd0;
  assert.throws(() => unshare(bytes), /0xd0/);
  assert.throws(() => unshare(read("engine.unshared.wasm")), /no shared memory/);
});

test("text in JavaScript: any bytes survive, in printable ASCII", () => {
  const { next } = random(1);
  const all = Uint8Array.from({ length: 4096 }, (_, i) => (i < 256 ? i : next() * 256));
  const text = encodeText(all);
  assert.match(text, /^[ !#-[\]-~]+$/);
  assert.equal(decodeText(text), all);
  for (const [name] of BUILDS) assert.equal(decodeText(encodeText(read(name))), read(name));
});

test("edits turn the shared build into the unshared one", () => {
  const { int, chance } = random(2);
  const [shared, unshared] = BUILDS.map(([name]) => read(name)) as [Uint8Array, Uint8Array];
  const edits = editsBetween(shared, unshared);
  assert.ok(edits.length < 3000, `${edits.length} bytes`);
  assert.equal(applyEdits(shared, new Uint8Array(edits)), unshared);
  for (let round = 0; round < 200; round++) {
    const from = Uint8Array.from({ length: int(300) }, () => int(4));
    const to = Uint8Array.from(
      [...from].flatMap((byte) => (chance(0.05) ? [int(4), byte] : chance(0.05) ? [] : [byte])),
    );
    assert.equal(applyEdits(from, new Uint8Array(editsBetween(from, to))), to);
  }
});

test("the one wait is in a function that needs nothing afterwards", () => {
  const module = binaryen.readBinary(read("engine.wasm"));
  const functions = Array.from({ length: module.getNumFunctions() }, (_, i) =>
    binaryen.getFunctionInfo(module.getFunctionByIndex(i)),
  );
  const waits = functions.filter(({ body }) => body !== 0 && binaryen.emitText(body).includes("atomic.wait"));
  assert.is(waits.length, 1);
  assert.equal(waits[0]!.vars, [], "no locals");
  assert.match(binaryen.emitText(waits[0]!.body), /^\s*\(memory\.atomic\.wait32[^;]*\)\s*$/);
  module.dispose();
});

test.run();
