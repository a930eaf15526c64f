/** A vCPU that reads until `words[0]` is set. */
import { readAll } from "./lists.js";

export function readUntilTold(engine, words) {
  const vcpu = engine.vcpu();
  const sum = { reads: 0, misses: 0 };
  do {
    const { reads, misses } = readAll(vcpu);
    sum.reads += reads;
    sum.misses += misses;
  } while (Atomics.load(words, 0) === 0);
  vcpu.release();
  return sum;
}
