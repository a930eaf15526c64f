/** Watches, pieces and copies: what a debugger and devices ask of guest memory. */
import {
  containsGuest,
  copyGuest,
  type GuestMemory,
  guestMemory,
  guestPieces,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  KVM_MEM_READONLY as RO,
  type WatchedAccess,
  type WatchOptions,
  watchGuest,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { random } from "../../support/random.js";
import { PAGE, region } from "../../support/region.js";

async function world() {
  const engine = await MemslotEngine.create();
  // Guest pages 0 to 3 are host pages 0, 1, 3, 2; a device is over page 1, page 9 mirrors page 0.
  engine.setUserMemoryRegionList([region(0, 0, 2, 0, LOG), region(1, 2, 1, 3, LOG), region(2, 3, 1, 2, RO)], {
    windows: [
      [
        { gpa: PAGE + 8, bytes: 4, device: 0, over: true },
        { gpa: 9 * PAGE, bytes: PAGE, mirrorOf: 0 },
      ],
    ],
  });
  const vcpu = engine.vcpu();
  const host = new Uint8Array(new SharedArrayBuffer(4 * PAGE));
  const memory = guestMemory(engine, host, { vcpu, devices: [{ read: () => 0x55, write() {} }] });
  return { engine, vcpu, host, memory };
}

function watch(memory: GuestMemory, options: WatchOptions) {
  const seen: WatchedAccess[] = [];
  const end = watchGuest(memory, options, (access) => seen.push(access));
  return {
    end,
    take: () => seen.splice(0).map(({ gpa, bytes, value, write }) => [gpa, bytes, value, write]),
  };
}

for (const inside of [true, false]) {
  const where = inside ? "in a section" : "outside of sections";

  test(`${where}: a watch sees the accesses to its bytes, and no others`, async () => {
    const { memory, vcpu } = await world();
    if (inside) vcpu.enter();
    memory.setUint32(0x100, 1);
    assert.is(memory.fetchUint8(0x103), 1);
    const writes = watch(memory, { gpa: 0x102, bytes: 2 });
    const reads = watch(memory, { gpa: 0x104, bytes: 1, reads: true });
    const fetches = watch(memory, { gpa: 0x103, bytes: 1, fetches: true });
    for (let round = 0; round < 2; round++) {
      memory.setUint16(0x100, 7);
      memory.setUint32(0x100, 0x01020304);
      memory.setFloat32(0x103, 1.5, true);
      memory.setUint8(0x104, 7);
      assert.equal(writes.take(), [
        [0x100, 4, 0x01020304, true],
        [0x103, 4, 0x3fc00000, true],
      ]);
      assert.is(memory.getUint8(0x104), 7);
      assert.is(memory.getUint8(0x103), 0);
      assert.equal(reads.take(), [[0x104, 1, 7, false]]);
      assert.is(memory.fetchUint16(0x102), 0x0300);
      assert.equal(fetches.take(), [[0x102, 2, 0x0300, false]]);
      memory.write(0xf0, new Uint8Array(0x20));
      memory.write(0xf0, new Uint8Array(0x10));
      assert.is(memory.atomics.add(0x100, 32, 5), 0);
      memory.clear(0x80, 0x100);
      assert.is(writes.take().length, 3);
      memory.setUint16(9 * PAGE + 0x103, 1, true);
      assert.equal(writes.take(), [[9 * PAGE + 0x103, 2, 1, true]], "through a mirror");
      copyGuest(memory, 0x103, 0x200, 1);
      guestPieces(memory, 0x100, 8, { write: true });
      guestPieces(memory, 0x100, 8);
      assert.equal(
        writes.take().map(([gpa]) => gpa),
        [0x103, 0x100],
      );
      assert.equal(reads.take().length, 1);
      assert.equal(fetches.take(), []);
    }
    for (const { end } of [writes, reads, fetches]) {
      end();
      end();
    }
    memory.setUint32(0x100, 9);
    memory.getUint32(0x104);
    assert.equal([...writes.take(), ...reads.take()], []);
  });
}

test("a watch of a device's registers, and of an access over memory and registers", async () => {
  const { memory } = await world();
  const { take } = watch(memory, { gpa: PAGE + 9, bytes: 1, reads: true, writes: true });
  assert.is(memory.getUint8(PAGE + 9), 0x55);
  memory.setUint32(PAGE + 6, 5, true);
  memory.setUint8(PAGE + 8, 5);
  assert.equal(take(), [
    [PAGE + 9, 1, 0x55, false],
    [PAGE + 6, 4, 5, true],
  ]);
});

test("a handler runs outside of the section and may use the memory, change the map, end its watch", async () => {
  const { engine, memory, vcpu } = await world();
  const end = watchGuest(memory, { gpa: 0, bytes: 4 }, ({ value }) => {
    memory.setUint32(0x10, Number(value) + 1);
    engine.setUserMemoryRegionList([region(3, 20, 1, 0)], { timeout: 0 });
    end();
  });
  vcpu.enter();
  memory.setUint32(0, 5);
  assert.is(memory.getUint32(0x10), 6);
  assert.is(memory.getUint32(20 * PAGE), 5);
  memory.setUint32(0, 6);
  assert.is(memory.getUint32(0x10), 6);
  vcpu.exit();
});

test("a thousand watched pages: each store to one is seen, no other", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 4000, 0));
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, new ArrayBuffer(4000 * PAGE), { vcpu });
  const seen: number[] = [];
  const ends = Array.from({ length: 1000 }, (_, i) =>
    watchGuest(memory, { gpa: 4 * i * PAGE, bytes: PAGE }, ({ gpa }) => seen.push(gpa)),
  );
  const rng = random(1);
  const expected: number[] = [];
  vcpu.enter();
  for (let i = 0; i < 20_000; i++) {
    const gpa = rng.int(4000 * PAGE);
    memory.setUint8(gpa, 1);
    if (Math.floor(gpa / PAGE) % 4 === 0) expected.push(gpa);
  }
  vcpu.exit();
  assert.equal(seen, expected);
  for (const end of ends) end();
  memory.setUint8(0, 1);
  assert.is(seen.length, expected.length);
});

