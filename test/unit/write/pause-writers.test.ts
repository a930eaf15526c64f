/** pauseVcpus({ writers: true }): nobody is in a section, and nobody else publishes or harvests until resumeVcpus. */
import {
  DirtyConsumer,
  type KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  readersOf,
  saveEngine,
  superviseWorker,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { HEADER, READER, READER_BYTES } from "../../../src/core/layout.js";
import { throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { deletion, region } from "../../support/region.js";
import { type Remote, remote } from "../../support/remote.js";

const WATCHDOG_MS = 20_000;

async function world(): Promise<{ engine: MemslotEngine; worker: Remote }> {
  const engine = await MemslotEngine.create({ maxVcpus: 4 });
  engine.setUserMemoryRegion(region(0, 0, 16, 100, LOG));
  return { engine, worker: await remote((thread) => superviseWorker(engine, thread)) };
}

/** Wait until the worker has written again. */
function awaitWrites({ word }: Remote): void {
  const seen = Atomics.load(word, 0);
  assert.not.equal(Atomics.wait(word, 0, seen, WATCHDOG_MS), "timed-out");
}

test("writers of other threads wait, up to their timeout; the pausing thread works on", async () => {
  const { engine, worker } = await world();
  engine.pauseVcpus({ writers: true });
  const codes = await worker.run(({ engine: there, memslots }) => {
    const list = [{ slot: 5, flags: 0, guestPhysAddr: 2 ** 30, memorySize: 4096, userspaceAddr: 0 }];
    const calls = [
      () => there.setUserMemoryRegionList(list, { timeout: 5 }),
      () => memslots.saveEngine(there, { timeout: 5 }),
    ];
    return calls.map((call) => {
      try {
        call();
        return "done";
      } catch (error) {
        return (error as { code: string }).code;
      }
    });
  });
  assert.equal(codes, ["EBUSY", "EBUSY"]);
  const generation = engine.generation();
  engine.setUserMemoryRegion(region(1, 50, 1, 50, LOG));
  engine.setUserMemoryRegionList([deletion(1)], { takeDirty: true });
  engine.getDirtyLog(0);
  new DirtyConsumer(engine, "screen").begin();
  saveEngine(engine);
  await engine.setUserMemoryRegionListAsync([region(1, 50, 1, 50)]);
  assert.is(engine.generation(), generation + 3);
  throwsErrno(() => engine.pauseVcpus({ writers: true }), "EBUSY");
  const late = worker.run(({ engine: there }) => there.getDirtyLog(0).length);
  engine.resumeVcpus();
  assert.is(await late, 8, "one that waits goes on");
  throwsErrno(() => engine.resumeVcpus(), "EINVAL");
  await worker.kill();
  checkInvariants(engine);
});

test("nobody is in a section, one-shot calls of other threads included, and no page is written any more", async () => {
  const { engine, worker } = await world();
  await worker.run(({ word }) => word.fill(0));
  // The word is the guest's memory.
  worker.start(({ engine: there, vcpu, word }) => {
    for (let i = 0; ; i++) {
      vcpu.enter();
      Atomics.add(word, 0, 1);
      Atomics.notify(word, 0);
      vcpu.markDirty((i % 16) * 4096);
      vcpu.exit();
      there.gpaToHva(0);
    }
  });
  awaitWrites(worker);
  const migration = new DirtyConsumer(engine, "migration", { initially: "dirty" });
  for (let round = 0; round < 50; round++) {
    migration.begin();
    migration.done();
    engine.pauseVcpus({ writers: true });
    assert.equal(
      readersOf(engine).filter(
        ({ inside, owner, kind }) => inside && kind === "vcpu" && owner !== engine.owner,
      ),
      [],
    );
    const before = Atomics.load(worker.word, 0);
    const ranges = migration.begin();
    assert.equal(migration.peek(), ranges, "nothing is marked any more");
    assert.is(Atomics.load(worker.word, 0), before, "nobody writes");
    engine.resumeVcpus();
    awaitWrites(worker);
  }
  await worker.kill();
  checkInvariants(engine);
});

test("a pause that a section outlasts gives everything back; close ends a pause", async () => {
  const { engine, worker } = await world();
  await worker.run(({ engine: there, vcpu }) => {
    vcpu.enter();
    there.generation();
  });
  throwsErrno(() => engine.pauseVcpus({ writers: true, timeout: 5 }), "ETIMEDOUT");
  const error = await engine.pauseVcpusAsync({ writers: true, timeout: 5 }).then(
    () => undefined,
    (caught: KvmError) => caught.code,
  );
  assert.is(error, "ETIMEDOUT");
  await worker.run(({ vcpu, engine: there }) => {
    vcpu.exit();
    there.getDirtyLog(0);
  });
  await engine.pauseVcpusAsync({ writers: true });
  engine.setUserMemoryRegion(region(1, 50, 1, 50));
  await engine.resumeVcpusAsync();
  assert.throws(() => engine.pauseVcpus({ writer: true } as never), /writer/);
  assert.throws(() => engine.pauseVcpus({ writers: 1 } as never), /writers/);
  const other = await MemslotEngine.attach(engine.handle);
  other.pauseVcpus({ writers: true });
  throwsErrno(() => engine.setUserMemoryRegionList([deletion(1)], { timeout: 1 }), "EBUSY");
  other.close();
  engine.setUserMemoryRegionList([deletion(1)], { timeout: 1 });
  await worker.kill();
});

test("a one-shot call that does not end is waited for up to the timeout, and then all goes on", async () => {
  const { engine, worker } = await world();
  const owner = await worker.run(({ engine: there }) => {
    there.gpaToHva(0);
    return there.owner;
  });
  // As if the worker had been stopped inside that call: its line of one-shot calls holds a layout.
  const { memory, base } = engine.handle;
  const words = new Int32Array(memory.buffer);
  const lines = words[(base + HEADER.readers) / 4]!;
  const lineOf = (i: number) => (lines + i * READER_BYTES) / 4;
  const indexes = Array.from({ length: engine.maxVcpus }, (_, i) => engine.maxVcpus + i);
  const line = indexes.map(lineOf).find((at) => words[at + READER.owner / 4] === owner)!;
  const pin = line + READER.pin / 4;
  assert.is(words[pin], 0);
  words[pin] = words[(base + HEADER.activeRoot) / 4]!;
  throwsErrno(() => engine.pauseVcpus({ writers: true, timeout: 5 }), "ETIMEDOUT");
  const error = await engine
    .pauseVcpusAsync({ writers: true, timeout: 5 })
    .catch((caught: KvmError) => caught.code);
  assert.is(error, "ETIMEDOUT");
  assert.is(await worker.run(({ engine: there }) => there.getDirtyLog(0).length), 8, "writers go on");
  words[pin] = 0;
  engine.pauseVcpus({ writers: true, timeout: 5000 });
  engine.resumeVcpus();
  await worker.kill();
  checkInvariants(engine);
});

test("a thread that dies while it holds the writers is reaped, and they go on", async () => {
  const { engine, worker } = await world();
  await worker.run(({ engine: there }) => there.pauseVcpus({ writers: true }));
  throwsErrno(() => engine.setUserMemoryRegionList([deletion(0)], { timeout: 1 }), "EBUSY");
  await worker.kill();
  engine.setUserMemoryRegion(deletion(0));
  checkInvariants(engine);
});

test.run();
