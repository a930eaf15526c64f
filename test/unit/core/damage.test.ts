/**
 * A damaged engine: attach refuses a header that create has not written, a scribbled word ends in an answer or an error
 * and never in a hang, and checkEngine finds it.
 */
import { once } from "node:events";
import {
  checkEngine,
  checkEngineAsync,
  type EngineHandle,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  CHUNK,
  DIRECTORY,
  DIRTY_RING,
  ENTRY,
  HEADER,
  READER,
  RECORD,
  ROOT,
} from "../../../src/core/layout.js";
import { PAGE } from "../../support/region.js";
import { AT, damageWorld, namesOf, type Orders, wordsOf } from "../../support/scribbler.js";
import { tsWorker } from "../../support/tsworker.js";

const BASE = 0x10000;
const SIZE = 0x40000;
/** Longer than any call takes that does not wait for its whole timeout, and far shorter than the default timeout. */
const TIMEOUT = { timeout: 5 };

const region = (slot: number, gfn: number, npages: number, flags = 0) => ({
  slot,
  flags,
  guestPhysAddr: gfn * PAGE,
  memorySize: npages * PAGE,
  userspaceAddr: gfn * PAGE,
});

/** An engine of fixed size in the middle of a memory, with something of everything. */
async function create(): Promise<MemslotEngine> {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const limits = { maxSlots: 80, maxVcpus: 2, maxListEntries: 200 };
  const engine = await MemslotEngine.create({ memory, base: BASE, size: SIZE, ...limits });
  for (let i = 0; i < 40; i++) engine.setUserMemoryRegion(region(i, i * 8, 4, i % 3 === 0 ? LOG : 0));
  const windows = [[0x500_0000, 0x600_0000].map((gpa) => ({ gpa, bytes: 16, device: 3 }))];
  engine.setUserMemoryRegionList([region(50, 0x1000, 1)], { windows });
  engine.gpaToHva(0);
  return engine;
}

/** Longest time of one call: none waits for longer than a few milliseconds, on however busy a machine. */
const CALL_MS = 30_000;
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
console.log(`seed ${SEED}`);

/** Where a word of the damaged engine is: in the header by its name, else its byte in the engine. */
function nameOf(word: number): string {
  const field = Object.entries(HEADER).find(([, offset]) => offset === word * 4);
  return field === undefined ? `byte ${word * 4} of the engine` : `Header.${field[0]}`;
}

/** Have a worker damage an engine. @throws Error naming the damage and the call that does not end */
async function scribbleInWorker(orders: Omit<Orders, "at">, callMs = CALL_MS): Promise<string[]> {
  const worker = tsWorker(new URL("../../support/scribbler.ts", import.meta.url));
  try {
    await once(worker, "message");
    const at = new Int32Array(new SharedArrayBuffer(AT.words * 4));
    worker.postMessage({ ...orders, at } satisfies Orders);
    while (Atomics.load(at, AT.ended) === 0) {
      const calls = Atomics.load(at, AT.calls);
      if (Atomics.load(at, AT.ended) !== 0 || Atomics.wait(at, AT.calls, calls, callMs) !== "timed-out") {
        continue;
      }
      const [word, value] = [at[AT.word]!, at[AT.value]! >>> 0];
      const call = namesOf(await damageWorld(orders.rings), orders)[at[AT.call]!];
      const where = `seed ${orders.seed}, run ${at[AT.run]}, ${nameOf(word)} = 0x${value.toString(16)}`;
      throw new Error(`${where}: ${call} does not end. Replay: SEED=${SEED} npm test -- damage`);
    }
    const [failures] = (await once(worker, "message")) as [string[]];
    return failures;
  } finally {
    await worker.terminate();
  }
}

