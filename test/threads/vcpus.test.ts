/** vCPUs in worker threads: sections, grace periods, the gate, observers, death. */
import {
  ERRNO,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type Slot,
  superviseWorker,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isA } from "../support/errors.js";
import { checkInvariants } from "../support/invariants.js";
import { deletion, PAGE, region, slotNumber } from "../support/region.js";
import { type Remote, remote } from "../support/remote.js";

function refused(code: keyof typeof ERRNO, published?: boolean): (error: unknown) => boolean {
  return (error) =>
    error instanceof KvmError &&
    error.code === code &&
    error.errno === -ERRNO[code] &&
    error.published === published;
}

async function rejects(promise: Promise<unknown>, check: (error: unknown) => boolean): Promise<void> {
  let error: unknown;
  await promise.catch((caught) => {
    error = caught;
  });
  assert.ok(check(error), `refused with ${error}`);
}

interface World {
  engine: MemslotEngine;
  /** Each worker has one vCPU. */
  workers: Remote[];
}

async function world(workers: number, options = {}): Promise<World> {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxVcpus: 4, ...options });
  engine.setUserMemoryRegion(region(0, 0, 16, 100));
  const made = [];
  for (let i = 0; i < workers; i++) made.push(await remote((worker) => superviseWorker(engine, worker)));
  return { engine, workers: made };
}

async function end({ engine, workers }: World): Promise<void> {
  for (const worker of workers) await worker.kill();
  engine.synchronize();
  checkInvariants(engine);
}

/** The worker opens a section and stays in it until the shared word is not 0. */
async function enterAndStay(worker: Remote): Promise<void> {
  Atomics.store(worker.word, 0, 0);
  await worker.run(({ vcpu }) => vcpu.enter());
}

test("a section in a worker is a snapshot; a commit waits for its end", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  await enterAndStay(worker);
  const published = all.engine.setUserMemoryRegionList([deletion(0), region(1, 0, 8, 500)], {
    wait: false,
  });
  assert.is(published.published, true);
  assert.is(all.engine.gpaToHva(0), 500 * PAGE);
  assert.equal(
    await worker.run(({ vcpu }) => [
      vcpu.gpaToHva(0),
      vcpu.gpaToHva(9 * 4096),
      vcpu.gfnToSlot(0),
      vcpu.gfnToSlot(9),
    ]),
    [100 * PAGE, 109 * PAGE, 0, 0],
  );
  assert.throws(() => all.engine.synchronize({ timeout: 30 }), refused("ETIMEDOUT", true));
  assert.is(await worker.run(({ vcpu }) => vcpu.kicked), true);
  assert.equal(
    await worker.run(({ vcpu }) => {
      vcpu.exit();
      return [vcpu.enter(), vcpu.kicked, vcpu.gpaToHva(0), vcpu.gpaToHva(9 * 4096), vcpu.refresh()];
    }),
    [true, false, 500 * PAGE, -1, false],
  );
  await worker.run(({ vcpu }) => vcpu.exit());
  all.engine.synchronize({ timeout: 1000 });
  assert.is(await worker.run(({ vcpu }) => vcpu.enter()), false);
  await worker.run(({ vcpu }) => vcpu.exit());
  await end(all);
});

test("refresh moves a section on, nesting does not", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  await enterAndStay(worker);
  all.engine.setUserMemoryRegionList([region(0, 100, 16, 100)], { wait: false });
  assert.equal(
    await worker.run(({ vcpu }) => {
      const nested = vcpu.enter();
      const before = vcpu.gpaToHva(0);
      vcpu.exit();
      return [nested, before, vcpu.gpaToHva(0), vcpu.refresh(), vcpu.gpaToHva(0), vcpu.gpaToHva(100 * 4096)];
    }),
    [false, 100 * PAGE, 100 * PAGE, true, -1, 100 * PAGE],
  );
  all.engine.synchronize({ timeout: 1000 });
  await end(all);
});

