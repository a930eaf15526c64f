/**
 * A vCPU of the dirty log test: in each iteration it writes the iteration's number to random pages, and tells each
 * dirty after the write. It does not run while its ring is full.
 */
import { parentPort, workerData } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { random } from "../support/random.js";
import { PAGE } from "../support/region.js";
import { DONE, FIRST_GFN, ITERATION, type Orders, PAGES, RESETS } from "./guestworld.js";

const { handle, control, ram, line, seed, writes } = workerData as Orders;
const engine = await MemslotEngine.attach(handle);
const vcpu = engine.vcpu();
const rng = random(seed + line);

/** A run of the vCPU is no longer than what a ring takes beyond its soft limit. */
const RUN_WRITES = 64;
/** A write in so many goes to one of the last three pages, where the last word of a bitmap is not whole. */
const LAST_PAGES_RATE = 1 / 256;

let ringFull = 0;

function awaitReset(): void {
  const resets = Atomics.load(control, RESETS);
  if (!vcpu.dirtyRingFull) return;
  ringFull++;
  Atomics.wait(control, RESETS, resets);
}

function run(iteration: number, count: number): void {
  vcpu.enter();
  for (let i = 0; i < count; i++) {
    const page = rng.chance(LAST_PAGES_RATE) ? PAGES - 1 - rng.int(3) : rng.int(PAGES);
    const gpa = (FIRST_GFN + page) * PAGE;
    Atomics.store(ram, vcpu.gpaToHva(gpa) / PAGE, iteration);
    vcpu.markDirty(gpa);
  }
  vcpu.exit();
}

let iteration = 0;
for (;;) {
  Atomics.wait(control, ITERATION, iteration);
  iteration = Atomics.load(control, ITERATION);
  if (iteration < 0) break;
  for (let left = writes; left > 0; left -= RUN_WRITES) {
    while (vcpu.dirtyRingFull) awaitReset();
    run(iteration, Math.min(left, RUN_WRITES));
  }
  Atomics.store(control, DONE + line, iteration);
  Atomics.notify(control, DONE + line);
}
vcpu.release();
parentPort!.postMessage(ringFull);
