/**
 * ENOMEM at every allocation of a list: nothing has happened, and the same list succeeds once there is room.
 */
import {
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type Slot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BITMAP_HEAD_BYTES, STAGING_ENTRIES_MIN } from "../../../src/core/layout.js";
import { throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { deletion, PAGE, region } from "../../support/region.js";

const PAGES = 2 ** 16;
/** Header of a block of the heap. */
const BLOCK_HEADER_BYTES = 8;
/** Heap of one slot: its bitmap twice, the head of the bitmap, and the header of the block. */
const BITMAP_BYTES = 2 * (PAGES / 8) + BITMAP_HEAD_BYTES + BLOCK_HEADER_BYTES;
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

function logged(slot: number, moved = 0): Slot {
  return region(slot, (slot * 2 + moved) * PAGES, PAGES, slot * PAGES, LOG);
}

function snapshot(engine: MemslotEngine): unknown {
  const log = engine.slots().filter(({ flags }) => flags & LOG);
  return {
    slots: engine.slots(),
    generation: engine.generation(),
    dirty: log.map(({ slot }) => Buffer.from(engine.getDirtyLog(slot)).toString("base64")),
    lookups: Array.from({ length: 4 * ENTRIES }, (_, i) => engine.gpaToHva(i * PAGES * (PAGE / 2))),
    hosts: engine.hvaToGpas(0, 2 ** 40),
  };
}

for (const shared of [true, false]) {
  test(`${shared ? "shared" : "unshared"}: a list whose n-th bitmap does not fit changes nothing`, async () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared });
    const fixed = await fixedBytes(memory);
    for (let room = 0; room < ENTRIES; room++) {
      const size = fixed + room * BITMAP_BYTES;
      const engine = await MemslotEngine.create({ memory, base: 0, size });
      // Manual protection, so that looking at a log does not take its bits.
      engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
      const before = Math.min(room, 3);
      for (let slot = 0; slot < before; slot++) {
        engine.setUserMemoryRegion(logged(slot));
        engine.markDirty((slot * 2 * PAGES + 7) * PAGE);
      }
      const state = snapshot(engine);
      const list = Array.from({ length: ENTRIES }, (_, slot) => logged(slot, slot < before ? 1 : 0));
      throwsErrno(() => engine.setUserMemoryRegionList(list), "ENOMEM", room);
      assert.equal(snapshot(engine), state, `room for ${room}`);
      checkInvariants(engine);
      if (room > before) engine.setUserMemoryRegionList(list.slice(0, room));
      assert.is(engine.slots().length, Math.max(room, before));
      for (let slot = 0; slot < before; slot++) assert.is(engine.getDirtyLog(slot)[0], 1 << 7);
    }
  });

  test(`${shared ? "shared" : "unshared"}: a list too long for the memory is ENOMEM, a shorter one works`, async () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared });
    const engine = await MemslotEngine.create({ memory, base: 0, size: await fixedBytes(memory) });
    const list = Array.from({ length: 200 }, (_, slot) => ({ ...logged(slot), flags: 0 }));
    throwsErrno(() => engine.setUserMemoryRegionList(list), "ENOMEM");
    assert.equal(engine.slots(), []);
    engine.setUserMemoryRegionList(list.slice(0, STAGING_ENTRIES_MIN));
    assert.is(engine.slots().length, STAGING_ENTRIES_MIN);
  });

  test(`${shared ? "shared" : "unshared"}: memory of freed bitmaps is used again, in any order of sizes`, async () => {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared });
    const engine = await MemslotEngine.create({
      memory,
      base: 0,
      size: (await fixedBytes(memory)) + 4 * BITMAP_BYTES,
    });
    const free = (slot: number) => engine.setUserMemoryRegion(deletion(slot));
    for (let round = 0; round < 50; round++) {
      for (const slot of [0, 1, 2, 3]) engine.setUserMemoryRegion(logged(slot));
      for (const slot of [2, 0, 3, 1]) free((slot + round) % 4);
      // Four blocks that came back one by one must hold one of four times the size, less the headers it
      // saves.
      engine.setUserMemoryRegion(region(9, 0, 4 * PAGES, 0, LOG));
      free(9);
    }
  });
}

test.run();
