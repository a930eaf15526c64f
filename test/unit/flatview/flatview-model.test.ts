/**
 * Flattening against a painter that knows neither trees nor clips: for each byte it asks the regions one by
 * one, top to bottom, who answers. Random trees of containers, aliases and all kinds of memory, edited at
 * random, in memory so small that every byte is compared; and through an engine, byte by byte.
 */
import { MemslotEngine } from "memslots";
import { endOf, FlatView, FlatViews, MemoryRegion } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkInvariants } from "../../support/invariants.js";
import { random } from "../../support/random.js";
import { paint, RegionWorld, SPAN } from "../../support/regionworld.js";

const ROUNDS = Number(process.env.ROUNDS ?? 400);
const SEED = Number(process.env.SEED ?? Date.now() % 1e9);

function comparePaint(view: FlatView, root: MemoryRegion, where: string): void {
  for (let at = 0n; at < BigInt(SPAN * 3); at++) {
    const expected = paint(root, at);
    const range = view.find(at);
    const seen = range && {
      region: range.region.name,
      offset: range.offset + (at - range.start),
      readonly: range.readonly,
    };
    assert.equal(seen, expected && { ...expected, region: expected.region.name }, `${where}, byte ${at}`);
  }
}

test(`random trees flatten as the painter paints (SEED=${SEED})`, () => {
  const rng = random(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const world = new RegionWorld(rng);
    for (let edit = 0; edit < 25; edit++) {
      world.tryEdit();
      if (edit % 6 !== 0) continue;
      const view = FlatView.of(world.root);
      comparePaint(view, world.root, `SEED=${SEED} round ${round} edit ${edit}`);
      view.ranges.forEach((range, i) => {
        const next = view.ranges[i + 1];
        if (next === undefined) return;
        const continues =
          endOf(range) === next.start &&
          range.region === next.region &&
          range.offset + range.size === next.offset &&
          range.readonly === next.readonly &&
          range.romd === next.romd;
        assert.not.ok(continues, "neighbours that continue each other are one range");
      });
    }
  }
});

test(`an engine of 256-byte pages resolves each byte as the painter says (SEED=${SEED})`, async () => {
  const rng = random(SEED ^ 0x5eed);
  for (let round = 0; round < 40; round++) {
    const engine = await MemslotEngine.create({ pageShift: 8 });
    const views = new FlatViews(engine);
    const world = new RegionWorld(rng);
    // Blow the small tree up to pages: one byte there is 64 here, so that borders inside pages abound.
    const outer = MemoryRegion.container("outer", 2n ** 64n);
    outer.addSubregion(0, world.root);
    for (let edit = 0; edit < 20; edit++) {
      world.tryEdit();
      views.set(outer);
      for (let gpa = 0; gpa < SPAN * 2; gpa++) {
        const answer = paint(outer, BigInt(gpa));
        const { region, offset } = answer ?? {};
        const memory = region?.host !== undefined && (region.kind !== "romDevice" || region.romd);
        // A ROM device's part-pages are its device's.
        const romd = region?.kind === "romDevice";
        const expected =
          region === undefined
            ? undefined
            : memory && !romd
              ? { hva: region.host! + Number(offset) }
              : { device: region.device, offset: Number(offset) };
        assert.equal(engine.locate(gpa, false), expected, `round ${round} edit ${edit} byte ${gpa}`);
      }
    }
    checkInvariants(engine);
  }
});

test("a region of 2^64 bytes, and an alias whose target would start below 0", () => {
  const ram = MemoryRegion.ram("ram", 0x1000, 0x1_0000);
  const all = MemoryRegion.io("all", 2n ** 64n, 9);
  const root = MemoryRegion.container("root", 2n ** 64n);
  root.addSubregion(0, all, -1);
  root.addSubregion(0x10, MemoryRegion.alias("tail", ram, 0xff0, 0x100));
  const view = FlatView.of(root);
  assert.equal(
    view.ranges.map(({ start, size, region, offset }) => [start, size, region.name, offset]),
    [
      [0n, 0x10n, "all", 0n],
      [0x10n, 0x10n, "ram", 0xff0n],
      [0x20n, 2n ** 64n - 0x20n, "all", 0x20n],
    ],
  );
  assert.is(endOf(view.ranges.at(-1)!), 2n ** 64n);
});

test("a bad tree is refused, and the reason is named", () => {
  const ram = MemoryRegion.ram("ram", 0x1000, 0x1_0000);
  const root = MemoryRegion.container("root", 0x1000);
  root.addSubregion(0, ram);
  assert.throws(() => root.addSubregion(0, ram), /"ram" lies in "root" already/);
  assert.throws(() => root.addSubregion(0, MemoryRegion.alias("self", root, 0, 1)), /must not lie in itself/);
  assert.throws(() => MemoryRegion.ram("x", -1, 0), /size must be/);
  assert.throws(() => MemoryRegion.ram("x", 2n ** 64n + 1n, 0), /at most 2\^64/);
  assert.throws(() => MemoryRegion.ram("x", 1, 0.5), /host must be/);
  assert.throws(() => MemoryRegion.io("x", 1, -1), /device must be/);
  assert.throws(() => root.addSubregion(2n ** 64n, MemoryRegion.io("x", 1, 1)), /address must be below/);
  assert.throws(() => ram.setRomd(true), /no romDevice/);
  assert.throws(() => ram.setTargetOffset(1), /no alias/);
  assert.throws(() => MemoryRegion.rom("x", 1, 0).setReadonly(false), /is a rom/);
  assert.throws(() => root.setAddress(1), /lies nowhere/);
  assert.throws(() => root.delSubregion(root), /does not lie in "root"/);
});

test.run();
