/**
 * The TLB of a vCPU: a hit is what a lookup in the same section answers; what no slot of plain memory answers for is
 * never entered; a page that is written is in a harvest, whenever that was made; memory comes and goes with the vCPU.
 */
import {
  DirtyConsumer,
  DirtyRing,
  HVA_BAD,
  HVA_MMIO,
  HVA_RO_BAD,
  KVM_CAP_DIRTY_LOG_RING,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KvmError,
  MemslotEngine,
  takeDirtyPages,
  type Vcpu,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { instantiateEngine } from "../../../src/core/instantiate.js";
import { TLB_BYTES, TLB_ENTRY_BYTES } from "../../../src/core/layout.js";
import { dirtyPages, hostPages } from "../../support/bitmap.js";
import { checkInvariants } from "../../support/invariants.js";
import { random } from "../../support/random.js";
import { TLB_CODE, TLB_READ, TLB_WRITE, TlbProbe } from "../../support/tlb.js";

const PAGE = 4096;
const KINDS = [TLB_READ, TLB_WRITE, TLB_CODE];

function region(slot: number, gfn: number, npages: number, host: number, flags = 0) {
  return { slot, flags, guestPhysAddr: gfn * PAGE, memorySize: npages * PAGE, userspaceAddr: host * PAGE };
}

function probeOf(engine: MemslotEngine, vcpu: Vcpu): TlbProbe {
  return new TlbProbe(engine, vcpu);
}

function close(engine: MemslotEngine, vcpu: Vcpu): void {
  vcpu.release();
  engine.setUserMemoryRegion(region(9, 0x90000, 1, 0));
  checkInvariants(engine);
  engine.close();
}

test("a fill enters the page for its kind, and only for that", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 4, 100), region(1, 4, 4, 50, KVM_MEM_READONLY)]);
  const vcpu = engine.vcpu({ tlbEntries: 64 });
  const tlb = probeOf(engine, vcpu);
  vcpu.enter();
  for (const kind of KINDS) {
    const gpa = kind * PAGE + 123;
    assert.is(tlb.probe(gpa, kind), undefined);
    assert.is(tlb.access(gpa, kind), 100 * PAGE + gpa);
    for (const other of KINDS) {
      assert.is(tlb.probe(gpa, other), other === kind ? 100 * PAGE + gpa : undefined, `${kind}, ${other}`);
    }
    assert.is(tlb.probe(gpa, kind, 4), undefined, "not aligned");
    assert.is(tlb.probe(gpa + 1, kind, 4), 100 * PAGE + gpa + 1);
  }
  assert.is(tlb.access(5 * PAGE, TLB_READ), 51 * PAGE);
  assert.is(tlb.access(5 * PAGE, TLB_WRITE), HVA_RO_BAD);
  assert.is(tlb.probe(5 * PAGE, TLB_WRITE), undefined);
  assert.is(tlb.probe(5 * PAGE, TLB_READ), 51 * PAGE, "the refusal takes nothing away");
  for (const gpa of [8 * PAGE, 2 ** 52, 2 ** 53]) assert.is(tlb.access(gpa, TLB_READ), HVA_BAD);
  const wasm = instantiateEngine(engine.handle.module, engine.memory);
  for (const gpa of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.is(wasm.fillTlb(vcpu.reader, gpa, TLB_WRITE), HVA_BAD);
  vcpu.exit();
  close(engine, vcpu);
});

