/**
 * MMIO windows: every byte resolves as a per-byte model says, one commit changes slots and windows together,
 * and a writer that dies at any store leaves both as they were or both as they were to be.
 */
import {
  HVA_BAD,
  HVA_MMIO,
  HVA_RO_BAD,
  KVM_MEM_READONLY,
  KvmError,
  MemslotEngine,
  type MmioWindow,
} from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { COMMIT_WAIT, WINDOW, WINDOW_BYTES } from "../../../src/core/layout.js";
import { throwsErrno } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { Death, mortal, OWNER, stageRegions } from "../../support/mortal.js";
import { random } from "../../support/random.js";
import { deletion, PAGE, region, slotNumber } from "../../support/region.js";

const kvmError = (code: string) => (error: unknown) => error instanceof KvmError && error.code === code;
const named = (type: typeof TypeError | typeof RangeError, text: string) => (error: unknown) =>
  error instanceof type && error.message.includes(text);

test("a window of 8 bytes covers these bytes and no others", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  const window = { gpa: 0xfebf_0600, bytes: 8, device: 0xffff_ffff, offset: 0x600 };
  const { generation, published } = engine.setUserMemoryRegionList([], { windows: [[window]] });
  assert.equal([generation, published], [2, true]);
  assert.is(engine.generation(1), 1, "the other address space did not change");
  const vcpu = engine.vcpu();
  assert.is(vcpu.resolve(0xfebf_05ff), HVA_BAD);
  assert.is(vcpu.resolve(0xfebf_0600), HVA_MMIO);
  assert.equal([vcpu.device, vcpu.offset], [0xffff_ffff, 0x600]);
  assert.is(vcpu.resolve(0xfebf_0607, false), HVA_MMIO);
  assert.equal([vcpu.device, vcpu.offset], [0xffff_ffff, 0x607]);
  assert.is(vcpu.resolve(0xfebf_0608), HVA_BAD);
  assert.is(vcpu.gpaToHva(0xfebf_0600), HVA_BAD, "a window is no slot");
  assert.equal(engine.windows(0), [window]);
  assert.equal(engine.windows(1), []);
  vcpu.asId = 1;
  assert.is(vcpu.resolve(0xfebf_0600), HVA_BAD);
  for (const gpa of [-1, Number.NaN, 2 ** 60, Number.POSITIVE_INFINITY])
    assert.is(vcpu.resolve(gpa), HVA_BAD);
  vcpu.release();
  checkInvariants(engine);
});

test("slots come before windows; a write that a READONLY slot refuses goes to the window under it", async () => {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegionList([region(0, 0, 2, 50), region(1, 2, 2, 90, KVM_MEM_READONLY)], {
    windows: [
      [
        { gpa: 0, bytes: 3 * PAGE, device: 1 },
        { gpa: 5 * PAGE - 16, bytes: 16, hva: 0x1000 },
        { gpa: 5 * PAGE, bytes: 16, hva: 0x2000, readonly: true },
      ],
    ],
  });
  assert.equal(engine.locate(5), { hva: 50 * PAGE + 5 });
  assert.equal(engine.locate(2 * PAGE + 5, false), { hva: 90 * PAGE + 5 });
  assert.equal(engine.locate(2 * PAGE + 5), { device: 1, offset: 2 * PAGE + 5 }, "as to a ROM device");
  assert.is(engine.locate(3 * PAGE), undefined, "as to a ROM");
  assert.equal(engine.locate(5 * PAGE - 1), { hva: 0x100f });
  assert.equal(engine.locate(5 * PAGE + 1, false), { hva: 0x2001 });
  assert.is(engine.locate(5 * PAGE + 1), undefined);
  const vcpu = engine.vcpu();
  assert.is(vcpu.resolve(3 * PAGE), HVA_RO_BAD);
  assert.is(vcpu.resolve(5 * PAGE + 1), HVA_RO_BAD);
  vcpu.release();
});

test("a section keeps the windows of its layout; a commit without net effect publishes nothing", async () => {
  const engine = await MemslotEngine.create();
  const before = [{ gpa: 0x1000, bytes: 0x20, device: 3, offset: 0 }];
  engine.setUserMemoryRegionList([region(0, 0, 1, 50)], { windows: [before] });
  const vcpu = engine.vcpu();
  vcpu.enter();
  engine.setUserMemoryRegionList([deletion(0), region(1, 1, 1, 60)], {
    windows: [[{ gpa: 0, bytes: 0x20, device: 4 }]],
  });
  assert.is(vcpu.resolve(0), 50 * PAGE);
  assert.is(vcpu.resolve(0x1000), HVA_MMIO);
  assert.is(vcpu.device, 3);
  assert.is(vcpu.refresh(), true);
  assert.is(vcpu.resolve(0x1000), 60 * PAGE);
  assert.is(vcpu.resolve(0), HVA_MMIO);
  assert.is(vcpu.device, 4);
  vcpu.release();
  const { publications } = engine;
  const again = [{ gpa: 0, bytes: 0x20, device: 4 }];
  assert.is(engine.setUserMemoryRegionList([], { windows: [again] }).published, false);
  assert.is(engine.setUserMemoryRegionList([region(1, 1, 1, 60)], { windows: [undefined] }).published, false);
  assert.is(engine.publications, publications);
  assert.is(engine.setUserMemoryRegionList([], { windows: [[]] }).published, true);
  assert.is(engine.locate(0), undefined);
  checkInvariants(engine);
});

