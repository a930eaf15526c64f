/** Private memory: random runs against the model, sections, other threads' instances, no memory, and death. */
import { KvmError, MemslotEngine } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { COMMIT_WAIT } from "../../../src/core/layout.js";
import {
  KVM_MEM_GUEST_MEMFD as MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE as PRIVATE,
} from "../../../src/kvm/uapi.js";
import { ModelEngine } from "../../model/memslots.js";
import { errnoOf, type Implementation } from "../../support/implementation.js";
import { checkInvariants } from "../../support/invariants.js";
import { Death, type MortalEngine, mortal, OWNER } from "../../support/mortal.js";
import { type Random, random } from "../../support/random.js";
import { deletion, ownRegion, PAGE, slotNumber } from "../../support/region.js";

const SEED = Number(process.env.SEED ?? 7);
console.log(`seed ${SEED}`);

const PAGES = 24;

type Both = Pick<
  Implementation,
  | "createGuestMemfd"
  | "closeGuestMemfd"
  | "setMemoryAttributes"
  | "setUserMemoryRegion2"
  | "setUserMemoryRegionList"
>;

/** A call with arguments drawn from `rng`, to be made on two implementations. It returns an errno or a descriptor. */
function drawCall(rng: Random, files: readonly number[]): (vm: Both) => number {
  const slot = slotNumber(rng.int(2), rng.int(6));
  const [gfn, npages] = [rng.int(PAGES), 1 + rng.int(5)];
  const fd = rng.chance(0.9) && files.length > 0 ? rng.pick(files) : 2 + rng.int(9);
  const answering = (call: (vm: Both) => unknown) => (vm: Both) => errnoOf(() => call(vm));
  if (rng.chance(0.08)) {
    const [size, flags] = [rng.int(9) * PAGE + (rng.chance(0.1) ? 1 : 0), rng.chance(0.1) ? 1 : 0];
    return (vm) => {
      let made = 0;
      const errno = errnoOf(() => {
        made = vm.createGuestMemfd(size, flags);
      });
      return errno || made;
    };
  }
  if (rng.chance(0.06)) return answering((vm) => vm.closeGuestMemfd(fd));
  if (rng.chance(0.3)) {
    const attributes = rng.pick([0, PRIVATE, PRIVATE, 1]);
    const range = { address: gfn * PAGE, size: npages * PAGE - (rng.chance(0.05) ? 1 : 0), attributes };
    return answering((vm) => vm.setMemoryAttributes(range));
  }
  const gone = deletion(slot);
  if (rng.chance(0.25)) return answering((vm) => vm.setUserMemoryRegionList([gone]));
  if (rng.chance(0.2))
    return answering((vm) => vm.setUserMemoryRegionList([gone, ownRegion(slot, gfn, npages)]));
  const bound = {
    ...ownRegion(slot, gfn, npages, MEMFD),
    guestMemfd: fd,
    guestMemfdOffset: rng.int(8) * PAGE,
  };
  return answering((vm) => vm.setUserMemoryRegion2(bound));
}

type Seen = Pick<MemslotEngine, "memoryAttributes" | "resolvePrivate" | "gpaToHva" | "publications">;

/** All that can be asked. */
function lookups(vm: Seen): unknown[] {
  const pages = [...Array(PAGES + 6).keys()];
  return [
    vm.publications,
    pages.map((gfn) => vm.memoryAttributes(gfn * PAGE + 9)),
    ...[0, 1].map((asId) => pages.map((gfn) => vm.resolvePrivate(gfn * PAGE + 9, asId))),
    ...[0, 1].map((asId) => pages.map((gfn) => vm.gpaToHva(gfn * PAGE + 9, asId))),
  ];
}

