/** Failures before the first call: each names what is missing, and everything that can work without it works. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type EngineOptions, KvmError, MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";

const DIST = fileURLToPath(new URL("../../../dist/", import.meta.url));
const REGION = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0x1000, userspaceAddr: 0x7000 };

async function refusal(work: () => unknown): Promise<Error> {
  try {
    await work();
  } catch (error) {
    return error as Error;
  }
  return assert.unreachable("must be refused") as never;
}

/** Output of `code` in a new process, where no engine is in use yet. */
function run(code: string, ...flags: string[]): string {
  const args = [...flags, "--input-type=module", "--eval", code];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: DIST, encoding: "utf8" });
  return stdout + stderr;
}

const CREATE = `const { MemslotEngine } = await import("memslots");
  await MemslotEngine.create().then(
    (engine) => console.log("made", JSON.stringify(engine.capabilities)),
    (error) => console.log(error.name, error.code, error.message));`;

/** Create an engine from a copy of dist/ in which `spoil` was applied to one file. Returns the error of `entry`. */
async function createFromSpoilt(
  entry: string,
  file: string,
  spoil: (bytes: Buffer) => Buffer,
): Promise<Error> {
  const folder = mkdtempSync(join(tmpdir(), "memslots-spoilt-"));
  try {
    cpSync(DIST, folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, file), spoil(readFileSync(join(folder, file))));
    const module = (await import(pathToFileURL(join(folder, entry)).href)) as {
      MemslotEngine: typeof MemslotEngine;
    };
    return await refusal(() => module.MemslotEngine.create());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("capabilities of a runtime with shared memory and threads", async () => {
  const { capabilities } = await MemslotEngine.create();
  assert.equal(capabilities, { build: "shared", wasmThreads: true, sharing: true, blocking: true });
});

test("capabilities with unshared memory by choice", async () => {
  const { capabilities } = await MemslotEngine.create({ shared: false });
  assert.is(capabilities.build, "unshared");
  assert.is(capabilities.sharing, false);
  assert.match(capabilities.reason!, "memory is not shared");
});

test("no threads in WebAssembly: the unshared build, and the reason", async () => {
  const { validate, compile } = WebAssembly;
  const hasAtomics = (bytes: BufferSource) => Buffer.from(bytes as Uint8Array).includes(0xfe);
  const compiled: boolean[] = [];
  Object.assign(WebAssembly, {
    validate: (bytes: BufferSource) => !hasAtomics(bytes) && validate(bytes),
    compile: (bytes: BufferSource) => {
      compiled.push(
        validate(bytes) && WebAssembly.Module.imports(new WebAssembly.Module(bytes)).length === 1,
      );
      return compile(bytes);
    },
  });
  try {
    const engine = await MemslotEngine.create();
    engine.setUserMemoryRegionList([REGION]);
    assert.is(engine.gpaToHva(8), 0x7008);
    const { build, wasmThreads, sharing, reason } = engine.capabilities;
    assert.equal([build, wasmThreads, sharing], ["unshared", false, false]);
    assert.match(reason!, "no threads in WebAssembly");
    assert.instance(engine.memory.buffer, ArrayBuffer);
    for (const work of [
      () => MemslotEngine.create({ shared: true }),
      () => superviseWorker(engine, {} as never),
    ]) {
      assert.match((await refusal(work)).message, "no threads in WebAssembly");
    }
  } finally {
    Object.assign(WebAssembly, { validate, compile });
  }
});

test("no WebAssembly at all", () => {
  assert.match(run(`delete globalThis.WebAssembly; ${CREATE}`), "this runtime has no WebAssembly");
});

test("a policy that forbids compiling names the word to add", () => {
  // As a browser does it; test/browser has real ones.
  const forbid = `WebAssembly.compile = async () => { throw new WebAssembly.CompileError("blocked by CSP"); };`;
  const output = run(forbid + CREATE);
  assert.match(output, "may not compile WebAssembly");
  assert.match(output, "'wasm-unsafe-eval' to script-src");
});

test("damaged text of the inlined wasm", async () => {
  const literal = /"([ !#-[\]-~]{10000,})"/;
  // Entries share their modules: the text is in one of the files that they import.
  const files = readdirSync(DIST).filter((name) => /^common-.*\.js$/.test(name));
  const file = files.find((name) => literal.test(readFileSync(join(DIST, name), "latin1")));
  const error = await createFromSpoilt("index.js", file!, (bytes) => {
    // In the code, behind the names of the exports.
    const text = bytes.toString("latin1");
    const code = literal.exec(text)!;
    const middle = code.index + Math.floor(code[1]!.length / 2);
    return Buffer.from(`${text.slice(0, middle)}!!!!!!!!${text.slice(middle + 8)}`, "latin1");
  });
  assert.match(error.message, /the shared build of the engine is damaged: .*compile/i);
  assert.instance(error.cause, WebAssembly.CompileError);
});

test("damaged, foreign and missing wasm files", async () => {
  const half = await createFromSpoilt("url.js", "engine.wasm", (bytes) =>
    bytes.subarray(0, bytes.length / 2),
  );
  assert.match(half.message, "the shared build of the engine is damaged");
  const page = await createFromSpoilt("url.js", "engine.wasm", () => Buffer.from("<!doctype html>"));
  assert.match(page.message, "the shared build of the engine is damaged");
  const empty = await createFromSpoilt("url.js", "engine.wasm", () =>
    Buffer.from([0, 97, 115, 109, 1, 0, 0, 0]),
  );
  assert.match(empty.message, /not that of this version of memslots: its layout is not told/);
});

test("out of memory at creation is ENOMEM", () => {
  assert.match(run(CREATE, "--wasm-max-mem-pages=2"), /KvmError ENOMEM create: ENOMEM, .*memory/);
  assert.match(run(CREATE, "--wasm-max-mem-pages=128"), /made/, "less than it would like is enough");
});

test("out of memory at creation: nothing can be reserved", async () => {
  const { Memory } = WebAssembly;
  const wishes: number[] = [];
  class Full {
    constructor({ maximum }: WebAssembly.MemoryDescriptor) {
      wishes.push(maximum!);
      throw new RangeError("could not allocate memory");
    }
  }
  Object.assign(WebAssembly, { Memory: Full });
  try {
    const error = await refusal(() => MemslotEngine.create());
    assert.instance(error, KvmError);
    assert.is((error as KvmError).code, "ENOMEM");
    assert.equal(wishes, [16384, 4096, 1024, 256, 64]);
  } finally {
    Object.assign(WebAssembly, { Memory });
  }
});

test("a handle of another module, or of the other kind of memory", async () => {
  const engine = await MemslotEngine.create();
  const empty = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  const foreign = await refusal(() => MemslotEngine.attach({ ...engine.handle, module: empty }));
  assert.match(foreign.message, /not the engine: .*engineBytes/);
  const { handle } = await MemslotEngine.create({ shared: false });
  const mixed = await refusal(() => MemslotEngine.attach({ ...engine.handle, module: handle.module }));
  assert.match(mixed.message, "the module is no engine for this memory");
});

test("a handle with a field of the wrong type is refused by its name", async () => {
  const { handle } = await MemslotEngine.create();
  const fields: [object, RegExp][] = [
    [{ module: {} }, /^TypeError: handle\.module must be a WebAssembly\.Module, not \[object Object\]$/],
    [{ memory: {} }, /^TypeError: handle\.memory must be a WebAssembly\.Memory, not \[object Object\]$/],
    [{ base: -1 }, /^RangeError: handle\.base must be from 0 to 4294967295, not -1$/],
    [{ owner: 0 }, /^RangeError: handle\.owner must be from 1 to 4294967295, not 0$/],
    [{ lifeLock: 1 }, /^TypeError: handle\.lifeLock must be a string, not 1$/],
  ];
  for (const [field, message] of fields) {
    assert.match(
      String(await refusal(() => MemslotEngine.attach({ ...handle, ...field } as never))),
      message,
    );
  }
});

test("a page's worker cannot be supervised where there are no Web Locks, and the error says so", async () => {
  const engine = await MemslotEngine.create();
  const navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  // Newer versions of Node have Web Locks.
  Object.defineProperty(globalThis, "navigator", { value: undefined, configurable: true });
  try {
    const worker = { postMessage() {}, onmessageerror: null };
    const missing = /^superviseWorker needs the worker's 'exit' event, or Web Locks$/;
    assert.match((await refusal(() => superviseWorker(engine, worker))).message, missing);
  } finally {
    if (navigator === undefined) Reflect.deleteProperty(globalThis, "navigator");
    else Object.defineProperty(globalThis, "navigator", navigator);
  }
});

test("use after close", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(REGION);
  const consumer = { ...REGION, flags: 1 };
  engine.close();
  const uses: (() => unknown)[] = [
    () => engine.setUserMemoryRegion(consumer),
    () => engine.setUserMemoryRegionList([]),
    () => engine.setUserMemoryRegionListAsync([]),
    () => engine.synchronizeAsync(),
    () => engine.gpaToHva(0),
    () => engine.slots(),
    () => engine.generation(),
    () => engine.vcpu(),
    () => engine.getDirtyLog(0),
    () => engine.pauseVcpus(),
    () => engine.kick(),
    () => engine.hvaToGpas(0, 1),
  ];
  for (const use of uses) assert.match((await refusal(use)).message, "the engine is closed", String(use));
  engine.close();
});

test("options of the wrong type are refused", async () => {
  const refused: [EngineOptions, RegExp][] = [[{ memory: {} as never }, /memory must be/]];
  for (const [options, message] of refused) {
    assert.match((await refusal(() => MemslotEngine.create(options))).message, message);
  }
});

test.run();
