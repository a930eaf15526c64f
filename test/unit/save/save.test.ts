/** Saved engines: the restored one answers the same everything, now and after the same operations. */
import {
  attributesOf,
  cloneEngine,
  consumersOf,
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_READONLY,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  memfdsOf,
  restoreEngine,
  saveEngine,
  saveEngineAsync,
  splitSlot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { crc32 } from "../../../src/save/bytes.js";
import { hostPages } from "../../support/bitmap.js";
import { errnoOf, throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { type Random, random } from "../../support/random.js";
import { deletion, PAGE, region } from "../../support/region.js";

/** Magic, version, length and checksum. */
const HEAD_BYTES = 16;
const SEED = Number(process.env.SEED ?? 19);
console.log(`seed ${SEED}`);

/** All that an engine answers, without taking anything. */
function answers(engine: MemslotEngine): unknown {
  const asIds = Array.from({ length: engine.addressSpaces }, (_, asId) => asId);
  const { addressSpaces, maxSlots, maxVcpus, maxListEntries, pageShift } = engine;
  const { maxPhysAddrBits, maxUserAddrBits } = engine;
  const consumers = consumersOf(engine);
  return {
    limits: {
      addressSpaces,
      maxSlots,
      maxVcpus,
      maxListEntries,
      pageShift,
      maxPhysAddrBits,
      maxUserAddrBits,
    },
    publications: engine.publications,
    spaces: asIds.map((asId) => ({
      slots: engine.slots(asId),
      windows: engine.windows(asId),
      generation: engine.generation(asId),
    })),
    memfds: memfdsOf(engine),
    attributes: attributesOf(engine),
    consumers,
    dirty: consumers.map(({ name }) => new DirtyConsumer(engine, name).peek()),
  };
}

/** What is left of the logs, which this takes. */
function drained(engine: MemslotEngine): unknown {
  const logs = engine.slots().map(({ slot }) => {
    let log: number[] = [];
    const errno = errnoOf(() => (log = [...engine.getDirtyLog(slot)]));
    return { slot, errno, log };
  });
  const consumers = consumersOf(engine).map(({ name }) => {
    const consumer = new DirtyConsumer(engine, name);
    consumer.done();
    const pending = consumer.begin();
    return pending;
  });
  return { logs, consumers };
}

async function assertSame(engine: MemslotEngine, note: string): Promise<MemslotEngine> {
  const saved = saveEngine(engine);
  const restored = await restoreEngine(saved);
  assert.equal(answers(restored), answers(engine), note);
  assert.equal(saveEngine(restored), saved, `${note}: saved again`);
  checkInvariants(restored);
  return restored;
}

/** One random operation; the same on two engines if their generators are. */
function operate(engine: MemslotEngine, rng: Random): void {
  const slot = rng.int(8) | (rng.int(2) << 16);
  const place = [rng.int(60), 1 + rng.int(9), 100 + rng.int(60)] as const;
  const flags = rng.pick([0, LOG, LOG, LOG, LOG | KVM_MEM_READONLY]);
  const action = rng.int(10);
  errnoOf(() => {
    if (action < 4) engine.setUserMemoryRegion(region(slot, ...place, flags));
    else if (action === 4) engine.setUserMemoryRegion(deletion(slot));
    else if (action === 5) {
      const hva = (100 + rng.int(50)) * PAGE + 8;
      engine.setUserMemoryRegionList([], {
        windows: [
          [
            { gpa: 200 * PAGE, bytes: 16, device: 7, offset: rng.int(3) },
            { gpa: 200 * PAGE + 16, bytes: 64, hva, log: rng.chance(0.7) },
          ],
        ],
      });
    } else if (action === 6)
      engine.setMemoryAttributes({ address: place[0] * PAGE, size: place[1] * PAGE, attributes: 8 });
    else if (action === 7) {
      const consumer = new DirtyConsumer(engine, `c${rng.int(3)}`, {
        initially: rng.chance(0.5) ? "dirty" : "clean",
      });
      if (rng.chance(0.3)) consumer.close();
      else if (rng.chance(0.7)) consumer.begin({ hva: place[2] * PAGE, bytes: 20 * PAGE });
      else consumer.done();
    } else if (action === 8) engine.markDirty(200 * PAGE + 17);
    else engine.getDirtyLog(slot);
  });
  for (let i = rng.int(6); i > 0; i--) engine.markDirty(rng.int(64) * PAGE, rng.int(2));
}

test("random machines answer the same after they were saved, and go on the same way", async () => {
  const rng = random(SEED);
  for (let run = 0; run < 60; run++) {
    let engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 8, shared: rng.chance(0.5) });
    const [seed, steps] = [rng.int(2 ** 31), rng.int(60)];
    const first = random(seed);
    for (let step = 0; step < steps; step++) operate(engine, first);
    const restored = await assertSame(engine, `run ${run}`);
    const second = random(seed + 1);
    const third = random(seed + 1);
    for (let step = 0; step < 30; step++) {
      operate(engine, second);
      operate(restored, third);
    }
    assert.equal(answers(restored), answers(engine), `run ${run}, later`);
    assert.equal(drained(restored), drained(engine), `run ${run}, drained`);
    checkInvariants(restored);
    engine.close();
    engine = restored;
    engine.close();
  }
});

