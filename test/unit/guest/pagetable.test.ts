/**
 * Page tables: what entries and answers say, that they end with their layout, and that no page that was written by an
 * entry is missing from a harvest.
 */
import {
  type CommitOptions,
  type GuestPageTable,
  guestMemory,
  guestPageTable,
  HVA_BAD,
  HVA_MMIO,
  HVA_RO_BAD,
  KVM_MEM_LOG_DIRTY_PAGES as LOG,
  MemslotEngine,
  type MmioWindow,
  type PagePart,
  type PageTableOptions,
  KVM_MEM_READONLY as READONLY,
  type Vcpu,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dirtyPages } from "../../support/bitmap.js";
import { random } from "../../support/random.js";
import { deletion, PAGE, region } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 6);
console.log(`seed ${SEED}`);

type Parts = readonly PagePart[];
type Table = GuestPageTable<Parts | undefined>;

const create = (options = {}) =>
  MemslotEngine.create({ maxSlots: 64, addressSpaces: 2, maxPhysAddrBits: 32, ...options });

function tableOf(engine: MemslotEngine, vcpu: Vcpu, access: "read" | "write" | "fetch"): Table {
  return guestPageTable<Parts | undefined>(engine, {
    ...{ vcpu, access, unknown: undefined },
    answerOf: (parts) => parts,
  });
}

/** Host address of a byte in plain memory; the parts of its page; undefined if it is not looked up. */
function seen({ entries, answers }: Table, gpa: number): number | Parts | undefined {
  const entry = entries[gpa >>> 12]!;
  return entry > 0 ? (entry - 1) | (gpa & (PAGE - 1)) : answers[0 - entry];
}

function lookUp(table: Table, gpa: number): number | Parts {
  if (seen(table, gpa) === undefined) table.fill(gpa);
  return seen(table, gpa)!;
}

async function world(access: "read" | "write" | "fetch", ...regions: ReturnType<typeof region>[]) {
  const engine = await create();
  engine.setUserMemoryRegionList(regions);
  const vcpu = engine.vcpu();
  return { engine, vcpu, table: tableOf(engine, vcpu, access) };
}

test("a page that is all memory has its host address, and so have its neighbours in the slot", async () => {
  const { vcpu, table } = await world(
    "read",
    region(0, 3, 20, 100),
    region(1, 23, 40, 7),
    region(2, 0, 2, 90),
  );
  vcpu.enter();
  assert.is(seen(table, 5 * PAGE), undefined);
  assert.is(lookUp(table, 5 * PAGE + 17), 102 * PAGE + 17);
  const filled = () => [...table.entries.keys()].filter((page) => table.entries[page] !== 0);
  const range = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => first + i);
  assert.equal(filled(), range(3, 16), "as far as the slot and a block of 16 pages go");
  for (const page of filled()) assert.is(seen(table, page * PAGE), (page + 97) * PAGE);
  assert.is(lookUp(table, 22 * PAGE), 119 * PAGE);
  assert.equal(filled(), range(3, 23));
  assert.is(lookUp(table, 62 * PAGE), 46 * PAGE);
  assert.equal(filled(), [...range(3, 23), ...range(48, 63)]);
  table.fill(62 * PAGE);
  assert.equal(filled(), [...range(3, 23), ...range(48, 63)]);
  vcpu.exit();
});

