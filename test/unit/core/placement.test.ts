/**
 * Places of an engine: its own memory, a part of the caller's, beside others; and the refusals of attach.
 */
import { type EngineOptions, KvmError, KVM_MEM_LOG_DIRTY_PAGES as LOG, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwsErrno } from "../../support/implementation.js";
import { slotNumber } from "../../support/region.js";

const LOGGED = { flags: LOG, guestPhysAddr: 0, userspaceAddr: 0x10000 };

function newMemory(pages: number, maximum: number, shared: boolean): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: pages, maximum, shared });
}

async function rejects(promise: Promise<unknown>, check: (error: Error) => void): Promise<void> {
  let error: unknown;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error instanceof Error, "must be refused");
  check(error as Error);
}

/** A map whose lookups all depend on its own memory. */
function fill(engine: MemslotEngine, stamp: number): void {
  for (let slot = 0; slot < 40; slot++) {
    const guestPhysAddr = slot * 0x3000;
    engine.setUserMemoryRegion({
      slot,
      flags: slot & 1,
      guestPhysAddr,
      memorySize: 0x2000,
      userspaceAddr: stamp + guestPhysAddr,
    });
  }
}

function checkFilled(engine: MemslotEngine, stamp: number): void {
  for (let slot = 0; slot < 40; slot++) {
    assert.is(engine.gpaToHva(slot * 0x3000 + 0x1004), stamp + slot * 0x3000 + 0x1004);
    assert.is(engine.gpaToHva(slot * 0x3000 + 0x2000), -1);
  }
}

for (const shared of [true, false]) {
  const kind = shared ? "shared" : "unshared";

  test(`${kind}: an engine of fixed size writes nothing outside of it`, async () => {
    const memory = newMemory(8, 16, shared);
    const bytes = new Uint8Array(memory.buffer).fill(0xa5);
    const base = 0x10000;
    const size = 0x40000;
    const engine = await MemslotEngine.create({ memory, base, size });
    fill(engine, 0x100000);
    let slot = 100;
    throwsErrno(() => {
      for (; slot < 400; slot++) {
        engine.setUserMemoryRegion({ ...LOGGED, slot, guestPhysAddr: slot * 2 ** 31, memorySize: 2 ** 26 });
      }
    }, "ENOMEM");
    assert.is(engine.slot(slot), undefined);
    checkFilled(engine, 0x100000);
    assert.is(memory.buffer.byteLength, 8 * 65536);
    assert.ok(
      bytes.subarray(0, base).every((byte) => byte === 0xa5),
      "below the region",
    );
    assert.ok(
      bytes.subarray(base + size).every((byte) => byte === 0xa5),
      "above the region",
    );
    assert.is(engine.base, base);
  });

  test(`${kind}: without a size the engine grows the memory, and leaves the caller's pages alone`, async () => {
    const memory = newMemory(8, 64, shared);
    const engine = await MemslotEngine.create({ memory, base: 0 });
    const taken = new Uint8Array(memory.buffer);
    const before = taken.slice();
    const callersPage = memory.grow(1) * 65536;
    new Uint8Array(memory.buffer).fill(0x5a, callersPage, callersPage + 65536);
    fill(engine, 0x200000);
    engine.setUserMemoryRegion({ ...LOGGED, slot: 100, guestPhysAddr: 2 ** 32, memorySize: 2 ** 32 });
    engine.markDirty(2 ** 32 + 0x5000);
    assert.is(engine.getDirtyLog(100)[0], 1 << 5);
    checkFilled(engine, 0x200000);
    const now = new Uint8Array(memory.buffer);
    assert.ok(
      now.subarray(callersPage, callersPage + 65536).every((byte) => byte === 0x5a),
      "the caller's page",
    );
    const end = 0x38000;
    assert.equal(now.slice(end, 8 * 65536), before.slice(end), "behind what create needed");
  });

  test(`${kind}: without a base the engine starts at the end of the memory`, async () => {
    const memory = newMemory(1, 32, shared);
    const engine = await MemslotEngine.create({ memory });
    assert.is(engine.base, 65536);
    fill(engine, 0x300000);
    checkFilled(engine, 0x300000);
  });

  test(`${kind}: two engines in one memory do not disturb each other`, async () => {
    const memory = newMemory(1, 64, shared);
    const first = await MemslotEngine.create({ memory });
    const second = await MemslotEngine.create({ memory });
    fill(first, 0x100000);
    fill(second, 0x900000);
    first.setUserMemoryRegion({ ...LOGGED, slot: 99, guestPhysAddr: 2 ** 40, memorySize: 2 ** 33 });
    second.setUserMemoryRegion({ ...LOGGED, slot: 99, guestPhysAddr: 2 ** 40, memorySize: 2 ** 33 });
    first.markDirty(2 ** 40);
    checkFilled(first, 0x100000);
    checkFilled(second, 0x900000);
    assert.is(second.getDirtyLog(99).indexOf(1), -1);
    assert.is(first.getDirtyLog(99)[0], 1);
  });

  test(`${kind}: attach in the same thread sees and changes the same map`, async () => {
    const engine = await MemslotEngine.create({ shared, addressSpaces: 2 });
    const same = await MemslotEngine.attach(engine.handle);
    same.setUserMemoryRegion({
      slot: slotNumber(1, 0) | 3,
      flags: 0,
      guestPhysAddr: 0x5000,
      memorySize: 0x1000,
      userspaceAddr: 0x7000,
    });
    assert.is(engine.gpaToHva(0x5008, 1), 0x7008);
    assert.is(engine.generation(1), 3);
    assert.equal(engine.slots(1), same.slots(1));
    same.close();
    assert.throws(() => same.gpaToHva(0), /closed/);
    assert.throws(() => same.setUserMemoryRegionList([]), /closed/);
    assert.is(engine.gpaToHva(0x5008, 1), 0x7008);
  });

  test(`${kind}: a foreign or damaged memory is refused`, async () => {
    const engine = await MemslotEngine.create({ shared });
    const { module, base } = engine.handle;
    await rejects(MemslotEngine.attach({ module, base, memory: newMemory(4, 4, shared) }), (error) => {
      assert.match(error.message, /no engine at \d+: the magic number is 0x00000000, not 0x544c534d/);
    });
    const stamp = new Uint32Array(engine.memory.buffer, base, 2);
    stamp[1]! ^= 1;
    await rejects(MemslotEngine.attach(engine.handle), (error) =>
      assert.match(
        error.message,
        /another version.* layout is (0x[0-9a-f]{8}), that of this version (?!\1)0x[0-9a-f]{8}/,
      ),
    );
    stamp[1]! ^= 1;
    await rejects(MemslotEngine.attach({ ...engine.handle, base: 2 ** 20 }), (error) => {
      assert.match(error.message, /handle\.base/);
    });
    await rejects(MemslotEngine.attach({} as never), (error) =>
      assert.match(error.message, /handle\.module/),
    );
    await rejects(MemslotEngine.attach(undefined as never), (error) => assert.instance(error, TypeError));
    await MemslotEngine.attach(engine.handle);
  });
}

