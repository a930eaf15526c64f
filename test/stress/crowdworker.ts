/** A vCPU of a crowd: sections of some ten microseconds, one after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { CrowdBoard, type CrowdTask, HOST, PAGE, PAGES } from "./crowdboard.js";

const LOOKUPS = 1024;

const { handle, board: buffer, vcpus, number } = workerData as CrowdTask;
const board = new CrowdBoard(buffer, vcpus);
const engine = await MemslotEngine.attach(handle);
const vcpu = engine.vcpu();
parentPort!.postMessage("ready");
board.awaitStart();
let last = performance.now();
while (!board.stopped) {
  let wrong = 0;
  vcpu.enter();
  for (let i = 0; i < LOOKUPS; i++) {
    const gpa = (i % PAGES) * PAGE;
    if (vcpu.gpaToHva(gpa) !== HOST + gpa) wrong++;
  }
  vcpu.exit();
  const now = performance.now();
  board.note(number, now - last, wrong);
  last = now;
}
vcpu.release();
engine.close();
