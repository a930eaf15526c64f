/** Gaps between two calls that vCPUs of other threads surely meet, however few processors there are. */
import { type MemslotEngine, readersOf } from "memslots";

/** From now on `setUserMemoryRegion` returns when each vCPU of other threads has ended a section begun behind it. */
export function leaveGaps(engine: MemslotEngine): void {
  const set = engine.setUserMemoryRegion.bind(engine);
  // Those of this thread may stay in their sections.
  const others = () =>
    readersOf(engine).filter(({ kind, owner }) => kind === "vcpu" && owner !== engine.owner);
  const word = new Int32Array(new SharedArrayBuffer(4));
  engine.setUserMemoryRegion = (region) => {
    set(region);
    const before = new Map(others().map(({ reader, sections }) => [reader, sections]));
    const isBehind = () => others().some(({ reader, sections }) => sections < before.get(reader)! + 2);
    // With one processor the vCPUs run only while this thread does not.
    while (isBehind()) Atomics.wait(word, 0, 0, 0.1);
  };
}