test("pieces are views of the host bytes, in order, and dirty when they are to be written", async () => {
  const { engine, memory, host, vcpu } = await world();
  vcpu.enter();
  const pieces = guestPieces(memory, PAGE + 12, 2 * PAGE - 20, { write: true });
  assert.equal(
    pieces.map(({ byteOffset, length }) => [byteOffset, length]),
    [
      [PAGE + 12, PAGE - 12],
      [3 * PAGE, PAGE - 8],
    ],
  );
  assert.equal([engine.getDirtyLog(0)[0], engine.getDirtyLog(1)[0]], [2, 1]);
  pieces[1]!.fill(7);
  vcpu.exit();
  assert.equal([engine.getDirtyLog(0)[0], engine.getDirtyLog(1)[0]], [2, 1], "written after the harvest");
  assert.is(host[3 * PAGE], 7);
  assert.is(guestPieces(memory, 0, 2 * PAGE - 4096 + 8).length, 1, "neighbours in host memory are one");
  const neighbours = await MemslotEngine.create();
  neighbours.setUserMemoryRegionList([region(0, 0, 1, 0), region(1, 1, 1, 1), region(2, 2, 1, 3)]);
  assert.equal(
    guestPieces(guestMemory(neighbours, host), 8, 3 * PAGE - 8).map(({ byteOffset, length }) => [
      byteOffset,
      length,
    ]),
    [
      [8, 2 * PAGE - 8],
      [3 * PAGE, PAGE],
    ],
    "those of two slots, too",
  );
  const hole = (at: number, kind: string) => (error: { hole: { at: number; kind: string } }) =>
    error.hole.at === at && error.hole.kind === kind;
  assert.throws(() => guestPieces(memory, 0, 2 * PAGE), hole(PAGE + 8, "device"));
  assert.throws(() => guestPieces(memory, 3 * PAGE - 4, 8, { write: true }), hole(3 * PAGE, "read-only"));
  assert.equal(guestPieces(memory, 50 * PAGE, 0), []);
  assert.not(containsGuest(memory, 0, 2 * PAGE));
  assert.ok(containsGuest(memory, 2 * PAGE, 2 * PAGE));
  assert.not(containsGuest(memory, 2 * PAGE, 2 * PAGE, { write: true }));
  assert.not(containsGuest(memory, Number.NaN, 1));
  assert.equal([engine.getDirtyLog(0)[0], engine.getDirtyLog(1)[0]], [0, 0]);
});