test("what is not all memory is answered by what was made of its parts, once in a layout", async () => {
  const engine = await create();
  const vcpu = engine.vcpu();
  const windows: MmioWindow[] = [
    { gpa: 2 * PAGE, bytes: 16, device: 3, offset: 4 },
    { gpa: 2 * PAGE + 32, bytes: PAGE, hva: 0x9010 },
  ];
  engine.setUserMemoryRegionList([region(0, 0, 1, 5, READONLY)], { windows: [windows] });
  const calls: [gpa: number, parts: Parts][] = [];
  const options: Omit<PageTableOptions<number>, "access"> = {
    vcpu,
    unknown: -1,
    answerOf: (parts, gpa) => calls.push([gpa, parts]),
  };
  const reads = guestPageTable(engine, { ...options, access: "read" });
  const writes = guestPageTable(engine, { ...options, access: "write" });
  vcpu.enter();
  assert.equal(reads.answers, [-1]);
  reads.fill(2 * PAGE + 5);
  reads.fill(2 * PAGE);
  assert.equal(reads.answers, [-1, 1]);
  assert.is(reads.entries[2], -1);
  const none = { hva: -1, device: -1, offset: 0 };
  const at = 2 * PAGE;
  const parts: PagePart[] = [
    { ...none, gpa: at, bytes: 16, kind: "device", device: 3, offset: 4 },
    { ...none, gpa: at + 16, bytes: 16, kind: "no-slot" },
    { ...none, gpa: at + 32, bytes: PAGE - 32, kind: "memory", hva: 0x9010 },
  ];
  assert.equal(calls.splice(0), [[at, parts]]);
  reads.fill(3 * PAGE + 100);
  assert.equal(calls.splice(0), [
    [
      3 * PAGE,
      [
        { ...none, gpa: 3 * PAGE, bytes: 32, kind: "memory", hva: 0x9010 + PAGE - 32 },
        { ...none, gpa: 3 * PAGE + 32, bytes: PAGE - 32, kind: "no-slot" },
      ],
    ],
  ]);
  reads.fill(0);
  assert.is(reads.entries[0], 5 * PAGE + 1);
  writes.fill(0);
  assert.equal(calls.splice(0), [[0, [{ ...none, gpa: 0, bytes: PAGE, kind: "read-only" }]]]);
  vcpu.exit();
});

test("attributes tell reads, writes and fetches apart", async () => {
  const { engine, vcpu } = await world("read", region(0, 0, 16, 16));
  engine.setMemoryAttributes({ address: 4 * PAGE, size: PAGE, attributes: 1n << 2n });
  vcpu.enter();
  const found = (["read", "write", "fetch"] as const).map((access) =>
    lookUp(tableOf(engine, vcpu, access), 4 * PAGE),
  );
  const refused = found.filter((place) => typeof place !== "number") as Parts[];
  assert.equal(
    refused.map(([part]) => part!.kind),
    ["no-access"],
  );
  vcpu.exit();
});

const OTHER = [deletion(0), region(0, 0, 32, 200)];

test("entries end with their layout, at once, and stay in sections of the same", async () => {
  const { engine, vcpu, table } = await world("read", region(0, 0, 32, 100));
  const other = await MemslotEngine.attach(engine.handle);
  let home = 100;
  const move = () => {
    home += 50;
    other.setUserMemoryRegionList([deletion(0), region(0, 0, 32, home)], { wait: false });
  };
  vcpu.enter();
  assert.is(lookUp(table, PAGE), 101 * PAGE);
  lookUp(table, 40 * PAGE);
  vcpu.exit();
  vcpu.enter();
  assert.is(seen(table, PAGE), 101 * PAGE, "the next section has the same");
  vcpu.enter();
  assert.is(vcpu.refresh(), false);
  assert.is(seen(table, PAGE), 101 * PAGE);
  move();
  vcpu.exit();
  assert.is(seen(table, PAGE), 101 * PAGE, "the section has its layout still");
  assert.is(vcpu.refresh(), true);
  assert.is(seen(table, PAGE), undefined);
  assert.is(seen(table, 40 * PAGE), undefined);
  assert.is(table.answers.length, 1);
  assert.is(lookUp(table, PAGE), 151 * PAGE);
  vcpu.exit();
  vcpu.enter();
  assert.is(seen(table, PAGE), 151 * PAGE, "what a refreshed section has found is the next one's");
  vcpu.exit();
  move();
  assert.is(vcpu.enter(), true);
  assert.is(seen(table, PAGE), undefined);
  assert.is(lookUp(table, PAGE), 201 * PAGE);
  vcpu.exit();
  // The wasm ABI has seen the change first, so that `enter` tells of none.
  const { exports } = new WebAssembly.Instance(engine.handle.module, { env: { memory: engine.memory } });
  const raw = exports as Record<string, (reader: number) => number>;
  move();
  raw.enterSection!(vcpu.reader);
  raw.exitSection!(vcpu.reader);
  assert.is(vcpu.enter(), false);
  assert.is(lookUp(table, PAGE), 251 * PAGE);
  vcpu.exit();
  other.close();
});

