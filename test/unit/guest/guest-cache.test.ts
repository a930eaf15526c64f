/** The cache of one translation: kvm_gfn_to_hva_cache_init and the cached reads and writes, errno by errno. */
import {
  type ERRNO,
  type GuestCache,
  guestMemory,
  KvmError,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  KVM_MEM_READONLY as RO,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

function refuses(code: keyof typeof ERRNO, work: () => unknown): void {
  assert.throws(work, (error: unknown) => error instanceof KvmError && error.code === code);
}

/** Guest pages 1, 2 (logged, host pages 5, 6), 3 (READONLY, 7), 4 (1); each host byte is its page's number. */
async function world(options: { asId?: number } = {}) {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegionList([
    region(0, 1, 2, 5, LOG),
    region(1, 3, 1, 7, RO),
    region(2, 4, 1, 1),
    region(slotNumber(1, 0), 1, 8, 0, LOG),
  ]);
  const host = Uint8Array.from({ length: 8 * PAGE }, (_, at) => Math.floor(at / PAGE));
  const vcpu = engine.vcpu(options);
  const memory = guestMemory(engine, host.buffer, { vcpu });
  return { engine, host, vcpu, cache: memory.cache() };
}

function read(cache: GuestCache, size: number, offset = 0): number[] {
  const target = new Uint8Array(size);
  cache.read(target, offset);
  return [...target];
}

const dirty = (engine: MemslotEngine, slot: number) => engine.getDirtyLog(slot)[0];

for (const inside of [false, true]) {
  const where = inside ? "in a section" : "outside of sections";

  test(`${where}: reads and writes at offsets, and marks after them`, async () => {
    const { engine, host, vcpu, cache } = await world();
    if (inside) vcpu.enter();
    cache.init(2 * PAGE + 10, 16);
    assert.equal(read(cache, 2), [6, 6]);
    cache.write(Uint8Array.of(1, 2, 3), 13);
    assert.equal([...host.subarray(6 * PAGE + 22, 6 * PAGE + 27)], [6, 1, 2, 3, 6]);
    assert.is(dirty(engine, 0), 0b10);
    assert.equal(read(cache, 3, 13), [1, 2, 3]);
    assert.equal(read(cache, 0, 16), []);
    assert.is(dirty(engine, 0), 0, "a read makes nothing dirty");
    vcpu.release();
  });

  test(`${where}: a range that crosses pages goes page by page, and slots with it`, async () => {
    const { engine, host, vcpu, cache } = await world();
    if (inside) vcpu.enter();
    cache.init(PAGE + 4000, 200);
    cache.write(new Uint8Array(200).fill(99));
    assert.is(host.indexOf(99), 5 * PAGE + 4000);
    assert.is(host.lastIndexOf(99), 6 * PAGE + 103);
    assert.is(dirty(engine, 0), 0b11);
    assert.equal(read(cache, 2, 95), [99, 99]);
    // Behind a change one page is no memory: what lies before is done.
    if (inside) vcpu.exit();
    engine.setUserMemoryRegionList([deletion(0), region(0, 1, 1, 5, LOG), region(3, 2, 1, 6, RO)]);
    if (inside) vcpu.enter();
    refuses("EFAULT", () => cache.write(new Uint8Array(200).fill(55)));
    assert.is(host.indexOf(55), -1, "the cache is made anew before the first byte");
    vcpu.release();
  });

  test(`${where}: EINVAL for no bytes at the start of a page, EFAULT for holes and READONLY slots`, async () => {
    const { vcpu, cache } = await world();
    if (inside) vcpu.enter();
    cache.init(PAGE, 8);
    refuses("EINVAL", () => cache.init(2 * PAGE, 0));
    refuses("EFAULT", () => cache.read(new Uint8Array(0)));
    cache.init(2 * PAGE + 1, 0);
    assert.equal(read(cache, 0), []);
    refuses("EINVAL", () => read(cache, 1));
    refuses("EFAULT", () => cache.init(0, 0));
    refuses("EFAULT", () => cache.init(0, 8));
    refuses("EFAULT", () => cache.init(3 * PAGE, 8));
    refuses("EFAULT", () => cache.init(2 * PAGE, PAGE + 1));
    refuses("EFAULT", () => cache.init(5 * PAGE - 1, 2));
    for (const gpa of [2 ** 52, 2 ** 64 - 2048, 2 ** 64, -1, -4096, Number.NaN, Number.POSITIVE_INFINITY])
      refuses("EFAULT", () => cache.init(gpa, 8));
    cache.init(4 * PAGE, PAGE);
    assert.equal(read(cache, 1, PAGE - 1), [1]);
    vcpu.release();
  });

  test(`${where}: EINVAL beyond the range, also when the translation is bad`, async () => {
    const { vcpu, cache } = await world();
    if (inside) vcpu.enter();
    cache.init(PAGE, 8);
    refuses("EINVAL", () => read(cache, 9));
    refuses("EINVAL", () => read(cache, 1, 8));
    refuses("EINVAL", () => cache.write(new Uint8Array(8), 1));
    refuses("EFAULT", () => cache.init(0, 8));
    refuses("EINVAL", () => read(cache, 9));
    refuses("EFAULT", () => read(cache, 8));
    vcpu.release();
  });
}

test("before init there is no range", async () => {
  const { cache } = await world();
  refuses("EINVAL", () => read(cache, 1));
  refuses("EFAULT", () => read(cache, 0));
});

test("a failed init keeps the old range and caches the failure, until the generation changes", async () => {
  const { engine, cache } = await world();
  cache.init(4 * PAGE + 3, 5);
  refuses("EFAULT", () => cache.init(9 * PAGE, 2));
  refuses("EFAULT", () => read(cache, 5));
  refuses("EFAULT", () => read(cache, 5));
  engine.setUserMemoryRegion(region(5, 9, 1, 2));
  assert.equal(read(cache, 5), [1, 1, 1, 1, 1], "4 * PAGE + 3 again, not 9 * PAGE");
});

test("a changed map is followed: another host page, a hole, memory again", async () => {
  const { engine, host, cache } = await world();
  cache.init(4 * PAGE, 4);
  engine.setUserMemoryRegionList([deletion(2), region(6, 4, 1, 2, LOG)]);
  assert.equal(read(cache, 1), [2]);
  cache.write(Uint8Array.of(77));
  assert.is(host[2 * PAGE], 77);
  assert.is(dirty(engine, 6), 1);
  engine.setUserMemoryRegion(deletion(6));
  refuses("EFAULT", () => read(cache, 1));
  refuses("EFAULT", () => cache.write(Uint8Array.of(1)));
  engine.setUserMemoryRegion(region(7, 4, 1, 3));
  assert.equal(read(cache, 1), [3]);
  // In a section the generation is that of its layout.
});

test("in a section the cache answers from the section's layout", async () => {
  const { engine, vcpu, cache } = await world();
  cache.init(4 * PAGE, 4);
  vcpu.enter();
  engine.setUserMemoryRegionList([deletion(2), region(2, 4, 1, 2)]);
  assert.equal(read(cache, 1), [1]);
  vcpu.refresh();
  assert.equal(read(cache, 1), [2]);
  vcpu.exit();
  assert.equal(read(cache, 1), [2]);
  vcpu.release();
});

test("a cache is in address space 0, also for a vCPU in another one, and its marks with it", async () => {
  for (const inside of [false, true]) {
    const { engine, vcpu, host, cache } = await world({ asId: 1 });
    const memory = guestMemory(engine, host.buffer, { vcpu });
    if (inside) vcpu.enter();
    assert.is(memory.getUint8(PAGE), 0);
    cache.init(PAGE, 8);
    assert.equal(read(cache, 1), [5]);
    assert.is(memory.getUint8(PAGE), 0);
    cache.write(Uint8Array.of(8));
    assert.is(host[5 * PAGE], 8);
    assert.is(dirty(engine, 0), 1);
    assert.is(dirty(engine, 1 << 16), 0);
    memory.setUint8(PAGE, 9);
    assert.is(host[0], 9);
    assert.is(dirty(engine, 0), 0);
    assert.is(dirty(engine, 1 << 16), 1);
    vcpu.release();
  }
});

test("host memory that grows away under a cache is found again", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 16, 0));
  const host = new WebAssembly.Memory({ initial: 1, maximum: 4 });
  const cache = guestMemory(engine, host).cache();
  cache.init(8, 8);
  cache.write(Uint8Array.of(5));
  host.grow(1);
  assert.equal(read(cache, 1), [5]);
  cache.write(Uint8Array.of(6));
  assert.is(new Uint8Array(host.buffer)[8], 6);
});

