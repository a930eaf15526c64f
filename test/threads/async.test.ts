/** The forms that do not sleep ask and hold vCPUs as well as those that do. */
import { KvmError, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkInvariants } from "../support/invariants.js";
import { type Remote, remote } from "../support/remote.js";

const SLOT = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0x10000, userspaceAddr: 0x100000 };
const moved = (gpa: number) => [{ ...SLOT, guestPhysAddr: gpa }];

interface World {
  engine: MemslotEngine;
  workers: Remote[];
}

async function world(workers: number): Promise<World> {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(SLOT);
  const started = Array.from({ length: workers }, () => remote((worker) => engine.superviseWorker(worker)));
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
  test(`${name}: a vCPU that leaves when it is asked to is asked to`, async () => {
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

test("a pause keeps the gate closed between its looks", async () => {
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
