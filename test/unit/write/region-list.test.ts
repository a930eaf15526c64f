/** The RFC's struct kvm_userspace_memory_region_list as bytes: written, read, and taken as a list. */
import {
  decodeUserspaceMemoryRegionList,
  encodeUserspaceMemoryRegionList,
  KvmError,
  MemslotEngine,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";

const code = (name: string) => (error: unknown) => error instanceof KvmError && error.code === name;
const SLOTS = [
  { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 0x2000, userspaceAddr: 0x10_0000 },
  { slot: 1, flags: 2, guestPhysAddr: 0x1_0000_0000, memorySize: 0x1000, userspaceAddr: 0x7fff_0000_0000 },
];

test("header and entries are where the RFC has them", () => {
  const bytes = encodeUserspaceMemoryRegionList([...SLOTS, { ...SLOTS[0]!, memorySize: 0 }]);
  const view = new DataView(bytes.buffer);
  assert.is(bytes.length, 8 + 3 * 64);
  assert.equal([view.getUint32(0, true), view.getUint32(4, true)], [3, 0]);
  assert.equal([view.getUint32(72, true), view.getUint32(76, true)], [1, 2]);
  const fields = [80, 88, 96].map((at) => Number(view.getBigUint64(at, true)));
  assert.equal(fields, [0x1_0000_0000, 0x1000, 0x7fff_0000_0000]);
  assert.equal([bytes[8 + 32], bytes[72 + 32], bytes[136 + 32]], [0, 0, 1], "invalidate_slot of a delete");
  const numbers = decodeUserspaceMemoryRegionList(bytes).map((region) => Number(region.memorySize));
  assert.equal(numbers, [0x2000, 0x1000, 0]);
});

test("the engine takes them as a list; a refusal has the RFC's errno, the cap the engine's", async () => {
  const engine = await MemslotEngine.create({ maxListEntries: 3 });
  const bytes = encodeUserspaceMemoryRegionList(SLOTS);
  assert.ok(engine.setUserMemoryRegionList(bytes).published);
  assert.equal(engine.slots(), SLOTS);
  const list = (given: Uint8Array) => () => engine.setUserMemoryRegionList(given);
  for (let end = 0; end < bytes.length; end++)
    assert.throws(list(bytes.subarray(0, end)), code("EFAULT"), `${end}`);
  for (let bit = 0; bit < 32; bit++) {
    const flagged = bytes.slice();
    new DataView(flagged.buffer).setUint32(4, 2 ** bit, true);
    assert.throws(list(flagged), code("EINVAL"), `flag ${bit}`);
  }
  const many = new Uint8Array(8);
  new DataView(many.buffer).setUint32(0, 4, true);
  assert.throws(list(many), code("E2BIG"));
  assert.is(engine.setUserMemoryRegionList(new Uint8Array(8)).published, false, "nent 0 is nothing");
  const deletes = encodeUserspaceMemoryRegionList(SLOTS.map((slot) => ({ ...slot, memorySize: 0 })));
  assert.ok((await engine.setUserMemoryRegionListAsync(deletes)).published);
  assert.equal(engine.slots(), []);
  const bad = encodeUserspaceMemoryRegionList([SLOTS[0]!, { ...SLOTS[1]!, flags: 0x80 }]);
  assert.throws(list(bad), (error: unknown) => code("EINVAL")(error) && (error as KvmError).index === 1);
});

test.run();