test("a handler of guestMemory that commits ends them, one that does not leaves them", async () => {
  const { engine, vcpu, table } = await world("read", region(0, 0, 32, 0));
  let work = () => {};
  const memory = guestMemory(engine, new ArrayBuffer(1 << 20), { vcpu, onHole: () => work() });
  vcpu.enter();
  assert.is(lookUp(table, PAGE), PAGE);
  memory.getUint8(60 * PAGE);
  assert.is(seen(table, PAGE), PAGE);
  work = () => {
    vcpu.enter();
    assert.is(seen(table, PAGE), PAGE);
    vcpu.exit();
    engine.setUserMemoryRegionList(OTHER);
    vcpu.enter();
    assert.is(lookUp(table, 2 * PAGE), 202 * PAGE);
    vcpu.exit();
  };
  memory.getUint8(60 * PAGE);
  assert.is(seen(table, 2 * PAGE), 202 * PAGE, "of the same layout");
  work = () => void engine.setUserMemoryRegionList([deletion(0), region(0, 0, 32, 300)]);
  memory.getUint8(60 * PAGE);
  assert.is(seen(table, 2 * PAGE), undefined);
  assert.is(lookUp(table, 2 * PAGE), 302 * PAGE);
  vcpu.exit();
});

test("another address space has other entries", async () => {
  const { engine, vcpu, table } = await world("read", region(0, 0, 32, 0), region(0x10000, 0, 32, 64));
  vcpu.enter();
  assert.is(lookUp(table, PAGE), PAGE);
  vcpu.asId = 1;
  assert.is(lookUp(table, PAGE), 65 * PAGE);
  vcpu.asId = 0;
  assert.is(seen(table, PAGE), undefined);
  assert.is(lookUp(table, PAGE), PAGE);
  vcpu.exit();
  engine.close();
});

test("an answer that was made in a layout which has gone meanwhile is not kept", async () => {
  const engine = await create();
  const vcpu = engine.vcpu();
  let commits = 0;
  const table = guestPageTable<string>(engine, {
    ...{ vcpu, access: "read", unknown: "unknown" },
    answerOf: () => {
      if (commits++ === 0) {
        engine.setUserMemoryRegion(region(0, 0, 1, 9));
        assert.is(vcpu.refresh(), true);
      }
      return "nobody";
    },
  });
  vcpu.enter();
  table.fill(0);
  assert.is(table.entries[0], 0);
  table.fill(0);
  assert.is(table.entries[0], 9 * PAGE + 1);
  vcpu.exit();
});

test("host addresses that an entry cannot hold are in the parts", async () => {
  const { engine, vcpu, table } = await world(
    "read",
    region(0, 0, 32, 2 ** 19 - 4),
    region(1, 64, 1, 2 ** 30),
  );
  engine.setUserMemoryRegionList([], { windows: [[{ gpa: 128 * PAGE, bytes: 2 * PAGE, hva: 0x1008 }]] });
  vcpu.enter();
  assert.is(lookUp(table, 3 * PAGE), 2 ** 31 - PAGE);
  assert.is(seen(table, 0), 2 ** 31 - 4 * PAGE);
  assert.is(seen(table, 4 * PAGE), undefined, "the neighbour is too far");
  for (const [gpa, hva] of [
    [4 * PAGE, 2 ** 31],
    [64 * PAGE, 2 ** 42],
    [129 * PAGE, 0x2008],
  ] as const) {
    const parts = lookUp(table, gpa) as Parts;
    assert.equal(parts, [{ gpa, bytes: PAGE, kind: "memory", hva, device: -1, offset: 0 }]);
  }
  vcpu.exit();
});