test("private memory, with files that are closed, and descriptors that are not used again", async () => {
  const engine = await MemslotEngine.create({ maxListEntries: 2 });
  const [a, b, c] = [4, 8, 2].map((pages) => engine.createGuestMemfd(pages * PAGE)) as [
    number,
    number,
    number,
  ];
  const bound = { flags: KVM_MEM_GUEST_MEMFD, guestMemfd: b, guestMemfdOffset: 2 * PAGE };
  engine.setUserMemoryRegion2({ ...region(3, 10, 2, 100), ...bound });
  engine.setUserMemoryRegion2({ ...region(4, 20, 2, 200), flags: KVM_MEM_GUEST_MEMFD, guestMemfd: c });
  assert.equal(engine.slot(3), { ...region(3, 10, 2, 100), ...bound });
  for (let page = 0; page < 20; page += 2)
    engine.setMemoryAttributes({ address: 2n ** 62n + BigInt(page * PAGE), size: PAGE, attributes: 8 });
  engine.closeGuestMemfd(c);
  engine.closeGuestMemfd(a);
  assert.equal(memfdsOf(engine), [{ guestMemfd: b, size: 8 * PAGE }]);
  assert.is(attributesOf(engine).length, 10);
  const restored = await assertSame(engine, "private");
  assert.equal(restored.resolvePrivate(11 * PAGE), { guestMemfd: b, offset: 3 * PAGE });
  assert.is(restored.resolvePrivate(20 * PAGE), undefined);
  assert.is(restored.createGuestMemfd(PAGE), engine.createGuestMemfd(PAGE));
});

test("dirty rings: entries that wait for a harvest, or for the reset, and what overflowed", async () => {
  for (const bitmap of [false, true]) {
    const engine = await MemslotEngine.create({ maxVcpus: 3 });
    engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
    if (bitmap) engine.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
    engine.setUserMemoryRegion(region(0, 0, 1000, 5000, LOG));
    const vcpus = [engine.vcpu(), engine.vcpu()];
    for (let page = 0; page < 300; page++) vcpus[1]!.markDirty(page * PAGE);
    new DirtyRing(engine, 1).harvest();
    engine.resetDirtyRings();
    for (const page of [7, 900]) vcpus[1]!.markDirty(page * PAGE);
    new DirtyRing(engine, 1).harvest();
    vcpus[1]!.markDirty(8 * PAGE);
    engine.markDirty(5 * PAGE);
    const restored = await assertSame(engine, `bitmap ${bitmap}`);
    const harvests = (from: MemslotEngine) => [0, 1, 2].map((vcpu) => new DirtyRing(from, vcpu).harvest());
    assert.equal(harvests(restored), harvests(engine));
    assert.is(restored.resetDirtyRings(), 3);
    assert.equal(drained(restored), drained(engine));
    throwsErrno(() => restored.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096), "EINVAL");
    const again = restored.vcpu();
    again.markDirty(0);
    assert.is(new DirtyRing(restored, again.index).harvest().entries.length, 1);
  }
});

test("capabilities: manual protection, and rings that were refused by the first vCPU", async () => {
  const engine = await MemslotEngine.create({ hurry: false });
  engine.vcpu().release();
  engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3);
  engine.setUserMemoryRegion(region(0, 0, 3, 5, LOG));
  const restored = await assertSame(engine, "capabilities");
  throwsErrno(() => restored.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096), "EINVAL");
  assert.equal([...restored.getDirtyLog(0)], [7, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal([...restored.getDirtyLog(0)], [7, 0, 0, 0, 0, 0, 0, 0], "a get takes nothing");
  restored.setUserMemoryRegion(region(1, 9, 1, 9, LOG));
  assert.equal(restored.getDirtyLog(1)[0], 1);
});

