/**
 * Death at every store of a TLB: of its making, of fills, of what settles and drops entries. After the reaping no page
 * that was written is lost, the heap is whole, and the line can be had again.
 */
import { DirtyRing, KVM_CAP_DIRTY_LOG_RING, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dirtyPages } from "../../support/bitmap.js";
import { checkInvariants } from "../../support/invariants.js";
import { Death, type MortalEngine, mortal } from "../../support/mortal.js";
import { TLB_READ, TLB_WRITE } from "../../support/tlb.js";

const PAGE = 4096;
const OWNER = 1000;
const ENTRIES = 64;
/** Pages that share an entry. */
const [FIRST, SECOND] = [5, 68];

function region(slot: number, gfn: number, npages: number, host: number, flags = 0) {
  return { slot, flags, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

function dies(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (error) {
    if (error instanceof Death) return true;
    throw error;
  }
}

async function newEngine(shared: boolean, rings: boolean): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ shared, maxSlots: 16, maxVcpus: 1, addressSpaces: 2 });
  if (rings) engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  engine.setUserMemoryRegion(region(0, 0, 100, 5000, 1));
  return engine;
}

/** The next holder of the lock repairs and frees; everything is whole then, and a vCPU has the line. */
function assertWhole(engine: MemslotEngine, note: string): void {
  engine.reap(OWNER);
  engine.setUserMemoryRegion(region(3, 500, 1, 1));
  checkInvariants(engine);
  const vcpu = engine.vcpu({ tlbEntries: ENTRIES });
  assert.is(vcpu.index, 0, note);
  checkInvariants(engine);
  vcpu.release();
  engine.setUserMemoryRegion(region(3, 500, 0, 1));
  checkInvariants(engine);
}

function attach(engine: MemslotEngine, { wasm }: MortalEngine): number {
  const reader = wasm.claimVcpu(engine.base, OWNER, 1);
  assert.is(wasm.lockEngine(engine.base, OWNER, 0), 0);
  if (wasm.dirtyRingBytes(engine.base) !== 0) assert.is(wasm.attachDirtyRing(reader), 0);
  assert.is(wasm.attachTlb(reader, ENTRIES), 0);
  wasm.unlockEngine(engine.base);
  return reader;
}

function harvest(engine: MemslotEngine, rings: boolean): number[] {
  if (!rings) return dirtyPages(engine.getDirtyLog(0));
  const { entries } = new DirtyRing(engine, 0).harvest();
  engine.resetDirtyRings();
  return entries.map(({ offset }) => offset);
}

/** Call `body` with store 1, 2, 3 ... until what it does survives. */
async function atEachStore(least: number, body: (store: number) => Promise<boolean>): Promise<void> {
  let store = 1;
  while (await body(store)) store++;
  assert.ok(store > least, `${store} stores`);
}

for (const shared of [true, false]) {
  const kind = shared ? "shared" : "unshared";

  test(`${kind}: a vCPU that dies while its TLB is made, or given back, leaves no memory behind`, async () => {
    await atEachStore(25, async (store) => {
      const engine = await newEngine(shared, false);
      const victim = mortal(engine.handle);
      victim.dieAt(store);
      const dead = dies(() => {
        const reader = attach(engine, victim);
        victim.wasm.releaseReader(reader);
        attach(engine, victim);
      });
      assertWhole(engine, `store ${store}`);
      return dead;
    });
  });

  for (const rings of [false, true]) {
    const log = rings ? "ring" : "bitmap";

    test(`${kind}, ${log}: what a vCPU has written is in the next harvest, wherever it dies after one`, async () => {
      await atEachStore(30, async (store) => {
        const note = `store ${store}`;
        const engine = await newEngine(shared, rings);
        const victim = mortal(engine.handle);
        const { wasm } = victim;
        const reader = attach(engine, victim);
        wasm.enterSection(reader);
        for (const page of [1, 2, FIRST]) wasm.fillTlb(reader, page * PAGE, TLB_WRITE);
        assert.equal(harvest(engine, rings), [1, 2, FIRST], note);
        // The marks are taken, and the vCPU writes on. None of what follows may lose that.
        const written = new Set([1, 2, FIRST]);
        victim.dieAt(store);
        const dead = dies(() => {
          wasm.fillTlb(reader, FIRST * PAGE, TLB_READ);
          wasm.fillTlb(reader, SECOND * PAGE, TLB_WRITE);
          written.add(SECOND);
          wasm.refreshSection(reader);
          wasm.fillTlb(reader, 7 * PAGE, TLB_WRITE);
          written.add(7);
          wasm.setAddressSpace(reader, 1);
          wasm.setAddressSpace(reader, 0);
          wasm.exitSection(reader);
        });
        engine.reap(OWNER);
        const told = new Set(harvest(engine, rings));
        assert.equal(
          [...written].filter((page) => !told.has(page)),
          [],
          `${note}: lost`,
        );
        assertWhole(engine, note);
        return dead;
      });
    });
  }

  test(`${kind}: a flush that dies at any store leaves nothing that the line's next owner could hit`, async () => {
    await atEachStore(5, async (store) => {
      const engine = await newEngine(shared, false);
      const victim = mortal(engine.handle);
      const { wasm } = victim;
      const reader = attach(engine, victim);
      wasm.enterSection(reader);
      wasm.fillTlb(reader, PAGE, TLB_WRITE);
      wasm.exitSection(reader);
      engine.setUserMemoryRegion(region(1, 200, 1, 7));
      victim.dieAt(store);
      const dead = dies(() => {
        wasm.enterSection(reader);
        wasm.exitSection(reader);
      });
      assert.equal(dirtyPages(engine.getDirtyLog(0)), [1]);
      assertWhole(engine, `store ${store}`);
      return dead;
    });
  });

  test(`${kind}: a reaper that dies at any store of a reaping is reaped in turn, and nothing is lost`, async () => {
    await atEachStore(8, async (store) => {
      const engine = await newEngine(shared, false);
      const victim = mortal(engine.handle);
      const reader = attach(engine, victim);
      victim.wasm.enterSection(reader);
      for (const page of [1, 2]) victim.wasm.fillTlb(reader, page * PAGE, TLB_WRITE);
      engine.getDirtyLog(0);
      const reaper = mortal(engine.handle);
      reaper.dieAt(store);
      const dead = dies(() => reaper.wasm.reapOwner(engine.base, OWNER + 1, OWNER));
      engine.reap(OWNER + 1);
      engine.reap(OWNER);
      assert.equal(dirtyPages(engine.getDirtyLog(0)), [1, 2], `store ${store}`);
      assertWhole(engine, `store ${store}`);
      return dead;
    });
  });
}

test.run();