test("a bad window is named, and nothing happens", async () => {
  const engine = await MemslotEngine.create({ maxListEntries: 3, maxPhysAddrBits: 40 });
  const first = [{ gpa: 0, bytes: 1, device: 1, offset: 0 }];
  engine.setUserMemoryRegionList([], { windows: [first] });
  const list = [region(0, 0, 1, 50)];
  const commit = (windows: unknown) => () =>
    engine.setUserMemoryRegionList(list, { windows: windows as MmioWindow[][] });
  const good = { gpa: 0x10, bytes: 0x10, device: 1 };
  const refusals: [unknown, (error: unknown) => boolean][] = [
    ["no", named(TypeError, "windows must be an array")],
    [["no"], named(TypeError, "windows[0] must be an array")],
    [[[null]], named(TypeError, "windows[0][0] must be an object")],
    [[[good, { ...good, gpa: "0" }]], named(TypeError, "windows[0][1].gpa")],
    [[[{ ...good, bytes: 0.5 }]], named(TypeError, "windows[0][0].bytes")],
    [[[{ ...good, bytes: 0 }]], named(RangeError, "windows[0][0] must have bytes")],
    [[[{ ...good, gpa: 2 ** 40 - 15 }]], named(RangeError, "windows[0][0]")],
    [[[{ ...good, device: -1 }]], named(TypeError, "windows[0][0].device")],
    [[[{ ...good, offset: 2 ** 53 }]], named(TypeError, "windows[0][0].offset")],
    [[[{ gpa: 0, bytes: 1, hva: -1 }]], named(TypeError, "windows[0][0].hva")],
    [[[{ gpa: 0, bytes: 1, hva: 1, readonly: 1 }]], named(TypeError, "windows[0][0].readonly")],
    [[[], []], named(RangeError, "1 address spaces")],
    [[[{ ...good, gpa: 0x1f }, good]], kvmError("EEXIST")],
    [[[0, 1, 2, 3].map((gpa) => ({ ...good, gpa, bytes: 1 }))], kvmError("E2BIG")],
  ];
  for (const [windows, check] of refusals) {
    assert.throws(commit(windows), check);
    assert.is(engine.locate(0x2000), undefined);
    assert.equal(engine.windows(), first);
    assert.equal(engine.slots(), []);
    checkInvariants(engine);
  }
  const overlap = [region(0, 0, 2, 50), region(1, 1, 1, 60)];
  throwsErrno(() => engine.setUserMemoryRegionList(overlap, { windows: [[good]] }), "EEXIST", 1);
  assert.equal(engine.windows(), first);
  checkInvariants(engine);
});

test("the core refuses windows that it could not search", async () => {
  const engine = await MemslotEngine.create();
  const { wasm } = mortal(engine.handle);
  const words = (at: number) => new DataView(engine.memory.buffer, at);
  const stage = (windows: [number, number][]): number => {
    wasm.lockEngine(engine.base, OWNER, 0);
    wasm.stageList(engine.base, 0);
    const at = wasm.stageWindows(engine.base, 0, windows.length);
    windows.forEach(([start, end], i) => {
      words(at).setBigUint64(i * WINDOW_BYTES + WINDOW.start, BigInt(start), true);
      words(at).setBigUint64(i * WINDOW_BYTES + WINDOW.end, BigInt(end), true);
    });
    const result = wasm.commitList(engine.base, OWNER, 0, COMMIT_WAIT, 0);
    wasm.unlockEngine(engine.base);
    checkInvariants(engine);
    return result;
  };
  const [EINVAL, EEXIST] = [-22, -17];
  assert.is(stage([[5, 5]]), EINVAL);
  assert.is(stage([[6, 5]]), EINVAL);
  const meet: [number, number][] = [
    [5, 9],
    [8, 10],
  ];
  assert.is(stage(meet), EEXIST);
  assert.is(stage([...meet].reverse()), EEXIST);
  assert.is(
    stage([
      [5, 9],
      [9, 10],
    ]),
    1,
  );
  wasm.lockEngine(engine.base, OWNER, 0);
  assert.is(wasm.stageWindows(engine.base, 1, 0), EINVAL, "no such address space");
  wasm.unlockEngine(engine.base);
});

const seed = Number(process.env.SEED ?? Date.now() % 1e9);