test("a clone goes its own way; a restored engine may be placed; no lookup is cached from the restoring", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 8, 100));
  const fork = await cloneEngine(engine);
  fork.setUserMemoryRegionList(splitSlot(fork.slot(0)!, 4 * PAGE, 1));
  assert.equal([engine.slots().length, fork.slots().length], [1, 2]);
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 128, shared: true });
  const placed = await restoreEngine(await saveEngineAsync(engine), { memory, base: 65536, size: 2 ** 20 });
  assert.equal([placed.base, placed.gpaToHva(PAGE)], [65536, 101 * PAGE]);
  for (let i = 0; i < 12; i++) {
    fork.setUserMemoryRegion(i % 2 === 0 ? region(9, 50, 1, 900 + i) : deletion(9));
    assert.is(fork.gpaToHva(50 * PAGE), i % 2 === 0 ? (900 + i) * PAGE : -1);
  }
  await assertRejects(restoreEngine(saveEngine(engine), { limit: 3 } as never), /limit/);
  await assertRejects(restoreEngine("" as never), /bytes must be a Uint8Array/);
});

async function assertRejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof Error && message.test(error.message), String(error));
}

test("damaged and foreign bytes are refused with the reason: each byte, each length", async () => {
  const engine = await MemslotEngine.create({ maxSlots: 4, maxVcpus: 1 });
  engine.setUserMemoryRegion(region(0, 0, 8, 100, LOG));
  new DirtyConsumer(engine, "screen");
  engine.markDirty(PAGE);
  const saved = saveEngine(engine);
  assert.ok(saved.length < 200, `${saved.length} bytes`);
  const reasons = /not a saved engine|was saved in version|the saved engine is damaged/;
  for (let at = 0; at < saved.length; at++) {
    const damaged = saved.slice();
    damaged[at]! ^= 1 << (at % 8);
    await assertRejects(restoreEngine(damaged), reasons);
    await assertRejects(restoreEngine(saved.subarray(0, at)), reasons);
  }
  await assertRejects(restoreEngine(new Uint8Array([...saved, 0])), /follow its head/);
  // Within another buffer, at an odd byte.
  const shifted = new Uint8Array(saved.length + 3).subarray(3);
  shifted.set(saved);
  assert.equal(answers(await restoreEngine(shifted)), answers(engine));
});

test("bytes whose checksum is right and whose contents are not are refused as damaged", async () => {
  const saved = saveEngine(await MemslotEngine.create({ maxSlots: 4, maxVcpus: 1 }));
  const withBody = (body: Uint8Array) => {
    const bytes = new Uint8Array([...saved.subarray(0, HEAD_BYTES), ...body]);
    const head = new DataView(bytes.buffer);
    head.setUint32(8, body.length, true);
    head.setUint32(12, crc32(body), true);
    return bytes;
  };
  const body = saved.subarray(HEAD_BYTES);
  assert.equal(withBody(body), saved);
  const reason = /^the saved engine is damaged: (?!.*(checksum|follow its head))/;
  await assertRejects(restoreEngine(withBody(body.subarray(0, -1))), reason);
  await assertRejects(restoreEngine(withBody(new Uint8Array([...body, 0]))), reason);
});

test("a page dirty at the end of a section in an old layout is saved; threads are gone, as if reaped", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 1 });
  engine.setUserMemoryRegion(region(0, 0, 8, 100, LOG));
  const screen = new DirtyConsumer(engine, "screen");
  const vcpu = engine.vcpu();
  vcpu.enter();
  engine.setUserMemoryRegionList(splitSlot(engine.slot(0)!, 4 * PAGE, 1), { wait: false });
  vcpu.markDirty(5 * PAGE);
  vcpu.exit();
  const restored = await restoreEngine(saveEngine(engine));
  assert.equal(hostPages(new DirtyConsumer(restored, "screen").begin()), [105]);
  assert.equal(hostPages(screen.begin()), [105]);
  restored.vcpu();
  throwsErrno(() => engine.vcpu(), "EAGAIN");
});

test.run();
