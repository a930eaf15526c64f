import {
  guestMemory,
  MemslotEngine,
  mergeSlots,
  splitSlot,
  superviseWorker,
} from "./node_modules/memslots/dist/index.js";

const MIB = 2 ** 20;
const output = document.querySelector("output");
const engine = await MemslotEngine.create();
const { sharing, reason } = engine.capabilities;
if (!sharing) {
  output.textContent = `No vCPU in a worker here: ${reason}`;
  throw new Error(reason);
}
const ram = new SharedArrayBuffer(16 * MIB);
engine.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 16 * MIB, userspaceAddr: 0 });

const worker = new Worker("vcpu.js", { type: "module" });
worker.postMessage({ handle: superviseWorker(engine, worker), ram });

// Split and merge the RAM under the running vCPU. A page must not sleep, so it awaits its commits.
const guest = guestMemory(engine, ram);
let lists = 0;
async function frame() {
  await engine.setUserMemoryRegionListAsync(splitSlot(engine.slot(0), 4 * MIB, 1));
  await engine.setUserMemoryRegionListAsync(mergeSlots(engine.slot(0), engine.slot(1)));
  lists += 2;
  const [rounds, holes] = [guest.getUint32(0, true), guest.getUint32(4, true)];
  output.textContent = `${lists} lists, ${rounds} rounds of the vCPU, ${holes} holes`;
  requestAnimationFrame(frame);
}
frame();
