/**
 * Who is who: instances in one thread, one handle in two threads, closed engines and released vCPUs are told apart, and
 * end in an error where they are used.
 */
import { Worker } from "node:worker_threads";
import { MemslotEngine, readersOf, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { OWNERS_PER_THREAD } from "../../../src/core/layout.js";
import { throwsErrno } from "../../support/implementation.js";
import { ownRegion } from "../../support/region.js";
import { remote } from "../../support/remote.js";

test("instances in one thread know each other's sections: no commit waits for one", async () => {
  const engine = await MemslotEngine.create();
  const second = await MemslotEngine.attach(engine.handle);
  assert.is.not(engine.owner, second.owner);
  const vcpu = engine.vcpu();
  vcpu.enter();
  assert.ok(second.setUserMemoryRegionList([ownRegion(0, 0, 1)]).published);
  assert.is(vcpu.gpaToHva(0), -1, "its section has the layout that it began with");
  second.pauseVcpus();
  second.resumeVcpus();
  throwsErrno(() => second.setUserMemoryRegionList([ownRegion(1, 1, 1)], { takeDirty: true }), "EBUSY");
  vcpu.exit();
  second.close();
  assert.is(engine.gpaToHva(0), 0);
});

test("a thread may have many instances", async () => {
  const engine = await MemslotEngine.create();
  const owners = new Set([engine.owner]);
  for (let i = 0; i < 2 * OWNERS_PER_THREAD; i++) {
    const other = await MemslotEngine.attach(engine.handle);
    owners.add(other.owner);
    other.close();
  }
  assert.is(owners.size, 2 * OWNERS_PER_THREAD + 1, "no token is used twice");
});

test("a handle that has an owner is for one thread", async () => {
  const engine = await MemslotEngine.create();
  const first = await remote((worker) => superviseWorker(engine, worker));
  const { owner } = await first.run(({ engine: { owner } }) => ({ owner }));
  let refused: unknown;
  try {
    await MemslotEngine.attach({ ...engine.handle, owner });
  } catch (error) {
    refused = error;
  }
  assert.match(String(refused), /handle\.owner must be of this thread/);
  await first.kill();
  assert.equal(
    readersOf(engine).filter((reader) => reader.owner !== engine.owner),
    [],
  );
});

test("in its own thread it may be attached again", async () => {
  const engine = await MemslotEngine.create();
  const first = await remote((worker) => superviseWorker(engine, worker));
  const owners = await first.run(async ({ engine: own, memslots }) => {
    const twin = await memslots.MemslotEngine.attach({ ...own.handle, owner: own.owner });
    const other = await memslots.MemslotEngine.attach(own.handle);
    twin.vcpu();
    other.vcpu();
    return [own.owner, twin.owner, other.owner];
  });
  assert.is(owners[0], owners[1]);
  assert.is.not(owners[0], owners[2]);
  assert.is(readersOf(engine).filter(({ kind }) => kind === "vcpu").length, 3);
  await first.kill();
  assert.is(readersOf(engine).filter(({ kind }) => kind === "vcpu").length, 0, "all that the thread had");
});

test("an owner of a handle is a token", async () => {
  const { handle } = await MemslotEngine.create();
  for (const owner of [0, -1, 1.5, 2 ** 32, "1" as never]) {
    await MemslotEngine.attach({ ...handle, owner }).then(
      () => assert.unreachable(),
      (error) => assert.match(error.message, /handle\.owner must be/),
    );
  }
});

test("close gives back vCPUs, the one-shot line and the gate, and everything is refused then", async () => {
  const engine = await MemslotEngine.create();
  const other = await MemslotEngine.attach(engine.handle);
  const vcpu = other.vcpu();
  vcpu.enter();
  other.gpaToHva(0);
  other.pauseVcpus();
  other.close();
  other.close();
  assert.equal(
    readersOf(engine).map(({ owner }) => owner),
    [engine.owner],
  );
  engine.pauseVcpus();
  engine.resumeVcpus();
  for (const call of [() => other.gpaToHva(0), () => other.vcpu(), () => other.setUserMemoryRegionList([])]) {
    assert.throws(call, /the engine is closed/);
  }
  assert.throws(() => vcpu.enter(), /the vCPU is released/);
  assert.throws(() => vcpu.gpaToHva(0), /the vCPU is released/);
  vcpu.release();
});

test("a released vCPU ends nobody's section", async () => {
  const engine = await MemslotEngine.create();
  const stale = engine.vcpu();
  stale.release();
  const next = engine.vcpu();
  assert.is(next.reader, stale.reader, "it has the line of the other");
  next.enter();
  const calls = [stale.exit, stale.enter, stale.refresh, () => stale.markDirty(0)];
  for (const call of [...calls, ...[0, 1].map((asId) => () => Object.assign(stale, { asId }))]) {
    assert.throws(call, /the vCPU is released/);
  }
  assert.ok(readersOf(engine).find(({ kind }) => kind === "vcpu")!.inside);
});

test("a worker that is not made yet gets its handle with it", async () => {
  const engine = await MemslotEngine.create();
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import("memslots").then(async ({ MemslotEngine }) => {
      const engine = await MemslotEngine.attach(workerData.handle);
      engine.vcpu().enter();
      parentPort.postMessage(engine.owner);
      parentPort.once("message", () => process.exit(0));
    });`;
  let owner: number | undefined;
  const worker = superviseWorker(engine, (handle) => {
    owner = handle.owner;
    return new Worker(source, { eval: true, workerData: { handle } });
  });
  assert.instance(worker, Worker);
  const told = await new Promise((resolve) => worker.once("message", resolve));
  assert.is(told, owner);
  const inside = () => readersOf(engine).filter((reader) => reader.owner === owner);
  assert.is(inside().length, 1);
  const gone = new Promise((resolve) => worker.once("exit", resolve));
  worker.postMessage("end");
  await gone;
  assert.equal(inside(), []);
  assert.throws(() => superviseWorker(engine, {} as never), /worker must be a Worker/);
  assert.throws(() => superviseWorker(engine, () => ({}) as never), /worker must be a Worker/);
});

test.run();
