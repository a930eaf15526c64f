/**
 * vCPUs in worker threads, and a writer that splits and merges the RAM under them: first one update after the other, as
 * ioctls would, and then each change as one list. Every page keeps its host page all the time, so a lookup that finds
 * nothing has met a state in between.
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { MemslotEngine, mergeSlots, splitSlot, superviseWorker } from "memslots";

const MIB = 2 ** 20;
const VCPUS = 2;
/** Sections of each vCPU for each way. */
const SECTIONS = 200_000;

/** Words that all threads share: [0] is 1 when the vCPUs must end; then sections and holes of each vCPU. */
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
      // Each worker gets a separate handle: if it dies, its vCPU is freed and no writer waits for it.
      worker.postMessage({ handle: superviseWorker(engine, worker), counters, number });
      await once(worker, "message");
    }),
  );

  const total = (of) => workers.reduce((sum, _, vcpu) => sum + Atomics.load(counters, of(vcpu)), 0);
  const done = () => workers.every((_, vcpu) => Atomics.load(counters, sectionsOf(vcpu)) >= SECTIONS);
  const ways = [
    {
      name: "one by one",
      apply: (list) => {
        for (const region of list) engine.setUserMemoryRegion(region);
      },
      // A busy machine may run no vCPU in between for a while.
      enough: () => done() && total(holesOf) > 0,
    },
    { name: "as lists", apply: (list) => engine.setUserMemoryRegionList(list), enough: done },
  ];
  for (const { name, apply, enough } of ways) {
    counters.fill(0);
    let lists = 0;
    while (!enough()) {
      apply(splitSlot(engine.slot(0), 16 * MIB, 1));
      apply(mergeSlots(engine.slot(0), engine.slot(1)));
      lists += 2;
    }
    console.log(`${name}: ${total(holesOf)} of ${total(sectionsOf)} sections met a hole, ${lists} changes`);
  }
  Atomics.store(counters, STOP, 1);
  await Promise.all(workers.map((worker) => once(worker, "exit")));
}

if (isMainThread) await main();
else parentPort.once("message", runVcpu);
