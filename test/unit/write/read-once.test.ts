/**
 * Arguments are read once, before anything happens: what a getter does to a list, a window or the options changes
 * nothing but itself.
 */
import { KvmError, MemslotEngine, type MmioWindow, type Slot } from "memslots";
import { FlatViews, MemoryRegion } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ownRegion } from "../../support/region.js";

const ids = (engine: MemslotEngine) => engine.slots().map(({ slot }) => slot);

/** A region whose slot number is asked for, and then something happens. */
function trap(slot: number, happens: () => void): Slot {
  return Object.defineProperty(ownRegion(slot, slot, 1), "slot", {
    get: () => {
      happens();
      return slot;
    },
    enumerable: true,
  });
}

test("a list that shrinks while it is read is refused, and no entry of an earlier list comes back", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([5, 6, 7].map((slot) => ownRegion(slot, slot, 1)));
  engine.setUserMemoryRegionList([6, 7].map((slot) => ({ ...ownRegion(slot, 0, 0) })));
  const list: Slot[] = [];
  list.push(
    trap(9, () => {
      list.length = 1;
    }),
    ownRegion(10, 10, 1),
    ownRegion(11, 11, 1),
  );
  assert.throws(() => engine.setUserMemoryRegionList(list), /regions\[1\] must be an object, not undefined/);
  assert.equal(ids(engine), [5]);
});

test("a list that grows while it is read has the entries that it had", async () => {
  const engine = await MemslotEngine.create();
  const list: Slot[] = [];
  list.push(trap(1, () => list.push(ownRegion(2, 2, 1))));
  engine.setUserMemoryRegionList(list);
  assert.equal(ids(engine), [1]);
});

test("each field of a change of windows, and of a window, is asked for once", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  /** The same object with getters, each of which is another value at its second look. */
  const once = <T extends object>(object: T): T => {
    const read = new Set<string>();
    return Object.defineProperties(
      {},
      Object.fromEntries(
        Object.entries(object).map(([name, value]) => {
          const get = () => {
            if (read.has(name)) return 0x777_7777;
            read.add(name);
            return value;
          };
          return [name, { get, enumerable: true }];
        }),
      ),
    ) as T;
  };
  const windows = [
    { gpa: 0, bytes: 4096, hole: true },
    { gpa: 0x9000, bytes: 4, device: 2, offset: 1 },
    { gpa: 0x1_0000, bytes: 64, mirrorOf: 0, period: 32, stripe: once({ unit: 8, ways: 2 }) },
    { gpa: 0x2_0000, bytes: 4096, hva: 0x5000, log: true },
  ] as MmioWindow[];
  engine.setUserMemoryRegionList([], { windows: [windows.map(once)] });
  const there = engine.windows();
  assert.is(there.length, 4);
  const add = { gpa: 0xa000, bytes: 8, device: 5 };
  const windowChanges = [once({ asId: 0, remove: 0x9000 }), once({ asId: 1, add: once(add) })];
  engine.setUserMemoryRegionList([], { windowChanges });
  assert.equal(engine.windows(), [there[0], there[2], there[3]]);
  assert.equal(engine.windows(1), [{ ...add, offset: 0 }]);
});

test("a getter that throws, or a hole in the list, changes nothing", async () => {
  const engine = await MemslotEngine.create();
  const fails = trap(1, () => {
    throw new Error("no");
  });
  assert.throws(() => engine.setUserMemoryRegionList([ownRegion(0, 0, 1), fails]), /^no$/);
  // biome-ignore lint/suspicious/noSparseArray: a list with a hole
  const holes = [ownRegion(0, 0, 1), , ownRegion(2, 2, 1)] as Slot[];
  assert.throws(() => engine.setUserMemoryRegionList(holes), /regions\[1\] must be an object/);
  assert.equal(ids(engine), []);
  assert.is(engine.publications, 0);
});

test("a getter that commits: its list comes first, and is whole", async () => {
  const engine = await MemslotEngine.create();
  const nested = trap(1, () => engine.setUserMemoryRegion(ownRegion(3, 3, 1)));
  engine.setUserMemoryRegionList([nested, ownRegion(2, 2, 1)]);
  assert.equal(ids(engine), [1, 2, 3]);
});

