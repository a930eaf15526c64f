/**
 * Guest memory and the vCPU's section: handlers run outside of it, entries of one layout are not used in another, marks
 * ahead of stores are made good when it ends, and a released vCPU refuses every call.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import {
  containsGuest,
  type GuestHole,
  type GuestMemory,
  guestMemory,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  readersOf,
  type Slot,
  type Vcpu,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dirtyPages } from "../../support/bitmap.js";
import { random } from "../../support/random.js";

const PAGE = 4096;
const SEED = Number(process.env.SEED ?? 5);
console.log(`seed ${SEED}`);

function region(slot: number, gfn: number, npages: number, host: number, flags = 0): Slot {
  return { slot, flags, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

async function world(...regions: Slot[]) {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 64 });
  engine.setUserMemoryRegionList(regions);
  const host = new Uint8Array(64 * PAGE);
  for (let page = 0; page < 64; page++) host.fill(page, page * PAGE, (page + 1) * PAGE);
  return { engine, host, vcpu: engine.vcpu() };
}

const inside = (engine: MemslotEngine, vcpu: Vcpu) =>
  readersOf(engine).find(({ reader }) => reader === vcpu.reader)!.inside;

/** Nestings of the vCPU's section, by ending them; none is left. */
function depthOf(engine: MemslotEngine, vcpu: Vcpu): number {
  let depth = 0;
  for (; inside(engine, vcpu); depth++) vcpu.exit();
  return depth;
}

const ACCESSES: Record<string, (memory: GuestMemory) => unknown> = {
  load: (memory) => memory.getUint32(40 * PAGE),
  store: (memory) => memory.setUint32(40 * PAGE, 1),
  fetch: (memory) => memory.fetchUint32(40 * PAGE),
  read: (memory) => memory.read(40 * PAGE, new Uint8Array(8)),
  write: (memory) => memory.write(40 * PAGE, new Uint8Array(8)),
  clear: (memory) => memory.clear(40 * PAGE, 8),
  atomic: (memory) => memory.atomics.add(40 * PAGE, 32, 1),
  crossing: (memory) => memory.getUint32(2 * PAGE - 2),
};

for (const [name, access] of Object.entries(ACCESSES)) {
  test(`${name}: the handler runs outside of the section, which goes on as deep, in the newest layout`, async () => {
    const { engine, host, vcpu } = await world(region(0, 1, 1, 1));
    const seen: boolean[] = [];
    const memory: GuestMemory = guestMemory(engine, host.buffer, {
      vcpu,
      onHole() {
        seen.push(inside(engine, vcpu));
        engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(0, 1, 1, 7)], { timeout: 0 });
        const hvas = new Float64Array(1);
        vcpu.translate(Float64Array.of(PAGE), hvas);
        assert.is(hvas[0], 7 * PAGE);
        assert.is(memory.getUint8(PAGE), 7);
        engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(0, 1, 1, 9)]);
      },
    });
    for (const depth of [0, 1, 3]) {
      engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(0, 1, 1, 1)]);
      for (let i = 0; i < depth; i++) vcpu.enter();
      assert.is(memory.getUint8(PAGE), 1);
      access(memory);
      assert.is(memory.getUint8(PAGE), 9);
      if (depth > 0) assert.is(vcpu.refresh(), true, "the layout changed since the vCPU's own last look");
      assert.is(vcpu.gpaToHva(PAGE), 9 * PAGE);
      assert.is(depthOf(engine, vcpu), depth);
    }
    assert.equal(seen, [false, false, false]);
    vcpu.release();
  });
}

test("a handler that throws, enters, exits or releases leaves the section as deep as it was", async () => {
  const { engine, host, vcpu } = await world(region(0, 1, 1, 1));
  let work = (): void => undefined;
  const memory = guestMemory(engine, host.buffer, { vcpu, onHole: () => work() });
  for (const body of [
    () => {
      throw new RangeError("the device is broken");
    },
    () => void vcpu.enter(),
    () => vcpu.exit(),
    () => void (vcpu.enter() && vcpu.enter()),
  ]) {
    work = body;
    vcpu.enter();
    vcpu.enter();
    assert.is(memory.getUint8(PAGE), 1);
    try {
      memory.getUint8(0);
    } catch (error) {
      assert.is((error as Error).message, "the device is broken");
    }
    assert.is(memory.getUint8(PAGE), 1);
    assert.is(depthOf(engine, vcpu), 2);
  }
  vcpu.enter();
  work = () => vcpu.release();
  memory.getUint8(0);
  assert.is(
    readersOf(engine).some(({ kind }) => kind === "vcpu"),
    false,
  );
});

