/** Listeners: QEMU's order, which sections are reported, and delivery in another thread. */
import { once } from "node:events";
import { MessageChannel } from "node:worker_threads";
import { type KvmError, MemslotEngine, superviseWorker } from "memslots";
import {
  deliver,
  FlatView,
  FlatViews,
  type ListenerMessage,
  type MemoryListener,
  MemoryRegion,
  type MemorySection,
  postingListener,
} from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwsErrno } from "../../support/implementation.js";
import { random } from "../../support/random.js";
import { remote } from "../../support/remote.js";
import { tsWorker } from "../../support/tsworker.js";

const EVENTS = ["regionAdd", "regionDel", "regionNop", "logStart", "logStop"] as const;

/** Notes each call as `name event section`. */
function scribe(name: string, log: string[]): MemoryListener {
  const listener: MemoryListener = {
    begin: () => log.push(`${name} begin`),
    commit: () => log.push(`${name} commit`),
  };
  for (const event of EVENTS) {
    listener[event] = ({ asId, gpa, size, name: region }: MemorySection) => {
      log.push(`${name} ${event} ${asId}:${gpa.toString(16)}+${size.toString(16)} ${region}`);
    };
  }
  return listener;
}

function machine() {
  const system = MemoryRegion.container("system", 2n ** 64n);
  const low = MemoryRegion.ram("low", 0x4000, 0x10_0000);
  const vram = MemoryRegion.ram("vram", 0x1000, 0x20_0000);
  const hole = MemoryRegion.io("hole", 0x1000, 3);
  system.addSubregion(0, low);
  system.addSubregion(0x8000, vram);
  hole.setEnabled(false);
  system.addSubregion(0x1000, hole, 1);
  return { system, low, vram, hole };
}

test("deletes come first, and backwards through the listeners; then what stays and what is new", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  const views = new FlatViews(engine);
  const { system, vram, hole } = machine();
  const log: string[] = [];
  views.set(system);
  const leave = views.addListener(scribe("late", log), { priority: 5, asId: 0 });
  assert.equal(log, [
    "late begin",
    "late regionAdd 0:0+4000 low",
    "late regionAdd 0:8000+1000 vram",
    "late commit",
  ]);
  views.addListener(scribe("early", log), { priority: -5 });
  views.addListener(scribe("other", log), { asId: 1 });
  log.length = 0;
  views.begin();
  hole.setEnabled(true);
  vram.setLog(true);
  views.commit();
  assert.equal(log, [
    "early begin",
    "other begin",
    "late begin",
    "late regionDel 0:0+4000 low",
    "early regionDel 0:0+4000 low",
    "early regionAdd 0:0+1000 low",
    "late regionAdd 0:0+1000 low",
    "early regionAdd 0:1000+1000 hole",
    "late regionAdd 0:1000+1000 hole",
    "early regionAdd 0:2000+2000 low",
    "late regionAdd 0:2000+2000 low",
    "early regionNop 0:8000+1000 vram",
    "late regionNop 0:8000+1000 vram",
    "early logStart 0:8000+1000 vram",
    "late logStart 0:8000+1000 vram",
    "early commit",
    "other commit",
    "late commit",
  ]);
  log.length = 0;
  leave();
  views.begin();
  vram.setLog(false);
  views.commit();
  assert.equal(log.slice(-4), [
    "early regionNop 0:8000+1000 vram",
    "early logStop 0:8000+1000 vram",
    "early commit",
    "other commit",
  ]);
});

test("listeners run when the map is in force, and not at all when the list is refused", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  engine.setUserMemoryRegion({
    slot: 9,
    flags: 0,
    guestPhysAddr: 0x8000,
    memorySize: 0x1000,
    userspaceAddr: 0x5000,
  });
  const { system, vram } = machine();
  const log: (string | number)[] = [];
  views.addListener({
    begin: () => log.push("begin"),
    regionAdd: ({ gpa, hva }) => log.push(engine.gpaToHva(Number(gpa)), hva!),
  });
  log.length = 0;
  throwsErrno(() => views.set(system), "EEXIST", 1);
  assert.equal(log, []);
  system.delSubregion(vram);
  views.set(system);
  assert.equal(log, ["begin", 0x10_0000, 0x10_0000]);
  assert.throws(() => views.addListener(null as never), /listener must be an object/);
  assert.throws(() => views.addListener({}, { asId: 1 }), /asId must be from 0 to 0/);
  assert.throws(() => views.addListener({}, { priority: Number.NaN }), /priority must be a number/);
});

test("the error of a listener reaches the caller, and the commit stays in force", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  const { system, hole } = machine();
  views.set(system);
  const leave = views.addListener({
    regionDel() {
      throw new Error("no");
    },
  });
  for (const commit of [() => views.commit(), () => views.commitAsync()]) {
    views.begin();
    hole.setEnabled(!hole.enabled);
    let error: unknown;
    await (async () => commit())().catch((caught: unknown) => {
      error = caught;
    });
    assert.match(String(error), /no/);
    assert.is(engine.gpaToHva(0x1000) < 0, hole.enabled);
  }
  leave();
  assert.is(views.set(system)!.published, false, "nothing is left to do");
});

