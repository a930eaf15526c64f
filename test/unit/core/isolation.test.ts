/** A page that is not cross-origin isolated, as far as Node can play it; test/browser has the real one. */
import { EventEmitter } from "node:events";
import { MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";

const HEADERS = ["Cross-Origin-Opener-Policy: same-origin", "Cross-Origin-Embedder-Policy: require-corp"];

function namesHeaders(error: unknown): boolean {
  return error instanceof Error && HEADERS.every((header) => error.message.includes(header));
}

test.before.each(() => {
  Object.defineProperty(globalThis, "crossOriginIsolated", { value: false, configurable: true });
});

test.after.each(() => {
  Reflect.deleteProperty(globalThis, "crossOriginIsolated");
});

test("memory is not shared by default", async () => {
  const engine = await MemslotEngine.create();
  assert.instance(engine.memory.buffer, ArrayBuffer);
});

test("a request for shared memory is refused, and the missing headers are named", async () => {
  let error: unknown;
  await MemslotEngine.create({ shared: true }).catch((caught: unknown) => {
    error = caught;
  });
  assert.ok(namesHeaders(error), String(error));
  const engine = await MemslotEngine.create({ shared: false });
  assert.throws(() => superviseWorker(engine, new EventEmitter()), namesHeaders);
});

test("one thread can use a shared memory of the caller's, with SharedArrayBuffer or without", async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 64, shared: true });
  const hidden = globalThis.SharedArrayBuffer;
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  try {
    const engine = await MemslotEngine.create({ memory });
    const region = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0x1000, userspaceAddr: 0x1000 };
    engine.setUserMemoryRegion(region);
    assert.is((await engine.setUserMemoryRegionListAsync([{ ...region, memorySize: 0 }])).published, true);
    assert.is(engine.gpaToHva(0), -1);
  } finally {
    Object.assign(globalThis, { SharedArrayBuffer: hidden });
  }
});

test.run();
