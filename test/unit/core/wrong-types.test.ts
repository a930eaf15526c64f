/** Every argument of every call, with values of every wrong kind: an error names the argument, and nothing happens. */
import * as memslots from "memslots";
import { FlatViews } from "memslots/flatview";
import { test } from "uvu";
import * as assert from "uvu/assert";

type Value = never;

const KINDS: Readonly<Record<string, unknown>> = {
  undefined,
  null: null,
  string: "0x0",
  bigint: 1n,
  NaN: Number.NaN,
  object: {},
  array: [0],
  function: () => 0,
  symbol: Symbol("s"),
};

/** Calls by the name of the argument; kinds that are right, or are said to be, are left out. */
function callsOf(
  engine: memslots.MemslotEngine,
  vcpu: memslots.Vcpu,
): [string, (value: Value) => unknown, string[]?][] {
  const number = ["NaN"];
  const optional = ["undefined"];
  const doubles = new Float64Array(1);
  return [
    ["gpa", (v) => engine.gpaToHva(v), number],
    ["asId", (v) => engine.gpaToHva(0, v), optional],
    ["gpa", (v) => engine.gpaToHvaRead(v), number],
    ["gpa", (v) => engine.resolve(v), number],
    ["gpa", (v) => engine.locate(v), number],
    ["gpa", (v) => engine.markDirty(v), number],
    ["gpa", (v) => engine.memoryAttributes(v), number],
    ["gpa", (v) => engine.resolvePrivate(v), number],
    ["slot", (v) => engine.slot(v)],
    ["asId", (v) => engine.slots(v), optional],
    ["asId", (v) => engine.windows(v), optional],
    ["asId", (v) => engine.generation(v), optional],
    ["start", (v) => engine.hvaToGpas(v, 1)],
    ["end", (v) => engine.hvaToGpas(0, v)],
    ["region", (v) => engine.setUserMemoryRegion(v)],
    ["region", (v) => engine.setUserMemoryRegion2(v)],
    ["regions", (v) => engine.setUserMemoryRegionList(v)],
    ["options", (v) => engine.setUserMemoryRegionList([], v), ["undefined", "object"]],
    ["publication", (v) => engine.setUserMemoryRegionList([], { publication: v }), optional],
    ["timeout", (v) => engine.setUserMemoryRegionList([], { timeout: v }), optional],
    ["windows", (v) => engine.setUserMemoryRegionList([], { windows: v }), optional],
    ["size", (v) => engine.createGuestMemfd(v), ["bigint"]],
    ["flags", (v) => engine.createGuestMemfd(0x1000, v), ["bigint", "undefined"]],
    ["descriptor", (v) => engine.closeGuestMemfd(v)],
    ["attributes", (v) => engine.setMemoryAttributes(v), ["object"]],
    ["cap", (v) => engine.checkExtension(v)],
    ["cap", (v) => engine.enableCap(v)],
    ["slot", (v) => engine.getDirtyLog(v)],
    ["options", (v) => engine.vcpu(v), ["undefined", "object"]],
    ["options", (v) => engine.synchronize(v), ["undefined", "object"]],
    ["options", (v) => engine.pauseVcpus(v), ["undefined", "object"]],
    ["generation", (v) => engine.waitGeneration(v, { timeout: 0 })],
    ["options", (v) => engine.waitGeneration(0, v), ["undefined", "object"]],
    ["owner", (v) => engine.reap(v)],
    ["gpa", (v) => vcpu.gpaToHva(v), number],
    ["gpa", (v) => vcpu.gpaToHvaRead(v), number],
    ["gpa", (v) => vcpu.resolve(v), number],
    ["gpa", (v) => vcpu.markDirty(v), number],
    ["gpa", (v) => vcpu.memoryAttributes(v), number],
    ["gpa", (v) => vcpu.resolvePrivate(v), number],
    ["gfn", (v) => vcpu.gfnToSlot(v), number],
    ["gpas", (v) => vcpu.translate(v, doubles)],
    ["hvas", (v) => vcpu.translate(doubles, v)],
    [
      "asId",
      (v) => {
        vcpu.asId = v;
      },
    ],
    ["engine", (v) => memslots.readersOf(v)],
    ["engine", (v) => memslots.checkEngine(v)],
    ["engine", (v) => memslots.record(v, () => {})],
    ["sink", (v) => memslots.record(engine, v), ["function"]],
    ["options", (v) => memslots.record(engine, () => {}, v), ["undefined", "object"]],
    ["notify", (v) => memslots.addHostNotifier(engine, v), ["function"]],
    ["start", (v) => memslots.invalidateHostRange(engine, v, 0)],
    ["end", (v) => memslots.markHostRangeDirty(engine, 0, v)],
    ["name", (v) => new memslots.DirtyConsumer(engine, v), ["string"]],
    ["options", (v) => new memslots.DirtyConsumer(engine, "x", v), ["undefined", "object"]],
    ["worker", (v) => memslots.superviseWorker(engine, v), ["function"]],
    ["engine", (v) => new FlatViews(v)],
    ["listener", (v) => new FlatViews(engine).addListener(v), ["object", "array"]],
    ["options", (v) => new FlatViews(engine).addListener({}, v), ["undefined", "object"]],
    ["view", (v) => new FlatViews(engine).set(v)],
    ["slot", (v) => memslots.splitSlot(v, 0, 1)],
    ["slots[0]", (v) => memslots.mergeSlots(v)],
    ["slot", (v) => memslots.resizeSlot(v, {})],
    ["slot", (v) => memslots.setReadonly(v, true)],
  ];
}

test("every wrong kind is refused by name", async () => {
  const engine = await memslots.MemslotEngine.create();
  const vcpu = engine.vcpu();
  for (const [name, call, right = []] of callsOf(engine, vcpu)) {
    for (const [kind, value] of Object.entries(KINDS)) {
      if (right.includes(kind)) continue;
      let error: unknown;
      try {
        call(value as never);
      } catch (thrown) {
        error = thrown;
      }
      const text = `${call} of ${kind}: ${error}`;
      assert.ok(error instanceof TypeError || error instanceof RangeError, text);
      const named = new RegExp(`^${name.replace(/[[\]]/g, "\\$&")}(\\.\\w+|\\[\\d\\])* (must be|is unknown)`);
      assert.match((error as Error).message, named, text);
    }
  }
  assert.is(engine.publications, 0);
  assert.is(vcpu.stats().sections >= 0, true);
});

test("a bigint where a number is needed says how to convert it", async () => {
  const engine = await memslots.MemslotEngine.create();
  const vcpu = engine.vcpu();
  const address = 1n as never;
  for (const call of [
    () => engine.gpaToHva(address),
    () => vcpu.gpaToHva(address),
    () => vcpu.markDirty(address),
  ]) {
    assert.throws(call, /gpa must be a number, not 1n: convert it by Number\(\)/);
  }
});

test.run();
