/**
 * ENOMEM at every allocation of a list: nothing has happened, and the same list succeeds once there is room.
 */
import { KvmError, MemslotEngine, type RegionLike } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkInvariants } from "../support/invariants.js";

const PAGES = 2 ** 16;
/** Both halves of the bitmap of one slot, what lies before it, and the header of its block. */
const BITMAP_BYTES = 2 * (PAGES / 8) + 16 + 8;
const ENTRIES = 12;

/** Bytes of an engine without any heap, found from the refusal of one that is too small. */
async function fixedBytes(memory: WebAssembly.Memory): Promise<number> {
  try {
    await MemslotEngine.create({ memory, base: 0, size: 4096 });
  } catch (error) {
    return Number(/at least (\d+)/.exec((error as Error).message)?.[1]);
  }
  throw new Error("an engine of 4096 bytes was made");
}

function logged(slot: number, moved = 0): RegionLike {
  const guestPhysAddr = (slot * 2 + moved) * PAGES * 4096;
  return { slot, flags: 1, guestPhysAddr, memorySize: PAGES * 4096, userspaceAddr: slot * PAGES * 4096 };
}

function snapshot(engine: MemslotEngine): unknown {
  const log = engine.slots().filter(({ flags }) => flags & 1);
  return {
    slots: engine.slots(),
    generation: engine.generation(),
    dirty: log.map(({ slot }) => Buffer.from(engine.getDirtyLog(slot)).toString("base64")),
    lookups: Array.from({ length: 4 * ENTRIES }, (_, i) => engine.gpaToHva(i * PAGES * 2048)),
    hosts: engine.hvaToGpas(0, 2 ** 40),
  };
}

for (const shared of [true, false]) {
  test(`${shared ? "shared" : "unshared"}: every bitmap of a list may be the one that does not fit`, async () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared });
    const fixed = await fixedBytes(memory);
    for (let room = 0; room < ENTRIES; room++) {
      const size = fixed + room * BITMAP_BYTES;
      const engine = await MemslotEngine.create({ memory, base: 0, size });
      // Manual protection, so that looking at a log does not take its bits.
      engine.enableCap(168, 1);
      const before = Math.min(room, 3);
      for (let slot = 0; slot < before; slot++) {
        engine.setUserMemoryRegion(logged(slot));
        engine.markDirty(slot * 2 * PAGES * 4096 + 0x7000);
      }
      const state = snapshot(engine);
      const list = Array.from({ length: ENTRIES }, (_, slot) => logged(slot, slot < before ? 1 : 0));
      assert.throws(
        () => engine.setUserMemoryRegionList(list),
        (error: unknown) => error instanceof KvmError && error.code === "ENOMEM" && error.index === room,
        `entry ${room} does not fit`,
      );
      assert.equal(snapshot(engine), state, `room for ${room}`);
      checkInvariants(engine);
      if (room > before) engine.setUserMemoryRegionList(list.slice(0, room));
      assert.is(engine.slots().length, Math.max(room, before));
      for (let slot = 0; slot < before; slot++) assert.is(engine.getDirtyLog(slot)[0], 1 << 7);
    }
  });

  test(`${shared ? "shared" : "unshared"}: too long a list is ENOMEM, a shorter one works`, async () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared });
    const engine = await MemslotEngine.create({ memory, base: 0, size: await fixedBytes(memory) });
    const list = Array.from(
      { length: 200 },
      (_, slot) => ({ ...(logged(slot) as object), flags: 0 }) as RegionLike,
    );
    assert.throws(
      () => engine.setUserMemoryRegionList(list),
      (error: unknown) => error instanceof KvmError && error.code === "ENOMEM",
    );
    assert.equal(engine.slots(), []);
    engine.setUserMemoryRegionList(list.slice(0, 128));
    assert.is(engine.slots().length, 128);
  });

  test(`${shared ? "shared" : "unshared"}: freed bitmaps are found again, in any order of sizes`, async () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared });
    const engine = await MemslotEngine.create({
      memory,
      base: 0,
      size: (await fixedBytes(memory)) + 4 * BITMAP_BYTES,
    });
    const free = (slot: number) =>
      engine.setUserMemoryRegion({ ...(logged(slot) as object), memorySize: 0 } as RegionLike);
    for (let round = 0; round < 50; round++) {
      for (const slot of [0, 1, 2, 3]) engine.setUserMemoryRegion(logged(slot));
      for (const slot of [2, 0, 3, 1]) free((slot + round) % 4);
      // Four blocks that came back one by one must hold one of four times the size, less the headers it
      // saves.
      engine.setUserMemoryRegion({
        slot: 9,
        flags: 1,
        guestPhysAddr: 0,
        memorySize: 4 * PAGES * 4096,
        userspaceAddr: 0,
      });
      free(9);
    }
  });
}

test.run();