for (const [i, [what, orders]] of Object.entries({
  "a thread that must not sleep": { runs: 500, sleeps: false, rings: false },
  "a thread that must not sleep, with dirty rings": { runs: 500, sleeps: false, rings: true },
  "a thread that may sleep": { runs: 200, sleeps: true, rings: false },
}).entries()) {
  test(`a scribbled word ends in an answer or an error, for ${what}`, async () => {
    assert.equal(
      await scribbleInWorker({ seed: SEED + i, ...orders }),
      [],
      `SEED=${SEED} npm test -- damage`,
    );
  });
}

test("damages that calls once did not end with", async () => {
  const { engine } = await damageWorld(true);
  const words = wordsOf(engine);
  const word = (byte: number) => words[byte / 4]!;
  const byte = (address: number, field: number) => address - engine.base + field;
  const line = byte(word(HEADER.readers), 0);
  const record = byte(word(byte(word(HEADER.ids), 0)), 0);
  const ring = byte(word(line + READER.ring), 0);
  const damages: [number, number][] = [
    [HEADER.maxVcpus, 0x3499_aafe],
    [HEADER.maxVcpus, 0x203],
    [line + READER.header, engine.base + 0x80],
    [line + READER.gates, 0x8000_0000],
    [record + RECORD.npages, 0xc7e6_037a],
    [record + RECORD.npages, 0xffff_ffff],
    [record + RECORD.baseGfn + 4, 0x8000_0000],
    [ring + DIRTY_RING.entries, 2],
    [ring + DIRTY_RING.mask, 0xffff_ffff],
    [HEADER.activeRoot, (word(HEADER.activeRoot) + 1) % 3],
    [HEADER.heapStart, 0xffff_fff8],
    [HEADER.staging, 0x10],
  ];
  for (const rings of [true, false]) {
    assert.equal(await scribbleInWorker({ seed: 1, runs: 0, sleeps: false, rings, damages }), [], `${rings}`);
  }
});

test("a call that does not end is found, and its damage named", async () => {
  const orders = { seed: 5, runs: 1, sleeps: false, rings: false };
  const report = await scribbleInWorker({ ...orders, endless: true }, 3000).catch(String);
  assert.match(
    String(report),
    /seed 5, run 0, Header\.magic = 0x[0-9a-f]+: endless does not end\. Replay: SEED=/,
  );
  // The same damage, without the call that does not end, leaves the memory whole.
  assert.equal(await scribbleInWorker(orders), []);
});

test("a trap in a commit is EIO, and the next writer repairs what it can", async () => {
  const engine = await create();
  const view = new DataView(engine.memory.buffer);
  view.setUint32(engine.base + HEADER.freeChunk, 0x10, true);
  const commit = () => engine.setUserMemoryRegionList([region(70, 0x4000, 1)], TIMEOUT);
  assert.throws(commit, (error: KvmError) => error.code === "EIO" && /memory is damaged/.test(error.message));
  assert.equal(engine.slot(70), undefined);
  commit();
  assert.is(engine.gpaToHva(0x4000 * PAGE), 0x4000 * PAGE);
  assert.equal(checkEngine(engine), []);
});

test("checkEngine tells what is damaged", async () => {
  const engine = await create();
  assert.equal(checkEngine(engine), []);
  const view = new DataView(engine.memory.buffer);
  const u32 = (at: number) => view.getUint32(at, true);
  const header = (field: keyof typeof HEADER) => u32(engine.base + HEADER[field]);
  const root = header("root");
  const directory = u32(root + ROOT.directory0);
  const chunk = u32(directory + 16);
  const entry = chunk + 64;
  const record = u32(entry + ENTRY.record);
  const damages: [string, number, RegExp][] = [
    [
      "chunks of a directory",
      directory + DIRECTORY.chunkCount,
      /guest index of address space 0 has \d+ chunks/,
    ],
    ["entries of a chunk", chunk + CHUNK.count, /chunk 0 has \d+ entries/],
    ["key of an entry", entry + ENTRY.key, /does not ascend|differs from its record/],
    ["record of an entry", entry + ENTRY.record, /has no record/],
    ["pages of a record", record + RECORD.npages, /differs from its record/],
    ["table of numbers", header("ids") + 4, /slot 1 has another record by number/],
    ["free list of records", engine.base + HEADER.freshRecord, /of \d+\.?\d* records \d+ are known/],
    ["size of a block", header("heapStart"), /the block at \d+ has \d+ bytes/],
    ["free bytes of the heap", engine.base + HEADER.heapFreeBytes, /not what the header says/],
    ["retired", engine.base + HEADER.retiredTail, /the retired are/],
    ["active root", engine.base + HEADER.activeRoot, /activeRoot is/],
  ];
  for (const [what, at, finding] of damages) {
    const value = u32(at);
    view.setUint32(at, 0x0fff_fff0, true);
    const findings = checkEngine(engine);
    view.setUint32(at, value, true);
    assert.match(findings.join("\n"), finding, what);
    assert.ok(findings.length <= 100);
  }
  assert.equal(checkEngine(engine), []);
});

