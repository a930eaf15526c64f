/**
 * Death at every store: of a commit, of the repair after it, and of a reader. Whatever the dead writer was
 * about to do, readers see the old layout or the new one, the next commit succeeds, and nothing is lost for
 * ever.
 */
import { KvmError, type MappedRegion, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeMemoryRegion } from "../../src/uapi.js";
import { checkInvariants } from "../support/invariants.js";
import { Death, type MortalEngine, mortal } from "../support/mortal.js";

const PAGE = 4096;
const OWNER = 1000;
const COMMIT_WAIT = 1;

function region(slot: number, gfn: number, npages: number, host: number, flags = 0): MappedRegion {
  return { slot, flags, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

/** 70 slots of 2 pages with holes: three chunks, so that the list below splits, merges and drops some. */
function layout(): MappedRegion[] {
  return Array.from({ length: 70 }, (_, i) => region(i, i * 4, 2, 1000 + i * 2, i % 10 === 0 ? 1 : 0));
}

/** Deletes, creates, a move, a swap, flags on and off, in both address spaces. */
function change(): MappedRegion[] {
  const swap = [region(1, 8, 2, 1002), region(2, 4, 2, 1004)];
  const gone = [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32].map((slot) => region(slot, 0, 0, 0));
  const made = Array.from({ length: 40 }, (_, i) =>
    region(100 + i, 500 + i * 3, 3, 4000 + i, i === 7 ? 1 : 0),
  );
  const other = [region((1 << 16) | 5, 77, 9, 300, 1)];
  const flags = [region(3, 12, 2, 1006, 1), region(10, 40, 2, 1020, 0)];
  return [...swap, ...gone, ...made, ...other, ...flags];
}

/** What every page of both address spaces translates to. */
function lookups(engine: MemslotEngine): string {
  const answers = [0, 1].map((asId) =>
    Array.from({ length: 640 }, (_, gfn) => engine.gpaToHva(gfn * PAGE, asId)),
  );
  return JSON.stringify([answers, engine.generation(0), engine.generation(1)]);
}

async function newEngine(shared: boolean): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ shared, addressSpaces: 2, maxSlots: 160, maxVcpus: 2 });
  engine.setUserMemoryRegionList(layout());
  return engine;
}

/** A commit by raw calls, as the facade makes them. */
function commit(engine: MemslotEngine, { wasm }: MortalEngine, list: readonly MappedRegion[]): number {
  const locked = wasm.lockEngine(engine.base, OWNER, 0);
  if (locked < 0) return locked;
  const staging = wasm.stageList(engine.base, list.length);
  const bytes = new Uint8Array(engine.memory.buffer);
  list.forEach((entry, i) => {
    bytes.set(encodeMemoryRegion(entry), staging + i * 32);
  });
  const result = wasm.commitList(engine.base, OWNER, list.length, COMMIT_WAIT, 0);
  wasm.unlockEngine(engine.base);
  return result;
}

/** Run `work`; true if it died. */
function dies(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (error) {
    if (error instanceof Death) return true;
    throw error;
  }
}

