/** Two vCPUs in workers read while the page commits lists; what they have read is globalThis.answer. */
import { MemslotEngine, superviseWorker } from "memslots";
import { MERGE, SPLIT, WHOLE } from "./lists.js";
import { OPTIONS } from "./options.js";

const ROUNDS = 100;

/** The next `count` messages of a worker. */
function messages(worker, count) {
  return new Promise((resolve, reject) => {
    const got = [];
    worker.onmessage = ({ data }) => {
      if (got.push(data) === count) resolve(got);
    };
    worker.onerror = ({ message }) => reject(new Error(message));
  });
}

async function run() {
  const engine = await MemslotEngine.create(OPTIONS);
  engine.setUserMemoryRegionList(WHOLE);
  const words = new Int32Array(new SharedArrayBuffer(4));
  const workers = [0, 1].map(() => new Worker(new URL("./vcpu.js", import.meta.url), { type: "module" }));
  const ready = workers.map((worker) => messages(worker, 1));
  for (const worker of workers) worker.postMessage({ handle: superviseWorker(engine, worker), words });
  await Promise.all(ready);
  const answers = workers.map((worker) => messages(worker, 1));
  for (let round = 0; round < ROUNDS; round++) {
    for (const list of [SPLIT, MERGE]) await engine.setUserMemoryRegionListAsync(list);
  }
  Atomics.store(words, 0, 1);
  return { commits: engine.publications, vcpus: (await Promise.all(answers)).flat() };
}

globalThis.answer = await run().catch((error) => ({ error: String(error) }));
