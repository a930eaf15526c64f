/**
 * The reproductions, shortly: lists lose nothing, one by one does; and what each figure is there to find is
 * found.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { KvmError, MemslotEngine, type Slot } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Crew } from "../../src/replay/crew.js";
import { PAGE } from "../support/region.js";
import { tsWorker } from "../support/tsworker.js";
import { DirtyCopy } from "./checks.js";
import { type Apply, type Measured, measure } from "./measure.js";
import { Ram } from "./ram.js";
import { SCENARIOS } from "./scenarios.js";
import { SECOND_WRITER_SLOT } from "./secondwriter.js";
import { failuresOf } from "./verdict.js";
import { applyBy, applyList, WAYS } from "./ways.js";

const RUN = fileURLToPath(new URL("./run.ts", import.meta.url));
/** The changes that every run makes whatever time it is given are enough. */
const SECONDS = 0.05;
const VCPUS = 2;

const ram = new Ram(VCPUS);
let crew: Crew;
let crewWithWriter: Crew;

function startCrew(size: number): Promise<Crew> {
  return Crew.of(Array.from({ length: size }, () => tsWorker(new URL("./worker.ts", import.meta.url))));
}

test.before(async () => {
  [crew, crewWithWriter] = await Promise.all([startCrew(VCPUS), startCrew(VCPUS + 1)]);
});

test.after(async () => {
  await Promise.all([crew.end(), crewWithWriter.end()]);
});

function scenarioOf(id: string) {
  return SCENARIOS.find((scenario) => scenario.id === id)!;
}

/** One run of a scenario, of lists applied in some way of the test's own. */
function measureBroken(id: string, apply: Apply): Promise<Measured> {
  return measure(scenarioOf(id), "list", SECONDS, crew, ram, apply);
}

for (const scenario of SCENARIOS) {
  test(`${scenario.id}: ${scenario.title}`, async () => {
    const workers = scenario.secondWriter ? crewWithWriter : crew;
    for (const way of WAYS) {
      const result = await measure(scenario, way, SECONDS, workers, ram);
      assert.ok(result.accesses > 1000, `${result.accesses} accesses`);
      assert.ok(result.commits >= 20 && result.p50 > 0 && result.p99 >= result.p50);
      assert.equal(failuresOf(SCENARIOS, [result]), []);
    }
  });
}

test("a list that is not atomic is found, and is a failure", async () => {
  const result = await measureBroken("R2", applyBy["one by one"]);
  assert.ok(result.noMemory > 0);
  assert.match(failuresOf(SCENARIOS, [result])[0] ?? "", /^R2, list: \d+ accesses found no memory$/);
});

test("R1 to R3 must be seen to lose one by one, the others need not", async () => {
  const result = await measure(scenarioOf("R2"), "list", SECONDS, crew, ram);
  const none = (scenario: string): Measured => ({ ...result, scenario, way: "one by one" });
  assert.equal(
    ["R1", "R2", "R3", "R4", "R7", "R8", "R9", "R11"].filter(
      (id) => failuresOf(SCENARIOS, [none(id)]).length > 0,
    ),
    ["R1", "R2", "R3"],
  );
});

test("a page that translates to another page is found", async () => {
  const shifted = (list: readonly Slot[]) =>
    list.map((region) => ({
      ...region,
      userspaceAddr: region.userspaceAddr === 0 ? 0 : region.userspaceAddr + PAGE,
    }));
  const result = await measureBroken("R2", (engine, { list }) => {
    engine.setUserMemoryRegionList(shifted(list));
  });
  assert.ok(result.wrong > 0);
});

test("R7: address spaces that change one after the other are found", async () => {
  const result = await measureBroken("R7", (engine, { list }) => {
    for (const asId of [0, 1]) {
      engine.setUserMemoryRegionList(list.filter(({ slot }) => slot >>> 16 === asId));
    }
  });
  assert.is(result.noMemory, 0);
  assert.ok(result.wrong > 0);
});