test("a hole without a handler leaves the section and its layout alone", async () => {
  const { engine, host, vcpu } = await world(region(0, 1, 1, 1));
  const memory = guestMemory(engine, host.buffer, { vcpu });
  vcpu.enter();
  engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(0, 1, 1, 7)]);
  assert.throws(
    () => memory.getUint8(40 * PAGE),
    (error: unknown) => error instanceof KvmError,
  );
  assert.is(memory.getUint8(PAGE), 1);
  assert.is(depthOf(engine, vcpu), 1);
  vcpu.release();
});

test("an outermost section of the wasm ABI is left for a handler as well", async () => {
  const { engine, host, vcpu } = await world(region(0, 1, 1, 1));
  const { module, memory: linear } = engine.handle;
  const { exports } = new WebAssembly.Instance(module, { env: { memory: linear } });
  const raw = exports as Record<string, (reader: number) => number>;
  const seen: boolean[] = [];
  const memory = guestMemory(engine, host.buffer, {
    vcpu,
    onHole: () => void seen.push(inside(engine, vcpu)),
  });
  raw.enterSection!(vcpu.reader);
  vcpu.enter();
  memory.getUint8(0);
  vcpu.exit();
  assert.is(inside(engine, vcpu), true);
  raw.exitSection!(vcpu.reader);
  assert.is(inside(engine, vcpu), false);
  assert.equal(seen, [false]);
  vcpu.release();
});

test("a handler that commits is not refused while another thread commits as well", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 16, 0), region(1, 32, 1, 32)]);
  const host = new SharedArrayBuffer(64 * PAGE);
  const over = new Int32Array(new SharedArrayBuffer(4));
  const source = `
    const { workerData } = require("node:worker_threads");
    import("memslots").then(async ({ MemslotEngine, mergeSlots, splitSlot }) => {
      const engine = await MemslotEngine.attach(workerData.handle);
      while (Atomics.load(workerData.over, 0) === 0) {
        engine.setUserMemoryRegionList(splitSlot(engine.slot(0), 4096, 2));
        engine.setUserMemoryRegionList(mergeSlots(engine.slot(0), engine.slot(2)));
      }
    });`;
  const worker = new Worker(source, { eval: true, workerData: { handle: engine.handle, over } });
  const end = once(worker, "exit");
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host, {
    vcpu,
    onHole({ value }) {
      const bank = region(1, 32, 1, 32 + Number(value));
      engine.setUserMemoryRegionList([{ ...bank, memorySize: 0 }, bank]);
    },
  });
  for (let i = 0; i < 500; i++) {
    vcpu.enter();
    memory.setUint8(i % (16 * PAGE), i);
    memory.setUint32(60 * PAGE, i % 4, true);
    memory.setUint8(32 * PAGE, i);
    vcpu.exit();
    assert.is(new Uint8Array(host)[(32 + (i % 4)) * PAGE], i % 256);
  }
  Atomics.store(over, 0, 1);
  await end;
  vcpu.release();
});

test("an access over several devices crosses, as does one over a device and nothing", async () => {
  const { engine, host, vcpu } = await world(region(0, 1, 1, 1));
  engine.setUserMemoryRegionList([], {
    windows: [
      [
        { gpa: 0x10, bytes: 1, device: 1 },
        { gpa: 0x11, bytes: 1, device: 2, offset: 9 },
        { gpa: 0x12, bytes: 2, device: 3 },
        { gpa: 3 * PAGE - 8, bytes: 16, device: 4 },
      ],
    ],
  });
  const holes: GuestHole[] = [];
  const onHole = (hole: GuestHole) => void holes.push({ ...hole });
  const memory = guestMemory(engine, host.buffer, { vcpu, onHole });
  const told = (...expected: unknown[]) =>
    assert.equal(
      holes.splice(0).map(({ kind, at, device, offset }) => [kind, at, device, offset]),
      expected,
    );
  for (const warm of [false, true]) {
    if (warm) vcpu.enter();
    memory.setUint32(0x10, 0x44332211, true);
    told(["crosses", 0x10, 1, 0]);
    memory.setUint32(0x0e, 1, true);
    told(["crosses", 0x0e, 0, 0]);
    memory.setUint16(0x13, 1, true);
    told(["crosses", 0x13, 3, 1]);
    memory.setUint16(0x12, 1, true);
    told(["device", 0x12, 3, 0]);
    memory.getUint8(0x11);
    told(["device", 0x11, 2, 9]);
    memory.getUint32(3 * PAGE - 2, true);
    told(["device", 3 * PAGE - 2, 4, 6]);
    memory.setUint32(2 * PAGE - 2, 1, true);
    told(["crosses", 2 * PAGE, 0, 0]);
  }
  vcpu.release();
});