test("pages that are no plain memory are never entered: devices, less than a page, a ROM's device", async () => {
  const engine = await MemslotEngine.create();
  const windows = [
    { gpa: 0x10000, bytes: 16, device: 7, offset: 0 },
    { gpa: 0x10010, bytes: PAGE - 16, hva: 0x70010 },
    { gpa: 0x20000, bytes: PAGE, device: 8, offset: 0 },
  ];
  engine.setUserMemoryRegionList([region(0, 0x20, 1, 60, KVM_MEM_READONLY)], { windows: [windows] });
  const vcpu = engine.vcpu({ tlbEntries: 64 });
  const tlb = probeOf(engine, vcpu);
  vcpu.enter();
  for (let i = 0; i < 2; i++) {
    assert.is(tlb.access(0x10004, TLB_WRITE), HVA_MMIO);
    assert.equal([vcpu.device, vcpu.offset], [7, 4]);
    assert.is(tlb.access(0x10018, TLB_READ), 0x70018);
    assert.is(tlb.access(0x10018, TLB_WRITE), 0x70018);
    assert.is(tlb.access(0x20008, TLB_WRITE), HVA_MMIO);
    assert.is(vcpu.device, 8);
    for (const gpa of [0x10004, 0x10018])
      for (const kind of KINDS) assert.is(tlb.probe(gpa, kind), undefined);
    assert.is(tlb.probe(0x20008, TLB_WRITE), undefined);
  }
  assert.is(tlb.access(0x20008, TLB_READ), 60 * PAGE + 8);
  assert.is(tlb.probe(0x20008, TLB_READ), 60 * PAGE + 8);
  vcpu.exit();
  close(engine, vcpu);
});

test("entries stay while the layout does, and go with it: at enter, at refresh, with the address space", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegionList([region(0, 0, 4, 100), region(0x10000, 0, 4, 500)]);
  const vcpu = engine.vcpu({ tlbEntries: 64 });
  const tlb = probeOf(engine, vcpu);
  vcpu.enter();
  assert.is(tlb.access(0, TLB_READ), 100 * PAGE);
  vcpu.exit();
  vcpu.enter();
  assert.is(tlb.probe(0, TLB_READ), 100 * PAGE, "kept from section to section");
  engine.setUserMemoryRegion(region(1, 10, 1, 300));
  assert.is(tlb.probe(0, TLB_READ), 100 * PAGE, "a section has one layout");
  assert.is(tlb.access(10 * PAGE, TLB_READ), HVA_BAD);
  vcpu.refresh();
  assert.is(tlb.probe(0, TLB_READ), undefined);
  assert.is(tlb.access(10 * PAGE, TLB_READ), 300 * PAGE);
  vcpu.asId = 1;
  assert.is(tlb.probe(10 * PAGE, TLB_READ), undefined);
  assert.is(tlb.access(0, TLB_READ), 500 * PAGE);
  vcpu.exit();
  engine.setUserMemoryRegion(region(1, 0, 0, 0));
  // A lookup between two sections pins the newest layout, too.
  assert.is(vcpu.gpaToHva(0), 500 * PAGE);
  vcpu.enter();
  assert.is(tlb.probe(0, TLB_READ), undefined);
  vcpu.exit();
  close(engine, vcpu);
});

test("64 pages at any stride up to 64 MiB do not meet in 256 entries", async () => {
  const engine = await MemslotEngine.create();
  const vcpu = engine.vcpu({ tlbEntries: 256 });
  const tlb = probeOf(engine, vcpu);
  for (let stride = PAGE; stride <= 2 ** 26; stride *= 2) {
    const entries = new Set(Array.from({ length: 64 }, (_, i) => tlb.indexOf(i * stride)));
    assert.is(entries.size, 64, `${stride} bytes`);
  }
  assert.is(new Set(Array.from({ length: 256 }, (_, i) => tlb.indexOf(i * PAGE))).size, 256);
  close(engine, vcpu);
});

// ---- logs ----

interface Log {
  readonly name: string;
  /** Pages that this harvest tells. */
  harvest(): number[];
}

const SLOT = 0;
const PAGES = 200;

/** An engine with one logged slot of PAGES pages, and all ways to harvest it. */
const LOGS: readonly ((engine: MemslotEngine) => Log)[] = [
  (engine) => ({ name: "GET", harvest: () => dirtyPages(engine.getDirtyLog(SLOT)) }),
  (engine) => {
    engine.enableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1);
    return {
      name: "GET and CLEAR",
      harvest() {
        const bitmap = engine.getDirtyLog(SLOT);
        engine.clearDirtyLog(SLOT, 0, PAGES, bitmap);
        return dirtyPages(bitmap);
      },
    };
  },
  (engine) => {
    const pages = new Uint32Array(PAGES);
    return {
      name: "takeDirtyPages",
      harvest: () => [...pages.subarray(0, takeDirtyPages(engine, SLOT, pages))],
    };
  },
  (engine) => {
    const consumer = new DirtyConsumer(engine, "screen");
    return {
      name: "a consumer",
      harvest() {
        const pages = hostPages(consumer.begin(), 1000);
        consumer.done();
        return pages;
      },
    };
  },
  (engine) => {
    engine.enableCap(KVM_CAP_DIRTY_LOG_RING, 4096);
    const ring = new DirtyRing(engine, 0);
    return {
      name: "a ring",
      harvest() {
        const { entries, overflow } = ring.harvest();
        assert.not(overflow);
        engine.resetDirtyRings();
        return entries.map(({ offset }) => offset);
      },
    };
  },
];