test("a section that never ends: one commit times out, published; the next is EBUSY and changes nothing", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  await enterAndStay(worker);
  let host = 200;
  let published = 0;
  const commit = () => {
    all.engine.setUserMemoryRegionList([deletion(0), region(0, 0, 16, ++host)], { timeout: 20 });
  };
  for (let refusal: KvmError | undefined; refusal?.code !== "EBUSY"; published++) {
    try {
      commit();
      assert.unreachable("the grace period cannot be over");
    } catch (error) {
      refusal = error as KvmError;
      if (refusal.code === "ETIMEDOUT") assert.is(all.engine.gpaToHva(0), host * PAGE, "in force");
    }
    assert.ok(published < 10);
  }
  published--;
  assert.ok(published >= 1, `${published} layouts went out before the spare ones were used up`);
  assert.is(all.engine.gpaToHva(0), (host - 1) * PAGE, "EBUSY changes nothing");
  assert.is(await worker.run(({ vcpu }) => vcpu.gpaToHva(0)), 100 * PAGE, "the old layout is whole");
  await worker.run(({ vcpu }) => vcpu.exit());
  commit();
  assert.is(all.engine.gpaToHva(0), host * PAGE);
  await end(all);
});

test("a vCPU that is killed in a section delays no commit", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  await enterAndStay(worker);
  all.engine.setUserMemoryRegionList([region(0, 50, 16, 100)], { wait: false });
  await worker.kill();
  all.engine.synchronize({ timeout: 1000 });
  checkInvariants(all.engine);
  const vcpus = Array.from({ length: 4 }, () => all.engine.vcpu());
  assert.throws(() => all.engine.vcpu(), refused("EAGAIN"));
  for (const vcpu of vcpus) vcpu.release();
});

test("barrier: no vCPU enters between the gate and the publication", async () => {
  const all = await world(2);
  const [one, two] = all.workers as [Remote, Remote];
  await enterAndStay(one);
  const list = () => [deletion(0), region(0, 0, 16, 700)];
  assert.throws(
    () => all.engine.setUserMemoryRegionList(list(), { barrier: true, timeout: 30 }),
    refused("ETIMEDOUT"),
  );
  assert.is(all.engine.gpaToHva(0), 100 * PAGE, "not published");
  assert.is(await two.run(({ vcpu }) => vcpu.enter()), true, "the gate is open again");
  await two.run(({ vcpu }) => vcpu.exit());
  await one.run(({ vcpu }) => vcpu.exit());
  all.engine.setUserMemoryRegionList(list(), { barrier: true });
  assert.is(all.engine.gpaToHva(0), 700 * PAGE);
  await end(all);
});

test("pauseVcpus holds vCPUs at their next section until resumeVcpus", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  all.engine.pauseVcpus();
  assert.throws(() => all.engine.pauseVcpus({ timeout: 0 }), refused("EBUSY"));
  const entered = worker.run(({ vcpu }) => {
    vcpu.enter();
    return vcpu.gpaToHva(0);
  });
  all.engine.setUserMemoryRegion(deletion(0));
  all.engine.setUserMemoryRegion(region(0, 0, 4, 900));
  assert.is(all.engine.gpaToHva(0), 900 * PAGE, "one-shot translations go on");
  all.engine.resumeVcpus();
  assert.is(await entered, 900 * PAGE, "it never saw the states between");
  assert.throws(() => all.engine.resumeVcpus(), refused("EINVAL"));
  await end(all);
});

test("a thread that dies with the gate closed does not hold the vCPUs for ever", async () => {
  const all = await world(2);
  const [one, two] = all.workers as [Remote, Remote];
  await one.run(({ engine }) => engine.pauseVcpus());
  const entered = two.run(({ vcpu }) => {
    const changed = vcpu.enter();
    vcpu.exit();
    return changed;
  });
  await one.kill();
  assert.is(await entered, true);
  all.engine.pauseVcpus();
  all.engine.resumeVcpus();
  await end(all);
});