test("addresses of either sign, up to the last one; a small address space, and pages of another size", async () => {
  const { vcpu, table } = await world("read", region(0, 2 ** 20 - 2, 2, 3));
  vcpu.enter();
  table.fill(-PAGE);
  assert.is(table.entries[2 ** 20 - 1], 4 * PAGE + 1);
  assert.is(seen(table, 0xffffffff), 5 * PAGE - 1);
  vcpu.exit();
  const small = await create({ pageShift: 10, maxPhysAddrBits: 13 });
  small.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 8192, userspaceAddr: 0x400 });
  const cpu = small.vcpu();
  const few = tableOf(small, cpu, "read");
  cpu.enter();
  few.fill(0x1fff);
  assert.equal(
    [...few.entries],
    Array.from({ length: 8 }, (_, i) => 0x401 + 0x400 * i),
  );
  assert.throws(() => few.fill(0x2000), /RangeError|gpa must be an integer of 13 bits, not 8192/);
  cpu.exit();
});

test("what cannot be is refused, and nothing is left open", async () => {
  const { engine, vcpu, table } = await world("read", region(0, 0, 32, 0));
  const answerOf = () => undefined;
  const make = (options: object, of = engine) =>
    guestPageTable(of, { vcpu, access: "read", unknown: undefined, answerOf, ...options } as never);
  assert.throws(() => make({ acess: "write" }), /acess/);
  assert.throws(
    () => make({ access: "execute" }),
    /access must be "read", "write" or "fetch", not "execute"/,
  );
  assert.throws(() => make({ access: "toString" }), /access must be/);
  assert.throws(() => make({ answerOf: 1 }), /answerOf must be a function/);
  assert.throws(() => make({ vcpu: {} }), /vcpu must be a vCPU of this engine/);
  const wide = await create({ maxPhysAddrBits: 33 });
  assert.throws(
    () => make({ vcpu: wide.vcpu() }, wide),
    /maxPhysAddrBits of the engine must be at most 32, not 33/,
  );
  const fine = await create({ pageShift: 8 });
  assert.throws(() => make({ vcpu: fine.vcpu() }, fine), /at most 4194304 pages, not 16777216/);
  assert.throws(() => make({ vcpu: fine.vcpu() }), /vcpu must be a vCPU of this engine/);
  vcpu.enter();
  for (const gpa of [2 ** 32, -(2 ** 31) - 1, 0.5, Number.NaN]) {
    assert.throws(() => table.fill(gpa), /gpa must be an integer of 32 bits/);
  }
  for (const gpa of ["0", 0n, undefined]) {
    assert.throws(() => table.fill(gpa as never), /gpa must be a number/);
  }
  vcpu.exit();
  assert.throws(() => table.fill(0), /is filled in a section of its vCPU/);
  engine.setUserMemoryRegionList(OTHER, { timeout: 1000 });
  vcpu.enter();
  assert.is(lookUp(table, 0), 200 * PAGE);
  vcpu.release();
  assert.is(seen(table, 0), undefined);
  assert.throws(() => table.fill(0), /the vCPU of this page table is released/);
  const second = engine.vcpu();
  const late = tableOf(engine, second, "read");
  engine.close();
  assert.throws(() => late.fill(0), /closed/);
});

// ---- dirty pages ----

const dirty = (engine: MemslotEngine, slot = 0) => dirtyPages(engine.getDirtyLog(slot));

test("a logged page is marked when it gets its entry for stores, and not by reads", async () => {
  const { engine, vcpu, table } = await world("write", region(0, 0, 32, 0, LOG));
  const reads = tableOf(engine, vcpu, "read");
  vcpu.enter();
  lookUp(reads, PAGE);
  assert.is(seen(reads, 3 * PAGE), 3 * PAGE);
  lookUp(table, 5 * PAGE);
  assert.is(seen(table, 6 * PAGE), undefined, "a neighbour would be dirty too");
  vcpu.exit();
  assert.equal(dirty(engine), [5]);
  assert.equal(dirty(engine), []);
});

