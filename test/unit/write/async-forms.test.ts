/**
 * The forms that do not sleep: each call that takes the writer lock has one, which waits for the lock while other
 * tasks run, does what the other form does, and refuses what that one refuses.
 */
import {
  attributesOf,
  checkEngine,
  checkEngineAsync,
  consumersOf,
  consumersOfAsync,
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  KVM_MEM_GUEST_MEMFD as MEMFD,
  MemslotEngine,
  memfdsOf,
  KVM_MEMORY_ATTRIBUTE_PRIVATE as PRIVATE,
  readersOf,
  saveEngine,
  saveEngineAsync,
  takeDirtyPages,
  takeDirtyPagesAsync,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwsErrno } from "../../support/implementation.js";
import { ownRegion, PAGE } from "../../support/region.js";

/** A world with a guest_memfd, attributes, a log with pages 3 and 70, a consumer, a ring with page 3. */
interface World {
  readonly engine: MemslotEngine;
  readonly consumer: DirtyConsumer;
  readonly ring: DirtyRing;
}

async function world(): Promise<World> {
  const engine = await MemslotEngine.create({ maxSlots: 8, maxVcpus: 4 });
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  engine.setUserMemoryRegion(ownRegion(0, 0, 100, LOG));
  assert.is(engine.createGuestMemfd(8 * PAGE), 3);
  engine.setMemoryAttributes({ address: 0, size: PAGE, attributes: PRIVATE });
  const consumer = new DirtyConsumer(engine, "screen");
  for (const gfn of [3, 70]) engine.markDirty(gfn * PAGE);
  const vcpu = engine.vcpu();
  vcpu.markDirty(3 * PAGE);
  vcpu.release();
  return { engine, consumer, ring: new DirtyRing(engine, 0) };
}

const bound = { ...ownRegion(5, 200, 2, MEMFD), guestMemfd: 3, guestMemfdOffset: PAGE };
const words = new Uint8Array([8, 0, 0, 0, 0, 0, 0, 0]);
const range = { address: 4 * PAGE, size: PAGE, attributes: PRIVATE };
const MANUAL = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
const pages = (count: number, array: Uint32Array) => [...array.subarray(0, count)];
const handed = (taken: Uint32Array) => (count: number) => pages(count, taken);

/** By name: the form that may sleep, and the one that does not. */
const FORMS: Record<string, [(world: World) => unknown, (world: World) => Promise<unknown>]> = {
  setUserMemoryRegion2: [
    ({ engine }) => engine.setUserMemoryRegion2(bound),
    ({ engine }) => engine.setUserMemoryRegion2Async(bound),
  ],
  createGuestMemfd: [
    ({ engine }) => engine.createGuestMemfd(4 * PAGE, 1),
    ({ engine }) => engine.createGuestMemfdAsync(4 * PAGE, 1),
  ],
  closeGuestMemfd: [
    ({ engine }) => engine.closeGuestMemfd(3),
    ({ engine }) => engine.closeGuestMemfdAsync(3),
  ],
  setMemoryAttributes: [
    ({ engine }) => engine.setMemoryAttributes(range),
    ({ engine }) => engine.setMemoryAttributesAsync(range),
  ],
  enableCap: [
    ({ engine }) => engine.enableCap(MANUAL, 3),
    ({ engine }) => engine.enableCapAsync({ cap: MANUAL, args: [3] }),
  ],
  vcpu: [
    ({ engine }) => engine.vcpu({ tlbEntries: 64 }).index,
    async ({ engine }) => (await engine.vcpuAsync({ tlbEntries: 64 })).index,
  ],
  getDirtyLog: [({ engine }) => engine.getDirtyLog(0), ({ engine }) => engine.getDirtyLogAsync(0)],
  clearDirtyLog: [
    ({ engine }) => engine.clearDirtyLog(0, 0, 64, words),
    ({ engine }) => engine.clearDirtyLogAsync(0, 0, 64, words),
  ],
  takeDirtyPages: [
    ({ engine }) => {
      const taken = new Uint32Array(9);
      return pages(takeDirtyPages(engine, 0, taken), taken);
    },
    ({ engine }) => {
      const taken = new Uint32Array(9);
      return takeDirtyPagesAsync(engine, 0, taken).then(handed(taken));
    },
  ],
  resetDirtyRings: [({ engine }) => engine.resetDirtyRings(), ({ engine }) => engine.resetDirtyRingsAsync()],
  harvest: [({ ring }) => ring.harvest(), ({ ring }) => ring.harvestAsync()],
  entries: [
    ({ ring }) => [...ring.entries().subarray(0, 8)],
    async ({ ring }) => [...(await ring.entriesAsync()).subarray(0, 8)],
  ],
  DirtyConsumer: [
    ({ engine }) => new DirtyConsumer(engine, "backup").name,
    async ({ engine }) => (await DirtyConsumer.openAsync(engine, "backup")).name,
  ],
  begin: [({ consumer }) => consumer.begin(), ({ consumer }) => consumer.beginAsync()],
  peek: [({ consumer }) => consumer.peek(), ({ consumer }) => consumer.peekAsync()],
  done: [({ consumer }) => consumer.done(), ({ consumer }) => consumer.doneAsync()],
  abort: [({ consumer }) => consumer.abort(), ({ consumer }) => consumer.abortAsync()],
  close: [({ consumer }) => consumer.close(), ({ consumer }) => consumer.closeAsync()],
  consumersOf: [({ engine }) => consumersOf(engine), ({ engine }) => consumersOfAsync(engine)],
  checkEngine: [({ engine }) => checkEngine(engine), ({ engine }) => checkEngineAsync(engine)],
  saveEngine: [
    ({ engine }) => saveEngine(engine) instanceof Uint8Array,
    async ({ engine }) => (await saveEngineAsync(engine)) instanceof Uint8Array,
  ],
};

