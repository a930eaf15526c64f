/**
 * Thousands of slots: many chunks, splits, merges, stale separators, groups of the hva index. The oracle is a
 * plain map of slots; LOOKUPS are compared, not contents, because stale separators leave the contents right.
 */
import { MemslotEngine, type Slot } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CHUNK_ENTRIES } from "../../../src/core/layout.js";
import { checkInvariants } from "../../support/invariants.js";
import { type Random, random } from "../../support/random.js";
import { deletion, PAGE, region } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 20260);
console.log(`seed ${SEED}`);

/**
 * How addresses are laid out: dense ones collide and continue each other, wide ones leave holes of any size.
 */
interface Shape {
  name: string;
  slots: number;
  gpaPages: number;
  maxPages: number;
  hostPages: number;
  listEntries: number;
  commits: number;
}

const SHAPES: Shape[] = [
  { name: "dense", slots: 600, gpaPages: 4000, maxPages: 12, hostPages: 3000, listEntries: 40, commits: 300 },
  {
    name: "sparse",
    slots: 3000,
    gpaPages: 2 ** 24,
    maxPages: 900,
    hostPages: 2 ** 20,
    listEntries: 300,
    commits: 120,
  },
  {
    name: "wide",
    slots: 2000,
    gpaPages: 2 ** 38,
    maxPages: 2 ** 24,
    hostPages: 2 ** 34,
    listEntries: 100,
    commits: 120,
  },
  {
    name: "one host page",
    slots: 900,
    gpaPages: 5000,
    maxPages: 3,
    hostPages: 1,
    listEntries: 60,
    commits: 120,
  },
  {
    name: "single updates",
    slots: 400,
    gpaPages: 2500,
    maxPages: 8,
    hostPages: 2 ** 16,
    listEntries: 1,
    commits: 3000,
  },
];

type Run = { base: number; npages: number; host: number };

/** A number from 1 to `max`, each order of magnitude as likely as the next. */
function logUniform(rng: Random, max: number): number {
  return Math.max(1, Math.floor(2 ** (rng.next() * Math.log2(max))));
}

function overlaps(slots: Map<number, Run>, base: number, npages: number): boolean {
  for (const slot of slots.values())
    if (base < slot.base + slot.npages && slot.base < base + npages) return true;
  return false;
}

function regionOf(slot: number, { base, npages, host }: Run): Slot {
  return region(slot, base, npages, host);
}

/** A list that succeeds: deletes, moves and creates, more of the ones or the others in turn. */
function makeList(rng: Random, shape: Shape, slots: Map<number, Run>, growing: boolean): Slot[] {
  const list: Slot[] = [];
  const wanted = 1 + rng.int(shape.listEntries);
  for (let tries = 0; list.length < wanted && tries < wanted * 20; tries++) {
    const id = rng.int(shape.slots);
    const old = slots.get(id);
    if (old !== undefined && rng.chance(growing ? 0.1 : 0.7)) {
      list.push(deletion(id));
      slots.delete(id);
      continue;
    }
    const base = rng.int(shape.gpaPages);
    const npages = old?.npages ?? logUniform(rng, shape.maxPages);
    slots.delete(id);
    if (overlaps(slots, base, npages)) {
      if (old !== undefined) slots.set(id, old);
      continue;
    }
    const slot = { base, npages, host: old?.host ?? rng.int(shape.hostPages) };
    slots.set(id, slot);
    list.push(regionOf(id, slot));
  }
  return list;
}

function checkLookups(engine: MemslotEngine, slots: Map<number, Run>, rng: Random): void {
  const sorted = [...slots.values()].sort((a, b) => a.base - b.base);
  const expected = (gfn: number, at: number) => {
    for (const slot of [sorted[at - 1], sorted[at], sorted[at + 1]]) {
      if (slot && gfn >= slot.base && gfn < slot.base + slot.npages)
        return (slot.host + gfn - slot.base) * PAGE;
    }
    return -1;
  };
  for (let i = 0; i < sorted.length; i++) {
    const { base, npages } = sorted[i]!;
    for (const gfn of [base - 1, base, base + rng.int(npages), base + npages - 1, base + npages]) {
      if (gfn >= 0) assert.is(engine.gpaToHva(gfn * PAGE), expected(gfn, i), `frame ${gfn}`);
    }
  }
}

function checkHosts(engine: MemslotEngine, slots: Map<number, Run>, shape: Shape, rng: Random): void {
  const start = rng.int(shape.hostPages);
  const end = start + logUniform(rng, shape.hostPages);
  const expected = [...slots]
    .filter(([, { host, npages }]) => host < end && host + npages > start)
    .sort(([a, x], [b, y]) => x.host - y.host || a - b)
    .map(([slot, { base, host, npages }]) => {
      const from = Math.max(start, host);
      return { slot, gpa: (base + from - host) * PAGE, bytes: (Math.min(end, host + npages) - from) * PAGE };
    });
  assert.equal(engine.hvaToGpas(start * PAGE, end * PAGE), expected, `host pages ${start} to ${end}`);
}

