/**
 * A worker vCPU that writes guest memory: a random page of the window of the map, a counter of its host page goes
 * up, then the page is told dirty. Parks when it is told to.
 */
import { workerData } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { random } from "../support/random.js";
import { COMMAND, GO, HOME_HVA, HOSTS, type Orders, PAGE, PARK, STATE, WINDOWS } from "./world.js";

const { handle, control, ram, line, seed, patient } = workerData as Orders;
const engine = await MemslotEngine.attach(handle);
const vcpu = engine.vcpu();
const rng = random(seed);

/** One section with some writes. */
function run(): void {
  vcpu.enter();
  for (let i = 1 + rng.int(6); i > 0; i--) {
    const gpa = (rng.int(WINDOWS) * HOSTS + rng.int(HOSTS)) * PAGE;
    const hva = vcpu.gpaToHva(gpa);
    if (hva < 0) continue;
    Atomics.add(ram, hva / PAGE - HOME_HVA, 1);
    vcpu.markDirty(gpa);
  }
  vcpu.exit();
}

for (;;) {
  while (Atomics.load(control, COMMAND) === PARK) {
    Atomics.store(control, STATE + line, PARK);
    Atomics.notify(control, STATE + line);
    Atomics.wait(control, COMMAND, PARK);
  }
  if (Atomics.exchange(control, STATE + line, GO) === PARK) Atomics.notify(control, STATE + line);
  // A patient vCPU does not run while its ring is full; now and then it does, to see what becomes of that.
  if (!patient || !vcpu.dirtyRingFull || rng.chance(0.0001)) run();
}