test("an entry ends at the first section behind a harvest, and only then", async () => {
  const { engine, vcpu, table } = await world("write", region(0, 0, 32, 0, LOG), region(1, 64, 32, 64));
  vcpu.enter();
  lookUp(table, 5 * PAGE);
  vcpu.exit();
  vcpu.enter();
  assert.is(seen(table, 5 * PAGE), 5 * PAGE);
  vcpu.exit();
  assert.equal(dirty(engine), [5]);
  vcpu.enter();
  assert.is(seen(table, 5 * PAGE), undefined);
  vcpu.exit();
  assert.equal(dirty(engine), [], "nobody has written since");
});

for (const [name, go] of Object.entries({
  "the section ends": (vcpu: Vcpu): void => vcpu.exit(),
  "an inner nesting ends": (vcpu: Vcpu): void => {
    vcpu.enter();
    vcpu.exit();
  },
  "it goes on with the same layout": (vcpu: Vcpu): void => void vcpu.refresh(),
  "it goes on with another address space": (vcpu: Vcpu): void => void Object.assign(vcpu, { asId: 1 }),
  "the vCPU is released": (vcpu: Vcpu): void => vcpu.release(),
})) {
  for (const quiet of [false, true]) {
    const before = quiet ? ", after it has gone on with the same layout" : "";
    test(`what is written behind a harvest is in the next one when ${name}${before}`, async () => {
      const { engine, vcpu, table } = await world("write", region(0, 0, 32, 0, LOG));
      vcpu.enter();
      lookUp(table, 5 * PAGE);
      if (quiet) vcpu.refresh();
      assert.is(seen(table, 5 * PAGE), 5 * PAGE);
      assert.equal(dirty(engine), [5]);
      // The guest stores by its entry here.
      go(vcpu);
      assert.is(seen(table, 5 * PAGE), undefined);
      assert.equal(dirty(engine), [5]);
    });
  }
}

test("what is written behind a harvest is in the next one when another layout comes", async () => {
  const { engine, vcpu, table } = await world("write", region(0, 0, 32, 0, LOG), region(1, 64, 1, 64));
  const anew = () => {
    vcpu.exit();
    vcpu.enter();
  };
  for (const leave of [() => void vcpu.refresh(), anew]) {
    vcpu.enter();
    lookUp(table, 5 * PAGE);
    assert.equal(dirty(engine), [5]);
    engine.setUserMemoryRegionList([deletion(1), region(1, 64, 1, 70)], { wait: false });
    leave();
    assert.is(seen(table, 5 * PAGE), undefined);
    vcpu.exit();
    assert.equal(dirty(engine), [5]);
  }
});

test("logged parts of a page are marked as well: a mirror's originals, memory beside a device", async () => {
  const engine = await create();
  const windows: MmioWindow[] = [
    // Shows the second half of page 2 and the first one of page 3.
    { gpa: 40 * PAGE, bytes: PAGE, mirrorOf: 2 * PAGE + PAGE / 2 },
    { gpa: 8 * PAGE, bytes: 16, device: 0, over: true },
  ];
  engine.setUserMemoryRegionList([region(0, 0, 32, 0, LOG)], { windows: [windows] });
  const vcpu = engine.vcpu();
  const table = tableOf(engine, vcpu, "write");
  vcpu.enter();
  const kinds = (gpa: number) => (lookUp(table, gpa) as Parts).map(({ kind, bytes }) => `${kind} ${bytes}`);
  assert.equal(kinds(8 * PAGE), ["device 16", `memory ${PAGE - 16}`]);
  assert.equal(dirty(engine), [8]);
  vcpu.exit();
  assert.equal(dirty(engine), [8], "it was written by its part, for all that is known");
  vcpu.enter();
  assert.equal(kinds(40 * PAGE), [`memory ${PAGE}`]);
  vcpu.exit();
  assert.equal(dirty(engine), [2, 3]);
  vcpu.exit();
  engine.close();
});

// ---- against lookups, at random ----

