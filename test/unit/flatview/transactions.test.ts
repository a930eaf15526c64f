/** Transactions of flat views that are refused or rolled back: the regions are as they were when it began. */
import { KvmError, MemslotEngine } from "memslots";
import {
  A20Gate,
  Bar,
  FlatView,
  FlatViews,
  flatViewToJson,
  MemoryRegion,
  Pc,
  VgaWindow,
} from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isA } from "../../support/errors.js";
import { random } from "../../support/random.js";

const code = (name: string) => (error: unknown) => error instanceof KvmError && error.code === name;

async function board(options = {}) {
  const engine = await MemslotEngine.create(options);
  const views = new FlatViews(engine);
  const system = MemoryRegion.container("system", 2n ** 64n);
  const ram = MemoryRegion.ram("ram", 0x10000, 0x1_0000_0000);
  system.addSubregion(0, ram);
  views.set(system);
  return { engine, views, system, ram };
}

/** Of a call that throws or rejects. */
async function throwsCode(call: () => Promise<unknown>, name: string): Promise<void> {
  const error = await (async () => call())().then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.ok(code(name)(error), String(error));
}

test("a BAR that is refused is where it was, and wedges nothing", async () => {
  const { engine, views, system } = await board();
  engine.setUserMemoryRegion({
    slot: 500,
    flags: 0,
    guestPhysAddr: 0x10_0000,
    memorySize: 0x1000,
    userspaceAddr: 0,
  });
  const bar = new Bar(system, MemoryRegion.ramDevice("vram", 0x10000, 0x2_0000_0000));
  views.begin();
  bar.map(0x10_0000);
  assert.throws(() => views.commit(), code("EEXIST"));
  assert.is(bar.address, undefined);
  const uart = MemoryRegion.io("uart", 8, 3);
  views.begin();
  system.addSubregion(0x2_0000, uart);
  bar.map(0x20_0000);
  assert.ok(views.commit()!.published);
  assert.is(bar.address, 0x20_0000n);
  assert.equal(engine.locate(0x2_0001), { device: 3, offset: 1 });
});

test("host memory ends where the engine's host addresses do, and a refused edit is undone", async () => {
  for (const [maxUserAddrBits, taken] of [
    [47, false],
    [48, true],
  ] as const) {
    const { engine, views, system } = await board({ maxUserAddrBits });
    const before = engine.slots();
    views.begin();
    system.addSubregion(0x4000_0000, MemoryRegion.ram("high", 0x1000, 0xffff_7c00_0000));
    if (taken) views.commit();
    else assert.throws(() => views.commit(), /"high" must end at or below 0x7ffffffff000 in the host/);
    assert.is(engine.slots().length, before.length + Number(taken));
    assert.is(engine.gpaToHva(0x4000_0001), taken ? 0xffff_7c00_0001 : -1);
  }
});

test("memory and registers beyond the width of an address are unmapped alike", async () => {
  const { engine, views, system } = await board({ maxPhysAddrBits: 40 });
  const before = engine.slots().length;
  const vram = new Bar(system, MemoryRegion.ramDevice("vram", 0x10000, 0x2_0000_0000));
  const regs = new Bar(system, MemoryRegion.io("regs", 0x1000, 4));
  for (const address of [2n ** 60n, 2n ** 40n]) {
    views.begin();
    vram.map(address);
    regs.map(address);
    views.commit();
    assert.is(engine.slots().length, before);
    assert.equal(engine.windows(), []);
  }
  views.begin();
  vram.map(2n ** 40n - 0x10000n);
  views.commit();
  assert.is(engine.slots().at(-1)!.guestPhysAddr, 2 ** 40 - 0x10000);
});

test("rollback ends all that is nested, and takes sources of views back", async () => {
  const { engine, views, system, ram } = await board();
  views.begin();
  ram.setEnabled(false);
  views.begin();
  const other = MemoryRegion.container("other", 2n ** 64n);
  views.set(other);
  views.rollback();
  assert.throws(() => views.rollback(), code("EINVAL"));
  assert.throws(() => views.commit(), code("EINVAL"));
  assert.ok(ram.enabled);
  views.begin();
  system.addSubregion(0x20000, MemoryRegion.io("late", 8, 1));
  views.commit();
  assert.equal([engine.slots().length, engine.windows().length], [1, 1], "the view is still that of system");
});

test("transaction commits what a function does, or undoes it", async () => {
  const { engine, views, system, ram } = await board();
  const uart = MemoryRegion.io("uart", 8, 3);
  assert.ok(views.transaction(() => system.addSubregion(0x2_0000, uart))!.published);
  const boom = new Error("boom");
  assert.throws(
    () =>
      views.transaction(() => {
        ram.setSize(0x1000);
        views.transaction(() => {
          uart.setAddress(0x3_0000);
          throw boom;
        });
      }),
    (error: unknown) => error === boom,
  );
  assert.equal([ram.size, uart.address], [0x1_0000n, 0x2_0000n]);
  assert.throws(() => views.transaction(async () => ram.setEnabled(false)), isA(TypeError));
  assert.ok(ram.enabled);
  assert.throws(() => views.transaction(undefined as never), isA(TypeError));
  assert.throws(() => views.transaction(() => {}, { retry: 1 } as never), /options.retry is unknown/);
  assert.is(engine.slots()[0]!.memorySize, 0x1_0000);
  views.begin();
  assert.is(
    views.transaction(() => ram.setEnabled(false)),
    undefined,
    "inside another one",
  );
  views.commit();
  assert.equal(engine.slots(), []);
});