for (const open of LOGS) {
  test("a page is marked before its first write and again after a harvest; the entry stays in between", async () => {
    const engine = await MemslotEngine.create({ addressSpaces: 2 });
    const log = open(engine);
    engine.setUserMemoryRegion(region(SLOT, 0, PAGES, 1000, KVM_MEM_LOG_DIRTY_PAGES));
    const vcpu = engine.vcpu({ tlbEntries: 64 });
    const tlb = probeOf(engine, vcpu);
    log.harvest();
    const write = (page: number) => assert.is(tlb.access(page * PAGE, TLB_WRITE), (1000 + page) * PAGE);
    const ends: Record<string, () => void> = {
      exit: () => vcpu.exit(),
      refresh: () => vcpu.refresh(),
      "another address space": () => (vcpu.asId = 1),
      "another page in the entry": () => {
        vcpu.enter();
        assert.is(tlb.indexOf(5 * PAGE), tlb.indexOf(68 * PAGE));
        write(68);
        vcpu.exit();
      },
    };
    for (const [end, work] of Object.entries(ends)) {
      vcpu.enter();
      tlb.access(3 * PAGE, TLB_READ);
      assert.equal(log.harvest(), [], `${log.name}, ${end}: a read marks nothing`);
      write(3);
      write(5);
      assert.equal(log.harvest(), [3, 5], `${log.name}, ${end}: marked before the write`);
      assert.ok(tlb.probe(5 * PAGE, TLB_WRITE), "the entry stays");
      work();
      vcpu.exit();
      const again = log.harvest().filter((page) => page !== 68);
      assert.equal(again.sort(), [3, 5], `${log.name}, ${end}: written since, maybe`);
      vcpu.asId = 0;
      vcpu.enter();
      vcpu.exit();
      assert.equal(log.harvest(), [], `${log.name}, ${end}: and that was all`);
    }
    close(engine, vcpu);
  });

  test("random accesses, harvests, sections and commits: no write is in no harvest, no hit is wrong", async () => {
    const seed = Number(process.env.SEED ?? 17);
    const { int: pick } = random(seed);
    const engine = await MemslotEngine.create({ maxSlots: 64 });
    const log = open(engine);
    engine.setUserMemoryRegion(region(SLOT, 0, PAGES, 1000, KVM_MEM_LOG_DIRTY_PAGES));
    let vcpu = engine.vcpu({ tlbEntries: 64 });
    let tlb = probeOf(engine, vcpu);
    /** Pages that were written since they were last told. */
    const stale = new Set<number>();
    let depth = 0;
    let commits = 0;
    let mapped = false;
    let hits = 0;
    const harvest = (step: number) => {
      for (const page of log.harvest()) stale.delete(page);
      if (depth === 0) assert.equal([...stale], [], `${log.name}, seed ${seed}, step ${step}`);
    };
    for (let step = 0; step < 6000; step++) {
      const dice = pick(100);
      if (dice < 70 && depth > 0) {
        const gpa = (pick(3) > 0 ? pick(12) * 17 : pick(PAGES + 40)) * PAGE + pick(PAGE);
        const kind = pick(3);
        const expected = kind === TLB_WRITE ? vcpu.gpaToHva(gpa) : vcpu.gpaToHvaRead(gpa);
        if (tlb.probe(gpa, kind) !== undefined) hits++;
        assert.is(tlb.access(gpa, kind), expected, `seed ${seed}, step ${step}`);
        if (kind === TLB_WRITE && gpa < PAGES * PAGE) stale.add(Math.floor(gpa / PAGE));
      } else if (dice < 78) {
        vcpu.enter();
        depth++;
      } else if (dice < 90 && depth > 0) {
        vcpu.exit();
        if (--depth === 0) commits = 0;
      } else if (dice < 93) {
        vcpu.refresh();
        commits = 0;
      } else if (dice < 94 && ++commits < 3) {
        if (mapped) engine.setUserMemoryRegion(region(1, 0, 0, 0));
        else engine.setUserMemoryRegion(region(1, PAGES + pick(30), 8, 5000 + pick(100)));
        mapped = !mapped;
      } else if (dice < 96 && pick(4) === 0) {
        vcpu.release();
        [depth, commits] = [0, 0];
        vcpu = engine.vcpu({ tlbEntries: 64 << pick(2) });
        tlb = probeOf(engine, vcpu);
      } else if (dice >= 97) harvest(step);
    }
    while (depth > 0) {
      vcpu.exit();
      depth--;
    }
    harvest(-1);
    assert.ok(hits > 300, `${hits} hits`);
    close(engine, vcpu);
  });
}

