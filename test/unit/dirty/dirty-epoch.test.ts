/** Whatever takes dirty pages advances the dirty epoch; whatever takes none leaves it. */
import {
  DirtyConsumer,
  DirtyRing,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_LOG_DIRTY_PAGES,
  MemslotEngine,
  takeDirtyPages,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { instantiateEngine } from "../../../src/core/instantiate.js";

const LOGGED = {
  slot: 0,
  flags: KVM_MEM_LOG_DIRTY_PAGES,
  guestPhysAddr: 0,
  memorySize: 0x40000,
  userspaceAddr: 0,
};
const BITMAP = new Uint8Array(8).fill(0xff);

test("bitmaps: GET, CLEAR, takeDirtyPages and consumers advance it; lookups, marks and commits do not", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(LOGGED);
  const vcpu = engine.vcpu();
  const wasm = instantiateEngine(engine.handle.module, engine.memory);
  const moved = (work: () => void) => {
    const before = wasm.dirtyEpochOf(vcpu.reader);
    work();
    return wasm.dirtyEpochOf(vcpu.reader) !== before;
  };
  assert.not(
    moved(() => engine.getDirtyLog(0)),
    "nothing is dirty",
  );
  vcpu.markDirty(0);
  assert.ok(moved(() => engine.getDirtyLog(0)));
  assert.not(
    moved(() => takeDirtyPages(engine, 0, new Uint32Array(1))),
    "nothing is dirty",
  );
  vcpu.markDirty(0);
  assert.ok(moved(() => takeDirtyPages(engine, 0, new Uint32Array(1))));
  assert.ok(moved(() => engine.clearDirtyLog(0, 0, 64, BITMAP)));
  let consumer!: DirtyConsumer;
  assert.ok(
    moved(() => (consumer = new DirtyConsumer(engine, "screen"))),
    "a new consumer begins behind what is live",
  );
  assert.ok(moved(() => consumer.begin()));
  assert.not(
    moved(() => {
      vcpu.enter();
      vcpu.markDirty(0x1000);
      vcpu.refresh();
      vcpu.exit();
      engine.setUserMemoryRegion({ ...LOGGED, flags: 0 });
      engine.setUserMemoryRegion(LOGGED);
    }),
  );
  engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
  assert.not(
    moved(() => engine.getDirtyLog(0)),
    "with manual protection GET takes nothing",
  );
  assert.ok(moved(() => engine.clearDirtyLog(0, 0, 64, BITMAP)));
  engine.close();
});

test("rings: a harvest and a reset advance it", async () => {
  const engine = await MemslotEngine.create();
  engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
  engine.setUserMemoryRegion(LOGGED);
  const vcpu = engine.vcpu();
  const wasm = instantiateEngine(engine.handle.module, engine.memory);
  const ring = new DirtyRing(engine, vcpu.index);
  const epoch = () => wasm.dirtyEpochOf(vcpu.reader);
  const first = epoch();
  vcpu.markDirty(0x1000);
  assert.is(epoch(), first);
  assert.is(ring.harvest().entries.length, 1);
  const harvested = epoch();
  assert.is.not(harvested, first);
  engine.resetDirtyRings();
  assert.is.not(epoch(), harvested);
  engine.close();
});

test("asking for the epoch leaves the section as it is", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(LOGGED);
  const vcpu = engine.vcpu();
  const wasm = instantiateEngine(engine.handle.module, engine.memory);
  vcpu.enter();
  wasm.dirtyEpochOf(vcpu.reader);
  engine.setUserMemoryRegion({ ...LOGGED, memorySize: 0 });
  assert.is(vcpu.gpaToHva(0x1000), 0x1000, "the section keeps its layout");
  vcpu.exit();
  assert.is(vcpu.gpaToHva(0x1000), -1);
  wasm.dirtyEpochOf(vcpu.reader);
  engine.setUserMemoryRegion(LOGGED);
  engine.close();
});

test.run();