for (const shared of [true, false]) {
  const kind = shared ? "shared" : "unshared";

  test(`${kind}: a writer that dies at any store leaves the old layout or the new one`, async () => {
    const model = await newEngine(shared);
    const before = lookups(model);
    model.setUserMemoryRegionList(change());
    const after = lookups(model);
    let store = 1;
    let old = 0;
    for (; ; store++) {
      const engine = await newEngine(shared);
      const writer = mortal(engine.handle);
      writer.dieAt(store);
      const dead = dies(() => commit(engine, writer, change()));
      const seen = lookups(engine);
      assert.ok(seen === before || seen === after, `store ${store}: neither layout`);
      if (!dead) break;
      if (seen === before) old++;
      engine.reap(OWNER);
      assert.is(lookups(engine), seen, `store ${store}: reaping changed the layout`);
      engine.setUserMemoryRegion(region(159, 630, 1, 9));
      checkInvariants(engine);
      engine.setUserMemoryRegion(region(159, 0, 0, 0));
      engine.setUserMemoryRegionList(seen === before ? change() : layout().slice(40, 42));
      checkInvariants(engine);
    }
    assert.ok(store > 300 && old > 200 && store - old > 20, `${store} stores, ${old} before the publication`);
  });

  test(`${kind}: a repair that dies at any store is done again`, async () => {
    let store = 1;
    for (let dead = true; dead; store++) {
      const engine = await newEngine(shared);
      const writer = mortal(engine.handle);
      writer.dieAt(420);
      assert.ok(dies(() => commit(engine, writer, change())));
      const seen = lookups(engine);
      engine.reap(OWNER);
      writer.dieAt(store);
      dead = dies(() => commit(engine, writer, []));
      if (dead) engine.reap(OWNER);
      assert.is(lookups(engine), seen, `store ${store}`);
      engine.setUserMemoryRegion(region(159, 630, 1, 9));
      checkInvariants(engine);
    }
    assert.ok(store > 100, `${store} stores`);
  });

  test(`${kind}: a dead vCPU frees its line and what it pinned`, async () => {
    let store = 1;
    for (let dead = true; dead; store++) {
      const engine = await newEngine(shared);
      const { wasm, dieAt } = mortal(engine.handle);
      dieAt(store);
      dead = dies(() => {
        const reader = wasm.claimVcpu(engine.base, OWNER);
        wasm.enterSection(reader);
        wasm.gpaToHva(reader, PAGE);
        wasm.markDirty(reader, 0);
        wasm.refreshSection(reader);
        wasm.exitSection(reader);
        wasm.releaseReader(reader);
      });
      engine.reap(OWNER);
      engine.setUserMemoryRegionList(change(), { timeout: 0 });
      checkInvariants(engine);
      const vcpus = [engine.vcpu(), engine.vcpu()];
      assert.throws(
        () => engine.vcpu(),
        (error: unknown) => error instanceof KvmError && error.code === "EAGAIN",
      );
      for (const vcpu of vcpus) vcpu.release();
    }
    assert.ok(store > 20, `${store} stores`);
  });

  test(`${kind}: a lock that nobody gives back is EBUSY, and nothing has happened`, async () => {
    const engine = await newEngine(shared);
    const writer = mortal(engine.handle);
    writer.dieAt(50);
    assert.ok(dies(() => commit(engine, writer, change())));
    const seen = lookups(engine);
    const busy = (error: unknown) => error instanceof KvmError && error.code === "EBUSY";
    assert.throws(() => engine.setUserMemoryRegionList(change(), { timeout: 20 }), busy);
    assert.throws(() => engine.pauseVcpus({ timeout: 20 }), busy);
    assert.is(lookups(engine), seen);
    engine.reap(OWNER);
    engine.setUserMemoryRegionList(change());
    checkInvariants(engine);
  });
}

test("a request is never lost to a section of the layout that it was to end", async () => {
  const engine = await newEngine(true);
  const vcpu = mortal(engine.handle);
  const reader = vcpu.wasm.claimVcpu(engine.base, OWNER);
  const enter = () => vcpu.wasm.enterSection(reader);
  enter();
  vcpu.wasm.exitSection(reader);
  engine.kick();
  const before = vcpu.stores;
  enter();
  const stores = vcpu.stores - before;
  vcpu.wasm.exitSection(reader);
  assert.is(stores, 3, "request, nesting, pin");
  for (let store = 1; store <= stores; store++) {
    engine.kick();
    let published = 0;
    vcpu.interruptAt(store, () => {
      const list = [region(3, 12, 2, 5000 + store)];
      engine.setUserMemoryRegionList([region(3, 0, 0, 0), ...list], { wait: false });
      engine.kick();
      published = list[0]!.userspaceAddr;
    });
    enter();
    assert.ok(published > 0);
    const newest = vcpu.wasm.gpaToHva(reader, 12 * PAGE) === published;
    assert.ok(newest || vcpu.wasm.vcpuKicked(reader) === 1, `interrupted before store ${store}`);
    vcpu.wasm.exitSection(reader);
    engine.synchronize();
  }
});

test.run();