test("an error of a commit that is in force comes before that of a listener, which is told all the same", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  const { system, hole } = machine();
  views.set(system);
  const reader = await remote((thread) => superviseWorker(engine, thread));
  await reader.run(({ vcpu }) => vcpu.enter());
  const log: string[] = [];
  views.addListener(scribe("told", log));
  views.addListener({
    regionDel() {
      throw new Error("no");
    },
  });
  log.length = 0;
  views.begin();
  hole.setEnabled(true);
  assert.throws(
    () => views.commit({ timeout: 5 }),
    (error: KvmError) => error.code === "ETIMEDOUT" && error.published === true,
  );
  assert.ok(log.includes("told regionAdd 0:1000+1000 hole"), log.join("\n"));
  assert.ok(hole.enabled);
  assert.ok(engine.gpaToHva(0x1000) < 0);
  await reader.kill();
  assert.is(views.set(system)!.published, false, "nothing is left to do");
});

test("a message per commit brings the same to a listener elsewhere", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  const { system, hole } = machine();
  const { port1, port2 } = new MessageChannel();
  const here: string[] = [];
  const there: string[] = [];
  views.addListener(postingListener(port1));
  views.addListener(scribe("", here));
  views.set(system);
  views.begin();
  hole.setEnabled(true);
  views.commit();
  for (let i = 0; i < 3; i++) {
    const [message] = (await once(port2, "message")) as [ListenerMessage];
    deliver(message, scribe("", there));
    if (i === 2) break;
  }
  port1.close();
  assert.equal(there, here);
  assert.ok(here.length > 8);
});

test("a listener in a worker is told in QEMU's order", async () => {
  const engine = await MemslotEngine.create();
  const views = new FlatViews(engine);
  const { system, hole } = machine();
  const worker = tsWorker(new URL("../../support/listening.ts", import.meta.url));
  const told = async () => (await once(worker, "message", { signal: AbortSignal.timeout(30_000) }))[0];
  try {
    views.set(system);
    views.addListener(postingListener(worker));
    assert.equal(await told(), ["begin", "add 0 16384 low", "add 32768 4096 vram", "commit"]);
    views.begin();
    hole.setEnabled(true);
    views.commit();
    assert.equal(await told(), [
      "begin",
      "del 0 16384 low",
      "add 0 4096 low",
      "add 4096 4096 hole",
      "add 8192 8192 low",
      "nop 32768 4096 vram",
      "commit",
    ]);
  } finally {
    await worker.terminate();
  }
});

const seed = Number(process.env.SEED ?? Date.now() % 1e9);

test(`who follows the events has the view, and never two ranges in one place (SEED=${seed})`, async () => {
  const rng = random(seed);
  const engine = await MemslotEngine.create({ maxSlots: 64 });
  const views = new FlatViews(engine);
  const mirror = new Map<bigint, string>();
  const text = ({ gpa, size, name, offset, readonly }: MemorySection) =>
    `${gpa} ${size} ${name} ${offset} ${readonly}`;
  views.addListener({
    regionAdd(section) {
      for (const other of mirror.values()) {
        const [gpa, size] = other.split(" ").map(Number) as [number, number];
        const apart = gpa + size <= Number(section.gpa) || Number(section.gpa + section.size) <= gpa;
        assert.ok(apart, `${text(section)} over ${other}`);
      }
      mirror.set(section.gpa, text(section));
    },
    regionDel(section) {
      assert.is(mirror.get(section.gpa), text(section));
      mirror.delete(section.gpa);
    },
    regionNop(section) {
      assert.is(mirror.get(section.gpa), text(section));
    },
  });
  const system = MemoryRegion.container("system", 2n ** 64n);
  const regions = Array.from({ length: 8 }, (_, i) => {
    const size = (1 + rng.int(6)) * 0x1000;
    const made =
      i % 3 === 0 ? MemoryRegion.io(`r${i}`, size, i) : MemoryRegion.ram(`r${i}`, size, (i + 1) * 0x10_0000);
    system.addSubregion(rng.int(12) * 0x1000, made, rng.int(3));
    return made;
  });
  for (let round = 0; round < 300; round++) {
    const region = rng.pick(regions);
    if (rng.chance(0.4)) region.setEnabled(!region.enabled);
    else if (rng.chance(0.5)) region.setAddress(rng.int(12) * 0x1000);
    else region.setReadonly(rng.chance(0.5));
    views.set(system);
    const expected = FlatView.of(system).ranges.map(
      ({ start, size, region: { name }, offset, readonly }) =>
        `${start} ${size} ${name} ${offset} ${readonly}`,
    );
    const followed = [...mirror.values()].sort((a, b) => Number(a.split(" ")[0]) - Number(b.split(" ")[0]));
    assert.equal(followed, expected, `SEED=${seed} round ${round}`);
  }
});

test.run();