test("fetches are loads, and another part of memory than the data's", async () => {
  const { engine, host, vcpu } = await world(region(0, 1, 2, 1), region(1, 3, 1, 20, 2));
  const told: string[] = [];
  const memory = guestMemory(engine, host.buffer, { vcpu, onHole: ({ kind }) => void told.push(kind) });
  const view = new DataView(host.buffer);
  host.fill(0xaa, 2 * PAGE + 4, 3 * PAGE);
  for (const warm of [false, true, true]) {
    if (warm) vcpu.enter();
    for (const [gpa, hva] of [
      [PAGE, PAGE],
      [2 * PAGE - 2, 2 * PAGE - 2],
      [3 * PAGE + 8, 20 * PAGE + 8],
    ] as const) {
      for (const little of [true, false]) {
        assert.is(memory.fetchUint32(gpa, little), view.getUint32(hva, little));
        assert.is(memory.fetchUint16(gpa, little), view.getUint16(hva, little));
      }
      assert.is(memory.fetchUint8(gpa + 0.5), host[hva]);
      assert.is(memory.getUint8(PAGE), 1);
    }
    assert.is(memory.fetchUint32(3 * PAGE - 2, true), 0x1414_aaaa, "over two slots");
    assert.is(memory.fetchUint32(5 * PAGE), 0);
    assert.equal(told.splice(0), ["no-slot"]);
  }
  engine.setUserMemoryRegionList([region(0, 0, 0, 0), region(0, 1, 2, 30)]);
  assert.is(memory.fetchUint8(PAGE), 1, "the section's layout");
  vcpu.refresh();
  assert.is(memory.fetchUint8(PAGE), 30);
  vcpu.release();
  assert.throws(() => memory.fetchUint8(PAGE), /^the vCPU of this guest memory is released$/);
});

test("pages that share an entry, at any stride, are told apart", async () => {
  const engine = await MemslotEngine.create({ maxSlots: 2048 });
  const host = new Uint8Array(600 * PAGE);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host.buffer, { vcpu });
  const rng = random(SEED);
  for (const stride of [1, 2, 3, 4, 256, 1024, 2 ** 20, 2 ** 24, 2 ** 30]) {
    for (const { slot } of engine.slots()) engine.setUserMemoryRegion(region(slot, 0, 0, 0));
    const regions = Array.from({ length: 600 }, (_, i) => region(i, i * stride, 1, i, i % 3 === 0 ? LOG : 0));
    engine.setUserMemoryRegionList(regions);
    for (let i = 0; i < 600; i++) host[i * PAGE] = i % 251;
    const written = new Set<number>();
    vcpu.enter();
    for (let step = 0; step < 3000; step++) {
      const i = rng.int(600);
      assert.is(memory.getUint8(i * stride * PAGE), i % 251);
      if (rng.chance(0.3)) {
        memory.setUint8(i * stride * PAGE + 1, step);
        assert.is(host[i * PAGE + 1], step % 256);
        if (i % 3 === 0) written.add(i);
      }
      if (rng.chance(0.02)) {
        vcpu.exit();
        if (rng.chance(0.5)) {
          const found = regions.filter(
            ({ slot, flags }) => flags === LOG && engine.getDirtyLog(slot)[0] === 1,
          );
          assert.equal(
            found.map(({ slot }) => slot),
            [...written].sort((a, b) => a - b),
          );
          written.clear();
        }
        vcpu.enter();
      }
    }
    vcpu.exit();
  }
  vcpu.release();
});

/**
 * Pages of one address space. `must`: written since they were last harvested, so dirty once the section has ended.
 * `may`: harvested since, but in the section in which they were written, which marks them again when it ends.
 */
class Expected {
  readonly must = new Set<number>();
  readonly may = new Set<number>();

  /** @param over the section has ended */
  harvest(found: readonly number[], over: boolean): void {
    if (over) for (const page of this.must) assert.ok(found.includes(page), `page ${page} is missed`);
    for (const page of found) {
      assert.ok(this.must.has(page) || this.may.has(page), `page ${page} is made up`);
      if (this.must.delete(page) && !over) this.may.add(page);
    }
    if (over) this.may.clear();
  }
}