/** One part of a page as `vcpu.resolve` answers for its first byte. */
function placeOf(part: PagePart): string {
  if (part.kind === "memory") return `${part.hva}`;
  if (part.kind === "device") return `${HVA_MMIO} ${part.device} ${part.offset}`;
  return `${part.kind === "read-only" ? HVA_RO_BAD : HVA_BAD}`;
}

function resolved(vcpu: Vcpu, gpa: number, write: boolean): string {
  const hva = vcpu.resolve(gpa, write);
  return hva === HVA_MMIO ? `${hva} ${vcpu.device} ${vcpu.offset}` : `${hva}`;
}

test("random maps that change at any moment: each byte is where resolve finds it", async () => {
  const rng = random(SEED);
  const PAGES = 96;
  const engine = await create();
  const others = [engine, await MemslotEngine.attach(engine.handle)];
  const vcpu = engine.vcpu();
  const tables = [
    { table: tableOf(engine, vcpu, "read"), write: false },
    { table: tableOf(engine, vcpu, "write"), write: true },
  ];
  const commit = () => {
    const asId = rng.int(2);
    const regions = engine.slots(asId).map(({ slot }) => deletion(slot));
    for (let [gfn, id] = [rng.int(8), 0]; gfn < PAGES && id < 8; id++) {
      const npages = 1 + rng.int(24);
      const flags = rng.pick([0, READONLY, LOG]);
      regions.push(region(asId * 0x10000 + id, gfn, npages, rng.int(4096), flags));
      gfn += npages + rng.int(6);
    }
    const windows: MmioWindow[] = [];
    for (let gpa = rng.int(8 * PAGE); gpa < PAGES * PAGE && windows.length < 12; ) {
      const bytes = rng.chance(0.5) ? 1 + rng.int(64) : PAGE * (1 + rng.int(4));
      const at = rng.chance(0.5) ? gpa - (gpa % PAGE) + PAGE : gpa;
      const over = rng.chance(0.5);
      windows.push(
        rng.pick<MmioWindow>([
          { gpa: at, bytes, device: rng.int(9), offset: rng.int(99), over },
          {
            gpa: at,
            bytes,
            hva: rng.int(99) * (rng.chance(0.5) ? PAGE : 8),
            readonly: rng.chance(0.5),
            over,
          },
          { gpa: at, bytes, mirrorOf: rng.int(PAGES) * PAGE, over },
        ]),
      );
      gpa = at + bytes + rng.int(10 * PAGE);
    }
    const options: CommitOptions = { wait: false, windows: asId === 0 ? [windows] : [undefined, windows] };
    rng.pick(others).setUserMemoryRegionList(regions, options);
  };
  const check = () => {
    const gpa = rng.int(PAGES * PAGE);
    for (const { table, write } of tables) {
      const found = lookUp(table, gpa);
      if (typeof found === "number") {
        const last = gpa | (PAGE - 1);
        assert.is(`${found}`, resolved(vcpu, gpa, write));
        assert.is(`${found + (last - gpa)}`, resolved(vcpu, last, write));
        continue;
      }
      let end = gpa - (gpa % PAGE);
      for (const part of found) {
        assert.is(part.gpa, end);
        end += part.bytes;
        assert.is(placeOf(part), resolved(vcpu, part.gpa, write), JSON.stringify(part));
      }
      assert.is(end, gpa - (gpa % PAGE) + PAGE);
    }
  };
  let depth = 0;
  const checks = [0, 0];
  for (let step = 0; step < 30_000; step++) {
    const dice = rng.int(20);
    if (dice === 0 && depth === 0) commit();
    else if (dice === 1 && depth < 3) {
      vcpu.enter();
      depth++;
    } else if (dice === 2 && depth > 0) {
      vcpu.exit();
      depth--;
    } else if (dice === 3 && depth > 0) vcpu.refresh();
    else if (dice === 4) vcpu.asId = rng.int(2);
    else if (depth > 0) {
      check();
      checks[Number(typeof seen(tables[0]!.table, 0) === "number")]!++;
    }
  }
  assert.ok(checks[0]! > 1000 && checks[1]! > 1000, String(checks));
});

test.run();