test("windows are read once", async () => {
  const engine = await MemslotEngine.create();
  let gets = 0;
  const window: MmioWindow = {
    get gpa() {
      gets++;
      return gets === 1 ? 0x1000 : 0x9000;
    },
    bytes: 16,
    device: 1,
  };
  const own = [window];
  // A list of windows may say of itself what it wants.
  Object.defineProperty(own, "map", { value: () => [{}] });
  engine.setUserMemoryRegionList([], { windows: [own] });
  assert.equal(engine.windows(), [{ gpa: 0x1000, bytes: 16, device: 1, offset: 0 }]);
});

test("arrays of translate are what the language says they are, not what they say", async () => {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 0, size: 0x80000 });
  engine.setUserMemoryRegion(ownRegion(0, 0, 16));
  const vcpu = engine.vcpu();
  const after = new Uint8Array(memory.buffer, 0x80010, 0x100).fill(7);
  const gpas = new Float64Array(memory.buffer, 0x80000, 1);
  const hvas = new Float64Array(memory.buffer, 0x80008, 1);
  for (const array of [gpas, hvas]) Object.defineProperty(array, "length", { value: 20 });
  vcpu.translate(gpas, hvas);
  assert.ok(after.every((byte) => byte === 7));
  for (const fake of [
    Object.create(Float64Array.prototype),
    new BigUint64Array(1),
    new Float32Array(1),
    [0],
  ]) {
    assert.throws(() => vcpu.translate(fake, new Float64Array(1)), /gpas must be a Float64Array/);
    assert.throws(() => vcpu.translate(new Float64Array(1), fake), /hvas must be a Float64Array/);
  }
  engine.setUserMemoryRegion(ownRegion(0, 0, 0));
  assert.is(vcpu.gpaToHva(0), -1, "no section is left open");
});

test("a flat view is planned for the map that is there when it is committed", async () => {
  const engine = await MemslotEngine.create();
  const other = await MemslotEngine.attach(engine.handle);
  const views = new FlatViews(engine);
  const root = MemoryRegion.container("root", 2n ** 40n);
  root.addSubregion(0x100000, MemoryRegion.ram("a", 0x1000, 0x10000));
  const own = ownRegion(0, 0x900, 1);
  views.begin();
  views.set(root);
  views.commit({
    get timeout() {
      other.setUserMemoryRegion(own);
      return 1000;
    },
  });
  assert.equal(
    engine.slots().map(({ slot, guestPhysAddr }) => [slot, guestPhysAddr]),
    [
      [1, 0x100000],
      [0, own.guestPhysAddr],
    ],
  );
});

test("a map that moves between plan and commit is planned for again", async () => {
  const engine = await MemslotEngine.create();
  const other = await MemslotEngine.attach(engine.handle);
  const { slots } = engine;
  let moves = 3;
  // Another thread, right behind the look at the slots.
  engine.slots = (asId) => {
    const found = slots.call(engine, asId);
    if (moves > 0) other.setUserMemoryRegion(ownRegion(--moves, 0x900 + moves, 1));
    return found;
  };
  const root = MemoryRegion.container("root", 2n ** 40n);
  root.addSubregion(0x100000, MemoryRegion.ram("a", 0x1000, 0x10000));
  for (const commit of ["commit", "commitAsync"] as const) {
    const views = new FlatViews(engine);
    moves = 3;
    views.begin();
    views.set(root);
    await views[commit]();
    assert.equal(
      slots.call(engine, 0).map(({ slot }) => slot),
      [3, 0, 1, 2],
      commit,
    );
    views.set(MemoryRegion.container("empty", 2n ** 40n));
  }
  engine.slots = (asId) => {
    const found = slots.call(engine, asId);
    other.setUserMemoryRegion(ownRegion(9, 0x990, engine.publications % 2 ? 1 : 0));
    return found;
  };
  const never = new FlatViews(engine);
  assert.throws(
    () => never.set(root),
    (error: KvmError) => error instanceof KvmError,
  );
});

test.run();