// ---- memory ----

test("the option is checked: TypeError, RangeError, ENOMEM; a refused vCPU leaves nothing behind", async () => {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 0, size: 8 * 65536, maxVcpus: 1, maxSlots: 16 });
  for (const tlbEntries of ["64", 64.5, null, Number.NaN]) {
    assert.throws(
      () => engine.vcpu({ tlbEntries: tlbEntries as number }),
      (error: unknown) => error instanceof TypeError && error.message.includes("tlbEntries"),
    );
  }
  for (const tlbEntries of [0, 63, 65, 96, 131072, -64]) {
    assert.throws(
      () => engine.vcpu({ tlbEntries }),
      (error: unknown) => error instanceof RangeError && error.message.includes("tlbEntries"),
    );
  }
  assert.throws(
    () => engine.vcpu({ tlbEntries: 65536 }),
    (error: unknown) => error instanceof KvmError && error.code === "ENOMEM" && error.message.includes("TLB"),
  );
  checkInvariants(engine);
  const vcpu = engine.vcpu({ tlbEntries: 1024 });
  checkInvariants(engine);
  close(engine, vcpu);
});

test("the memory of a TLB is free for the next use once its vCPU is released, or reaped", async () => {
  const entries = 8192;
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 0, size: 8 * 65536, maxVcpus: 2, maxSlots: 16 });
  assert.ok(2 * entries * TLB_ENTRY_BYTES >= 8 * 65536, "two of them do not fit");
  for (let i = 0; i < 5; i++) {
    const vcpu = engine.vcpu({ tlbEntries: entries });
    checkInvariants(engine);
    if (i % 2 === 0) vcpu.release();
    else {
      const wasm = instantiateEngine(engine.handle.module, engine.memory);
      wasm.reapOwner(engine.base, 77, vcpu.owner);
    }
    // Whoever takes the lock next, on another line.
    const other = engine.vcpu();
    engine.setUserMemoryRegion(region(1, i, 1, 5));
    assert.is(instantiateEngine(engine.handle.module, engine.memory).tlbOf(other.reader), 0);
    other.release();
    checkInvariants(engine);
  }
  engine.close();
});

test("a vCPU without a TLB has none, whoever had its line before; fillTlb answers it as resolve does", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 1 });
  engine.setUserMemoryRegion(region(0, 0, 1, 10));
  engine.vcpu({ tlbEntries: 64 }).release();
  const vcpu = engine.vcpu();
  const wasm = instantiateEngine(engine.handle.module, engine.memory);
  assert.is(wasm.tlbOf(vcpu.reader), 0);
  assert.is(wasm.fillTlb(vcpu.reader, 5, TLB_WRITE), 10 * PAGE + 5);
  close(engine, vcpu);
});

test("the entries of a TLB begin at half a cache line", async () => {
  const engine = await MemslotEngine.create();
  for (const tlbEntries of [64, 256]) {
    const vcpu = engine.vcpu({ tlbEntries });
    assert.is((probeOf(engine, vcpu).tlb + TLB_BYTES) % 32, 0);
  }
  engine.close();
});

test.run();