test("an asynchronous commit that is refused undoes as well", async () => {
  const { engine, views, ram } = await board();
  const slot = { slot: 9, flags: 0, guestPhysAddr: 0x10000, memorySize: 0x1000, userspaceAddr: 0 };
  engine.setUserMemoryRegion(slot);
  views.begin();
  ram.setSize(0x20000);
  await views.commitAsync().then(
    () => assert.unreachable(),
    (error) => assert.ok(code("EEXIST")(error)),
  );
  assert.is(ram.size, 0x1_0000n);
});

test("an asynchronous commit inside of a transaction is that one's; nothing begins before it is done", async () => {
  const { engine, views, ram } = await board();
  const before = engine.publications;
  await throwsCode(() => views.commitAsync(), "EINVAL");
  views.begin();
  views.begin();
  ram.setSize(0x8000);
  assert.is(await views.commitAsync(), undefined);
  assert.is(engine.publications, before);
  const pending = views.commitAsync();
  assert.throws(() => views.begin(), code("EBUSY"));
  await throwsCode(() => views.commitAsync(), "EBUSY");
  assert.ok((await pending)!.published);
  assert.is(engine.slots()[0]!.memorySize, 0x8000);
});

test("more edits than are remembered one by one: what they left as it was stays, the rest changes", async () => {
  const COUNT = 1500;
  const STILL = 200;
  const engine = await MemslotEngine.create({ maxSlots: 2048, maxListEntries: 4096 });
  const views = new FlatViews(engine);
  const system = MemoryRegion.container("system", 2n ** 64n);
  const pieces = Array.from({ length: COUNT }, (_, i) =>
    MemoryRegion.ram(`${i}`, 0x1000, 0x1000_0000 + 0x2000 * i),
  );
  for (const [i, piece] of pieces.entries()) system.addSubregion(0x2000 * i, piece);
  views.set(system);
  views.begin();
  for (const piece of [pieces[0]!, ...pieces.slice(STILL)]) piece.setEnabled(false);
  pieces[0]!.setEnabled(true);
  pieces.at(-1)!.setEnabled(true);
  views.commit();
  const kept = [...pieces.keys()].filter((i) => i < STILL || i === COUNT - 1);
  assert.equal(
    engine.slots().map(({ guestPhysAddr }) => guestPhysAddr),
    kept.map((i) => 0x2000 * i),
  );
  assert.equal(FlatView.of(system).ranges.length, kept.length);
});

test("registers of the recipes are undone with their regions", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  const views = new FlatViews(engine);
  const ram = MemoryRegion.ram("ram", 0x800_0000, 0x1_0000_0000);
  const pc = new Pc({ chipset: "i440fx", ram, bios: MemoryRegion.rom("bios", 0x4_0000, 0x5_0000_0000) });
  const vga = new VgaWindow(pc.pci, MemoryRegion.ram("vram", 0x10_0000, 0x6_0000_0000), 7);
  views.set(pc.system);
  views.set(pc.smm, { asId: 1 });
  const shown = () => JSON.stringify([pc.system, pc.smm].map((root) => flatViewToJson(FlatView.of(root))));
  const before = shown();
  views.begin();
  pc.writeConfig(0x72, 0x1a, 1); // locked
  pc.writeConfig(0x59, 0x30, 1);
  vga.setBanks([{ address: 0xa_0000, offset: 0, bytes: 0x1000 }]);
  assert.is.not(shown(), before);
  views.rollback();
  assert.is(shown(), before);
  views.begin();
  pc.writeConfig(0x72, 0x4a, 1); // not locked any more: SMRAM opens
  views.commit();
  assert.is.not(shown(), before);
  assert.not.throws(() => vga.setBanks([]));
});

test("any edits, undone: the same tree again, over a long random history", async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  console.log(`seed ${seed}`);
  const rng = random(seed);
  const { views, system, ram } = await board();
  const gate = new A20Gate(system);
  const alias = MemoryRegion.alias("alias", ram, 0x1000, 0x3000);
  const flash = MemoryRegion.romDevice("flash", 0x4000, 0x3_0000_0000, 9);
  const regions = [ram, alias, flash, MemoryRegion.io("a", 0x10, 1), MemoryRegion.io("b", 0x1000, 2)];
  for (const region of regions) if (region.container === undefined) system.addSubregion(0x8000, region);
  const shown = () => JSON.stringify([system, gate.root].map((root) => flatViewToJson(FlatView.of(root))));
  const edit = () => {
    const region = rng.pick(regions);
    const where = rng.int(16) * 0x1000;
    const edits = [
      () => region.setEnabled(rng.chance(0.5)),
      () => region.setReadonly(rng.chance(0.5)),
      () => region.setLog(rng.chance(0.5)),
      () => region.setSize(rng.int(8) * 0x1000),
      () => flash.setRomd(rng.chance(0.5)),
      () => alias.setTargetOffset(where),
      () => gate.setOpen(rng.chance(0.5)),
      () => {
        if (region.container === undefined) system.addSubregion(where, region, rng.int(3) - 1);
        else if (rng.chance(0.5)) region.setAddress(where);
        else system.delSubregion(region);
      },
    ];
    rng.pick(edits)();
  };
  for (let round = 0; round < 500; round++) {
    const before = shown();
    views.begin();
    for (let n = 1 + rng.int(12); n > 0; n--) edit();
    views.rollback();
    assert.is(shown(), before, `round ${round}`);
    edit();
  }
});

test.run();
