import { MemslotEngine, mergeSlots, splitSlot } from "./node_modules/memslots/dist/index.js";

const MIB = 2 ** 20;
const engine = await MemslotEngine.create();
const ram = new SharedArrayBuffer(16 * MIB);
engine.setUserMemoryRegion({ slot: 0, flags: 0, guestPhysAddr: 0, memorySize: 16 * MIB, userspaceAddr: 0 });

const worker = new Worker("vcpu.js", { type: "module" });
worker.postMessage({ handle: engine.superviseWorker(worker), ram });

// Split and merge the RAM under the running vCPU. A page must not sleep, so it awaits its commits.
const guest = engine.guestMemory(ram);
let lists = 0;
async function frame() {
  await engine.setUserMemoryRegionListAsync(splitSlot(engine.slot(0), 4 * MIB, 1));
  await engine.setUserMemoryRegionListAsync(mergeSlots(engine.slot(0), engine.slot(1)));
  lists += 2;
  const [rounds, holes] = [guest.getUint32(0, true), guest.getUint32(4, true)];
  document.querySelector("output").textContent =
    `${lists} lists, ${rounds} rounds of the vCPU, ${holes} holes`;
  requestAnimationFrame(frame);
}
frame();