test(`random windows and slots resolve as in a per-byte model (SEED=${seed})`, async () => {
  const rng = random(seed);
  const BYTES = 256;
  const PAGES = 4;
  const SPAN = BYTES * PAGES;
  const engine = await MemslotEngine.create({ addressSpaces: 2, pageShift: 8 });
  for (let round = 0; round < 300; round++) {
    const asId = rng.int(2);
    const model: (string | undefined)[] = Array.from({ length: SPAN });
    const windows: MmioWindow[] = [];
    for (let gpa = rng.int(20); gpa < SPAN; ) {
      const bytes = Math.min(SPAN - gpa, 1 + rng.int(rng.chance(0.5) ? 9 : 200));
      const window = rng.chance(0.7)
        ? { gpa, bytes, device: rng.int(5), offset: rng.int(1000) }
        : { gpa, bytes, hva: 5000 + rng.int(1000) };
      windows.push(window);
      for (let i = 0; i < bytes; i++) {
        model[gpa + i] = JSON.stringify(
          "hva" in window ? { hva: window.hva + i } : { device: window.device, offset: window.offset! + i },
        );
      }
      gpa += bytes + (rng.chance(0.5) ? 0 : rng.int(40));
    }
    windows.sort(() => rng.next() - 0.5);
    const page = rng.int(PAGES);
    const slot = slotNumber(asId, 3);
    const mapped = { slot, flags: 0, guestPhysAddr: page * BYTES, memorySize: BYTES, userspaceAddr: 0x8000 };
    const gone = engine.slot(slot) === undefined ? [] : [{ ...mapped, memorySize: 0 }];
    engine.setUserMemoryRegionList([...gone, mapped], {
      windows: Array.from({ length: 2 }, (_, i) => (i === asId ? windows : undefined)),
    });
    for (let i = 0; i < BYTES; i++) model[page * BYTES + i] = JSON.stringify({ hva: 0x8000 + i });
    const seen = model.map((_, gpa) => JSON.stringify(engine.locate(gpa, true, asId)));
    assert.equal(seen, model, `round ${round}`);
  }
  checkInvariants(engine);
});

for (const shared of [true, false]) {
  test(`${shared ? "shared" : "unshared"}: a writer that dies at any store changes both or neither`, async () => {
    const windows = (device: number) =>
      Array.from({ length: 3 }, (_, i) => ({ gpa: i * 32, bytes: 16, device }));
    const start = async () => {
      const engine = await MemslotEngine.create({ shared, addressSpaces: 2 });
      engine.setUserMemoryRegionList([region(0, 1, 1, 50)], { windows: [windows(1), windows(1)] });
      return engine;
    };
    const look = (engine: MemslotEngine) =>
      JSON.stringify(
        [0, 1].map((asId) => [engine.windows(asId), engine.slots(asId), engine.generation(asId)]),
      );
    const list = [deletion(0), region(1, 1, 1, 60)];
    const model = await start();
    const before = look(model);
    model.setUserMemoryRegionList(list, { windows: [windows(2), []] });
    const after = look(model);
    const outcomes = { old: 0, new: 0 };
    for (let store = 1, dead = true; dead; store++) {
      const engine = await start();
      const writer = mortal(engine.handle);
      const bytes = () => new Uint8Array(engine.memory.buffer);
      writer.dieAt(store);
      try {
        writer.wasm.lockEngine(engine.base, OWNER, 0);
        stageRegions(engine, writer, list);
        const at = writer.wasm.stageWindows(engine.base, 0, 3);
        bytes().fill(0, at, at + 3 * WINDOW_BYTES);
        windows(2).forEach(({ gpa, bytes: length, device }, i) => {
          const words = new Uint32Array(engine.memory.buffer, at + i * WINDOW_BYTES, WINDOW_BYTES / 4);
          words[WINDOW.start / 4] = gpa;
          words[WINDOW.end / 4] = gpa + length;
          words[WINDOW.device / 4] = device;
        });
        writer.wasm.stageWindows(engine.base, 1, 0);
        assert.is(writer.wasm.commitList(engine.base, OWNER, list.length, COMMIT_WAIT, 0), 1);
        writer.wasm.unlockEngine(engine.base);
        dead = false;
      } catch (error) {
        if (!(error instanceof Death)) throw error;
      }
      const seen = look(engine);
      assert.ok(seen === before || seen === after, `store ${store}: neither layout: ${seen}`);
      outcomes[seen === before ? "old" : "new"]++;
      engine.reap(OWNER);
      engine.setUserMemoryRegion(region(7, 9, 1, 90));
      checkInvariants(engine);
      engine.setUserMemoryRegion(deletion(7));
      engine.setUserMemoryRegionList([], { windows: [[], []] });
      assert.equal([...engine.windows(0), ...engine.windows(1)], []);
      checkInvariants(engine);
    }
    assert.ok(outcomes.old > 30 && outcomes.new > 5, JSON.stringify(outcomes));
  });
}

test.run();