test("writes under harvests at any moment: none is missed once the section has ended, none is made up", async () => {
  for (let run = 0; run < 60; run++) {
    const rng = random(SEED * 100 + run);
    const { engine, host, vcpu } = await world(region(0, 0, 24, 0, LOG), region(1 << 16, 0, 24, 30, LOG));
    const memories = [0, 1].map(() => guestMemory(engine, host.buffer, { vcpu }));
    const expected = [new Expected(), new Expected()] as const;
    const harvest = (over: boolean) => {
      for (const asId of [0, 1] as const)
        expected[asId].harvest(dirtyPages(engine.getDirtyLog(asId << 16)), over);
    };
    for (let section = 0; section < 30; section++) {
      vcpu.enter();
      for (let step = rng.int(40); step > 0; step--) {
        const page = rng.int(24);
        const at = page * PAGE + rng.int(PAGE - 8);
        const memory = rng.pick(memories);
        if (rng.chance(0.7)) memory.setUint32(at, step, true);
        else if (rng.chance(0.5)) memory.write(at, Uint8Array.of(step));
        else memory.atomics.store(at, 8, step);
        expected[vcpu.asId as 0 | 1].must.add(page);
        if (rng.chance(0.1)) harvest(false);
        if (rng.chance(0.05)) vcpu.refresh();
        if (rng.chance(0.05)) vcpu.asId = 1 - vcpu.asId;
      }
      vcpu.exit();
      if (rng.chance(0.5)) harvest(true);
    }
    vcpu.release();
  }
});

test("one guestMemory more costs the others nothing: a vCPU knows none of them", async () => {
  const { engine, host, vcpu } = await world(region(0, 1, 1, 1));
  const registry = new Set<WeakRef<GuestMemory>>();
  for (let i = 0; i < 200; i++) {
    const memory = guestMemory(engine, host.buffer, { vcpu });
    vcpu.enter();
    assert.is(memory.getUint8(PAGE), 1);
    vcpu.exit();
    registry.add(new WeakRef(memory));
  }
  const { setFlagsFromString } = await import("node:v8");
  const { runInNewContext } = await import("node:vm");
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  await new Promise((resolve) => setImmediate(resolve));
  gc();
  const alive = [...registry].filter((ref) => ref.deref() !== undefined).length;
  assert.ok(alive < 20, `${alive} of 200 that nobody holds are alive`);
  vcpu.release();
});

test("a released vCPU refuses every call, and cannot touch the section of who has its line", async () => {
  const { engine, vcpu } = await world(region(0, 1, 1, 1));
  vcpu.enter();
  vcpu.release();
  const next = engine.vcpu();
  assert.is(next.reader, vcpu.reader);
  next.enter();
  for (const call of [
    () => vcpu.enter(),
    () => vcpu.exit(),
    () => vcpu.refresh(),
    () => vcpu.gpaToHva(PAGE),
    () => vcpu.gpaToHvaRead(PAGE),
    () => vcpu.resolve(PAGE),
    () => vcpu.resolvePrivate(PAGE),
    () => vcpu.gfnToSlot(1),
    () => vcpu.translate(new Float64Array(1), new Float64Array(1)),
    () => vcpu.markDirty(PAGE),
    () => vcpu.memoryAttributes(PAGE),
    () => vcpu.stats(),
    () => vcpu.kicked,
    () => vcpu.dirtyRingFull,
    () => vcpu.device,
    () => vcpu.offset,
    () => {
      vcpu.asId = 1;
    },
  ]) {
    assert.throws(
      call,
      (error: unknown) => error instanceof Error && error.message === "the vCPU is released",
    );
  }
  vcpu.release();
  assert.is(inside(engine, next), true);
  assert.is(next.gpaToHva(PAGE), PAGE);
  next.release();
});

test("what one guest memory found in another address space does not pass for what the other one armed", async () => {
  const { engine, host, vcpu } = await world(region(0, 0, 1, 1), region(0x1_0000, 0, 1, 2));
  const [one, other] = [0, 1].map(() => guestMemory(engine, host, { vcpu }));
  vcpu.enter();
  assert.is(one!.getUint8(0), 1);
  vcpu.asId = 1;
  // Finds, and accesses nothing.
  assert.is(containsGuest(one!, 0, 1), true);
  assert.is(containsGuest(one!, 0, 1, { write: true }), true);
  vcpu.asId = 0;
  assert.is(other!.getUint8(0), 1);
  assert.is(one!.getUint8(0), 1);
  one!.setUint8(0, 7);
  assert.equal([host[PAGE], host[2 * PAGE]], [7, 2]);
  vcpu.release();
});

