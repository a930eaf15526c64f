/** A worker of main.mjs. */
import { parentPort, workerData } from "node:worker_threads";
import { MemslotEngine } from "memslots";
import { readUntilTold } from "./reads.js";

const engine = await MemslotEngine.attach(workerData.handle);
parentPort.postMessage("ready");
parentPort.postMessage(readUntilTold(engine, workerData.words));
