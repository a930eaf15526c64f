/** A worker thread of threads.ts: reads the whole map in sections until it is told to stop. Plain JavaScript. */
import { parentPort, workerData } from "node:worker_threads";
import { MemslotEngine } from "memslots";

const { handle, words } = workerData;
const engine = await MemslotEngine.attach(handle);
const vcpu = engine.vcpu();
let reads = 0;
let misses = 0;
parentPort.postMessage("ready");
do {
  vcpu.enter();
  for (let gpa = 0; gpa < 0x4000; gpa += 0x1000) {
    reads++;
    if (vcpu.gpaToHva(gpa) !== 0x7000_0000 + gpa) misses++;
  }
  vcpu.exit();
} while (Atomics.load(words, 0) === 0);
vcpu.release();
parentPort.postMessage({ reads, misses });
