/** `memslots/url` fetches the core: from where, what a server may send, and what the error then says. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { posix } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { MemslotEngine as Inlined } from "memslots";
import { cloneEngine, MemslotEngine, type WasmSources } from "memslots/url";
import ts from "typescript";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { tempFile } from "../../support/tempfile.js";

type Fetched = typeof import("../../../src/wasm/fetched.js");

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const CORE = readFileSync(`${ROOT}build/engine.wasm`);

/** The module as if it lay on the server of `use`, which sends the same for every address. */
async function fetchedFrom<T>(
  [status, type, body]: [number, string | undefined, string | Buffer],
  use: (fetched: Fetched, url: string) => Promise<T>,
): Promise<T> {
  const server = createServer((_request, response) => {
    response.writeHead(status, type === undefined ? {} : { "Content-Type": type }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    const { outputFiles } = await build({
      entryPoints: [`${ROOT}src/wasm/fetched.ts`],
      bundle: true,
      format: "esm",
      write: false,
      define: { "import.meta.url": JSON.stringify(`${url}bundle.js`) },
    });
    const text = `${outputFiles[0]!.text}//${url}`;
    return await use(await import(`data:text/javascript,${encodeURIComponent(text)}`), url);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const test = suite("fetched");

test("a page instead of the wasm: the error names the address and the remedy", async () => {
  await fetchedFrom([200, "text/html; charset=utf-8", "<!doctype html>"], async ({ loadModule }, url) => {
    const error = await loadModule("shared").catch((reason: Error) => reason);
    assert.instance(error, Error);
    const { message } = error as Error;
    assert.ok(message.startsWith(`${url}engine.wasm is a page (text/html), not the core: `), message);
    assert.match(message, "optimizeDeps");
  });
});

test("nothing there: the error names the address and the status", async () => {
  await fetchedFrom([404, "text/html", ""], async ({ loadModule }, url) => {
    const error = await loadModule("unshared").catch((reason: Error) => reason);
    assert.is((error as Error).message, `${url}engine.unshared.wasm cannot be fetched: HTTP 404`);
  });
});

for (const type of ["application/wasm", "application/octet-stream", undefined]) {
  test(`the core as ${type ?? "nothing in particular"} is compiled`, async () => {
    await fetchedFrom([200, type, CORE], async ({ loadModule }) => {
      assert.instance(await loadModule("shared"), WebAssembly.Module);
    });
  });
}

test("what is no wasm: the error names the address", async () => {
  await fetchedFrom([200, "text/plain", "not found"], async ({ loadModule }, url) => {
    const error = await loadModule("shared").catch((reason: Error) => reason);
    assert.instance(error, WebAssembly.CompileError);
    assert.ok((error as Error).message.startsWith(`${url}engine.wasm: `), String(error));
  });
});

test("a file that is no wasm: the error names the build and the file", async () => {
  const { href } = pathToFileURL(tempFile("wasm", "no wasm"));
  const error = await MemslotEngine.create({ wasm: { shared: href } }).catch((reason) => reason);
  const start = `Error: the shared build of the engine is damaged: ${href}: `;
  assert.ok(String(error).startsWith(start), String(error));
});

test("nobody answers: the error names the address", async () => {
  const closed = await fetchedFrom([200, undefined, CORE], async (_fetched, url) => url);
  const error = await MemslotEngine.create({ wasm: { shared: `${closed}core` } }).catch((reason) => reason);
  assert.ok((error as Error).message.startsWith(`${closed}core cannot be fetched: `), String(error));
});

test("the option wasm: an address, one relative to the page's, or a module, in place of the file beside", async () => {
  await fetchedFrom([200, "application/wasm", CORE], async (_fetched, url) => {
    const page = { href: `${url}folder/index.html` };
    Object.defineProperty(globalThis, "location", { value: page, configurable: true });
    try {
      for (const shared of [`${url}moved`, new URL("moved", url), "moved", new WebAssembly.Module(CORE)]) {
        const engine = await MemslotEngine.create({ wasm: { shared } });
        assert.is(engine.capabilities.build, "shared");
        if (shared instanceof WebAssembly.Module) assert.is(engine.handle.module, shared);
      }
    } finally {
      Reflect.deleteProperty(globalThis, "location");
    }
  });
});

test("the option wasm: the other build is the one beside the module", async () => {
  const wasm = { shared: "http://127.0.0.1:1/never-asked" };
  const engine = await MemslotEngine.create({ shared: false, wasm });
  assert.is(engine.capabilities.build, "unshared");
});

test("the option wasm: a page at its address is named", async () => {
  await fetchedFrom([200, "text/html", "<!doctype html>"], async (_fetched, url) => {
    const error = await MemslotEngine.create({ wasm: { shared: `${url}core` } }).catch((reason) => reason);
    assert.ok((error as Error).message.startsWith(`${url}core is a page (text/html)`), String(error));
  });
});

test("the option wasm: what is neither an address nor a module, or the wrong module, is refused by name", async () => {
  const empty = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  const flipped = Uint8Array.from(CORE);
  flipped[CORE.indexOf("memslots") + "memslots".length]! ^= 1;
  const otherVersion = new WebAssembly.Module(flipped);
  const cases: [unknown, RegExp][] = [
    [null, /^TypeError: wasm must be an object, not null$/],
    [{ sharde: "" }, /^TypeError: wasm\.sharde is unknown, it must be one of shared, unshared$/],
    [{ shared: 1 }, /^TypeError: wasm\.shared must be a WebAssembly\.Module or an address, not 1$/],
    [{ shared: {} }, /^TypeError: wasm\.shared must be .*, not \[object Object\]$/],
    [{ shared: "core" }, /^TypeError: wasm\.shared must be .*, not "core"$/],
    [{ shared: empty }, /^Error: the module for the shared build is not that of .*: its layout is not told,/],
    [
      { shared: otherVersion },
      /^Error: the module for the shared build is not that of .* 0x[0-9a-f]{8}, that of/,
    ],
  ];
  for (const [wasm, expected] of cases) {
    const error = await MemslotEngine.create({ wasm: wasm as WasmSources }).catch((reason) => reason);
    assert.match(String(error), expected);
  }
  const error = await Inlined.create({ wasm: {} }).catch((reason) => reason);
  assert.match(String(error), /^TypeError: wasm is an option of memslots\/url$/);
});

/** Files of dist/ that one of them loads. */
function loadedBy(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const { importedFiles } = ts.preProcessFile(readFileSync(`${ROOT}dist/${file}`, "utf8"));
  for (const { fileName } of importedFiles) {
    if (fileName.startsWith("./")) loadedBy(posix.normalize(fileName), seen);
  }
  return seen;
}

test("no entry but memslots itself loads the core as text", () => {
  assert.ok(loadedBy("index.js").has("common-wasm.js"));
  for (const entry of ["url.js", "workerd.js", "flatview.js", "uapi.js"]) {
    assert.equal(
      ["common-wasm.js", "index.js"].filter((file) => loadedBy(entry).has(file)),
      [],
      entry,
    );
  }
});

test("a clone is an engine of the same entry, with the core of its option", async () => {
  const shared = new WebAssembly.Module(CORE);
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  const clone = await cloneEngine(engine, { wasm: { shared } });
  assert.instance(clone, MemslotEngine);
  assert.is(clone.addressSpaces, 2);
  assert.is(clone.handle.module, shared);
});

test.run();
