/** Plain Node: two vCPUs in worker threads read while the main thread commits lists; and every entry loads. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import manifest from "memslots/package.json" with { type: "json" };
import { MemslotEngine as FetchingEngine } from "memslots/url";
import { MERGE, SPLIT, WHOLE } from "./lists.js";

const engine = await MemslotEngine.create();
engine.setUserMemoryRegionList(WHOLE);
const words = new Int32Array(new SharedArrayBuffer(4));
const workerData = { handle: engine.handle, words };
const workers = [0, 1].map(() => new Worker(new URL("./vcpu.mjs", import.meta.url), { workerData }));
await Promise.all(workers.map((worker) => once(worker, "message")));
const answers = workers.map((worker) => once(worker, "message"));
for (let round = 0; round < 100; round++) {
  for (const list of [SPLIT, MERGE]) engine.setUserMemoryRegionList(list);
}
Atomics.store(words, 0, 1);
for (const [{ reads, misses }] of await Promise.all(answers)) {
  assert.ok(reads > 0);
  assert.equal(misses, 0);
}
assert.equal(engine.publications, 201);
engine.close();

const fetching = await FetchingEngine.create();
fetching.setUserMemoryRegionList(WHOLE);
assert.equal(fetching.gpaToHva(4096), 0x7000_1000);

for (const [entry, target] of Object.entries(manifest.exports)) {
  const name = entry.replace(/^\./, "memslots");
  const path = fileURLToPath(import.meta.resolve(name));
  assert.ok(readFileSync(path).length > 0, name);
  if (typeof target !== "string") assert.ok(Object.keys(await import(name)).length > 0, name);
}