test("random calls return and leave what they do in the model", async () => {
  const [WORLDS, CALLS] = [40, 150];
  const answers = new Map<number, number>();
  for (let world = 0; world < WORLDS; world++) {
    const rng = random(SEED * 1000 + world);
    const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 8 });
    const other = await MemslotEngine.attach(engine.handle);
    const model = new ModelEngine({ addressSpaces: 2, maxSlots: 8 });
    const files: number[] = [];
    for (let i = 0; i < CALLS; i++) {
      const call = drawCall(rng, files);
      const answer = call(rng.chance(0.5) ? engine : other);
      assert.is(answer, call(model), `call ${i}`);
      if (answer > 0) files.push(answer);
      answers.set(Math.min(answer, 1), (answers.get(Math.min(answer, 1)) ?? 0) + 1);
      if (i % 5 === 0) assert.equal(lookups(engine), lookups(model), `after call ${i}`);
    }
    checkInvariants(engine);
    engine.close();
  }
  // EBADF, EEXIST, EINVAL, done, a new descriptor: all of them, often.
  for (const answer of [-9, -17, -22, 0, 1]) assert.ok((answers.get(answer) ?? 0) > WORLDS, `${answer}`);
});

test("a section sees the files and attributes of its layout, and learns of the next", async () => {
  const engine = await MemslotEngine.create();
  const fd = engine.createGuestMemfd(8 * PAGE);
  engine.setUserMemoryRegion2({ ...ownRegion(1, 0, 4, MEMFD), guestMemfd: fd, guestMemfdOffset: 2 * PAGE });
  const vcpu = engine.vcpu();
  const sees = () => [vcpu.memoryAttributes(PAGE), vcpu.resolvePrivate(PAGE + 1), vcpu.device];
  vcpu.enter();
  assert.equal(sees(), [0, 3 * PAGE + 1, fd]);
  engine.setMemoryAttributes({ address: 0, size: 2 * PAGE, attributes: PRIVATE });
  engine.setUserMemoryRegion(deletion(1));
  engine.closeGuestMemfd(fd);
  assert.equal(sees(), [0, 3 * PAGE + 1, fd]);
  assert.is(engine.memoryAttributes(PAGE), PRIVATE);
  assert.is(engine.resolvePrivate(PAGE), undefined);
  assert.is(vcpu.refresh(), true);
  assert.equal(sees(), [PRIVATE, -1, fd]);
  vcpu.exit();
  engine.setMemoryAttributes({ address: 0, size: PAGE, attributes: PRIVATE });
  assert.is(vcpu.enter(), false, "private already: no other layout");
  vcpu.exit();
  engine.setMemoryAttributes({ address: 0, size: PAGE, attributes: 0 });
  assert.is(vcpu.enter(), true);
  vcpu.release();
});

test("wrong JavaScript types are a TypeError that names the argument", async () => {
  const engine = await MemslotEngine.create();
  const type = (name: RegExp) => (error: unknown) => error instanceof TypeError && name.test(error.message);
  for (const bad of ["1", 1.5, -1, Number.NaN, undefined, null] as never[]) {
    assert.throws(() => engine.createGuestMemfd(bad), type(/^size must be/));
    assert.throws(() => engine.closeGuestMemfd(bad), type(/^descriptor must be/));
    for (const field of ["address", "size", "attributes"]) {
      const request = { address: 0, size: PAGE, attributes: 8, [field]: bad };
      assert.throws(() => engine.setMemoryAttributes(request), type(new RegExp(`^${field} must be`)));
    }
  }
  assert.throws(() => engine.createGuestMemfd(PAGE, "1" as never), type(/^flags must be/));
  assert.throws(() => engine.setMemoryAttributes(7 as never), type(/^attributes must be an object, not 7/));
  assert.is(engine.publications, 0);
});

