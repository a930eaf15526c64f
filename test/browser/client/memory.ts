/** Where the engine lives, the dirty log, and errors across modules. */
import {
  ERRNO,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_LOG_DIRTY_PAGES,
  KvmError,
  MemslotEngine,
} from "memslots";
import * as assert from "uvu/assert";
import { PAGE, region } from "../../support/region.js";
import { WHOLE } from "./layouts.js";
import type { Remote } from "./remote.js";
import type { Facts } from "./scenarios.js";
import { end, refusal, world } from "./world.js";

const PATTERN = 0xa5;
const WASM_PAGE = 65536;

/** A worker commits and reads through an engine in the middle of the page's own memory. */
async function ownMemory(): Promise<Facts> {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 64, shared: true });
  const bytes = new Uint8Array(memory.buffer).fill(PATTERN);
  const place = { base: 2 * WASM_PAGE, size: 8 * WASM_PAGE };
  const all = await world(1, { memory, ...place });
  const { engine } = all;
  const [worker] = all.workers as [Remote];
  assert.is(engine.memory, memory);
  assert.is(engine.base, place.base);
  assert.is(await worker.run("commitList", [region(7, 100, 8, 300)]), true);
  assert.is(engine.gpaToHva(101 * PAGE), 301 * PAGE);
  assert.equal(await worker.run("read", [101 * PAGE, 99 * PAGE]), [301 * PAGE, -1]);
  await end(all);
  const untouched = (part: Uint8Array) => part.every((byte) => byte === PATTERN);
  assert.ok(untouched(bytes.subarray(0, place.base)), "below the engine");
  assert.ok(untouched(bytes.subarray(place.base + place.size)), "above the engine");
  assert.is(memory.buffer.byteLength, 16 * WASM_PAGE);
  return {};
}

/** The memory grows under a worker's feet. */
async function growing(): Promise<Facts> {
  const all = await world(1);
  const { engine } = all;
  const [worker] = all.workers as [Remote];
  const before = engine.memory.buffer.byteLength;
  for (let slot = 1; slot <= 200; slot++) {
    const list = [region(slot, slot * 2 ** 20, 2 ** 16, slot, KVM_MEM_LOG_DIRTY_PAGES)];
    if (slot % 2 === 0) engine.setUserMemoryRegionList(list);
    else await worker.run("commitList", list);
  }
  const after = engine.memory.buffer.byteLength;
  assert.ok(after > before);
  const gpas = Array.from({ length: 200 }, (_, i) => (i + 1) * 2 ** 20 * PAGE);
  const hvas = gpas.map((_, i) => (i + 1) * PAGE);
  assert.equal(
    gpas.map((gpa) => engine.gpaToHva(gpa)),
    hvas,
  );
  assert.equal(await worker.run("read", gpas), hvas);
  await worker.run("markDirty", [gpas[199]! + PAGE]);
  assert.is(engine.getDirtyLog(200)[0], 2);
  await end(all);
  return { grownBytes: after - before };
}

/** Worker and page mark pages, the page harvests: by taking, and by clearing under manual protection. */
async function dirtyLog(): Promise<Facts> {
  const all = await world(1);
  const { engine } = all;
  const [worker] = all.workers as [Remote];
  engine.setUserMemoryRegionList([{ ...WHOLE[0]!, flags: KVM_MEM_LOG_DIRTY_PAGES }]);
  const bits = (...pages: number[]) => {
    const bitmap = new Uint8Array(8);
    for (const page of pages) bitmap[page >> 3]! |= 1 << (page & 7);
    return bitmap;
  };
  await worker.run("markDirty", [0, 9 * PAGE + 5]);
  engine.markDirty(63 * PAGE);
  assert.equal(engine.getDirtyLog(0), bits(0, 9, 63));
  assert.equal(engine.getDirtyLog(0), bits());
  engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
  await worker.run("markDirty", [PAGE, 2 * PAGE]);
  assert.equal(engine.getDirtyLog(0), bits(1, 2));
  engine.clearDirtyLog(0, 0, 64, bits(1));
  assert.equal(engine.getDirtyLog(0), bits(2), "not asked to be cleared");
  await end(all);
  return {};
}

/** The error class is one, whoever imports it; each realm has its own. */
async function errors(): Promise<Facts> {
  const all = await world(1);
  const { engine } = all;
  const again = (await import("./errors.js")) as typeof import("./errors.js");
  const error = await refusal(() => again.refuse(engine));
  assert.instance(error, KvmError);
  assert.instance(error, Error);
  assert.is(again.OtherKvmError, KvmError);
  assert.equal([(error as KvmError).errno, (error as KvmError).code], [-ERRNO.EINVAL, "EINVAL"]);
  assert.is(await all.workers[0]!.run("refusal"), "EINVAL");
  assert.instance(engine, MemslotEngine);
  await end(all);
  return { message: (error as KvmError).message };
}

export const MEMORY = {
  "an engine inside the page's own memory": ownMemory,
  "a memory that grows": growing,
  "dirty log of pages that workers mark": dirtyLog,
  "KvmError is one class": errors,
};