test("R8: a layout that should have been refused is found", async () => {
  const [split, merge] = scenarioOf("R1").changes;
  const result = await measureBroken("R8", (engine) => {
    for (const change of [split!, merge!]) applyList(engine, change, {});
  });
  assert.is(result.noMemory, 0);
  assert.ok(result.wrong > 0);
});

test("R11: writes to the old place are found where nobody waits for the readers", async () => {
  const result = await measureBroken("R11", (engine, change) => applyList(engine, change, { wait: false }));
  const [late] = result.findings;
  assert.ok((late?.count ?? 0) > 0);
  assert.is(failuresOf(SCENARIOS, [result]).length, 1);
});

test("R9: an update of the second writer that somebody undoes is found", async () => {
  const taken = {
    slot: SECOND_WRITER_SLOT,
    flags: 0,
    guestPhysAddr: 0x5_0000_0000,
    userspaceAddr: PAGE,
  };
  const result = await measure(scenarioOf("R9"), "list", SECONDS, crewWithWriter, ram, (engine, change) => {
    applyList(engine, change, {});
    // Its slot is there or is not; either way its next update meets what it did not leave.
    for (let memorySize = 0; !succeeds(() => engine.setUserMemoryRegion({ ...taken, memorySize })); ) {
      memorySize = PAGE - memorySize;
    }
  });
  assert.ok((result.findings[0]?.count ?? 0) > 0);
});

function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof KvmError) return false;
    throw error;
  }
}

test("R4: a page that was written and is in no log is found, one that is in a log is not", async () => {
  const { initial, changes, pages } = scenarioOf("R4");
  const engine = await MemslotEngine.create({ maxVcpus: 1 });
  engine.setUserMemoryRegionList(initial);
  ram.prepare(pages);
  const check = new DirtyCopy(engine, ram, pages);
  const vcpu = engine.vcpu();
  for (const gpa of pages.slice(0, 9)) {
    ram.write(vcpu.gpaToHva(gpa), 0);
    vcpu.markDirty(gpa);
  }
  check.before();
  check.after();
  assert.is(check.found().count, 0);
  ram.write(vcpu.gpaToHva(pages[0]!), 0);
  vcpu.markDirty(pages[0]!);
  for (const { slot } of initial) engine.getDirtyLog(slot);
  check.before();
  applyList(engine, changes[0]!, {});
  check.after();
  assert.is(check.found().count, 1);
  vcpu.release();
  engine.close();
});

test("a vCPU that fails ends the run with its own error", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 1 });
  engine.vcpu();
  const task = { role: "vcpu", handle: engine.handle, ram: ram.buffer, vcpus: VCPUS, pages: [0] };
  let error: unknown;
  await crew.watch([task], (progress) => progress.awaitSections(1)).catch((caught) => (error = caught));
  assert.match(String(error), /EAGAIN/);
  engine.close();
});

test("the command: figures as JSON, wrong usage is 2", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", RUN, ...args], { encoding: "utf8" });
  const { status, stdout } = run("--", "--scenario", "r2", "--seconds", "0.05", "--vcpus", "1", "--json");
  const { results, failures, notApplicable } = JSON.parse(stdout);
  assert.is(status, failures.length === 0 ? 0 : 1);
  assert.equal(
    results.map((result: Measured) => [result.scenario, result.way]),
    WAYS.map((way) => ["R2", way]),
  );
  assert.equal(Object.keys(notApplicable), ["R5", "R6", "R10"]);
  for (const args of [
    ["--scenario", "R5"],
    ["--scenario", "R12"],
    ["--seconds", "0"],
    ["--vcpus", "x"],
    ["--x"],
  ]) {
    const wrong = run(...args);
    assert.is(wrong.status, 2, args.join(" "));
    assert.match(wrong.stderr, /^repro: .*\nusage: /);
  }
});

test.run();
