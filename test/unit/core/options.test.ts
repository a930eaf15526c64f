/** Options: an unknown one is refused by its name, before anything happens. Entries accept each other's engines. */
import {
  addHostNotifier,
  DirtyConsumer,
  DirtyRing,
  guestMemory,
  invalidateHostRange,
  MemslotEngine,
  markHostRangeDirty,
  readersOf,
  record,
  resizeSlot,
  superviseWorker,
  takeDirtyPages,
} from "memslots";
import { FlatViews, kvmRegions, MemoryRegion, Pc, parseIomem, parseMtree } from "memslots/flatview";
import { V86Map } from "memslots/v86";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ownRegion } from "../../support/region.js";

const TYPO = { tiemout: 1 } as never;

/** The error of a call, whether it throws or rejects. */
async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("an option that does not exist is a TypeError with its name, and changes nothing", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion(ownRegion(0, 0, 4));
  const { publications } = engine;
  const views = new FlatViews(engine);
  const root = MemoryRegion.container("root", 0x1000);
  const pc = { chipset: "q35", ram: root, bios: root, tiemout: 1 } as never;
  const calls: Record<string, () => unknown> = {
    create: () => MemslotEngine.create(TYPO),
    list: () => engine.setUserMemoryRegionList([], TYPO),
    listAsync: () => engine.setUserMemoryRegionListAsync([], TYPO),
    vcpu: () => engine.vcpu(TYPO),
    synchronize: () => engine.synchronize(TYPO),
    synchronizeAsync: () => engine.synchronizeAsync(TYPO),
    pause: () => engine.pauseVcpus(TYPO),
    pauseAsync: () => engine.pauseVcpusAsync(TYPO),
    waitGeneration: () => engine.waitGeneration(0, TYPO),
    attributes: () => engine.setMemoryAttributes({ address: 0, size: 0, attributes: 0, tiemout: 1 } as never),
    enableCap: () => engine.enableCap({ cap: 168, tiemout: 1 } as never),
    guestMemory: () => guestMemory(engine, new ArrayBuffer(8), TYPO),
    record: () => record(engine, () => {}, TYPO),
    consumer: () => new DirtyConsumer(engine, "new", TYPO),
    resizeSlot: () => resizeSlot(engine.slot(0)!, TYPO),
    set: () => views.set(root, TYPO),
    addListener: () => views.addListener({}, TYPO),
    kvmRegions: () => kvmRegions(undefined as never, TYPO),
    pc: () => new Pc(pc),
    parseMtree: () => parseMtree("", TYPO),
    parseIomem: () => parseIomem("", TYPO),
    v86: () => V86Map.create({ v86: {}, memory: new Uint8Array(8), tiemout: 1 } as never),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await errorOf(call);
    assert.ok(error instanceof TypeError, name);
    assert.match((error as Error).message, /\btiemout is unknown, it must be one of /, name);
  }
  const window = { gpa: 0, bytes: 1, device: 0, readonly: true } as never;
  const misplaced = await errorOf(() => engine.setUserMemoryRegionList([], { windows: [[window]] }));
  assert.match(String(misplaced), /^TypeError: windows\[0\]\[0\]\.readonly is unknown/);
  assert.is(engine.publications, publications);
  assert.equal(
    readersOf(engine).filter(({ kind }) => kind === "vcpu"),
    [],
  );
});

test("what takes an engine refuses anything else by its name", async () => {
  const calls: ((engine: never) => unknown)[] = [
    (engine) => guestMemory(engine, new ArrayBuffer(8)),
    (engine) => record(engine, () => {}),
    (engine) => new DirtyConsumer(engine, "a"),
    (engine) => new DirtyRing(engine, 0),
    (engine) => takeDirtyPages(engine, 0, new Uint32Array(1)),
    (engine) => readersOf(engine),
    (engine) => superviseWorker(engine, {} as never),
    (engine) => addHostNotifier(engine, () => {}),
    (engine) => invalidateHostRange(engine, 0, 1),
    (engine) => markHostRangeDirty(engine, 0, 1),
    (engine) => new FlatViews(engine),
  ];
  for (const call of calls) {
    for (const other of [undefined, null, 1, {}, new ArrayBuffer(8)]) {
      const error = await errorOf(() => call(other as never));
      assert.match(String(error), /^TypeError: engine must be a MemslotEngine/, `${call} of ${other}`);
    }
  }
});

test("an engine of memslots/url works with the functions of the other entries", async () => {
  const { MemslotEngine: Fetched } = await import("memslots/url");
  const engine = await Fetched.create();
  new FlatViews(engine).set(MemoryRegion.ram("ram", 0x4000, 0));
  const memory = guestMemory(engine, new ArrayBuffer(0x4000));
  memory.setUint32(0x1000, 7, true);
  assert.is(memory.getUint32(0x1000, true), 7);
});

test.run();
