/**
 * A vCPU in a worker. It begins when the machine is handed over, and reports its first section. With `arrived`, a word
 * for each page of RAM, pages may be absent: the vCPU asks for the page, sleeps until the word is 1, and goes on.
 */
import { parentPort } from "node:worker_threads";
import { guestMemory, MemslotEngine } from "memslots";
import { PAGE, runGuest } from "./guest.mjs";

/** Sums of a section. */
const SUMS = 1000;

/** Attach to a machine that nobody runs: the code is there and compiled when the pause depends on it. */
async function prepare({ handle, ram, registers, index }) {
  const engine = await MemslotEngine.attach(handle);
  const vcpu = engine.vcpu();
  vcpu.enter();
  runGuest(guestMemory(engine, ram, { vcpu }), registers, index, SUMS);
  vcpu.exit();
  vcpu.release();
  engine.close();
  parentPort.postMessage({ what: "prepared" });
}

async function run({ handle, ram, registers, index, arrived }) {
  const engine = await MemslotEngine.attach(handle);
  const vcpu = engine.vcpu();
  const memory = guestMemory(engine, ram, {
    vcpu,
    // Outside of all sections, as after KVM_EXIT_MMIO: a list is never kept waiting by a page.
    onHole({ kind, gpa, write, value }) {
      if (arrived === undefined || kind !== "no-access") throw new Error(`${kind} at ${gpa}`);
      const hva = engine.gpaToHva(gpa);
      parentPort.postMessage({ what: "missing", hva });
      Atomics.wait(arrived, Math.floor(hva / PAGE), 0);
      if (!write) return memory.getUint32(gpa, true);
      memory.setUint32(gpa, value, true);
    },
  });
  parentPort.postMessage({ what: "attached" });
  for (let first = true; ; first = false) {
    vcpu.enter(); // sleeps while the machine is paused
    runGuest(memory, registers, index, SUMS);
    vcpu.exit();
    if (first) parentPort.postMessage({ what: "running" });
  }
}

parentPort.on("message", (orders) => (orders.prepare ? prepare(orders) : run(orders)));
