/** docs/memory-cost.md: its formula and its tables are what engines occupy. */
import { readFileSync } from "node:fs";
import { KVM_MEM_LOG_DIRTY_PAGES, MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HEADER, SLOTS_MAX } from "../../../src/core/layout.js";
import { random } from "../../support/random.js";
import { PAGE } from "../../support/region.js";

interface Limits {
  addressSpaces: number;
  maxSlots: number;
  maxVcpus: number;
}

const DOCUMENT = readFileSync(new URL("../../../docs/memory-cost.md", import.meta.url), "utf8");
const BASE = 64;

/** The function that the page shows. */
async function formula(): Promise<(limits: Limits) => number> {
  const code = /```js\n(function engineBytes[\s\S]*?)```/.exec(DOCUMENT)![1]!;
  return (await import(`data:text/javascript,${encodeURIComponent(`export default ${code}`)}`)).default;
}

/** Rows of the table with this head: numbers, or formulas. */
function tableOf(head: RegExp): string[][] {
  const lines = DOCUMENT.split("\n");
  const first = lines.findIndex((line) => head.test(line));
  assert.ok(first >= 0, `no table ${head}`);
  const end = lines.indexOf("", first);
  return lines.slice(first + 2, end).map((line) =>
    line
      .split("|")
      .map((cell) => cell.trim())
      .slice(1, -1),
  );
}

/** Words of the header. */
function headerOf({ memory, base }: MemslotEngine, field: number): number {
  return new Uint32Array(memory.buffer)[(base + field) / 4]!;
}

/** Bytes that an engine of these limits occupies before its heap. */
async function fixedBytes(limits: Limits): Promise<number> {
  const engine = await MemslotEngine.create({ ...limits, shared: false });
  return headerOf(engine, HEADER.fixedBytes);
}

const test = suite("memory cost");

test("the formula is exact: at the sizes of the page, and for random limits", async () => {
  const engineBytes = await formula();
  const { int } = random(20);
  const limits: Limits[] = [8, 512, SLOTS_MAX].map((maxSlots) => ({
    addressSpaces: 1,
    maxSlots,
    maxVcpus: 16,
  }));
  for (let i = 0; i < 60; i++) {
    limits.push({ addressSpaces: 1 + int(4), maxSlots: 1 + int(2000), maxVcpus: 1 + int(64) });
  }
  for (const one of limits) assert.is(engineBytes(one), await fixedBytes(one), JSON.stringify(one));
});

test("the table has the right bytes per engine and per slot", async () => {
  const rows = tableOf(/^\| maxSlots \|/);
  assert.equal(
    rows.map(([slots]) => Number(slots)),
    [8, 512, SLOTS_MAX],
  );
  const of = (maxSlots: number) => fixedBytes({ addressSpaces: 1, maxSlots, maxVcpus: 16 });
  const one = await of(1);
  for (const [slots, bytes, perSlot] of rows) {
    const found = await of(Number(slots));
    assert.is(Number(bytes), found);
    assert.is(Number(perSlot), Math.round((found - one) / (Number(slots) - 1)), `per slot at ${slots}`);
  }
});

test("a vCPU costs what the page says", async () => {
  const [, stated] = /A vCPU costs (\d+) bytes/.exec(DOCUMENT)!;
  const of = (maxVcpus: number) => fixedBytes({ addressSpaces: 1, maxSlots: 512, maxVcpus });
  assert.is(((await of(1024)) - (await of(1))) / 1023, Number(stated));
});

test("an engine fits into what the formula says, and into nothing less", async () => {
  const engineBytes = await formula();
  const limits = { addressSpaces: 2, maxSlots: 100, maxVcpus: 3 };
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const size = engineBytes(limits) + 64;
  await MemslotEngine.create({ ...limits, memory, base: BASE, size });
  const less = MemslotEngine.create({ ...limits, memory, base: BASE, size: size - 1 });
  await less.then(
    () => assert.unreachable("a byte less was enough"),
    (error) => assert.match(String(error), `must be at least ${size}`),
  );
});

test("the memory of a default engine is below 256 KiB, and what the page says", async () => {
  const { byteLength } = (await MemslotEngine.create()).memory.buffer;
  assert.ok(byteLength < 256 * 1024, `${byteLength} bytes`);
  const [, stated] = /has a memory of (\d+) KiB/.exec(DOCUMENT)!;
  assert.is(byteLength, Number(stated) * 1024);
});

/** The page's formula for n, by the start of its row. */
function heapFormula(row: RegExp): (n: number) => number {
  const [, text] = tableOf(/^\| block \| bytes \|/).find(([what]) => row.test(what!))!;
  const [sum, toEight] = text!.split(", to a multiple of 8");
  const [, fixed, factor, divisor] = /^(\d+) \+ (\d+) \* (?:n|ceil\(n \/ (\d+)\))$/.exec(sum!)!;
  return (n) => {
    const bytes = Number(fixed) + Number(factor) * Math.ceil(n / Number(divisor ?? 1));
    return toEight === undefined ? bytes : Math.ceil(bytes / 8) * 8;
  };
}

/** Bytes of the heap that `work` takes. */
async function heapBytes(work: (engine: MemslotEngine) => void): Promise<number> {
  const pages = 64;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const engine = await MemslotEngine.create({ memory, base: BASE, size: pages * 65536 - BASE });
  const before = headerOf(engine, HEADER.heapFreeBytes);
  work(engine);
  return before - headerOf(engine, HEADER.heapFreeBytes);
}

const SIZES = [1, 63, 64, 65, 1000, 4096];

test("dirty logs take what the page says, slots without a log take nothing", async () => {
  const bytes = heapFormula(/^dirty log/);
  for (const npages of SIZES) {
    const slot = { slot: 0, guestPhysAddr: 0, memorySize: npages * PAGE, userspaceAddr: 0 };
    assert.is(await heapBytes((engine) => engine.setUserMemoryRegion({ ...slot, flags: 0 })), 0);
    const logged = { ...slot, flags: KVM_MEM_LOG_DIRTY_PAGES };
    assert.is(
      await heapBytes((engine) => engine.setUserMemoryRegion(logged)),
      bytes(npages),
      `${npages} pages`,
    );
  }
});

test("long lists and windows take what the page says, lists of 128 entries nothing", async () => {
  const entry = { slot: 0, flags: 0, guestPhysAddr: 0, memorySize: PAGE, userspaceAddr: 0 };
  const list = (n: number) => Array.from({ length: n }, () => entry);
  const listBytes = (n: number) => heapBytes((engine) => engine.setUserMemoryRegionList(list(n)));
  assert.is(await listBytes(128), 0);
  const staging = heapFormula(/^room for lists/);
  for (const n of [129, 257, 500, 4096]) {
    assert.is(await listBytes(n), staging(Math.max(n, 256)), `${n} entries`);
  }
  const table = heapFormula(/MMIO windows/);
  for (const n of SIZES) {
    const windows = Array.from({ length: n }, (_, i) => ({ gpa: i * 16, bytes: 16, device: i }));
    const commit = (engine: MemslotEngine) => engine.setUserMemoryRegionList([], { windows: [windows] });
    assert.is(await heapBytes(commit), table(n), `${n} windows`);
  }
});

test.run();
