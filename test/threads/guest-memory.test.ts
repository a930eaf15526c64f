/** Atomic operations on guest memory: against JavaScript's own, their refusals, and between threads. */
import { Worker } from "node:worker_threads";
import {
  type AtomicBits,
  type GuestHole,
  guestMemory,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { deletion, PAGE, region } from "../support/region.js";

const WATCHDOG_MS = 30_000;

const BITS: readonly AtomicBits[] = [8, 16, 32, 64];
const OPERATIONS = ["add", "sub", "and", "or", "xor", "exchange", "store"] as const;

/** What `operation` leaves, in arithmetic without width. */
function after(operation: (typeof OPERATIONS)[number], before: bigint, value: bigint): bigint {
  switch (operation) {
    case "add":
      return before + value;
    case "sub":
      return before - value;
    case "and":
      return before & value;
    case "or":
      return before | value;
    case "xor":
      return before ^ value;
    default:
      return value;
  }
}

test("each operation at each width changes its bytes and no others, answers what was there, and marks", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 1, 1, 2, LOG));
  const host = new SharedArrayBuffer(4 * PAGE);
  const view = new DataView(host);
  const { atomics } = guestMemory(engine, host);
  for (const bits of BITS) {
    const size = bits / 8;
    const mask = 2n ** BigInt(bits) - 1n;
    const wide = (value: bigint) => (bits === 64 ? value : Number(value)) as number & bigint;
    const word = (at: number) => view.getBigUint64(at, true);
    for (const operation of OPERATIONS) {
      const gpa = PAGE + 64 - size;
      const at = 2 * PAGE + 56;
      const start = 0xf1e2_d3c4_b5a6_9788n;
      view.setBigUint64(at, start, true);
      view.setBigUint64(at + 8, start, true);
      const shift = BigInt(64 - bits);
      const before = (start >> shift) & mask;
      const value = 0x9a3b_5c7d_1e2f_4a61n & mask;
      const told = atomics[operation](gpa, bits, wide(value));
      const kept = start & ((1n << shift) - 1n);
      const expected = ((after(operation, before, value) & mask) << shift) | kept;
      assert.is(word(at), expected, `${operation} ${bits}`);
      assert.is(word(at + 8), start, `${operation} ${bits}`);
      assert.is(BigInt(told), operation === "store" ? value : before);
      assert.is(engine.getDirtyLog(0)[0], 1);
    }
    view.setBigUint64(2 * PAGE, 5n, true);
    assert.is(BigInt(atomics.compareExchange(PAGE, bits, wide(6n), wide(7n))), 5n);
    assert.is(word(2 * PAGE), 5n);
    assert.is(engine.getDirtyLog(0)[0], 1, "marked although it did not swap, as in KVM");
    assert.is(BigInt(atomics.compareExchange(PAGE, bits, wide(5n), wide(7n))), 5n);
    assert.is(word(2 * PAGE), 7n);
    assert.is(engine.getDirtyLog(0)[0], 1);
    assert.is(BigInt(atomics.load(PAGE, bits)), 7n);
    assert.is(engine.getDirtyLog(0)[0], 0);
  }
});

test("not aligned is a RangeError, a width that is none a TypeError, and nothing has happened", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 2, 0, LOG));
  const host = new SharedArrayBuffer(2 * PAGE);
  const { atomics } = guestMemory(engine, host);
  for (const [gpa, bits] of [
    [1, 16],
    [PAGE - 2, 32],
    [PAGE - 4, 64],
    [2 ** 40 + 2, 32],
  ] as const) {
    const message = new RegExp(`^gpa must be a multiple of ${bits / 8} for an atomic of ${bits} bits`);
    const refused = (error: unknown) => error instanceof RangeError && message.test(error.message);
    assert.throws(() => atomics.exchange(gpa, bits, (bits === 64 ? 1n : 1) as never), refused);
    assert.throws(() => atomics.load(gpa, bits), refused);
  }
  assert.throws(
    () => atomics.load(0, 24 as never),
    (error: unknown) => error instanceof TypeError,
  );
  assert.throws(
    () => atomics.add(0, 64, 1 as never),
    (error: unknown) => error instanceof TypeError,
  );
  assert.ok(new Uint8Array(host).every((byte) => byte === 0));
  assert.is(engine.getDirtyLog(0)[0], 0);
  // The section of a refused operation is over.
  engine.setUserMemoryRegionList([deletion(0)], { timeout: 0 });
});

