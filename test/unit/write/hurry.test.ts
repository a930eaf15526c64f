/**
 * Hurry: when a writer keeps vCPUs from new sections, whom, for how long, and who ends it. One thread plays all parts,
 * under different owner tokens; the protocol model has the interleavings, test/stress the threads.
 */
import { type EngineOptions, MemslotEngine, type Slot } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { EngineExports } from "../../../src/core/exports.js";
import {
  GATE_CLOSED,
  HEADER,
  HURRY,
  OWNERS_PER_THREAD,
  READER,
  WAIT_HURRY,
} from "../../../src/core/layout.js";
import { encodeUserspaceMemoryRegion } from "../../../src/kvm/uapi.js";
import { checkInvariants } from "../../support/invariants.js";
import { Death, mortal } from "../../support/mortal.js";

const PAGE = 4096;
const COMMIT_WAIT = 1;
const PUBLISHED_PENDING = 2;
/** Owner tokens of three threads; the engine's own thread has a small one. */
const WRITER = 16 * OWNERS_PER_THREAD;
const STRAGGLER = 17 * OWNERS_PER_THREAD;
const COMER = 18 * OWNERS_PER_THREAD;
/** Commits that begin with a hurry after one that was late: HASTY of assembly/hurry.ts. */
const HASTY = 16;
/** Stores of a commit at which it is being built. */
const BUILDING = 15;

