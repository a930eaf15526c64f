/** Two worker threads of this runtime read while the main thread commits lists. */
import { Worker } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { leaveGaps } from "../support/gaps.js";

const HOST = 0x7000_0000;
const WHOLE = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0x4000, userspaceAddr: HOST };
const NONE = { ...WHOLE, memorySize: 0 };
const LOW = { ...WHOLE, slot: 1, memorySize: 0x1000 };
const HIGH = { ...WHOLE, slot: 2, guestPhysAddr: 0x1000, memorySize: 0x3000, userspaceAddr: HOST + 0x1000 };
const SPLIT = [NONE, LOW, HIGH];
const MERGE = [{ ...LOW, memorySize: 0 }, { ...HIGH, memorySize: 0 }, WHOLE];
/** Commits of each kind, and what a worker reads between two looks at `stop`. */
const ROUNDS = 500;

interface Report {
  reads: number;
  misses: number;
}

/** Messages of a worker, one by one. */
function nextMessage<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

/** Lists, or the same updates one by one with time for the readers between them, under two readers. */
async function run(rounds: number, oneByOne: boolean): Promise<Report[]> {
  const engine = await MemslotEngine.create();
  if (oneByOne) leaveGaps(engine);
  engine.setUserMemoryRegionList([WHOLE]);
  const words = new Int32Array(new SharedArrayBuffer(8));
  const workerData = { handle: engine.handle, words };
  const file = new URL("./reader.mjs", import.meta.url);
  const workers = [0, 1].map(() => new Worker(file, { workerData }));
  await Promise.all(workers.map((worker) => nextMessage(worker)));
  const reports = workers.map((worker) => nextMessage<Report>(worker));
  for (let round = 0; round < rounds; round++) {
    for (const list of [SPLIT, MERGE]) {
      if (oneByOne) for (const region of list) engine.setUserMemoryRegion(region);
      else engine.setUserMemoryRegionList(list);
    }
  }
  Atomics.store(words, 0, 1);
  const read = await Promise.all(reports);
  await Promise.all(workers.map((worker) => worker.terminate()));
  engine.close();
  return read;
}

test("two readers never miss under lists", async () => {
  for (const { reads, misses } of await run(ROUNDS, false)) {
    assert.ok(reads > 0);
    assert.is(misses, 0, `of ${reads} reads`);
  }
});

test("they do miss when the updates come one by one", async () => {
  for (const { misses } of await run(1, true)) assert.ok(misses > 0);
});

test("a foreign memory is refused with both hashes", async () => {
  const engine = await MemslotEngine.create();
  const stamp = new Uint32Array(engine.memory.buffer, engine.handle.base, 2);
  stamp[1]! ^= 1;
  const error: unknown = await MemslotEngine.attach(engine.handle).catch((reason: unknown) => reason);
  assert.instance(error, Error);
  const { message } = error as Error;
  for (const hash of [stamp[1]!, (stamp[1]! ^ 1) >>> 0])
    assert.match(message, `0x${hash.toString(16).padStart(8, "0")}`);
});

test.run();