test("blocks above 4 GiB by the run that a section has kept: bytes, log, and what lies behind the run", async () => {
  const FAR = 2 ** 20;
  const { engine, host, vcpu } = await world(region(0, FAR, 2, 1), region(1, FAR + 2, 1, 9, LOG));
  const holes: number[] = [];
  const memory = guestMemory(engine, host, { vcpu, onHole: ({ at }) => void holes.push(at) });
  const bytes = new Uint8Array(4);
  vcpu.enter();
  for (let round = 0; round < 3; round++) {
    const at = FAR * PAGE + 5 * round;
    memory.write(
      at + 1,
      new Uint8Array([11, 12, 13]).map((byte) => byte + round),
    );
    assert.is(memory.read(at, bytes), 4);
    assert.equal([...bytes], [1, 11 + round, 12 + round, 13 + round]);
    memory.write((FAR + 2) * PAGE + round, new Uint8Array([round]));
    assert.is(host[9 * PAGE + round], round);
    // Half in one slot, half in the next, and half in nothing.
    assert.is(memory.read((FAR + 2) * PAGE - 2, bytes), 4);
    assert.equal([...bytes.subarray(0, 2)], [2, 2]);
    assert.is(memory.read((FAR + 3) * PAGE - 2, bytes), 2);
  }
  assert.equal(holes, Array(3).fill((FAR + 3) * PAGE));
  vcpu.exit();
  assert.equal(dirtyPages(engine.getDirtyLog(1)), [0]);
  vcpu.release();
});

test("translate checks its arrays before its section, and leaves none open", async () => {
  const { engine, vcpu } = await world(region(0, 1, 1, 1));
  const good = new Float64Array(2);
  const engineWords = new Uint32Array(engine.memory.buffer, 0, 2);
  for (const [gpas, hvas, message] of [
    [new BigUint64Array(1), good, /^gpas must be a Float64Array, not \[object BigUint64Array\]$/],
    [good, new Float32Array(2), /^hvas must be a Float64Array/],
    [[1], good, /^gpas must be a Float64Array/],
    [good, undefined, /^hvas must be a Float64Array, not undefined$/],
    [engineWords, engineWords, /^gpas must be a Float64Array, not \[object Uint32Array\]$/],
  ] as const) {
    assert.throws(
      () => vcpu.translate(gpas as never, hvas as never),
      (error: unknown) => error instanceof TypeError && message.test(error.message),
    );
    assert.is(inside(engine, vcpu), false);
  }
  assert.throws(
    () => vcpu.translate(good, new Float64Array(1)),
    (error: unknown) => error instanceof RangeError,
  );
  assert.is(inside(engine, vcpu), false);
  vcpu.release();
});

test("a buffer that was detached is no memory, and leaves no section open", async () => {
  for (const inVcpu of [false, true]) {
    const { engine, vcpu } = await world(region(0, 0, 4, 0));
    const host = new ArrayBuffer(4 * PAGE);
    const memory = guestMemory(engine, host, inVcpu ? { vcpu } : {});
    const cache = memory.cache();
    cache.init(0, 8);
    if (inVcpu) vcpu.enter();
    memory.setUint32(0, 7, true);
    assert.is(memory.fetchUint32(0, true), 7);
    assert.is(memory.atomics.load(0, 32), 7);
    cache.read(new Uint8Array(4));
    structuredClone(host, { transfer: [host] });
    for (const access of [
      () => memory.getUint32(0),
      () => memory.setUint8(0, 1),
      () => memory.fetchUint8(0),
      () => memory.read(0, new Uint8Array(4)),
      () => memory.write(0, new Uint8Array(4)),
      () => memory.clear(0, 4),
      () => memory.atomics.load(0, 32),
    ]) {
      assert.throws(access, (error: unknown) => error instanceof KvmError && error.hole?.kind === "no-host");
    }
    assert.throws(
      () => cache.read(new Uint8Array(4)),
      (e: unknown) => e instanceof KvmError && e.code === "EFAULT",
    );
    if (inVcpu) vcpu.exit();
    engine.setUserMemoryRegionList([region(0, 0, 0, 0)], { timeout: 0 });
    assert.is(engine.gpaToHva(0), -1);
    vcpu.release();
  }
});

