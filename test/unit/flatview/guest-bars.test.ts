/**
 * What a guest can program into a BAR: no address of it wedges other changes, or is refused where hardware would go on.
 * BARs of all kinds, as 32 and 64 bits, at every address that a driver or an attacker writes.
 */
import { KvmError, MemslotEngine } from "memslots";
import { Bar, FlatView, FlatViews, MemoryRegion, Pc } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isA } from "../../support/errors.js";
import { random } from "../../support/random.js";

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const SIZE = 0x1_0000;
const RAM = 0x1_0000_0000;
const DEVICE = 9;
const TWO_64 = 2n ** 64n;

const KINDS = {
  io: () => MemoryRegion.io("bar", SIZE, DEVICE),
  ram: () => MemoryRegion.ram("bar", SIZE, RAM),
  ramDevice: () => MemoryRegion.ramDevice("bar", SIZE, RAM),
  rom: () => MemoryRegion.rom("bar", SIZE, RAM),
  romDevice: () => MemoryRegion.romDevice("bar", SIZE, RAM, DEVICE),
  // An MSI-X table in video memory: neither ends at a page.
  container: () => {
    const bar = MemoryRegion.container("bar", SIZE);
    bar.addSubregion(0, MemoryRegion.ramDevice("vram", 0x8000, RAM));
    bar.addSubregion(0x6100, MemoryRegion.io("msix", 0x120, DEVICE), 1);
    return bar;
  },
} as const;

/** What a BAR decodes after such a write: the lower bits are not there. */
const decoded = (value: bigint): bigint => value & ~BigInt(SIZE - 1);

/** Values that drivers and attackers write. */
function values(maxPhysAddrBits: number): bigint[] {
  const limit = 2n ** BigInt(maxPhysAddrBits);
  const interesting = [
    0n, // over the RAM
    0xffff_ffffn, // the size is asked for, 32 bits
    TWO_64 - 1n, // the same, 64 bits: the BAR ends where addresses wrap
    0xffff_ffff_0000_0000n, // its upper half alone
    limit - BigInt(SIZE), // the last that fits
    limit,
    limit - BigInt(SIZE) / 2n,
    2n ** 53n,
    2n ** 60n,
    2n ** 63n,
    0xfee0_0000n,
    0x8_0000n,
  ];
  return [...new Set(interesting.map(decoded))];
}

async function machine(maxPhysAddrBits: number) {
  const engine = await MemslotEngine.create({ maxPhysAddrBits });
  const views = new FlatViews(engine);
  const system = MemoryRegion.container("system", TWO_64);
  system.addSubregion(0, MemoryRegion.ram("ram", 0x10_0000, 0x2_0000_0000));
  const uart = MemoryRegion.io("uart", 8, 3);
  system.addSubregion(0x20_0000, uart);
  views.set(system);
  return { engine, views, system, uart };
}

for (const maxPhysAddrBits of [36, 40, 52]) {
  for (const [kind, make] of Object.entries(KINDS)) {
    test(`a BAR of ${kind} at any address, ${maxPhysAddrBits} bits`, async () => {
      const { engine, views, system, uart } = await machine(maxPhysAddrBits);
      const bar = new Bar(system, make());
      let place = 0x20_0000;
      for (const address of values(maxPhysAddrBits)) {
        views.begin();
        bar.map(address);
        views.commit();
        assert.is(bar.address, address);
        // Something else changes all the same.
        place += 0x100;
        views.begin();
        uart.setAddress(place);
        assert.ok(views.commit()!.published);
        assert.equal(engine.locate(place + 1), { device: 3, offset: 1 });
        // Whatever the kind: what is beyond the width is not there, everything else is.
        const limit = 2 ** maxPhysAddrBits;
        for (const [i, slot] of engine.slots().entries()) {
          assert.ok(slot.guestPhysAddr + slot.memorySize <= limit, `slot ${i}`);
        }
        const view = FlatView.of(system);
        for (const at of [0, SIZE / 2 - 1, SIZE / 2, SIZE - 1]) {
          const byte = Number(address) + at;
          const range = view.find(address + BigInt(at));
          const expected = byte < limit && range !== undefined;
          assert.is(byte < limit && engine.locate(byte, false) !== undefined, expected, `${address} + ${at}`);
        }
      }
      views.begin();
      bar.unmap();
      views.commit();
      assert.equal(engine.slots().length, 1);
      assert.equal(engine.windows().length, 1);
    });
  }
}

