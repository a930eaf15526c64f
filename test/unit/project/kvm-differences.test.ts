/**
 * Each difference from KVM that docs/kvm-differences.md describes has a test here, under the title of the page.
 */
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import {
  addHostNotifier,
  DirtyRing,
  guestMemory,
  invalidateHostRange,
  KvmError,
  MemslotEngine,
  type RingHarvest,
  type Vcpu,
} from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HEADER, RING_BYTES_MIN } from "../../../src/core/layout.js";
import {
  HVA_BAD,
  HVA_RO_BAD,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
  KVM_CAP_NR_MEMSLOTS,
  KVM_CAP_USER_MEMORY_REGION_LIST,
  KVM_DIRTY_GFN_F_RESET,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  type UserspaceMemoryRegion,
} from "../../../src/kvm/uapi.js";
import { dirtyPages } from "../../support/bitmap.js";
import { throwsErrno, throwsTypeError } from "../../support/implementation.js";
import { deletion, memoryRegion, ownRegion, PAGE, region, slotNumber } from "../../support/region.js";

const LOG = KVM_MEM_LOG_DIRTY_PAGES;
const DOCUMENT = readFileSync(new URL("../../../docs/kvm-differences.md", import.meta.url), "utf8");
const HIGHEST_GFN = 2 ** 40;

const test = suite("kvm-differences");
const tested: string[] = [];

function difference(title: string, body: (vm: MemslotEngine) => unknown): void {
  tested.push(title);
  test(title, async () => {
    const vm = await MemslotEngine.create();
    try {
      await body(vm);
    } finally {
      vm.close();
    }
  });
}

function methodsOf(vm: MemslotEngine): string[] {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(vm));
}

function graceOpen(vm: MemslotEngine): boolean {
  const { exports } = new WebAssembly.Instance(vm.handle.module, { env: { memory: vm.memory } });
  return (exports.graceOpen as (header: number) => number)(vm.base) !== 0;
}

difference("DELETE and MOVE are one publication, the generation advances by n", async (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 2));
  vm.setUserMemoryRegion(ownRegion(1, 8, 2));
  assert.equal([vm.generation(), vm.publications], [2, 2]);
  vm.setUserMemoryRegion(deletion(1));
  assert.equal([vm.generation(), vm.publications], [3, 3]);
  const smm = await MemslotEngine.create({ addressSpaces: 2 });
  smm.setUserMemoryRegion(ownRegion(slotNumber(1, 0), 0, 1));
  assert.equal([smm.generation(0), smm.generation(1)], [0, 3]);
});

difference("A failed MOVE advances nothing", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 2));
  throwsErrno(() => vm.setUserMemoryRegion(ownRegion(1, HIGHEST_GFN, 2)), "EINVAL");
  assert.equal([vm.generation(), vm.publications], [1, 1]);
});

difference("A list is one publication", async () => {
  const vm = await MemslotEngine.create({ addressSpaces: 2 });
  vm.setUserMemoryRegionList([ownRegion(1, 0, 2), ownRegion(2, 2, 2), ownRegion(slotNumber(1, 1), 0, 2)]);
  vm.setUserMemoryRegionList([ownRegion(1, 2, 2), ownRegion(2, 0, 2), deletion(slotNumber(1, 1))]);
  assert.equal([vm.generation(0), vm.generation(1), vm.publications], [4, 5, 2]);
});

difference("No INVALID slot is ever seen", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 2));
  const vcpu = vm.vcpu();
  vcpu.enter();
  vm.setUserMemoryRegionList([deletion(1), ownRegion(2, 0, 2)]);
  const old = vcpu.gpaToHva(0);
  assert.equal([vcpu.refresh(), old, vcpu.gpaToHva(0)], [true, 0x1000 * PAGE, 0x2000 * PAGE]);
  vcpu.release();
});

difference("The generation has no in-progress bit", (vm) => {
  const vcpu = vm.vcpu();
  vcpu.enter();
  vm.setUserMemoryRegion(ownRegion(1, 0, 1));
  assert.equal([vm.generation(), graceOpen(vm)], [1, true]);
  vcpu.exit();
  assert.equal([vm.generation(), graceOpen(vm)], [1, true]);
  vm.synchronize();
  assert.equal([vm.generation(), graceOpen(vm)], [1, false]);
});