test("a hole is told, and its answer is what was there before", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 1, 0, 2), region(1, 1, 1, 1)]);
  const holes: GuestHole[] = [];
  const onHole = (hole: GuestHole) => {
    holes.push({ ...hole });
    return 3;
  };
  const { atomics } = guestMemory(engine, new ArrayBuffer(PAGE + 4), { onHole });
  const told = (hole: Partial<GuestHole>) =>
    assert.equal(holes.splice(0), [{ ...hole, device: 0, offset: 0 }]);
  assert.is(atomics.load(8, 32), 0);
  assert.equal(holes, []);
  assert.is(atomics.or(8, 32, 5), 3);
  told({ kind: "read-only", gpa: 8, bytes: 4, at: 8, write: true, value: 5 });
  assert.is(atomics.load(5 * PAGE, 64), 3n);
  told({ kind: "no-slot", gpa: 5 * PAGE, bytes: 8, at: 5 * PAGE, write: false, value: 0 });
  assert.is(atomics.exchange(PAGE, 32, 9), 0);
  assert.is(atomics.exchange(PAGE, 64, 9n), 3n, "the host memory ends within the 8 bytes");
  told({ kind: "no-host", gpa: PAGE, bytes: 8, at: PAGE, write: true, value: 9n });
});

/** A thread that runs `body` with an engine, a vCPU's guest memory over `host`, and two shared words. */
function thread(
  engine: MemslotEngine,
  host: SharedArrayBuffer | WebAssembly.Memory,
  body: string,
  before = "",
) {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const source = `
    const { workerData } = require("node:worker_threads");
    ${before}
    import("memslots").then(async ({ guestMemory, MemslotEngine }) => {
      const { handle, host, words } = workerData;
      const engine = await MemslotEngine.attach(handle);
      const vcpu = engine.vcpu();
      const memory = guestMemory(engine, host, { vcpu });
      ${body}
      vcpu.release();
    });`;
  const worker = new Worker(source, { eval: true, workerData: { handle: engine.handle, host, words } });
  const over = new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", resolve);
  });
  const watchdog = setTimeout(() => worker.terminate(), WATCHDOG_MS);
  return { words, over: over.finally(() => clearTimeout(watchdog)) };
}

/** Sleep until the word is `value`. */
function awaitWord(words: Int32Array, index: number, value: number): void {
  for (let seen = Atomics.load(words, index); seen !== value; seen = Atomics.load(words, index)) {
    assert.is.not(Atomics.wait(words, index, seen, WATCHDOG_MS), "timed-out");
  }
}

/** Makes loads outside of sections count whatever the newest layout is. */
const NO_LOOK = `
  WebAssembly.Instance = class extends WebAssembly.Instance {
    get exports() {
      const exports = { ...super.exports };
      let last = -1;
      exports.openAccess = (reader) => (last = super.exports.openAccess(reader));
      exports.commitAfterLoads = () => last;
      return exports;
    }
  };`;
const GUEST = 7;
const OTHER = 9;

/** Loads by a thread outside of sections, and how many of them were not of the guest's page, which moves meanwhile. */
async function loadWhileMoved(moves: number, before?: string): Promise<{ loads: number; wrong: number }> {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 1, 0));
  const host = new SharedArrayBuffer(2 * PAGE);
  const pages = [0, 1].map((page) => new Int32Array(host, page * PAGE, PAGE / 4));
  pages[0]!.fill(GUEST);
  const body = `
    for (let loads = 1; Atomics.load(words, 0) >= 0; loads++) {
      if (memory.getInt32(4 * (loads % 1024), true) !== ${GUEST}) Atomics.add(words, 1, 1);
      Atomics.compareExchange(words, 0, loads - 1, loads);
    }`;
  const { words, over } = thread(engine, host, body, before);
  awaitMore(words, 0);
  let loads = 0;
  for (let move = 1; move <= moves; move++) {
    const [from, to] = [pages[(move + 1) % 2]!, pages[move % 2]!];
    to.fill(GUEST);
    engine.setUserMemoryRegionList([deletion(0), region(0, 0, 1, move % 2)]);
    from.fill(OTHER);
    // The thread has gone on: the two never go in step.
    loads = awaitMore(words, loads);
  }
  Atomics.store(words, 0, -1);
  await over;
  return { loads, wrong: Atomics.load(words, 1) };
}

