/** Every check that refuses a commit is named in the error, with the value; so are the arguments of the edits. */
import {
  KvmError,
  MemslotEngine,
  mergeSlots,
  resizeSlot,
  type Slot,
  setReadonly,
  splitSlot,
  takeDirtyPages,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";

const R = (slot: number, guestPhysAddr: number | bigint, memorySize: number | bigint, more = {}) => ({
  slot,
  flags: 0,
  guestPhysAddr,
  memorySize,
  userspaceAddr: 0x10000,
  ...more,
});

function refused(work: () => unknown): KvmError {
  try {
    work();
  } catch (error) {
    assert.instance(error, KvmError);
    return error as KvmError;
  }
  throw new Error("must be refused");
}

const live = "cannot change while the slot is there";
const checks: [string, object, RegExp | string][] = [
  ["slot id", R(600, 0, 0x1000), "slot 0x258 must be asId << 16 | id, with asId below 2 and id below 512"],
  ["address space", R(0x20000, 0, 0x1000), "slot 0x20000 must be"],
  ["flags", R(1, 0, 0x1000, { flags: 8 }), "flags 0x8 must be LOG_DIRTY_PAGES, READONLY, both or 0"],
  ["size", R(1, 0, 0x1001), "memorySize 0x1001 is no multiple of the page size 0x1000"],
  ["gpa", R(1, 0x10, 0x1000), "guestPhysAddr 0x10 is no multiple of the page size 0x1000"],
  ["hva", R(1, 0, 0x1000, { userspaceAddr: 7 }), "userspaceAddr 0x7 is no multiple of the page size 0x1000"],
  [
    "user end",
    R(1, 0, 0x1000, { userspaceAddr: 2 ** 47 }),
    "userspaceAddr 0x800000000000 + memorySize 0x1000 is above",
  ],
  [
    "64 bits",
    R(1, 2n ** 64n - 0x1000n, 0x2000),
    "guestPhysAddr 0xfffffffffffff000 + memorySize 0x2000 is beyond 2^64",
  ],
  ["pages", R(1, 0, 2 ** 43), "memorySize 0x80000000000 has more than 2^31 - 1 pages"],
  ["no slot", R(1, 0, 0), "memorySize 0 deletes slot 1, which is not there"],
  [
    "width",
    R(1, 2 ** 40, 0x1000),
    "guestPhysAddr 0x10000000000 + memorySize 0x1000 is above 2^40 (maxPhysAddrBits)",
  ],
  ["host of a live slot", R(0, 0, 0x4000, { userspaceAddr: 0x20000 }), `userspaceAddr of slot 0 ${live}`],
  ["size of a live slot", R(0, 0, 0x5000), `memorySize of slot 0 ${live}`],
  ["READONLY of a live slot", R(0, 0, 0x4000, { flags: 2 }), `KVM_MEM_READONLY of slot 0 ${live}`],
  ["overlap", R(1, 0x3000, 0x1000), "slot 1 overlaps slot 0 of the same address space"],
];

test("every check of a region, alone and as the second entry of a list", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxPhysAddrBits: 40 });
  engine.setUserMemoryRegion(R(0, 0, 0x4000));
  for (const [what, region, reason] of checks) {
    const alone = refused(() => engine.setUserMemoryRegion(region as Slot));
    assert.ok(alone.message.includes(String(reason)), `${what}: ${alone.message}`);
    assert.is(alone.index, undefined);
    const inList = refused(() => engine.setUserMemoryRegionList([R(5, 0x100000, 0x1000), region as Slot]));
    assert.ok(inList.message.includes(`(entry 1): ${inList.code}, ${reason}`), `${what}: ${inList.message}`);
    assert.is(inList.index, 1);
  }
  assert.is(engine.publications, 1);
});

test("checks of guest_memfds", async () => {
  const engine = await MemslotEngine.create();
  const guestMemfd = engine.createGuestMemfd(0x4000);
  const bound = { flags: 4, guestMemfd, guestMemfdOffset: 0 };
  const set = (region: object) => refused(() => engine.setUserMemoryRegion2(region as Slot)).message;
  assert.match(
    set(R(1, 0, 0x1000, { ...bound, guestMemfdOffset: 1 })),
    /guestMemfdOffset 0x1 is no multiple/,
  );
  assert.match(set(R(1, 0, 0x5000, bound)), /beyond the end of guest_memfd 3/);
  engine.setUserMemoryRegion2(R(1, 0, 0x1000, bound) as Slot);
  assert.match(set(R(2, 0x10000, 0x1000, bound)), /another slot is bound to these bytes of guest_memfd 3/);
  assert.match(set(R(1, 0, 0x1000, bound)), /KVM_MEM_GUEST_MEMFD of slot 1 cannot change/);
  assert.match(set(R(2, 0, 0x1000, { flags: 5 })), /flags 0x5 must be .*, or GUEST_MEMFD or 0/);
});

