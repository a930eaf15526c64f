/** superviseWorker: the token it hands out, and its duty after its own thread has closed the engine. */
import { MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { region } from "../support/region.js";
import { remote } from "../support/remote.js";

test("a supervised thread's token is its own: its handle makes a new one for others", async () => {
  const engine = await MemslotEngine.create();
  const worker = await remote((thread) => superviseWorker(engine, thread));
  const { fields, owner } = await worker.run((scope) => ({
    fields: Object.keys(scope.engine.handle),
    owner: scope.engine.owner,
  }));
  assert.equal(fields.sort(), ["base", "memory", "module"]);
  assert.is.not(owner, engine.owner);
  await worker.kill();
});

test("a worker that dies after close is cleaned up for the other threads", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 16, 256));
  const dying = await remote((thread) => superviseWorker(engine, thread));
  const other = await remote((thread) => superviseWorker(engine, thread));
  await dying.run(({ vcpu }) => vcpu.enter());
  engine.close();
  await dying.kill();
  const published = await other.run((scope) => {
    const moved = { slot: 0, flags: 0, guestPhysAddr: 0x20000, memorySize: 0x10000, userspaceAddr: 0x100000 };
    return scope.engine.setUserMemoryRegionList([moved], { timeout: 1000 }).published;
  });
  assert.is(published, true);
  await other.kill();
});

test.run();