test("a copy moves bytes over any slots as memmove, whole or not at all", async () => {
  const { memory, host } = await world();
  const rng = random(2);
  for (let round = 0; round < 500; round++) {
    for (let i = 0; i < host.length; i++) host[i] = rng.int(256);
    const [from, to] = [PAGE + 12 + rng.int(2 * PAGE), PAGE + 12 + rng.int(2 * PAGE - 12)];
    const bytes = Math.min(rng.int(PAGE), 4 * PAGE - from, 3 * PAGE - to);
    const expected = new Uint8Array(bytes);
    memory.read(from, expected);
    copyGuest(memory, to, from, bytes);
    const moved = new Uint8Array(bytes);
    memory.read(to, moved);
    assert.equal(moved, expected);
  }
  const before = host.slice();
  for (const [to, from] of [
    [PAGE, 2 * PAGE],
    [2 * PAGE, PAGE],
    [3 * PAGE, 0],
  ] as const) {
    assert.throws(() => copyGuest(memory, to, from, 100), /^KvmError: copyGuest: EFAULT|EFAULT/);
  }
  assert.equal(host, before);
});

test("blocks are read into and written from any array, shared memory among them", async () => {
  const { memory, host } = await world();
  for (let i = 0; i < 64; i++) host[i] = i;
  const canvas = new Uint8ClampedArray(new SharedArrayBuffer(16), 4, 8);
  assert.is(memory.read(8, canvas), 8);
  assert.equal([...canvas], [8, 9, 10, 11, 12, 13, 14, 15]);
  const words = new Uint16Array(4);
  assert.is(memory.read(0, words), 8);
  assert.is(words[1], 0x0302);
  assert.is(memory.write(32, new DataView(words.buffer, 2, 2)), 2);
  assert.equal([...host.subarray(32, 35)], [2, 3, 34]);
});

test("host memory may be part of a buffer, at any host address", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 2, 1));
  const whole = new Uint8Array(3 * PAGE);
  const host = [
    { memory: new Uint16Array(whole.buffer, 2, PAGE / 2), hostAddr: PAGE },
    { memory: Buffer.from(whole.buffer, PAGE + 6, 101), hostAddr: 2 * PAGE + 3 },
  ];
  const memory = guestMemory(engine, host);
  memory.setUint8(0, 1);
  memory.setUint32(PAGE + 3, 0x02030405);
  assert.is(whole[2], 1);
  assert.is(whole[PAGE + 6], 2);
  const kind = (expected: string) => (error: { hole: { kind: string } }) => error.hole.kind === expected;
  assert.throws(() => memory.getUint8(PAGE), kind("no-host"));
  assert.throws(() => memory.getUint8(PAGE + 104), kind("no-host"));
  assert.is(memory.getUint8(PAGE + 103), 0);
  assert.is(memory.atomics.add(2, 16, 3), 0);
  assert.throws(() => memory.atomics.add(PAGE + 4, 32, 3), /must be a multiple of 4/);
});

test("bad arguments are refused by name", async () => {
  const { memory } = await world();
  const handler = () => {};
  assert.throws(
    () => watchGuest(7 as never, { gpa: 0, bytes: 1 }, handler),
    /^memory must be a GuestMemory, not 7/,
  );
  assert.throws(() => watchGuest(memory, { gpa: 0, bytes: 0 }, handler), /^bytes must be above 0/);
  assert.throws(() => watchGuest(memory, { gpa: -1, bytes: 1 }, handler), /^gpa must be/);
  assert.throws(
    () => watchGuest(memory, { gpa: 0, bytes: 1, write: true } as never, handler),
    /write is unknown/,
  );
  assert.throws(() => watchGuest(memory, { gpa: 0, bytes: 1 }, 1 as never), /^handler must be a function/);
  assert.throws(() => copyGuest(memory, "0" as never, 0, 1), /^to must be a number/);
  assert.throws(() => copyGuest(memory, 0, 0, -1), /^bytes must be/);
  assert.throws(() => guestPieces(memory, 0, 1, { write: 1 as never }), /^write must be a boolean/);
  assert.throws(() => containsGuest({} as never, 0, 1), /^memory must be a GuestMemory/);
});

test.run();