/** All that the calls can change. */
function stateOf({ engine, ring }: World): unknown {
  return {
    slots: engine.slots(),
    memfds: memfdsOf(engine),
    attributes: attributesOf(engine),
    consumers: consumersOf(engine),
    readers: readersOf(engine).map(({ kind }) => kind),
    pending: consumersOf(engine).map(({ name }) => new DirtyConsumer(engine, name).peek()),
    ring: [...ring.entries()],
    // With manual protection a get takes nothing.
    logs: [engine.getDirtyLog(0), engine.getDirtyLog(0)],
    findings: checkEngine(engine),
  };
}

for (const [name, [call, callAsync]] of Object.entries(FORMS)) {
  test(`${name}: waits for the lock, and does what the other form does`, async () => {
    const [one, other] = [await world(), await world()];
    const { engine } = one;
    // A commit that takes the ended logs keeps the lock until this section is over.
    const vcpu = engine.vcpu();
    vcpu.enter();
    const commit = engine.setUserMemoryRegionListAsync([ownRegion(1, 500, 1)], { takeDirty: true });
    throwsErrno(() => call(one), "EBUSY");
    const result = callAsync(one);
    vcpu.exit();
    await commit;
    engine.setUserMemoryRegion({ ...ownRegion(1, 500, 1), memorySize: 0 });
    const answer = await result;
    const beside = other.engine.vcpu();
    assert.equal(answer, call(other));
    vcpu.release();
    beside.release();
    assert.equal(stateOf(one), stateOf(other));
  });
}

test("arguments that one form refuses the other one refuses too, by a rejection", async () => {
  const { engine, ring } = await world();
  const other = await MemslotEngine.attach(engine.handle);
  const calls: [() => unknown, () => Promise<unknown>][] = [
    [() => engine.enableCap(999), () => engine.enableCapAsync(999)],
    [() => engine.enableCap(MANUAL, "1" as never), () => engine.enableCapAsync(MANUAL, "1" as never)],
    [() => engine.createGuestMemfd(1), () => engine.createGuestMemfdAsync(1)],
    [() => engine.createGuestMemfd("1" as never), () => engine.createGuestMemfdAsync("1" as never)],
    [() => engine.closeGuestMemfd(99), () => engine.closeGuestMemfdAsync(99)],
    [() => engine.closeGuestMemfd(-1), () => engine.closeGuestMemfdAsync(-1)],
    [
      () => engine.setMemoryAttributes({ ...range, size: 1 }),
      () => engine.setMemoryAttributesAsync({ ...range, size: 1 }),
    ],
    [() => engine.setMemoryAttributes(null as never), () => engine.setMemoryAttributesAsync(null as never)],
    [
      () => engine.setUserMemoryRegion2({ ...bound, guestMemfd: 9 }),
      () => engine.setUserMemoryRegion2Async({ ...bound, guestMemfd: 9 }),
    ],
    [() => engine.setUserMemoryRegion2(7 as never), () => engine.setUserMemoryRegion2Async(7 as never)],
    [() => engine.vcpu({ asId: 9 }), () => engine.vcpuAsync({ asId: 9 })],
    [() => engine.vcpu({ tlbEntries: 65 }), () => engine.vcpuAsync({ tlbEntries: 65 })],
    [() => checkEngine(7 as never), () => checkEngineAsync(7 as never)],
  ];
  for (const [call, callAsync] of calls) {
    const thrown = caught(call);
    const rejected = await callAsync().then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.ok(thrown instanceof Error && rejected instanceof Error, `${thrown}, ${rejected}`);
    assert.is(rejected.constructor, thrown.constructor);
    assert.is(rejected.message.replace("Async", ""), thrown.message);
  }
  other.close();
  assert.is(readersOf(engine).filter(({ kind }) => kind === "vcpu").length, 0);
  assert.is(ring.harvest().entries.length, 1);
});

function caught(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("a vCPU that no memory is left for, or whose engine is closed meanwhile, gives its line back", async () => {
  const memory = new WebAssembly.Memory({ initial: 3, maximum: 3, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 64, maxSlots: 8, maxVcpus: 2, size: 60_000 });
  const made = await engine.vcpuAsync().then((vcpu) => vcpu.index);
  assert.is(made, 0);
  const refused = await engine.vcpuAsync({ tlbEntries: 65536 }).catch((error: unknown) => error);
  assert.ok(refused instanceof KvmError && refused.code === "ENOMEM" && /its TLB/.test(refused.message));
  const vcpus = () => readersOf(engine).filter(({ kind }) => kind === "vcpu").length;
  assert.is(vcpus(), 1);
  const other = await MemslotEngine.attach(engine.handle);
  const late = other.vcpuAsync({ tlbEntries: 64 });
  assert.is(vcpus(), 2);
  other.close();
  const closed = await late.catch((error: unknown) => error);
  assert.match(String(closed), /the engine is closed/);
  assert.is(vcpus(), 1);
});

test.run();