for (const shape of SHAPES) {
  test(`${shape.name}: ${shape.slots} slots, lists of up to ${shape.listEntries}`, async () => {
    const rng = random(SEED);
    const engine = await MemslotEngine.create({ maxSlots: shape.slots, shared: rng.chance(0.5) });
    const slots = new Map<number, Run>();
    let most = 0;
    for (let commit = 0; commit < shape.commits; commit++) {
      const growing = commit % 40 < 25;
      const list = makeList(rng, shape, slots, growing);
      const { published } = engine.setUserMemoryRegionList(list);
      if (commit % 10 === 0 || shape.listEntries > 1) checkLookups(engine, slots, rng);
      if (commit % 10 === 0 || shape.listEntries > 1) checkInvariants(engine);
      checkHosts(engine, slots, shape, rng);
      assert.ok(published || list.length < 3);
      most = Math.max(most, slots.size);
    }
    assert.ok(most > 60, "several chunks");
    const contents = [...slots]
      .map(([id, slot]) => regionOf(id, slot))
      .sort((a, b) => a.guestPhysAddr - b.guestPhysAddr);
    assert.equal(engine.slots(), contents);
  });
}

test("one list replaces every slot, again and again, in ascending and descending order", async () => {
  const maxSlots = 1000;
  const engine = await MemslotEngine.create({ maxSlots, maxListEntries: 2 * maxSlots });
  const at = (slot: number, round: number) => ((slot * 7 + round) % maxSlots) * 3 + 5000 * (round % 2);
  for (let round = 0; round < 12; round++) {
    const list: Slot[] = [];
    for (let i = 0; i < maxSlots; i++) {
      const slot = round % 3 === 0 ? i : maxSlots - 1 - i;
      if (round > 0) list.push(deletion(slot));
      list.push(region(slot, at(slot, round), 1 + (round % 3), slot * 4));
    }
    engine.setUserMemoryRegionList(list);
    for (let slot = 0; slot < maxSlots; slot++) {
      assert.is(engine.gpaToHva(at(slot, round) * PAGE), slot * 4 * PAGE);
    }
    assert.is(engine.slots().length, maxSlots);
    checkInvariants(engine);
  }
});

for (const order of ["ascending", "descending"] as const) {
  test(`chunks that shrink in ${order} order are merged, so that the pool lasts`, async () => {
    const maxSlots = 500;
    const engine = await MemslotEngine.create({ maxSlots });
    const free = Array.from({ length: maxSlots }, (_, slot) => slot);
    const kept = new Map<number, Run>();
    // Each round fills up to the limit and leaves one slot of a full chunk behind: alone in its chunk, if
    // nothing merged.
    for (let base = 0; free.length > 250; ) {
      const round = free.splice(0).map((slot) => ({ slot, base: base++ }));
      for (const { slot, base } of round) {
        engine.setUserMemoryRegion(region(slot, base, 1, base));
      }
      const gone = round.filter((_, i) => i % CHUNK_ENTRIES !== 5);
      if (order === "descending") gone.reverse();
      for (const { slot } of gone) {
        engine.setUserMemoryRegion(deletion(slot));
        free.push(slot);
        if (slot % 16 === 0) checkInvariants(engine);
      }
      for (const { slot, base } of round.filter((_, i) => i % CHUNK_ENTRIES === 5)) {
        kept.set(slot, { base, npages: 1, host: base });
      }
    }
    assert.ok(kept.size >= 250, `${kept.size} slots of 250 chunks`);
    checkLookups(engine, kept, random(SEED));
    checkInvariants(engine);
  });
}

test("batches of any length in the engine's memory, where many chunks are in one bucket of the radix", async () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 64, shared: true });
  const engine = await MemslotEngine.create({ memory });
  const slots = 300;
  const far = 2 ** 39;
  // So many far away that a chunk begins there, and the radix spans all that lies between.
  const gpaOf = (i: number): number => (i < slots ? i * 2 * PAGE : far + (i - slots) * 2 * PAGE);
  engine.setUserMemoryRegionList(
    Array.from({ length: slots + 64 }, (_, i) => ({
      slot: i,
      flags: 0,
      guestPhysAddr: gpaOf(i),
      memorySize: PAGE,
      userspaceAddr: (1000 + 3 * i) * PAGE,
    })),
  );
  const vcpu = engine.vcpu();
  const counts = [1, 63, 64, 65, 128, 2 * slots + 3];
  for (const count of counts) {
    const gpas = new Float64Array(memory.buffer, 8, count).map((_, i) => ((i * 7) % (2 * slots)) * PAGE + i);
    gpas[count - 1] = far + 5;
    const inside = new Float64Array(memory.buffer, 8, count);
    const apart = new Float64Array(memory.buffer, 16384, count);
    const expected = Array.from(gpas, (gpa) => {
      const frame = gpa >= far ? slots : Math.floor(gpa / PAGE) / 2;
      return Number.isInteger(frame) ? (1000 + 3 * frame) * PAGE + (gpa % PAGE) : -1;
    });
    inside.set(gpas);
    vcpu.translate(inside, apart);
    assert.equal(Array.from(apart), expected, `${count} addresses`);
    vcpu.translate(inside, inside);
    assert.equal(Array.from(inside), expected, `${count} addresses in place`);
    assert.equal(
      Array.from(gpas, (gpa) => vcpu.gpaToHva(gpa)),
      expected,
      `${count} one by one`,
    );
  }
  vcpu.release();
});

test.run();