test("a pausing thread's own vCPU is not held", async () => {
  const engine = await MemslotEngine.create();
  const vcpu = engine.vcpu();
  engine.pauseVcpus();
  vcpu.enter();
  assert.is(vcpu.gpaToHva(0), -1);
  vcpu.exit();
  engine.resumeVcpus();
  vcpu.enter();
  engine.setUserMemoryRegionList([region(0, 0, 1, 1)], { barrier: true, timeout: 0 });
  assert.is(vcpu.gpaToHva(0), -1, "its section is a snapshot");
  vcpu.exit();
  engine.synchronize();
  checkInvariants(engine);
});

test("writers in two workers and in this thread: each commit is whole, none is lost", async () => {
  const all = await world(2);
  const rounds = 300;
  const work = all.workers.map((worker, i) =>
    worker.run(
      // The step is sent as text: it may use nothing but its scope and what is written into it.
      new Function(
        "scope",
        `for (let n = 1; n <= ${rounds}; n++) {
           const flags = 0, memorySize = 4096, base = ${(i + 1) * 1000};
           scope.engine.setUserMemoryRegionList([
             { slot: ${10 + i}, flags, guestPhysAddr: 0, memorySize: 0, userspaceAddr: 0 },
             { slot: ${10 + i}, flags, guestPhysAddr: (base + n) * 4096, memorySize, userspaceAddr: n * 4096 },
           ].slice(n === 1 ? 1 : 0));
         }`,
      ) as () => void,
    ),
  );
  for (let n = 1; n <= rounds; n++) {
    const list = [deletion(20), region(20, 3000 + n, 1, n)];
    await all.engine.setUserMemoryRegionListAsync(n === 1 ? list.slice(1) : list);
  }
  await Promise.all(work);
  assert.is(all.engine.publications, 1 + 3 * rounds);
  for (const [base, slot] of [
    [1000, 10],
    [2000, 11],
    [3000, 20],
  ] as const) {
    assert.is(all.engine.gpaToHva((base + rounds) * PAGE), rounds * PAGE);
    assert.equal(all.engine.slot(slot), region(slot, base + rounds, 1, rounds));
  }
  await end(all);
});

test("the asynchronous commit waits without sleeping, and keeps the process alive meanwhile", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  await enterAndStay(worker);
  let done = false;
  const commit = all.engine.setUserMemoryRegionListAsync([region(0, 60, 16, 100)]).then((result) => {
    done = true;
    return result;
  });
  assert.is(await worker.run(({ vcpu }) => vcpu.gpaToHva(0)), 100 * PAGE);
  assert.is(all.engine.gpaToHva(60 * PAGE), 100 * PAGE, "published at once");
  assert.is(done, false, "but not over");
  await worker.run(({ vcpu }) => vcpu.exit());
  assert.is((await commit).published, true);
  await enterAndStay(worker);
  await rejects(
    all.engine.setUserMemoryRegionListAsync([region(0, 70, 16, 100)], { timeout: 30 }),
    refused("ETIMEDOUT", true),
  );
  await rejects(all.engine.setUserMemoryRegionListAsync([region(0, 70, 1, 100)]), refused("EINVAL"));
  await worker.run(({ vcpu }) => vcpu.exit());
  await all.engine.synchronizeAsync();
  const barrier = all.engine.setUserMemoryRegionListAsync([region(0, 80, 16, 100)], { barrier: true });
  assert.is((await barrier).published, true);
  await end(all);
});

test("observers wake at the generation they wait for", async () => {
  const all = await world(1);
  const [worker] = all.workers as [Remote];
  const generation = all.engine.generation(1);
  const woken = worker.run(({ engine }) => {
    engine.waitGeneration(5, { asId: 1 });
    return engine.generation(1);
  });
  const here = all.engine.waitGenerationAsync(5, { asId: 1 });
  assert.is(generation, 1);
  all.engine.setUserMemoryRegion(region(slotNumber(1, 0), 0, 1, 5));
  all.engine.setUserMemoryRegion(region(slotNumber(1, 1), 7, 1, 5));
  assert.is(await woken, 5);
  await here;
  assert.throws(() => all.engine.waitGeneration(7, { asId: 1, timeout: 20 }), refused("ETIMEDOUT"));
  await rejects(all.engine.waitGenerationAsync(7, { asId: 1, timeout: 20 }), refused("ETIMEDOUT"));
  await end(all);
});

