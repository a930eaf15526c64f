/** A hart's thread in Node. */
import { parentPort, workerData } from "node:worker_threads";
import { type HartTask, HartThread } from "./hartthread.js";
import { threadName } from "./threadtime.js";

await HartThread.run(workerData as HartTask, (message) =>
  parentPort?.postMessage(message.kind === "ready" ? { ...message, thread: threadName() } : message),
);