test("checks of a new guest_memfd, of attributes, alone and in a list, and of a descriptor", async () => {
  const engine = await MemslotEngine.create({ pageShift: 14 });
  const file = (size: number | bigint, flags?: number) =>
    refused(() => engine.createGuestMemfd(size, flags)).message;
  const size = (given: string) =>
    `createGuestMemfd: EINVAL, size ${given} must be from 0x4000 to 2^53, in whole pages of 0x4000`;
  assert.is(file(0), size("0x0"));
  assert.is(file(0x1000), size("0x1000"));
  assert.is(file(2n ** 53n + 0x4000n), size("0x20000000004000"));
  assert.is(file(0x4000, 4), "createGuestMemfd: EINVAL, flags 0x4 must be GUEST_MEMFD_FLAG_* bits");
  assert.is(
    refused(() => engine.closeGuestMemfd(7)).message,
    "closeGuestMemfd: EBADF, descriptor 7 is no open guest_memfd",
  );
  const bound = R(1, 0, 0x4000, { flags: 4, guestMemfd: 9, guestMemfdOffset: 0 });
  assert.match(refused(() => engine.setUserMemoryRegion2(bound)).message, /EBADF, guestMemfd 9 is no open/);
  const whole = { address: 0x4000, size: 0x4000, attributes: 8 };
  const page = "no multiple of the page size 0x4000";
  for (const [change, reason] of [
    [{ flags: 1 }, "flags 0x1 must be 0"],
    [{ attributes: 16 }, "attributes 0x10 must be KVM_MEMORY_ATTRIBUTE_* bits"],
    [{ address: 0x1000 }, `address 0x1000 is ${page}`],
    [{ size: 0 }, "size 0x0 must be 0x4000 or more, in whole pages of 0x4000"],
    [{ size: 0x4001 }, "size 0x4001 must be 0x4000 or more, in whole pages of 0x4000"],
    [
      { address: 2n ** 64n - 0x4000n, size: 0x8000 },
      "address 0xffffffffffffc000 + size 0x8000 is 2^64 or beyond",
    ],
    [
      { address: 2n ** 64n - 0x4000n, size: 0x4000 },
      "address 0xffffffffffffc000 + size 0x4000 is 2^64 or beyond",
    ],
  ] as const) {
    const wrong = { ...whole, ...change };
    assert.is(
      refused(() => engine.setMemoryAttributes(wrong)).message,
      `setMemoryAttributes: EINVAL, ${reason}`,
    );
    const attributes = [whole, wrong];
    assert.is(
      refused(() => engine.setUserMemoryRegionList([], { attributes })).message,
      `setUserMemoryRegionList: EINVAL, attributes[1].${reason}`,
    );
  }
  assert.is(engine.publications, 0);
});

test("the dirty log and slot() say which number they refuse", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegion(R(0, 0, 0x10_0000, { flags: 1 }));
  const bitmap = new Uint8Array(64);
  const number = /EINVAL, slot 0x20000 must be asId << 16 \| id, with asId below 2 and id below 512/;
  for (const call of [
    () => engine.slot(0x20000),
    () => engine.getDirtyLog(0x20000),
    () => engine.clearDirtyLog(0x20000, 0, 64, bitmap),
    () => takeDirtyPages(engine, 0x20000, new Uint32Array(4)),
  ])
    assert.match(refused(call).message, number);
  for (const [first, count] of [
    [1, 64],
    [512, 64],
    [0, 63],
    [2n ** 40n, 64],
  ] as const) {
    const { message } = refused(() => engine.clearDirtyLog(0, first, count, bitmap));
    assert.match(message, new RegExp(`EINVAL, firstPage ${first} must be .* slot 0, and numPages ${count} `));
  }
});

test("EBUSY says who keeps what", async () => {
  const engine = await MemslotEngine.create();
  const vcpu = engine.vcpu();
  vcpu.enter();
  const dirty = refused(() => engine.setUserMemoryRegionList([R(0, 0, 0x1000)], { takeDirty: true }));
  assert.match(dirty.message, /takeDirty would wait for a section that this thread has open/);
  for (let i = 0; i < 3; i++) engine.setUserMemoryRegion(R(i, i * 0x1000, 0x1000));
  const spare = refused(() => engine.setUserMemoryRegion(R(9, 0x9000, 0x1000)));
  assert.match(spare.message, /readers keep every spare layout/);
  vcpu.exit();
  const other = await MemslotEngine.attach(engine.handle);
  other.pauseVcpus();
  engine.setUserMemoryRegionList([R(9, 0x9000, 0x1000)], { barrier: true });
  assert.match(refused(() => engine.pauseVcpus()).message, /the vCPUs are held already/);
  other.resumeVcpus();
});

test("the edits of slots name what they cannot use", () => {
  const slot: Slot = { slot: 0, flags: 0, guestPhysAddr: 0x1000, memorySize: 0x4000, userspaceAddr: 0x1000 };
  const calls: [() => unknown, RegExp][] = [
    [() => splitSlot(undefined as never, 0x2000, 1), /slot must be an object, not undefined/],
    [() => splitSlot({ ...slot, memorySize: 5n as never }, 0x2000, 1), /slot\.memorySize must be an integer/],
    [() => splitSlot(slot, 0x2000, 0), /upper must be another slot than 0/],
    [() => splitSlot(slot, 0x2000, "1" as never), /upper must be an integer/],
    [() => splitSlot(slot, 0x9000, 1), /gpa must lie inside the slot/],
    [() => setReadonly(slot, undefined as never), /readonly must be a boolean, not undefined/],
    [() => setReadonly(null as never, true), /slot must be an object, not null/],
    [() => mergeSlots(), /there must be a slot to merge/],
    [() => mergeSlots(slot, undefined as never), /slots\[1\] must be an object, not undefined/],
    [() => resizeSlot(undefined as never, {}), /slot must be an object, not undefined/],
    [() => resizeSlot(slot, { end: 1n as never }), /bounds\.end must be an integer/],
    [() => resizeSlot(slot, { start: "0" as never }), /bounds\.start must be an integer/],
  ];
  for (const [call, reason] of calls) assert.throws(call, reason);
});

test.run();