difference("A read section is a snapshot", (vm) => {
  const vcpu = vm.vcpu();
  vcpu.enter();
  vm.setUserMemoryRegion(ownRegion(1, 0, 1));
  assert.equal([vcpu.gpaToHva(0), vm.gpaToHva(0)], [HVA_BAD, 0x1000 * PAGE]);
  assert.equal([vcpu.refresh(), vcpu.gpaToHva(0), vcpu.refresh()], [true, 0x1000 * PAGE, false]);
  vcpu.exit();
});

difference("Sections of the committing thread are not waited for", (vm) => {
  const vcpu = vm.vcpu();
  vcpu.enter();
  const start = performance.now();
  vm.setUserMemoryRegion(ownRegion(1, 0, 1));
  assert.ok(performance.now() - start < 5000, "a wait would last 10 s");
  assert.is(vcpu.gpaToHva(0), HVA_BAD);
  vcpu.exit();
});

difference("Waiting has an end", async (vm) => {
  const script = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.url).then(async ({ MemslotEngine }) => {
      const vcpu = (await MemslotEngine.attach(workerData.handle)).vcpu();
      vcpu.enter();
      parentPort.postMessage("inside");
      parentPort.on("message", () => vcpu.exit());
    });`;
  const worker = new Worker(script, {
    eval: true,
    workerData: { handle: vm.handle, url: import.meta.resolve("memslots") },
  });
  await new Promise((resolve) => worker.once("message", resolve));
  const list = (slot: number) => () =>
    vm.setUserMemoryRegionList([ownRegion(slot, slot, 1)], { timeout: 20 });
  for (const slot of [1, 2, 3]) {
    assert.throws(
      list(slot),
      (error: KvmError) =>
        error instanceof KvmError && error.code === "ETIMEDOUT" && error.published === true,
    );
    assert.is(vm.generation(), slot);
  }
  throwsErrno(list(4), "EBUSY");
  assert.is(vm.generation(), 3);
  await worker.terminate();
});

difference("The overlap is checked in the final layout of a list", (vm) => {
  vm.setUserMemoryRegionList([ownRegion(1, 0, 2), ownRegion(2, 2, 2)]);
  throwsErrno(() => vm.setUserMemoryRegion(ownRegion(1, 2, 2)), "EEXIST");
  vm.setUserMemoryRegionList([ownRegion(1, 2, 2), ownRegion(2, 0, 2)]);
  vm.setUserMemoryRegionList([ownRegion(3, 0, 1), ownRegion(4, 1, 1), deletion(2)]);
  assert.equal(
    vm.slots().map(({ slot }) => slot),
    [3, 4, 1],
  );
});

difference("EEXIST names the later of the two entries", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 2));
  throwsErrno(
    () => vm.setUserMemoryRegionList([ownRegion(2, 8, 2), ownRegion(3, 4, 1), ownRegion(4, 9, 1)]),
    "EEXIST",
    2,
  );
  throwsErrno(
    () => vm.setUserMemoryRegionList([ownRegion(2, 8, 2), ownRegion(3, 1, 1), ownRegion(4, 9, 1)]),
    "EEXIST",
    1,
  );
});

difference("A list without net effect publishes nothing", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 2, LOG));
  for (const list of [
    [deletion(1), ownRegion(1, 0, 2, LOG)],
    [ownRegion(1, 0, 2), ownRegion(1, 0, 2, LOG)],
    [ownRegion(1, HIGHEST_GFN, 2, LOG), ownRegion(1, 0, 2, LOG)],
  ]) {
    vm.markDirty(PAGE);
    assert.equal(vm.setUserMemoryRegionList(list), { generation: 1, published: false });
    assert.equal(dirtyPages(vm.getDirtyLog(1)), [1]);
  }
  vm.markDirty(PAGE);
  vm.setUserMemoryRegion(ownRegion(1, 0, 2));
  vm.setUserMemoryRegion(ownRegion(1, 0, 2, LOG));
  assert.equal(dirtyPages(vm.getDirtyLog(1)), [], "one by one the log starts anew");
});

difference("The highest gpa is checked before a dirty bitmap is allocated", async () => {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const vm = await MemslotEngine.create({ memory, base: 64, size: 500_000, maxSlots: 8, maxVcpus: 1 });
  throwsErrno(() => vm.setUserMemoryRegion(region(1, 0, 2 ** 28, 1, LOG)), "ENOMEM");
  throwsErrno(() => vm.setUserMemoryRegion(region(1, HIGHEST_GFN - 1, 2 ** 28, 1, LOG)), "EINVAL");
});

difference("Wrong JavaScript types are a TypeError before any check", (vm) => {
  const bad = { ...ownRegion(0xffff, 0, 1), flags: "0" } as unknown as UserspaceMemoryRegion;
  throwsTypeError(() => vm.setUserMemoryRegion(bad), "region.flags");
  throwsTypeError(() => vm.setUserMemoryRegionList([deletion(9), bad]), "regions[1].flags");
  throwsErrno(
    () => vm.setUserMemoryRegion({ ...ownRegion(1, 0, 1), guestPhysAddr: 2n ** 64n - 4096n }),
    "EINVAL",
  );
});

difference("EFAULT means a struct with too few bytes", (vm) => {
  throwsErrno(() => vm.setUserMemoryRegion(new Uint8Array(31)), "EFAULT");
  throwsErrno(() => vm.setUserMemoryRegion2(new Uint8Array(159)), "EFAULT");
});

difference("EIO means damage", (vm) => {
  vm.setUserMemoryRegion(ownRegion(0, 0, 1));
  const header = new Uint32Array(vm.memory.buffer, vm.base);
  header[HEADER.freeChunk / 4] = 0x10;
  throwsErrno(() => vm.setUserMemoryRegion(ownRegion(1, 8, 1)), "EIO");
  vm.setUserMemoryRegion(ownRegion(1, 8, 1));
});

difference("The number of slots is an option, 512 if not given", async (vm) => {
  assert.is(vm.checkExtension(KVM_CAP_NR_MEMSLOTS), 512);
  throwsErrno(() => vm.setUserMemoryRegion(ownRegion(512, 0, 1)), "EINVAL");
  const largest = await MemslotEngine.create({ maxSlots: 32_764 });
  assert.is(largest.checkExtension(KVM_CAP_NR_MEMSLOTS), 32_764);
  for (const [engine, megabytes] of [
    [vm, 0.18],
    [largest, 9.3],
  ] as const) {
    const bytes = new Uint32Array(engine.memory.buffer)[(engine.base + HEADER.fixedBytes) / 4]!;
    assert.ok(Math.abs(bytes / 1e6 / megabytes - 1) < 0.05, `${bytes} bytes`);
  }
  let refused: unknown;
  await MemslotEngine.create({ maxSlots: 32_765 }).catch((error) => {
    refused = error;
  });
  assert.instance(refused, RangeError);
});

difference("Page size and address width are options", async () => {
  const bank = 2 ** 8;
  const vm = await MemslotEngine.create({ pageShift: 8, maxPhysAddrBits: 44, addressSpaces: 4 });
  throwsErrno(() => vm.setUserMemoryRegion(memoryRegion(0, 0, 0, 2 ** 31 * bank, 0)), "EINVAL");
  vm.setUserMemoryRegion(memoryRegion(0, 0, 0, (2 ** 31 - 1) * bank, 0));
  throwsErrno(() => vm.setUserMemoryRegion(memoryRegion(1, 0, 2 ** 44, bank, 0)), "EINVAL");
  vm.setUserMemoryRegion(memoryRegion(slotNumber(3, 1), 0, 2 ** 44 - bank, bank, 0x7fff_ffff_f000 - bank));
  throwsErrno(() => vm.setUserMemoryRegion(memoryRegion(2, 0, 2 ** 43, bank, 0x7fff_ffff_f000)), "EINVAL");
  const arm = await MemslotEngine.create({ maxUserAddrBits: 48 });
  arm.setUserMemoryRegion(memoryRegion(0, 0, 0, 0x1000, 0xffff_7c00_0000));
  assert.is(arm.gpaToHva(1), 0xffff_7c00_0001);
});

difference("There are no internal slots", (vm) => {
  vm.vcpu();
  vm.setUserMemoryRegion(memoryRegion(0, 0, 0, 2 ** 32, 0));
  assert.is(vm.gpaToHva(0xfee0_0000), 0xfee0_0000);
});

difference("A guest_memfd is a number with a size", async (vm) => {
  const fd = vm.createGuestMemfd(2n ** 53n);
  const memfd = (slot: number, guestMemfd: number) => ({
    ...ownRegion(slot, slot, 1, KVM_MEM_GUEST_MEMFD),
    guestMemfd,
  });
  const other = await MemslotEngine.create();
  for (let i = 0; i < 3; i++) other.createGuestMemfd(PAGE);
  for (const none of [0, 1, 2, fd + 1, fd + 2, -1])
    throwsErrno(() => vm.setUserMemoryRegion2(memfd(1, none)), "EBADF");
  vm.setUserMemoryRegion2(memfd(1, fd));
  throwsErrno(() => vm.createGuestMemfd(2n ** 53n + 4096n), "EINVAL");
  for (const flags of [1, 2, 3]) {
    const mapped = vm.createGuestMemfd(PAGE, flags);
    vm.setUserMemoryRegion2(memfd(2 + flags, mapped));
    assert.equal(vm.resolvePrivate((2 + flags) * PAGE), { guestMemfd: mapped, offset: 0 });
    assert.is(vm.memoryAttributes((2 + flags) * PAGE), 0);
  }
  throwsErrno(() => vm.createGuestMemfd(PAGE, 4), "EINVAL");
  throwsErrno(() => vm.setUserMemoryRegionList([memfd(2, fd)]), "EINVAL", 0);
  assert.not.ok(methodsOf(vm).some((name) => /fallocate|punch/i.test(name)));
});

difference("Every VM has memory attributes, for all address spaces", async () => {
  const smm = await MemslotEngine.create({ addressSpaces: 2 });
  smm.setUserMemoryRegionList([ownRegion(1, 0, 4), ownRegion(slotNumber(1, 1), 0, 4)]);
  const seen = [smm.generation(0), smm.generation(1), smm.publications];
  smm.setMemoryAttributes({ address: 0, size: PAGE, attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE });
  assert.equal([smm.generation(0), smm.generation(1), smm.publications - 1], seen);
  for (const asId of [0, 1]) assert.is(smm.vcpu({ asId }).memoryAttributes(0), KVM_MEMORY_ATTRIBUTE_PRIVATE);
});

difference("Private memory is not protected", (vm) => {
  const fd = vm.createGuestMemfd(4 * PAGE);
  vm.setUserMemoryRegion2({ ...ownRegion(0, 0, 4, KVM_MEM_GUEST_MEMFD), guestMemfd: fd });
  vm.setMemoryAttributes({ address: 0, size: PAGE, attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE });
  const memory = guestMemory(vm, new ArrayBuffer(4 * PAGE));
  memory.setUint8(5, 7);
  assert.equal([memory.getUint8(5), vm.gpaToHva(5)], [7, 5]);
  assert.equal(vm.resolvePrivate(5), { guestMemfd: fd, offset: 5 });
  vm.closeGuestMemfd(fd);
  assert.is(vm.resolvePrivate(5), undefined);
  assert.is(memory.getUint8(5), 7);
});

difference("There is no prefaulting", (vm) => {
  const prefault = 236;
  assert.is(vm.checkExtension(prefault), 0);
  throwsErrno(() => vm.enableCap(prefault, 0), "EINVAL");
  assert.not.ok(methodsOf(vm).some((name) => /fault/i.test(name)));
});

difference("Capabilities that do not concern slots are 0", (vm) => {
  for (const cap of [16, 1081]) assert.is(vm.checkExtension(cap), 0);
  assert.is(vm.checkExtension(KVM_CAP_USER_MEMORY_REGION_LIST), vm.maxListEntries);
});

difference("Dirty bits outlive a list", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 8, LOG));
  vm.markDirty(5 * PAGE);
  const { userspaceAddr } = vm.slot(1)!;
  const upper = { ...ownRegion(2, 4, 4, LOG), userspaceAddr: userspaceAddr + 4 * PAGE };
  vm.setUserMemoryRegionList([{ ...ownRegion(1, 0, 8), memorySize: 0 }, ownRegion(1, 0, 4, LOG), upper]);
  assert.equal(dirtyPages(vm.getDirtyLog(2)), [1]);
});

difference("A write is logged when it is reported", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 4, LOG));
  vm.gpaToHva(2 * PAGE);
  assert.equal(dirtyPages(vm.getDirtyLog(1)), []);
  vm.markDirty(2 * PAGE);
  vm.markDirty(9 * PAGE);
  assert.equal(dirtyPages(vm.getDirtyLog(1)), [2]);
});

difference("getDirtyLog returns a new array", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 4, LOG));
  vm.markDirty(0);
  const log = vm.getDirtyLog(1);
  vm.markDirty(PAGE);
  assert.not.equal(log.buffer, vm.memory.buffer);
  assert.equal(dirtyPages(log), [0]);
});

difference("clearDirtyLog refuses a short bitmap with EFAULT", (vm) => {
  vm.setUserMemoryRegion(ownRegion(1, 0, 65, LOG));
  vm.markDirty(0);
  throwsErrno(() => vm.clearDirtyLog(1, 0, 65, new Uint8Array(15).fill(255)), "EFAULT");
  throwsErrno(() => vm.clearDirtyLog(1, 1, 65, new Uint8Array(0)), "EINVAL");
  throwsErrno(() => vm.clearDirtyLog(2, 0, 65, new Uint8Array(0)), "ENOENT");
  assert.equal(dirtyPages(vm.getDirtyLog(1)), [0]);
});

/** An engine with a ring of 256 entries, one vCPU, and a logged slot of 1000 pages. */
async function ringed(
  bitmap = false,
): Promise<{ ring: MemslotEngine; vcpu: Vcpu; harvest: () => RingHarvest }> {
  const ring = await MemslotEngine.create({ maxVcpus: 1 });
  ring.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES_MIN);
  if (bitmap) ring.enableCap(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
  ring.setUserMemoryRegion(ownRegion(1, 0, 1000, LOG));
  return { ring, vcpu: ring.vcpu(), harvest: () => new DirtyRing(ring, 0).harvest() };
}

difference("A full dirty ring overwrites nothing", async () => {
  const alone = await ringed();
  for (let gfn = 0; gfn < 257; gfn++) alone.vcpu.markDirty(gfn * PAGE);
  assert.is(alone.harvest().entries[0]!.offset, 0);
  assert.is(alone.harvest().overflow, true);
  assert.is(alone.ring.resetDirtyRings(), 256);
  assert.equal(alone.harvest(), { entries: [], overflow: false });
  const both = await ringed(true);
  for (let gfn = 0; gfn < 257; gfn++) both.vcpu.markDirty(gfn * PAGE);
  assert.equal([both.harvest().entries.length, both.harvest().overflow], [256, false]);
  assert.equal(dirtyPages(both.ring.getDirtyLog(1)), [256]);
});

difference("Without a bitmap, a write outside of vCPUs is an overflow too", async () => {
  const { ring, harvest } = await ringed();
  ring.markDirty(0);
  assert.equal(harvest(), { entries: [], overflow: true });
});

difference("A ring entry has its host page", async () => {
  const { ring, vcpu, harvest } = await ringed();
  vcpu.markDirty(3 * PAGE);
  ring.setUserMemoryRegionList([deletion(1), region(1, 0, 4, 0x7000, LOG)]);
  assert.equal(harvest().entries, [{ slot: 1, offset: 3, hva: 0x1003 * PAGE }]);
  assert.equal([...new DirtyRing(ring, 0).entries().subarray(0, 4)], [KVM_DIRTY_GFN_F_RESET, 1, 3, 0]);
});

difference("A page that waits in the ring is not pushed again", async () => {
  const { vcpu, harvest } = await ringed();
  for (let i = 0; i < 9; i++) vcpu.markDirty(0);
  assert.is(harvest().entries.length, 1);
  vcpu.markDirty(0);
  assert.is(harvest().entries.length, 2);
});

difference("The ring is in the engine's memory", async (vm) => {
  throwsErrno(() => new DirtyRing(vm, 0), "EINVAL");
  const { ring, vcpu } = await ringed();
  const entries = new DirtyRing(ring, 0).entries();
  assert.equal([entries.buffer === ring.memory.buffer, entries.length], [true, 1024]);
  for (let gfn = 0; gfn < 191; gfn++) vcpu.markDirty(gfn * PAGE);
  assert.is(vcpu.dirtyRingFull, false);
  vcpu.markDirty(999 * PAGE);
  assert.is(vcpu.dirtyRingFull, true);
});

difference("Bitmaps beside the ring work on every machine", (vm) => {
  assert.is(vm.checkExtension(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 1);
});

difference("gpaToHva takes bytes and keeps the offset in the page", (vm) => {
  vm.setUserMemoryRegionList([ownRegion(1, 0, 1), ownRegion(2, 1, 1, KVM_MEM_READONLY)]);
  assert.is(vm.gpaToHva(0x123), 0x1000 * PAGE + 0x123);
  assert.equal([vm.gpaToHva(PAGE), HVA_RO_BAD], [-2, -2]);
  for (const gpa of [2 * PAGE, -1, Number.NaN, 2 ** 60]) assert.equal([vm.gpaToHva(gpa), HVA_BAD], [-1, -1]);
});

difference("gfnToSlot returns a number", async () => {
  const vm = await MemslotEngine.create({ addressSpaces: 2 });
  vm.setUserMemoryRegion(ownRegion(slotNumber(1, 7), 0, 1));
  const vcpu = vm.vcpu({ asId: 1 });
  assert.equal([vcpu.gfnToSlot(0), vcpu.gfnToSlot(1)], [0x1_0007, -1]);
});

difference("The cached slot of a vCPU is tagged with the number of the publication", async () => {
  const vm = await MemslotEngine.create({ addressSpaces: 2 });
  vm.setUserMemoryRegionList([ownRegion(1, 0, 1), ownRegion(slotNumber(1, 2), 0, 1)]);
  const vcpu = vm.vcpu();
  const slots = [vcpu.gfnToSlot(0)];
  vcpu.asId = 1;
  slots.push(vcpu.gfnToSlot(0));
  vcpu.asId = 0;
  slots.push(vcpu.gfnToSlot(0));
  assert.equal(slots, [1, 0x1_0002, 1]);
  // As many commits as there are roots: the address of the root is the same again, the cached slot is not.
  for (const id of [3, 4, 5, 6])
    vm.setUserMemoryRegionList([deletion(slots[0]!), ownRegion((slots[0] = id), 0, 1)]);
  assert.is(vcpu.gfnToSlot(0), 6);
});

difference("Aliases come in the order of their ids", (vm) => {
  vm.setUserMemoryRegion(region(7, 0, 1, 0x100));
  vm.setUserMemoryRegion(region(3, 1, 1, 0x100));
  assert.equal(
    vm.hvaToGpas(0x100 * PAGE, 0x101 * PAGE).map(({ slot }) => slot),
    [3, 7],
  );
});

difference("The code that changes host memory calls the notifiers", async (vm) => {
  const [told, others]: number[][] = [[], []];
  vm.setUserMemoryRegion(ownRegion(1, 0, 4));
  // With a token of its own it counts as another thread.
  const worker = await MemslotEngine.attach({ ...vm.handle, owner: 2 ** 20 });
  addHostNotifier(worker, ({ slot }) => others!.push(slot));
  addHostNotifier(vm, ({ slot, gpa }) => {
    worker.setUserMemoryRegionList([ownRegion(2, 8 + told!.length, 1)], { wait: false });
    throwsErrno(() => worker.synchronize({ timeout: 1 }), "ETIMEDOUT");
    told!.push(slot, gpa);
  });
  invalidateHostRange(vm, 0x1001 * PAGE, 0x1002 * PAGE);
  assert.equal([told, others, vm.generation()], [[1, PAGE], [], 2]);
  worker.synchronize({ timeout: 1 });
});

difference("There are no pfn caches", (vm) => {
  assert.not.ok(methodsOf(vm).some((name) => /pfn/i.test(name)));
});

test("the page and this file have the same titles", () => {
  const titles = [...DOCUMENT.matchAll(/^\*\*([^*]+)\.\*\*/gm)].map((match) =>
    match[1]!.replace(/\s+/g, " "),
  );
  assert.equal(titles, tested);
});

test.run();