test("a damage that the repair after a trap cannot pass is a finding, with and without sleeping", async () => {
  const engine = await create();
  new DataView(engine.memory.buffer).setUint32(engine.base + HEADER.root, 0xffff_fff0, true);
  const commit = () => engine.setUserMemoryRegionList([region(70, 0x4000, 1)], TIMEOUT);
  assert.throws(commit, (error: KvmError) => error.code === "EIO");
  const finding = (op: string) => new RegExp(`^${op}: EIO, the engine's memory is damaged`);
  assert.match(checkEngine(engine).join("\n"), finding("checkEngine"));
  assert.match((await checkEngineAsync(engine)).join("\n"), finding("checkEngineAsync"));
});

test("attach refuses every limit and area that create has not written, before it allocates", async () => {
  const engine = await create();
  const view = new DataView(engine.memory.buffer);
  const attach = (handle: EngineHandle = engine.handle) => MemslotEngine.attach(handle);
  const names = [
    "addressSpaces",
    "maxSlots",
    "maxVcpus",
    "maxListEntries",
    "pageShift",
    "maxPhysAddrBits",
    "maxUserAddrBits",
  ] as const;
  const areas = [
    "maxGfn",
    "fixedBytes",
    "growable",
    "readers",
    "batch",
    "threads",
    "ids",
    "touched",
    "roots",
  ] as const;
  const more = [
    "directories",
    "structures",
    "chunks",
    "records",
    "retired",
    "retiredCapacity",
    "marks",
  ] as const;
  const counts = ["chunksPerDirectory", "chunkCount", "recordCount", "root"] as const;
  for (const name of [...names, ...areas, ...more, ...counts]) {
    const at = engine.base + HEADER[name];
    const value = view.getUint32(at, true);
    for (const wrong of [0xffff_ffff, 0x7fff_fff0, value + 1 + Number(name === "root") * 7]) {
      if (wrong === value) continue;
      view.setUint32(at, wrong, true);
      let error: unknown;
      try {
        await attach();
      } catch (thrown) {
        error = thrown;
      }
      // One more entry of a list, a larger page, another width or a heap that grows are what an engine can have.
      const possible =
        ["maxListEntries", "pageShift", "maxPhysAddrBits", "maxUserAddrBits", "growable"].includes(name) &&
        wrong === value + 1;
      if (possible && error === undefined) continue;
      assert.ok(error instanceof KvmError && error.code === "EIO", `${name} ${wrong}: ${error}`);
      assert.match(error.message, /the engine at \d+ is damaged: /);
    }
    view.setUint32(at, value, true);
  }
  (await attach()).close();
});

test("a closed gate that nobody holds is opened, not waited at", async () => {
  const engine = await create();
  const vcpu = engine.vcpu();
  const view = new DataView(engine.memory.buffer);
  const root = engine.base + HEADER.root;
  view.setUint32(root, view.getUint32(root, true) | 1, true);
  vcpu.enter();
  assert.is(vcpu.gpaToHva(0), 0);
  vcpu.exit();
  assert.is(view.getUint32(root, true) & 1, 0);
});

test.run();
