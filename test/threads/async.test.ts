/** The forms that do not sleep ask and hold vCPUs as well as those that do. */
import { KvmError, KVM_MEM_LOG_DIRTY_PAGES as LOG, MemslotEngine, superviseWorker } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkInvariants } from "../support/invariants.js";
import { deletion, region } from "../support/region.js";
import { type Remote, remote } from "../support/remote.js";

const SLOT = region(0, 0, 16, 256);
const moved = (gpa: number) => [{ ...SLOT, guestPhysAddr: gpa }];

interface World {
  engine: MemslotEngine;
  workers: Remote[];
}

async function world(workers: number): Promise<World> {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(SLOT);
  const started = Array.from({ length: workers }, () => remote((worker) => superviseWorker(engine, worker)));
  return { engine, workers: await Promise.all(started) };
}

async function end({ engine, workers }: World): Promise<void> {
  for (const worker of workers) await worker.kill();
  engine.synchronize();
  checkInvariants(engine);
}

for (const [name, call] of Object.entries({
  commit: (engine: MemslotEngine) => engine.setUserMemoryRegionListAsync(moved(0x20000)),
  "commit with barrier": (engine: MemslotEngine) =>
    engine.setUserMemoryRegionListAsync(moved(0x30000), { barrier: true }),
  synchronize: (engine: MemslotEngine) => {
    engine.setUserMemoryRegionList(moved(0x40000), { wait: false });
    return engine.synchronizeAsync();
  },
  pause: (engine: MemslotEngine) => engine.pauseVcpusAsync().then(() => engine.resumeVcpus()),
})) {
  test(`${name}: asks a vCPU in a section to leave, and goes on when it has`, async () => {
    const all = await world(1);
    const [worker] = all.workers as [Remote];
    const left = worker.run(({ vcpu, word }) => {
      vcpu.enter();
      Atomics.store(word, 0, 1);
      Atomics.notify(word, 0);
      while (!vcpu.kicked) vcpu.gpaToHva(0);
      vcpu.exit();
    });
    Atomics.wait(worker.word, 0, 0);
    await call(all.engine);
    await left;
    await end(all);
  });
}

test("takeDirty: the log has what a vCPU of another thread still writes in the old layout", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion({ ...SLOT, flags: LOG });
  const worker = await remote((thread) => superviseWorker(engine, thread));
  await worker.run(({ vcpu }) => {
    vcpu.enter();
    vcpu.markDirty(0x1000);
  });
  const commit = engine.setUserMemoryRegionListAsync([deletion(0)], { takeDirty: true });
  assert.is(engine.slot(0), undefined, "published");
  await worker.run(({ vcpu }) => vcpu.markDirty(0x3000));
  await worker.run(({ vcpu }) => {
    vcpu.markDirty(0xf000);
    vcpu.exit();
    vcpu.enter();
    vcpu.markDirty(0x4000);
    vcpu.exit();
  });
  const { dirty } = await commit;
  assert.equal(
    dirty!.map(({ bitmap }) => [...bitmap]),
    [[0b1010, 0x80, 0, 0, 0, 0, 0, 0]],
  );
  await end({ engine, workers: [worker] });
});

test("takeDirty: a thread killed while it waits leaves the map and the mapped dirty pages intact", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion({ ...SLOT, flags: LOG });
  const worker = await remote((thread) => superviseWorker(engine, thread));
  worker.start(({ engine: there, vcpu, word }) => {
    vcpu.enter();
    vcpu.markDirty(0x1000);
    const [first] = there.slots();
    const list = [
      { ...first!, memorySize: 0 },
      { ...first!, slot: 1 },
    ];
    void there.setUserMemoryRegionListAsync(list, { takeDirty: true });
    vcpu.markDirty(0x2000);
    Atomics.store(word, 0, 1);
    Atomics.notify(word, 0);
  });
  while (Atomics.load(worker.word, 0) === 0) Atomics.wait(worker.word, 0, 0);
  assert.throws(
    () => engine.setUserMemoryRegionList([], { timeout: 0 }),
    (error: unknown) => error instanceof KvmError && error.code === "EBUSY",
  );
  await worker.kill();
  assert.equal([...engine.getDirtyLog(1)], [0b110, 0, 0, 0, 0, 0, 0, 0]);
  checkInvariants(engine);
});

test("a pause keeps the gate closed while it waits", async () => {
  const all = await world(2);
  const [inside, outside] = all.workers as [Remote, Remote];
  const { engine } = all;
  await inside.run(({ vcpu }) => vcpu.enter());
  let held = false;
  let entered = false;
  const pause = engine.pauseVcpusAsync().then(() => {
    held = true;
  });
  const entering = outside
    .run(({ vcpu }) => vcpu.enter())
    .then(() => {
      entered = true;
    });
  // Several steps of the wait.
  for (let i = 0; i < 4; i++) await engine.waitGenerationAsync(99, { timeout: 5 }).catch(() => {});
  assert.equal([held, entered], [false, false]);
  assert.throws(
    () => engine.setUserMemoryRegionList(moved(0x20000), { barrier: true }),
    (error: unknown) => error instanceof KvmError && error.code === "EBUSY",
  );
  await inside.run(({ vcpu }) => vcpu.exit());
  await pause;
  assert.equal([held, entered], [true, false]);
  engine.setUserMemoryRegionList(moved(0x30000), { barrier: true });
  engine.resumeVcpus();
  await entering;
  assert.is(await outside.run(({ vcpu }) => vcpu.gpaToHva(0x30000)), SLOT.userspaceAddr);
  await outside.run(({ vcpu }) => vcpu.exit());
  await end(all);
});

test("a pause that fails opens the gate", async () => {
  const all = await world(2);
  const [inside, outside] = all.workers as [Remote, Remote];
  await inside.run(({ vcpu }) => vcpu.enter());
  let error: unknown;
  await all.engine.pauseVcpusAsync({ timeout: 20 }).catch((caught: unknown) => {
    error = caught;
  });
  assert.ok(error instanceof KvmError && error.code === "ETIMEDOUT", String(error));
  await outside.run(({ vcpu }) => vcpu.enter());
  await outside.run(({ vcpu }) => vcpu.exit());
  await inside.run(({ vcpu }) => vcpu.exit());
  await all.engine.pauseVcpusAsync();
  await all.engine.resumeVcpusAsync();
  await end(all);
});

test.run();
