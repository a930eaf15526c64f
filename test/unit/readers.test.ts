/** engine.readers(): what an observer sees of vCPUs and threads. */
import { MemslotEngine, type ReaderState } from "memslots";
import { test } from "uvu";
import * as assert from "uvu/assert";

const PAGE = 0x1000;
const slot = (guestPhysAddr: number) => ({
  slot: 1,
  flags: 0,
  guestPhysAddr,
  memorySize: PAGE,
  userspaceAddr: PAGE,
});

function vcpusOf(engine: MemslotEngine): ReaderState[] {
  return engine.readers().filter(({ kind }) => kind === "vcpu");
}

test("a vCPU, from its claim to its release", async () => {
  const engine = await MemslotEngine.create({ addressSpaces: 2 });
  engine.setUserMemoryRegion(slot(0));
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
  engine.setUserMemoryRegion(slot(PAGE));
  engine.kick();
  assert.equal(vcpusOf(engine), [{ ...inside, behind: true, kicked: true }]);
  vcpu.refresh();
  assert.equal(vcpusOf(engine), [{ ...inside, kicked: true }]);
  vcpu.exit();
  assert.equal(vcpusOf(engine), [{ ...inside, inside: false, kicked: true }]);
  vcpu.release();
  assert.equal(vcpusOf(engine), []);
});

test("the observer sees itself, and other threads by their tokens", async () => {
  const engine = await MemslotEngine.create();
  engine.generation();
  const other = await MemslotEngine.attach(engine.handle);
  other.generation();
  const threads = engine.readers().filter(({ kind }) => kind === "thread");
  assert.equal(threads.map(({ owner }) => owner).sort(), [engine.owner, other.owner].sort());
  assert.equal(
    threads.map(({ owner, inside }) => owner === engine.owner && inside),
    [true, false],
    "its own walk is a section",
  );
});

test("more readers than one piece of the walk holds", async () => {
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
