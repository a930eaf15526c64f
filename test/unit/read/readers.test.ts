/** `readersOf`: the state of vCPUs and threads for an observer. */
import { MemslotEngine, type ReaderState, readersOf } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PAGE, region } from "../../support/region.js";

function vcpusOf(engine: MemslotEngine): ReaderState[] {
  return readersOf(engine).filter(({ kind }) => kind === "vcpu");
}

test("a vCPU, from its claim to its release", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegion(region(1, 0, 1, 1));
  const vcpu = engine.vcpu({ asId: 1 });
  const idle: ReaderState = {
    reader: vcpu.reader,
    owner: engine.owner,
    kind: "vcpu",
    asId: 1,
    inside: false,
    behind: false,
    kicked: false,
    sections: 0,
    misses: 0,
  };
  assert.equal(vcpusOf(engine), [idle]);
  vcpu.asId = 0;
  vcpu.enter();
  vcpu.gpaToHva(PAGE);
  vcpu.gpaToHva(0);
  const inside = { ...idle, asId: 0, inside: true, sections: 1, misses: 1 };
  assert.equal(vcpusOf(engine), [inside]);
  engine.setUserMemoryRegion(region(1, 1, 1, 1));
  engine.kick();
  assert.equal(vcpusOf(engine), [{ ...inside, behind: true, kicked: true }]);
  vcpu.refresh();
  assert.equal(vcpusOf(engine), [{ ...inside, kicked: true }]);
  vcpu.exit();
  assert.equal(vcpusOf(engine), [{ ...inside, inside: false, kicked: true }]);
  vcpu.release();
  assert.equal(vcpusOf(engine), []);
});

test("the observer sees itself, and other threads under their tokens", async () => {
  const engine = await MemslotEngine.create();
  engine.generation();
  const other = await MemslotEngine.attach(engine.handle);
  other.generation();
  const threads = readersOf(engine).filter(({ kind }) => kind === "thread");
  assert.equal(threads.map(({ owner }) => owner).sort(), [engine.owner, other.owner].sort());
  assert.equal(
    threads.map(({ owner, inside }) => owner === engine.owner && inside),
    [true, false],
    "its own walk is a section",
  );
});

test("the walk returns more readers than one piece of it holds", async () => {
  const engine = await MemslotEngine.create({ maxVcpus: 100 });
  const vcpus = Array.from({ length: 100 }, () => engine.vcpu());
  for (const [i, vcpu] of vcpus.entries()) if (i % 3 !== 0) vcpu.release();
  const left = vcpus.filter((_, i) => i % 3 === 0).map(({ reader }) => reader);
  assert.equal(
    vcpusOf(engine).map(({ reader }) => reader),
    left,
  );
});

test.run();
