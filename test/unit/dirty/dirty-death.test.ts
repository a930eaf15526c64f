/**
 * A thread that moves dirty pages dies at each of its stores, or another thread runs there: no dirty page is lost,
 * and rings, views and heap stay whole.
 */
import {
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  splitSlot,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  COMMIT_WAIT,
  DIRTY_GFN_BYTES,
  HEADER_STAGING_OFFSET,
  PLACE_BITS,
  RING_BYTES_MIN,
} from "../../../src/core/layout.js";
import { dirtyPages, hostPages } from "../../support/bitmap.js";
import { checkInvariants } from "../../support/invariants.js";
import { dies, type MortalEngine, mortal, OWNER, stageRegions } from "../../support/mortal.js";
import { PAGE, region } from "../../support/region.js";

/** Number of the first consumer that is opened: serial 1 in place 0. */
const SCREEN = 1 << PLACE_BITS;
/** Number of the second one: serial 2 in place 1. */
const SECOND = (2 << PLACE_BITS) | 1;
/** All host memory. */
const ALL = Number.MAX_SAFE_INTEGER;
/** Host page of the first page. */
const HOST = 5000;

/** The smallest ring, and its entries. */
const RING_BYTES = RING_BYTES_MIN;
const SIZE = RING_BYTES / DIRTY_GFN_BYTES;

async function newEngine(shared: boolean, rings: boolean): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ shared, maxSlots: 16, maxVcpus: 2 });
  if (rings) engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
  engine.setUserMemoryRegion(region(0, 0, 1000, HOST, LOG));
  return engine;
}

/** Under the writer lock of the mortal thread. */
function locked(engine: MemslotEngine, { wasm }: MortalEngine, work: (base: number) => number): number {
  assert.is(wasm.lockEngine(engine.base, OWNER, 0), 0);
  const result = work(engine.base);
  wasm.unlockEngine(engine.base);
  return result;
}

function ringOf(engine: MemslotEngine, { wasm }: MortalEngine): number {
  return locked(engine, { wasm } as MortalEngine, (base) => wasm.dirtyRingOf(base, 0)) >>> 0;
}

const rings = new WeakMap<MemslotEngine, DirtyRing>();

/** Ring 0, found once: a harvest needs no lock after that. */
function ring0(engine: MemslotEngine): DirtyRing {
  const ring = rings.get(engine) ?? new DirtyRing(engine, 0);
  rings.set(engine, ring);
  return ring;
}

/** Pages of ring 0. */
function harvest(engine: MemslotEngine): Set<number> {
  return new Set(
    ring0(engine)
      .harvest()
      .entries.map(({ offset }) => offset),
  );
}

function assertHas(found: ReadonlySet<number>, pages: readonly number[], note: string): void {
  const lost = pages.filter((page) => !found.has(page));
  assert.equal(lost, [], `${note}: pages lost`);
}

/** The ring takes as many pages as it has entries, and not one more. */
function assertWholeRing(engine: MemslotEngine, note: string): void {
  const ring = ring0(engine);
  ring.harvest();
  engine.resetDirtyRings();
  const vcpu = engine.vcpu();
  assert.is(vcpu.index, 0, note);
  for (let page = 0; page < SIZE; page++) vcpu.markDirty(page * PAGE);
  assert.equal([harvest(engine).size, ring.harvest().overflow], [SIZE, false], `${note}: full`);
  assert.is(engine.resetDirtyRings(), SIZE, note);
  assert.equal([harvest(engine).size, engine.resetDirtyRings()], [0, 0], `${note}: empty`);
  vcpu.release();
  checkInvariants(engine);
}

/** Call `body` with store 1, 2, 3 ... until what it does survives; the number of stores. */
async function atEachStore(body: (store: number) => Promise<boolean>): Promise<number> {
  let store = 1;
  while (await body(store)) store++;
  return store;
}