test("blocks are moved as by memmove, with a log, over slots, and over page borders", async () => {
  for (const flags of [0, LOG]) {
    for (const shared of [false, true]) {
      const engine = await MemslotEngine.create();
      // Slots behind each other for guest and host, and one behind them for the guest alone.
      engine.setUserMemoryRegionList([
        region(0, 0, 2, 0, flags),
        region(1, 2, 2, 2),
        region(2, 4, 2, 6, flags),
      ]);
      const ram = new Uint8Array(shared ? new SharedArrayBuffer(8 * PAGE) : new ArrayBuffer(8 * PAGE));
      const hvaOf = (gpa: number) => (gpa < 4 * PAGE ? gpa : gpa + 2 * PAGE);
      const vcpu = engine.vcpu();
      const memory = guestMemory(engine, ram.buffer, { vcpu });
      const rng = random(SEED);
      for (let step = 0; step < 200; step++) {
        for (let i = 0; i < ram.length; i++) ram[i] = rng.int(256);
        const want = ram.slice();
        const size = rng.int(2 * PAGE);
        const from = rng.int(6 * PAGE - size + 1);
        const hva = rng.int(8 * PAGE - size + 1);
        if (step % 2 === 0) vcpu.enter();
        if (rng.chance(0.5)) {
          for (let i = 0; i < size; i++) want[hvaOf(from + i)] = ram[hva + i]!;
          memory.write(from, ram.subarray(hva, hva + size));
        } else {
          for (let i = 0; i < size; i++) want[hva + i] = ram[hvaOf(from + i)]!;
          memory.read(from, ram.subarray(hva, hva + size));
        }
        if (step % 2 === 0) vcpu.exit();
        assert.equal(ram, want);
      }
      const cache = memory.cache();
      cache.init(16, 64);
      vcpu.enter();
      cache.read(new Uint8Array(8));
      for (let i = 0; i < 64; i++) ram[i] = i;
      cache.read(ram.subarray(20, 40), 0);
      assert.equal(
        [...ram.subarray(20, 40)],
        Array.from({ length: 20 }, (_, i) => 16 + i),
      );
      vcpu.release();
    }
  }
});

test("no address is a hole in every accessor alike, and a signed one is told as negative", async () => {
  const { engine, host, vcpu } = await world(region(0, 0, 4, 0));
  const memory = guestMemory(engine, host.buffer, { vcpu });
  for (const warm of [false, true]) {
    if (warm) vcpu.enter();
    memory.setUint8(0, memory.getUint8(0));
    for (const gpa of [
      Number.NaN,
      -100,
      -100.5,
      -4096,
      0x8000_0000 | 0,
      2 ** 52,
      2 ** 64,
      Number.POSITIVE_INFINITY,
    ]) {
      for (const [name, access] of Object.entries({
        getUint8: () => memory.getUint8(gpa),
        setFloat64: () => memory.setFloat64(gpa, 1),
        fetchUint16: () => memory.fetchUint16(gpa),
        read: () => memory.read(gpa, new Uint8Array(4)),
        write: () => memory.write(gpa, new Uint8Array(4)),
        clear: () => memory.clear(gpa, 4),
        "atomics.load": () => memory.atomics.load(gpa, 8),
        "atomics.exchange": () => memory.atomics.exchange(gpa, 8, 1),
      })) {
        assert.throws(access, (error: unknown) => {
          assert.ok(
            error instanceof KvmError && error.code === "EFAULT" && error.hole?.kind === "no-slot",
            name,
          );
          assert.is(error.message.includes("(negative)"), gpa < 0, error.message);
          return error.message.startsWith(`${name}: EFAULT`);
        });
      }
    }
    for (const gpa of [16n, 2n ** 60n]) {
      for (const access of [
        () => memory.getUint32(gpa as never),
        () => memory.setUint8(gpa as never, 1),
        () => memory.fetchUint8(gpa as never),
        () => memory.read(gpa as never, new Uint8Array(4)),
        () => memory.write(gpa as never, new Uint8Array(4)),
        () => memory.clear(gpa as never, 4),
        () => memory.atomics.load(gpa as never, 8),
        () => memory.cache().init(gpa as never, 8),
      ]) {
        assert.throws(access, (error: unknown) => error instanceof TypeError);
      }
    }
  }
  vcpu.release();
});

test.run();