test("options are refused by name", async () => {
  const memory = newMemory(8, 8, false);
  const refused: [EngineOptions, RegExp][] = [
    [{ addressSpaces: 0 }, /addressSpaces must be from 1 to 4, not 0/],
    [{ addressSpaces: 5 }, /addressSpaces/],
    [{ maxSlots: 32765 }, /maxSlots must be from 1 to 32764/],
    [{ maxSlots: 1.5 }, /maxSlots must be an integer/],
    [{ maxVcpus: 1025 }, /maxVcpus/],
    [{ maxListEntries: 0 }, /maxListEntries/],
    [{ pageShift: 7 }, /pageShift must be from 8 to 30/],
    [{ pageShift: 31 }, /pageShift/],
    [{ maxPhysAddrBits: 12 }, /maxPhysAddrBits must be from 13 to 52/],
    [{ maxPhysAddrBits: 53 }, /maxPhysAddrBits/],
    [{ maxUserAddrBits: 31 }, /maxUserAddrBits must be from 32 to 52/],
    [{ maxUserAddrBits: 53 }, /maxUserAddrBits/],
    [{ maxSlots: "512" as never }, /maxSlots must be an integer, not "512"/],
    [{ memory: {} as never }, /memory must be a WebAssembly.Memory/],
    [{ base: 64 }, /need memory/],
    [{ memory, base: 32 }, /base must be a multiple of 64/],
    [{ memory, base: 0, size: 4096 }, /size must be at least/],
    [{ memory, base: 0, size: 64 }, /size must be at least/],
    [{ memory, base: 64, size: 8 * 65536 }, /base \+ size must lie inside the memory/],
    [{ memory, shared: true }, /shared is true, but memory is not shared/],
    [{ shared: 1 as never }, /shared must be a boolean/],
    [null as never, /options must be an object/],
  ];
  for (const [options, message] of refused) {
    await rejects(MemslotEngine.create(options), (error) => assert.match(error.message, message));
  }
});

test("a memory that cannot hold the engine is ENOMEM", async () => {
  const memory = newMemory(1, 2, false);
  await rejects(MemslotEngine.create({ memory }), (error) => {
    assert.instance(error, KvmError);
    assert.is((error as KvmError).code, "ENOMEM");
  });
});

test("a default engine takes less than 256 KiB", async () => {
  const engine = await MemslotEngine.create();
  assert.ok(engine.memory.buffer.byteLength < 256 * 1024, `${engine.memory.buffer.byteLength} bytes`);
});

test.run();
