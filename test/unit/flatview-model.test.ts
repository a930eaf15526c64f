/**
 * Flattening against a painter that knows neither trees nor clips: for each byte it asks the regions one by
 * one, top to bottom, who answers. Random trees of containers, aliases and all kinds of memory, edited at
 * random, in memory so small that every byte is compared; and through an engine, byte by byte.
 */
import { MemslotEngine } from "memslots";
import { endOf, FlatView, MemoryRegion } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkInvariants } from "../support/invariants.js";
import { type Random, random } from "../support/random.js";

const SPAN = 64;
const ROUNDS = Number(process.env.ROUNDS ?? 400);
const SEED = Number(process.env.SEED ?? Date.now() % 1e9);

interface Answer {
  region: MemoryRegion;
  offset: bigint;
  readonly: boolean;
}

/** Who answers for byte `at` of what `region` spans: a walk from the top, nothing else. */
function paint(region: MemoryRegion, at: bigint, readonly = false): Answer | undefined {
  if (!region.enabled || at < 0n || at >= region.size) return undefined;
  const refuses = readonly || region.readonly;
  if (region.target !== undefined) return paint(region.target, at + region.targetOffset, refuses);
  for (const child of region.subregions) {
    const answer = paint(child, at - child.address, refuses);
    if (answer !== undefined) return answer;
  }
  return region.kind === "container" ? undefined : { region, offset: at, readonly: refuses };
}

/** A tree whose regions are all reachable for edits; every leaf has its own host memory or device. */
class World {
  readonly root = MemoryRegion.container("root", 2n ** 64n);
  readonly regions: MemoryRegion[] = [this.root];
  #made = 0;
  readonly #rng: Random;

  constructor(rng: Random) {
    this.#rng = rng;
  }

  #leaf(): MemoryRegion {
    const rng = this.#rng;
    const [name, size] = [`r${this.#made}`, 1 + rng.int(SPAN)];
    const host = ++this.#made * 0x1_0000;
    const kind = rng.int(6);
    if (kind === 0) return MemoryRegion.container(name, rng.chance(0.2) ? 2n ** 64n : size);
    if (kind === 1) return MemoryRegion.rom(name, size, host);
    if (kind === 2) return MemoryRegion.romDevice(name, size, host, this.#made);
    if (kind === 3) return MemoryRegion.io(name, size, this.#made);
    const target = rng.pick(this.regions);
    if (kind === 4 && target !== this.root) return MemoryRegion.alias(name, target, rng.int(SPAN), size);
    return MemoryRegion.ram(name, size, host);
  }

  edit(): void {
    const rng = this.#rng;
    const region = rng.pick(this.regions);
    const what = rng.int(9);
    if (what <= 2 || region === this.root) {
      const child = this.#leaf();
      rng.pick(this.regions).addSubregion(rng.int(SPAN), child, rng.int(3) - 1);
      this.regions.push(child);
    } else if (what === 3) region.setEnabled(rng.chance(0.7));
    else if (what === 4) region.setSize(1 + rng.int(SPAN));
    else if (what === 5 && region.container !== undefined) region.setAddress(rng.int(SPAN));
    else if (what === 6 && region.kind === "alias") region.setTargetOffset(rng.int(SPAN));
    else if (what === 7 && region.kind === "romDevice") region.setRomd(rng.chance(0.5));
    else if (what === 7 && region.kind !== "rom") region.setReadonly(rng.chance(0.5));
    else if (what === 8 && rng.chance(0.3)) region.container?.delSubregion(region);
  }
}

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
    const world = new World(rng);
    for (let edit = 0; edit < 25; edit++) {
      // An alias that would show itself is refused; the tree is as it was.
      try {
        world.edit();
      } catch (error) {
        assert.match(String(error), /must not lie in itself/);
      }
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
    const world = new World(rng);
    // Blow the small tree up to pages: one byte there is 64 here, so that borders inside pages abound.
    const outer = MemoryRegion.container("outer", 2n ** 64n);
    outer.addSubregion(0, world.root);
    for (let edit = 0; edit < 20; edit++) {
      try {
        world.edit();
      } catch (error) {
        assert.match(String(error), /must not lie in itself/);
      }
      engine.setFlatView(outer);
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
        assert.equal(engine.resolve(gpa, false), expected, `round ${round} edit ${edit} byte ${gpa}`);
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

test("what is wrong with a tree is named", () => {
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