test("a vCPU that switches its address space forgets its cached slot", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegionList([region(0, 0, 4, 10), region(slotNumber(1, 0), 0, 4, 90)]);
  const vcpu = engine.vcpu();
  vcpu.enter();
  assert.is(vcpu.gpaToHva(PAGE), 11 * PAGE);
  vcpu.asId = 1;
  assert.is(vcpu.gpaToHva(PAGE), 91 * PAGE);
  assert.is(vcpu.gfnToSlot(1), 1 << 16);
  vcpu.asId = 0;
  assert.is(vcpu.gpaToHva(PAGE), 11 * PAGE);
  assert.throws(() => {
    vcpu.asId = 2;
  }, isA(RangeError));
  assert.is(vcpu.asId, 0);
  vcpu.gpaToHva(99 * PAGE);
  assert.equal(vcpu.stats(), { sections: 1, misses: 1 });
  vcpu.exit();
});

test("one-shot lookups do not consume the change that the next section reports", async () => {
  const engine = await MemslotEngine.create();
  const vcpu = engine.vcpu();
  vcpu.enter();
  vcpu.exit();
  engine.setUserMemoryRegion(region(0, 0, 4, 10));
  vcpu.gpaToHva(0);
  vcpu.gfnToSlot(0);
  vcpu.markDirty(0);
  vcpu.translate(new Float64Array(100), new Float64Array(100));
  assert.is(vcpu.enter(), true);
  vcpu.exit();
  assert.is(vcpu.enter(), false);
  vcpu.exit();
});

test("changed ranges list what moved, vanished or appeared, not what a split leaves in place", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  const changed = (list: Slot[]) => engine.setUserMemoryRegionList(list, { changed: true }).changed;
  const range = (asId: number, gfn: number, npages: number) => ({
    asId,
    gpa: gfn * PAGE,
    bytes: npages * PAGE,
  });
  assert.equal(changed([region(0, 0, 100, 1000), region(slotNumber(1, 3), 7, 2, 50)]), [
    range(0, 0, 100),
    range(1, 7, 2),
  ]);
  const split = [deletion(0), region(0, 0, 40, 1000), region(1, 40, 10, 5000), region(2, 50, 50, 1050)];
  assert.equal(changed(split), [range(0, 40, 10)]);
  assert.equal(changed([deletion(0), deletion(1), deletion(2), region(0, 0, 100, 1000)]), [range(0, 40, 10)]);
  assert.equal(changed([region(0, 10, 100, 1000)]), [range(0, 0, 110)]);
  assert.equal(
    changed([region(0, 10, 100, 1000, LOG)]),
    [range(0, 10, 100)],
    "a log that starts is a change",
  );
  assert.equal(changed([region(0, 10, 100, 1000, LOG)]), []);
  const many = Array.from({ length: 300 }, (_, i) => region(i + 1, 1000 + 2 * i, 1, i));
  assert.equal(
    changed(many),
    many.map(({ slot }) => range(0, 1000 + 2 * (slot - 1), 1)),
  );
  assert.equal(engine.setUserMemoryRegionList([]), { generation: engine.generation(), published: false });
});

test("bad options of a commit are refused by name", async () => {
  const engine = await MemslotEngine.create();
  for (const [options, message] of [
    [{ timeout: -1 }, /timeout/],
    [{ timeout: Number.NaN }, /timeout/],
    [{ wait: 1 }, /wait must be a boolean/],
    [{ barrier: "yes" }, /barrier/],
    [{ changed: null }, /changed/],
    [null, /options/],
  ] as const) {
    assert.throws(() => engine.setUserMemoryRegionList([region(0, 0, 1, 1)], options as never), message);
  }
  assert.is(engine.publications, 0);
  assert.throws(() => engine.reap("1" as never), isA(TypeError));
  assert.throws(() => superviseWorker(engine, {} as never), isA(TypeError));
});

test.run();