test("a BAR at the last address: its end is 2^64, none of it wraps to 0", async () => {
  const { engine, views, system } = await machine(52);
  const bar = new Bar(system, MemoryRegion.io("bar", SIZE, DEVICE));
  views.transaction(() => bar.map(TWO_64 - BigInt(SIZE)));
  assert.is(FlatView.of(system).find(TWO_64 - 1n)?.region, bar.region);
  assert.equal(engine.locate(0), { hva: 0x2_0000_0000 });
  assert.throws(() => bar.map(TWO_64), isA(RangeError));
  assert.is(bar.address, TWO_64 - BigInt(SIZE));
});

test(`BARs over each other, over RAM and over the user's slots, at random (SEED=${SEED})`, async () => {
  console.log(`seed ${SEED}`);
  const rng = random(SEED);
  const { engine, views, system, uart } = await machine(40);
  const users = { slot: 400, flags: 0, guestPhysAddr: 0x40_0000, memorySize: SIZE, userspaceAddr: 0 };
  engine.setUserMemoryRegion(users);
  const bars = Object.values(KINDS).map((make) => new Bar(system, make()));
  const addresses = [...values(40), 0x40_0000n, 0x41_0000n, 0x8_0000n];
  const counts = { done: 0, refused: 0 };
  for (let n = 0; n < 600; n++) {
    const bar = rng.pick(bars);
    const before = bar.address;
    views.begin();
    if (rng.chance(0.8)) bar.map(rng.pick(addresses));
    else bar.unmap();
    try {
      views.commit();
      counts.done++;
    } catch (error) {
      // The user's slot is in the way. Nothing else is refused, ever.
      assert.ok(error instanceof KvmError && error.code === "EEXIST", `SEED=${SEED} ${n}: ${error}`);
      assert.is(bar.address, before);
      counts.refused++;
    }
    views.transaction(() => uart.setAddress(0x20_0000 + 8 * (1 + (n % 1000))));
    assert.equal(engine.locate(0x20_0000 + 8 * (1 + (n % 1000))), { device: 3, offset: 0 });
  }
  assert.ok(counts.done > 100 && counts.refused > 10, JSON.stringify(counts));
});

test("a PC whose firmware sizes all BARs with the decoder on", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxPhysAddrBits: 40 });
  const views = new FlatViews(engine);
  const ram = MemoryRegion.ram("ram", 0x800_0000, 0x2_0000_0000);
  const pc = new Pc({ chipset: "i440fx", ram, bios: MemoryRegion.rom("bios", 0x4_0000, 0x5_0000_0000) });
  views.set(pc.system);
  views.set(pc.smm, { asId: 1 });
  const bars = Object.values(KINDS).map((make) => new Bar(pc.pci, make()));
  for (const [i, bar] of bars.entries()) {
    const home = 0xe000_0000n + BigInt(i * SIZE);
    for (const address of [home, decoded(0xffff_ffffn), decoded(TWO_64 - 1n), home]) {
      views.transaction(() => bar.map(address));
      views.transaction(() => pc.writeConfig(0x59, i % 2 === 0 ? 0x30 : 0x10, 1));
    }
    assert.is(bar.address, home);
  }
  for (const asId of [0, 1]) {
    const view = FlatView.of(asId === 0 ? pc.system : pc.smm);
    for (const { start, region } of view.ranges) {
      if (region.kind !== "ramDevice" && region.kind !== "ram") continue;
      const place = engine.locate(Number(start), false, asId);
      assert.ok(place !== undefined && "hva" in place, `${region.name} at ${start}`);
    }
  }
});

test.run();