for (const shared of [true, false]) {
  const kind = shared ? "shared" : "unshared";

  test(`${kind}: a reset that dies at any store frees no entry that was not harvested`, async () => {
    const stores = await atEachStore(async (store) => {
      const engine = await newEngine(shared, true);
      const vcpu = engine.vcpu();
      for (let page = 0; page < 5; page++) vcpu.markDirty(page * PAGE);
      harvest(engine);
      for (let page = 10; page < 14; page++) vcpu.markDirty(page * PAGE);
      const writer = mortal(engine.handle);
      writer.dieAt(store);
      const dead = dies(() => locked(engine, writer, (base) => writer.wasm.resetDirtyRings(base)));
      const after = [10, 11, 12, 13];
      assertHas(harvest(engine), after, `store ${store}, before the repair`);
      vcpu.markDirty(20 * PAGE);
      engine.reap(OWNER);
      assertHas(harvest(engine), [...after, 20], `store ${store}`);
      engine.resetDirtyRings();
      assert.is(harvest(engine).size, 0, `store ${store}`);
      vcpu.release();
      assertWholeRing(engine, `store ${store}`);
      return dead;
    });
    assert.ok(stores > 10, `${stores} stores`);
  });

  test(`${kind}: a vCPU that dies at any store of a push loses at most that page`, async () => {
    for (const before of ["nothing", "harvest", "reset"]) {
      const stores = await atEachStore(async (store) => {
        const note = `store ${store}, ${before} before the reaping`;
        const engine = await newEngine(shared, true);
        const victim = mortal(engine.handle);
        const { wasm } = victim;
        const reader = wasm.claimVcpu(engine.base, OWNER, 1);
        assert.is(
          locked(engine, victim, () => wasm.attachDirtyRing(reader)),
          0,
        );
        for (const page of [1, 2, 3]) wasm.markDirty(reader, page * PAGE);
        victim.dieAt(store);
        const dead = dies(() => wasm.markDirty(reader, 5 * PAGE));
        const found = new Set<number>();
        const collect = () => {
          for (const page of harvest(engine)) found.add(page);
        };
        if (before !== "nothing") collect();
        if (before === "reset") engine.resetDirtyRings();
        engine.reap(OWNER);
        const next = engine.vcpu();
        next.markDirty(9 * PAGE);
        collect();
        assertHas(found, dead ? [1, 2, 3, 9] : [1, 2, 3, 5, 9], note);
        next.release();
        assertWholeRing(engine, note);
        return dead;
      });
      assert.ok(stores > 5, `${stores} stores`);
    }
  });

  test(`${kind}: a harvest that dies at any store can be repeated`, async () => {
    await atEachStore(async (store) => {
      const engine = await newEngine(shared, true);
      const vcpu = engine.vcpu();
      for (let page = 0; page < 5; page++) vcpu.markDirty(page * PAGE);
      const thread = mortal(engine.handle);
      const ring = ringOf(engine, thread);
      thread.dieAt(store);
      const dead = dies(() => thread.wasm.harvestDirtyRing(ring, thread.wasm.firstDirtyGfn(ring)));
      assert.is(harvest(engine).size, 5, `store ${store}`);
      vcpu.release();
      assertWholeRing(engine, `store ${store}`);
      return dead;
    });
  });

  test(`${kind}: a thread that dies while it enables or makes rings leaves whole rings or none`, async () => {
    const stores = await atEachStore(async (store) => {
      const engine = await newEngine(shared, false);
      const writer = mortal(engine.handle);
      const { wasm } = writer;
      writer.dieAt(store);
      const dead = dies(() => {
        locked(engine, writer, (base) => wasm.enableDirtyRing(base, RING_BYTES));
        const reader = wasm.claimVcpu(engine.base, OWNER, 1);
        locked(engine, writer, () => wasm.attachDirtyRing(reader));
      });
      engine.reap(OWNER);
      // The next thread that takes the lock repairs.
      engine.setUserMemoryRegion(region(3, 2000, 1, 1, LOG));
      checkInvariants(engine);
      if (wasm.dirtyRingBytes(engine.base) === 0) engine.enableCap(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
      engine.markDirty(0);
      const next = engine.vcpu();
      assert.is(ring0(engine).harvest().overflow, true, `store ${store}`);
      next.release();
      assertWholeRing(engine, `store ${store}`);
      return dead;
    });
    assert.ok(stores > 20, `${stores} stores`);
  });

  // ---- bitmaps ----

  test(`${kind}: a consumer's harvest that dies at any store loses no page of any consumer`, async () => {
    const stores = await atEachStore(async (store) => {
      const engine = await newEngine(shared, false);
      const screen = new DirtyConsumer(engine, "screen");
      const migration = new DirtyConsumer(engine, "migration");
      const pages = [1, 64, 700];
      for (const page of pages) engine.markDirty(page * PAGE);
      screen.begin();
      engine.markDirty(2 * PAGE);
      const thread = mortal(engine.handle);
      thread.dieAt(store);
      const dead = dies(() =>
        locked(engine, thread, (base) => thread.wasm.beginHarvest(base, SCREEN, 0, ALL)),
      );
      engine.markDirty(3 * PAGE);
      engine.reap(OWNER);
      const all = [...pages, 2, 3];
      for (const consumer of [screen, migration]) {
        assertHas(new Set(hostPages(consumer.begin(), HOST)), all, `store ${store}`);
      }
      assertHas(new Set(dirtyPages(engine.getDirtyLog(0))), all, `store ${store}`);
      checkInvariants(engine);
      return dead;
    });
    assert.ok(stores > 3, `${stores} stores`);
  });

  test(`${kind}: a consumer that dies while it is opened or closed takes nothing from another one`, async () => {
    for (const work of ["open", "open the first", "close", "close the last"]) {
      const stores = await atEachStore(async (store) => {
        const note = `${work}, store ${store}`;
        const engine = await newEngine(shared, false);
        engine.setUserMemoryRegionList([], {
          windows: [[{ gpa: 2 ** 30, bytes: 100, hva: (HOST + 2000) * PAGE, log: true }]],
        });
        const others = work === "open" || work === "close";
        const migration = others ? new DirtyConsumer(engine, "migration", { initially: "dirty" }) : undefined;
        const closes = work.startsWith("close");
        if (closes) new DirtyConsumer(engine, "screen");
        engine.markDirty(2 ** 30);
        engine.markDirty(64 * PAGE);
        const thread = mortal(engine.handle);
        const staging = new Uint8Array(engine.memory.buffer);
        thread.dieAt(store);
        const dead = dies(() =>
          locked(engine, thread, (base) => {
            if (closes) return thread.wasm.closeConsumer(base, others ? SECOND : SCREEN);
            const at = new Uint32Array(engine.memory.buffer)[(base + HEADER_STAGING_OFFSET) / 4]!;
            staging.set(new TextEncoder().encode("screen"), at);
            return thread.wasm.openConsumer(base, 6, 1);
          }),
        );
        engine.reap(OWNER);
        engine.setUserMemoryRegion(region(3, 2000, 1, 1, LOG));
        checkInvariants(engine);
        const all = Array.from({ length: 1000 }, (_, page) => page).concat(2000);
        if (migration !== undefined) assertHas(new Set(hostPages(migration.begin(), HOST)), all, note);
        const screen = new DirtyConsumer(engine, "screen", { initially: "dirty" });
        engine.markDirty(5 * PAGE);
        assertHas(new Set(hostPages(screen.begin(), HOST)), closes && dead ? [5] : all, note);
        checkInvariants(engine);
        return dead;
      });
      assert.ok(stores > 3, `${work}: ${stores} stores`);
    }
  });

  test(`${kind}: a consumer's abort that dies at any store leaves every page to the next harvest`, async () => {
    const stores = await atEachStore(async (store) => {
      const engine = await newEngine(shared, false);
      const screen = new DirtyConsumer(engine, "screen");
      for (const page of [1, 64, 700]) engine.markDirty(page * PAGE);
      screen.begin();
      const thread = mortal(engine.handle);
      thread.dieAt(store);
      const dead = dies(() =>
        locked(engine, thread, (base) => thread.wasm.endHarvest(base, SCREEN, 0, ALL, 1)),
      );
      engine.reap(OWNER);
      assert.equal(hostPages(screen.begin(), HOST), [1, 64, 700], `store ${store}`);
      return dead;
    });
    assert.ok(stores > 3, `${stores} stores`);
  });

  test(`${kind}: a list that dies at any store loses no dirty page of what stays mapped`, async () => {
    const stores = await atEachStore(async (store) => {
      const engine = await newEngine(shared, false);
      const screen = new DirtyConsumer(engine, "screen");
      const pages = [0, 63, 499, 500, 999];
      for (const page of pages.slice(0, 3)) engine.markDirty(page * PAGE);
      screen.begin();
      for (const page of pages) engine.markDirty(page * PAGE);
      const writer = mortal(engine.handle);
      const list = splitSlot(engine.slot(0)!, 500 * PAGE, 1);
      writer.dieAt(store);
      const dead = dies(() =>
        locked(engine, writer, (base) => {
          stageRegions(engine, writer, list);
          return writer.wasm.commitList(base, OWNER, list.length, COMMIT_WAIT, 0);
        }),
      );
      engine.reap(OWNER);
      const kvm = new Set<number>();
      const harvested = new Set(hostPages(screen.begin(), HOST));
      for (const { slot, guestPhysAddr } of engine.slots()) {
        const first = guestPhysAddr / PAGE;
        for (const page of dirtyPages(engine.getDirtyLog(slot))) kvm.add(first + page);
      }
      assert.equal([...harvested].sort(), [...pages].sort(), `store ${store}`);
      assert.equal([...kvm].sort(), [...pages].sort(), `store ${store}`);
      checkInvariants(engine);
      return dead;
    });
    assert.ok(stores > 100, `${stores} stores`);
  });
}

// ---- another thread at each store; the build for unshared memory has none ----

test("a push with a harvest and a reset at any of its stores loses nothing", async () => {
  for (const pushed of [false, true]) {
    for (let store = 1, interrupted = true; interrupted; store++) {
      const engine = await newEngine(true, true);
      const vcpu = mortal(engine.handle);
      const { wasm } = vcpu;
      const reader = wasm.claimVcpu(engine.base, OWNER, 1);
      locked(engine, vcpu, () => wasm.attachDirtyRing(reader));
      if (pushed) wasm.markDirty(reader, 5 * PAGE);
      const found = new Set<number>();
      const collect = () => {
        for (const page of harvest(engine)) found.add(page);
        engine.resetDirtyRings();
      };
      interrupted = false;
      vcpu.interruptAt(store, () => {
        interrupted = true;
        collect();
      });
      wasm.markDirty(reader, 5 * PAGE);
      collect();
      wasm.markDirty(reader, 6 * PAGE);
      collect();
      assertHas(found, [5, 6], `store ${store}`);
      wasm.releaseReader(reader);
      assertWholeRing(engine, `store ${store}`);
    }
  }
});

test("a reset with pushes and a harvest at any of its stores loses nothing", async () => {
  for (let store = 1, interrupted = true; interrupted; store++) {
    const engine = await newEngine(true, true);
    const vcpu = engine.vcpu();
    for (let page = 0; page < SIZE; page++) vcpu.markDirty(page * PAGE);
    harvest(engine);
    const overflow = () => ring0(engine).harvest().overflow;
    const found = new Set<number>();
    const writer = mortal(engine.handle);
    interrupted = false;
    writer.interruptAt(store, () => {
      interrupted = true;
      for (const page of [3, 700, 701]) vcpu.markDirty(page * PAGE);
      // The pages of the first harvest are among these, unless they are reset already.
      for (const page of harvest(engine)) found.add(page);
      vcpu.markDirty(702 * PAGE);
    });
    locked(engine, writer, (base) => writer.wasm.resetDirtyRings(base));
    for (const page of harvest(engine)) found.add(page);
    if (interrupted && !overflow()) assertHas(found, [3, 700, 701, 702], `store ${store}`);
    vcpu.release();
    assertWholeRing(engine, `store ${store}`);
  }
});

test("the first vCPU and the capability, at any of each other's stores: exactly one of them wins", async () => {
  for (const first of ["capability", "vCPU"]) {
    for (let store = 1, interrupted = true; interrupted; store++) {
      const engine = await newEngine(true, false);
      const thread = mortal(engine.handle);
      const { wasm } = thread;
      let enabled = false;
      let reader = 0;
      const enable = () => {
        enabled = wasm.enableDirtyRing(engine.base, RING_BYTES) === 0;
      };
      const claim = () => {
        reader = wasm.claimVcpu(engine.base, OWNER, 1);
      };
      interrupted = false;
      thread.interruptAt(store, () => {
        interrupted = true;
        (first === "capability" ? claim : enable)();
      });
      (first === "capability" ? enable : claim)();
      if (!interrupted) (first === "capability" ? claim : enable)();
      locked(engine, thread, () => wasm.attachDirtyRing(reader));
      assert.is(ringOf(engine, thread) !== 0, enabled, `${first} first, store ${store}`);
      checkInvariants(engine);
    }
  }
});

test("a page that is marked at any store of a harvest is in that harvest or the next", async () => {
  for (const work of ["get", "begin"]) {
    for (let store = 1, interrupted = true; interrupted; store++) {
      const engine = await newEngine(true, false);
      const screen = new DirtyConsumer(engine, "screen");
      for (const page of [0, 1, 2, 3]) engine.markDirty(page * 64 * PAGE);
      const thread = mortal(engine.handle);
      interrupted = false;
      thread.interruptAt(store, () => {
        interrupted = true;
        for (const page of [0, 1, 2, 3]) engine.markDirty((page * 64 + 5) * PAGE);
      });
      const logs: number[] = [];
      locked(engine, thread, (base) => {
        if (work === "begin") return thread.wasm.beginHarvest(base, SCREEN, 0, ALL);
        const at = thread.wasm.getDirtyLog(base, 0);
        logs.push(...dirtyPages(new Uint8Array(engine.memory.buffer, at, 128)));
        return 0;
      });
      logs.push(...(work === "get" ? dirtyPages(engine.getDirtyLog(0)) : hostPages(screen.begin(), HOST)));
      const told = interrupted ? [5, 69, 133, 197] : [];
      assertHas(new Set(logs), [0, 64, 128, 192, ...told], `${work}, store ${store}`);
    }
  }
});

test.run();