function region(slot: number, gfn: number, npages: number, host: number): Slot {
  return { slot, flags: 0, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

/** An engine with a core for raw calls, a vCPU in a section, and another one outside of any. */
class World {
  readonly engine: MemslotEngine;
  readonly core: ReturnType<typeof mortal>;
  readonly wasm: EngineExports;
  /** Owned by STRAGGLER, inside a section. */
  readonly straggler: number;
  /** Owned by COMER. */
  readonly comer: number;
  #gfn = 100;

  private constructor(engine: MemslotEngine) {
    this.engine = engine;
    this.core = mortal(engine.handle);
    this.wasm = this.core.wasm;
    this.straggler = this.wasm.claimVcpu(engine.base, STRAGGLER, 1);
    this.comer = this.wasm.claimVcpu(engine.base, COMER, 1);
    this.wasm.enterVcpu(this.straggler);
  }

  static async create(options: EngineOptions): Promise<World> {
    const engine = await MemslotEngine.create({ maxVcpus: 4, ...options });
    engine.setUserMemoryRegion(region(0, 0, 16, 100));
    return new World(engine);
  }

  word(address: number): number {
    return new Uint32Array(this.engine.memory.buffer)[address / 4]!;
  }

  header(field: keyof typeof HEADER): number {
    return this.word(this.engine.base + HEADER[field]);
  }

  get hurries(): boolean {
    return (this.header("root") & HURRY) !== 0;
  }

  isInside(reader: number): boolean {
    return this.word(reader + READER.pin) !== 0;
  }

  isBehind(reader: number): boolean {
    return this.isInside(reader) && this.word(reader + READER.pin) >>> 2 !== this.header("root") >>> 2;
  }

  /** Commit as WRITER, which waits for readers for `ms`; the result of commitList. */
  commit(ms: number, list = region(1, this.#gfn++, 1, 1000)): number {
    const { wasm, engine } = this;
    const locked = wasm.lockEngine(engine.base, WRITER, 0);
    if (locked < 0) return locked;
    const staging = wasm.stageList(engine.base, 1);
    new Uint8Array(engine.memory.buffer).set(encodeUserspaceMemoryRegion(list), staging);
    const result = wasm.commitList(engine.base, WRITER, 1, COMMIT_WAIT, ms);
    wasm.unlockEngine(engine.base);
    return result;
  }

  /** One more look at the readers, without sleep. */
  look(): number {
    const { wasm, engine } = this;
    assert.is(wasm.lockEngine(engine.base, WRITER, 0), 0);
    const result = wasm.synchronizeReaders(engine.base, WRITER, 0);
    wasm.unlockEngine(engine.base);
    return result;
  }

  /** A section of `reader`; true if it was held. */
  isHeld(reader: number): boolean {
    const { openings } = this;
    this.wasm.enterVcpu(reader);
    this.wasm.exitVcpu(reader);
    return this.openings !== openings;
  }

  get openings(): number {
    return this.header("openings");
  }
}

const CROWDED = { processors: 1 };
const ROOMY = { processors: 64 };

for (const shared of [true, false]) {
  const kind = shared ? "shared" : "unshared";

  test(`${kind}: a crowded writer that does not sleep is in a hurry until the last reader leaves`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    assert.is(world.commit(0), PUBLISHED_PENDING);
    assert.ok(world.hurries);
    assert.is(world.header("waiting"), WAIT_HURRY);
    assert.is(world.wasm.vcpuKicked(world.straggler), 1, "it is asked to leave");
    world.wasm.enterVcpu(world.straggler);
    world.wasm.exitVcpu(world.straggler);
    assert.ok(world.hurries, "a nested section is none");
    world.wasm.exitVcpu(world.straggler);
    assert.not(world.hurries);
    assert.is(world.header("waiting"), 0);
    assert.is(world.look(), 0);
    checkInvariants(world.engine);
  });

  test(`${kind}: a section is held once, and ends a hurry that nobody ends`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    world.commit(0);
    assert.ok(world.isHeld(world.comer));
    assert.not(world.hurries);
    assert.is(world.header("waiting"), 0);
    assert.not(world.isHeld(world.comer));
    assert.is(world.look(), -110, "the reader is there still");
    assert.not(world.hurries, "a publication has one hurry");
    assert.is(world.commit(0), PUBLISHED_PENDING);
    assert.ok(world.hurries, "the next one has its own");
  });

  test(`${kind}: a section that moves on is let in too`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    world.commit(0);
    assert.is(world.wasm.refreshSection(world.straggler), 1);
    assert.ok(world.isInside(world.straggler));
    assert.not(world.hurries);
    assert.is(world.look(), 0);
  });

  test(`${kind}: one-shot calls, and vCPUs whose thread must not sleep, are not held`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    const { wasm, engine } = world;
    const page = wasm.claimVcpu(engine.base, COMER, 0);
    const thread = wasm.claimThread(engine.base, COMER);
    world.commit(0);
    assert.not(world.isHeld(page));
    wasm.openSection(thread);
    assert.is(wasm.gpaToHva(thread, 100 * PAGE), 1000 * PAGE);
    wasm.exitSection(thread);
    assert.ok(world.hurries);
  });

  test(`${kind}: a writer that has slept in vain leaves its hurry to the last reader`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    const { openings } = world;
    assert.is(world.commit(5), PUBLISHED_PENDING);
    assert.ok(world.hurries, "it may come again");
    assert.is(world.header("waiting"), WAIT_HURRY);
    world.wasm.exitVcpu(world.straggler);
    assert.is(world.openings, openings + 1);
    assert.not(world.hurries);
  });

  test(`${kind}: where every thread has a processor, a reader must be late first`, async () => {
    const world = await World.create({ shared, ...ROOMY });
    world.commit(0);
    assert.not(world.hurries);
    world.look();
    assert.ok(world.hurries, "late once");
    for (let i = 0; i < HASTY; i++) {
      assert.ok(world.isHeld(world.comer));
      world.wasm.refreshSection(world.straggler);
      world.commit(0);
      assert.ok(world.hurries, `commit ${i} after it`);
    }
    world.wasm.exitVcpu(world.straggler);
    world.wasm.enterVcpu(world.straggler);
    world.commit(0);
    assert.not(world.hurries, "it waits again, to find out");
  });

  test(`${kind}: a sleeping writer is late after a millisecond, and then in a hurry`, async () => {
    const world = await World.create({ shared, ...ROOMY });
    const { openings } = world;
    world.commit(20);
    assert.ok(world.hurries);
    world.wasm.exitVcpu(world.straggler);
    assert.is(world.openings, openings + 1);
    assert.not(world.hurries);
  });

  test(`${kind}: vCPUs of one thread do not crowd its processor`, async () => {
    const world = await World.create({ shared, processors: 3 });
    world.wasm.claimVcpu(world.engine.base, COMER, 1);
    world.commit(0);
    assert.not(world.hurries, "the writer's thread and two others");
    world.wasm.claimVcpu(world.engine.base, COMER + OWNERS_PER_THREAD, 1);
    world.commit(0);
    assert.ok(world.hurries);
  });

  test(`${kind}: no hurry in a pause, and none with hurry: false`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    const { wasm, engine } = world;
    wasm.beginPause(engine.base, WRITER);
    world.commit(0);
    assert.is(world.header("root") & (GATE_CLOSED | HURRY), GATE_CLOSED);
    wasm.resumeVcpus(engine.base, WRITER, 0);
    const calm = await World.create({ shared, ...CROWDED, hurry: false });
    calm.commit(0);
    calm.look();
    calm.commit(20);
    assert.is(calm.openings, 0);
    assert.not(calm.hurries);
  });

  test(`${kind}: a pause takes over from a hurry, and the last reader still ends that`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    const { wasm, engine, straggler } = world;
    world.commit(0);
    assert.is(wasm.beginPause(engine.base, WRITER), 0);
    assert.is(wasm.awaitVcpus(engine.base, WRITER, 0), -110);
    wasm.exitVcpu(straggler);
    assert.is(world.header("root") & (GATE_CLOSED | HURRY), GATE_CLOSED);
    assert.is(wasm.resumeVcpus(engine.base, WRITER, 0), 0);
    assert.is(world.look(), 0);
  });

  test(`${kind}: after a preempted reader commits begin with a hurry, and end it whatever comes of them`, async () => {
    const world = await World.create({ shared, ...CROWDED });
    const { core, wasm, straggler, engine } = world;
    const beginsEarly = (): boolean => {
      let seen = false;
      core.interruptAt(BUILDING, () => {
        seen = world.hurries;
      });
      assert.ok(world.commit(5) > 0);
      assert.is(world.hurries, world.isBehind(straggler));
      return seen;
    };
    assert.not(beginsEarly(), "nobody was preempted yet");
    wasm.exitVcpu(straggler);
    for (let i = 0; i < HASTY; i++) assert.ok(beginsEarly(), `commit ${i} after it`);
    assert.not(beginsEarly());
    wasm.enterVcpu(straggler);
    world.commit(5);
    wasm.exitVcpu(straggler);
    const { openings } = world;
    assert.is(world.commit(5, region(1, 0, 1, 1000)), -17, "it overlaps");
    assert.is(world.openings, openings + 1);
    assert.not(world.hurries);
    checkInvariants(engine);
  });

  test(`${kind}: a writer that dies at any store of its hurry holds nobody`, async () => {
    let held = 0;
    for (const [ms, early] of [
      [0, false],
      [5, false],
      [5, true],
    ] as const) {
      let store = 1;
      for (let dead = true; dead; store++) {
        const world = await World.create({ shared, ...CROWDED });
        const { engine, wasm, core } = world;
        if (early) {
          world.commit(5);
          wasm.refreshSection(world.straggler);
        }
        core.dieAt(store);
        try {
          world.commit(ms);
          dead = false;
        } catch (error) {
          if (!(error instanceof Death)) throw error;
        }
        core.dieAt(0);
        const reaped = store % 2 === 0;
        if (world.hurries) held++;
        if (reaped) engine.reap(WRITER);
        else if (world.hurries) assert.ok(world.isHeld(world.comer), `store ${store}: once`);
        if (dead) assert.not(world.hurries, `store ${store}`);
        if (!reaped || !world.hurries) assert.not(world.isHeld(world.comer), `store ${store}: nobody`);
        engine.reap(WRITER);
        const behind = world.isBehind(world.straggler);
        wasm.exitVcpu(world.straggler);
        assert.not(world.hurries, `store ${store}, behind: ${behind}`);
        engine.setUserMemoryRegion(region(2, 200, 1, 9));
        checkInvariants(engine);
      }
      assert.ok(store > 30, `${store} stores`);
    }
    assert.ok(held > 0, "some died in it");
  });

  test(`${kind}: a reader that dies at any store on its way out leaves no hurry`, async () => {
    let store = 1;
    for (let dead = true; dead; store++) {
      const world = await World.create({ shared, ...CROWDED });
      const { engine, wasm, core, straggler } = world;
      world.commit(0);
      assert.ok(world.hurries);
      core.dieAt(store);
      try {
        wasm.exitVcpu(straggler);
        dead = false;
      } catch (error) {
        if (!(error instanceof Death)) throw error;
      }
      core.dieAt(0);
      engine.reap(STRAGGLER);
      assert.not(world.hurries, `store ${store}`);
      assert.is(world.header("waiting"), 0, `store ${store}`);
      assert.is(world.look(), 0);
      checkInvariants(engine);
    }
    assert.ok(store > (shared ? 2 : 4), `${store} stores`);
  });
}

test("options that make no sense are refused by name", async () => {
  const refused = async (options: object, type: unknown, name: RegExp) => {
    let error: unknown;
    await MemslotEngine.create(options).catch((caught) => {
      error = caught;
    });
    assert.instance(error, type as new () => Error);
    assert.match((error as Error).message, name);
  };
  await refused({ hurry: 1 }, TypeError, /^hurry must be a boolean, not 1/);
  await refused({ processors: "2" }, TypeError, /^processors must be an integer/);
  await refused({ processors: 0 }, RangeError, /^processors must be from 1 to 65536, not 0/);
  await refused({ processors: 1.5, hurry: false }, TypeError, /^processors must be an integer/);
});

test("the runtime's own number of processors is taken", async () => {
  const { availableParallelism } = await import("node:os");
  const engine = await MemslotEngine.create();
  const words = new Uint32Array(engine.memory.buffer);
  assert.is(words[(engine.base + HEADER.processors) / 4], availableParallelism());
});

test.run();
