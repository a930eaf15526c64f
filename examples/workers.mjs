/**
 * vCPUs in worker threads, and a writer that splits and merges the RAM under them: one update after the other, as an
 * ioctl would take them, and then each change as one list. Every page stays where it is all the time, so a lookup
 * that finds nothing has met the moment in between.
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { MemslotEngine, mergeSlots, splitSlot } from "memslots";

const MIB = 2 ** 20;
const VCPUS = 2;
/** Sections that each vCPU is to run under each way. */
const SECTIONS = 200_000;

/** Words that all threads count in: [0] tells the vCPUs to end, then per vCPU sections and holes. */
const STOP = 0;
const sectionsOf = (vcpu) => 1 + 2 * vcpu;
const holesOf = (vcpu) => 2 + 2 * vcpu;

async function runVcpu({ handle, counters, number }) {
  const engine = await MemslotEngine.attach(handle);
  const vcpu = engine.vcpu();
  parentPort.postMessage("ready");
  for (let gpa = 0; Atomics.load(counters, STOP) === 0; gpa = (gpa + 0x35000) % (64 * MIB)) {
    vcpu.enter();
    if (vcpu.gpaToHva(gpa) < 0) Atomics.add(counters, holesOf(number), 1);
    vcpu.exit();
    Atomics.add(counters, sectionsOf(number), 1);
  }
  vcpu.release();
}

async function main() {
  const engine = await MemslotEngine.create();
  engine.setUserMemoryRegion({
    slot: 0,
    flags: 0,
    guestPhysAddr: 0,
    memorySize: 64 * MIB,
    userspaceAddr: 2 ** 32,
  });
  const counters = new Int32Array(new SharedArrayBuffer(4 * (1 + 2 * VCPUS)));
  const workers = Array.from({ length: VCPUS }, () => new Worker(new URL(import.meta.url)));
  await Promise.all(
    workers.map(async (worker, number) => {
      // A handle of its own for each worker: should it die, its vCPU is freed and no writer waits for it.
      worker.postMessage({ handle: engine.superviseWorker(worker), counters, number });
      await once(worker, "message");
    }),
  );

  const ways = {
    "one by one": (list) => {
      for (const region of list) engine.setUserMemoryRegion(region);
    },
    "as lists": (list) => {
      engine.setUserMemoryRegionList(list);
    },
  };
  for (const [name, apply] of Object.entries(ways)) {
    counters.fill(0);
    let lists = 0;
    while (counters.some((count, i) => i % 2 === 1 && count < SECTIONS)) {
      apply(splitSlot(engine.slot(0), 16 * MIB, 1));
      apply(mergeSlots(engine.slot(0), engine.slot(1)));
      lists += 2;
    }
    const total = (of) => workers.reduce((sum, _, vcpu) => sum + Atomics.load(counters, of(vcpu)), 0);
    console.log(`${name}: ${total(holesOf)} of ${total(sectionsOf)} sections met a hole, ${lists} changes`);
  }
  Atomics.store(counters, STOP, 1);
  await Promise.all(workers.map((worker) => once(worker, "exit")));
}

if (isMainThread) await main();
else parentPort.once("message", runVcpu);
