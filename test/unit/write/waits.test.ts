/**
 * Waiting: timeouts count a clock, 0 looks once, a death is noticed without an event loop, and what is published is
 * never reported as if it were not.
 */
import { Worker } from "node:worker_threads";
import { type KvmError, MemslotEngine, readersOf, superviseWorker } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { kernelThread } from "../../../src/runtime/liveness.js";
import { throwsErrno } from "../../support/implementation.js";
import { ownRegion } from "../../support/region.js";
import { type Remote, remote } from "../../support/remote.js";

const test = suite("waits");
/** Far above what a death takes to be noticed, far below a watchdog. */
const PATIENT = { timeout: 15_000 };

let engine: MemslotEngine;
let other: Remote;
let slots = 0;

const list = () => [ownRegion(slots, slots++, 1)];

test.before.each(async () => {
  engine = await MemslotEngine.create();
  other = await remote((worker) => superviseWorker(engine, worker));
  slots = 0;
});
test.after.each(() => other.kill());

/** Milliseconds that `work` takes, and the error that it throws. */
function timed(work: () => unknown): { ms: number; error: KvmError | undefined } {
  const start = performance.now();
  let error: KvmError | undefined;
  try {
    work();
  } catch (thrown) {
    error = thrown as KvmError;
  }
  return { ms: performance.now() - start, error };
}

test("a timeout is neither over before its time nor long after", async () => {
  await other.run(({ vcpu }) => vcpu.enter());
  const commit = timed(() => engine.setUserMemoryRegionList(list(), { timeout: 200 }));
  assert.is(commit.error!.code, "ETIMEDOUT");
  assert.is(commit.error!.published, true);
  const grace = timed(() => engine.synchronize({ timeout: 200 }));
  assert.is(grace.error!.code, "ETIMEDOUT");
  const pause = timed(() => engine.pauseVcpus({ timeout: 200 }));
  assert.is(pause.error!.code, "ETIMEDOUT");
  for (const { ms } of [commit, grace, pause]) assert.ok(ms >= 200, `${ms} ms`);
});

test("readers that come and go do not use the timeout up", async () => {
  // Each wake-up used to count as a whole step of the wait.
  await other.run(({ vcpu }) => vcpu.enter());
  other.start(({ engine: own, word }) => {
    const coming = own.vcpu();
    while (Atomics.load(word, 0) === 0) {
      coming.enter();
      coming.exit();
    }
  });
  const { ms, error } = timed(() => engine.setUserMemoryRegionList(list(), { timeout: 300 }));
  Atomics.store(other.word, 0, 1);
  assert.is(error!.code, "ETIMEDOUT");
  assert.ok(ms >= 300, `${ms} ms`);
});

test("timeout 0 looks once: published if the lock is free, ETIMEDOUT if a reader is there", async () => {
  assert.ok(engine.setUserMemoryRegionList(list(), { timeout: 0 }).published);
  await other.run(({ vcpu }) => vcpu.enter());
  const { error } = timed(() => engine.setUserMemoryRegionList(list(), { timeout: 0 }));
  assert.equal([error!.code, error!.published], ["ETIMEDOUT", true]);
  throwsErrno(() => engine.synchronize({ timeout: 0 }), "ETIMEDOUT");
  throwsErrno(() => engine.pauseVcpus({ timeout: 0 }), "ETIMEDOUT");
  throwsErrno(() => engine.setUserMemoryRegionList(list(), { timeout: 0, barrier: true }), "ETIMEDOUT");
  await other.run(({ vcpu }) => vcpu.exit());
  engine.synchronize({ timeout: 0 });
  assert.is(engine.slots().length, 2, "the barrier's list was not published");
});

test("the error says whose section it is, and whether its thread lives", async () => {
  const { owner } = await other.run(({ engine: own, vcpu }) => {
    vcpu.enter();
    return { owner: own.owner };
  });
  const { error } = timed(() => engine.setUserMemoryRegionList(list(), { timeout: 0 }));
  const alive = kernelThread() === 0 ? "this runtime cannot tell" : "whose thread lives";
  assert.ok(error!.message.includes(`owner ${owner}, `), error!.message);
  assert.ok(error!.message.includes(alive), error!.message);
});

/** A worker that dies inside a section, once a writer in this thread waits for it. */
async function dying(): Promise<void> {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import("memslots").then(async ({ MemslotEngine }) => {
      const engine = await MemslotEngine.attach(workerData.handle);
      const vcpu = engine.vcpu();
      vcpu.enter();
      parentPort.postMessage(0);
      while (!vcpu.kicked) Atomics.wait(workerData.word, 0, 0, 1);
      process.exit(1);
    });`;
  const word = new Int32Array(new SharedArrayBuffer(4));
  const worker = superviseWorker(
    engine,
    (handle) => new Worker(source, { eval: true, workerData: { handle, word } }),
  );
  await new Promise((resolve) => worker.once("message", resolve));
}

if (kernelThread() !== 0) {
  test("a commit that sleeps notices the death of the reader that it waits for", async () => {
    await dying();
    assert.ok(engine.setUserMemoryRegionList(list(), PATIENT).published);
    assert.is(readersOf(engine).filter(({ kind }) => kind === "vcpu").length, 1, "the other worker's");
  });

  test("a pause notices it, and a barrier", async () => {
    await dying();
    engine.pauseVcpus(PATIENT);
    engine.resumeVcpus();
    await dying();
    assert.ok(engine.setUserMemoryRegionList(list(), { ...PATIENT, barrier: true }).published);
  });
}

test("close during a commit that does not sleep: published, it goes on to its end", async () => {
  await other.run(({ vcpu }) => vcpu.enter());
  const own = await MemslotEngine.attach(engine.handle);
  const result = own.setUserMemoryRegionListAsync(list(), PATIENT);
  own.close();
  assert.is(engine.slots().length, 1);
  await other.run(({ vcpu }) => vcpu.exit());
  assert.equal(await result, { generation: 1, published: true });
});

test("close before it has the lock: rejected, and nothing is published", async () => {
  await other.run(({ vcpu }) => vcpu.enter());
  // It keeps the lock until its readers have left.
  const first = engine.setUserMemoryRegionListAsync(list(), { ...PATIENT, takeDirty: true });
  const own = await MemslotEngine.attach(engine.handle);
  const late = own.setUserMemoryRegionListAsync(list(), PATIENT);
  own.close();
  await late.then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /closed/),
  );
  await other.run(({ vcpu }) => vcpu.exit());
  await first;
  assert.is(engine.slots().length, 1);
});

test("a thread without a reader line of its own commits, and is told the generation", async () => {
  const small = await MemslotEngine.create({ maxVcpus: 1 });
  small.gpaToHva(0);
  const second = await MemslotEngine.attach(small.handle);
  throwsErrno(() => second.gpaToHva(0), "EAGAIN");
  assert.equal(second.setUserMemoryRegionList(list()), { generation: 1, published: true });
  assert.is((await second.setUserMemoryRegionListAsync(list())).generation, 2);
  assert.is((await second.setUserMemoryRegionListAsync(list(), { takeDirty: true })).generation, 3);
  second.synchronize();
  await second.synchronizeAsync();
});

test("a list made for another publication is refused, and nothing happens", async () => {
  const { publications } = engine;
  engine.setUserMemoryRegionList(list());
  throwsErrno(() => engine.setUserMemoryRegionList(list(), { publication: publications }), "EAGAIN");
  assert.is(engine.slots().length, 1);
  assert.ok(engine.setUserMemoryRegionList(list(), { publication: engine.publications }).published);
});

test.run();
