/**
 * Checks the invariants of an engine that is at rest (no commit running, no section open): those of `checkEngine`,
 * which hold at any time, and those of the rest.
 */
import { checkEngine, type MemslotEngine } from "memslots";
import * as assert from "uvu/assert";
import * as map from "../../src/core/layout.js";

interface View {
  u32(at: number): number;
}

/** Check all invariants. @throws Assertion naming the one that is broken */
export function checkInvariants(engine: MemslotEngine): void {
  const words = new DataView(engine.memory.buffer);
  const view: View = { u32: (at) => words.getUint32(at, true) };
  const header = (field: keyof typeof map.HEADER) => view.u32(engine.base + map.HEADER[field]);
  assert.is(header("lock"), 0, "the lock is free");
  assert.is(header("orphaned"), 0, "no writer died");
  assert.is(header("gateOwner"), 0, "nobody holds the vCPUs");
  assert.is(header("oldestRoot"), header("activeRoot"), "no replaced layout is left");
  assert.is(header("retiredHead"), header("retiredTail"), "nothing is retired");
  assert.is(header("stagedTables"), 0, "no table is staged");
  for (let index = 0; index < map.TABLES; index++) {
    assert.is(view.u32(engine.base + map.HEADER.stagedWindows0 + index * 4), 0, `table ${index} is staged`);
  }
  checkRings(view, engine.base);
  checkTlbs(view, engine.base);
  assert.equal(checkEngine(engine), []);
}

/** In an engine with dirty rings every line knows of them. */
function checkRings(view: View, base: number): void {
  const header = (field: keyof typeof map.HEADER) => view.u32(base + map.HEADER[field]);
  const hasRings = header("dirtyRing") > map.DIRTY_RING_NEVER;
  const lines = Array.from({ length: header("maxVcpus") * 2 }, (_, i) =>
    view.u32(header("readers") + i * map.READER_BYTES + map.READER.ring),
  );
  assert.is(
    lines.every((ring) => ring !== 0),
    hasRings,
    "all lines know of rings",
  );
  assert.is(
    lines.some((ring) => ring !== 0),
    hasRings,
    "no line has a ring that the engine has not",
  );
}

/** TLBs that nobody uses any more wait for the next holder of the lock, who is told of them. */
function checkTlbs(view: View, base: number): void {
  const header = (field: keyof typeof map.HEADER) => view.u32(base + map.HEADER[field]);
  for (let i = 0; i < 2 * header("maxVcpus"); i++) {
    const line = header("readers") + i * map.READER_BYTES;
    const [tlb, block] = [view.u32(line + map.READER.tlb), view.u32(line + map.READER.tlbMemory)];
    if (block !== 0 && tlb === 0) assert.is(header("spareTlbs"), 1, "a spare TLB is announced");
    if (tlb === 0) assert.is(view.u32(line + map.READER.nesting) & map.MARKED_AHEAD, 0, "marks need a TLB");
    else assert.ok(tlb % map.TLB_BYTES === 0 && tlb >= block && tlb - block < map.TLB_BYTES, `TLB at ${tlb}`);
  }
}