test("a table that does not fit is ENOMEM, and the old table stays", async () => {
  const memory = new WebAssembly.Memory({ initial: 3, maximum: 3, shared: true });
  const engine = await MemslotEngine.create({ memory, base: 64, maxSlots: 8, maxVcpus: 1, size: 40_000 });
  let ranges = 0;
  const add = () => {
    const address = 2 * ranges * PAGE;
    engine.setMemoryAttributes({ address, size: PAGE, attributes: PRIVATE });
    ranges++;
  };
  let refused: unknown;
  while (refused === undefined && ranges < 10_000) {
    try {
      add();
    } catch (error) {
      refused = error;
    }
  }
  assert.ok(refused instanceof KvmError && refused.code === "ENOMEM", String(refused));
  assert.ok(ranges > 10);
  for (let gfn = 0; gfn < 2 * ranges + 2; gfn++) {
    assert.is(engine.memoryAttributes(gfn * PAGE), gfn % 2 === 0 && gfn < 2 * ranges ? PRIVATE : 0);
  }
  checkInvariants(engine);
});

/** Commits in which the writer dies, by raw calls as the facade makes them. */
const WORK: Record<string, (engine: MemslotEngine, writer: MortalEngine) => void> = {
  file({ base, memory }, { wasm }) {
    const staging = wasm.stageList(base, 0);
    new Uint32Array(memory.buffer).set([4 * PAGE, 0, 0, 0], staging / 4);
    assert.ok(wasm.stageMemfd(base) > 0);
    assert.is(wasm.commitList(base, OWNER, 0, COMMIT_WAIT, 0), 1);
  },
  attributes({ base, memory }, { wasm }) {
    const staging = wasm.stageList(base, 0);
    new Uint32Array(memory.buffer).set([PAGE, 0, 4 * PAGE, 0, PRIVATE, 0, 0, 0], staging / 4);
    assert.is(wasm.stageAttributes(base), 0);
    assert.is(wasm.commitList(base, OWNER, 0, COMMIT_WAIT, 0), 1);
  },
  binding({ base, memory }, { wasm }) {
    const staging = wasm.stageList(base, 1);
    const words = [2, MEMFD, 8 * PAGE, 0, 2 * PAGE, 0, 0, 0, 4 * PAGE, 0, 3];
    new Uint32Array(memory.buffer).set(words, staging / 4);
    assert.is(wasm.commitRegion2(base, OWNER, COMMIT_WAIT, 0), 1);
  },
};

async function newWorld(): Promise<MemslotEngine> {
  const engine = await MemslotEngine.create({ addressSpaces: 2, maxSlots: 8, maxVcpus: 2 });
  assert.is(engine.createGuestMemfd(8 * PAGE), 3);
  engine.setUserMemoryRegion2({ ...ownRegion(1, 0, 4, MEMFD), guestMemfd: 3 });
  engine.setMemoryAttributes({ address: 0, size: 2 * PAGE, attributes: PRIVATE });
  return engine;
}

for (const [name, work] of Object.entries(WORK)) {
  test(`a writer that dies at any store of a new ${name} leaves what was before or what comes after`, async () => {
    const whole = await newWorld();
    const before = JSON.stringify(lookups(whole));
    const live = mortal(whole.handle);
    live.wasm.lockEngine(whole.base, OWNER, 0);
    work(whole, live);
    live.wasm.unlockEngine(whole.base);
    const after = JSON.stringify(lookups(whole));
    assert.is.not(after, before);
    const [old, now] = [new Set<number>(), new Set<number>()];
    for (let store = 1; ; store++) {
      const engine = await newWorld();
      const writer = mortal(engine.handle);
      writer.wasm.lockEngine(engine.base, OWNER, 0);
      writer.dieAt(store);
      try {
        work(engine, writer);
      } catch (error) {
        if (!(error instanceof Death)) throw error;
        engine.reap(OWNER);
        const seen = JSON.stringify(lookups(engine));
        assert.ok(seen === before || seen === after, `store ${store}`);
        (seen === before ? old : now).add(store);
        engine.setUserMemoryRegion(ownRegion(5, 20, 1));
        assert.is(engine.resolvePrivate(PAGE)?.offset, PAGE);
        assert.is(engine.memoryAttributes(PAGE), PRIVATE);
        checkInvariants(engine);
        continue;
      }
      break;
    }
    assert.ok(old.size > 10 && now.size > 2, `${old.size} deaths before the publication, ${now.size} after`);
  });
}

test.run();
