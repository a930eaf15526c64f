/**
 * Death at every store: of a commit, of the repair after it, and of a reader. Readers see the old layout or the
 * new one, the next commit succeeds, and no memory or reader line is lost.
 */
import { KVM_MEM_LOG_DIRTY_PAGES as LOG, MemslotEngine, type Slot } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { COMMIT_WAIT } from "../../../src/core/layout.js";
import { throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { dies, type MortalEngine, mortal, OWNER, stageRegions } from "../../support/mortal.js";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

/** Stores of a commit of `change` at which a writer dies: with the lock only; with the new layout half built. */
const STORE_WITH_LOCK = 50;
const STORE_OF_BUILDING = 420;

/** Fewer stores than these, and a test no longer visits the code that it was written for. */
const COMMIT_STORES_MIN = 300;
const STORES_BEFORE_PUBLICATION_MIN = 200;
const STORES_AFTER_PUBLICATION_MIN = 20;
const REPAIR_STORES_MIN = 100;
const VCPU_STORES_MIN = 20;

/** 70 slots of 2 pages with holes: three chunks, so that the list below splits, merges and drops some. */
function layout(): Slot[] {
  return Array.from({ length: 70 }, (_, i) => region(i, i * 4, 2, 1000 + i * 2, i % 10 === 0 ? LOG : 0));
}

/** Deletes, creates, a move, a swap, flags on and off, in both address spaces. */
function change(): Slot[] {
  const swap = [region(1, 8, 2, 1002), region(2, 4, 2, 1004)];
  const gone = [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32].map(deletion);
  const made = Array.from({ length: 40 }, (_, i) =>
    region(100 + i, 500 + i * 3, 3, 4000 + i, i === 7 ? LOG : 0),
  );
  const other = [region(slotNumber(1, 5), 77, 9, 300, LOG)];
  const flags = [region(3, 12, 2, 1006, LOG), region(10, 40, 2, 1020)];
  return [...swap, ...gone, ...made, ...other, ...flags];
}

/** Translations of every page of both address spaces, and the generations. */
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
function commit(engine: MemslotEngine, writer: MortalEngine, list: readonly Slot[]): number {
  const { wasm } = writer;
  const locked = wasm.lockEngine(engine.base, OWNER, 0);
  if (locked < 0) return locked;
  stageRegions(engine, writer, list);
  const result = wasm.commitList(engine.base, OWNER, list.length, COMMIT_WAIT, 0);
  wasm.unlockEngine(engine.base);
  return result;
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
      engine.setUserMemoryRegion(deletion(159));
      engine.setUserMemoryRegionList(seen === before ? change() : layout().slice(40, 42));
      checkInvariants(engine);
    }
    const stores = `${store} stores, ${old} before the publication`;
    assert.ok(store > COMMIT_STORES_MIN, stores);
    assert.ok(old > STORES_BEFORE_PUBLICATION_MIN, stores);
    assert.ok(store - old > STORES_AFTER_PUBLICATION_MIN, stores);
  });

  test(`${kind}: a repair that dies at any store is repeated by the next writer`, async () => {
    let store = 1;
    for (let dead = true; dead; store++) {
      const engine = await newEngine(shared);
      const writer = mortal(engine.handle);
      writer.dieAt(STORE_OF_BUILDING);
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
    assert.ok(store > REPAIR_STORES_MIN, `${store} stores`);
  });

  test(`${kind}: a dead vCPU frees its line and what it pinned`, async () => {
    let store = 1;
    for (let dead = true; dead; store++) {
      const engine = await newEngine(shared);
      const { wasm, dieAt } = mortal(engine.handle);
      dieAt(store);
      dead = dies(() => {
        const reader = wasm.claimVcpu(engine.base, OWNER, 1);
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
      throwsErrno(() => engine.vcpu(), "EAGAIN");
      for (const vcpu of vcpus) vcpu.release();
    }
    assert.ok(store > VCPU_STORES_MIN, `${store} stores`);
  });

  test(`${kind}: a lock that a dead thread holds is EBUSY, and nothing changes`, async () => {
    const engine = await newEngine(shared);
    const writer = mortal(engine.handle);
    writer.dieAt(STORE_WITH_LOCK);
    assert.ok(dies(() => commit(engine, writer, change())));
    const seen = lookups(engine);
    throwsErrno(() => engine.setUserMemoryRegionList(change(), { timeout: 20 }), "EBUSY");
    throwsErrno(() => engine.pauseVcpus({ timeout: 20 }), "EBUSY");
    assert.is(lookups(engine), seen);
    engine.reap(OWNER);
    engine.setUserMemoryRegionList(change());
    checkInvariants(engine);
  });
}

test("a request to leave reaches every section of an old layout", async () => {
  const engine = await newEngine(true);
  const vcpu = mortal(engine.handle);
  const reader = vcpu.wasm.claimVcpu(engine.base, OWNER, 1);
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
      engine.setUserMemoryRegionList([deletion(3), ...list], { wait: false });
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
