/**
 * The destination of a migration, a process of its own: takes memory, then the engine, and runs the vCPUs. With the
 * argument "post-copy" the engine comes first, and what a vCPU accesses before it has arrived is asked for.
 */
import { Worker } from "node:worker_threads";
import {
  KVM_MEMORY_ATTRIBUTE_NR,
  KVM_MEMORY_ATTRIBUTE_NW,
  KVM_MEMORY_ATTRIBUTE_NX,
  restoreEngine,
  superviseWorker,
} from "memslots";
import { PAGE, RAM_BYTES, VCPUS } from "./guest.mjs";
import { said } from "./machine.mjs";
import { CHECK, ENGINE, MEMORY, receive, SWITCH } from "./wire.mjs";

const ABSENT = KVM_MEMORY_ATTRIBUTE_NR | KVM_MEMORY_ATTRIBUTE_NW | KVM_MEMORY_ATTRIBUTE_NX;

const ram = new Uint8Array(new SharedArrayBuffer(RAM_BYTES));
const registers = new BigUint64Array(new SharedArrayBuffer(8 * VCPUS));
/** Of post-copy: 1 for each page that is here. */
const arrived =
  process.argv[2] === "post-copy"
    ? new Int32Array(new SharedArrayBuffer((RAM_BYTES / PAGE) * Int32Array.BYTES_PER_ELEMENT))
    : undefined;
// A thread takes longer to start than the pause may last.
const workers = Array.from({ length: VCPUS }, () => new Worker(new URL("vcpu.mjs", import.meta.url)));
await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("online", resolve))));
for (const worker of workers) {
  worker.on("message", ({ what, hva }) => {
    if (what === "missing") process.send({ what, hva });
  });
}

let engine;
let left = RAM_BYTES / PAGE;
let [compared, differences] = [0, 0];

/** Give each worker its orders, and wait for its answer. */
async function order(machine) {
  await Promise.all(
    workers.map((worker, index) => {
      const answer = said(worker, machine.prepare ? "prepared" : "attached");
      worker.postMessage({ handle: superviseWorker(engine, worker), index, ...machine });
      return answer;
    }),
  );
}

/** Until each vCPU has ended a section that began after this call, or later. */
async function allGoOn() {
  const before = registers.slice();
  while (registers.some((count, i) => count === before[i])) await new Promise(setImmediate);
}

/** Allow or forbid all accesses to what is at host addresses [start, end). */
function setAttributes(start, end, attributes) {
  for (const { gpa: address, bytes: size } of engine.hvaToGpas(start, end)) {
    engine.setMemoryAttributes({ address, size, attributes });
  }
}

/** Pages of post-copy. What is here already is the guest's, and newer. */
function arrive(address, bytes) {
  for (let from = 0; from < bytes.length; ) {
    const isHere = (at) => arrived[(address + at) / PAGE] === 1;
    if (isHere(from)) {
      from += PAGE;
      continue;
    }
    let to = from + PAGE;
    while (to < bytes.length && !isHere(to)) to += PAGE;
    ram.set(bytes.subarray(from, to), address + from);
    setAttributes(address + from, address + to, 0);
    for (let at = from; at < to; at += PAGE, left--) {
      Atomics.store(arrived, (address + at) / PAGE, 1);
      Atomics.notify(arrived, (address + at) / PAGE);
    }
    from = to;
  }
}

const orders = {
  async go() {
    const running = workers.map((worker) => said(worker, "running"));
    engine.resumeVcpus();
    await Promise.all(running);
    process.send({ what: "running" });
    if (arrived !== undefined) return;
    await allGoOn();
    process.send({ what: "counts", counts: [...registers].map(String) });
  },
  /** Of post-copy, when all pages are here: so no vCPU sleeps amid a section's work. */
  async stop() {
    await allGoOn();
    await allGoOn();
    engine.pauseVcpus();
    process.send({ what: "counts", counts: [...registers].map(String) });
  },
};

process.on("message", (name) => orders[name]());

for await (const { kind, address, bytes } of receive(process.stdin)) {
  if (kind === MEMORY) {
    if (arrived === undefined) ram.set(bytes, address);
    else arrive(address, bytes);
    if (left === 0) {
      left = -1;
      process.send({ what: "complete" });
    }
  }
  if (kind === ENGINE) {
    const first = engine === undefined;
    engine?.close();
    engine = await restoreEngine(bytes);
    if (!first) continue;
    // Their memory is not the guest's.
    const spare = { ram: new SharedArrayBuffer(RAM_BYTES), registers: registers.slice() };
    await order({ prepare: true, ...spare });
    process.send({ what: "ready" });
  }
  if (kind === SWITCH) {
    new Uint8Array(registers.buffer).set(bytes);
    if (arrived !== undefined) setAttributes(0, RAM_BYTES, ABSENT);
    // They come to the door of their first section.
    engine.pauseVcpus();
    await order({ prepare: false, ram: ram.buffer, registers, arrived });
    process.send({ what: "restored" });
  }
  if (kind === CHECK) {
    for (let i = 0; i < bytes.length; i++) if (ram[address + i] !== bytes[i]) differences++;
    compared += bytes.length;
    if (compared === RAM_BYTES) process.send({ what: "checked", differences });
  }
}