test("slots alone decide whether a cache can be made; host memory may come later", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(region(0, 0, 32, 0));
  const host = new WebAssembly.Memory({ initial: 1, maximum: 4 });
  const memory = guestMemory(engine, host);
  const [within, across] = [memory.cache(), memory.cache()];
  within.init(20 * PAGE, 8);
  across.init(16 * PAGE - 4, 8);
  refuses("EFAULT", () => read(within, 1));
  refuses("EFAULT", () => within.write(Uint8Array.of(1)));
  refuses("EFAULT", () => across.write(Uint8Array.of(1, 2, 3, 4, 5)));
  assert.is(new Uint8Array(host.buffer)[16 * PAGE - 1], 4, "the page before is written");
  host.grow(1);
  within.write(Uint8Array.of(1));
  across.write(Uint8Array.of(1, 2, 3, 4, 5));
  assert.equal([read(within, 1), read(across, 5)], [[1], [1, 2, 3, 4, 5]]);
});

test("no bytes mark nothing", async () => {
  const { engine, cache } = await world();
  for (const [gpa, size] of [
    [PAGE + 8, 8],
    [PAGE, PAGE],
    [PAGE, 2 * PAGE],
  ] as const) {
    cache.init(gpa, size);
    cache.write(new Uint8Array(0));
    cache.write(new Uint8Array(0), size);
    assert.is(dirty(engine, 0), 0);
  }
});

test("bad arguments are told by name", async () => {
  const { cache } = await world();
  const type = (name: RegExp) => (error: unknown) => error instanceof TypeError && name.test(error.message);
  assert.throws(() => cache.init("1" as never, 8), type(/^gpa/));
  assert.throws(() => cache.init(0, 1.5), type(/^bytes/));
  assert.throws(() => cache.read([] as never), type(/^data/));
  assert.throws(() => cache.read(new Uint8Array(1), -1), type(/^offset/));
});

test.run();