/** Spin until the word is above `value`. @returns it */
function awaitMore(words: Int32Array, value: number): number {
  const end = performance.now() + WATCHDOG_MS;
  for (;;) {
    const seen = Atomics.load(words, 0);
    if (seen > value) return seen;
    if (performance.now() > end) throw new Error("the thread stands still");
  }
}

test("loads outside of sections are the guest's, while its page moves and the old place has a new use", async () => {
  const { loads, wrong } = await loadWhileMoved(400);
  assert.ok(loads >= 400);
  assert.is(wrong, 0, `${wrong} of ${loads} loads`);
});

test("the same without the look at the newest layout: the test sees it", async () => {
  const { wrong } = await loadWhileMoved(20, NO_LOOK);
  assert.ok(wrong > 0);
});

const ROUNDS = 20_000;

test("two threads: no addition is lost, and a lock of compare-and-swap keeps them apart", async () => {
  const engine = await MemslotEngine.create();
  // One host page, which the two threads see through different slots.
  engine.setUserMemoryRegionList([region(0, 1, 1, 3, LOG), region(1, 7, 1, 3, LOG)]);
  const host = new SharedArrayBuffer(4 * PAGE);
  const start = 32;
  const body = (gpa: number) => `
    const { atomics } = memory;
    atomics.add(${gpa + start}, 32, 1);
    while (atomics.load(${gpa + start}, 32) !== 2);
    for (let i = 0; i < ${ROUNDS}; i++) {
      if (i % 64 === 0) vcpu.exit(), vcpu.enter();
      atomics.add(${gpa}, 64, 1n);
      while (atomics.compareExchange(${gpa + 8}, 16, 0, 1) !== 0);
      memory.setUint32(${gpa + 16}, memory.getUint32(${gpa + 16}, true) + 1, true);
      atomics.exchange(${gpa + 8}, 16, 0);
    }
    vcpu.exit();`;
  const threads = [thread(engine, host, body(PAGE)), thread(engine, host, body(7 * PAGE))];
  await Promise.all(threads.map(({ over }) => over));
  const view = new DataView(host, 3 * PAGE);
  assert.is(view.getBigUint64(0, true), BigInt(2 * ROUNDS), "added atomically");
  assert.is(view.getUint32(16, true), 2 * ROUNDS, "added under the lock");
  assert.is(view.getUint16(8, true), 0, "the lock is free");
  assert.is(engine.getDirtyLog(0)[0], 1);
  assert.is(engine.getDirtyLog(1)[0], 1);
});

test("host memory that another thread grows is there as soon as that thread says so", async () => {
  const GROWTHS = 60;
  const WASM_PAGE = 65536;
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, (GROWTHS + 1) * 16, 0));
  const host = new WebAssembly.Memory({ initial: 1, maximum: GROWTHS + 1, shared: true });
  const { words, over } = thread(
    engine,
    host,
    `for (let n = 1; n <= ${GROWTHS}; n++) {
      host.grow(1);
      memory.setUint32(n * ${WASM_PAGE}, n, true);
      Atomics.store(words, 0, n);
      Atomics.notify(words, 0);
      while (Atomics.load(words, 1) !== n) Atomics.wait(words, 1, n - 1, 1000);
    }`,
  );
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, host, { vcpu });
  vcpu.enter();
  for (let n = 1; n <= GROWTHS; n++) {
    assert.is(memory.getUint8(0), 0);
    // Without a turn of the event loop in between.
    awaitWord(words, 0, n);
    assert.is(memory.getUint32(n * WASM_PAGE, true), n);
    memory.setUint32((n + 1) * WASM_PAGE - 4, n, true);
    Atomics.store(words, 1, n);
    Atomics.notify(words, 1);
  }
  vcpu.release();
  await over;
});

test.run();
